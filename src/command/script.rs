//! A plan as a shell script: what hapair would run, in order, for reading (and, with care, for running).
//!
//! Where no node was asked it is the tutorial as a script: the plain commands for a fresh pair, with the steps' own words.

use std::fmt::Write as _;

use anyhow::Result;

use super::plan::View;
use crate::action::{Memory, Seen, State};
use crate::answers::Reach;
use crate::manual::{self, What, Who};
use crate::node::{At, Cmd, quote};
use crate::plan::PlannedAction;
use crate::setup::Setup;

/// The script of a plan.
///
/// # Errors
/// None at present; orders that can't be told before an earlier step has run are said in a comment.
pub fn of(setup: &Setup, view: &View<'_>) -> Result<String> {
    if view.looked.is_none() {
        return Ok(for_a_fresh_pair(setup, view));
    }
    let mut text = header(setup);
    for (step, shown, first) in &view.steps {
        let _ = writeln!(text, "\n# === {}: {}", step.step.id, step.step.title);
        if let Some(why) = &step.skipped {
            let _ = writeln!(text, "# left out: {why}");
        }
        for index in 0..step.actions.len() {
            for (at, state) in view.states(step, *first, index) {
                let shown = &shown.actions[index];
                let Some(instance) = shown.of(at) else { continue };
                if state == Some(State::Satisfied) {
                    continue;
                }
                let _ = writeln!(text, "\n# {}", one_line(&instance.title()));
                match &state {
                    Some(State::Refused(refusal)) => {
                        let _ = writeln!(text, "# refused: {}", one_line(&refusal.what));
                        continue;
                    }
                    Some(State::Unknown(why)) => {
                        let _ = writeln!(text, "# can't be told yet: {}", one_line(why));
                    }
                    _ => {}
                }
                orders(&mut text, view, *first + index, shown, at);
            }
        }
    }
    Ok(text)
}

fn orders(text: &mut String, view: &View<'_>, index: usize, shown: &PlannedAction, at: At) {
    let Some(instance) = shown.of(at) else { return };
    let memory = Memory::default();
    let orders = match &view.looked {
        Some(looked) => looked.with(index, &memory, |seen| instance.orders(at, seen)),
        None => instance.orders(at, &Seen { outputs: [&[], &[]], memory: &memory }),
    };
    match orders {
        Ok(orders) => {
            for order in orders {
                let _ = writeln!(text, "{}", on(order.at, &order.cmd));
            }
        }
        Err(error) => {
            let _ =
                writeln!(text, "# its commands depend on what the nodes say then: {}", one_line(&format!("{error:#}")));
        }
    }
    if let Some(settle) = instance.settle() {
        let _ = writeln!(
            text,
            "wait_for {} {} {}   # {}",
            if at == At::First { 1 } else { 2 },
            settle.limit.as_secs(),
            quote::word(&settle.shell),
            one_line(&settle.what)
        );
    }
}

fn on(at: At, cmd: &Cmd) -> String {
    let number = at.index() + 1;
    let line = quote::word(&quote::line(&cmd.argv));
    if cmd.stdin.is_empty() {
        return format!("on {number} {line}");
    }
    match std::str::from_utf8(&cmd.stdin) {
        Ok(text) if !text.contains('\0') => format!("printf %s {} | on {number} {line}", quote::word(text)),
        _ => {
            use base64::Engine as _;
            let coded = base64::engine::general_purpose::STANDARD.encode(&cmd.stdin);
            format!("echo {coded} | base64 -d | on {number} {line}")
        }
    }
}

fn header(setup: &Setup) -> String {
    let mut text = format!(
        "#!/bin/sh\n# The plan of hapair {} for the cluster {}: what it would run, in this order.\n\
         # hapair itself checks before and after each line; this script does not. Keys that hapair\n\
         # makes are shown as \"made-by-hapair-at-install\", passwords as \"********\".\nset -eu\n\non() {{ # on NODE LINE: runs LINE there\n    case $1 in\n",
        env!("CARGO_PKG_VERSION"),
        setup.answers.cluster
    );
    for (index, node) in setup.answers.nodes.iter().enumerate() {
        let command = match &node.ssh {
            Reach::Local => "sh -c \"$2\"".to_owned(),
            Reach::Ssh { user, host, port } => {
                let sudo = if user == "root" { "" } else { "sudo -n " };
                format!(
                    "ssh -p {port} {} {sudo}sh -c \"'$(printf %s \"$2\" | sed \"s/'/'\\\\\\\\''/g\")'\"",
                    quote::word(&format!("{user}@{host}"))
                )
            }
        };
        let _ = writeln!(text, "    {}) {command} ;; # {}", index + 1, node.name);
    }
    text.push_str(
        "    esac\n}\n\nwait_for() { # wait_for NODE SECONDS CONDITION\n    end=$(($(date +%s) + $2))\n    until on \"$1\" \"$3\" </dev/null; do\n        \
         [ \"$(date +%s)\" -lt \"$end\" ] || { echo \"not so after $2 s: $3\" >&2; exit 1; }\n        sleep 3\n    done\n}\n",
    );
    text
}

