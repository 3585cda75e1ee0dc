use super::super::ledger::Pause;
use super::super::outcome::Done;
use super::super::part::Part;
use super::*;
use crate::answers::load::{Secrets, text};
use crate::setup::Places;

fn setup() -> Setup {
    let file = include_str!("../../../tests/examples/tutorial.yaml");
    let here = Path::new("pair.yaml");
    let answers = text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers;
    Setup::of(answers, Places { state_dir: Some("/nowhere".into()), ..Places::default() }).unwrap()
}

fn head() -> Head {
    Head {
        began: jiff::Timestamp::UNIX_EPOCH,
        nodes: vec!["node1: Debian 12 <b>bold</b>".to_owned()],
        fencing: "ipmi".to_owned(),
        ground: None,
    }
}

fn moment(at: f64, lane: &str, state: &str, good: bool) -> Moment {
    Moment { at, lane: lane.to_owned(), state: state.to_owned(), good }
}

fn power() -> Outcome {
    Outcome {
        began: jiff::Timestamp::UNIX_EPOCH,
        commands: vec![Done { node: "node1".to_owned(), command: "echo b >/proc/sysrq-trigger".to_owned() }],
        seconds: 100.0,
        seconds_without_service: 31.25,
        pauses: vec![Pause { from: 1.0, to: 32.25 }],
        acknowledged: 712,
        torn: 1,
        served_by: vec!["node1".to_owned(), "node2".to_owned()],
        booted: vec!["node1".to_owned()],
        fenced: vec!["reboot of node1 by node2: success, 2026-11-23 00:00:00Z".to_owned()],
        drbd: vec!["DRBD on node1: Primary, UpToDate, Connected".to_owned()],
        ocfs2: vec!["/drbd0 on node1: ocfs2, mounted".to_owned()],
        redundant_after: Some(90.0),
        story: vec![
            moment(-2.0, "node1", "online", true),
            moment(12.0, "node1", "UNCLEAN (offline)", false),
            moment(80.0, "node1", "online", true),
            moment(-2.0, "vm01 \"<&>\"", "node1", true),
        ],
        ..Outcome::skipped(Part::Power, "")
    }
    .judged(Vec::new())
}

#[test]
fn the_page_is_as_it_was_looked_at() {
    let failed = Outcome { lost: 2, ..power() }.judged(vec!["</script><script>alert(1)</script>".to_owned()]);
    let skipped = Outcome {
        began: jiff::Timestamp::UNIX_EPOCH,
        ..Outcome::skipped(Part::BothLinks, "fencing by SSH goes over the links")
    };
    let failed = Outcome { part: Part::Panic, ..failed };
    let page = render(&setup(), &head(), &[power(), failed, skipped]).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drill/report.html");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == page, "look at it with UPDATE_GOLDEN=1 cargo test");
}

#[test]
fn it_needs_nothing_from_the_network_and_nothing_of_a_value_is_markup() {
    let page = render(&setup(), &head(), &[power()]).unwrap();
    for word in ["http:", "https:", "src=", "<script", "@import", "<link", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("vm01 &quot;&lt;&amp;&gt;&quot;") && page.contains("&lt;b&gt;bold"), "{page}");
    assert!(!page.contains("<b>"));
}

#[test]
fn the_picture_has_the_pause_where_it_was() {
    let picture = picture(&power());
    let service = &picture["lanes"][0]["pieces"];
    assert_eq!(service[0]["class"], "good");
    assert_eq!(service[1]["class"], "bad");
    // From 1 s to 32.25 s of a picture that goes from -2 s to 100 s and is 1000 wide.
    let (x, width) = (service[1]["x"].as_f64().unwrap(), service[1]["width"].as_f64().unwrap());
    assert!((x - 29.4).abs() < 0.1 && (width - 306.4).abs() < 0.2, "{x} {width}");
    let node = &picture["lanes"][1]["pieces"];
    assert_eq!(node[1]["state"], "UNCLEAN (offline)");
    let ends: f64 = node.as_array().unwrap().iter().map(|piece| piece["width"].as_f64().unwrap()).sum();
    assert!((ends - 1000.0).abs() < 0.5, "{ends}");
}
