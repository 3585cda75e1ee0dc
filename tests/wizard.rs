//! The wizard as a person meets it: in a pseudo-terminal, with keys and a screen.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod screen;
mod sshd;
mod toys;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hapair::answers::load::{self, Secrets};
use hapair::cancel::Cancel;
use hapair::command::ask::{self, Then};
use hapair::setup::Places;
use hapair::wizard::draft::Draft;
use hapair::wizard::terminal::Terminal;
use screen::{CTRL_C, DOWN, ENTER, ESC, Screen};
use toys::Toys;

/// The program that the tests below start in their pseudo-terminals: the wizard with its real terminal and toy machines.
#[test]
#[ignore = "it is started by the other tests"]
fn the_wizard_with_toys() {
    let cancel = Cancel::listen_at_once().unwrap();
    let file = Path::new("half.yaml");
    let (file, text) = (file.exists().then_some(file), std::fs::read_to_string(file).unwrap_or_default());
    let draft = Draft::new(text, PathBuf::from("."));
    let mut toys = Toys { odd: std::env::var_os("ODD_TOYS").is_some(), ..Toys::default() };
    let places = Places::default();
    let mut terminal = Terminal::new();
    let result = ask::wizard(&mut terminal, &mut toys, file, draft, &places, &Then::Save, &cancel);
    let code =
        result.map_or_else(|error| if error.is::<hapair::wizard::asker::Interrupted>() { 130 } else { 1 }, i32::from);
    drop(terminal);
    std::process::exit(code);
}

fn with_toys(folder: &Path, rows: u16, columns: u16) -> Screen {
    Screen::start(toys(folder), rows, columns)
}

fn with_odd_toys(folder: &Path, rows: u16, columns: u16) -> Screen {
    let mut command = toys(folder);
    command.env("ODD_TOYS", "1");
    Screen::start(command, rows, columns)
}

fn toys(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "the_wizard_with_toys", "--nocapture"]).current_dir(folder);
    command
}

/// What is typed at a list and begins none of its lines, and what is told then.
const ZZ: &str = "zz\r";
const NOTHING: &str = "Nothing in this list begins with `zz`";

/// A question: what is seen there, what is wrong and in which words, and what is answered.
type Asked = (&'static str, &'static str, &'static str, &'static str);

/// What is seen at each question, what is wrong there and in which words, and what is answered.
const QUESTIONS: &[Asked] = &[
    ("How is the first machine reached?", "left\r", "has no user", "root@left\r"),
    ("How is the second machine reached?", "root@left\r", "same machine as the first", "root@right:2222\r"),
    ("Name of the pair", "My_Pair\r", "is not a cluster name", "web\r"),
    ("Which network carries DRBD", ZZ, NOTHING, "\r"),
    ("Which network is the second link", ZZ, NOTHING, "\r"),
    ("Which device of left", "\x1b[B\x1b[B\r", "can't be taken: mounted on /", "\x1b[A\r"),
    ("type its serial (S1)", "yes\r", "does not name this disk; it is S1", "S1\r"),
    ("Which device of right", ZZ, NOTHING, "\r"),
    ("How large is the new partition", "10X\r", "no unit", "\r"),
    ("How is a machine switched off", ZZ, NOTHING, "\r"),
    ("Address of the BMC of left", "10.1.0.1\r", "node's own address", "10.9.0.1\r"),
    ("User at the BMC of left", "\r", "Type an answer", "admin\r"),
    ("Where are passwords kept", ZZ, NOTHING, "\r"),
    ("Password at the BMC of left", "\r", "Type it", "geheim\r"),
    ("Address of the BMC of right", "10.9.0.1\r", "other node's BMC", "10.9.0.2\r"),
    ("User at the BMC of right", "", "", "\r"),
    ("Password at the BMC of right", "\r", "Type it", "geheim2\r"),
    ("Shall hapair make a virtual machine", ZZ, NOTHING, "\r"),
    ("Name of the virtual machine", "left\r", "name of a node", "vm1\r"),
    ("What does vm1 start from", ZZ, NOTHING, "\r"),
    ("Memory of vm1", "1\r", "has no unit", "\r"),
    ("Virtual CPUs of vm1", "0\r", "is not a number of CPUs", "\r"),
    ("Size of the disk of vm1", "1G1\r", "is no unit", "\r"),
    ("Where does vm1 run", ZZ, NOTHING, "\r"),
    ("Another virtual machine", ZZ, NOTHING, "\r"),
    ("In which file are the answers kept", "/no/such/folder/x\r", "there is no folder", "\r"),
];

