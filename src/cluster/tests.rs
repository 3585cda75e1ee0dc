use super::*;

#[test]
fn the_resource_of_a_failure_is_found_in_its_key() {
    let xml = r#"<pacemaker-result><summary/><failures>
        <failure op_key="my_vm_migrate_to_0" node="a" exitstatus="error" status="Timed Out" task="migrate_to"/>
    </failures></pacemaker-result>"#;
    let view = ClusterView::parse(xml).expect("parses");
    assert_eq!(view.failures[0].words(), "migrate_to of my_vm failed on a: Timed Out");
}
