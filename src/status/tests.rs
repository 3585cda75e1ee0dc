use super::node::NodeStatus;
use super::*;
use crate::answers::load::{Secrets, text};
use crate::cluster::{BanView, FencingView, NodeView, ResourceView};
use crate::node::Output;

mod remedy;
mod sbd;

pub(crate) const GOOD: &str = "version: 8.4.11 (api:1/proto:86-101)\n 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n    ns:8 nr:0 dw:8 dr:0 al:1 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n";
pub(crate) const MOUNTS: &str = "none / ext4 rw 0 0\n/dev/drbd0 /drbd0 ocfs2 rw,noatime 0 0\n";
pub(crate) const MEMORY: &str = "total_memory : 8192\nfree_memory : 6000\n";

pub(crate) fn answers() -> Answers {
    let file = include_str!("../../tests/examples/tutorial.yaml");
    let here = std::path::Path::new("pair.yaml");
    text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers
}

fn output(text: &str) -> Output {
    Output { code: 0, stdout: text.as_bytes().to_vec(), stderr: Vec::new() }
}

pub(crate) const CIB: &str = r#"<configuration><resources><primitive id="fence-node1" class="stonith" type="fence_ipmilan"><instance_attributes id="p"><nvpair id="c" name="ip" value="192.0.2.11"/></instance_attributes></primitive></resources></configuration>"#;

/// What a node has recorded after both were proved under this CIB.
pub(crate) fn proved(cib: &str) -> String {
    let configuration = crate::fencing::hash(cib, "i1").unwrap();
    let of = |victim: &str, by: &str| {
        format!("victim={victim}\nby={by}\nmethod=ipmi\ndate=2026-11-20T00:00:00Z\nseconds=24\nold-boot=a\nnew-boot=b\nconfiguration={configuration}\n")
            .lines()
            .map(|line| format!("fencing-{victim}.proved {line}\n"))
            .collect::<String>()
    };
    format!("boot x\nuptime 1\nnow n\ninstall i1\n{}{}", of("node1", "node2"), of("node2", "node1"))
}

pub(crate) fn node(drbd: &str, mounts: &str) -> NodeStatus {
    let outputs =
        [drbd, mounts, "", "", "xen\n", "0.10 0.20 0.30 1/99 1\n", MEMORY, &proved(CIB), CIB, "", ""].map(output);
    let mut node = NodeStatus::of(&answers(), &outputs).unwrap();
    node.cluster = Ok(view());
    node
}

/// A healthy pair, its VM on the first node.
pub(crate) fn view() -> ClusterView {
    let nodes = ["node1", "node2"].map(|name| NodeView { name: name.into(), online: true, ..NodeView::default() });
    let resource = |id: &str, agent: &str, nodes: &[&str]| ResourceView {
        id: id.into(),
        agent: agent.into(),
        role: "Started".into(),
        managed: true,
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        ..ResourceView::default()
    };
    ClusterView {
        dc: Some("node1".into()),
        quorum: true,
        fencing_enabled: true,
        nodes: nodes.to_vec(),
        resources: vec![
            resource(&answers().vms[0].name, "ocf:heartbeat:Xen", &["node1"]),
            resource("fence-node1", "stonith:fence_ipmilan", &["node2"]),
            resource("fence-node2", "stonith:fence_ipmilan", &["node1"]),
        ],
        ..ClusterView::default()
    }
}

fn standing(nodes: [Result<NodeStatus, Lost>; 2]) -> Standing {
    Standing::of(&answers(), nodes)
}

fn with_view(change: impl Fn(&mut ClusterView)) -> Standing {
    let node = || {
        let mut node = node(GOOD, MOUNTS);
        let mut view = view();
        change(&mut view);
        node.cluster = Ok(view);
        Ok(node)
    };
    standing([node(), node()])
}

fn names(standing: &Standing) -> Vec<&'static str> {
    standing.troubles.iter().map(|trouble| trouble.name).collect()
}

#[test]
fn a_healthy_pair_has_no_troubles_and_its_vm_can_move() {
    let standing = standing([Ok(node(GOOD, MOUNTS)), Ok(node(GOOD, MOUNTS))]);
    assert_eq!(names(&standing), [""; 0]);
    assert_eq!(standing.vms[0].node.as_deref(), Some("node1"));
    assert_eq!(standing.vms[0].bound, None);
    assert_eq!(standing.losses[0].taken_over, [answers().vms[0].name.clone()]);
    assert_eq!(standing.losses[1].taken_over, [""; 0]);
}

