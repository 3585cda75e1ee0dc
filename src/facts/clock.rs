//! The time of day.

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

/// A node's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Milliseconds since 1970, UTC, at the moment of the survey; 0 if unknown. Too coarse to compare two nodes with: the
    /// survey's way to a node takes its time. `preflight` measures that by itself.
    pub utc_millis: i64,
    /// Something keeps it right (NTP); `None` when the node can't tell.
    pub synchronized: Option<bool>,
}

/// Two commands.
pub(super) fn reads() -> Vec<Cmd> {
    vec![now(), Cmd::read(["timedatectl", "show", "-p", "NTPSynchronized", "--value"])]
}

/// Seconds and nanoseconds since 1970.
pub fn now() -> Cmd {
    Cmd::read(["date", "-u", "+%s.%N"])
}

/// Milliseconds of what [`now`] gave.
pub fn millis(output: &Output) -> Option<i64> {
    let text = output.line();
    let (seconds, nanos) = text.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let millis: i64 = nanos.get(..3)?.parse().ok()?;
    Some(seconds * 1000 + millis)
}

pub(super) fn parse(outputs: &[Output]) -> Clock {
    let synchronized = outputs.get(1).filter(|output| output.ok()).and_then(|output| match output.line().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    });
    Clock { utc_millis: outputs.first().and_then(millis).unwrap_or(0), synchronized }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::scripted::{fails, says};

    #[test]
    fn a_clock_is_read() {
        let clock = parse(&[says("1795380000.123456789\n"), says("yes\n")]);
        assert_eq!(clock, Clock { utc_millis: 1_795_380_000_123, synchronized: Some(true) });
        assert_eq!(parse(&[says("x"), fails(1, "Failed to connect to bus")]), Clock::default());
        assert_eq!(parse(&[says("1.5"), says("no")]).synchronized, Some(false));
        assert_eq!(parse(&[says("1.5")]).utc_millis, 0);
    }
}
