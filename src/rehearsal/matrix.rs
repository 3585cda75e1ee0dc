//! What goes wrong on purpose in a rehearsal: the installer killed in every step or action, each machine's power cut in
//! every step, a machine not heard for a while; the same command is run again until the pair is whole. For `make matrix`; see
//! CONTRIBUTING.md.
//!
//! The installer is a process of its own here: only a real SIGKILL leaves nothing behind but the state folder and the nodes.
//! A place counts as hit when, at the moment of the harm, an action there was announced and had no result yet.

// The lab's own programs run on this host and never on a node, so there is no transport for them to go through.
#![allow(clippy::disallowed_methods)]

mod ground;
mod silence;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use self::ground::{Ground, Work};
use self::watch::{Announced, Watch};
use super::lab::Machine;
use super::proof::Stage;
use super::until_up;
use super::wait::{Interrupted, Wait};
use crate::cli::Harm;
use crate::command::{print, say};
use crate::exit;
use crate::node::At;

/// Names the file that tells an installer's own process which machines it works on.
pub const CHILD: &str = "HAPAIR_REHEARSAL_INSTALL";

/// How long one run of the installer may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// How long a machine stays without power at most. An installer that hears nothing from it has ended by then; one that
/// waits for it to come back (from a proof of the fencing) gets it back.
const DARK: Duration = Duration::from_secs(180);

/// How often in a row a machine may be away when a run begins: the harm before, or the fencing, has it boot again.
const AWAY: usize = 3;

/// Milliseconds from the intent to a kill: at once and later, but before the result. On these machines an order takes longer.
const KILL_AFTER: [u64; 4] = [0, 5, 20, 50];

/// Milliseconds from the intent to a cut of the power. The first one in a place is at once: what it interrupts has to be done
/// again, and so there is something to interrupt for the other machine's.
const CUT_AFTER: [u64; 3] = [0, 40, 150];

/// Where harm is done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    key: String,
    /// `None`: the installer itself.
    machine: Option<Machine>,
}

/// Where there is something to harm, and where it was done.
struct Tally<'a> {
    harm: Harm,
    /// Only in these steps; in all if empty.
    steps: &'a [String],
    names: [&'a str; 2],
    places: BTreeSet<String>,
    hit: BTreeSet<String>,
}

impl Tally<'_> {
    /// Under which names an announced action is a place for harm: none in a step that is not asked for.
    fn targets(&self, announced: &Announced) -> Vec<Target> {
        if !self.steps.is_empty() && !self.steps.contains(&announced.step) {
            return Vec::new();
        }
        let place = announced.place();
        match self.harm {
            Harm::KillSteps => vec![Target { key: place, machine: None }],
            Harm::KillActions => {
                let on = announced.node.as_deref().unwrap_or("both");
                vec![Target { key: format!("{} {} {on}", announced.step, announced.action), machine: None }]
            }
            Harm::Power => {
                let target = |machine: Machine| {
                    let name = self.names[machine.index()];
                    Target { key: format!("{place} {name}"), machine: Some(machine) }
                };
                let mut machines = Machine::BOTH;
                // First the one at work (what is about both is done on the first): its work is lost, and comes again.
                if announced.node.as_deref() == Some(self.names[1]) {
                    machines.reverse();
                }
                machines.map(target).to_vec()
            }
            Harm::Silence | Harm::LongSilence => {
                let second = announced.node.as_deref() == Some(self.names[1]);
                vec![Target { key: place, machine: Some(if second { Machine::Second } else { Machine::First }) }]
            }
        }
    }

    fn learn(&mut self, announced: &[Announced]) {
        for announced in announced {
            let keys: Vec<String> = self.targets(announced).into_iter().map(|target| target.key).collect();
            self.places.extend(keys);
        }
    }

    /// The next harm, of what is open now; and whether it is the first there.
    fn next(&self, open: &[Announced]) -> Option<(Announced, Target, bool)> {
        open.iter().find_map(|announced| {
            let targets = self.targets(announced);
            let fresh = targets.iter().all(|target| !self.hit.contains(&target.key));
            let target = targets.into_iter().find(|target| !self.hit.contains(&target.key))?;
            Some((announced.clone(), target, fresh))
        })
    }

    /// Harm was done: everything that was open then was hit. Gives whether anything was.
    fn done(&mut self, open: &[Announced], machine: Option<Machine>) -> bool {
        let keys: Vec<String> = open
            .iter()
            .flat_map(|announced| self.targets(announced))
            .filter(|target| target.machine == machine)
            .map(|target| target.key)
            .collect();
        let any = !keys.is_empty();
        self.hit.extend(keys);
        any
    }
}

