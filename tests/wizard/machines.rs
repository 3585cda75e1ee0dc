//! The wizard on two real systems in User-Mode Linux: left at every question, misused at every question, then taken to a pair.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hapair::answers::load::{self, Secrets};

use crate::questions::{NOTHING, ZZ, explain};
use crate::screen::{CTRL_C, ENTER, ESC, Screen};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hapair");
const FIRST: &str = "root@198.18.77.1";
const SECOND: &str = "root@198.18.77.2";

/// A question as the machines cause it: what is seen there, what is wrong and in which words, and what is answered.
struct Asked {
    question: String,
    wrong: String,
    told: &'static str,
    right: String,
}

/// All of them, in order. A BMC: address, user, password.
fn questions(bmcs: &[[String; 3]]) -> Vec<Asked> {
    let [one, two] = bmcs else { panic!("two BMCs: {bmcs:?}") };
    let typed = |text: &str| format!("{text}\r");
    let lines: [(&str, &str, &str, &str); 27] = [
        ("How is the first machine reached?", "node1", "has no user", FIRST),
        ("Is this the key of root@198.18.77.1", "zz", NOTHING, "y"),
        ("How is the second machine reached?", FIRST, "same machine as the first", SECOND),
        ("Is this the key of root@198.18.77.2", "zz", NOTHING, "y"),
        ("Name of the pair", "My_Pair", "is not a cluster name", "pair"),
        ("Which network carries DRBD", "zz", NOTHING, ""),
        ("Which network is the second link", "zz", NOTHING, ""),
        ("Which device of node1", "zz", NOTHING, ""),
        ("Which device of node2", "zz", NOTHING, ""),
        ("How large is the new partition", "10X", "no unit", ""),
        ("How is a machine switched off", "zz", NOTHING, ""),
        ("Address of the BMC of node1", "10.77.0.1", "node's own address", &one[0]),
        ("User at the BMC of node1", "", "Type an answer", &one[1]),
        ("Where are passwords kept", "zz", NOTHING, ""),
        ("Password at the BMC of node1", "", "Type it", &one[2]),
        ("Address of the BMC of node2", &one[0], "other node's BMC", &two[0]),
        ("User at the BMC of node2", "administrator-of-node2", "16 bytes", ""),
        ("Password at the BMC of node2", "", "Type it", &two[2]),
        ("Shall hapair make a virtual machine", "zz", NOTHING, ""),
        ("Name of the virtual machine", "node1", "name of a node", ""),
        ("What does vm01 start from", "zz", NOTHING, ""),
        ("Memory of vm01", "1", "has no unit", ""),
        ("Virtual CPUs of vm01", "0", "is not a number of CPUs", ""),
        ("Size of the disk of vm01", "1G1", "is no unit", ""),
        ("Where does vm01 run", "zz", NOTHING, ""),
        ("Another virtual machine", "zz", NOTHING, ""),
        ("In which file are the answers kept", "/no/such/folder/x", "there is no folder", ""),
    ];
    let asked = |(question, wrong, told, right): (&str, &str, _, &str)| Asked {
        question: question.to_owned(),
        wrong: typed(wrong),
        told,
        right: typed(right),
    };
    lines.into_iter().map(asked).collect()
}

/// The last menu.
const LAST: &str = "Shall it be done?";

/// Two running machines, and how they are entered.
struct Lab {
    process: Child,
    /// What runs the wizard there.
    wizard: Vec<String>,
    /// What runs a command on each machine.
    ssh: Vec<Vec<String>>,
    /// Address, user and password of each machine's BMC.
    bmcs: Vec<[String; 3]>,
}

