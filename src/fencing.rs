//! Fencing that was proved: the record of it on both nodes, and the configuration that it holds for.
//!
//! A device that answers its monitor may still switch off the wrong machine, or none. Only a node that was really
//! switched off by the other one proves it, and only for the configuration as it was then.

mod case;
mod configuration;
pub mod login;
pub mod object;
pub mod sbd;
mod wrong;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::node::{Cmd, Output};

pub use case::{Case, Cut, Look, Stage};
pub use configuration::{Configuration, by_sbd, hash};
pub use wrong::Wrong;

const LOOK: &str = include_str!("fencing/look.sh");
const KEEP: &str = include_str!("fencing/keep.sh");

/// `KEY=VALUE`, a line each: how a record is kept.
pub type Fields = BTreeMap<String, String>;

/// Node that was switched off by the other one, as it is noted on both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proof {
    /// Who was switched off.
    pub victim: String,
    /// Who ordered it.
    pub by: String,
    /// Method of the answers.
    pub method: String,
    /// Nobody ordered it: the cluster did so by itself, behind a cut link.
    pub cut: bool,
    /// When: RFC 3339, UTC.
    pub date: String,
    /// Seconds from the order, or the cut, to the cluster's word that it was done; `None` where the run was ended meanwhile.
    pub seconds: Option<u64>,
    /// Seconds from the order until both nodes were as before.
    pub whole_after: Option<u64>,
    /// The victim's boot id before.
    pub old_boot: String,
    /// And after.
    pub new_boot: String,
    /// Fencing configuration that it holds for, as [`Configuration::text`] gives it.
    pub configuration: String,
}

impl Proof {
    fn of(fields: &Fields) -> Option<Self> {
        let text = |key: &str| fields.get(key).cloned();
        let number = |key: &str| fields.get(key).and_then(|value| value.parse().ok());
        Some(Self {
            victim: text("victim")?,
            by: text("by")?,
            method: text("method")?,
            cut: fields.get("way").is_some_and(|way| way == "cut"),
            date: text("date")?,
            seconds: number("seconds"),
            whole_after: number("whole-after"),
            old_boot: text("old-boot")?,
            new_boot: text("new-boot")?,
            configuration: text("configuration")?,
        })
    }

    /// As it is kept.
    pub fn text(&self) -> String {
        let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
        lines(&[
            ("victim", &self.victim),
            ("by", &self.by),
            ("method", &self.method),
            ("way", if self.cut { "cut" } else { "order" }),
            ("date", &self.date),
            ("seconds", &number(self.seconds)),
            ("whole-after", &number(self.whole_after)),
            ("old-boot", &self.old_boot),
            ("new-boot", &self.new_boot),
            ("configuration", &self.configuration),
        ])
    }

    /// For people: `node2 by node1 on 2026-..., method ipmi, with the cluster link cut, 24 s`.
    pub fn words(&self) -> String {
        let took = match (self.seconds, self.whole_after) {
            (Some(seconds), Some(whole)) => format!(", {seconds} s, whole again after {whole} s"),
            (Some(seconds), None) => format!(", {seconds} s"),
            _ => String::new(),
        };
        let cut = if self.cut { ", with the cluster link cut" } else { "" };
        format!("{} by {} on {}, method {}{cut}{took}", self.victim, self.by, self.date, self.method)
    }
}

/// That somebody wanted no proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// When.
    pub date: String,
    /// Fencing configuration that it was said of, as [`Configuration::text`] gives it.
    pub configuration: String,
}

/// What one node has recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The node's boot id.
    pub boot: String,
    /// Its uptime in seconds.
    pub uptime: u64,
    /// Its clock.
    pub now: String,
    /// Id of the install.
    pub install: String,
    /// Proofs, by the name of the victim.
    pub proofs: BTreeMap<String, Proof>,
    /// Attempts that did not come to their end yet, by the name of the victim.
    pub attempts: BTreeMap<String, Fields>,
    /// That somebody wanted no proof.
    pub skipped: Option<Skipped>,
}

