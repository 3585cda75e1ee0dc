//! Pages that repeat the steps are generated from them; this fails when they are stale (`make docs` writes them anew).
//! Pages that name files of the repository name files that are there.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use hapair::answers::load::Secrets as Values;
use hapair::manual::{self, What, Who};
use hapair::node::{At, quote};
use hapair::plan::{Plan, PlannedStep};
use hapair::platform::Platform;
use hapair::secrets::Secrets;
use hapair::setup::{Places, Setup};
use hapair::step::{Step, Target};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The plan of an answers file, for a platform, without asking a node.
fn plan(example: &str) -> (Plan, Platform) {
    let answers = root().join(format!("tests/examples/{example}.yaml"));
    let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
    let (platform, found) = setup.offline().unwrap();
    (setup.plan(&platform, &found, &Secrets::placeholders()).unwrap(), platform)
}

fn current(name: &str, page: &str) {
    let path = root().join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{name} is stale: run `make docs`");
}

const INTRODUCTION: &str = "# The tutorial

*Heartbeat2 Xen cluster with drbd8 and OCFS2*, told once more: what it described on Ubuntu 7.10, with its mistakes repaired, and
the same on Debian 12, side by side. Generated from `steps/`, `templates/` and `steps/platform/` by `make docs`; the files and
commands are those of two answers files, [tests/examples/tutorial.yaml](../tests/examples/tutorial.yaml) (Debian 12, fencing by
IPMI) and [tests/examples/ubuntu-7.10.yaml](../tests/examples/ubuntu-7.10.yaml) (fencing by SSH, as on the page).

The commands are the plain ones, for somebody who types: `both#` on both nodes, `node1#` on the first, `node2#` on the second.
hapair does not run them in this form. It looks before each of them, does only what is missing, and looks again; `hapair plan`
shows its own commands for your machines, and `hapair plan --offline --format sh` prints this page as a script. Which mistake of
the original is repaired where is in [errata.md](errata.md); what the nodes must have in [platforms.md](platforms.md).

The pair: `node1` and `node2`, each with /dev/sda1 as `/`, /dev/sda2 as swap and /dev/sda3 for DRBD.
";

#[test]
fn the_tutorial_is_current() {
    let (debian, first) = plan("tutorial");
    let (ubuntu, second) = plan("ubuntu-7.10");
    let mut page = INTRODUCTION.to_owned();
    page.push('\n');
    for (index, step) in debian.steps.iter().enumerate() {
        let _ = writeln!(page, "{}. [{}](#{})", index + 1, step.step.title, anchor(index, &step.step));
    }
    for (index, (one, other)) in debian.steps.iter().zip(&ubuntu.steps).enumerate() {
        let step = &one.step;
        let _ = write!(page, "\n## {}. {}\n\n", index + 1, step.title);
        let _ = writeln!(
            page,
            "`{}` · the tutorial's section *{}* · {}{}\n",
            step.id,
            step.section,
            if step.on == Target::Both { "both nodes at the same time" } else { "one node after the other" },
            step.takes.as_ref().map(|takes| format!(" · takes {}", takes.trim())).unwrap_or_default()
        );
        let _ = writeln!(page, "{}", step.why.trim());
        for warning in &step.warnings {
            let _ = writeln!(page, "\n> {}", warning.trim());
        }
        let _ = write!(
            page,
            "\n<table>\n<tr><th>{}</th><th>{}</th></tr>\n<tr valign=\"top\"><td>\n\n{}\n</td><td>\n\n{}\n</td></tr>\n</table>\n",
            first.title,
            second.title,
            side(one),
            side(other)
        );
        if let Some(verify) = &step.verify {
            let _ = writeln!(page, "\n**How to see that it worked.** {}", verify.trim());
        }
        if !step.trouble.is_empty() {
            page.push_str("\n**What goes wrong**\n\n");
            for trouble in &step.trouble {
                let _ = writeln!(page, "- {}", trouble.trim());
            }
        }
        if let Some(tutorial) = &step.tutorial {
            let _ = writeln!(page, "\n**What the page said, and what is done here.** {}", tutorial.trim());
        }
    }
    current("docs/tutorial.md", &page);
}

