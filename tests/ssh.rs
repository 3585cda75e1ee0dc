//! The SSH transport against a real sshd on loopback.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types)]

mod sshd;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hapair::node::ssh::{Ssh, Target, sweep};
use hapair::node::{Cmd, Lost, Transport, batch, host_key};
use sshd::Sshd;

const NONE: [&str; 0] = [];

#[test]
fn exit_codes_come_with_their_output() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    for code in [0, 3, 124, 127, 137, 255] {
        let out = ssh.exec(&Cmd::read_sh("printf out; printf err >&2; exit $1", [code.to_string()])).unwrap();
        assert_eq!((out.code, out.text(), out.errors()), (code, "out".to_owned(), "err".to_owned()));
    }
    let out = ssh.exec(&Cmd::read(["no-such-program"])).unwrap();
    assert!(out.code == 127 && out.errors().contains("no-such-program"));
    let out = ssh.exec(&Cmd::read_sh("echo a; kill -9 $$", NONE)).unwrap();
    assert_eq!((out.code, out.line()), (137, "a".to_owned()));
    let start = Instant::now();
    let out = ssh.exec(&Cmd::read_sh("echo a; sleep 20", NONE).timeout(Duration::from_secs(1))).unwrap();
    assert_eq!((out.code, out.line()), (124, "a".to_owned()));
    // What a command leaves running does not keep us waiting.
    assert!(ssh.exec(&Cmd::read_sh("sleep 20 & echo b", NONE)).unwrap().line() == "b");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_megabyte_goes_both_ways_at_once() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    let bytes: Vec<u8> = (0..=255).cycle().take(1_048_576).collect();
    let out = ssh.exec(&Cmd::read_sh("tee /dev/fd/3 3>&2", NONE).stdin(bytes.clone())).unwrap();
    assert!(out.ok() && out.stdout == bytes && out.stderr == bytes);
    assert!(ssh.exec(&Cmd::read(["true"]).stdin(bytes)).unwrap().ok());
    assert_eq!(ssh.exec(&Cmd::read(["cat"])).unwrap().stdout, b"");
}

#[test]
fn arguments_arrive_as_they_are() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    let nasty =
        ["it's", "$HOME `id` $(id)", "a\nb", "", "*", "\\", "\"", "~", "é ☃", "-n", "a=b", "!x", "#", "\t;&|<>"];
    let mut argv = vec!["printf", "%s\\0"];
    argv.extend(nasty);
    let out = ssh.exec(&Cmd::read(argv)).unwrap();
    assert_eq!(out.text(), nasty.map(|arg| format!("{arg}\0")).concat());
    assert!(matches!(ssh.exec(&Cmd::read(["echo", "a\0b"])), Err(Lost::Refused(_))));
    assert!(matches!(ssh.exec(&Cmd::read(["echo", &"x".repeat(200_000)])), Err(Lost::Refused(_))));
}

#[test]
fn an_unknown_host_key_is_refused_until_it_is_settled() {
    let sshd = Sshd::start("");
    let target = Target { known_hosts: sshd.path("run known %h"), ..sshd.target() };
    let ssh = Ssh::new(target.clone());
    let Err(Lost::HostKey(why)) = ssh.exec(&Cmd::read(["true"])) else { panic!() };
    let scanned = host_key::scan("127.0.0.1", sshd.port, Duration::from_secs(5)).unwrap();
    let real = scanned[0].fingerprint.clone();
    assert!(why.ends_with(&format!("\nhost_key: {real}")), "{why}");

    assert_eq!(host_key::settle(&target, None), Err(Lost::HostKey(why)));
    let other = "SHA256:0000000000000000000000000000000000000000000";
    let Err(Lost::HostKey(why)) = host_key::settle(&target, Some(other)) else { panic!() };
    assert!(why.contains(other) && why.contains(&real), "{why}");
    assert!(ssh.exec(&Cmd::read(["true"])).is_err());
    host_key::settle(&target, Some(&real)).unwrap();
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    host_key::settle(&target, None).unwrap();
    assert_eq!(fs::read_to_string(&target.known_hosts).unwrap().lines().count(), 1);
}

#[test]
fn what_the_users_own_files_know_is_known() {
    let sshd = Sshd::start("");
    let target = Target { known_hosts: sshd.path("run"), ..sshd.target() };
    fs::write(sshd.path("users"), sshd.known_line()).unwrap();
    let hashed = Command::new("ssh-keygen").arg("-H").arg("-f").arg(sshd.path("users")).output().unwrap();
    assert!(hashed.status.success());
    assert!(!fs::read_to_string(sshd.path("users")).unwrap().contains("127.0.0.1"));
    host_key::settle(&target, None).unwrap();
    host_key::prefill(&target).unwrap();
    assert_eq!(fs::read_to_string(&target.known_hosts).unwrap().lines().count(), 1);
    assert!(Ssh::new(target).exec(&Cmd::read(["true"])).unwrap().ok());
}