/// The questions that only strangers cause, of which nothing is known.
const ODD_QUESTIONS: &[Asked] = &[
    ("How is the first machine reached?", "left\r", "has no user", "admin@left\r"),
    ("Is this the key of admin@left", ZZ, NOTHING, "yes\r"),
    ("Copy your key to admin@left", ZZ, NOTHING, "\r"),
    ("May admin use sudo on admin@left", ZZ, NOTHING, "\r"),
    ("How is the second machine reached?", "admin@left\r", "same machine as the first", "root@right\r"),
    ("Is this the key of root@right", ZZ, NOTHING, "y\r"),
    ("Copy your key to root@right", ZZ, NOTHING, "\r"),
    ("Name of the first machine", "node_1\r", "has an underscore", "\r"),
    ("Name of the second machine", "node1\r", "name of the first node too", "\r"),
    ("Name of the pair", "My_Pair\r", "is not a cluster name", "\r"),
    ("Address of node1 for DRBD", "fe80::1\r", "IPv6 address", "10.1.0.1\r"),
    ("Address of node2 for DRBD", "10.1.0.1\r", "every address is used once", "10.1.0.2\r"),
    ("Nothing free was found on node1", "/dev/drbd0\r", "own device", "/dev/sda3\r"),
    ("Nothing free was found on node2", "/dev/drbd0\r", "own device", "/dev/sda3\r"),
    ("How is a machine switched off", ZZ, NOTHING, "another\r"),
    ("Name of the fence agent", "apc\r", "is not a fence agent", "fence_apc_snmp\r"),
    ("Parameters that switch off node1", "ip\r", "is no parameter", "ip=10.9.0.1 plug=1\r"),
    ("Parameters that switch off node2", "passwd=x\r", "What is typed here is shown", "ip=10.9.0.1 plug=2\r"),
    ("Shall hapair make a virtual machine", ZZ, NOTHING, "\r"),
    ("Name of the virtual machine", "node1\r", "name of a node", "vm1\r"),
    ("What does vm1 start from", ZZ, NOTHING, "a copy\r"),
    ("Path of the disk image", "images/x\r", "not an absolute path", "/srv/x.img\r"),
    ("Memory of vm1", "1\r", "has no unit", "\r"),
    ("Virtual CPUs of vm1", "0\r", "is not a number of CPUs", "\r"),
    ("Size of the disk of vm1", "1G1\r", "is no unit", "\r"),
    ("Which bridge is vm1 connected to", ZZ, NOTHING, "br0\r"),
    ("Where does vm1 run", ZZ, NOTHING, "either\r"),
    ("Another virtual machine", ZZ, NOTHING, "no\r"),
    ("In which file are the answers kept", "/no/such/folder/x\r", "there is no folder", "\r"),
];

#[test]
fn strangers_cause_more_questions_and_those_behave_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = with_odd_toys(folder.path(), 40, 110);
    for (question, wrong, told, right) in ODD_QUESTIONS {
        screen.wait(question, 20);
        screen.press("?");
        screen.wait(at_length(question), 10);
        screen.press(wrong);
        screen.wait(told, 10);
        screen.press("\x15");
        screen.press(right);
    }
    assert_eq!(screen.code(10), 0);
    screen.assert_as_before("at the end");
    let answers = load::file(&folder.path().join("pair.yaml"), Secrets::Resolve).unwrap().answers;
    assert_eq!(answers.nodes[1].host_key, Some(format!("SHA256:{}", "k".repeat(43))));
    assert_eq!((answers.nodes[0].name.as_str(), answers.nodes[1].device.as_str()), ("node1", "/dev/sda3"));
}

/// Something that is only seen when a question explains itself.
fn at_length(question: &str) -> &'static str {
    match question {
        "In which file are the answers kept" => "mode 0600",
        question if question.contains("machine reached") => "agent",
        question if question.starts_with("Is this the key") => "cloud-init",
        question if question.starts_with("Copy your key") => "authorized_keys",
        question if question.starts_with("May admin") => "Debian",
        _ => "hapair explain",
    }
}