/// The read of what a node has recorded.
pub fn look() -> Cmd {
    Cmd::read_sh(LOOK, [] as [&str; 0])
}

/// Reads what [`look`] gave.
pub fn parse(output: &Output) -> Kept {
    let text = output.text();
    let mut kept = Kept::default();
    let mut files: BTreeMap<String, Fields> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        match name {
            "boot" => kept.boot = value.to_owned(),
            "uptime" => kept.uptime = value.parse().unwrap_or_default(),
            "now" => kept.now = value.to_owned(),
            "install" => kept.install = value.to_owned(),
            file => {
                if let Some((key, value)) = value.split_once('=') {
                    files.entry(file.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
                }
            }
        }
    }
    for (name, fields) in files {
        let of = |end: &str| name.strip_prefix("fencing-").and_then(|name| name.strip_suffix(end)).map(str::to_owned);
        if let Some(victim) = of(".proved") {
            kept.proofs.extend(Proof::of(&fields).map(|proof| (victim, proof)));
        } else if let Some(victim) = of(".trying") {
            kept.attempts.insert(victim, fields);
        } else if name == "fencing.skipped" {
            let text = |key: &str| fields.get(key).cloned().unwrap_or_default();
            kept.skipped = Some(Skipped { date: text("date"), configuration: text("configuration") });
        }
    }
    kept
}

/// The order that keeps a record: `NAME` below /var/lib/hapair, whole or not at all; removes `instead` behind it.
pub fn keep(name: &str, text: &str, instead: &str) -> Cmd {
    Cmd::write_sh(KEEP, [name, text, instead])
}

/// Fields as they are kept.
fn lines(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(key, value)| format!("{key}={}\n", value.replace(['\n', '\r'], " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let proof = Proof {
            victim: "node2".to_owned(),
            by: "node1".to_owned(),
            method: "ipmi".to_owned(),
            cut: false,
            date: "2026-11-23T00:40:00Z".to_owned(),
            seconds: Some(24),
            whole_after: None,
            old_boot: "aa".to_owned(),
            new_boot: "bb".to_owned(),
            configuration: "0123".to_owned(),
        };
        let file: String = proof.text().lines().map(|line| format!("fencing-node2.proved {line}\n")).collect();
        let text = format!(
            "boot x1\nuptime 99\nnow 2026-11-23T01:00:00Z\ninstall i1\n{file}fencing-node1.trying old-boot=cc\nfencing.skipped date=d\nfencing.skipped configuration=c\n"
        );
        let kept = parse(&Output { stdout: text.into_bytes(), ..Output::default() });
        assert_eq!((kept.boot.as_str(), kept.uptime, kept.install.as_str()), ("x1", 99, "i1"));
        assert_eq!(kept.proofs["node2"], proof);
        assert_eq!(kept.attempts["node1"]["old-boot"], "cc");
        assert_eq!(kept.skipped, Some(Skipped { date: "d".to_owned(), configuration: "c".to_owned() }));
        assert_eq!(proof.words(), "node2 by node1 on 2026-11-23T00:40:00Z, method ipmi, 24 s");
    }

    /// The real scripts on this machine, in a folder of their own.
    #[test]
    fn the_scripts_keep_and_find_it() {
        use crate::node::{Transport as _, local::Local};
        let folder = tempfile::tempdir().unwrap();
        let here = |cmd: &Cmd| {
            let mut cmd = cmd.clone();
            cmd.argv[2] = cmd.argv[2].replace("/var/lib/hapair", &folder.path().to_string_lossy());
            Local::new().exec(&cmd).expect("an output")
        };
        assert!(here(&keep("fencing-node2.trying", "old-boot=aa\n", "")).ok());
        assert!(parse(&here(&look())).attempts.contains_key("node2"));
        assert!(here(&keep("fencing.skipped", "date=d\nconfiguration=c\n", "fencing-node2.trying")).ok());
        let kept = parse(&here(&look()));
        assert!(kept.attempts.is_empty() && kept.skipped.is_some());
        assert!(kept.boot.len() > 30 && kept.uptime > 0 && kept.now.ends_with('Z'), "{kept:?}");
    }
}
