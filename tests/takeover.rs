//! The scripts that hold the cluster back, let it go and take its objects away, with stand-ins for Pacemaker's tools.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use hapair::cluster::MANAGED;

const TAKEOVER: &str = include_str!("../src/action/cib/takeover.sh");
const TAKE_OUT: &str = include_str!("../src/undo/cib.sh");

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

#[test]
fn a_vm_that_does_not_stop_stays_in_the_cib() {
    let cib = "<primitive id=\"fence-node1\" class=\"stonith\"/><primitive id=\"vm01\" class=\"ocf\"/><rsc_location id=\"l\"/>";
    let tools = |running: &str| {
        programs(&[
            (
                "cibadmin",
                &format!("case $1 in -Q) echo '{}' ;; *) echo \"$*\" >>$D/deleted ;; esac", cib.replace("><", ">\n<")),
            ),
            (
                "crm_resource",
                &format!(
                    "case $* in *--locate*) case $* in {running}) echo \"resource X is running on: node1\" ;; esac ;; esac"
                ),
            ),
        ])
    };
    let args = ["5", "rsc_location", "l", "primitive", "vm01", "primitive", "fence-node1"];
    // In maintenance mode nothing stops.
    let folder = tools("*");
    let output = sh(folder.path(), TAKE_OUT, &args);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("vm01 still runs") && words.contains("maintenance"), "{words}");
    assert_eq!(kept(folder.path(), "deleted"), "");
    // A fencing device is nowhere in that sense.
    let folder = tools("*fence-node1*");
    assert!(sh(folder.path(), TAKE_OUT, &args).status.success());
    assert_eq!(kept(folder.path(), "deleted").lines().count(), 3);
}