#[test]
fn every_question_takes_back_wrong_input_and_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = with_toys(folder.path(), 30, 100);
    let mut before: Option<(&str, &str)> = None;
    for (question, wrong, told, right) in QUESTIONS {
        screen.wait(question, 20);
        if let Some((earlier, answer)) = before {
            screen.press(ESC);
            screen.wait(earlier, 10);
            screen.gone(question);
            screen.press(answer);
            screen.wait(question, 20);
        }
        if !question.starts_with("Password") {
            screen.press("?");
            screen.wait(at_length(question), 10);
        }
        if !wrong.is_empty() {
            screen.press(wrong);
            screen.wait(told, 10);
            screen.press("\x15");
        }
        screen.press(right);
        before = Some((question, if right.starts_with("\x1b[A") { "\x1b[B\r" } else { right }));
    }
    assert_eq!(screen.code(10), 0);
    screen.assert_as_before("at the end");
    assert!(!screen.all().contains("geheim"), "a password was shown");
    let file = folder.path().join("web.yaml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let answers = load::file(&file, Secrets::Resolve).unwrap().answers;
    assert_eq!((answers.nodes[0].erase.as_deref(), answers.nodes[1].device.as_str()), (Some("S1"), "/dev/sda3"));
    assert_eq!(answers.vms[0].name, "vm1");
}

#[test]
fn ctrl_c_at_every_question_leaves_the_terminal_as_it_was_and_nothing_written() {
    ctrl_c(QUESTIONS, with_toys);
}

#[test]
fn ctrl_c_at_every_question_about_strangers_too() {
    ctrl_c(ODD_QUESTIONS, with_odd_toys);
}

fn ctrl_c(questions: &[Asked], start: fn(&Path, u16, u16) -> Screen) {
    for (number, (question, ..)) in questions.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let mut screen = start(folder.path(), 30, 100);
        for (earlier, _, _, right) in &questions[..number] {
            screen.wait(earlier, 20);
            screen.press(if right.starts_with("\x1b[A") { "\x1b[B\r" } else { right });
        }
        screen.wait(question, 20);
        screen.press(CTRL_C);
        assert_eq!(screen.code(10), 130, "at {question}");
        screen.assert_as_before(question);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "at {question}");
    }
}

/// The questions about fencing that the routes above don't meet, each way from answers that lack nothing else.
#[test]
fn other_ways_of_fencing_are_asked_about_alike() {
    let half = "cluster: web\nnodes:\n  - { name: left, ssh: root@left, address: 10.2.0.1, device: /dev/sda3 }\n  \
                - { name: right, ssh: root@right, address: 10.2.0.2, device: /dev/sda3 }\nvms: []\n";
    let ipmi =
        "fencing:\n  method: ipmi\n  left: { address: 10.9.0.1, user: u }\n  right: { address: 10.9.0.2, user: u }\n";
    let way = |keys: &'static str| -> Asked { ("How is a machine switched off", ZZ, NOTHING, keys) };
    let unset = "is not set here";
    let routes: [(&str, &[Asked], &str); 3] = [
        ("", &[way("SBD\r"), ("Path of the small disk", "sdb\r", "is not a device", "/dev/sdx\r")], "/dev/sdx"),
        ("", &[way("SSH\r"), ("can't be stopped by SSH", "yes\r", "Type the word", "unsafe\r")], "accept_unsafe: ssh"),
        (
            ipmi,
            &[
                ("Where are passwords kept", ZZ, NOTHING, "in environment\r"),
                ("BMC of left: name of the environment", "NOT_THERE\r", unset, "TERM\r"),
                ("BMC of right: name of the environment", "NOT_THERE\r", unset, "TERM\r"),
            ],
            "env:TERM",
        ),
    ];
    for (given, questions, written) in routes {
        // Ctrl-C at each, and once to the end.
        for left_at in (0..questions.len()).map(Some).chain([None]) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("half.yaml");
            std::fs::write(&file, format!("{half}{given}")).unwrap();
            let mut screen = with_toys(folder.path(), 40, 110);
            for (question, wrong, told, right) in &questions[..left_at.unwrap_or(questions.len())] {
                screen.wait(question, 20);
                screen.press("?");
                screen.wait("hapair explain", 10);
                screen.press(wrong);
                screen.wait(told, 10);
                screen.press("\x15");
                screen.press(right);
            }
            if let Some(at) = left_at {
                screen.wait(questions[at].0, 20);
                screen.press(CTRL_C);
            }
            assert_eq!(screen.code(20), if left_at.is_some() { 130 } else { 0 }, "{}", screen.text());
            screen.assert_as_before(written);
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text.contains(written), left_at.is_none(), "{text}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{text}");
        }
    }
}