#[test]
fn every_drbd_state_has_its_own_name_and_its_own_remedy() {
    for (state, name, command) in [
        ("cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown", "standalone", "drbdadm connect"),
        ("cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown", "disconnected", "drbdadm up"),
        ("cs:Connected ro:Primary/Primary ds:Diskless/UpToDate", "diskless", "drbdadm attach"),
        ("cs:Connected ro:Secondary/Primary ds:Outdated/UpToDate", "not-up-to-date", "drbdadm disconnect"),
    ] {
        let sick = node(&format!("version: 8.4.11 (api:1)\n 0: {state} C r-----\n    oos:4096\n"), MOUNTS);
        let standing = standing([Ok(sick), Ok(node(GOOD, MOUNTS))]);
        let trouble = standing.troubles.iter().find(|trouble| trouble.name == name);
        let trouble = trouble.unwrap_or_else(|| panic!("{state}: {:?}", names(&standing)));
        assert!(trouble.mend.iter().any(|mend| mend.command.contains(command)), "{trouble:?}");
        assert!(trouble.mend.iter().all(|mend| !mend.risk.is_empty()));
    }
}

#[test]
fn a_split_brain_is_named_once_and_says_what_it_costs() {
    let apart = |gi: &str| {
        let text = format!(
            "version: 8.4.11 (api:1)\n 0: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n=== gi\n{gi}:1:1:0:0:0:0:0\n"
        );
        Ok(node(&text, MOUNTS))
    };
    let history = "0000000000000010:0000000000000000";
    let standing =
        standing([apart(&format!("00000000000000A1:{history}")), apart(&format!("00000000000000B1:{history}"))]);
    assert_eq!(names(&standing), ["split-brain"]);
    let costs = standing.troubles[0].mend.iter().find(|mend| mend.command.contains("--discard-my-data")).unwrap();
    assert!(costs.risk.contains("lost"));
}

#[test]
fn a_resynchronisation_is_no_rest_but_needs_no_command() {
    let text = "version: 8.4.11 (api:1)\n 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n    oos:409600\n\t[>....] sync'ed: 8.7% (400/512)M\n\tfinish: 0:01:04 speed: 10,024 (9,876) K/sec\n";
    let standing = standing([Ok(node(GOOD, MOUNTS)), Ok(node(text, MOUNTS))]);
    assert_eq!(names(&standing), ["resync"]);
    assert!(standing.losses[0].obstacles.iter().any(|why| why.contains("Inconsistent")), "{:?}", standing.losses);
}

#[test]
fn a_node_that_is_gone_leaves_a_picture_of_the_other() {
    let mut left = node(GOOD, MOUNTS);
    let mut seen = view();
    seen.nodes[1].online = false;
    seen.nodes[1].unclean = true;
    left.cluster = Ok(seen);
    let standing = standing([Ok(left), Err(Lost::Unreachable("no answer".into()))]);
    assert!(names(&standing).starts_with(&["node-unreachable"]));
    let unclean = standing.troubles.iter().find(|trouble| trouble.name == "node-unclean").unwrap();
    let confirm = unclean.mend.iter().find(|mend| mend.command == "stonith_admin --confirm node2").unwrap();
    assert!(confirm.risk.contains("destroyed"));
    assert!(standing.losses[1].lost_already);
    assert_eq!(standing.vms[0].bound.as_deref(), Some("node2 is UNCLEAN (offline)"));
}

#[test]
fn the_side_with_a_quorum_tells() {
    let mut alone = node(GOOD, MOUNTS);
    alone.cluster = Ok(ClusterView { quorum: false, ..view() });
    let standing = standing([Ok(alone), Ok(node(GOOD, MOUNTS))]);
    assert!(standing.view.unwrap().quorum);
}

