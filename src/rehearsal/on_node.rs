//! hapair on the first machine itself: it reboots what it runs on, and goes on by itself behind the boot.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::proof::{self, Stage};
use super::wait::Wait;
use super::{command, for_its_owner};
use crate::answers::{Reach, written};
use crate::command::print;
use crate::continuation;
use crate::event::Event;
use crate::journal::{Journal, Line};
use crate::node::{At, Cmd};
use crate::setup::Places;

/// Where its files are on that machine.
const FOLDER: &str = "/root/pair";
/// hapair's state in it.
const STATE: &str = "state";
/// The program there.
const PROGRAM: &str = "/usr/local/sbin/hapair";
/// How long the whole install may take on emulated machines.
const LIMIT: Duration = Duration::from_secs(7200);
/// How long nobody may be at work there: behind a boot SSH answers before the unit runs.
const IDLE: Duration = Duration::from_secs(600);
/// How long a run that went on by itself is let alone before systemd reads all units anew: longer than a start may take.
const REREAD: Duration = Duration::from_secs(100);
/// Between two looks: each is a process on a slow machine.
const EVERY: Duration = Duration::from_secs(10);

/// Puts a file (standard input) there, for its owner only, and onto the disk: the machine loses its power soon.
const PUT: &str = r#"set -eu
mkdir -p "${1%/*}"
umask 077
cat >"$1"
chmod "$2" "$1"
sync"#;

/// Runs the command as systemd's own, as nobody's connection outlives the machine's reboot. What it says is in `log`.
const START: &str = r#"systemd-run --quiet --unit=hapair-rehearsed --setenv=HOME=/root --working-directory="$1" \
    sh -c "exec $2 >>log 2>&1""#;

/// Installs from there up to the end, as a user would who has nothing but the two nodes.
///
/// # Errors
/// When it does not come to its end, or did not go on by itself on the way.
pub fn install(stage: &Stage<'_>) -> Result<()> {
    let answers = &stage.setup.answers;
    // Of this rehearsal alone, and gone with it.
    let scratch = stage.setup.state.join("on-node");
    std::fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let line = carry(stage, &scratch)?;
    proof::ask(stage.pair, At::First, &Cmd::write_sh(START, [FOLDER, &line]))?;
    let runs = until_done(stage, &scratch)?;
    if runs < 2 {
        bail!("hapair on a node came to its end in one run: the machine that it ran on was never rebooted");
    }
    print(&format!(
        "proof: hapair on {} itself went on by itself behind each of {} boots of that machine, up to the end\n",
        answers.nodes[0].name,
        runs - 1
    ))
}

/// Brings there what a user has there: the program, a key, the answers. Gives the command line of the install.
fn carry(stage: &Stage<'_>, scratch: &Path) -> Result<String> {
    let Stage { setup, pair, .. } = stage;
    let put = |path: &str, mode: &str, bytes: &[u8]| {
        let cmd = Cmd::write_sh(PUT, [path, mode]).stdin(bytes).secret(true).timeout(Duration::from_secs(600));
        proof::ask(pair, At::First, &cmd).map(drop)
    };
    put(PROGRAM, "755", &program(scratch)?)?;
    let version = proof::ask(pair, At::First, &Cmd::read([PROGRAM, "--version"])).context(
        "this build of hapair does not run on the machine: build it on its release of Debian, or an older one",
    )?;
    let identity = format!("{FOLDER}/login");
    let key = setup.places.identity.as_deref().context("the machines' key")?;
    put(&identity, "600", &std::fs::read(key).with_context(|| format!("reading {}", key.display()))?)?;

    let told = proof::ask(pair, At::Second, &Cmd::read(["ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub"]))?;
    let fingerprint = told.split_whitespace().nth(1).context("no fingerprint of the second machine's host key")?;
    let mut answers = setup.answers.clone();
    let [first, second] = &mut answers.nodes;
    first.ssh = Reach::Local;
    second.ssh = Reach::Ssh { user: "root".to_owned(), host: second.address.to_string(), port: 22 };
    second.host_key = Some(fingerprint.to_owned());
    let file = format!("{FOLDER}/answers.yaml");
    put(&file, "600", written::text(&answers)?.as_bytes())?;

    let places = Places {
        state_dir: Some(Path::new(FOLDER).join(STATE)),
        identity: Some(identity.into()),
        lab: Some(stage.lab.hypervisor()),
        ..Places::default()
    };
    let line = places.command("install", Path::new(&file)).replacen("hapair", PROGRAM, 1);
    let line = format!("{line} --continue-after-reboot");
    print(&format!("{} runs {}\n  {line}\n", answers.nodes[0].name, version.trim()))?;
    Ok(line)
}