/// The option is the first time; whoever sits there is asked again, before anything else.
#[test]
fn who_wants_no_proof_of_the_fencing_says_so_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.yaml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nodes = format!(
        "nodes: [{{ name: a, ssh: 'root@127.0.0.1:{port}', address: 10.0.0.1 }}, {{ name: b, ssh: 'root@127.0.0.2:{port}', address: 10.0.0.2 }}]"
    );
    let rest = "storage: { device: /dev/sda3 }\nfencing: { method: ssh, accept_unsafe: ssh }\nvms: []\n";
    std::fs::write(&file, format!("cluster: web\n{nodes}\n{rest}")).unwrap();
    let install = |typed: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hapair"));
        command.args(["install", "--answers", "answers.yaml", "--state-dir", "state", "--skip-fencing-proof", "web"]);
        command.current_dir(folder.path());
        let mut screen = Screen::plain(command, 24, 80);
        screen.answer("Type the cluster's name again", typed);
        let code = screen.code(60);
        screen.assert_as_before(typed);
        (code, screen.all())
    };
    for no in ["", "yes"] {
        let (code, all) = install(no);
        assert_eq!(code, 2, "{all}");
        assert!(all.contains("nothing was changed") && !folder.path().join("state").exists(), "{all}");
    }
    // It goes on, to nodes that are not there.
    assert_eq!(install("web").0, 5);
}

/// 80 columns, no colour, no Unicode; a half-written file is asked about what is missing, keeps its words and is then for
/// nobody else to read.
#[test]
fn a_half_written_file_is_completed_on_the_plainest_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("half.yaml");
    let half = "# ours\ncluster: web\nnodes:\n  - { ssh: root@a, address: 10.2.0.1 } # first\n  \
                - { ssh: root@b, address: 10.2.0.2 }\nfencing: { method: ssh, accept_unsafe: ssh }\nvms: []\n";
    std::fs::write(&file, half).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut screen = Screen::plain(toys(folder.path()), 24, 80);
    for question in ["Which device of left", "Which device of right", "How large is the new partition"] {
        screen.wait(question, 20);
        assert!(screen.text().lines().all(|line| line.chars().count() <= 80), "{}", screen.text());
        screen.press(ENTER);
    }
    assert_eq!(screen.code(20), 0);
    screen.assert_as_before("at the end");
    let all = screen.all();
    assert!(all.is_ascii(), "{all}");
    let coloured = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m');
    assert!(!all.split("\x1b[").skip(1).any(coloured), "{all}");
    for never in ["Name of the", "Which network", "How is", "In which file"] {
        assert!(!all.contains(never), "{never} was asked");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# ours\ncluster: web\n") && text.contains("# first"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load::file(&file, Secrets::Resolve).unwrap().answers.nodes[0].name, "left");
}

#[test]
fn a_window_that_is_resized_shows_the_question_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = with_toys(folder.path(), 40, 120);
    for (question, _, _, right) in &QUESTIONS[..5] {
        screen.wait(question, 20);
        screen.press(right);
    }
    screen.wait("Which device of left", 20);
    for (rows, columns) in [(24, 80), (12, 40), (50, 132), (24, 80)] {
        screen.resize(rows, columns);
        std::thread::sleep(std::time::Duration::from_millis(600));
        let text = screen.text();
        assert_eq!(text.matches("Which device of left").count(), 1, "{rows}x{columns}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= columns.into()), "{text}");
    }
    screen.press(DOWN);
    screen.press(CTRL_C);
    assert_eq!(screen.code(10), 130);
}