/// Does the work with harm done on the way, until a run comes to its end; prints the table. `steps` restricts the harm. Gives
/// how many results the journal holds of it.
///
/// # Errors
/// When a run ends in another way than by the harm that was done to it, or when there was a place that was never hit.
pub fn run(stage: &mut Stage<'_>, harm: Harm, steps: &[String], work: Work) -> Result<usize> {
    let ground = Ground::write(stage.setup, stage.lab, work)?;
    let mut watch = Watch::new(stage.setup.state.join("journal.jsonl"));
    let [first, second] = &stage.setup.answers.nodes;
    let names = [first.name.as_str(), second.name.as_str()];
    let mut tally = Tally { harm, steps, names, places: BTreeSet::new(), hit: BTreeSet::new() };
    let mut table = String::new();
    let mut count = 0;
    let mut away = 0;
    'runs: loop {
        watch.begin()?;
        let began = Instant::now();
        let child = child(&ground)?;
        loop {
            let ended = child.try_wait().context("the installer's process")?.map(|output| output.status.code());
            tally.learn(&watch.look()?);
            match ended {
                Some(Some(0)) => break 'runs,
                Some(Some(code)) if code == i32::from(exit::UNREACHABLE) && count > 0 && away < AWAY => {
                    away += 1;
                    again(stage)?;
                    let line = format!("a machine was booting: exit {code}");
                    say(&format!("{line}; once more"));
                    table.push_str(&format!("  {line}, run again\n"));
                    continue 'runs;
                }
                Some(code) => {
                    let code = code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
                    let why = watch.failure.as_deref().unwrap_or("it did not say why");
                    bail!("the installer ended {code} although no harm was done to this run: {why}\n{table}");
                }
                None if stage.cancel.requested() || began.elapsed() > LIMIT => {
                    end(&child)?;
                    bail!(Interrupted);
                }
                None => {}
            }
            let Some((announced, target, fresh)) = tally.next(&watch.open) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let delay = match target.machine {
                None => KILL_AFTER[count % KILL_AFTER.len()],
                Some(_) if fresh => 0,
                Some(_) => CUT_AFTER[count % CUT_AFTER.len()],
            };
            std::thread::sleep(Duration::from_millis(delay));
            count += 1;
            away = 0;
            let on = announced.node.as_deref().unwrap_or("both");
            let at = format!("{:14} {:22} {on:8} +{delay:3} ms", announced.step, announced.action);
            let late = |hit: bool| if hit { "" } else { " (behind its result)" };
            let Some(machine) = target.machine else {
                end(&child)?;
                tally.learn(&watch.look()?);
                let hit = tally.done(&watch.open, None);
                let line = format!("{at}  installer killed{}", late(hit));
                say(&format!("{line}; once more"));
                table.push_str(&format!("  {line}, resumed\n"));
                continue 'runs;
            };
            if let Some(seconds) = silence::seconds(harm) {
                stage.lab.set_login(machine, false)?;
                tally.learn(&watch.look()?);
                let hit = tally.done(&watch.open, Some(machine));
                let (ended, what) = silence::keep(stage, &ground, &child, &mut watch, machine, seconds)?;
                let line = format!("{at}  {} not heard for {seconds} s{}: {what}", names[machine.index()], late(hit));
                say(&line);
                table.push_str(&format!("  {line}\n"));
                if ended {
                    continue 'runs;
                }
                continue;
            }
            stage.lab.power_off(machine)?;
            tally.learn(&watch.look()?);
            let hit = tally.done(&watch.open, Some(machine));
            let code = wait(&child, stage, DARK)?;
            let mut line = format!("{at}  power of {} cut{}", names[machine.index()], late(hit));
            // The other one too, where its peer lost power between switching it off and on: as a person would.
            for machine in Machine::BOTH {
                if !stage.lab.is_on(machine) {
                    stage.lab.power_on(machine)?;
                }
            }
            again(stage)?;
            match code {
                // Done, a failed step, or a node that does not answer: nothing else may come of it.
                Some(code) if [exit::DONE, exit::STEP_FAILED, exit::UNREACHABLE].map(i32::from).contains(&code) => {
                    line.push_str(&format!(", exit {code}"));
                    say(&format!("{line}; once more"));
                    table.push_str(&format!("  {line}, resumed\n"));
                    continue 'runs;
                }
                Some(code) => bail!("{line}: exit {code}: {}\n{table}", watch.failure.as_deref().unwrap_or_default()),
                None => {
                    say(&format!("{line}; the run waited for it"));
                    table.push_str(&format!("  {line}, the run waited for it and went on\n"));
                }
            }
        }
    }
    told(&tally, work, count, &table)?;
    Ok(watch.results)
}

