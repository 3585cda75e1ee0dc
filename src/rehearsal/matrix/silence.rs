//! A machine that is not heard for a while, in mid-command: the wire to it is cut without a word, as by a switch that restarts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::watch::Watch;
use super::{again, child, end, wait};
use crate::cli::Harm;
use crate::exit;
use crate::rehearsal::lab::Machine;
use crate::rehearsal::proof::Stage;

/// Short enough to be waited out: TCP sends again what was lost.
const SHORT: u64 = 5;
/// Too long for any installer to wait.
const LONG: u64 = 300;

/// For how long; `None` for another harm.
pub(super) fn seconds(harm: Harm) -> Option<u64> {
    match harm {
        Harm::Silence => Some(SHORT),
        Harm::LongSilence => Some(LONG),
        Harm::KillSteps | Harm::KillActions | Harm::Power => None,
    }
}

/// Waits the silence out, which has begun; mends the wire in any case. Gives whether the run has ended, and what it said.
///
/// # Errors
/// When a run ends because of a short silence, or with another word than that the machine can't be reached; and when a second
/// one, begun in a long silence, does not end so too.
pub(super) fn keep(
    stage: &mut Stage<'_>,
    ground: &Path,
    run: &duct::Handle,
    watch: &mut Watch,
    machine: Machine,
    seconds: u64,
) -> Result<(bool, String)> {
    let began = Instant::now();
    let told = in_it(stage, ground, run, watch, Duration::from_secs(seconds));
    // The rest of the time, whatever came of it.
    while told.is_ok() && !stage.cancel.requested() && began.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(100));
    }
    stage.lab.set_login(machine, true)?;
    let told = told?;
    if told.0 {
        again(stage)?;
    }
    Ok(told)
}

fn in_it(
    stage: &mut Stage<'_>,
    ground: &Path,
    run: &duct::Handle,
    watch: &mut Watch,
    limit: Duration,
) -> Result<(bool, String)> {
    let first = unreachable(wait(run, stage, limit)?, watch)?;
    let Some(first) = first else { return Ok((false, "the run went on".to_owned())) };
    if limit < Duration::from_secs(LONG) {
        bail!("a machine was not heard for {} s, and the run ended: {first}", limit.as_secs());
    }
    // Who tries again at once is told the same, and not kept waiting.
    watch.begin()?;
    let second = child(ground)?;
    match unreachable(wait(&second, stage, limit)?, watch)? {
        Some(_) => Ok((true, format!("exit {}: {first}; the same of a second run", exit::UNREACHABLE))),
        None => {
            end(&second)?;
            bail!("a run that was begun while a machine was not heard did not end")
        }
    }
}

/// Why a run has ended, where it ended because a machine is out of reach; `None` where it still runs, or is done.
fn unreachable(code: Option<i32>, watch: &mut Watch) -> Result<Option<String>> {
    watch.look()?;
    match code {
        None => Ok(None),
        // It came to its end just then.
        Some(code) if code == i32::from(exit::DONE) => Ok(None),
        Some(code) if code == i32::from(exit::UNREACHABLE) => {
            Ok(Some(watch.failure.clone().unwrap_or_else(|| "it did not say why in the journal".to_owned())))
        }
        Some(code) => bail!("exit {code}: {}", watch.failure.as_deref().unwrap_or("it did not say why")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_out_of_reach_is_an_answer_to_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut watch = Watch::new(path.clone());
        std::fs::write(&path, "{\"event\":\"failed\",\"node\":\"node2\",\"what\":\"cannot be reached\"}\n").unwrap();
        assert_eq!(unreachable(None, &mut watch).unwrap(), None);
        assert_eq!(unreachable(Some(i32::from(exit::DONE)), &mut watch).unwrap(), None);
        let told = unreachable(Some(i32::from(exit::UNREACHABLE)), &mut watch).unwrap();
        assert_eq!(told.as_deref(), Some("node2: cannot be reached"));
        let other = unreachable(Some(i32::from(exit::STEP_FAILED)), &mut watch).unwrap_err().to_string();
        assert!(other.contains("node2: cannot be reached"), "{other}");
        assert!(seconds(Harm::Power).is_none() && seconds(Harm::LongSilence) > seconds(Harm::Silence));
    }
}
