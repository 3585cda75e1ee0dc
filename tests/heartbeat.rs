//! Heartbeat itself, on two User-Mode Linux machines, with the files that are rendered for the tutorial's own platform.
//!
//! Debian still has Heartbeat 3.0.6, the last of its line: its messaging layer reads the same ha.cf and authkeys as 2.1 did.
//! It can't run a cluster manager any more, so `crm` is off here, and the interfaces have the machines' own names.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hapair::answers::Reach;
use hapair::answers::load::Secrets as Values;
use hapair::cancel::Cancel;
use hapair::node::{At, Cmd, Pair};
use hapair::rehearsal::lab::{Lab as _, Machine, Wish};
use hapair::rehearsal::{cache, mapping, uml, until_up};
use hapair::secrets::Secrets;
use hapair::setup::{Places, Setup};
use hapair::state;

const NAME: &str = "heartbeat_takes_the_rendered_files_and_both_are_active";
const SCRATCH: &str = "HAPAIR_TEST_SCRATCH";

fn folder() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let folder = base.join("hapair");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn wish(scratch: &Path) -> Wish {
    Wish {
        names: ["node1".to_owned(), "node2".to_owned()],
        release: "bookworm".to_owned(),
        cluster: mapping::CLUSTER.map(|address| address.to_string()),
        second: mapping::SECOND.map(|address| address.to_string()),
        data_mib: 16,
        leave_free: false,
        sbd: false,
        preinstalled: vec!["heartbeat".to_owned()],
        offered: vec!["heartbeat".to_owned()],
        cache: folder(),
        scratch: scratch.to_owned(),
    }
}

#[test]
fn heartbeat_takes_the_rendered_files_and_both_are_active() {
    let say = |text: &str| eprintln!("heartbeat: {text}");
    if uml::inside() {
        let scratch = PathBuf::from(std::env::var_os(SCRATCH).unwrap());
        return inside(&scratch, &say);
    }
    let (scratch, _lock) = cache::run_folder(&folder()).unwrap();
    uml::prepare(&wish(&scratch), &say).unwrap();
    let words: Vec<OsString> = ["--exact", NAME, "--nocapture"].map(OsString::from).to_vec();
    let code = uml::enter_namespace(&words, &[(SCRATCH, scratch.as_os_str())]);
    let _ = cache::remove(&scratch);
    assert_eq!(code.unwrap(), 0, "it failed in the namespace: look above");
}

fn inside(scratch: &Path, say: &dyn Fn(&str)) {
    let mut lab = uml::new(&wish(scratch), say).unwrap();
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/ubuntu-7.10.yaml");
    let mut answers = hapair::answers::load::file(&answers, Values::Leave).unwrap().answers;
    for machine in Machine::BOTH {
        let login = lab.login(machine);
        let node = &mut answers.nodes[machine.index()];
        node.ssh = Reach::Ssh { user: "root".to_owned(), host: login.host, port: login.port };
        node.address = mapping::CLUSTER[machine.index()];
        node.second_address = Some(mapping::SECOND[machine.index()]);
    }
    let login = lab.login(Machine::First);
    let places =
        Places { state_dir: Some(scratch.join("state")), identity: Some(login.key.clone()), ..Places::default() };
    let setup = Setup::of(answers, places).unwrap();
    state::make(&setup.state).unwrap();
    std::fs::copy(&login.known_hosts, setup.state.join("known_hosts")).unwrap();
    for machine in Machine::BOTH {
        lab.power_on(machine).unwrap();
    }
    let pair = setup.connect(true).unwrap();
    until_up(&mut lab, &pair, &Cancel::default()).unwrap();
    say("both machines answer");

    let (platform, found) = setup.offline().unwrap();
    let plan = setup.plan(&platform, &found, &Secrets::of_install(&setup.state).unwrap()).unwrap();
    for at in At::BOTH {
        for file in plan.files(at).into_iter().filter(|file| file.path.starts_with("/etc/ha.d/")) {
            let mut text = String::from_utf8(file.content).unwrap();
            if file.path.ends_with("/ha.cf") {
                assert!(text.contains("\ncrm on\n") && text.contains("ucast eth0 ") && text.contains("ucast eth1 "));
                text = text.replace("\ncrm on\n", "\ncrm off\n");
                for (name, address) in [("eth0", mapping::CLUSTER), ("eth1", mapping::SECOND)] {
                    let interface = interface(&pair, at, &address[at.index()].to_string());
                    text = text.replace(&format!("ucast {name} "), &format!("ucast {interface} "));
                }
            }
            let write = r#"umask 077; cat >"$1" && chmod "$2" "$1""#;
            run(&pair, at, &Cmd::write_sh(write, [file.path, format!("{:04o}", file.mode)]).stdin(text).secret(true));
        }
    }
    // Without a cluster manager Heartbeat asks for a list of resources; an empty one is enough.
    for at in At::BOTH {
        run(&pair, at, &Cmd::write_sh(": >/etc/ha.d/haresources", [""; 0]));
    }
    std::thread::scope(|scope| {
        for at in At::BOTH {
            let pair = &pair;
            scope.spawn(move || {
                let start = "systemctl unmask heartbeat; systemctl start heartbeat";
                run(pair, at, &Cmd::write_sh(start, [""; 0]));
            });
        }
    });
    say("Heartbeat was started on both");
    let began = Instant::now();
    let look = r#"for node in node1 node2; do printf '%s ' "$(cl_status nodestatus "$node" 2>&1 | tail -n 1)"; done"#;
    loop {
        let seen = At::BOTH.map(|at| pair.at(at).exec(&Cmd::read_sh(look, [""; 0])).unwrap().line());
        if seen.iter().all(|line| line == "active active") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "not active on both: {seen:?}\n{}", log(&pair));
        std::thread::sleep(Duration::from_secs(2));
    }
    say(&format!("each sees both active after {:.0} s", began.elapsed().as_secs_f64()));
    for at in At::BOTH {
        let status = pair.at(at).exec(&Cmd::read(["cl_status", "hbstatus"])).unwrap();
        assert!(status.ok() && status.line().contains("is running"), "{}", status.line());
        let peer = &setup.answers.nodes[at.peer().index()].name;
        let links = pair.at(at).exec(&Cmd::read(["cl_status", "listhblinks", peer])).unwrap();
        assert_eq!(links.text().lines().filter(|line| !line.trim().is_empty()).count(), 2, "{}", links.text());
    }
    lab.gone().unwrap();
}

/// The interface that has an address.
fn interface(pair: &Pair, at: At, address: &str) -> String {
    let text = pair.at(at).exec(&Cmd::read(["ip", "-o", "-4", "addr", "show"])).unwrap().text();
    let line = text.lines().find(|line| line.contains(&format!("inet {address}/"))).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

fn run(pair: &Pair, at: At, cmd: &Cmd) {
    let output = pair.at(at).exec(cmd).unwrap();
    assert!(output.ok(), "{}: {}\n{}", pair.at(at).name, output.errors(), log(pair));
}

/// What Heartbeat said.
fn log(pair: &Pair) -> String {
    let read = Cmd::read(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "40", "-u", "heartbeat"]);
    At::BOTH.map(|at| pair.at(at).exec(&read).map(|output| output.text()).unwrap_or_default()).join("\n---\n")
}
