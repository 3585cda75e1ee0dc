//! Why an install failed, in words, from what apt-get and dpkg left behind.

use crate::action::{Refusal, RefusalKind};

/// A file system with less than this is called full, in KiB.
const FULL: u64 = 50 * 1024;

/// What is told from the exit code and the tails of stderr, stdout and df (`--- err`, `--- log`, `--- df`).
pub(super) fn words(code: &str, run: &str) -> Refusal {
    let part = |name: &str| -> Vec<&str> {
        let head = format!("--- {name}");
        run.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.starts_with("--- ")).collect()
    };
    let (err, log, df) = (part("err"), part("log"), part("df"));
    let found = locked(&err, &log)
        .or_else(|| space(&err, &log, &df))
        .or_else(|| sources(&err))
        .or_else(|| unknown(&err))
        .or_else(|| removes(&err, &log))
        .or_else(|| unmet(&err, &log))
        .or_else(|| script(&err, &log));
    let (what, next) = found.unwrap_or_else(|| {
        let what = match code {
            "143" => "the package install was asked to stop (is the node shutting down?)".to_owned(),
            _ => format!("apt-get failed with exit code {code}"),
        };
        (with_tail(what, if err.is_empty() { &log } else { &err }), "mend what apt-get complains of".to_owned())
    });
    Refusal { kind: RefusalKind::Failed, what, next }
}

type Words = Option<(String, String)>;

fn with_tail(mut what: String, lines: &[&str]) -> String {
    for line in &lines[lines.len().saturating_sub(8)..] {
        what.push_str("\n  ");
        what.push_str(line);
    }
    what
}

fn locked(err: &[&str], log: &[&str]) -> Words {
    if !err.iter().any(|line| line.contains("Could not get lock") || line.contains("frontend lock")) {
        return None;
    }
    let holder = log
        .iter()
        .chain(err)
        .find_map(|line| line.split("held by process ").nth(1).or_else(|| line.split("process with pid ").nth(1)))
        .map_or_else(String::new, |who| format!(": process {}", who.trim_end_matches('.')));
    Some((
        format!("another package manager still held its lock after five minutes{holder}"),
        "wait until it has finished (the daily update, an open apt), then continue".to_owned(),
    ))
}

fn space(err: &[&str], log: &[&str], df: &[&str]) -> Words {
    let line = err
        .iter()
        .chain(log)
        .find(|line| line.contains("No space left on device") || line.contains("enough free space in"))?;
    let mut what = format!("the disk is full: {}", line.trim().trim_start_matches("E: "));
    if let Some(need) = log.iter().find(|line| line.starts_with("Need to get ")) {
        what.push_str("\n  ");
        what.push_str(need);
    }
    if let Some(need) = log.iter().find(|line| line.starts_with("After this operation")) {
        what.push_str("\n  ");
        what.push_str(need);
    }
    let mut rows: Vec<(u64, &str)> = df
        .iter()
        .skip(1)
        .filter_map(|line| Some((line.split_whitespace().nth(3)?.parse().ok()?, line.split_whitespace().nth(5)?)))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    // Where nothing is full any more, all of them tell where room could be made.
    let full = rows.iter().any(|(free, _)| *free < FULL);
    for (free, path) in rows.iter().filter(|(free, _)| !full || *free < FULL) {
        what.push_str(&format!("\n  {path}: {} MiB free", free / 1024));
    }
    Some((what, "make room there, then continue: what was half installed is finished".to_owned()))
}

fn sources(err: &[&str]) -> Words {
    let mut failed: Vec<&str> = err
        .iter()
        .filter_map(|line| line.split("Failed to fetch ").nth(1).or_else(|| repository(line)))
        .map(str::trim)
        .collect();
    failed.dedup();
    if failed.is_empty() {
        return None;
    }
    let all = failed.join(" ");
    let next = if all.contains("not valid yet") || all.contains("is expired") {
        "set the node's clock, then continue"
    } else if all.contains("Could not resolve") || all.contains("Temporary failure resolving") {
        "mend the node's name resolution (/etc/resolv.conf), or name a mirror that it reaches in packages.mirror"
    } else if all.contains("is not signed") || all.contains("NO_PUBKEY") {
        "a source of your own that nobody signs is written as: packages.mirror: \"deb [trusted=yes] URL ./\""
    } else {
        "see that the node reaches its package sources (/etc/apt/sources.list*), or name a mirror in packages.mirror"
    };
    let mut what = with_tail("a package source can't be read:".to_owned(), &failed);
    if let Some((unknown, _)) = unknown(err) {
        what.push_str("\n  so ");
        what.push_str(&unknown);
    }
    Some((what, next.to_owned()))
}

fn repository<'a>(line: &&'a str) -> Option<&'a str> {
    let complaint = ["The repository '", "Release file for ", "GPG error: "].iter().any(|begin| line.contains(begin));
    complaint.then(|| line.trim_start_matches("E: ").trim_start_matches("W: "))
}

fn unknown(err: &[&str]) -> Words {
    let names: Vec<&str> = err
        .iter()
        .filter_map(|line| {
            let quoted = || line.strip_prefix("E: Package '")?.strip_suffix("' has no installation candidate");
            line.strip_prefix("E: Unable to locate package ").or_else(quoted)
        })
        .collect();
    (!names.is_empty()).then(|| {
        (
            format!("the node's package sources know no {}", names.join(", ")),
            "see that its sources hold the release's whole main section (Ubuntu: universe too)".to_owned(),
        )
    })
}

