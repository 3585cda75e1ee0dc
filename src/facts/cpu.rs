//! The processor, as the running kernel sees it. Under Xen dom0 does not see all of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// `GenuineIntel`, `AuthenticAMD`...
    pub vendor: String,
    /// Its name.
    pub model: String,
    /// Processors (threads) that are online; 0 if unknown.
    pub count: u32,
    /// What it can do.
    pub flags: BTreeSet<String>,
}

impl Cpu {
    /// It can run guests with hardware help.
    pub fn virtualizes(&self) -> bool {
        self.flags.contains("vmx") || self.flags.contains("svm")
    }

    /// What this one can do and the other can't.
    pub fn more_than<'a>(&'a self, other: &'a Cpu) -> Vec<&'a str> {
        self.flags.difference(&other.flags).map(String::as_str).collect()
    }
}

/// From the beginning of /proc/cpuinfo and the list of processors online (`0-3,8`).
pub(super) fn parse(cpuinfo: &str, online: &str) -> Cpu {
    let value = |key: &str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .unwrap_or_default()
    };
    Cpu {
        vendor: value("vendor_id"),
        model: value("model name"),
        count: online.trim().split(',').filter_map(range).sum(),
        flags: value("flags").split_whitespace().map(str::to_owned).collect(),
    }
}

fn range(text: &str) -> Option<u32> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    (last + 1).checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel name\t: AMD EPYC 7763  64-Core Processor\nflags\t\t: fpu svm sse4a hypervisor\nbugs\t\t: sysret_ss_attrs\n";

    #[test]
    fn a_processor_is_seen() {
        let cpu = parse(INFO, "0-3,8\n");
        assert_eq!((cpu.vendor.as_str(), cpu.model.as_str()), ("AuthenticAMD", "AMD EPYC 7763 64-Core Processor"));
        assert_eq!(cpu.count, 5);
        assert!(cpu.virtualizes() && cpu.flags.contains("sse4a"));
        let other = parse("flags : fpu svm\n", "");
        assert_eq!(cpu.more_than(&other), ["hypervisor", "sse4a"]);
        assert_eq!((other.count, other.more_than(&cpu).len()), (0, 0));
    }
}
