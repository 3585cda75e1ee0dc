//! The state of the package manager, and the room that it has.

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

/// Locks of dpkg and apt.
const LOCKS: [&str; 4] =
    ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"];

/// Room in a file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Where it is mounted.
    pub mount: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes that are free for users.
    pub free: u64,
}

/// The package manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    /// Process that holds a lock of dpkg or apt, and the lock's path.
    pub locked_by: Option<(u32, String)>,
    /// What `dpkg --audit` complains about: packages that are not wholly installed, one word each.
    pub unfinished: Vec<String>,
    /// File systems of /, /boot, /var, /usr, /tmp; each once.
    pub space: Vec<Space>,
}

impl Software {
    /// The file system that a path lies in, if it is one of those that were asked for.
    pub fn space_of(&self, path: &str) -> Option<&Space> {
        self.space
            .iter()
            .filter(|space| space.mount == "/" || path == space.mount || path.starts_with(&format!("{}/", space.mount)))
            .max_by_key(|space| space.mount.len())
    }
}

/// Four commands.
pub(super) fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read(["stat", "-c", "%i %n"].into_iter().chain(LOCKS)),
        Cmd::read(["head", "-n", "1000", "/proc/locks"]),
        Cmd::read(["dpkg", "--audit"]),
        Cmd::read(["df", "-kP", "/", "/boot", "/var", "/usr", "/tmp"]),
    ]
}

pub(super) fn parse(outputs: &[Output]) -> Software {
    let text = |index: usize| outputs.get(index).map(Output::text).unwrap_or_default();
    let [files, locks, audit, df] = [0, 1, 2, 3].map(text);
    Software { locked_by: lock(&files, &locks), unfinished: unfinished(&audit), space: space(&df) }
}

/// `1: POSIX  ADVISORY  WRITE 4231 08:01:131 0 EOF` of proc_locks(5), with the inode of a lock file. A line with `->` only waits.
fn lock(files: &str, locks: &str) -> Option<(u32, String)> {
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, "WRITE", pid, place, ..] = words[..] else { continue };
        let inode = place.rsplit(':').next().unwrap_or_default();
        let file = files.lines().filter_map(|file| file.split_once(' ')).find(|(number, _)| *number == inode);
        if let (Some((_, path)), Ok(pid)) = (file, pid.parse()) {
            return Some((pid, path.to_owned()));
        }
    }
    None
}

/// ` corosync      cluster engine daemon and utilities`: a line that begins with one space.
fn unfinished(audit: &str) -> Vec<String> {
    audit
        .lines()
        .filter(|line| line.starts_with(' ') && !line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn space(df: &str) -> Vec<Space> {
    let mut found: Vec<Space> = Vec::new();
    for line in df.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, size, _, free, _, mount] = words[..] else { continue };
        if let (Ok(size), Ok(free)) = (size.parse::<u64>(), free.parse::<u64>()) {
            if !found.iter().any(|space| space.mount == mount) {
                found.push(Space { mount: mount.to_owned(), bytes: size * 1024, free: free * 1024 });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: [&str; 4]) -> Software {
        parse(&texts.map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() }))
    }

    const FILES: &str = "131 /var/lib/dpkg/lock-frontend\n132 /var/lib/dpkg/lock\n";

    #[test]
    fn who_holds_the_lock_is_told() {
        let locks = "1: POSIX  ADVISORY  READ 23313 00:28:131 0 EOF\n2: POSIX  ADVISORY  WRITE 4231 08:01:131 0 EOF\n\
            2: -> POSIX  ADVISORY  WRITE 4300 08:01:132 0 EOF\n";
        assert_eq!(of([FILES, locks, "", ""]).locked_by, Some((4231, "/var/lib/dpkg/lock-frontend".to_owned())));
        assert_eq!(of([FILES, "1: FLOCK  ADVISORY  WRITE 5 08:01:9131 0 EOF\n", "", ""]).locked_by, None);
    }

    #[test]
    fn what_is_half_installed_is_told() {
        let audit = "The following packages are only half configured, probably due to problems\nconfiguring them the first time.  The configuration should be retried using\ndpkg --configure <package> or the configure menu option in dselect:\n corosync             cluster engine daemon and utilities\n pacemaker            cluster resource manager\n\n";
        assert_eq!(of(["", "", audit, ""]).unfinished, ["corosync", "pacemaker"]);
        assert!(of(["", "", "", ""]).unfinished.is_empty());
    }

    #[test]
    fn room_is_that_of_the_file_system_below() {
        let df = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/sda1          6167456   859360   4973664      15% /\n/dev/sda2           498444    60000    400000      14% /boot\n/dev/sda1          6167456   859360   4973664      15% /\n";
        let found = of(["", "", "", df]);
        assert_eq!(found.space.len(), 2);
        assert_eq!(found.space_of("/boot").map(|space| space.free), Some(400_000 * 1024));
        assert_eq!(found.space_of("/var/cache").map(|space| space.free), Some(4_973_664 * 1024));
        assert_eq!(Software::default().space_of("/"), None);
    }
}
