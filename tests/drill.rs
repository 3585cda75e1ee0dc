//! A drill on a pair that is played: what is ordered in which order, what is judged, what is taken back.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hapair::answers::load::{Secrets, text};
use hapair::cancel::Cancel;
use hapair::drill::run::{Drill, Stop};
use hapair::drill::unfinished::Unfinished;
use hapair::drill::watch::Watch;
use hapair::drill::{Part, Verdict, part::Means};
use hapair::event::Event;
use hapair::node::scripted::{Scripted, fails, says};
use hapair::node::{Cmd, Effect, Lost, Node, Output, Pair};
use hapair::setup::{Places, Setup};

const RUNS: [&str; 2] = ["aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"];

/// What the played pair is like.
struct Model {
    began: Instant,
    counter: bool,
    standby: Option<usize>,
    banned: Option<usize>,
    host: usize,
    /// Where the VM may not run, and where it runs.
    vm_banned: Option<usize>,
    vm_host: usize,
    /// Acknowledged: number, run, seconds.
    acks: Vec<(u64, usize, f64)>,
    /// The cluster remembers a fencing that failed.
    unfenced: bool,
    /// DRBD's handler has left its constraint.
    forbidden: bool,
    /// Numbers that the disk has lost.
    swallowed: Vec<u64>,
    written: Vec<String>,
}

