//! Questions about the virtual machines.

use std::sync::Arc;

use super::Known;
use super::question::{Check, Choice, Kind, Question};
use crate::answers::edit::EMPTY_LIST;

const PART: &str = "Virtual machines";

/// The next question about VMs. A file that lists VMs has decided how many there are.
pub(super) fn vms(known: &Known<'_>) -> Option<Question> {
    let draft = known.draft;
    let count = draft.count("vms");
    let asked = draft.has("@vms");
    if !asked && draft.has("vms") {
        return None;
    }
    if let Some(question) = asked.then(|| count.checked_sub(1)).flatten().and_then(|last| one(known, last)) {
        return Some(question);
    }
    match draft.get("@vms").as_deref() {
        Some("none" | "enough") => None,
        Some(more) if more == format!("more:{count}") => Some(name(known, count)),
        _ if count == 0 => {
            let choices = vec![
                Choice::value("yes", "@vms", "more:0"),
                Choice::values(
                    "no, only the pair; VMs come later",
                    vec![("vms".to_owned(), EMPTY_LIST.to_owned()), ("@vms".to_owned(), "none".to_owned())],
                ),
            ];
            let text = "Shall hapair make a virtual machine now?";
            Some(Question::choose("@vms", PART, text, choices).because(known.step("vms", "vms")))
        }
        _ => {
            let choices = vec![
                Choice::value("no, that is all", "@vms", "enough"),
                Choice::value("yes", "@vms", format!("more:{count}")),
            ];
            Some(Question::choose("@vms", PART, "Another virtual machine?", choices).because(known.step("vms", "vms")))
        }
    }
}

fn name(known: &Known<'_>, count: usize) -> Question {
    let default = format!("vm{:02}", count + 1);
    Question::text(format!("vms[{count}].name"), PART, "Name of the virtual machine", Some(default))
        .because(known.step("vms", "vms[].name"))
}

/// What is still to be decided about a VM.
fn one(known: &Known<'_>, n: usize) -> Option<Question> {
    let draft = known.draft;
    let of = |key: &str| format!("vms[{n}].{key}");
    let name = draft.get(&of("name"))?;
    if !draft.has(&of("image")) && !draft.has(&of("config")) {
        let Some(path) = draft.get(&format!("@image:{n}")) else {
            let note = format!("@image:{n}");
            let choices = vec![
                Choice::value("a tiny demo guest, to see it move", of("image"), "demo"),
                Choice::value("a copy of a disk image that lies on the first machine", note.as_str(), "image"),
                Choice::value("an empty disk", of("image"), "blank"),
                Choice::value("my own xl configuration, on the first machine", note.as_str(), "config"),
            ];
            let text = format!("What does {name} start from?");
            return Some(Question::choose(of("image"), PART, text, choices).because(known.step("vms", "vms[].image")));
        };
        let key = of(&path);
        let text = if path == "image" { "Path of the disk image" } else { "Path of the xl configuration" };
        let why = known.step("vms", if path == "image" { "vms[].image" } else { "vms[].config" });
        let check: Check = Arc::new(move |typed: &str| {
            Ok(vec![(key.clone(), format!("file:{}", typed.strip_prefix("file:").unwrap_or(typed)))])
        });
        let text = format!("{text} on {}", known.name(0));
        return Some(Question::new(of(&path), PART, text, Kind::Text { default: None, check }).because(why));
    }
    let made = !draft.has(&of("config"));
    let demo = draft.get(&of("image")).as_deref() == Some("demo");
    for (key, text, default) in [
        ("memory", format!("Memory of {name}"), if demo { "256M" } else { "2G" }),
        ("vcpus", format!("Virtual CPUs of {name}"), if demo { "1" } else { "2" }),
        ("disk", format!("Size of the disk of {name}"), if demo { "1G" } else { "20G" }),
    ] {
        if made && !draft.has(&of(key)) {
            // The tiny guest needs no thought, but its disk takes room on the mirror.
            let default = if known.lab && key == "disk" { "32M" } else { default };
            let default = if known.lab && key == "memory" { "128M" } else { default };
            let field = format!("vms[].{key}");
            return Some(
                Question::text(of(key), PART, text, Some(default.to_owned())).because(known.step("vms", &field)),
            );
        }
    }
    if made && !draft.has(&of("bridge")) {
        let bridge = |n: usize| known.facts[n].links.iter().filter(|link| link.kind == "bridge");
        let mut choices: Vec<Choice> = bridge(0)
            .filter(|link| bridge(1).any(|other| other.name == link.name))
            .map(|link| Choice::value(format!("{}, on both machines", link.name), of("bridge"), link.name.as_str()))
            .collect();
        if !choices.is_empty() {
            choices.push(Choice::value("none", of("bridge"), "none"));
            let text = format!("Which bridge is {name} connected to?");
            return Some(
                Question::choose(of("bridge"), PART, text, choices).because(known.step("vms", "vms[].bridge")),
            );
        }
    }
    if !draft.has(&of("prefer")) && !draft.has(&format!("@prefer:{n}")) {
        let mut choices: Vec<Choice> =
            (0..2).map(|node| Choice::value(known.name(node), of("prefer"), known.name(node))).collect();
        // One after the other: both machines get some of them.
        if n % 2 == 1 {
            choices.reverse();
        }
        choices.push(Choice::value("either, the cluster decides", format!("@prefer:{n}"), "either"));
        let text = format!("Where does {name} run when both machines are well?");
        return Some(Question::choose(of("prefer"), PART, text, choices).because(known.step("vms", "vms[].prefer")));
    }
    None
}
