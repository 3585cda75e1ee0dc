//! Questions about fencing: how a node that no longer answers is switched off by the other one.

use std::sync::Arc;

use super::Known;
use super::question::{Check, Choice, Kind, Question, Values};
use crate::answers::load::value;
use crate::answers::no_secret;

const PART: &str = "Fencing";

/// The next question about fencing.
pub(super) fn fencing(known: &Known<'_>) -> Option<Question> {
    let draft = known.draft;
    let Some(method) = draft.get("fencing.method") else {
        let choices = [
            ("IPMI: each machine has a BMC (iLO, iDRAC, IMM...) that can switch it off", "ipmi"),
            ("another fence agent: a switched power strip, a hypervisor's interface...", "agent"),
            ("SBD: a watchdog in each machine and a small shared disk", "sbd"),
            ("SSH: only for trying things out, it can't stop a machine that hangs", "ssh"),
        ];
        let choices = choices.map(|(label, value)| Choice::value(label, "fencing.method", value)).to_vec();
        let text = "How is a machine switched off that no longer answers?";
        return Some(
            Question::choose("fencing.method", PART, text, choices).because(known.step("stonith", "fencing.method")),
        );
    };
    match method.as_str() {
        "ipmi" => (0..2).find_map(|n| bmc(known, n)),
        "sbd" => sbd(known),
        "agent" => agent(known),
        "ssh" if !known.lab && !draft.has("fencing.accept_unsafe") => Some(accept(known)),
        _ => None,
    }
}

/// The key of a node's block: the node's name, or `node1` where the file already says so.
fn block(known: &Known<'_>, n: usize) -> String {
    let plain = format!("fencing.node{}", n + 1);
    if known.draft.has(&plain) { plain } else { format!("fencing.{}", known.name(n)) }
}

fn bmc(known: &Known<'_>, n: usize) -> Option<Question> {
    let block = block(known, n);
    let of = |key: &str| format!("{block}.{key}");
    if !known.draft.has(&of("address")) {
        let text = format!("Address of the BMC of {}", known.name(n));
        let why = known.step("stonith", "fencing.<node>.address");
        return Some(Question::text(of("address"), PART, text, None).because(why));
    }
    if !known.draft.has(&of("user")) {
        let text = format!("User at the BMC of {}", known.name(n));
        let default = (n == 1).then(|| known.draft.get(&format!("{}.user", self::block(known, 0)))).flatten();
        let why = known.step("stonith", "fencing.<node>.user");
        return Some(Question::text(of("user"), PART, text, default).because(why));
    }
    if !known.draft.has(&of("password")) {
        return Some(secret(known, &of("password"), &format!("Password at the BMC of {}", known.name(n)), n));
    }
    None
}

/// A secret: first where it is kept, then what it is.
fn secret(known: &Known<'_>, path: &str, text: &str, n: usize) -> Question {
    let why = || known.step("stonith", "fencing.<node>.password");
    let Some(keep) = known.draft.get("@keep") else {
        let choices = [
            ("in files of their own beside the answers, for you alone (0600)", "file"),
            ("in environment variables, which you set before each run", "env"),
            ("in the answers file, for you alone (0600)", "clear"),
        ];
        let choices = choices.map(|(label, value)| Choice::value(label, "@keep", value)).to_vec();
        return Question::choose("@keep", PART, "Where are passwords kept?", choices).because(why());
    };
    let path = path.to_owned();
    if keep == "env" {
        let default = format!("BMC{}_PASSWORD", n + 1);
        let text = format!("{text}: name of the environment variable");
        let check: Check = Arc::new(move |typed: &str| {
            if std::env::var_os(typed).is_none_or(|value| value.is_empty()) {
                return Err(format!(
                    "{} is not set here. Leave with Ctrl-C, `export {typed}=...` and begin again, or go back with Esc and keep it in a file.",
                    value::quote(typed)
                ));
            }
            Ok(vec![(path.clone(), format!("env:{typed}"))])
        });
        return Question::new(format!("env of {text}"), PART, text, Kind::Text { default: Some(default), check })
            .because(why());
    }
    let name = format!("{}.{}.password", known.draft.get("cluster").unwrap_or_default(), known.name(n));
    let key = path.clone();
    let check: Check = Arc::new(move |typed: &str| {
        value::line(typed).map_err(|why| format!("The password {why}"))?;
        Ok(if keep == "file" {
            vec![(key.clone(), format!("file:{name}")), (format!("@secret:{name}"), typed.to_owned())]
        } else if typed.starts_with("env:") || typed.starts_with("file:") {
            return Err(
                "A password that begins with env: or file: would be read as a reference; keep it in a file of its own."
                    .to_owned(),
            );
        } else {
            vec![(key.clone(), typed.to_owned())]
        })
    });
    Question::new(path, PART, text, Kind::Secret { check }).because(why())
}

