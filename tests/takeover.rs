//! The scripts that hold the cluster back and let it go, with stand-ins for Pacemaker's tools.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use hapair::cluster::MANAGED;

const TAKEOVER: &str = include_str!("../src/action/cib/takeover.sh");

/// A folder with programs of these names, each a script; they are found before the system's own.
fn programs(of: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in of {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn sh(folder: &Path, script: &str, args: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", script, "sh"])
        .args(args)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("D", folder)
        .output()
        .unwrap()
}

fn kept(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

#[test]
fn what_hapair_holds_back_is_not_left_to_the_cluster() {
    let folder = programs(&[("pidof", "exit 0")]);
    let cib = folder.path().join("cib.xml");
    let script =
        format!("{MANAGED}\nmanaged drbd-r0-clone").replace("/var/lib/pacemaker/cib/cib.xml", cib.to_str().unwrap());
    let managed = || sh(folder.path(), &script, &[]).status.code();
    assert_eq!(managed(), Some(1), "no CIB");
    fs::write(&cib, "<clone id=\"another\"/>").unwrap();
    assert_eq!(managed(), Some(1), "not in the CIB");
    fs::write(&cib, "<clone id=\"drbd-r0-clone\"/>").unwrap();
    assert_eq!(managed(), Some(0), "Pacemaker's");
    // After a power cut in the middle of the takeover it would be waited for in vain.
    fs::write(&cib, "<cluster_property_set id=\"hapair-takeover\"/><clone id=\"drbd-r0-clone\"/>").unwrap();
    assert_eq!(managed(), Some(1), "held back");
}

#[test]
fn a_takeover_that_goes_on_lets_the_cluster_look_anew_first() {
    let folder = programs(&[
        // The first time the cluster does not answer.
        (
            "crm_resource",
            "case $1 in --refresh) echo >>$D/refresh; [ \"$(wc -l <$D/refresh)\" -gt 1 ] || exit 1 ;; *) : ;; esac",
        ),
        ("cibadmin", "[ \"$1\" != -Q ] || { cat $D/refresh >>$D/asked 2>/dev/null; echo '<cib/>'; }"),
        ("crm_simulate", ":"),
    ]);
    let first = sh(folder.path(), TAKEOVER, &["20", ""]);
    assert!(first.status.success() && kept(folder.path(), "refresh").is_empty());
    let again = sh(folder.path(), TAKEOVER, &["20", "again"]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(kept(folder.path(), "refresh").len(), 2);
    // It was not judged before it had looked.
    assert_eq!(kept(folder.path(), "asked").len(), 2);
}