impl Model {
    fn time(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The service goes where it may, and has counted on meanwhile.
    fn go_on(&mut self) {
        if let Some(away) = self.standby.or(self.banned)
            && away == self.host
        {
            self.host = 1 - away;
        }
        if self.vm_banned == Some(self.vm_host) {
            self.vm_host = 1 - self.vm_host;
        }
        if self.counter {
            let due = (self.time() * 10.0).floor();
            let last = self.acks.last().map_or(due - 1.0, |(_, _, at)| (at * 10.0).round());
            let mut tick = last + 1.0;
            while tick <= due {
                let number = self.acks.len() as u64;
                self.acks.push((number, self.host, tick / 10.0));
                tick += 1.0;
            }
        }
    }

    fn crm_mon(&self) -> String {
        let standby = |node: usize| self.standby == Some(node);
        let resource = |id: &str, agent: &str, node: usize| {
            format!(
                "<resource id=\"{id}\" resource_agent=\"{agent}\" role=\"Started\" managed=\"true\" failed=\"false\" \
                 blocked=\"false\"><node name=\"node{}\"/></resource>",
                node + 1
            )
        };
        let history = if self.unfenced {
            "<fence_history><fence_event target=\"node2\" action=\"reboot\" status=\"failed\"/></fence_history>"
        } else {
            ""
        };
        let bans = if self.forbidden {
            "<bans><ban id=\"drbd-fence-by-handler-r0-drbd-r0-clone\" resource=\"drbd-r0-clone\" node=\"node2\" \
             weight=\"-1000000\"/></bans>"
        } else {
            ""
        };
        let counter =
            if self.counter { resource("hapair-drill", "ocf:hapair:StandIn", self.host) } else { String::new() };
        format!(
            "<pacemaker-result><summary><current_dc present=\"true\" name=\"node1\" with_quorum=\"true\"/>\
             <cluster_options stonith-enabled=\"true\" maintenance-mode=\"false\"/></summary><nodes>\
             <node name=\"node1\" online=\"true\" standby=\"{}\"/><node name=\"node2\" online=\"true\" standby=\"{}\"/></nodes>\
             <resources>{counter}{}{}{}</resources>{history}{bans}</pacemaker-result>",
            standby(0),
            standby(1),
            resource("vm01", "ocf:heartbeat:Xen", self.vm_host),
            resource("fence-node1", "stonith:fence_ipmilan", 1),
            resource("fence-node2", "stonith:fence_ipmilan", 0),
        )
    }

    fn answer(&mut self, node: usize, cmd: &Cmd) -> Output {
        self.go_on();
        let words: Vec<&str> = cmd.argv.iter().map(String::as_str).collect();
        let script = words.get(2).copied().unwrap_or_default();
        if cmd.effect == Effect::Write {
            self.written.push(format!("node{}: {}", node + 1, short(cmd)));
        }
        match words.as_slice() {
            ["crm_mon", ..] => says(self.crm_mon()),
            ["cat", "/proc/mounts"] => says("/dev/drbd0 /drbd0 ocfs2 rw,noatime 0 0\n"),
            ["cat", "/proc/loadavg"] => says("0.1 0.1 0.1 1/99 1\n"),
            ["cat", path] if path.ends_with("boot_id") => says(format!("boot-of-{node}\n")),
            ["crm_standby", "-v", ..] => {
                self.standby = Some(node);
                says("")
            }
            ["crm_resource", "--ban", "--resource", id, "--node", from, "--lifetime", _] => {
                let ban = if *id == "vm01" { &mut self.vm_banned } else { &mut self.banned };
                *ban = Some(usize::from(*from == "node2"));
                says("")
            }
            ["stonith_admin", "--cleanup", "--history", "node2"] => {
                self.unfenced = false;
                says("")
            }
            ["sh", ..] if script.contains("cibadmin -D --xpath \"//rsc_location[@id='drbd-fence-by-handler-") => {
                self.forbidden = false;
                says("")
            }
            ["crm_resource", "--clear", "--resource", id] => {
                *(if *id == "vm01" { &mut self.vm_banned } else { &mut self.banned }) = None;
                says("")
            }
            ["cibadmin", "-M", ..] => {
                self.counter = true;
                says("")
            }
            ["perl", ..] => {
                let mine = self.acks.iter().filter(|(_, run, _)| *run == node && self.counter);
                says(
                    mine.map(|(number, run, at)| format!("ack {number} boot_id {} at {at}\n", RUNS[*run]))
                        .collect::<String>(),
                )
            }
            ["sh", ..] if script.contains("//primitive[@id") => fails(1, ""),
            ["sh", ..] if script.contains("remove.sh") => {
                self.counter = false;
                says("")
            }
            ["sh", ..] if script.contains("mend.sh") => {
                if self.standby == Some(node) {
                    self.standby = None;
                    return says(format!("node{} is out of standby again\n", node + 1));
                }
                says("")
            }
            ["sh", ..] if script.contains("cli-ban-") => {
                (self.banned, self.vm_banned) = (None, None);
                says("")
            }
            ["sh", ..] if script.contains("awk") => says(self.on_disk()),
            ["sh", ..] if script.contains("/proc/drbd") => says(
                "version: 8.4.11 (api:1/proto:86-101)\n 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n    oos:0\n",
            ),
            ["sh", ..] if cmd.effect == Effect::Read => says("none\n"),
            _ => says(""),
        }
    }

    fn on_disk(&self) -> String {
        let kept = self.acks.iter().filter(|(number, _, _)| !self.swallowed.contains(number));
        let lines: String = kept.map(|(number, run, _)| format!("{number} {number} {}\n", RUNS[*run])).collect();
        lines + "torn 0\n"
    }
}

/// What a write is, in a word or two.
fn short(cmd: &Cmd) -> String {
    let text = cmd.argv.join(" ");
    for (part, name) in [
        ("unlink.sh", "unlink"),
        ("mend.sh", "mend"),
        ("stonith_admin --cleanup", "forget"),
        ("cibadmin -D --xpath", "lift"),
        ("cli-ban-", "unban"),
        ("systemd-run", "timer"),
        ("remove.sh", "remove the counter"),
        ("chmod 755", "agent"),
        ("crm_standby -v on", "standby"),
        ("crm_resource --ban", "ban"),
        ("crm_resource --clear", "clear"),
        ("cibadmin -M", "start the counter"),
    ] {
        if text.contains(part) {
            return name.to_owned();
        }
    }
    "other".to_owned()
}

struct Stage {
    model: Arc<Mutex<Model>>,
    setup: Setup,
    pair: Pair,
    events: Mutex<Vec<Event>>,
    cancel: Cancel,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let file = include_str!("examples/tutorial.yaml");
        let here = Path::new("pair.yaml");
        let answers = text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers;
        let folder = tempfile::tempdir().unwrap();
        let places = Places { state_dir: Some(folder.path().into()), ..Places::default() };
        let setup = Setup::of(answers, places).unwrap();
        std::fs::create_dir_all(&setup.state).unwrap();
        let model = Arc::new(Mutex::new(Model {
            began: Instant::now(),
            counter: false,
            standby: None,
            banned: None,
            vm_banned: None,
            vm_host: 1,
            host: 0,
            acks: Vec::new(),
            unfenced: false,
            forbidden: false,
            swallowed: Vec::new(),
            written: Vec::new(),
        }));
        let node = |number: usize| {
            let model = Arc::clone(&model);
            let answer = move |cmd: &Cmd| -> Result<Output, Lost> {
                let output = model.lock().unwrap().answer(number, cmd);
                // What the disk held is told a while after it was read, and the counter goes on meanwhile.
                if cmd.argv.get(2).is_some_and(|script| script.contains("awk")) {
                    std::thread::sleep(std::time::Duration::from_millis(1200));
                }
                Ok(output)
            };
            Node { name: format!("node{}", number + 1), transport: Arc::new(Scripted::new(answer)) }
        };
        let pair = Pair([node(0), node(1)]);
        Self { model, setup, pair, events: Mutex::default(), cancel: Cancel::default(), _folder: folder }
    }

