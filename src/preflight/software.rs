//! Packages: where they come from, whether they are there, and room for them.

use super::{Evidence, Finding};
use crate::node::At;

/// Free space for an install, in MiB, by where it is needed. The whole stack with Xen is about 500 MiB unpacked and 70 MiB
/// to fetch (measured on Debian 12); an initramfs is built twice at the same time.
const ROOM: [(&str, u64); 3] = [("/usr", 1024), ("/var", 512), ("/boot", 100)];

/// Package sources and packages.
pub(super) fn packages(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let (name, sources, software) = (e.name(at), &e.asked[at.index()].sources, &e.fact(at).software);
        for failed in &sources.failed {
            found.push(Finding::error(
                "package-source",
                Some(name),
                failed.trim_start_matches("Failed to fetch ").to_owned(),
                "mend the node's package sources or its way to them, or name a `packages.mirror`; `apt-get update` shows the same",
            ));
        }
        let missing: Vec<&str> =
            sources.missing.iter().filter(|name| !sources.available.contains(name)).map(String::as_str).collect();
        if !missing.is_empty() && sources.asked {
            let universe = e.platform().is_some_and(|platform| platform.os == "ubuntu");
            found.push(Finding::error(
                "package-missing",
                Some(name),
                format!("its package sources have no {}", missing.join(", ")),
                if universe {
                    "add the section universe to its package sources, or name a `packages.mirror` that has them"
                } else {
                    "add what is missing to its package sources (section main of its own release), or name a `packages.mirror`"
                },
            ));
        }
        if let Some((pid, lock)) = &software.locked_by {
            found.push(Finding::warning(
                "package-lock",
                Some(name),
                format!("process {pid} holds {lock}"),
                "wait until it is done; the daily update may take some minutes",
            ));
        }
        if !software.unfinished.is_empty() {
            found.push(Finding::warning(
                "package-unfinished",
                Some(name),
                format!("not wholly installed: {}", software.unfinished.join(", ")),
                "dpkg --configure -a, and look at what it says",
            ));
        }
        if sources.missing.is_empty() {
            continue;
        }
        let mut told: Vec<&str> = Vec::new();
        for (path, mib) in ROOM {
            let Some(space) = software.space_of(path) else { continue };
            let needed: u64 = ROOM
                .iter()
                .filter(|(other, _)| software.space_of(other).is_some_and(|other| other.mount == space.mount))
                .map(|(_, mib)| mib)
                .sum();
            let needed = needed.max(mib);
            if space.free < needed << 20 && !told.contains(&space.mount.as_str()) {
                told.push(&space.mount);
                found.push(Finding::error(
                    "disk-space",
                    Some(name),
                    format!("{} has {} MiB free; the install needs about {needed} MiB", space.mount, space.free >> 20),
                    "make room: `apt-get clean`, old kernels, or a larger file system",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use crate::facts::software::Space;
    use crate::preflight::samples::Sample;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn sources_and_packages_are_looked_at() {
        let mut sample = Sample::default();
        sample.asked[0].sources.missing = words("sbd drbd-utils");
        sample.asked[0].sources.available = words("sbd drbd-utils");
        assert!(sample.names().is_empty());
        sample.asked[0].sources.available = words("drbd-utils");
        sample.asked[1].sources.failed = vec!["Failed to fetch http://192.0.2.77/x Could not connect".to_owned()];
        let findings = sample.find();
        let told: Vec<(&str, &str)> = findings.iter().map(|finding| (finding.name, finding.what.as_str())).collect();
        assert_eq!(
            told,
            [
                ("package-missing", "its package sources have no sbd"),
                ("package-source", "http://192.0.2.77/x Could not connect")
            ]
        );
        // A node that was not asked has no missing packages.
        sample = Sample::default();
        sample.asked[0].sources =
            crate::preflight::asked::Sources { missing: words("sbd"), asked: false, ..Default::default() };
        assert!(sample.names().is_empty());
    }

    #[test]
    fn locks_and_half_installed_packages_are_told() {
        let mut sample = Sample::default();
        sample.facts[0].software.locked_by = Some((4231, "/var/lib/dpkg/lock".to_owned()));
        sample.facts[1].software.unfinished = words("corosync");
        let findings = sample.find();
        assert_eq!(
            findings.iter().map(|finding| finding.name).collect::<Vec<_>>(),
            ["package-lock", "package-unfinished"]
        );
        assert!(findings.iter().all(|finding| !finding.error));
    }

    #[test]
    fn room_is_needed_only_for_what_is_missing() {
        let mut sample = Sample::default();
        let space = |mount: &str, mib: u64| Space { mount: mount.to_owned(), bytes: 10 << 30, free: mib << 20 };
        sample.facts[0].software.space = vec![space("/", 1200), space("/boot", 90)];
        assert!(sample.names().is_empty());
        sample.asked[0].sources.missing = words("sbd");
        sample.asked[0].sources.available = words("sbd");
        let findings = sample.find();
        let told: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            told,
            [
                "/ has 1200 MiB free; the install needs about 1536 MiB",
                "/boot has 90 MiB free; the install needs about 100 MiB"
            ]
        );
        sample.facts[0].software.space = vec![space("/", 1636)];
        assert!(sample.names().is_empty());
    }
}