impl Lab {
    fn start() -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["rehearse", "--engine", "uml", "--preinstalled", "--machines"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut wizard, mut ssh, mut bmcs) = (Vec::new(), Vec::new(), Vec::new());
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, text)) = line.split_once("the wizard: ") {
                wizard = words(text);
            } else if let Some((_, text)) = line.split_once("the BMC of ") {
                // «the BMC of node1: 198.18.0.1, user hapair, password in /...»
                let (_, text) = text.split_once(": ").unwrap();
                let (address, text) = text.split_once(", user ").unwrap();
                let (user, file) = text.split_once(", password in ").unwrap();
                bmcs.push([address.to_owned(), user.to_owned(), std::fs::read_to_string(file).unwrap()]);
                if bmcs.len() == 2 {
                    break;
                }
            } else if let Some((_, text)) = line.split_once(": ").filter(|(_, text)| text.contains("ssh -p ")) {
                ssh.push(words(text));
            }
        }
        assert!(
            !wizard.is_empty() && ssh.len() == 2 && bmcs.len() == 2,
            "the machines did not start: {wizard:?} {ssh:?}"
        );
        Self { process, wizard, ssh, bmcs }
    }

    /// The wizard in a folder of its own, not started yet. `words`: the command and its options, if it is not the wizard alone.
    fn wizard(&self, folder: &Path, words: &[&str]) -> Command {
        let place = self.wizard.iter().position(|word| word == "env").unwrap();
        let mut command = Command::new(&self.wizard[0]);
        command.args(&self.wizard[1..place]).args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(folder);
        for word in &self.wizard[place..] {
            if word == "hapair" {
                command.arg(PROGRAM).args(words);
            } else {
                command.arg(word);
            }
        }
        command.arg("--state-dir").arg(folder.join("state"));
        command
    }

    /// What an install would change first on each machine, a line a thing: files, packages, partitions, file systems.
    fn state(&self) -> Vec<Vec<String>> {
        const LOOK: &str = "export LC_ALL=C
            find /etc /root /usr/local /boot -xdev -printf '%y %m %u %g %p %l\\n' | sort
            find /etc /root -xdev -type f -print0 | sort -z | xargs -0 cksum
            dpkg-query -W; lsblk -r -o NAME,SIZE,TYPE,MOUNTPOINTS; cat /proc/partitions; sfdisk -d /dev/ubdb 2>&1
            head -c 4194304 /dev/ubdb | cksum; tail -c 1048576 /dev/ubdb | cksum; ls -lR /var/lib/hapair 2>&1; uname -n";
        let of = |words: &Vec<String>| {
            let output = Command::new(&words[0]).args(&words[1..]).arg(LOOK).stdin(Stdio::null()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("ubdb") && text.contains("/etc/fstab"), "{words:?}: {output:?}");
            text.lines().map(str::to_owned).collect()
        };
        self.ssh.iter().map(of).collect()
    }

    /// The machines go with it; an interrupt would be for the terminal, which tells all of them.
    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
#[ignore = "takes minutes, and must not share the processors: cargo test --test wizard -- --ignored two_machines"]
fn two_machines_become_a_pair() {
    let lab = Lab::start();
    let questions = questions(&lab.bmcs);
    let before = lab.state();
    nobody_is_asked_without_a_terminal(&lab);
    for left_at in 0..=questions.len() {
        ctrl_c(&lab, &questions, left_at);
    }
    ctrl_c_while_the_machines_are_looked_at(&lab, &questions);
    for (machine, (before, after)) in before.iter().zip(&lab.state()).enumerate() {
        let only = |here: &[String], there: &[String]| -> Vec<String> {
            here.iter().filter(|line| !there.contains(line)).cloned().collect()
        };
        let (gone, new) = (only(before, after), only(after, before));
        assert!(gone.is_empty() && new.is_empty(), "node{}: gone: {gone:#?}, new: {new:#?}", machine + 1);
    }
    the_whole_way(&lab, &questions);
}

/// Off a terminal nobody is asked: exit 3, and all that is missing.
fn nobody_is_asked_without_a_terminal(lab: &Lab) {
    let half = format!(
        "cluster: pair\nnodes:\n  - {{ name: node1, ssh: {FIRST}, address: 10.77.0.1 }}\n  \
         - {{ name: node2, ssh: {SECOND}, address: 10.77.0.2 }}\n"
    );
    for (given, told, not_told) in
        [(None, vec!["cluster: ", "nodes: ", "fencing"], ""), (Some(half), vec!["fencing"], "cluster: ")]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut words = Vec::new();
        if let Some(text) = &given {
            std::fs::write(folder.path().join("half.yaml"), text).unwrap();
            words.extend(["ask", "--answers", "half.yaml"]);
        }
        let mut command = lab.wizard(folder.path(), &words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("there is no terminal to ask on") && output.stdout.is_empty(), "{text}");
        assert!(told.iter().all(|told| text.contains(&format!("\n  {told}"))), "{text}");
        assert!(not_told.is_empty() || !text.contains(&format!("\n  {not_told}")), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(given.is_some()));
    }
}

/// Answers all questions before one of this number; it is seen then. One more than there are is the last menu.
fn until(screen: &mut Screen, questions: &[Asked], number: usize) {
    for Asked { question, right, .. } in &questions[..number] {
        screen.wait(question, 120);
        screen.press(right);
    }
    screen.wait(questions.get(number).map_or(LAST, |asked| &asked.question), 240);
}