    fn drill<T>(&self, work: impl FnOnce(&Drill<'_>) -> T) -> T {
        let (platform, _) = self.setup.offline().unwrap();
        let watch = Watch::new(&self.setup.answers, &self.pair);
        let emit = |event: &Event| {
            self.events.lock().unwrap().push(event.clone());
            Ok(())
        };
        let meanwhile = RefCell::new(|| Ok(()));
        let means = Means {
            fencing: Ok(()),
            fencing_apart: Err("over the links".to_owned()),
            bmcs: Vec::new(),
            second_link: true,
            live: false,
            shared_mount: true,
        };
        let drill = Drill {
            setup: &self.setup,
            platform: &platform,
            pair: &self.pair,
            means: &means,
            cancel: &self.cancel,
            watch: &watch,
            emit: &emit,
            meanwhile: &meanwhile,
        };
        watch.during(|| work(&drill))
    }

    /// What was written to the nodes, without what has no name here.
    fn written(&self) -> Vec<String> {
        let written = self.model.lock().unwrap().written.clone();
        written.into_iter().filter(|line| !line.ends_with("other")).collect()
    }
}

#[test]
fn a_standby_is_measured_and_taken_back_and_what_can_not_be_done_is_skipped() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    let done = stage.drill(|drill| drill.all(&[Part::Standby, Part::BothLinks], &mut kept));
    assert!(done.is_ok(), "{done:?}");
    let standby = &kept.outcomes[0];
    assert_eq!(standby.verdict, Verdict::Passed, "{standby:?}");
    assert_eq!(standby.served_by, ["node1", "node2"]);
    assert_eq!((standby.lost, standby.booted.len()), (0, 0));
    assert!(standby.acknowledged > 20, "{standby:?}");
    assert!(standby.redundant_after.is_some_and(|seconds| seconds < 30.0));
    assert!(standby.story.iter().any(|moment| moment.lane == "node1" && moment.state == "standby"));
    assert_eq!(kept.outcomes[1].verdict, Verdict::Skipped("over the links".to_owned()));
    // The switch of a dead man before the harm, and everything mended behind it.
    let written = stage.written();
    let from = written.iter().position(|line| line == "node1: start the counter").unwrap();
    let back = ["node1: unlink", "node2: unlink", "node1: mend", "node2: mend", "node1: unban"];
    let expected = [["node1: timer", "node1: standby"].as_slice(), &back].concat();
    assert_eq!(written[from + 1..], expected, "{written:?}");
    assert_eq!(Unfinished::of(&stage.setup.state).unwrap().unwrap().running, None);
}

