//! The whole CIB of the answers files, put together and read by Pacemaker's own `crm_verify`.
#![allow(missing_docs, clippy::unwrap_used)]

mod parsers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hapair::action::cib::Cib;
use hapair::action::kind::Action;
use hapair::action::{Act as _, Memory, Seen, State};
use hapair::answers::load::Secrets as Values;
use hapair::fencing::object;
use hapair::node::{At, Output};
use hapair::secrets::Secrets;
use hapair::setup::{Places, Setup};
use parsers::Tree;

/// Every object that the plan loads, by section.
fn sections(setup: &Setup) -> BTreeMap<String, String> {
    let (platform, found) = setup.offline().unwrap();
    let plan = setup.plan(&platform, &found, &Secrets::placeholders()).unwrap();
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for action in plan.steps.iter().flat_map(|step| &step.actions) {
        let Some(Action::Cib(cib)) = action.any() else { continue };
        let content = cib.content.clone().unwrap();
        if cib.section == "configuration" {
            let document = roxmltree::Document::parse(&content).unwrap();
            for section in document.root_element().children().filter(roxmltree::Node::is_element) {
                let inner: String = section.children().map(|child| &content[child.range()]).collect();
                sections.entry(section.tag_name().name().to_owned()).or_default().push_str(&inner);
            }
        } else {
            sections.entry(cib.section.clone()).or_default().push_str(&content);
        }
    }
    sections
}

fn whole(setup: &Setup) -> String {
    let sections = sections(setup);
    let part = |name: &str| match sections.get(name) {
        Some(inner) => format!("<{name}>{inner}</{name}>\n"),
        None => String::new(),
    };
    let names = [&setup.answers.nodes[0].name, &setup.answers.nodes[1].name];
    let node = |index: usize| format!("<node id=\"{}\" uname=\"{}\"/>", index + 1, names[index]);
    let state = |index: usize| {
        format!(
            "<node_state id=\"{}\" uname=\"{}\" in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\"/>",
            index + 1,
            names[index]
        )
    };
    format!(
        "<cib validate-with=\"pacemaker-3.9\" epoch=\"1\" num_updates=\"0\" admin_epoch=\"0\" have-quorum=\"1\" dc-uuid=\"1\">\n\
         <configuration>\n<crm_config>{}</crm_config>\n<nodes>{}{}</nodes>\n<resources>{}</resources>\n<constraints>{}</constraints>\n\
         {}{}{}</configuration>\n<status>{}{}</status>\n</cib>\n",
        sections.get("crm_config").map_or("", String::as_str),
        node(0),
        node(1),
        sections.get("resources").map_or("", String::as_str),
        sections.get("constraints").map_or("", String::as_str),
        part("fencing-topology"),
        part("rsc_defaults"),
        part("op_defaults"),
        state(0),
        state(1)
    )
}

/// One for each fencing method.
const METHODS: [&str; 5] =
    ["examples/tutorial", "examples/everything", "answers/good/sbd", "answers/good/agent", "answers/good/levels"];

#[test]
fn pacemaker_reads_the_whole_cib() {
    let tree = Tree::get();
    for example in METHODS {
        let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{example}.yaml"));
        let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cib.xml"), whole(&setup)).unwrap();
        let (code, said) = parsers::command("xmllint", &["--noout", folder.path().join("cib.xml").to_str().unwrap()]);
        assert_eq!(code, 0, "{example}: {said}");
        let (code, said) = tree.run(folder.path(), "any", &[], "crm_verify -VV --xml-file /files/cib.xml");
        assert_eq!(code, 0, "{example}: {said}\n{}", whole(&setup));
    }
}

#[test]
fn the_fencing_that_is_looked_for_is_the_one_that_is_loaded() {
    let mut methods = Vec::new();
    for example in METHODS {
        let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{example}.yaml"));
        let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
        methods.push(setup.answers.fencing.method.name());
        let nodes = setup.answers.nodes.each_ref().map(|node| node.name.as_str());
        let mut wanted = object::ids(&setup.answers.fencing.method, nodes);
        let cib = whole(&setup);
        let cib = &cib[cib.find("<configuration>").unwrap()..cib.find("<status>").unwrap()];
        let mut loaded: Vec<String> = object::objects(cib).unwrap().into_iter().map(|object| object.id).collect();
        wanted.sort();
        loaded.sort();
        assert_eq!(wanted, loaded, "{example}");
        assert!(!wanted.is_empty(), "{example}");
    }
    assert_eq!(methods, ["ipmi", "ssh", "sbd", "agent", "levels"]);
}

/// An answers file's fencing, as the plan loads it.
fn fencing(example: &str) -> Cib {
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{example}.yaml"));
    let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
    let (platform, found) = setup.offline().unwrap();
    let plan = setup.plan(&platform, &found, &Secrets::placeholders()).unwrap();
    let stonith = plan.steps.iter().find(|step| step.step.id == "stonith").unwrap();
    let mut all = stonith.actions.iter().filter_map(|action| match action.any() {
        Some(Action::Cib(cib)) => Some(cib.clone()),
        _ => None,
    });
    all.next().unwrap()
}