/// Leaves the wizard at one question; at the device the window is resized before.
fn ctrl_c(lab: &Lab, questions: &[Asked], left_at: usize) {
    let at = questions.get(left_at).map_or(LAST, |asked| &asked.question);
    let folder = tempfile::tempdir().unwrap();
    let mut screen = Screen::start(lab.wizard(folder.path(), &[]), 24, 80);
    until(&mut screen, questions, left_at);
    if at.starts_with("Which device of node1") {
        for (rows, columns) in [(40, 120), (12, 40), (24, 80)] {
            screen.resize(rows, columns);
            std::thread::sleep(Duration::from_secs(1));
            let text = screen.text();
            assert_eq!(text.matches(at).count(), 1, "{rows}x{columns}:\n{text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns.into()), "{rows}x{columns}:\n{text}");
        }
    }
    screen.press(CTRL_C);
    left(&mut screen, folder.path(), at);
}

/// What no question protects: Ctrl-C is a signal there.
fn ctrl_c_while_the_machines_are_looked_at(lab: &Lab, questions: &[Asked]) {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = Screen::start(lab.wizard(folder.path(), &[]), 24, 80);
    until(&mut screen, questions, 3);
    screen.press(&questions[3].right);
    screen.wait(&format!("looking at {FIRST}"), 60);
    screen.press(CTRL_C);
    left(&mut screen, folder.path(), "while the machines are looked at");
}

/// It was left: exit 130, the terminal as before, nothing written but what the last look knows of host keys.
fn left(screen: &mut Screen, folder: &Path, at: &str) {
    assert_eq!(screen.code(30), 130, "at {at}:\n{}", screen.text());
    screen.assert_as_before(at);
    let written = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let written: Vec<_> = written.filter(|name| name != "state").collect();
    assert!(written.is_empty(), "at {at}: {written:?}");
}

/// From the first question to the finished pair: back and once more, `?` and wrong input at each; resized while it runs.
fn the_whole_way(lab: &Lab, questions: &[Asked]) {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = Screen::start(lab.wizard(folder.path(), &[]), 24, 80);
    // A key that was refused leads back to its machine; one that was accepted is not asked about again.
    let mut earlier: Option<&Asked> = None;
    for asked in questions {
        let Asked { question, wrong, told, right } = asked;
        screen.wait(question, 120);
        if let Some(earlier) = earlier {
            back_and_again(&mut screen, earlier, question);
        }
        screen.press(explain(question));
        screen.wait(explained(question), 10);
        screen.press(wrong);
        screen.wait(told, 10);
        screen.press("\x15");
        screen.press(right);
        if !question.starts_with("Is this the key") {
            earlier = Some(asked);
        }
    }
    screen.wait(LAST, 240);
    assert!(screen.all().contains("Nothing: no device that is taken holds anything."), "{}", screen.text());
    back_and_again(&mut screen, &questions[questions.len() - 1], LAST);
    screen.press("?");
    screen.wait("differences.", 10);
    screen.press(ZZ);
    screen.wait(NOTHING, 10);
    screen.press("\x15");
    screen.press(ENTER);
    screen.wait("so far", 300);
    for (rows, columns) in [(12, 40), (40, 120), (24, 80)] {
        screen.resize(rows, columns);
        // The whole picture is drawn anew with each second.
        std::thread::sleep(Duration::from_millis(2500));
        let text = screen.text();
        assert_eq!(text.matches("so far").count(), 1, "{rows}x{columns}:\n{text}");
    }
    // With the proof of the fencing, which boots each node once more.
    screen.wait("are a pair", 2700);
    assert_eq!(screen.code(20), 0);
    screen.assert_as_before("at the end");
    for next in ["crm_mon", "hapair status", "hapair drill", "pair.yaml"] {
        assert!(screen.all().contains(next), "the summary says nothing of {next}:\n{}", screen.text());
    }
    assert!(load::file(&folder.path().join("pair.yaml"), Secrets::Resolve).is_ok());
}

/// Esc, the same answer once more, and the question is there again.
fn back_and_again(screen: &mut Screen, earlier: &Asked, question: &str) {
    screen.press(ESC);
    screen.wait(&earlier.question, 20);
    screen.gone(question);
    screen.press(&earlier.right);
    screen.wait(question, 240);
}

/// Something that is only seen when a question explains itself.
fn explained(question: &str) -> &'static str {
    match question {
        question if question.starts_with("In which file") => "mode 0600",
        question if question.contains("machine reached") => "agent",
        question if question.starts_with("Is this the key") => "cloud-init",
        _ => "hapair explain",
    }
}
