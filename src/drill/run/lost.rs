//! What is told and kept of writes that were acknowledged and are not on disk.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result};

use super::super::guest;
use super::super::ledger::{Ledger, OnDisk};
use super::super::part::Part;
use super::Drill;
use crate::node::{At, Cmd};

impl Drill<'_> {
    /// Which writes are lost, when they were acknowledged (in seconds since `zero`, the harm), what is on disk instead, and
    /// where it is kept before the counter is taken away; nothing when none is lost.
    pub(super) fn losses(&self, part: Part, ledger: &Ledger, disk: &OnDisk, zero: f64) -> Vec<String> {
        let mut losses: Vec<String> = ledger
            .lost(disk)
            .iter()
            .map(|loss| {
                let (first, last, node) = (loss.first, loss.last, self.name(loss.node));
                let (from, to) = (loss.from - zero, loss.to - zero);
                format!("lost: {first} to {last} of {node}, acknowledged {from:.1} s to {to:.1} s after the harm")
            })
            .collect();
        if losses.is_empty() {
            return losses;
        }
        losses.push(format!("on disk: {}", ledger.told(disk, |at| self.name(at))));
        losses.push(match self.kept(part) {
            Ok(path) => format!("the counter's file as it is, and what both kernels said, are kept in {path}"),
            Err(error) => format!("the counter's file could not be kept: {error:#}"),
        });
        losses
    }

    /// Keeps the counter's file and the kernels' messages in the state folder.
    fn kept(&self, part: Part) -> Result<String> {
        let path = self.setup.state.join(format!("drill-lost-{part}-{:.0}.txt", jiff::Timestamp::now()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let ticks = format!("{}/ticks", guest::folder(self.setup));
        let reads = [(At::First, vec!["cat", &ticks]), (At::First, vec!["dmesg"]), (At::Second, vec!["dmesg"])];
        for (at, words) in reads {
            let node = self.pair.at(at);
            writeln!(file, "== {} $ {}", node.name, words.join(" "))?;
            let output = node.exec(&Cmd::read(words)).with_context(|| format!("asking {}", node.name))?;
            file.write_all(&output.stdout)?;
        }
        file.sync_all()?;
        Ok(path.display().to_string())
    }
}
