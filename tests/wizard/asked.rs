//! Each question, on toy machines: wrong input, `?`, Esc, Ctrl-C, a window of another size.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hapair::answers::load::{self, Secrets};

use crate::questions::{Asked, NOTHING, ODD_QUESTIONS, QUESTIONS, ZZ, at_length, explain, once_more};
use crate::screen::{CTRL_C, DOWN, ENTER, ESC, Screen};
use crate::{sshd, toys, with_odd_toys, with_toys};

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
        screen.press(explain(question));
        screen.wait(at_length(question), 10);
        screen.press(wrong);
        screen.wait(told, 10);
        screen.press("\x15");
        screen.press(right);
        before = Some((question, once_more(right)));
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
            screen.press(once_more(right));
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
