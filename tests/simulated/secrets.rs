//! Canaries in every secret field: none of them is ever shown, kept or handed over as an argument.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hapair::action::{Memory, State};
use hapair::cancel::Cancel;
use hapair::cli::PlanFormat;
use hapair::command::plan::{Options, text};
use hapair::engine::{Engine, look};
use hapair::event::{Event, Sink};
use hapair::journal::Journal;
use hapair::node::{Cmd, Effect, Lost, Output, Transport};
use hapair::report::{json::Json, plain::Plain};
use hapair::secrets::Secrets;

use crate::folder;
use crate::model::{self, Model};

const PASSWORDS: [&str; 2] = ["canary-password-of-node1-0001", "canary-password-of-node2-0005"];
const DRBD: &str = "canary-drbd-shared-secret-0002";
const HEARTBEAT: &str = "canary-heartbeat-key-0003";
const COROSYNC: &str = "canary-corosync-authkey-0004";

/// Every spelling in which a secret could be found.
fn canaries() -> Vec<String> {
    let mut all: Vec<String> = [DRBD, HEARTBEAT, COROSYNC].map(str::to_owned).to_vec();
    all.extend(PASSWORDS.map(str::to_owned));
    let long = STANDARD.encode(COROSYNC.repeat(10));
    all.push(long[..40].to_owned());
    let short = [PASSWORDS[0], PASSWORDS[1], DRBD, HEARTBEAT];
    // The last group of base64 depends on what follows.
    all.extend(short.map(|secret| STANDARD.encode(&secret[..secret.len() / 3 * 3])));
    all
}

fn clean(what: &str, text: &str) {
    for canary in canaries() {
        if let Some(at) = text.find(&canary) {
            let around: String = text[at.saturating_sub(200)..].chars().take(200).collect();
            panic!("{what} shows {canary}: {around}");
        }
    }
}

/// Each method of fencing that has a secret, in every field that takes one.
const FENCING: [(&str, &str); 3] = [
    (
        "ipmi",
        "  method: ipmi
  node1: { address: 10.9.0.1, user: admin, password: 'file:DIR/1' }
  node2: { address: 10.9.0.2, user: admin, password: 'file:DIR/2' }
",
    ),
    (
        "agent",
        "  method: agent
  agent: fence_apc_snmp
  node1: { ip: 10.9.0.9, plug: 1, community: 'file:DIR/1' }
  node2: { ip: 10.9.0.9, plug: 2, community: 'file:DIR/2' }
",
    ),
    (
        "levels",
        "  method: levels
  levels:
    - method: ipmi
      node1: { address: 10.9.0.1, user: admin, password: 'file:DIR/1' }
      node2: { address: 10.9.0.2, user: admin, password: 'file:DIR/2' }
    - method: agent
      agent: fence_apc_snmp
      node1: { ip: 10.9.0.9, plug: 1, community: 'file:DIR/1' }
      node2: { ip: 10.9.0.9, plug: 2, community: 'file:DIR/2' }
",
    ),
];

fn answers(folder: &Path, fencing: &str) -> PathBuf {
    let path = model::answers(folder, "not used");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("fencing:\n").unwrap();
    let (_, after) = rest.split_once("vms:\n").unwrap();
    for (number, password) in PASSWORDS.iter().enumerate() {
        std::fs::write(folder.join(format!("{}", number + 1)), password).unwrap();
    }
    let fencing = fencing.replace("DIR", &folder.display().to_string());
    std::fs::write(&path, format!("{before}fencing:\n{fencing}vms:\n{after}")).unwrap();
    path
}

fn secrets() -> Secrets {
    Secrets {
        drbd_shared_secret: DRBD.to_owned(),
        corosync_authkey_base64: STANDARD.encode(COROSYNC.repeat(10)),
        heartbeat_key: HEARTBEAT.to_owned(),
    }
}

/// What a reporter writes.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The journal, the reporters, and all that any other could show.
struct Watched {
    journal: Journal,
    reporters: [Box<dyn Sink>; 2],
    said: Arc<Mutex<String>>,
}

impl Sink for Watched {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut said = self.said.lock().unwrap();
        said.push_str(&format!("{event:?}\n{}\n", serde_json::to_string(event)?));
        if let Event::Failed(failure) = event {
            said.push_str(&failure.to_string());
        }
        self.journal.event(event)?;
        self.reporters.iter_mut().try_for_each(|reporter| reporter.event(event))
    }
}

/// A node on which every order that is given a secret fails once, and says all that it was given.
struct Talkative {
    node: Arc<dyn Transport>,
    failed: Mutex<HashSet<Vec<String>>>,
}

impl Transport for Talkative {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        if cmd.secret && cmd.effect == Effect::Write && self.failed.lock().unwrap().insert(cmd.argv.clone()) {
            return Ok(Output { code: 1, stdout: cmd.stdin.clone(), stderr: cmd.stdin.clone() });
        }
        self.node.exec(cmd)
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        self.node.exec_all(reads)
    }
}

