//! A plan as a shell script: what hapair would run, in order, for reading (and, with care, for running).

use std::fmt::Write as _;

use anyhow::Result;

use super::plan::View;
use crate::action::{Memory, Seen, State};
use crate::answers::Reach;
use crate::node::{At, Cmd, quote};
use crate::plan::PlannedAction;
use crate::setup::Setup;

/// The script of a plan.
///
/// # Errors
/// None at present; orders that can't be told before an earlier step has run are said in a comment.
pub fn of(setup: &Setup, view: &View<'_>) -> Result<String> {
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
         # makes are shown as \"made-by-hapair-at-install\".\nset -eu\n\non() {{ # on NODE LINE: runs LINE there\n    case $1 in\n",
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
