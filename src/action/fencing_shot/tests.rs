use super::*;
use crate::action::Memory;
use crate::action::fencing_proof::FencingProof;
use crate::fencing;
use crate::node::Output;

pub(in crate::action) const RUNNING: &str = include_str!("../../../tests/crm_mon/running.xml");
const CIB: &str = r#"<configuration><crm_config/><resources><primitive id="fence-null" class="stonith" type="null"><instance_attributes id="p"><nvpair id="c" name="hostlist" value="node1"/></instance_attributes></primitive></resources><constraints/></configuration>"#;
const DRBD: &str = "version: 8.4.11\n 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n";
const MOUNTS: &str = "/dev/drbd0 /drbd0 ocfs2 rw,noatime 0 0\n";

/// What the nodes say, with what they have noted.
#[derive(Clone)]
pub(in crate::action) struct Nodes {
    pub(in crate::action) boots: [&'static str; 2],
    pub(in crate::action) uptime: u64,
    pub(in crate::action) kept: [String; 2],
    pub(in crate::action) history: String,
    pub(in crate::action) drbd: [String; 2],
    pub(in crate::action) mounts: [String; 2],
    pub(in crate::action) crm_mon: String,
    pub(in crate::action) cib: String,
    pub(in crate::action) sbd: [String; 2],
}

impl Nodes {
    pub(in crate::action) fn new() -> Self {
        Self {
            boots: ["a1", "b1"],
            uptime: 500,
            kept: [String::new(), String::new()],
            history: "<pacemaker-result/>".to_owned(),
            drbd: [DRBD.to_owned(), DRBD.to_owned()],
            mounts: [MOUNTS.to_owned(), MOUNTS.to_owned()],
            // The sample's VM has another name.
            crm_mon: RUNNING.replace("ocf:pacemaker:Dummy", "ocf:heartbeat:Xen"),
            cib: CIB.to_owned(),
            sbd: ["end\n".to_owned(), "end\n".to_owned()],
        }
    }

    fn outputs(&self, at: At) -> Vec<Output> {
        let index = at.index();
        let (boot, kept) = (self.boots[index], &self.kept[index]);
        let look = format!("boot {boot}\nuptime {}\nnow 2026-11-23T00:00:00Z\ninstall i1\n{kept}", self.uptime);
        [
            look,
            self.crm_mon.clone(),
            self.drbd[index].clone(),
            self.mounts[index].clone(),
            self.cib.clone(),
            self.history.clone(),
            self.sbd[index].clone(),
        ]
        .map(|text| Output { stdout: text.into_bytes(), ..Output::default() })
        .to_vec()
    }

