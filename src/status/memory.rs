//! Memory that a node has for VMs.

use serde::Serialize;

use crate::node::Cmd;

/// Memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of the machine's.
    pub total_mib: u64,
    /// What a VM that starts now could have.
    pub free_mib: u64,
}

/// A read whose output [`parse`] understands. Under Xen only the hypervisor knows: the administrative domain sees its
/// own share.
#[must_use]
pub fn read() -> Cmd {
    Cmd::read_sh(
        "if [ -r /proc/xen/capabilities ]; then xl info 2>/dev/null; else cat /proc/meminfo; fi",
        [] as [&str; 0],
    )
}

/// Reads `xl info` (total_memory and free_memory, in MiB) or `/proc/meminfo` (MemTotal and MemAvailable, in KiB).
#[must_use]
pub fn parse(text: &str) -> Option<Memory> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, rest) = line.split_once(':')?;
            (name.trim() == key).then(|| rest.split_whitespace().next()?.parse::<u64>().ok())?
        })
    };
    match (value("total_memory"), value("free_memory")) {
        (Some(total_mib), Some(free_mib)) => Some(Memory { total_mib, free_mib }),
        _ => Some(Memory { total_mib: value("MemTotal")? >> 10, free_mib: value("MemAvailable")? >> 10 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_xen_and_plain_linux() {
        let xen = "host                   : node1\ntotal_memory           : 2047\nfree_memory            : 1210\nsharing_freed_memory   : 0\n";
        assert_eq!(parse(xen), Some(Memory { total_mib: 2047, free_mib: 1210 }));
        let plain = "MemTotal:         746944 kB\nMemFree:          301820 kB\nMemAvailable:     512000 kB\n";
        assert_eq!(parse(plain), Some(Memory { total_mib: 729, free_mib: 500 }));
        assert_eq!(parse("xl: command not found"), None);
    }
}
