//! The scripts of a drill: the one that cuts links, with stand-ins for the programs that would; those that kill a VM, on
//! processes that look like one.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

const LINK: &str = include_str!("../src/drill/link.sh");
const KILL_STAND_IN: &str = include_str!("../src/drill/kill_stand_in.sh");
const KILL_QEMU: &str = include_str!("../src/drill/kill_qemu.sh");

/// Each notes what it was asked; bmc1 has two addresses, bmc6 one that leads nowhere, and there is no bmc2.
const PROGRAMS: [(&str, &str); 5] = [
    ("tc", "echo \"tc $*\" >>\"$D/done\""),
    ("systemctl", ":"),
    ("systemd-run", "echo timer >>\"$D/done\""),
    (
        "getent",
        "case $2 in
bmc1.example) printf '192.0.2.7 STREAM bmc1.example\\n192.0.2.7 DGRAM\\n192.0.2.7 RAW\\n2001:db8::7 STREAM\\n2001:db8::7 DGRAM\\n' ;;
bmc6.example) echo '2001:db8:6::1 STREAM bmc6.example' ;;
*) exit 2 ;;
esac",
    ),
    (
        "ip",
        "[ \"$*\" = \"-o route get $4\" ] || exit 9
case $4 in
2001:db8:6:*) echo 'RTNETLINK answers: Network is unreachable' >&2; exit 2 ;;
*.*.*.* | *:*) echo \"$4 via 10.9.9.1 dev eth1 src 10.9.9.2 uid 0\" ;;
*) echo 'Error: any valid prefix is expected' >&2; exit 1 ;;
esac",
    ),
];

struct Rig(tempfile::TempDir);

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in PROGRAMS {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    fn cut(&self, args: &[&str]) -> Output {
        let folder: &Path = self.0.path();
        let script = LINK.replace("/run/hapair", folder.join("run").to_str().unwrap());
        Command::new("sh")
            .args(["-c", &script, "sh", "600"])
            .args(args)
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .env("D", folder)
            .output()
            .unwrap()
    }

    fn done(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_bmc_given_by_name_is_cut_off_with_each_of_its_addresses() {
    let rig = Rig::new();
    let output = rig.cut(&["bmc1.example", "all", "10.0.0.2", "all"]);
    assert!(output.status.success(), "{output:?}");
    let filter = |direction: &str, protocol: &str, what: &str| {
        let verdict = if direction == "ingress" { "drop" } else { "trap" };
        format!("tc filter add dev eth1 {direction} protocol {protocol} u32 match {what} action {verdict}")
    };
    let mut expected =
        vec!["timer".to_owned(), "tc qdisc show dev eth1".to_owned(), "tc qdisc add dev eth1 clsact".to_owned()];
    for (protocol, address) in
        [("ip pref 77", "192.0.2.7/32"), ("ipv6 pref 78", "2001:db8::7/128"), ("ip pref 77", "10.0.0.2/32")]
    {
        let word = if protocol.starts_with("ipv6") { "ip6" } else { "ip" };
        expected.push(filter("ingress", protocol, &format!("{word} src {address}")));
        expected.push(filter("egress", protocol, &format!("{word} dst {address}")));
    }
    assert_eq!(rig.done(), expected);
}

#[test]
fn a_name_that_nobody_knows_or_that_leads_nowhere_cuts_nothing() {
    for (name, words) in
        [("bmc2.example", "knows no address of bmc2.example"), ("bmc6.example", "no way to bmc6.example")]
    {
        let rig = Rig::new();
        let output = rig.cut(&[name, "all", "10.0.0.2", "all"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
        assert_eq!(rig.done(), ["timer"], "{name}");
    }
}

#[test]
fn only_the_ports_that_are_named_are_cut() {
    let rig = Rig::new();
    assert!(rig.cut(&["10.0.0.2", "tcp:7788"]).status.success());
    let filters: Vec<String> = rig.done().into_iter().filter(|line| line.contains("filter")).collect();
    assert_eq!(filters.len(), 4);
    assert!(
        filters.iter().all(|line| line.contains("port 7788 0xffff") && line.contains("10.0.0.2/32")),
        "{filters:?}"
    );
}

#[test]
fn only_the_vm_s_own_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vm01.pid");
    // As QEMU's command line has it, and as the stand-in calls itself.
    let qemu = ["sh", "-c", "read line", "-name", "guest=vm01,debug-threads=on"];
    let stand_in = ["perl", "-e", "$0 = 'StandIn'; <STDIN>"];
    for (script, own, other) in [(KILL_QEMU, &qemu[..], &stand_in[..]), (KILL_STAND_IN, &stand_in, &qemu)] {
        for (words, killed) in [(own, true), (other, false)] {
            let mut process =
                Command::new(words[0]).args(&words[1..]).stdin(std::process::Stdio::piped()).spawn().unwrap();
            let pid = process.id();
            fs::write(&file, format!("{pid}\n")).unwrap();
            let named = || {
                let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap();
                read("cmdline").contains("guest=vm01") || read("comm").trim() == "StandIn"
            };
            while !named() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let args = [file.to_str().unwrap(), "vm01"];
            let output = Command::new("sh").args(["-c", script, "sh"]).args(args).output().unwrap();
            assert_eq!(output.status.success(), killed, "{words:?}: {output:?}");
            drop(process.stdin.take());
            assert_eq!(process.wait().unwrap().signal(), killed.then_some(9), "{words:?}");
        }
    }
}
