//! The played pair: what its nodes answer, and what becomes of it when it is harmed.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hapair::answers::Answers;
use hapair::answers::load::{Secrets, text};
use hapair::cancel::Cancel;
use hapair::drill::hand::{Hand, Nobody, Plug};
use hapair::drill::part::Means;
use hapair::drill::run::Drill;
use hapair::drill::watch::Watch;
use hapair::event::Event;
use hapair::node::scripted::{Scripted, fails, says};
use hapair::node::{Cmd, Effect, Lost, Node, Output, Pair};
use hapair::setup::{Places, Setup};

const RUNS: [&str; 2] = ["aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"];

/// Generation identifiers of two sides that have both written on their own.
const APART: [&str; 2] = [
    "AAAAAAAAAAAAAAA0:1111111111111110:0000000000000000:0000000000000000",
    "BBBBBBBBBBBBBBB0:1111111111111110:0000000000000000:0000000000000000",
];

/// What the played pair is like.
#[derive(Default)]
pub struct Model {
    began: Option<Instant>,
    pub counter: bool,
    pub standby: Option<usize>,
    pub banned: Option<usize>,
    pub host: usize,
    /// Where the VM may not run, and where it runs.
    pub vm_banned: Option<usize>,
    pub vm_host: usize,
    /// The cluster moves the VM while it runs.
    pub live: bool,
    /// What brought the VM up on each node, and when, as the cluster remembers it.
    vm_history: [Option<(&'static str, u32)>; 2],
    /// Starts and moves of the VM so far.
    pub vm_starts: u32,
    /// When the VM was killed.
    vm_dead: Option<f64>,
    /// Acknowledged: number, run, seconds.
    acks: Vec<(u64, usize, f64)>,
    /// The cluster remembers a fencing that failed.
    pub unfenced: bool,
    /// A fencing device is down until the cluster forgets its failure.
    pub device_down: bool,
    /// DRBD's handler has left its constraint.
    pub forbidden: bool,
    /// Numbers that the disk has lost.
    pub swallowed: Vec<u64>,
    /// How often each node has booted, and until when it does not answer.
    boots: [u32; 2],
    pub gone: [f64; 2],
    /// Everything between the nodes is cut.
    cut: bool,
    /// Both sides write meanwhile; until when they differ.
    pub writes_apart: bool,
    apart: f64,
    /// What was written to the nodes, each in a word or two.
    pub written: Vec<String>,
}

impl Model {
    fn time(&self) -> f64 {
        self.began.map_or(0.0, |began| began.elapsed().as_secs_f64())
    }

    fn vm_up(&mut self, node: usize, task: &'static str) {
        self.vm_starts += 1;
        self.vm_host = node;
        self.vm_history[node] = Some((task, self.vm_starts));
    }

    /// The service goes where it may, and has counted on meanwhile.
    fn go_on(&mut self) {
        if let Some(away) = self.standby.or(self.banned)
            && away == self.host
        {
            self.host = 1 - away;
        }
        if self.vm_banned == Some(self.vm_host) {
            let task = if self.live { "migrate_from" } else { "start" };
            self.vm_up(1 - self.vm_host, task);
        }
        let time = self.time();
        // The cluster sees it after a while, and starts it again.
        if self.vm_dead.is_some_and(|at| time - at > 4.0) {
            self.vm_dead = None;
            self.vm_up(self.vm_host, "start");
        }
        if self.counter {
            let due = (time * 10.0).floor();
            let last = self.acks.last().map_or(due - 1.0, |(_, _, at)| (at * 10.0).round());
            let mut tick = last + 1.0;
            while tick <= due {
                let number = self.acks.len() as u64;
                self.acks.push((number, self.host, tick / 10.0));
                tick += 1.0;
            }
        }
    }

    /// Nothing goes between the nodes any more, and the other one is the faster.
    fn cut(&mut self, slower: usize) {
        self.cut = true;
        self.end(slower);
    }

    fn whole(&mut self) {
        if std::mem::take(&mut self.cut) && self.writes_apart {
            self.apart = self.time() + 5.0;
        }
    }

    /// A node ends, is fenced, boots anew; what ran there runs on the other one.
    fn end(&mut self, node: usize) {
        self.boots[node] += 1;
        self.gone[node] = self.time() + 6.0;
        self.host = 1 - node;
        if self.vm_host == node {
            self.vm_up(1 - node, "start");
        }
    }

    fn crm_mon(&self) -> String {
        let node = |node: usize| {
            let gone = self.gone[node] > self.time();
            let standby = self.standby == Some(node);
            format!("<node name=\"node{}\" online=\"{}\" unclean=\"{gone}\" standby=\"{standby}\"/>", node + 1, !gone)
        };
        let resource = |id: &str, agent: &str, node: usize| {
            format!(
                "<resource id=\"{id}\" resource_agent=\"{agent}\" role=\"Started\" managed=\"true\" failed=\"false\" \
                 blocked=\"false\"><node name=\"node{}\"/></resource>",
                node + 1
            )
        };
        let history: String = (0..2)
            .filter_map(|node| {
                let (task, when) = self.vm_history[node]?;
                Some(format!(
                    "<node name=\"node{}\"><resource_history id=\"vm01\"><operation_history task=\"{task}\" rc=\"0\" \
                     rc_text=\"ok\" last-rc-change=\"{when}\"/></resource_history></node>",
                    node + 1
                ))
            })
            .collect();
        let fencings = if self.unfenced {
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
        let failures = if self.device_down {
            "<failures><failure node=\"node1\" op_key=\"fence-node2_start_0\" exitstatus=\"error\" task=\"start\"/></failures>"
        } else {
            ""
        };
        let counter =
            if self.counter { resource("hapair-drill", "ocf:hapair:StandIn", self.host) } else { String::new() };
        let device = if self.device_down {
            "<resource id=\"fence-node2\" resource_agent=\"stonith:fence_ipmilan\" role=\"Stopped\" managed=\"true\" \
             failed=\"false\" blocked=\"false\"/>"
                .to_owned()
        } else {
            resource("fence-node2", "stonith:fence_ipmilan", 0)
        };
        format!(
            "<pacemaker-result><summary><current_dc present=\"true\" name=\"node1\" with_quorum=\"true\"/>\
             <cluster_options stonith-enabled=\"true\" maintenance-mode=\"false\"/></summary><nodes>{}{}</nodes>\
             <resources>{counter}{}{}{device}</resources><node_history>{history}</node_history>{failures}{fencings}{bans}\
             </pacemaker-result>",
            node(0),
            node(1),
            resource("vm01", "ocf:heartbeat:Xen", self.vm_host),
            resource("fence-node1", "stonith:fence_ipmilan", 1),
        )
    }

    fn drbd(&self, node: usize) -> String {
        let version = "version: 8.4.11 (api:1/proto:86-101)\n";
        if self.cut || self.apart > self.time() {
            let gi = if self.writes_apart { APART[node] } else { APART[0] };
            return format!(
                "{version} 0: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n    oos:0\n=== gi\n{gi}:1:1:0:0:0:0:0\n"
            );
        }
        format!("{version} 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n    oos:0\n")
    }

    fn answer(&mut self, node: usize, cmd: &Cmd) -> Result<Output, Lost> {
        self.go_on();
        if self.gone[node] > self.time() {
            return Err(Lost::Unreachable("it is off".to_owned()));
        }
        let words: Vec<&str> = cmd.argv.iter().map(String::as_str).collect();
        let script = words.get(2).copied().unwrap_or_default();
        if cmd.effect == Effect::Write {
            self.written.push(format!("node{}: {}", node + 1, short(cmd)));
        }
        Ok(match words.as_slice() {
            ["crm_mon", ..] => says(self.crm_mon()),
            ["uname", ..] => says(format!("node{} 6.1.0-56-amd64 x86_64\n", node + 1)),
            ["cat", "/proc/mounts"] => says("/dev/drbd0 /drbd0 ocfs2 rw,noatime 0 0\n"),
            ["cat", "/proc/loadavg"] => says("0.1 0.1 0.1 1/99 1\n"),
            ["cat", path] if path.ends_with("boot_id") => says(format!("boot-{}-of-{node}\n", self.boots[node])),
            ["crm_standby", "-v", ..] => {
                self.standby = Some(node);
                says("")
            }
            ["crm_resource", "--ban", "--resource", id, "--node", from, "--lifetime", _] => {
                let ban = if *id == "vm01" { &mut self.vm_banned } else { &mut self.banned };
                *ban = Some(usize::from(*from == "node2"));
                says("")
            }
            ["crm_resource", "--cleanup"] => {
                self.device_down = false;
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
            ["sh", ..] if script.contains("sysrq-trigger") => {
                self.end(node);
                says("")
            }
            ["sh", ..] if script.contains("# link.sh") => {
                self.cut(node);
                says("")
            }
            ["sh", ..] if script.contains("unlink.sh") => {
                self.whole();
                says("")
            }
            ["sh", ..] if script.contains("xl destroy") => {
                self.vm_dead = Some(self.time());
                says("")
            }
            ["sh", ..] if script.contains("//primitive[@id") => fails(1, ""),
            ["sh", ..] if script.contains("remove.sh") => {
                self.counter = false;
                says("")
            }
            ["sh", ..] if script.contains("mend.sh") => {
                if self.standby == Some(node) {
                    self.standby = None;
                    return Ok(says(format!("node{} is out of standby again\n", node + 1)));
                }
                says("")
            }
            ["sh", ..] if script.contains("cli-ban-") => {
                (self.banned, self.vm_banned) = (None, None);
                says("")
            }
            ["sh", ..] if script.contains("exec awk") => says(self.on_disk()),
            ["sh", ..] if script.contains("/proc/drbd") => says(self.drbd(node)),
            ["sh", ..] if cmd.effect == Effect::Read => says("none\n"),
            _ => says(""),
        })
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
        ("unlink.sh NODE", "unlink"),
        ("# link.sh", "cut"),
        ("mend.sh", "mend"),
        ("stonith_admin --cleanup", "forget"),
        ("cibadmin -D --xpath", "lift"),
        ("cli-ban-", "unban"),
        ("systemctl stop \"$1.timer\"", "timer"),
        ("remove.sh", "remove the counter"),
        ("chmod 755", "agent"),
        ("crm_standby -v on", "standby"),
        ("crm_resource --ban", "ban"),
        ("crm_resource --clear", "clear"),
        ("cibadmin -M", "start the counter"),
        ("xl destroy", "kill the VM"),
        ("= StandIn", "kill the counter"),
        ("pidof \"$1\"", "kill a daemon"),
    ] {
        if text.contains(part) {
            return name.to_owned();
        }
    }
    "other".to_owned()
}

/// A pair that is played, and a drill on it.
pub struct Stage {
    pub model: Arc<Mutex<Model>>,
    pub setup: Setup,
    pub pair: Pair,
    pub events: Mutex<Vec<Event>>,
    pub cancel: Cancel,
    pub means: Means,
    /// What a hand at the machines did; `None`: there is none.
    pub pulled: Option<Pulled>,
    _folder: tempfile::TempDir,
}

/// What was pulled (`false`) and put in again, in order.
pub type Pulled = Arc<Mutex<Vec<(Plug, bool)>>>;

/// A hand at the played machines: pulls the cables of the first one.
struct Mine {
    pulled: Pulled,
    model: Arc<Mutex<Model>>,
}

impl Hand for Mine {
    fn pulls(&self) -> bool {
        true
    }

    fn set(&mut self, plug: Plug, up: bool) -> anyhow::Result<()> {
        self.pulled.lock().unwrap().push((plug, up));
        let mut model = self.model.lock().unwrap();
        match (plug, up) {
            (Plug::Links, false) => model.cut(0),
            (Plug::Links, true) => model.whole(),
            (Plug::Bmcs, _) => {}
        }
        Ok(())
    }
}

impl Stage {
    /// The tutorial's pair, healthy.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same with other answers.
    pub fn with(change: impl FnOnce(&mut Answers)) -> Self {
        let file = include_str!("../examples/tutorial.yaml");
        let here = Path::new("pair.yaml");
        let mut answers = text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers;
        "debian-12".clone_into(&mut answers.platform);
        change(&mut answers);
        let folder = tempfile::tempdir().unwrap();
        let places = Places { state_dir: Some(folder.path().into()), ..Places::default() };
        let setup = Setup::of(answers, places).unwrap();
        std::fs::create_dir_all(&setup.state).unwrap();
        let mut model = Model { began: Some(Instant::now()), ..Model::default() };
        model.vm_up(1, "start");
        let model = Arc::new(Mutex::new(model));
        let node = |number: usize| {
            let model = Arc::clone(&model);
            let answer = move |cmd: &Cmd| -> Result<Output, Lost> {
                let output = model.lock().unwrap().answer(number, cmd);
                // What the disk held is told a while after it was read, and the counter goes on meanwhile.
                if cmd.argv.get(2).is_some_and(|script| script.contains("exec awk")) {
                    std::thread::sleep(Duration::from_millis(1200));
                }
                output
            };
            Node { name: format!("node{}", number + 1), transport: Arc::new(Scripted::new(answer)) }
        };
        let pair = Pair([node(0), node(1)]);
        let means = Means {
            fencing: Ok(()),
            fencing_apart: Err("over the links".to_owned()),
            bmcs: Vec::new(),
            second_link: true,
            live: false,
            shared_mount: true,
        };
        Self {
            model,
            setup,
            pair,
            events: Mutex::default(),
            cancel: Cancel::default(),
            means,
            pulled: None,
            _folder: folder,
        }
    }

    pub fn drill<T>(&self, work: impl FnOnce(&mut Drill<'_>) -> T) -> T {
        let (platform, _) = self.setup.offline().unwrap();
        let watch = Watch::new(&self.setup.answers, &self.pair);
        let emit = |event: &Event| {
            self.events.lock().unwrap().push(event.clone());
            Ok(())
        };
        let nobody = RefCell::new(Nobody);
        let mine = self.pulled.clone().map(|pulled| RefCell::new(Mine { pulled, model: Arc::clone(&self.model) }));
        let hand: &RefCell<dyn Hand> = match &mine {
            Some(mine) => mine,
            None => &nobody,
        };
        let mut drill = Drill {
            setup: &self.setup,
            platform: &platform,
            pair: &self.pair,
            means: self.means.clone(),
            cancel: &self.cancel,
            watch: &watch,
            emit: &emit,
            hand,
        };
        watch.during(|| work(&mut drill))
    }

    /// What was written to the nodes, without what has no name here.
    pub fn written(&self) -> Vec<String> {
        let written = self.model.lock().unwrap().written.clone();
        written.into_iter().filter(|line| !line.ends_with("other")).collect()
    }
}
