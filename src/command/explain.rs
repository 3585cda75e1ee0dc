//! `hapair explain ID`: what a step does and why.

use std::fmt::Write as _;

use crate::step::{Step, Target};

/// The page of a step.
pub fn page(step: &Step) -> String {
    let mut text = format!("{}: {}\n(tutorial: {})\n\n{}\n", step.id, step.title, step.section, step.why.trim());
    if let Some(tutorial) = &step.tutorial {
        let _ = write!(text, "\nWhat the tutorial said:\n{}\n", indented(tutorial));
    }
    for warning in &step.warnings {
        let _ = write!(text, "\nWarning: {}\n", warning.trim());
    }
    let _ = write!(
        text,
        "\nRuns: {}\n",
        match step.on {
            Target::Both => "on both nodes at the same time",
            Target::InTurn => "on one node after the other; the peer is seen healthy in between",
        }
    );
    if !step.needs.is_empty() {
        let _ = writeln!(text, "Needs: {}", step.needs.join(", "));
    }
    if let Some(takes) = &step.takes {
        let _ = writeln!(text, "Takes: {takes}");
    }
    text.push_str("\nWhat is checked, and done where it is not so:\n");
    for entry in &step.actions {
        let Ok(action) = entry.action() else { continue };
        let when: Vec<String> = entry.when.iter().map(|(key, any)| format!("{key}: {}", any.0.join(" or "))).collect();
        let when = if when.is_empty() { String::new() } else { format!(" (with {})", when.join(", ")) };
        let each = if entry.each.is_some() { ", for each VM" } else { "" };
        let _ = writeln!(text, "  - {}{each}{when}", action.title());
    }
    if !step.trouble.is_empty() {
        text.push_str("\nWhat goes wrong:\n");
        for trouble in &step.trouble {
            let _ = writeln!(text, "  - {}", trouble.trim().replace('\n', "\n    "));
        }
    }
    if let Some(verify) = &step.verify {
        let _ = write!(text, "\nTo see it yourself:\n{}\n", indented(verify));
    }
    text
}

fn indented(text: &str) -> String {
    text.trim().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