/// Prints the table, and sees that no place was left out.
fn told(tally: &Tally<'_>, work: Work, count: usize, table: &str) -> Result<()> {
    let what = match (work, tally.harm) {
        (Work::Undo, _) => "undo killed in each step, between intent and result",
        (_, Harm::KillSteps) => "the installer killed in each step, between intent and result",
        (_, Harm::KillActions) => "the installer killed in each action, between intent and result",
        (_, Harm::Power) => "each machine's power cut in each step",
        (_, Harm::Silence) => "a machine not heard for five seconds in each step",
        (_, Harm::LongSilence) => "a machine not heard for five minutes in each step",
    };
    let missed: Vec<&str> = tally.places.difference(&tally.hit).map(String::as_str).collect();
    let of = tally.places.len();
    if of == 0 {
        bail!("{what}: 0 of 0 places; nothing was changed in the steps asked for: {}", tally.steps.join(", "));
    }
    if !missed.is_empty() {
        bail!("{what}: {} of {of} places; never hit: {}\n{table}", of - missed.len(), missed.join(", "));
    }
    let only = if tally.steps.is_empty() { String::new() } else { format!(" (asked for: {})", tally.steps.join(", ")) };
    print(&format!(
        "proof: {what}: {count} times, each resumed by the same command to the same end\n{table}  {of} of {of} places{only}\n"
    ))
}

/// Waits until both machines answer again.
fn again(stage: &mut Stage<'_>) -> Result<()> {
    for at in At::BOTH {
        stage.pair.at(at).transport.reset();
    }
    until_up(stage.lab, stage.pair, stage.cancel)
}

/// Waits until the installer has seen that a machine is gone, and ended; its exit code, `None` when it still runs.
fn wait(child: &duct::Handle, stage: &Stage<'_>, limit: Duration) -> Result<Option<i32>> {
    let mut wait = Wait::new(stage.cancel, "the installer to end", LIMIT, Duration::from_millis(200));
    let began = Instant::now();
    loop {
        if let Some(output) = child.try_wait().context("the installer's process")? {
            return Ok(Some(output.status.code().unwrap_or(-1)));
        }
        if began.elapsed() > limit {
            return Ok(None);
        }
        if let Err(error) = wait.again("it still runs") {
            end(child)?;
            return Err(error);
        }
    }
}

/// Kills the installer. It is gone behind this, and so are its locks: while it writes to a disk it may outlive the signal.
fn end(child: &duct::Handle) -> Result<()> {
    child.kill().and_then(|()| child.wait().map(drop)).context("killing the installer")
}

/// This very program, with the words it was started with, as the installer alone.
fn child(ground: &Path) -> Result<duct::Handle> {
    let program = std::env::current_exe().context("the path of this program")?;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    duct::cmd(program, words)
        .env(CHILD, ground)
        .stdin_null()
        .stdout_null()
        .unchecked()
        .start()
        .context("starting the installer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(step: &str, action: &str, node: Option<&str>) -> Announced {
        Announced { step: step.to_owned(), action: action.to_owned(), node: node.map(str::to_owned) }
    }

    fn tally(harm: Harm, steps: &[String]) -> Tally<'_> {
        Tally { harm, steps, names: ["node1", "node2"], places: BTreeSet::new(), hit: BTreeSet::new() }
    }

    #[test]
    fn each_machine_is_cut_whoever_is_at_work() {
        let mut tally = tally(Harm::Power, &[]);
        let open = [announced("mount", "1-mount", Some("node2"))];
        tally.learn(&open);
        assert_eq!(tally.places.len(), 2);
        let (_, target, first) = tally.next(&open).unwrap();
        assert_eq!((target.machine, first), (Some(Machine::Second), true));
        assert!(tally.done(&open, target.machine));
        let (_, target, first) = tally.next(&open).unwrap();
        assert_eq!((target.key.as_str(), first), ("mount node1", false));
        // What had its result already when the power was gone was not interrupted: the place stays open.
        assert!(!tally.done(&[], target.machine));
        assert!(tally.next(&open).is_some());
        tally.done(&open, target.machine);
        assert_eq!(tally.next(&open), None);
    }

    #[test]
    fn the_fencing_shot_is_a_place_of_its_own_and_other_steps_are_left_alone() {
        let steps = ["boot".to_owned()];
        let mut tally = tally(Harm::KillSteps, &steps);
        let open = [announced("vms", "1-cib", None), announced("boot", "14-fencing-shot", None)];
        tally.learn(&open);
        tally.learn(&[announced("boot", "5-file", Some("node1"))]);
        assert_eq!(tally.places.iter().collect::<Vec<_>>(), ["boot", "boot (fencing shot)"]);
        assert!(tally.done(&open, None));
        assert!(told(&tally, Work::Install, 1, "").unwrap_err().to_string().contains("1 of 2 places; never hit: boot"));
    }

    #[test]
    fn two_actions_at_once_are_both_hit_by_one_kill() {
        let mut tally = tally(Harm::KillActions, &[]);
        let open = ["node1", "node2"].map(|node| announced("hosts", "1-host-names", Some(node)));
        tally.learn(&open);
        tally.done(&open, None);
        assert_eq!(tally.next(&open), None);
        assert_eq!(tally.hit.len(), 2);
    }
}