/// Waits for its end; gives how many runs that took.
fn until_done(stage: &Stage<'_>, scratch: &Path) -> Result<usize> {
    let Stage { setup, pair, cancel, .. } = stage;
    let node = pair.at(At::First);
    let journal = format!("{FOLDER}/{STATE}/{}/journal.jsonl", setup.answers.cluster);
    let mut wait = Wait::new(cancel, format!("the install on {}", node.name), LIMIT, EVERY);
    let mut seen_at_work = Instant::now();
    let mut went_on: Option<Instant> = None;
    let mut reread = false;
    loop {
        let missing = match node.exec(&Cmd::read_sh(LOOK, [journal.as_str()])) {
            Ok(output) if output.ok() => {
                for_its_owner(&scratch.join("journal.jsonl"), &output.text())?;
                let lines = Journal::read(scratch, &setup.answers.cluster)?;
                if !output.errors().trim().is_empty() {
                    seen_at_work = Instant::now();
                }
                let last = lines.last().map(|line| &line.event);
                if let Some(Event::RunDone { .. }) = last {
                    return Ok(runs(&lines));
                }
                if seen_at_work.elapsed() > IDLE {
                    let log = proof::ask(pair, At::First, &Cmd::read_sh(LOG, [FOLDER, continuation::UNIT]))?;
                    let why = match last {
                        Some(Event::Failed(failure)) => failure.to_string(),
                        _ => format!("it does not go on; {}", place(&lines)),
                    };
                    bail!("hapair on a node: {why}\n{}", command::last_lines(&log, 30));
                }
                if runs(&lines) > 1 && !reread && went_on.get_or_insert_with(Instant::now).elapsed() > REREAD {
                    // Packages and steps do so: the unit that runs must outlive it, though it has removed its own file.
                    let reload = Cmd::write(["systemctl", "daemon-reload"]);
                    reread = node.exec(&reload).is_ok_and(|output| output.ok());
                }
                place(&lines)
            }
            Ok(output) => format!("no journal yet: {}", output.errors().trim()),
            // It boots.
            Err(lost) => {
                seen_at_work = Instant::now();
                node.transport.reset();
                lost.to_string()
            }
        };
        wait.again(&missing)?;
    }
}

/// The journal; and on standard error whether one is at work. `$1` the journal.
const LOOK: &str = r#"cat "$1" && { pidof hapair >&2 || true; }"#;

/// What it said, and what its unit said behind the boot.
const LOG: &str = r#"cat "$1/log"; journalctl --no-pager --quiet -u "$2""#;

/// This program, without what only a debugger reads: a build for development is ten times as large with it.
fn program(scratch: &Path) -> Result<Vec<u8>> {
    let myself = std::env::current_exe().context("find hapair's own program file")?;
    let small = scratch.join("hapair");
    command::run("make hapair small", "strip", &["-o".as_ref(), small.as_os_str(), myself.as_os_str()])?;
    std::fs::read(&small).with_context(|| format!("reading {}", small.display()))
}

fn runs(lines: &[Line]) -> usize {
    lines.iter().filter(|line| matches!(line.event, Event::RunStarted { .. })).count()
}

/// Where it is.
fn place(lines: &[Line]) -> String {
    let step = lines.iter().rev().find_map(|line| match &line.event {
        Event::StepStarted { step, .. } => Some(step.as_str()),
        _ => None,
    });
    format!("run {}, step {}", runs(lines), step.unwrap_or("none yet"))
}