    pub(in crate::action) fn with<T>(&self, f: impl FnOnce(&Seen<'_>) -> T) -> T {
        let (first, second) = (self.outputs(At::First), self.outputs(At::Second));
        f(&Seen { outputs: [&first, &second], memory: &Memory::default() })
    }

    pub(in crate::action) fn shot(&self) -> State {
        self.with(|seen| shot().judge(At::First, seen))
    }

    pub(in crate::action) fn proof(&self) -> State {
        self.with(|seen| proof("").judge(At::First, seen))
    }

    /// Does what a record's orders say, as the nodes would.
    pub(in crate::action) fn keep(&mut self, orders: &[Order]) {
        for order in orders.iter().filter(|order| order.cmd.argv.len() == 7) {
            let [name, text, instead] = &order.cmd.argv[4..] else { panic!() };
            let kept = &mut self.kept[order.at.index()];
            let gone = |line: &&str| {
                !line.starts_with(name.as_str()) && (instead.is_empty() || !line.starts_with(instead.as_str()))
            };
            let rest: Vec<String> = kept.lines().filter(gone).map(str::to_owned).collect();
            let lines = text.lines().map(|line| format!("{name} {line}"));
            *kept = rest.into_iter().chain(lines).map(|line| line + "\n").collect();
        }
    }
}

pub(in crate::action) fn shot() -> FencingShot {
    FencingShot {
        nodes: vec!["node1".to_owned(), "node2".to_owned()],
        victim: "node2".to_owned(),
        method: "ipmi".to_owned(),
        mount: "/drbd0".to_owned(),
        skip: String::new(),
    }
}

pub(in crate::action) fn proof(skip: &str) -> FencingProof {
    let FencingShot { nodes, victim, method, mount, .. } = shot();
    FencingProof { nodes, victim, method, mount, skip: skip.to_owned() }
}

/// The pair after the order, before anything came of it.
fn ordered() -> Nodes {
    let mut nodes = Nodes::new();
    let orders = nodes.with(|seen| shot().orders(At::First, seen)).unwrap();
    assert_eq!(orders.iter().map(|order| order.at).collect::<Vec<_>>(), [At::First, At::Second, At::First]);
    assert!(orders[2].cmd.argv[2].contains("stonith_admin --reboot \"$1\"") && orders[2].cmd.argv[4] == "node2");
    nodes.keep(&orders);
    nodes
}

/// What the script that gives the order notes first.
pub(in crate::action) fn at_the_order(nodes: &mut Nodes) {
    nodes.kept[0].push_str("fencing-node2.trying ordered=yes\n");
}

pub(in crate::action) fn fenced(nodes: &mut Nodes) {
    nodes.boots[1] = "b2";
    nodes.history = "<r><fence_event status=\"success\" action=\"reboot\" target=\"node2\" completed=\"2026-11-23 00:01:00Z\"/></r>".to_owned();
}

#[test]
fn from_the_first_look_to_the_record_on_both() {
    let State::Drift(change) = Nodes::new().shot() else { panic!("{:?}", Nodes::new().shot()) };
    assert_eq!(change.risk, Risk::Reboots);
    assert!(matches!(Nodes::new().proof(), State::Unknown(_)));
    let mut nodes = ordered();
    assert!(matches!(nodes.shot(), State::Drift(_)), "nothing happened yet");
    fenced(&mut nodes);
    nodes.drbd = [
        "version: 8.4.11\n 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n".to_owned(),
        String::new(),
    ];
    nodes.mounts[1] = String::new();
    let State::Drift(change) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
    for part in [
        "DRBD on node1 is WFConnection",
        "DRBD on node2 is - and was Primary/Primary",
        "/drbd0 is not mounted on node2 again",
    ] {
        assert!(change.summary.contains(part), "{part}: {}", change.summary);
    }
    // A run that was killed here has nothing to order: it was done.
    assert_eq!(nodes.with(|seen| shot().orders(At::First, seen)).unwrap().len(), 0);
    (nodes.drbd, nodes.mounts) = (Nodes::new().drbd, Nodes::new().mounts);
    assert_eq!(nodes.shot(), State::Satisfied);
    nodes.kept[0].push_str("fencing-node2.trying seconds=24\n");
    let State::Drift(change) = nodes.proof() else { panic!("{:?}", nodes.proof()) };
    assert!(
        change.summary.contains("node2 by node1")
            && change.summary.contains("24 s")
            && change.summary.contains("boot id b1 became b2"),
        "{}",
        change.summary
    );
    let orders = nodes.with(|seen| proof("").orders(At::First, seen)).unwrap();
    nodes.keep(&orders[..1]);
    assert!(matches!(nodes.proof(), State::Drift(_)), "only one has noted it");
    nodes.keep(&orders);
    assert_eq!((nodes.shot(), nodes.proof()), (State::Satisfied, State::Satisfied));
    assert!(!nodes.kept[0].contains("trying") && !nodes.kept[1].contains("trying"));
    // Later boots change nothing, another fencing configuration does.
    nodes.boots = ["a9", "b9"];
    assert_eq!(nodes.shot(), State::Satisfied);
    nodes.cib = CIB.replace("value=\"node1\"", "value=\"node7\"");
    assert!(matches!(nodes.shot(), State::Drift(_)));
}

#[test]
fn the_wrong_machine_is_named() {
    let mut nodes = ordered();
    nodes.boots[0] = "a2";
    // The run was ended before the order: that boot was somebody else's.
    assert!(matches!(nodes.shot(), State::Drift(_)), "{:?}", nodes.shot());
    at_the_order(&mut nodes);
    let State::Refused(refusal) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
    assert_eq!(refusal.kind, RefusalKind::Failed);
    assert!(refusal.what.starts_with("the fencing device of node2 switches node1 off"), "{}", refusal.what);
    nodes.boots[1] = "b2";
    let State::Refused(refusal) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
    assert!(refusal.what.contains("both were rebooted"), "{}", refusal.what);
    // Nobody can do without what was disproved.
    let skipping = FencingShot { skip: "true".to_owned(), ..shot() };
    assert!(matches!(nodes.with(|seen| skipping.judge(At::First, seen)), State::Refused(_)));
    assert!(matches!(nodes.with(|seen| proof("true").judge(At::First, seen)), State::Unknown(_)));
    // Told before the cluster is back.
    nodes.cib = String::new();
    nodes.crm_mon = String::new();
    assert!(matches!(nodes.shot(), State::Refused(_)), "{:?}", nodes.shot());
}

#[test]
fn a_victim_that_runs_on_although_the_cluster_says_that_it_was_switched_off_is_told_of() {
    let mut nodes = ordered();
    at_the_order(&mut nodes);
    fenced(&mut nodes);
    nodes.boots[1] = "b1";
    nodes.kept[0].push_str("fencing-node2.trying seconds=20\n");
    // It may still be going down.
    nodes.uptime = 500 + 20 + 119;
    assert!(!matches!(nodes.shot(), State::Refused(_)), "{:?}", nodes.shot());
    nodes.uptime += 1;
    let told = |nodes: &Nodes| {
        let State::Refused(refusal) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
        assert_eq!(refusal.kind, RefusalKind::Failed);
        assert!(
            refusal.what.starts_with("the fencing device of node2 switches some other machine, or none")
                && refusal.what.contains("120 s later node2 answers")
                && refusal.next.contains("its own BMC"),
            "{refusal:?}"
        );
    };
    told(&nodes);
    assert!(matches!(nodes.proof(), State::Unknown(_)));
    // Nobody can do without what was disproved.
    let skipping = FencingShot { skip: "true".to_owned(), ..shot() };
    assert!(matches!(nodes.with(|seen| skipping.judge(At::First, seen)), State::Refused(_)));
    // A run that was killed before the order came back has no word of how long it took.
    let mut killed = nodes.clone();
    killed.kept[0] = killed.kept[0].replace("fencing-node2.trying seconds=20\n", "");
    assert!(!matches!(killed.shot(), State::Refused(_)));
    // Another fencing configuration is another matter, and so is an order that the device refused.
    let mut other = nodes.clone();
    other.cib = CIB.replace("value=\"node1\"", "value=\"node7\"");
    assert!(matches!(other.shot(), State::Drift(_)), "{:?}", other.shot());
    let mut refused = nodes.clone();
    refused.kept[0].push_str("fencing-node2.trying ordered=no\n");
    assert!(!matches!(refused.shot(), State::Refused(_)));
    // Pacemaker leaves a node that hears of its own death.
    nodes.crm_mon = String::new();
    told(&nodes);
    let error = nodes.with(|seen| shot().orders(At::First, seen)).unwrap_err().to_string();
    assert!(error.contains("switches some other machine"), "{error}");
}

/// The real script on this machine, with a stonith_admin that works or fails.
#[test]
fn the_order_is_noted_before_it_is_given_and_taken_back_when_it_fails() {
    use crate::node::{Transport as _, local::Local};
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let file = folder.path().join("fencing-node2.trying");
    let shoot = |code: u8| {
        std::fs::write(&file, "own-boot=a1\n").unwrap();
        // Its own look at the file is what the node would find if it went down now.
        let admin = format!("stonith_admin() {{ cat '{here}/fencing-node2.trying'; return {code}; }}\n");
        let script = admin + &SHOOT.replace("/var/lib/hapair", here);
        let output = Local::new().exec(&Cmd::write_sh(&script, ["node2", "fencing-node2.trying"])).unwrap();
        (output.code, output.text(), std::fs::read_to_string(&file).unwrap())
    };
    let (code, during, after) = shoot(0);
    assert_eq!((code, during.as_str()), (0, "own-boot=a1\nordered=yes\n"));
    assert!(after.starts_with("own-boot=a1\nordered=yes\nseconds="), "{after}");
    let (code, _, after) = shoot(3);
    assert_eq!((code, after.as_str()), (3, "own-boot=a1\nordered=yes\nordered=no\n"));
}

#[test]
fn a_reboot_that_the_cluster_did_not_order_proves_nothing() {
    let mut nodes = ordered();
    nodes.boots[1] = "b2";
    assert!(matches!(nodes.shot(), State::Drift(_)));
    assert!(matches!(nodes.proof(), State::Unknown(_)));
    // Nor does one that it had ordered before.
    let mut nodes = Nodes::new();
    fenced(&mut nodes);
    nodes.boots[1] = "b1";
    let orders = nodes.with(|seen| shot().orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    nodes.boots[1] = "b2";
    assert!(matches!(nodes.shot(), State::Drift(_)));
}

#[test]
fn nobody_is_shot_while_the_pair_is_not_whole_or_a_vm_would_die() {
    let mut nodes = Nodes::new();
    nodes.drbd[0] = DRBD.replace("UpToDate/UpToDate", "UpToDate/Inconsistent");
    let State::Unknown(why) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
    assert!(why.contains("DRBD on node1 is Connected UpToDate/Inconsistent"), "{why}");
    assert!(nodes.with(|seen| shot().orders(At::First, seen)).is_err());
    // The VM of the sample runs on node1.
    let other = FencingShot { victim: "node1".to_owned(), ..shot() };
    let State::Refused(refusal) = Nodes::new().with(|seen| other.judge(At::First, seen)) else { panic!("not refused") };
    assert_eq!(refusal.kind, RefusalKind::Preflight);
    assert!(
        refusal.what.contains("b runs on node1") && refusal.next.contains("--ban --resource b --node node1"),
        "{refusal:?}"
    );
    // Sent to the other one for that proof, it does not stand in the way of it: the second one's turn comes behind.
    let mut moved = Nodes::new();
    moved.crm_mon = moved.crm_mon.replace("node1", "nodeX").replace("node2", "node1").replace("nodeX", "node2");
    let State::Unknown(why) = moved.shot() else { panic!("{:?}", moved.shot()) };
    assert!(why.contains("behind the proof of node1") && why.contains("(b)"), "{why}");
    let configuration = moved.with(|seen| shot().looked(seen)).unwrap().configuration;
    for kept in &mut moved.kept {
        for line in ["victim=node1", "by=node2", "method=ipmi", "date=2026-11-23", "old-boot=a0", "new-boot=a1"] {
            kept.push_str(&format!("fencing-node1.proved {line}\n"));
        }
        kept.push_str(&format!("fencing-node1.proved configuration={configuration}\n"));
    }
    let State::Refused(refusal) = moved.shot() else { panic!("{:?}", moved.shot()) };
    assert!(refusal.next.contains("--clear --resource b; crm_resource --ban --resource b --node node2"), "{refusal:?}");
}

#[test]
fn what_is_skipped_is_noted_on_both_and_holds_for_one_configuration() {
    let mut nodes = Nodes::new();
    let skipping = FencingShot { skip: "true".to_owned(), ..shot() };
    assert_eq!(nodes.with(|seen| skipping.judge(At::First, seen)), State::Satisfied);
    assert!(matches!(nodes.with(|seen| proof("true").judge(At::First, seen)), State::Drift(_)));
    let orders = nodes.with(|seen| proof("true").orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    assert_eq!((nodes.shot(), nodes.proof()), (State::Satisfied, State::Satisfied));
    assert!(fencing::parse(&nodes.outputs(At::Second)[0]).skipped.is_some());
    nodes.cib = CIB.replace("value=\"node1\"", "value=\"node7\"");
    assert!(matches!(nodes.shot(), State::Drift(_)));
}

#[test]
fn a_proof_by_sbd_holds_for_its_settings_and_its_disk_too() {
    use crate::fencing::sbd::tests::SOUND;
    let mut nodes = Nodes::new();
    nodes.cib = CIB.replace("type=\"null\"", "type=\"external/sbd\"");
    nodes.sbd = [SOUND.to_owned(), SOUND.to_owned()];
    let orders = nodes.with(|seen| shot().orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    at_the_order(&mut nodes);
    fenced(&mut nodes);
    assert_eq!(nodes.shot(), State::Satisfied);
    let orders = nodes.with(|seen| proof("").orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    assert_eq!((nodes.shot(), nodes.proof()), (State::Satisfied, State::Satisfied));
    // A disk that can't be read: nobody is switched off for that, and nothing is proved by it.
    nodes.sbd[1] = SOUND.replace("slot 0", "lost\nslot 0");
    let State::Unknown(why) = nodes.shot() else { panic!("{:?}", nodes.shot()) };
    assert!(why.contains("can't be told: node2: /dev/sdz can't be read"), "{why}");
    assert!(matches!(nodes.proof(), State::Unknown(_)));
    assert!(nodes.with(|seen| shot().orders(At::First, seen)).is_err());
    nodes.sbd[1] = String::new();
    assert!(matches!(nodes.shot(), State::Unknown(_)));
    // Another msgwait on the disk, as both see it.
    nodes.sbd = [(); 2].map(|()| SOUND.replace("(msgwait)  : 10", "(msgwait)  : 30"));
    assert!(matches!(nodes.shot(), State::Drift(_)), "{:?}", nodes.shot());
    // A record of before, which knows nothing of SBD, does not stand for it.
    nodes.sbd = [(); 2].map(|()| SOUND.to_owned());
    let before = |kept: &String| {
        kept.lines().map(|line| line.split('+').next().unwrap_or_default().to_owned() + "\n").collect::<String>()
    };
    nodes.kept = nodes.kept.each_ref().map(before);
    assert!(matches!(nodes.shot(), State::Drift(_)), "{:?}", nodes.shot());
}