#[test]
fn an_order_that_fails_and_repeats_its_secret_is_not_quoted() {
    let state = folder();
    let setup = model::setup(&answers(state.path(), FENCING[0].1), state.path());
    let plan = Arc::new(model::plan(&setup, &secrets()));
    let model = Model::new(&plan);
    let mut pair = model.pair();
    for node in &mut pair.0 {
        node.transport = Arc::new(Talkative { node: Arc::clone(&node.transport), failed: Mutex::default() });
    }
    let said = Arc::new(Mutex::new(String::new()));
    let mut failures = 0;
    loop {
        let (journal, _) = Journal::open(state.path(), "xencluster").unwrap();
        let screens = [Screen::default(), Screen::default()];
        let reporters: [Box<dyn Sink>; 2] = [
            Box::new(Plain::new(Box::new(screens[0].clone()), || "10:00:00".to_owned())),
            Box::new(Json::new(Box::new(screens[1].clone()), jiff::Timestamp::now)),
        ];
        let sink = Mutex::new(Watched { journal, reporters, said: Arc::clone(&said) });
        let cancel = Cancel::default();
        let ended = Engine::new(&pair, &sink, &cancel, "hapair install".to_owned()).run(&plan, None);
        for screen in screens {
            clean("what is shown", &String::from_utf8(screen.0.lock().unwrap().clone()).unwrap());
        }
        let Err(failure) = ended else { break };
        clean("the failure", &format!("{failure:?}\n{failure}"));
        assert!(failure.stderr.len() == 1 && failure.stderr[0].starts_with("(not shown"), "{failure}");
        failures += 1;
        assert!(failures < 50, "the same order fails again and again: {failure}");
    }
    clean("what is said", &said.lock().unwrap());
    clean("the journal", &std::fs::read_to_string(state.path().join("journal.jsonl")).unwrap());
    // DRBD's resource and Corosync's key on each node, and the fencing devices: less would prove less.
    assert!(failures >= 3, "only {failures} orders failed");
    println!("canaries in orders that fail and repeat them: 0 occurrences in {failures} failures");
}

#[test]
fn no_secret_in_events_journal_arguments_plan_or_debug_output() {
    for (method, fencing) in FENCING {
        nowhere(method, fencing);
    }
}

fn nowhere(method: &str, fencing: &str) {
    let state = folder();
    let answers = answers(state.path(), fencing);
    let setup = model::setup(&answers, state.path());
    let secrets = secrets();
    let plan = Arc::new(model::plan(&setup, &secrets));
    let model = Model::new(&plan);

    // The plan as it is shown: titles, changes and diffs of everything on a fresh pair.
    let actions: Vec<_> = plan.steps.iter().flat_map(|step| &step.actions).collect();
    let looked = look(&model.pair(), &actions).unwrap();
    let mut shown = String::new();
    for (index, action) in actions.iter().enumerate() {
        for (at, state) in looked.states(index, action, &Memory::default()) {
            shown.push_str(&format!("{}\n{state:?}\n", action.of(at).unwrap().title()));
            if let State::Drift(change) = state {
                shown.push_str(&change.diff.unwrap_or_default());
            }
        }
    }
    clean("the plan", &shown);
    clean("the answers' and the secrets' Debug", &format!("{:?} {secrets:?}", setup.answers));

    let mut rendered = 0;
    for format in [PlanFormat::Text, PlanFormat::Json, PlanFormat::Sh] {
        let shown = text(&setup, &Options { step: None, offline: true, format }).unwrap();
        clean("the rendered plan", &shown);
        rendered += shown.len();
    }

    let said = Arc::new(Mutex::new(String::new()));
    let screens = [Screen::default(), Screen::default()];
    let (journal, _) = Journal::open(state.path(), "xencluster").unwrap();
    let reporters: [Box<dyn Sink>; 2] = [
        Box::new(Plain::new(Box::new(screens[0].clone()), || "10:00:00".to_owned())),
        Box::new(Json::new(Box::new(screens[1].clone()), jiff::Timestamp::now)),
    ];
    let sink = Mutex::new(Watched { journal, reporters, said: Arc::clone(&said) });
    let (pair, cancel) = (model.pair(), Cancel::default());
    Engine::new(&pair, &sink, &cancel, "hapair install".to_owned()).run(&plan, None).unwrap();
    // A change of everything that holds a secret: diffs of what is there already.
    for machine in &mut model.world.lock().unwrap().machines {
        for path in ["/etc/drbd.d/hapair.res", "/etc/corosync/authkey"] {
            machine.put(path, b"something else\n");
        }
    }
    Engine::new(&pair, &sink, &cancel, "hapair install".to_owned()).run(&plan, None).unwrap();

    clean("what is said", &said.lock().unwrap());
    for (what, screen) in ["stderr", "stdout as JSON"].iter().zip(&screens) {
        let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        assert!(shown.len() > 1000, "{what}: {shown}");
        clean(what, &shown);
    }
    clean("the journal", &std::fs::read_to_string(state.path().join("journal.jsonl")).unwrap());
    let mut commands = 0;
    let mut by_input = 0;
    for transport in &model.transports {
        for cmd in transport.log() {
            commands += 1;
            clean("a process list of the node", &cmd.argv.join("\0"));
            clean("the debug output of a command", &format!("{cmd:?} {}", cmd.shown()));
            let input = String::from_utf8_lossy(&cmd.stdin).into_owned();
            if canaries().iter().any(|canary| input.contains(canary)) {
                by_input += 1;
                assert!(cmd.secret, "a secret on standard input that is not marked as one: {}", cmd.shown());
            }
        }
    }
    // The secrets did go where they belong, or this would prove nothing.
    let world = model.world();
    assert!(world.machines[0].text("/etc/drbd.d/hapair.res").contains(DRBD));
    for password in PASSWORDS {
        assert!(world.cib["resources"].concat().contains(password), "{method}");
    }
    for machine in &world.machines {
        for (name, text) in &machine.records {
            clean(&format!("the node record {name}"), text);
        }
        for (path, file) in &machine.files {
            if !["/etc/drbd.d/hapair.res", "/etc/corosync/authkey"].contains(&path.as_str()) {
                clean(path, &String::from_utf8_lossy(&file.bytes));
            }
        }
    }
    println!(
        "canaries, fencing by {method}: 0 occurrences in {commands} commands, {} bytes of events, {rendered} bytes of rendered plans, \
         stdout, stderr and node records; {by_input} times on standard input",
        said.lock().unwrap().len()
    );
}