/// Plain commands; `on both` is what is the same on both nodes.
fn for_a_fresh_pair(setup: &Setup, view: &View<'_>) -> String {
    let mut text = format!(
        "#!/bin/sh\n# The cluster {} from two fresh machines, step by step: made by hapair {}.\n\
         # No node was asked: hapair itself looks before and after each of these commands, and this script does not. It\n\
         # destroys what the devices hold. Keys that hapair makes are shown as \"made-by-hapair-at-install\".\n\
         set -eu\n\nat() {{ # at NODE LINE\n    case $1 in\n",
        setup.answers.cluster,
        env!("CARGO_PKG_VERSION"),
    );
    for (index, node) in setup.answers.nodes.iter().enumerate() {
        let command = match &node.ssh {
            Reach::Local => "sh -c \"$2\"".to_owned(),
            Reach::Ssh { user, host, port } => {
                let sudo = if user == "root" { "" } else { "sudo -n " };
                let port = if *port == 22 { String::new() } else { format!("-p {port} ") };
                format!("ssh {port}{} \"{sudo}$2\"", quote::word(&format!("{user}@{host}")))
            }
        };
        let _ = writeln!(text, "    {}) {command} ;; # {}", index + 1, node.name);
    }
    text.push_str(FUNCTIONS);
    for (step, shown, _) in &view.steps {
        let _ = writeln!(text, "\n\n# === {}: {}", step.step.id, step.step.title);
        if let Some(why) = &step.skipped {
            let _ = writeln!(text, "# left out: {why}");
            continue;
        }
        text.push_str("#\n");
        comment(&mut text, &step.step.why);
        for warning in &step.step.warnings {
            text.push_str("#\n");
            comment(&mut text, &format!("Careful: {}", one_line(warning)));
        }
        for part in manual::of(shown) {
            let _ = writeln!(text, "\n# {}", one_line(&part.title));
            for item in &part.items {
                let _ = writeln!(text, "{}", line(item));
            }
        }
        if let Some(verify) = &step.step.verify {
            text.push('\n');
            comment(&mut text, &format!("It worked: {}", one_line(verify)));
        }
    }
    text
}

const FUNCTIONS: &str = r#"    esac
}

quoted() { # quoted WORD...: as a line for another shell
    for word; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\''/g")"; done
}

on() { # on 1|2|both PROGRAM ARGUMENT...
    where=$1
    shift
    line=$(quoted "$@")
    case $where in
    both) at 1 "$line" </dev/null && at 2 "$line" </dev/null ;;
    *) at "$where" "$line" </dev/null ;;
    esac
}

give() { # give 1|2|both PROGRAM ARGUMENT...: with what comes on standard input
    where=$1
    shift
    line=$(quoted "$@")
    input=$(mktemp)
    cat >"$input"
    for node in 1 2; do
        case $where in both | "$node") at "$node" "$line" <"$input" || exit ;; esac
    done
    rm -f "$input"
}

write() { # write 1|2|both PATH MODE: a whole file, from standard input
    give "$1" sh -c 'umask 077; mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"' sh "$2" "$3"
}

wait_for() { # wait_for 1|2|both SECONDS LINE
    end=$(($(date +%s) + $2))
    until on "$1" sh -c "$3" 2>/dev/null; do
        [ "$(date +%s)" -lt "$end" ] || { echo "not so after $2 s: $3" >&2; exit 1; }
        sleep 3
    done
}
"#;

fn line(item: &manual::Item) -> String {
    let whom = match item.who {
        Who::Both => "both",
        Who::One(At::First) => "1",
        Who::One(At::Second) => "2",
    };
    match &item.what {
        What::Run(order) if order.cmd.stdin.is_empty() => format!("on {whom} {}", quote::line(&order.cmd.argv)),
        What::Run(order) => here(&format!("give {whom} {}", quote::line(&order.cmd.argv)), &order.cmd.stdin),
        What::Write(file) => {
            here(&format!("write {whom} {} {:04o}", quote::word(&file.path), file.mode), &file.content)
        }
        What::Wait { what, shell, limit } => {
            format!("# wait: {}\nwait_for {whom} {limit} {}", one_line(what), quote::word(shell))
        }
    }
}

/// A command with this on its standard input.
fn here(command: &str, input: &[u8]) -> String {
    const END: &str = "END";
    match std::str::from_utf8(input) {
        Ok(text) if !text.contains('\0') && text.lines().all(|line| line != END) => {
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{command} <<'{END}'\n{text}{newline}{END}")
        }
        _ => {
            use base64::Engine as _;
            let coded = base64::engine::general_purpose::STANDARD.encode(input);
            format!("echo {coded} | base64 -d | {command}")
        }
    }
}

/// Lines of a comment.
fn comment(text: &mut String, words: &str) {
    for line in words.trim().lines() {
        let _ = writeln!(text, "# {line}");
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