#[test]
fn a_changed_host_key_is_refused() {
    let mut sshd = Sshd::start("");
    let old = host_key::scan("127.0.0.1", sshd.port, Duration::from_secs(5)).unwrap()[0].fingerprint.clone();
    sshd.down();
    sshd.keygen("host");
    sshd.up();
    let new = host_key::scan("127.0.0.1", sshd.port, Duration::from_secs(5)).unwrap()[0].fingerprint.clone();
    let Err(Lost::HostKey(why)) = Ssh::new(sshd.target()).exec(&Cmd::read(["true"])) else { panic!() };
    assert!(why.contains(&old) && why.contains(&new) && why.contains("ssh-keygen -R"), "{why}");
    let Err(Lost::HostKey(why)) = host_key::settle(&sshd.target(), Some(&new)) else { panic!() };
    assert!(why.contains(&old) && why.contains(&new), "{why}");
}

#[test]
fn a_wrong_key_and_a_closed_port_are_told_apart() {
    let mut sshd = Sshd::start("");
    let stranger = Target { key: Some(sshd.path("stranger")), ..sshd.target() };
    let Err(Lost::Auth(why)) = Ssh::new(stranger).exec(&Cmd::read(["true"])) else { panic!() };
    assert!(why.contains("Permission denied") && why.contains("stranger"), "{why}");
    sshd.down();
    let Err(Lost::Unreachable(why)) = Ssh::new(sshd.target()).exec(&Cmd::read(["true"])) else { panic!() };
    assert!(why.contains("refused"), "{why}");
    let Err(Lost::Unreachable(why)) =
        host_key::settle(&Target { known_hosts: sshd.path("none"), ..sshd.target() }, None)
    else {
        panic!()
    };
    assert!(why.contains(&sshd.port.to_string()), "{why}");
}

#[test]
fn a_cut_in_mid_command_is_dropped_and_the_next_one_works() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    let lost = std::thread::scope(|threads| {
        let running = threads.spawn(|| ssh.exec(&Cmd::write_sh("echo begun; sleep 20", NONE)));
        let start = Instant::now();
        while sshd::with_argument("echo begun; sleep 20").is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(sshd.cut() > 0);
        running.join().unwrap()
    });
    assert!(matches!(lost, Err(Lost::Dropped(_))), "{lost:?}");
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    // And between two commands nothing is lost at all.
    assert!(sshd.cut() > 0);
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    ssh.reset();
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
}

#[test]
fn a_restart_is_found_again() {
    let mut sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    sshd.down();
    assert!(matches!(ssh.exec(&Cmd::read(["true"])), Err(Lost::Unreachable(_) | Lost::Dropped(_))));
    sshd.up();
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
}

#[test]
fn more_threads_than_sessions() {
    let sshd = Sshd::start("MaxSessions 2");
    let ssh = Ssh::new(sshd.target());
    std::thread::scope(|threads| {
        for i in 0..6 {
            let ssh = &ssh;
            threads.spawn(move || {
                let out = ssh.exec(&Cmd::read_sh("sleep 0.3; echo $1", [i.to_string()])).unwrap();
                assert_eq!(out.line(), i.to_string());
            });
        }
    });
}

#[test]
fn a_killed_run_leaves_a_master_that_is_swept_away() {
    let sshd = Sshd::start("");
    let target = sshd.target();
    let ssh = Ssh::new(target.clone());
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    let socket = format!("{}/.ssh-connection", target.control_dir.display());
    assert_eq!(sshd::with_argument(&socket).len(), 1);
    // As a kill would: nothing of it is dropped.
    std::mem::forget(ssh);
    sweep(&target.control_dir);
    assert_eq!(fs::read_dir(&target.control_dir).unwrap().count(), 0);
    let start = Instant::now();
    while !sshd::with_argument(&socket).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "the master is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn forty_reads_in_one_round_trip() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(sshd.target());
    let reads: Vec<Cmd> = (0..40).map(|i| Cmd::read(["/bin/echo", &i.to_string()])).collect();
    ssh.exec(&Cmd::read(["true"])).unwrap();
    let start = Instant::now();
    let single: Vec<_> = reads.iter().map(|cmd| ssh.exec(cmd).unwrap()).collect();
    let one_by_one = start.elapsed();
    let start = Instant::now();
    let together = batch::exec(&ssh, &reads).unwrap();
    let batched = start.elapsed();
    assert_eq!(single, together);
    let ratio = one_by_one.as_secs_f64() / batched.as_secs_f64();
    println!("40 reads: {one_by_one:?} one by one, {batched:?} in a batch: {ratio:.0} times");
}