/// From a BMC to an agent and back, by the orders themselves and the cluster's own cibadmin, on a CIB in a file.
#[test]
fn a_device_that_became_another_one_keeps_nothing_of_the_one_before() {
    let tree = Tree::get();
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/tutorial.yaml");
    let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cib.xml"), whole(&setup)).unwrap();
    let on = |line: &str| tree.run(folder.path(), "any", &[], &format!("export CIB_file=/files/cib.xml; {line}"));
    let look = || {
        let (code, said) = on("cibadmin -Q -o configuration");
        assert_eq!(code, 0, "{said}");
        Output { code, stdout: said.into_bytes(), ..Output::default() }
    };
    let agents = |xml: &str| (xml.matches("external/ipmi").count(), xml.matches("fence_virsh").count());
    for (example, wanted) in [("answers/good/agent", (0, 2)), ("examples/tutorial", (2, 0))] {
        let cib = fencing(example);
        let orders = {
            let seen = [look()];
            let memory = Memory::default();
            let seen = Seen { outputs: [&seen, &seen], memory: &memory };
            assert!(matches!(cib.judge(At::First, &seen), State::Drift(_)), "{example}");
            cib.orders(At::First, &seen).unwrap()
        };
        assert_eq!(orders.len(), 3, "two devices, and all of it: {example}");
        for order in orders {
            fs::write(folder.path().join("in.xml"), &order.cmd.stdin).unwrap();
            let line = order.cmd.argv.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
            let (code, said) = on(&format!("{line} < /files/in.xml"));
            assert_eq!(code, 0, "{line}: {said}");
            // Never without a device for each of the two, and never with fencing off.
            let between = look().text();
            assert_eq!(between.matches("class=\"stonith\"").count(), 2, "{between}");
            assert!(between.contains("name=\"stonith-enabled\" value=\"true\""), "{between}");
        }
        let after = [look()];
        assert_eq!(agents(&after[0].text()), wanted, "{example}");
        let kept = |name: &str| after[0].text().contains(&format!("name=\"{name}\""));
        assert_eq!((kept("passwd"), kept("identity_file")), (wanted.0 > 0, wanted.1 > 0), "{example}");
        let memory = Memory::default();
        let seen = Seen { outputs: [&after, &after], memory: &memory };
        assert_eq!(cib.judge(At::First, &seen), State::Satisfied, "{example}");
        let (code, said) = on("crm_verify -V --xml-file /files/cib.xml");
        assert_eq!(code, 0, "{said}");
    }
}

#[test]
fn a_survivor_outlives_the_fencing_of_its_peer() {
    for example in ["tutorial", "everything"] {
        let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/examples/{example}.yaml"));
        let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
        let number = |text: &str, before: &str| -> u64 {
            let rest = &text[text.rfind(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len()..];
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
        };
        let fencing = number(&sections(&setup)["crm_config"], "name=\"stonith-timeout\" value=\"");
        let (platform, found) = setup.offline().unwrap();
        let plan = setup.plan(&platform, &found, &Secrets::placeholders()).unwrap();
        for at in At::BOTH {
            let files = plan.files(at);
            let o2cb = files.iter().find(|file| file.path == "/etc/default/o2cb").unwrap();
            // o2hb writes through DRBD, which stands still while the peer is fenced (o2cb(7): 2 seconds each, less one).
            let patience = (number(&String::from_utf8_lossy(&o2cb.content), "\nO2CB_HEARTBEAT_THRESHOLD=") - 1) * 2;
            // The handler takes a silent peer for dead after its own time, and then this side would write again.
            let drbd = files.iter().find(|file| file.path == "/etc/drbd.d/fencing.res").unwrap();
            let handler = number(&String::from_utf8_lossy(&drbd.content), " --timeout ");
            assert!(handler > patience, "{example}: the handler gives up after {handler} s, o2cb after {patience} s");
            // o2net calls a silent node cut off after this time. Unless its heartbeat, which nobody can look at while fencing
            // lasts, has been found dead by then, this one is reset when the other's heartbeat comes back.
            let idle = number(&String::from_utf8_lossy(&o2cb.content), "\nO2CB_IDLE_TIMEOUT_MS=") / 1000;
            assert!(
                idle >= fencing + patience,
                "{example}: o2net waits {idle} s, fencing may take {fencing} s and o2cb {patience} s more"
            );
            assert!(patience >= fencing + 30, "{example}: o2cb waits {patience} s, fencing may take {fencing} s");
        }
    }
}

#[test]
fn a_node_that_comes_back_stops_nothing_on_the_other_one() {
    let tree = Tree::get();
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/tutorial.yaml");
    let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
    let status = include_str!("cib/returning.xml");
    let cib = whole(&setup);
    let (before, _) = cib.split_once("<status>").unwrap();
    let cib = format!("{before}{}</cib>\n", &status[status.find("<status>").unwrap()..]);
    let stickiness = "name=\"resource-stickiness\" value=\"100\"";
    assert_eq!(cib.matches(stickiness).count(), 3);
    let summary = |cib: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cib.xml"), cib).unwrap();
        let (code, said) = tree.run(folder.path(), "any", &[], "crm_simulate -S -x /files/cib.xml");
        assert_eq!(code, 0, "{said}");
        let part = said.split("Transition Summary:").nth(1).unwrap_or_else(|| panic!("{said}"));
        part.split("Executing").next().unwrap().to_owned()
    };
    let now = summary(&cib);
    assert!(
        now.lines().any(|line| line.contains("Start") && line.contains("fs-r0:1") && line.contains("node1")),
        "{now}"
    );
    for word in ["Move", "Stop", "Restart", "Demote"] {
        assert!(!now.contains(word), "{now}");
    }
    // As sticky as the VMs: the file system would be moved away from under them.
    let sticky = summary(&cib.replace(stickiness, "name=\"resource-stickiness\" value=\"INFINITY\""));
    assert!(sticky.lines().any(|line| line.contains("Move") && line.contains("fs-r0:0")), "{sticky}");
}