/// As GitHub makes it from the heading.
fn anchor(index: usize, step: &Step) -> String {
    let plain = step.title.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != ' ' && c != '-', "");
    format!("{}-{}", index + 1, plain.replace(' ', "-"))
}

/// What a step takes on one platform.
fn side(step: &PlannedStep) -> String {
    if let Some(why) = &step.skipped {
        return format!("left out: {why}\n");
    }
    let mut text = String::new();
    for part in manual::of(step) {
        let _ = writeln!(text, "{}\n", part.title);
        let mut open = false;
        let code = |text: &mut String, open: &mut bool, wanted: bool| {
            if *open != wanted {
                text.push_str(if wanted { "```sh\n" } else { "```\n\n" });
                *open = wanted;
            }
        };
        for item in &part.items {
            let whom = match item.who {
                Who::Both => "both",
                Who::One(At::First) => "node1",
                Who::One(At::Second) => "node2",
            };
            match &item.what {
                What::Run(order) => {
                    code(&mut text, &mut open, true);
                    let _ = write!(text, "{whom}# {}", quote::line(&order.cmd.argv));
                    if order.cmd.stdin.is_empty() {
                        text.push('\n');
                    } else {
                        let _ =
                            write!(text, " <<'END'\n{}\nEND\n", String::from_utf8_lossy(&order.cmd.stdin).trim_end());
                    }
                }
                What::Wait { what, shell, .. } => {
                    code(&mut text, &mut open, true);
                    let _ = writeln!(text, "{whom}# until {}; do sleep 3; done   # {what}", shell.trim());
                }
                What::Write(file) => {
                    code(&mut text, &mut open, false);
                    let _ = writeln!(text, "{whom}: `{}`, mode {:04o}\n", file.path, file.mode);
                    match std::str::from_utf8(&file.content) {
                        Ok(content) if content.trim().is_empty() => text.push_str("(empty)\n\n"),
                        Ok(content) => {
                            let _ = writeln!(text, "```\n{}\n```\n", content.trim_end());
                        }
                        Err(_) => {
                            let _ = writeln!(text, "({} bytes, made by hapair)\n", file.content.len());
                        }
                    }
                }
            }
        }
        code(&mut text, &mut open, false);
    }
    if text.is_empty() { "Nothing is changed; hapair only looks.\n".to_owned() } else { text }
}

/// Everything that a page puts in backquotes and that begins with one of these folders.
fn named(page: &str) -> BTreeSet<String> {
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            ["steps/", "templates/", "src/", "tests/", "docs/"].iter().any(|folder| word.starts_with(folder))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_mistake_of_the_page_is_answered_by_something_that_is_there() {
    let page = std::fs::read_to_string(root().join("docs/errata.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).map(cells).collect();
    let numbers = |prefix: &str| -> Vec<usize> {
        rows.iter().filter_map(|row| row[0].strip_prefix(prefix)?.parse().ok()).collect()
    };
    assert_eq!(numbers("E"), (1..=70).collect::<Vec<_>>());
    assert_eq!(numbers("C"), (1..=10).collect::<Vec<_>>());
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(!named(&row[3]).is_empty(), "{} names no file: {}", row[0], row[3]);
    }
    for name in named(&page) {
        assert!(root().join(&name).exists(), "docs/errata.md names {name}, which is not there");
    }
}

#[test]
fn the_page_of_the_checks_is_current() {
    let page = hapair::preflight::checks::page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/checks.md is stale: run `make docs`");
}

#[test]
fn every_trouble_of_the_recovery_page_is_one_that_status_names() {
    let page = std::fs::read_to_string(root().join("docs/recovery.md")).unwrap();
    let files = std::fs::read_dir(root().join("src/status")).unwrap().map(|entry| entry.unwrap().path());
    let source: String =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let part = page.split("## A running pair").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut names = 0;
    for line in part.lines().filter_map(|line| line.strip_prefix("- **")) {
        for name in line.split("**").next().unwrap().split(", ") {
            names += 1;
            assert!(source.contains(&format!("\"{name}\"")), "hapair status knows no trouble {name}");
        }
    }
    assert!(names >= 10, "{names}");
}
