//! The wizard with scripted people and scripted machines.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::PathBuf;

use super::asker::Interrupted;
use super::question::{Take, Values};
use super::*;
use crate::answers::{Create, FencingMethod, load};
use crate::facts::disk::{Content, Disk, Gap, Part};
use crate::facts::link::{Address, Link};
use crate::node::Output;
use crate::node::host_key::HostKey;
use crate::report::style::Style;

/// What a scripted person does at a question.
#[derive(Debug, Clone)]
enum Act {
    /// Types this, or takes the choice whose label holds it.
    Say(&'static str),
    /// Enter.
    Enter,
    /// Esc.
    Esc,
    /// Ctrl-C.
    CtrlC,
    /// Types this, which must be refused in words that hold the second text.
    Wrong(&'static str, &'static str),
}

/// Answers by the question's id; Enter at all others.
struct Person {
    script: VecDeque<(&'static str, Act)>,
    asked: Vec<String>,
    said: Vec<String>,
}

impl Person {
    fn new(script: &[(&'static str, Act)]) -> Self {
        Self { script: script.iter().cloned().collect(), asked: Vec::new(), said: Vec::new() }
    }

    fn values(question: &Question, typed: Option<&str>) -> Result<Values, String> {
        match &question.kind {
            Kind::Choose { choices, default } => {
                let choice = match typed {
                    None => &choices[*default],
                    Some(word) => choices
                        .iter()
                        .find(|choice| choice.label.contains(word))
                        .unwrap_or_else(|| panic!("no {word} among {choices:?}")),
                };
                match &choice.take {
                    Take::Values(values) => Ok(values.clone()),
                    Take::Not(why) => Err(why.clone()),
                }
            }
            Kind::Text { default, check } => {
                let text = typed.map(str::to_owned).or_else(|| default.clone());
                check(&text.unwrap_or_else(|| panic!("{} has no default", question.id)))
            }
            Kind::Secret { check } => check(typed.unwrap()),
        }
    }
}

impl Asker for Person {
    fn ask(&mut self, question: &Question, judge: &dyn Fn(&Values) -> Result<(), String>) -> anyhow::Result<Reply> {
        self.asked.push(question.id.clone());
        assert!(!question.why.is_empty(), "{} has no reason", question.id);
        loop {
            let act = match self.script.front() {
                Some((id, _)) if *id == question.id => self.script.pop_front().unwrap().1,
                _ => Act::Enter,
            };
            let given = match act {
                Act::Esc => return Ok(Reply::Back),
                Act::CtrlC => return Err(Interrupted.into()),
                Act::Say(word) | Act::Wrong(word, _) => Self::values(question, Some(word)),
                Act::Enter => Self::values(question, None),
            };
            match (given.and_then(|values| judge(&values).map(|()| values)), act) {
                (Ok(_), Act::Wrong(word, _)) => panic!("{word} was taken at {}", question.id),
                (Ok(values), _) => return Ok(Reply::Values(values)),
                (Err(why), Act::Wrong(_, part)) => assert!(why.contains(part), "{}: {why}", question.id),
                (Err(why), act) => panic!("{} {act:?}: {why}", question.id),
            }
        }
    }

    fn say(&mut self, _: Tone, text: &str) {
        self.said.push(text.to_owned());
    }

    fn show(&mut self, lines: &[String]) {
        self.said.extend_from_slice(lines);
    }

    fn busy(&mut self, _: &str, work: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        work()
    }

    fn page(&self) -> (usize, Style) {
        (80, Style { colour: false, unicode: false })
    }
}

/// Machines that answer as they are told.
struct Toys {
    facts: [Facts; 2],
    strange: bool,
    sudo: bool,
    lets_in: bool,
    surveys: usize,
}

const KEY: &str = "SHA256:9w0vY0cZf0v4yU5cN1xqk5Y0D1lq3m2u8a7s6d5f4g3";

impl Machines for Toys {
    fn meet(&mut self, reach: &Reach) -> Result<Meeting, Lost> {
        if let Reach::Ssh { host, .. } = reach {
            if host == "nobody" {
                return Err(Lost::Unreachable("no SSH server at nobody".to_owned()));
            }
        }
        let key =
            HostKey { kind: "ssh-ed25519".to_owned(), fingerprint: KEY.to_owned(), line: String::new(), marker: None };
        Ok(if self.strange { Meeting::Unknown(vec![key]) } else { Meeting::Known })
    }

    fn accept(&mut self, _: &Reach, _: &[HostKey]) -> Result<(), Lost> {
        Ok(())
    }

    fn enter(&mut self, _: &Reach) -> Result<Output, Lost> {
        if !self.lets_in {
            return Err(Lost::Auth("Permission denied (publickey)".to_owned()));
        }
        if !self.sudo {
            // As the connection says it: src/node/wrap.rs.
            return Err(Lost::Sudo("sudo: a password is required".to_owned()));
        }
        Ok(Output::default())
    }

    fn lacks_key(&self, _: &Reach) -> bool {
        false
    }

    fn copy_key(&mut self, _: &Reach) -> anyhow::Result<()> {
        self.lets_in = true;
        Ok(())
    }

    fn survey(&mut self, _: [&Reach; 2]) -> Result<[Facts; 2], (usize, String)> {
        self.surveys += 1;
        Ok(self.facts.clone())
    }

    fn review(&mut self, _: &Setup, _: [Facts; 2]) -> anyhow::Result<review::Review> {
        anyhow::bail!("the questions alone are asked here")
    }
}

fn facts(name: &str, last: u8) -> Facts {
    let link = |name: &str, net: u8, default_route| Link {
        name: name.to_owned(),
        megabits: Some(1000),
        addresses: vec![Address { address: std::net::Ipv4Addr::new(10, net, 0, last), prefix: 24 }],
        default_route,
        ..Link::default()
    };
    let part = |number: u32, kind: &str, uses: &[&str]| Part {
        path: format!("/dev/sda{number}"),
        number,
        bytes: 100 << 30,
        content: Content { kind: kind.to_owned(), label: "data".to_owned(), ..Content::default() },
        uses: uses.iter().map(|word| (*word).to_owned()).collect(),
        ..Part::default()
    };
    Facts {
        hostname: name.to_owned(),
        links: vec![link("eth0", 1, true), link("eth1", 2, false)],
        disks: vec![Disk {
            name: "sda".to_owned(),
            bytes: 500 << 30,
            serial: format!("S{last}"),
            table: "gpt".to_owned(),
            parts: vec![part(1, "ext4", &["mounted on /"]), part(2, "ext4", &[])],
            gaps: vec![Gap { start: 200 << 30, bytes: 300 << 30, last: true }],
            ..Disk::default()
        }],
        ..Facts::default()
    }
}

fn toys() -> Toys {
    Toys { facts: [facts("left", 1), facts("right", 2)], strange: false, sudo: true, lets_in: true, surveys: 0 }
}

/// Runs the wizard; gives the text, and who was asked.
fn run(text: &str, toys: &mut Toys, person: &mut Person) -> anyhow::Result<Draft> {
    let catalog = Catalog::load(None).unwrap();
    let mut wizard = Wizard::new(person, toys, &catalog, false, Draft::new(text, PathBuf::from("/nowhere")));
    wizard.ask()?;
    Ok(wizard.draft)
}

use Act::{CtrlC, Enter, Esc, Say, Wrong};

const BOTH: [(&str, Act); 2] = [("nodes[0].ssh", Say("root@a")), ("nodes[1].ssh", Say("root@b"))];
const IPMI: [(&str, Act); 7] = [
    ("fencing.left.address", Say("10.9.0.1")),
    ("fencing.left.user", Say("admin")),
    ("fencing.left.password", Say("geheim")),
    ("fencing.right.address", Say("10.9.0.2")),
    ("fencing.right.user", Enter),
    ("fencing.right.password", Say("geheim2")),
    ("vms[0].name", Enter),
];

fn script(parts: &[&[(&'static str, Act)]]) -> Person {
    Person::new(&parts.concat())
}

#[test]
fn answers_that_the_loader_takes_come_out_of_as_few_questions_as_possible() {
    let mut person = script(&[&BOTH, &IPMI]);
    let mut toys = toys();
    let draft = run("", &mut toys, &mut person).unwrap();
    let answers = draft.load().unwrap().answers;
    assert_eq!((answers.nodes[0].name.as_str(), answers.nodes[1].name.as_str()), ("left", "right"));
    // The network that carries nothing else first, the other one as the second link.
    assert_eq!(answers.nodes[0].address.to_string(), "10.2.0.1");
    assert_eq!(answers.nodes[1].second_address.unwrap().to_string(), "10.1.0.2");
    assert_eq!((answers.nodes[0].device.as_str(), answers.storage.create), ("/dev/sda3", Create::Rest));
    assert!(matches!(answers.fencing.method, FencingMethod::Ipmi { .. }));
    assert_eq!(answers.vms.len(), 1);
    assert_eq!(toys.surveys, 1);
    assert!(!draft.text().contains("geheim") && draft.text().contains("file:pair.left.password"), "{}", draft.text());
    assert_eq!(draft.files["pair.left.password"].reveal(), "geheim");
    // What is tried at the BMC before the file is written is the password, and not the file's name.
    let FencingMethod::Ipmi { nodes } = draft.resolved().unwrap().answers.fencing.method else { panic!() };
    assert_eq!(nodes[0].password.reveal(), "geheim");
    assert_eq!(person.asked.len(), 24, "{:?}", person.asked);
}

#[test]
fn every_question_can_be_left_by_ctrl_c_and_gone_back_from() {
    let mut whole = script(&[&BOTH, &IPMI]);
    let expected = run("", &mut toys(), &mut whole).unwrap().text().to_owned();
    for id in whole.asked.clone() {
        let id: &'static str = id.leak();
        let answer = |script: &[(&'static str, Act)]| -> VecDeque<(&'static str, Act)> {
            let mut all = Vec::new();
            for question in &whole.asked {
                let question: &'static str = question.clone().leak();
                let given = BOTH.iter().chain(&IPMI).find(|(known, _)| *known == question);
                if question == id && !all.iter().any(|(known, _)| *known == id) {
                    all.extend_from_slice(script);
                    if script.iter().any(|(_, act)| matches!(act, CtrlC)) {
                        break;
                    }
                    // The one before is asked once more.
                    if let Some((before, act)) = all.iter().rev().find(|(known, _)| *known != id).cloned() {
                        all.push((before, act));
                    }
                }
                all.push((question, given.map_or(Enter, |(_, act)| act.clone())));
            }
            all.into()
        };
        let mut person = Person::new(&[]);
        person.script = answer(&[(id, CtrlC)]);
        let error = run("", &mut toys(), &mut person).unwrap_err();
        assert!(error.is::<Interrupted>(), "{id}");
        let mut person = Person::new(&[]);
        person.script = answer(&[(id, Esc)]);
        assert_eq!(run("", &mut toys(), &mut person).unwrap().text(), expected, "back at {id}");
    }
}

#[test]
fn wrong_answers_are_told_at_their_question() {
    let wrong: &[(&'static str, Act)] = &[
        ("nodes[0].ssh", Wrong("a", "has no user")),
        ("nodes[0].ssh", Say("root@a")),
        ("nodes[1].ssh", Wrong("root@a", "same machine as the first")),
        ("nodes[1].ssh", Say("root@b")),
        ("cluster", Wrong("My Pair", "not a cluster name")),
        ("nodes[0].device", Wrong("sda1", "mounted on /")),
        ("nodes[0].device", Say("sda2")),
        ("nodes[0].erase", Wrong("yes", "does not name this disk; it is S1")),
        ("nodes[0].erase", Say("S1")),
        ("nodes[1].device", Say("free space")),
        ("storage.create", Wrong("10X", "no unit")),
        ("storage.create", Say("200G")),
        ("fencing.method", Say("SSH")),
        ("fencing.accept_unsafe", Wrong("ok", "Type the word unsafe")),
        ("fencing.accept_unsafe", Say("unsafe")),
        ("vms[0].name", Wrong("left", "name of a node")),
        ("vms[0].name", Say("web")),
        ("vms[0].image", Say("copy of a disk image")),
        ("vms[0].image", Wrong("images/x", "not an absolute path")),
        ("vms[0].image", Say("/srv/x.img")),
        ("vms[0].memory", Wrong("1", "has no unit")),
        ("vms[0].vcpus", Wrong("0", "not a number of CPUs")),
    ];
    let mut person = Person::new(wrong);
    let draft = run("", &mut toys(), &mut person).unwrap();
    assert!(person.script.is_empty(), "not reached: {:?}", person.script);
    let answers = draft.load().unwrap().answers;
    assert_eq!(answers.nodes[0].erase.as_deref(), Some("S1"));
    assert_eq!(answers.storage.create, Create::Bytes(200 << 30));
}

#[test]
fn a_half_written_file_is_only_asked_about_what_is_missing() {
    let half = "# ours\ncluster: web\nnodes:\n  - { name: a, ssh: root@a, address: 10.2.0.1 } # first\n  \
                - { ssh: root@b, address: 10.2.0.2 }\nstorage: { device: /dev/sda3 }\nvms: []\n";
    let mut person = Person::new(&[("fencing.method", Say("SSH")), ("fencing.accept_unsafe", Say("unsafe"))]);
    let draft = run(half, &mut toys(), &mut person).unwrap();
    assert_eq!(person.asked, ["nodes[1].name", "fencing.method", "fencing.accept_unsafe"]);
    assert!(draft.text().starts_with(&half[..40]) && draft.text().contains("# first"), "{}", draft.text());
    let complete = include_str!("../../tests/examples/tutorial.yaml");
    let mut person = Person::new(&[]);
    assert_eq!(run(complete, &mut toys(), &mut person).unwrap().text(), complete);
    assert!(person.asked.is_empty());
    load::text(draft.text(), "x".as_ref(), "/".as_ref(), &|_| None, load::Secrets::Leave).unwrap();
}

#[test]
fn strangers_are_shown_and_the_question_stays_when_they_are_refused() {
    let mut unknown = toys();
    unknown.strange = true;
    let [left, right] = BOTH;
    let yes = || ("@host_key", Say("Yes"));
    let mut person = script(&[&[left, yes(), right, yes()], &IPMI]);
    let draft = run("", &mut unknown, &mut person).unwrap();
    assert!(person.said.iter().any(|text| text.contains(KEY)));
    assert_eq!(draft.get("nodes[1].host_key").as_deref(), Some(KEY));
    // Enter alone is no, and so is Esc.
    for no in [Enter, Esc, Say("No")] {
        let mut person = Person::new(&[("nodes[0].ssh", Say("root@a")), ("@host_key", no), ("nodes[0].ssh", CtrlC)]);
        assert!(run("", &mut unknown, &mut person).unwrap_err().is::<Interrupted>());
        assert_eq!(person.asked, ["nodes[0].ssh", "@host_key", "nodes[0].ssh"]);
        assert!(person.said.iter().any(|text| text.contains("was not accepted; nothing was sent")));
    }
}

#[test]
fn a_machine_that_does_not_let_us_in_gets_a_key_and_sudo_is_explained() {
    let mut locked = toys();
    locked.lets_in = false;
    let mut person = script(&[&BOTH, &IPMI]);
    run("", &mut locked, &mut person).unwrap();
    assert!(person.asked.iter().any(|id| id == "@copy_key"), "{:?}", person.asked);
    let mut weak = toys();
    weak.sudo = false;
    let mut person =
        Person::new(&[("nodes[0].ssh", Say("admin@a")), ("@sudo", Enter), ("@sudo", Esc), ("nodes[0].ssh", CtrlC)]);
    assert!(run("", &mut weak, &mut person).is_err());
    assert!(person.said.iter().any(|text| text.contains("NOPASSWD")), "{:?}", person.said);
    assert!(!person.said.iter().any(|text| text.contains("ssh-copy-id")), "a key is not what is missing");
    let mut person = Person::new(&[("nodes[0].ssh", Say("root@nobody")), ("nodes[0].ssh", CtrlC)]);
    assert!(run("", &mut toys(), &mut person).is_err());
    assert!(person.said.iter().any(|text| text.contains("no SSH server at nobody")));
}

#[test]
fn a_secret_is_never_typed_where_it_is_shown() {
    let agent: &[(&'static str, Act)] = &[
        ("fencing.method", Say("another fence agent")),
        ("fencing.agent", Wrong("apc", "fence_")),
        ("fencing.agent", Say("fence_apc_snmp")),
        ("fencing.left", Wrong("ip", "is no parameter")),
        ("fencing.left", Wrong("ip=10.9.0.1 passwd=geheim", "What is typed here is shown")),
        ("fencing.left", Wrong("ip=10.9.0.1 psk=geheim", "psk may be a secret")),
        ("fencing.left", Say("ip=10.9.0.1 plug=1 passwd=env:NAME")),
        ("fencing.right", Say("ip=10.9.0.1 plug=2 passwd=file:/x ssh_key_file=/root/key")),
    ];
    let mut person = script(&[&BOTH, agent]);
    let draft = run("", &mut toys(), &mut person).unwrap();
    assert!(person.script.is_empty(), "not reached: {:?}", person.script);
    assert_eq!(draft.get("fencing.left.passwd").as_deref(), Some("env:NAME"));
    assert_eq!(draft.get("fencing.right.ssh_key_file").as_deref(), Some("/root/key"));

    let left = "env of Password at the BMC of left: name of the environment variable";
    let right = "env of Password at the BMC of right: name of the environment variable";
    let env: &[(&'static str, Act)] = &[
        ("fencing.left.address", Say("10.9.0.1")),
        ("fencing.left.user", Say("admin")),
        ("@keep", Say("environment")),
        (left, Wrong("HAPAIR_NO_SUCH_NAME", "is not set here")),
        (left, Say("PATH")),
        ("fencing.right.address", Say("10.9.0.2")),
        (right, Say("PATH")),
    ];
    let mut person = script(&[&BOTH, env]);
    let draft = run("", &mut toys(), &mut person).unwrap();
    assert!(person.script.is_empty(), "not reached: {:?}", person.script);
    assert_eq!(draft.get("fencing.right.password").as_deref(), Some("env:PATH"));
    assert!(draft.files.is_empty());
}
