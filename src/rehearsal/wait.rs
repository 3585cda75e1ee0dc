//! Waits that may take many minutes on emulated machines: they say what is still missing, and Ctrl-C ends them.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cancel::Cancel;
use crate::command::say;

/// How often it is said that something is still waited for.
const SPEAK: Duration = Duration::from_secs(30);

/// Ctrl-C, as an error: what follows is only the end of the machines.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Something that is waited for.
#[derive(Debug)]
pub struct Wait<'a> {
    cancel: &'a Cancel,
    what: String,
    limit: Duration,
    every: Duration,
    began: Instant,
    spoken: Instant,
}

impl<'a> Wait<'a> {
    /// Starts the clock. `what` completes "waiting for"; `limit` is how long it may take, `every` the pause between looks.
    pub fn new(cancel: &'a Cancel, what: impl Into<String>, limit: Duration, every: Duration) -> Self {
        let now = Instant::now();
        Self { cancel, what: what.into(), limit, every, began: now, spoken: now }
    }

    /// It is not so yet: `missing` says what was seen instead. Pauses until the next look.
    ///
    /// # Errors
    /// When the time is up, with what is missing; [`Interrupted`] after a Ctrl-C.
    pub fn again(&mut self, missing: &str) -> Result<()> {
        if self.cancel.requested() {
            bail!(Interrupted);
        }
        let seconds = self.began.elapsed().as_secs();
        if self.began.elapsed() > self.limit {
            bail!("{}: not so after {seconds} s: {missing}", self.what);
        }
        if self.spoken.elapsed() >= SPEAK {
            self.spoken = Instant::now();
            say(&format!("waiting for {}, {seconds} s: {missing}", self.what));
        }
        std::thread::sleep(self.every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_when_its_time_is_up_and_on_ctrl_c() {
        let cancel = Cancel::default();
        let moment = Duration::from_millis(20);
        let mut wait = Wait::new(&cancel, "the pair", moment, moment);
        wait.again("node1 is off").unwrap();
        let late = wait.again("node1 is off").unwrap_err().to_string();
        assert!(late.contains("the pair: not so after 0 s: node1 is off"), "{late}");
        cancel.request();
        let mut wait = Wait::new(&cancel, "the pair", Duration::from_secs(60), moment);
        assert!(wait.again("").unwrap_err().is::<Interrupted>());
    }
}
