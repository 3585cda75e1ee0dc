//! A command, with the read that tells whether it is needed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Act, Change, Order, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::node::{At, Cmd, quote};
use crate::undo::Undoing;

/// Exit code of a look that can't see what it looks for; it says on stderr why. What is not seen is not taken for absent.
pub const UNSEEN: i32 = 112;

/// Where a command runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// On each node.
    #[default]
    Node,
    /// Once, on the first.
    Pair,
}

/// A command that runs unless another one succeeds. Arguments are given one by one: no shell splits them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments.
    pub run: Vec<String>,
    /// Program and arguments that only look: exit code 0 says that nothing is to be done.
    pub unless: Vec<String>,
    /// One line for people; without it, the command itself.
    #[serde(default)]
    pub title: String,
    /// Seconds that `run` may take.
    #[serde(default = "timeout")]
    pub timeout: String,
    /// Seconds that `unless` may take to come true after `run`.
    #[serde(default)]
    pub wait: String,
    /// Program and arguments that take it back, where that is to be done; run only while `unless` succeeds.
    #[serde(default)]
    pub undo: Vec<String>,
    /// `node` (each) or `pair` (once, on the first).
    #[serde(default)]
    pub scope: Where,
}

fn timeout() -> String {
    "300".to_owned()
}

fn seconds(field: &str, text: &str) -> Result<Duration> {
    text.trim()
        .parse()
        .map(Duration::from_secs)
        .with_context(|| format!("{field}: {text:?} is not a number of seconds"))
}

impl Command {
    /// A command on each node, with the usual limits.
    pub fn new(run: Vec<String>, unless: Vec<String>) -> Self {
        Self {
            run,
            unless,
            title: String::new(),
            timeout: timeout(),
            wait: String::new(),
            undo: Vec::new(),
            scope: Where::Node,
        }
    }

    fn check(&self) -> Result<Duration> {
        if self.run.is_empty() || self.unless.is_empty() {
            bail!("a command needs run and unless, each with a program");
        }
        if !self.wait.is_empty() {
            seconds("wait", &self.wait)?;
        }
        seconds("timeout", &self.timeout)
    }
}

impl Act for Command {
    fn title(&self) -> String {
        if self.title.is_empty() { quote::line(&self.run) } else { self.title.clone() }
    }

    fn scope(&self) -> Scope {
        match self.scope {
            Where::Node => Scope::Node,
            Where::Pair => Scope::Pair,
        }
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        if self.unless.is_empty() || (self.scope == Where::Pair && at == At::Second) {
            return Vec::new();
        }
        vec![Cmd::read(self.unless.iter().map(String::as_str))]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        if let Err(error) = self.check() {
            return Refusal::state(RefusalKind::Preflight, format!("{error:#}"), "mend the step");
        }
        let output = seen.get(at, 0);
        match output.code {
            0 => State::Satisfied,
            // The look itself is not possible: its program comes with an earlier step.
            126 | 127 => State::Unknown(format!("{} is not installed yet", self.unless[0])),
            UNSEEN => State::Unknown(output.errors().trim().to_owned()),
            _ => State::Drift(Change::new(self.title())),
        }
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        let limit = self.check()?;
        Ok(vec![Order::new(at, Cmd::write(self.run.iter().map(String::as_str)).timeout(limit))])
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        if self.undo.is_empty() {
            return Vec::new();
        }
        // Where it is not so there is nothing to take back.
        let unless = ["sh", "-c", "! \"$@\" >/dev/null 2>&1", "sh"].map(str::to_owned).into_iter();
        let back = Command {
            title: format!("undo: {}", self.title()),
            wait: self.wait.clone(),
            scope: self.scope,
            ..Command::new(self.undo.clone(), unless.chain(self.unless.iter().cloned()).collect())
        };
        vec![back]
    }

    fn settle(&self) -> Option<Settle> {
        let limit = seconds("wait", &self.wait).ok()?;
        Some(Settle {
            what: self.title(),
            limit,
            every: Duration::from_secs(2),
            reboots: false,
            shell: quote::line(&self.unless),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(command: &Command, code: i32) -> State {
        let outputs = [Output { code, ..Output::default() }];
        command.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    #[test]
    fn it_runs_unless_it_is_so() {
        let command: Command = serde_yaml::from_str(
            "{run: [depmod, -a], unless: [modinfo, drbd], title: make a list of modules, timeout: 60}",
        )
        .expect("parses");
        assert_eq!(judge(&command, 0), State::Satisfied);
        assert_eq!(judge(&command, 1), State::drift("make a list of modules"));
        assert!(matches!(judge(&command, 127), State::Unknown(_)));
        let seen = Seen { outputs: [&[], &[]], memory: &Memory::default() };
        let orders = command.orders(At::First, &seen).expect("orders");
        assert_eq!(orders[0].cmd, Cmd::write(["depmod", "-a"]).timeout(Duration::from_secs(60)));
        assert_eq!(command.settle(), None);
    }

    #[test]
    fn once_for_both_is_on_the_first() {
        let command: Command =
            serde_yaml::from_str("{run: [a], unless: [b, 'c d'], scope: pair, wait: 30}").expect("parses");
        assert_eq!(command.scope(), Scope::Pair);
        assert_eq!(command.reads(At::Second), []);
        let settle = command.settle().expect("waits");
        assert_eq!((settle.limit.as_secs(), settle.shell.as_str()), (30, "b 'c d'"));
    }

    #[test]
    fn a_step_that_is_wrong_is_refused() {
        for yaml in ["{run: [], unless: [a]}", "{run: [a], unless: [b], timeout: soon}"] {
            let command: Command = serde_yaml::from_str(yaml).expect("parses");
            assert!(matches!(judge(&command, 1), State::Refused(_)), "{yaml}");
        }
    }
}