/// Runs in a process of its own; see below.
#[test]
#[ignore = "only as the child of ctrl_c_does_not_reach_a_running_command"]
fn child_that_gets_the_ctrl_c() {
    let Ok(port) = std::env::var("HAPAIR_TEST_SSHD") else { return };
    let (port, dir) = port.split_once(' ').unwrap();
    let dir = std::path::PathBuf::from(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let signals = runtime.block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()) });
    let mut signals = signals.unwrap();
    let ssh = Ssh::new(Target {
        user: sshd::whoami(),
        host: "127.0.0.1".to_owned(),
        port: port.parse().unwrap(),
        key: Some(dir.join("user")),
        known_hosts: dir.join("known"),
        config_file: Some(dir.join("client")),
        control_dir: dir.join("c"),
        connect_timeout: Duration::from_secs(10),
        sudo: false,
    });
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    println!("\nconnected");
    let out = ssh.exec(&Cmd::write_sh("sleep 1.5; echo survived", NONE)).unwrap();
    println!("\nremote {}", out.line());
    runtime.block_on(signals.recv());
    println!("\nsignal seen; and then {:?}", ssh.exec(&Cmd::read(["true"])).map(|out| out.code));
}

#[test]
fn ctrl_c_does_not_reach_a_running_command() {
    let sshd = Sshd::start("");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child_that_gets_the_ctrl_c"])
        .env("HAPAIR_TEST_SSHD", format!("{} {}", sshd.port, sshd.dir.path().display()))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut wait_for = |text: &str| lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(text));
    wait_for("connected").expect("a connection");
    let masters = sshd::with_argument(&format!("{}/c/.ssh-connection", sshd.dir.path().display()));
    assert_eq!(masters.len(), 1);
    // State, parent, group, session: the master has a group and a session of its own.
    assert_ne!(sshd::stat(masters[0]).unwrap()[2], child.id().to_string());
    std::thread::sleep(Duration::from_millis(500));
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    assert_eq!(wait_for("remote").as_deref(), Some("remote survived"));
    assert_eq!(wait_for("signal").as_deref(), Some("signal seen; and then Ok(0)"));
    assert!(child.wait().unwrap().success());
}

/// A wire between us and sshd that can go silent without being cut: what a pulled cable or a dead switch looks like.
struct Wire {
    port: u16,
    silent: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Wire {
    fn to(sshd: &Sshd) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), silent: std::sync::Arc::default() };
        let (server, silent) = (sshd.port, wire.silent.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = std::net::TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    let silent = silent.clone();
                    std::thread::spawn(move || carry(from, to, &silent));
                }
            }
        });
        wire
    }

    fn silent(&self, silent: bool) {
        self.silent.store(silent, std::sync::atomic::Ordering::SeqCst);
    }

    /// The way to sshd over this wire.
    fn target(&self, sshd: &Sshd) -> Target {
        let known = sshd.path(&format!("known-{}", self.port));
        fs::write(&known, sshd.known_line().replace(&sshd.port.to_string(), &self.port.to_string())).unwrap();
        Target { port: self.port, known_hosts: known, ..sshd.target() }
    }
}

fn carry(mut from: std::net::TcpStream, mut to: std::net::TcpStream, silent: &std::sync::atomic::AtomicBool) {
    use std::io::{Read as _, Write as _};
    let mut buffer = [0; 16384];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        // What is on its way stays on its way.
        while silent.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

#[test]
fn five_silent_seconds_in_mid_command_cost_nothing() {
    let sshd = Sshd::start("");
    let wire = Wire::to(&sshd);
    let ssh = Ssh::new(wire.target(&sshd));
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    let out = std::thread::scope(|threads| {
        let running = threads.spawn(|| ssh.exec(&Cmd::write_sh("echo begun; sleep 2; echo done", NONE)));
        std::thread::sleep(Duration::from_millis(500));
        wire.silent(true);
        std::thread::sleep(Duration::from_secs(5));
        wire.silent(false);
        running.join().unwrap()
    });
    assert_eq!(out.unwrap().text(), "begun\ndone\n");
    println!("a link that is silent for 5 s in mid-command costs nothing");
}

#[test]
fn minutes_of_silence_are_told_as_a_broken_connection_and_then_it_works_again() {
    let sshd = Sshd::start("");
    let wire = Wire::to(&sshd);
    let ssh = Ssh::new(wire.target(&sshd));
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
    let start = Instant::now();
    let (lost, took) = std::thread::scope(|threads| {
        let running = threads.spawn(|| {
            let lost = ssh.exec(&Cmd::write_sh("sleep 300", NONE));
            (lost, start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(500));
        wire.silent(true);
        running.join().unwrap()
    });
    assert!(matches!(lost, Err(Lost::Dropped(_))), "{lost:?}");
    assert!(took < Duration::from_secs(120), "noticed after {took:?}");
    println!("a silent link is noticed after {:.0} s", took.as_secs_f64());

    // While it is silent: a node that can be reached and whose SSH says nothing.
    let deaf = Ssh::new(Target { connect_timeout: Duration::from_secs(2), ..wire.target(&sshd) });
    let Err(Lost::Unreachable(why)) = deaf.exec(&Cmd::read(["true"])) else { panic!("reached") };
    assert!(why.to_lowercase().contains("timed out") || why.contains("no answer"), "{why}");

    wire.silent(false);
    ssh.reset();
    assert!(ssh.exec(&Cmd::read(["true"])).unwrap().ok());
}