fn removes(err: &[&str], log: &[&str]) -> Words {
    err.iter().find(|line| line.contains("remove is disabled"))?;
    let names: Vec<&str> = log
        .iter()
        .skip_while(|line| !line.contains("packages will be REMOVED"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .flat_map(|line| line.split_whitespace())
        .collect();
    Some((
        format!("the packages don't go together with what is installed: {} would be removed", names.join(", ")),
        "remove it yourself if it is not needed (apt-get remove), then continue".to_owned(),
    ))
}

fn unmet(err: &[&str], log: &[&str]) -> Words {
    let broken = ["you have held broken packages", "Unmet dependencies", "have unmet dependencies"];
    if !err.iter().any(|line| broken.iter().any(|words| line.contains(words))) {
        return None;
    }
    let lines: Vec<&str> =
        log.iter().skip_while(|line| !line.contains("have unmet dependencies")).skip(1).copied().collect();
    Some((
        with_tail("the packages don't fit what is installed:".to_owned(), if lines.is_empty() { err } else { &lines }),
        "mend it on the node with apt-get -f install, or give it the package sources of its own release".to_owned(),
    ))
}

fn script(err: &[&str], log: &[&str]) -> Words {
    let name = err.iter().find_map(|line| line.strip_prefix("dpkg: error processing ")?.split_whitespace().nth(1))?;
    let mut lines: Vec<&str> = log.iter().rev().take(6).rev().copied().collect();
    lines.extend(err);
    Some((
        with_tail(format!("dpkg could not install {name}:"), &lines),
        format!("see on the node what it complains of: dpkg --configure {name}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(err: &str, log: &str, df: &str) -> (String, String) {
        let refusal = words("100", &format!("run=ended 100\n--- err\n{err}\n--- log\n{log}\n--- df\n{df}\n"));
        assert_eq!(refusal.kind, RefusalKind::Failed);
        (refusal.what, refusal.next)
    }

    // The texts are those of apt 2.6 and dpkg 1.21 on Debian 12.

    #[test]
    fn a_source_that_does_not_answer_is_named() {
        let (what, next) = said(
            "W: Failed to fetch http://nosuchhost.invalid/debian/dists/bookworm/InRelease  Could not resolve 'nosuchhost.invalid'\n\
             W: Some index files failed to download. They have been ignored, or old ones used instead.\n\
             E: Unable to locate package at",
            "Reading package lists...",
            "",
        );
        assert!(what.contains("http://nosuchhost.invalid/debian/dists/bookworm/InRelease"), "{what}");
        assert!(what.contains("know no at"), "{what}");
        assert!(next.contains("resolv.conf"), "{next}");
        let (what, next) = said(
            "E: Failed to fetch http://mirror/nosuch/dists/bookworm/InRelease  404  Not Found [IP: 192.0.2.9 80]\n\
             E: The repository 'http://mirror/nosuch bookworm InRelease' is not signed.\n\
             E: Unable to locate package at",
            "",
            "",
        );
        assert!(what.contains("404  Not Found") && next.contains("trusted=yes"), "{what} {next}");
    }

    #[test]
    fn an_unknown_package_is_named() {
        let (what, _) = said("E: Unable to locate package nosuchpackage", "Reading package lists...", "");
        assert_eq!(what, "the node's package sources know no nosuchpackage");
        let (what, _) = said("E: Package 'xen-system-amd64' has no installation candidate", "", "");
        assert!(what.ends_with("xen-system-amd64"));
    }

    #[test]
    fn a_full_disk_is_named_with_its_room() {
        let df = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                  /dev/sda1       6100000  6050000     20480      99% /\n\
                  /dev/sda1       6100000  6050000     20480      99% /\n\
                  /dev/sda2        900000   100000    800000      12% /boot";
        let (what, next) = said(
            "dpkg: error processing archive /tmp/apt-dpkg-install-cj299L/17-libxml2_2.9.14.deb (--unpack):\n \
             cannot copy extracted data for './usr/share/doc/x' to '/usr/share/doc/x.dpkg-new': failed to write (No space left on device)\n\
             E: Sub-process /usr/bin/dpkg returned an error code (1)",
            "",
            df,
        );
        assert!(what.contains("\n  /: 20 MiB free") && !what.contains("/boot"), "{what}");
        assert_eq!(what.matches("MiB free").count(), 1);
        assert!(next.contains("make room"));
        let (what, _) = said(
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            "Need to get 15.6 MB of archives.\nAfter this operation, 50.6 MB of additional disk space will be used.",
            "",
        );
        assert!(what.contains("15.6 MB") && what.contains("50.6 MB"), "{what}");
    }

    #[test]
    fn who_holds_the_lock_is_named() {
        let (what, _) = said(
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4231 (python3)\n\
             E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
            "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4231 (python3)...",
            "",
        );
        assert!(what.ends_with(": process 4231 (python3)"), "{what}");
    }

    #[test]
    fn what_would_be_removed_is_named() {
        let (what, _) = said(
            "E: Packages need to be removed but remove is disabled.",
            "Reading state information...\nThe following packages will be REMOVED:\n  busybox\nThe following NEW packages will be installed:\n  busybox-static",
            "",
        );
        assert!(what.ends_with(": busybox would be removed"), "{what}");
    }

    #[test]
    fn a_package_that_cant_be_configured_is_named() {
        let (what, next) = said(
            "dpkg: error processing package ocfs2-tools (--configure):\n installed ocfs2-tools package post-installation script subprocess returned error exit status 1\n\
             E: Sub-process /usr/bin/dpkg returned an error code (1)",
            "Setting up ocfs2-tools (1.8.7-3) ...",
            "",
        );
        assert!(what.starts_with("dpkg could not install ocfs2-tools"), "{what}");
        assert!(next.ends_with("dpkg --configure ocfs2-tools"));
    }

    #[test]
    fn anything_else_is_shown_as_it_is() {
        let (what, _) = said("E: something new", "", "");
        assert_eq!(what, "apt-get failed with exit code 100\n  E: something new");
    }
}