#[test]
fn what_an_administrator_left_behind_is_named() {
    let vm = answers().vms[0].name.clone();
    let standing = with_view(|view| {
        view.maintenance = true;
        view.nodes[1].standby = true;
        view.bans = vec![BanView {
            id: "cli-ban-x-on-node2".into(),
            resource: vm.clone(),
            node: "node2".into(),
            weight: -1_000_000,
        }];
    });
    let names = names(&standing);
    assert!(["maintenance", "node-standby", "ban-left"].iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn a_constraint_of_drbds_handler_is_named_only_when_both_sides_are_good() {
    let forbidden = |view: &mut ClusterView| {
        view.bans = vec![BanView {
            id: "drbd-fence-by-handler-r0-drbd-r0-clone".into(),
            resource: "drbd-r0-clone".into(),
            node: "node2".into(),
            weight: -1_000_000,
        }];
    };
    let left = with_view(forbidden);
    assert_eq!(names(&left), ["drbd-fence-left"]);
    assert!(left.troubles[0].mend[0].command.contains("rsc_location[@id='drbd-fence-by-handler-r0-drbd-r0-clone']"));
    // While one of them is gone it is as it has to be.
    let mut view = view();
    forbidden(&mut view);
    let mut alone = node(GOOD, MOUNTS);
    alone.cluster = Ok(view);
    let standing = standing([Ok(alone), Err(Lost::Unreachable("off".into()))]);
    assert!(!names(&standing).contains(&"drbd-fence-left"), "{:?}", standing.troubles);
}

#[test]
fn fencing_that_failed_is_named_until_one_works() {
    let event = |status: &str| FencingView {
        target: "node2".into(),
        action: "reboot".into(),
        status: status.into(),
        ..FencingView::default()
    };
    assert_eq!(names(&with_view(|view| view.fencings = vec![event("failed"), event("success")])), ["fencing-failed"]);
    assert_eq!(names(&with_view(|view| view.fencings = vec![event("success"), event("failed")])), [""; 0]);
    assert_eq!(names(&with_view(|view| view.fencing_enabled = false)), ["fencing-off"]);
}

#[test]
fn too_little_memory_for_both_sets_of_vms_is_an_obstacle() {
    let mut small = node(GOOD, MOUNTS);
    small.memory = Some(memory::Memory { total_mib: 512, free_mib: 1 });
    let standing = standing([Ok(node(GOOD, MOUNTS)), Ok(small)]);
    assert!(standing.losses[0].obstacles.iter().any(|why| why.contains("memory")), "{:?}", standing.losses);
}

#[test]
fn a_vm_whose_need_of_memory_nobody_knows_is_told() {
    let mut answers = answers();
    answers.vms[0].source = crate::answers::VmSource::Config { path: "/srv/vm.cfg".to_owned() };
    let standing = Standing::of(&answers, [Ok(node(GOOD, MOUNTS)), Ok(node(GOOD, MOUNTS))]);
    let told = format!("how much memory {} needs is not known", answers.vms[0].name);
    assert!(standing.losses[0].obstacles.iter().any(|why| why.starts_with(&told)), "{:?}", standing.losses);
    assert!(!standing.losses[1].obstacles.iter().any(|why| why.contains("not known")), "{:?}", standing.losses);
}

#[test]
fn fencing_that_is_not_proved_for_what_it_is_now_is_a_trouble() {
    let with = |change: &dyn Fn(&mut NodeStatus)| {
        let node = || {
            let mut node = node(GOOD, MOUNTS);
            change(&mut node);
            Ok(node)
        };
        standing([node(), node()])
    };
    let sound = with(&|_| {});
    assert!(
        sound.fencing.proved[1]
            .words()
            .starts_with("proved: node2 by node1 on 2026-11-20T00:00:00Z, method ipmi, 24 s")
    );
    let changed = with(&|node| node.fencing_configuration = Some("another".to_owned()));
    assert_eq!(names(&changed), ["fencing-not-proved", "fencing-not-proved"]);
    let words = changed.fencing.proved[0].words();
    assert!(words.contains("was changed since the last proof (node1 by node2 on 2026-11-20"), "{words}");
    let never = with(&|node| node.fencing.proofs.clear());
    assert!(never.troubles[0].what.contains("never tried"));
    let skipped = with(&|node| {
        node.fencing.proofs.clear();
        let configuration = node.fencing_configuration.clone().unwrap();
        node.fencing.skipped = Some(crate::fencing::Skipped { date: "2026-11-21".to_owned(), configuration });
    });
    assert!(skipped.troubles[1].what.contains("left out on request on 2026-11-21"));
    assert_eq!(skipped.troubles[1].mend[0].command, "rm /var/lib/hapair/fencing.skipped");
    // One that is gone has told its peer.
    let alone = standing([Ok(node(GOOD, MOUNTS)), Err(Lost::Unreachable("gone".to_owned()))]);
    assert!(alone.fencing.proved.iter().all(|one| one.state == proof::State::Proved));
}

#[test]
fn vms_that_do_not_fit_on_the_other_node_are_a_trouble() {
    let small = |free: u64| {
        let mut node = node(GOOD, MOUNTS);
        node.memory = Some(memory::Memory { total_mib: 2048, free_mib: free });
        Ok(node)
    };
    let needed = standing([small(0), small(0)]).vms[0].memory_mib.unwrap();
    // Only what its peer runs counts: the VM is on the first node.
    assert_eq!(names(&standing([small(0), small(needed)])), [""; 0]);
    let short = standing([small(0), small(needed - 1)]);
    assert_eq!(names(&short), ["memory-short"]);
    let trouble = &short.troubles[0];
    assert!(trouble.node.as_deref() == Some("node2") && trouble.what.contains("if node1 is lost"), "{trouble:?}");
    let mut answers = answers();
    answers.hypervisor.kind = crate::answers::HypervisorKind::StandIn;
    assert!(Standing::of(&answers, [small(0), small(0)]).troubles.is_empty());
}

#[test]
fn a_unit_that_failed_is_named_and_nothing_restarts_it() {
    let list = "corosync.service loaded failed failed Corosync Cluster Engine\nhapair-o2net.service loaded failed failed No answer\n";
    let outputs = [GOOD, MOUNTS, "", "", "xen\n", "0 0 0\n", MEMORY, &proved(CIB), CIB, list, ""].map(output);
    let mut sick = NodeStatus::of(&answers(), &outputs).unwrap();
    sick.cluster = Ok(view());
    let standing = standing([Ok(sick), Ok(node(GOOD, MOUNTS))]);
    assert_eq!(names(&standing), ["unit-failed", "unit-failed"]);
    let commands: Vec<&str> =
        standing.troubles.iter().flat_map(|trouble| &trouble.mend).map(|mend| mend.command.as_str()).collect();
    assert_eq!(commands.len(), 2);
    assert!(commands.iter().all(|command| command.starts_with("systemctl status ")), "{commands:?}");
    assert!(standing.troubles.iter().all(|trouble| trouble.node.as_deref() == Some("node1")));
}

#[test]
fn a_device_of_a_vm_is_judged_as_the_main_one_is() {
    let mut answers = answers();
    answers.storage.layout = crate::answers::Layout::DrbdPerVm;
    let two = format!("{GOOD} 1: cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate C r-----\n    oos:0\n");
    let sick = two.replace("1: cs:Connected", "1: cs:StandAlone");
    let look = |text: &str| {
        let outputs = [text, "", "", "", "xen\n", "0 0 0\n", MEMORY, &proved(CIB), CIB, "", ""].map(output);
        let mut node = NodeStatus::of(&answers, &outputs).unwrap();
        node.cluster = Ok(view());
        Ok(node)
    };
    assert_eq!(names(&Standing::of(&answers, [look(&two), look(&two)])), [""; 0]);
    let standing = Standing::of(&answers, [look(&sick), look(&two)]);
    assert_eq!(names(&standing), ["standalone"]);
    assert!(standing.troubles[0].mend.iter().any(|mend| mend.command == "drbdadm connect minor-1"));
}

#[test]
fn a_device_s_last_monitor_is_the_one_where_it_runs() {
    let operation = |node: &str, interval_ms, result: &str| crate::cluster::OperationView {
        resource: "fence-node1".into(),
        node: node.into(),
        task: "monitor".into(),
        result: result.into(),
        interval_ms,
        changed: "Sun Nov 22 17:52:30 2026".into(),
    };
    let standing = with_view(|view| {
        view.operations = vec![operation("node2", 60_000, "ok"), operation("node1", 0, "not running")];
    });
    let device = standing.fencing.devices.iter().find(|device| device.id == "fence-node1").unwrap();
    assert_eq!(device.monitor.as_deref(), Some("ok since Sun Nov 22 17:52:30 2026, every 60 s"));
}

#[test]
fn a_node_whose_host_key_is_not_the_known_one_hides_nothing_of_the_other() {
    let why = Lost::HostKey("it was changed".into());
    let standing = standing([Ok(node(GOOD, MOUNTS)), Err(why)]);
    assert!(!standing.unreachable());
    assert_eq!(names(&standing), ["host-key"]);
    assert_eq!(standing.vms[0].node.as_deref(), Some("node1"));
}

#[test]
fn levels_that_end_in_a_person_say_what_to_type() {
    let mut answers = answers();
    let method = answers.fencing.method.clone();
    answers.fencing.method =
        crate::answers::FencingMethod::Levels { methods: vec![method, crate::answers::FencingMethod::Manual] };
    let standing = Standing::of(&answers, [Ok(node(GOOD, MOUNTS)), Ok(node(GOOD, MOUNTS))]);
    assert!(standing.fencing.last_level.unwrap().contains("stonith_admin --confirm NODE"));
}