#[test]
fn a_host_key_that_nobody_knows_is_shown_and_asked_about() {
    let sshd = sshd::Sshd::start("");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hapair"));
    command.args(["ask", "--identity"]).arg(sshd.path("user")).arg("--ssh-config").arg(sshd.path("client"));
    command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path()).env("XDG_RUNTIME_DIR", sshd.dir.path());
    let mut screen = Screen::start(command, 24, 80);
    let there = format!("{}@127.0.0.1:{}", sshd::whoami(), sshd.port);
    screen.answer("How is the first machine reached?", &there);
    let public = std::fs::read_to_string(sshd.path("host.pub")).unwrap();
    let fingerprint = hapair::node::host_key::fingerprint(public.trim()).unwrap();
    screen.wait(&fingerprint, 30);
    screen.wait("Is this the key of", 10);
    screen.press("?");
    screen.wait("cloud-init", 10);
    screen.press("n");
    screen.press(ENTER);
    screen.wait("was not accepted; nothing was sent there", 10);
    screen.answer("How is the first machine reached?", &there);
    screen.wait("Is this the key of", 30);
    screen.press("y");
    screen.press(ENTER);
    screen.wait("How is the second machine reached?", 30);
    screen.press(CTRL_C);
    assert_eq!(screen.code(10), 130);
    screen.assert_as_before("at the end");
}

/// From the first question to the finished pair, on two real systems in User-Mode Linux.
#[test]
#[ignore = "takes minutes, and must not share the processors: cargo test --test wizard -- --ignored two_machines"]
fn two_machines_become_a_pair() {
    let program = env!("CARGO_BIN_EXE_hapair");
    let mut lab = Command::new(program)
        .args(["rehearse", "--engine", "uml", "--preinstalled", "--machines"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut enter = String::new();
    let mut bmcs = Vec::new();
    for line in BufReader::new(lab.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, words)) = line.split_once("the wizard: ") {
            enter = words.to_owned();
        }
        // «the BMC of node1: 198.18.0.1, user hapair, password in /...»
        if let Some((_, words)) = line.split_once("the BMC of ") {
            let (_, words) = words.split_once(": ").unwrap();
            let (address, words) = words.split_once(", user ").unwrap();
            let (user, file) = words.split_once(", password in ").unwrap();
            bmcs.push([address.to_owned(), user.to_owned(), std::fs::read_to_string(file).unwrap()]);
            if bmcs.len() == 2 {
                break;
            }
        }
    }
    assert!(!enter.is_empty(), "the machines did not start");
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<&str> = enter.split_whitespace().collect();
    let place = words.iter().position(|word| *word == "env").unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..place]).args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(folder.path());
    command.args(words[place..].iter().map(|word| if *word == "hapair" { program } else { word }));
    command.arg("--state-dir").arg(folder.path().join("state"));
    let mut screen = Screen::start(command, 24, 80);
    let lines: [(&str, &str); 2] = [
        ("How is the first machine reached?", "root@198.18.77.1"),
        ("How is the second machine reached?", "root@198.18.77.2"),
    ];
    for (question, there) in lines {
        screen.answer(question, there);
        screen.wait("Is this the key of", 60);
        screen.press("y\r");
    }
    for (question, answer) in [
        ("Name of the pair", "pair"),
        ("Which network carries DRBD", ""),
        ("Which network is the second link", ""),
        ("Which device of node1", ""),
        ("Which device of node2", ""),
        ("How large is the new partition", ""),
        ("How is a machine switched off", ""),
        ("Address of the BMC of node1", &bmcs[0][0]),
        ("User at the BMC of node1", &bmcs[0][1]),
        ("Where are passwords kept", ""),
        ("Password at the BMC of node1", &bmcs[0][2]),
        ("Address of the BMC of node2", &bmcs[1][0]),
        ("User at the BMC of node2", ""),
        ("Password at the BMC of node2", &bmcs[1][2]),
        ("Shall hapair make a virtual machine", ""),
        ("Name of the virtual machine", ""),
        ("What does vm01 start from", ""),
        ("Memory of vm01", ""),
        ("Virtual CPUs of vm01", ""),
        ("Size of the disk of vm01", ""),
        ("Where does vm01 run", ""),
        ("Another virtual machine", ""),
        ("In which file are the answers kept", ""),
    ] {
        screen.wait(question, 120);
        screen.press(answer);
        screen.press(ENTER);
    }
    screen.wait("Shall it be done?", 240);
    assert!(screen.all().contains("Nothing: no device that is taken holds anything."));
    screen.press(ENTER);
    // With the proof of the fencing, which boots each node once more.
    screen.wait("are a pair", 2700);
    assert_eq!(screen.code(20), 0);
    screen.assert_as_before("at the end");
    assert!(load::file(&folder.path().join("pair.yaml"), Secrets::Resolve).is_ok());
    // Its end takes the machines with it; an interrupt would be for the terminal, which tells all of them.
    let pid = rustix::process::Pid::from_child(&lab);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    lab.wait().unwrap();
}