#[test]
fn a_move_goes_there_and_back() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    stage.drill(|drill| drill.all(&[Part::Migrate], &mut kept)).unwrap();
    assert_eq!(kept.outcomes[0].verdict, Verdict::Passed, "{:?}", kept.outcomes[0]);
    assert_eq!(kept.outcomes[0].served_by, ["node1", "node2", "node1"]);
    // The VM was on the other node than the counter: it goes the other way, and comes back too.
    let vm = kept.outcomes[0].story.iter().filter(|moment| moment.lane == "vm01");
    assert_eq!(vm.map(|moment| moment.state.as_str()).collect::<Vec<_>>(), ["node2", "node1", "node2"]);
}

#[test]
fn a_write_that_was_acknowledged_and_is_gone_ends_the_drill() {
    let stage = Stage::new();
    stage.model.lock().unwrap().swallowed = vec![7, 8];
    let mut kept = Unfinished::new();
    let ended = stage.drill(|drill| drill.all(&[Part::Standby, Part::DiskError], &mut kept));
    let Err(Stop::Failed(failure)) = ended else { panic!("{ended:?}") };
    assert!(failure.what.contains("lost"), "{failure}");
    assert_eq!(kept.outcomes.len(), 1, "nothing more is harmed");
    assert_eq!(kept.outcomes[0].lost, 2);
    assert!(matches!(&kept.outcomes[0].verdict, Verdict::Failed(why) if why[0].contains("2 writes")));
}

#[test]
fn what_a_killed_drill_left_is_taken_back_before_anything_else() {
    let stage = Stage::new();
    stage.model.lock().unwrap().standby = Some(1);
    let mut kept = Unfinished { running: Some(Part::Standby), ..Unfinished::new() };
    // The pair has no counter then; it is mended without one.
    let restored = stage.drill(|drill| drill.restore(&mut kept));
    assert!(restored.is_ok(), "{restored:?}");
    assert_eq!(kept.running, None);
    assert_eq!(stage.model.lock().unwrap().standby, None);
    assert_eq!(stage.written(), ["node1: unlink", "node2: unlink", "node1: mend", "node2: mend", "node1: unban"]);
    let events = stage.events.lock().unwrap();
    let said = |what: &str| events.iter().any(|event| matches!(event, Event::Note { text } if text.contains(what)));
    assert!(said("taken back first") && said("out of standby again"), "{events:?}");
}

#[test]
fn what_the_cluster_only_remembers_is_forgotten() {
    let stage = Stage::new();
    {
        let mut model = stage.model.lock().unwrap();
        (model.unfenced, model.forbidden) = (true, true);
    }
    let mut kept = Unfinished { running: Some(Part::FencingDead), ..Unfinished::new() };
    let restored = stage.drill(|drill| drill.restore(&mut kept));
    assert!(restored.is_ok(), "{restored:?}");
    let written = stage.written();
    // The constraint first: while it is there the pair is not well, and nothing is only a memory.
    assert_eq!(written[5..], ["node1: lift", "node1: forget"], "{written:?}");
}

#[test]
fn ctrl_c_takes_everything_back() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    let cancel = stage.cancel.clone();
    let model = Arc::clone(&stage.model);
    let ended = stage.drill(|drill| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while model.lock().unwrap().standby.is_none() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                cancel.request();
            });
            let ended = drill.all(&[Part::Standby], &mut kept);
            drill.leave().unwrap();
            ended
        })
    });
    assert!(matches!(ended, Err(Stop::Interrupted)), "{ended:?}");
    assert_eq!(kept.running, Some(Part::Standby), "until it is known to be taken back");
    let model = stage.model.lock().unwrap();
    assert!(model.standby.is_none() && !model.counter);
    assert!(kept.outcomes.is_empty());
}