fn sbd(known: &Known<'_>) -> Option<Question> {
    if known.draft.has("fencing.devices") {
        return None;
    }
    let why = known.step("stonith", "fencing.devices");
    let text = "Which disk do both machines share, for SBD?";
    let [left, right] = known.facts;
    let mut choices: Vec<Choice> = left
        .disks
        .iter()
        .filter(|disk| {
            crate::device::names_one_disk(&disk.serial) && right.disks.iter().any(|other| other.serial == disk.serial)
        })
        .filter_map(|disk| Some((disk, disk.by_id.first()?)))
        .map(|(disk, id)| {
            let label = format!("{}, {}, S/N {}, on both", disk.name, crate::device::bytes(disk.bytes), disk.serial);
            match disk.uses.first() {
                Some(used) => Choice::not(label, used.clone()),
                None => Choice::value(label, "fencing.devices[0]", format!("/dev/disk/by-id/{id}")),
            }
        })
        .collect();
    if !choices.iter().any(Choice::open) || known.draft.get("@sbd").is_some() {
        let text = "Path of the small disk that both machines share, for SBD";
        return Some(Question::text("fencing.devices[0]", PART, text, None).because(why));
    }
    choices.push(Choice::value("another path, typed by hand", "@sbd", "typed"));
    Some(Question::choose("fencing.devices[0]", PART, text, choices).because(why))
}

fn agent(known: &Known<'_>) -> Option<Question> {
    if !known.draft.has("fencing.agent") {
        let text = "Name of the fence agent (such as fence_apc_snmp)";
        return Some(Question::text("fencing.agent", PART, text, None).because(known.step("stonith", "fencing.agent")));
    }
    for n in 0..2 {
        let block = block(known, n);
        if known.draft.has(&block) {
            continue;
        }
        let text = format!("Parameters that switch off {} (ip=... plug=... password=env:NAME)", known.name(n));
        let key = block.clone();
        let check: Check = Arc::new(move |typed: &str| {
            let mut values: Values = Vec::new();
            for word in typed.split_whitespace() {
                match word.split_once('=') {
                    // A path is none: some agents want the name of a file with a key.
                    Some((name, value))
                        if !no_secret(name) && !["env:", "file:", "/"].iter().any(|begin| value.starts_with(begin)) =>
                    {
                        return Err(format!(
                            "What is typed here is shown, and {name} may be a secret: write {name}=env:NAME (an environment variable) or {name}=file:PATH"
                        ));
                    }
                    Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                        values.push((format!("{key}.{name}"), value.to_owned()));
                    }
                    _ => {
                        return Err(format!(
                            "{} is no parameter; write name=value, with spaces between",
                            value::quote(word)
                        ));
                    }
                }
            }
            Ok(values)
        });
        let why = known.step("stonith", "fencing.<node>.<parameter>");
        return Some(Question::new(block, PART, text, Kind::Text { default: None, check }).because(why));
    }
    None
}

/// SSH is no fencing: it takes a word to have it.
fn accept(known: &Known<'_>) -> Question {
    let check: Check = Arc::new(|typed: &str| {
        if typed == "unsafe" {
            return Ok(vec![("fencing.accept_unsafe".to_owned(), "ssh".to_owned())]);
        }
        Err("Type the word unsafe, or go back with Esc and take another method.".to_owned())
    });
    let text =
        "A machine that hangs can't be stopped by SSH: both may then write to the same data. Type `unsafe` to have it";
    Question::new("fencing.accept_unsafe", PART, text, Kind::Text { default: None, check })
        .because(known.step("stonith", "fencing.accept_unsafe"))
}
