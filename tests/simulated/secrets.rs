//! Canaries in every secret field: none of them is ever shown, kept or handed over as an argument.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hapair::action::{Memory, State};
use hapair::cancel::Cancel;
use hapair::engine::{Engine, look};
use hapair::event::{Event, Sink};
use hapair::journal::Journal;
use hapair::secrets::Secrets;

use crate::folder;
use crate::model::{self, Model};

const PASSWORD: &str = "canary-password-0001";
const DRBD: &str = "canary-drbd-shared-secret-0002";
const HEARTBEAT: &str = "canary-heartbeat-key-0003";
const COROSYNC: &str = "canary-corosync-authkey-0004";

/// Every spelling in which a secret could be found.
fn canaries() -> Vec<String> {
    let mut all: Vec<String> = [PASSWORD, DRBD, HEARTBEAT, COROSYNC].map(str::to_owned).to_vec();
    let long = STANDARD.encode(COROSYNC.repeat(10));
    all.push(long[..40].to_owned());
    all.extend([PASSWORD, DRBD, HEARTBEAT].map(|secret| STANDARD.encode(secret).trim_end_matches('=').to_owned()));
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

/// The journal, and all that any reporter could show.
struct Watched {
    journal: Journal,
    said: Arc<Mutex<String>>,
}

impl Sink for Watched {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut said = self.said.lock().unwrap();
        said.push_str(&format!("{event:?}\n{}\n", serde_json::to_string(event)?));
        if let Event::Failed(failure) = event {
            said.push_str(&failure.to_string());
        }
        self.journal.event(event)
    }
}

#[test]
fn no_secret_in_events_journal_arguments_plan_or_debug_output() {
    let state = folder();
    let answers = model::answers(state.path(), PASSWORD);
    let setup = model::setup(&answers, state.path());
    let secrets = Secrets {
        drbd_shared_secret: DRBD.to_owned(),
        corosync_authkey_base64: STANDARD.encode(COROSYNC.repeat(10)),
        heartbeat_key: HEARTBEAT.to_owned(),
    };
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

    let said = Arc::new(Mutex::new(String::new()));
    let (journal, _) = Journal::open(state.path(), "xencluster").unwrap();
    let sink = Mutex::new(Watched { journal, said: Arc::clone(&said) });
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
    assert!(world.cib["resources"].concat().contains(PASSWORD));
    println!(
        "canaries: 0 occurrences in {commands} commands, {} bytes of events; {by_input} times on standard input",
        said.lock().unwrap().len()
    );
}
