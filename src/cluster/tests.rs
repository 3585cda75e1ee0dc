use super::*;

#[test]
fn the_resource_of_a_failure_is_found_in_its_key() {
    let xml = r#"<pacemaker-result><summary/><failures>
        <failure op_key="my_vm_migrate_to_0" node="a" exitstatus="error" status="Timed Out" task="migrate_to"/>
    </failures></pacemaker-result>"#;
    let view = ClusterView::parse(xml).expect("parses");
    assert_eq!(view.failures[0].words(), "migrate_to of my_vm failed on a: Timed Out");
}

#[test]
fn a_clone_that_is_told_to_stop_is_not_waited_for() {
    let resource = |clone: Option<&str>, id: &str| ResourceView {
        id: id.into(),
        clone: clone.map(str::to_owned),
        target: Some("Stopped".into()),
        role: "Stopped".into(),
        managed: true,
        ..ResourceView::default()
    };
    let resources = vec![resource(Some("o2cb-clone"), "o2cb"), resource(None, "vm01")];
    let view = ClusterView { resources, ..ClusterView::default() };
    let wanted = |id: &str| [id.to_owned()];
    assert_eq!(view.missing_resources(&wanted("o2cb-clone")), ["o2cb-clone is told to stop"]);
    assert!(view.hopeless(&wanted("o2cb-clone"), &[])[0].ends_with("--delete-parameter target-role"));
    assert!(view.missing_resources(&wanted("vm01")).is_empty() && view.hopeless(&wanted("vm01"), &[]).is_empty());
}
