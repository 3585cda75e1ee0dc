//! `hapair` on a terminal, and `hapair ask`: the wizard, the last look before the first change, the install.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::answers::load::{LoadError, Secrets};
use crate::cancel::Cancel;
use crate::command::{install, say};
use crate::report::style::Tone;
use crate::setup::{Places, Setup};
use crate::step::Catalog;
use crate::wizard::asker::Asker;
use crate::wizard::draft::Draft;
use crate::wizard::machines::{Machines, Real};
use crate::wizard::question::{Check, Choice, Kind, Question};
use crate::wizard::terminal::Terminal;
use crate::wizard::{Wizard, terminal};
use crate::{exit, report};

/// What is to be done with the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Only write them.
    Save,
    /// Show what will be done, ask once more, install.
    Install {
        /// Checks of the preflight that are not to be made.
        ignore: Vec<String>,
    },
}

/// Asks on this terminal. `file`: answers that may be half-written; where they are to be kept.
///
/// # Errors
/// When the file can't be read or written, is wrong, or names a machine that can't be reached.
pub fn run(file: Option<&Path>, places: &Places, then: &Then) -> Result<u8> {
    let draft = begin(file)?;
    if !terminal::here() {
        if *then == Then::Save && draft.load().is_ok() {
            say("hapair: the answers are complete; there is nothing to ask");
            return Ok(exit::DONE);
        }
        say(&missing(&draft, file));
        return Ok(exit::ANSWERS);
    }
    let cancel = Cancel::listen_at_once()?;
    let mut terminal = Terminal::new();
    let mut machines = Real::new(places.clone())?;
    match wizard(&mut terminal, &mut machines, file, draft, places, then, &cancel) {
        Err(error) if error.is::<crate::wizard::asker::Interrupted>() => {
            terminal::restore();
            say("hapair: left; nothing was changed");
            Ok(exit::INTERRUPTED)
        }
        other => other,
    }
}

/// What is given already. A wrong value is an error here and not a question.
fn begin(file: Option<&Path>) -> Result<Draft> {
    let Some(path) = file else { return Ok(Draft::new("", PathBuf::from("."))) };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(LoadError::Io(path.to_owned(), error).into()),
    };
    let base = path.parent().unwrap_or(Path::new(".")).to_owned();
    let draft = Draft::new(text, base);
    if let Err(mut problems) = draft.load() {
        problems.list.retain(|problem| !problem.missing && !problem.message.contains("file is empty"));
        problems.file = path.to_owned();
        if !problems.list.is_empty() {
            return Err(LoadError::Problems(problems).into());
        }
    }
    Ok(draft)
}

/// The list of what would have to be asked.
fn missing(draft: &Draft, file: Option<&Path>) -> String {
    let draft = if draft.text().trim().is_empty() { Draft::new("{}", draft.base.clone()) } else { draft.clone() };
    let mut text = "hapair: there is no terminal to ask on, and answers are missing:\n".to_owned();
    for problem in draft.problems().iter().filter(|problem| problem.missing) {
        text.push_str(&format!("  {}: {}\n", problem.path, problem.message.trim_start_matches("is missing: ")));
    }
    let file = file.map_or_else(|| "FILE".to_owned(), |file| file.display().to_string());
    text.push_str(&format!(
        "Give them in an answers file (`hapair schema` describes it) and run: hapair install --answers {file}"
    ));
    text
}

/// The wizard with any asker and any machines.
///
/// # Errors
/// As [`run`]; [`crate::wizard::asker::Interrupted`].
pub fn wizard(
    asker: &mut dyn Asker,
    machines: &mut dyn Machines,
    file: Option<&Path>,
    draft: Draft,
    places: &Places,
    then: &Then,
    cancel: &Cancel,
) -> Result<u8> {
    let catalog = Catalog::load(places.steps_dir.as_deref())?;
    asker.say(
        Tone::Strong,
        &format!("hapair {}: two machines become a high-availability pair", env!("CARGO_PKG_VERSION")),
    );
    asker.say(Tone::Faint, "Nothing is changed before you have seen all of it and said so. Ctrl-C leaves at any time.");
    if places.lab.is_some() {
        asker.say(
            Tone::Warning,
            "These are throw-away machines without a hypervisor: a small service stands in for each virtual machine.",
        );
    }
    let mut draft = draft;
    // The screen is free for another asker between the parts.
    let mut wizard = Wizard::new(asker, machines, &catalog, places.lab.is_some(), std::mem::take(&mut draft));
    loop {
        let facts = wizard.ask()?;
        let Some(file) = file.map(Path::to_owned).or_else(|| wizard.draft.get("@file").map(PathBuf::from)) else {
            let question = where_to(&wizard.draft);
            wizard.put(&question)?;
            continue;
        };
        let Then::Install { ignore } = then else {
            save(&wizard.draft, &file)?;
            wizard.asker().say(Tone::Good, &format!("The answers are in {}, for you alone.", file.display()));
            wizard.asker().say(Tone::Plain, &format!("Install with: {}", places.command("install", &file)));
            return Ok(exit::DONE);
        };
        // The BMCs are tried with what will be in the files of the passwords.
        let loaded = wizard.draft.resolved().map_err(LoadError::Problems)?;
        let mut setup = Setup::of(loaded.answers, places.clone())?;
        setup.warnings = loaded.warnings;
        setup.ignore.clone_from(ignore);
        let review = wizard.review(&setup, &facts)?;
        let (width, style) = wizard.asker().page();
        wizard.asker().show(&review.lines(&setup, width, style));
        let free = review.refusals.is_empty();
        let reply = wizard.asker().ask(&go_on(free), &|_| Ok(()))?;
        match &reply {
            _ if reply.says("install") => {
                save(&wizard.draft, &file)?;
                wizard.asker().say(Tone::Faint, &format!("The answers are in {}.", file.display()));
                return go(&file, places, ignore, cancel);
            }
            _ if reply.says("again") => {}
            _ if reply.says("save") => {
                save(&wizard.draft, &file)?;
                wizard.asker().say(Tone::Good, &format!("The answers are in {}, for you alone.", file.display()));
                wizard.asker().say(Tone::Plain, &format!("Install with: {}", places.command("install", &file)));
                return Ok(exit::DONE);
            }
            _ => {
                if !wizard.back() {
                    wizard.asker().say(Tone::Faint, "Nothing was asked; change the answers file itself.");
                }
            }
        }
    }
}

/// The last question before the first change. `free`: nothing stands in the way.
fn go_on(free: bool) -> Question {
    let (text, first, why) = if free {
        (
            "Shall it be done?",
            ("Install", "install"),
            "Up to here nothing was changed; from here on the steps above are done.",
        )
    } else {
        (
            "It can't be done as it stands.",
            ("Look again", "again"),
            "What is in the way is told above, each with what to do; nothing was changed.",
        )
    };
    let choices = [first, ("Save the answers and quit", "save"), ("Back", "back")];
    let choices = choices.map(|(label, value)| Choice::value(label, "@then", value)).to_vec();
    Question::choose("@then", "The last look", text, choices).because((
        why.to_owned(),
        format!(
            "{}\nSave the answers and quit: the answers file is written, nothing else; `hapair install` with it does the same \
             install without a question, `hapair plan` shows every change with its differences.\n\
             Back: to the last question; each Esc there goes back one more. Ctrl-C leaves, and nothing is written.",
            if free {
                "Install: the answers are written first (mode 0600), then the steps run in their order. Ctrl-C during the \
                 install finishes what is being done and stops; the same command goes on from there."
            } else {
                "Look again: after you have changed something on the machines."
            }
        ),
    ))
}

/// Where the answers are kept.
fn where_to(draft: &Draft) -> Question {
    let cluster = draft.get("cluster").unwrap_or_default();
    let default = (1..).map(|n| if n == 1 { format!("{cluster}.yaml") } else { format!("{cluster}-{n}.yaml") });
    let default = default.take(100).find(|name| !Path::new(name).exists());
    let check: Check = Arc::new(|typed: &str| {
        let path = Path::new(typed);
        if path.exists() {
            return Err(format!(
                "{typed} is there already; take another name, or begin with `hapair ask --answers {typed}`."
            ));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!("there is no folder {}", folder.display()));
        }
        Ok(vec![("@file".to_owned(), typed.to_owned())])
    });
    let question =
        Question::new("@file", "The answers", "In which file are the answers kept?", Kind::Text { default, check });
    question.because((
        "With this file the same install runs unattended, goes on where it stopped, and is checked later.".to_owned(),
        "It is written before the first change, and only you can read it (mode 0600).".to_owned(),
    ))
}

/// Writes the answers, and secrets that have files of their own, for nobody else to read.
fn save(draft: &Draft, file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut text = draft.text().to_owned();
    for (name, secret) in &draft.files {
        let line = format!("{}\n", secret.reveal());
        // Other answers in this folder may have a secret of the same name: it stays theirs.
        let ours = |name: &String| match std::fs::read(folder.join(name)) {
            Ok(there) => there == line.as_bytes(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        let names = (1..100).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") });
        let free = { names }.find(ours).with_context(|| format!("no name is free for the secret {name}"))?;
        write(&folder.join(&free), line.as_bytes())?;
        text = text.replace(&format!("file:{name}"), &format!("file:{free}"));
    }
    if !text.starts_with('#') && !file.exists() {
        text.insert_str(0, "# Answers for hapair; `hapair schema` and docs/answers.md describe the keys. What is not here has its default.\n");
    }
    write(file, text.as_bytes())
}

/// The whole file or the old one, mode 0600, on disk when this returns.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let whole = || -> std::io::Result<()> {
        let new = PathBuf::from(format!("{}.new", path.display()));
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    whole().with_context(|| format!("writing {}", path.display()))
}

/// The install, as `hapair install --answers FILE` does it.
fn go(file: &Path, places: &Places, ignore: &[String], cancel: &Cancel) -> Result<u8> {
    // An install is watched like any other command.
    terminal::restore();
    let mut setup = Setup::load(file, places.clone(), Secrets::Resolve)?;
    setup.ignore = ignore.to_vec();
    cancel.patient();
    let run = install::Run {
        command: "install".to_owned(),
        steps: None,
        with_needs: false,
        continue_after_reboot: false,
        format: report::Format::Text,
        cancel,
        resume: places.command("install", file),
    };
    install::run(&setup, &run).map(|outcome| outcome.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_other_answers_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let draft = |password: &str| {
            let values = [("fencing.a.password", "file:web.a.password"), ("@secret:web.a.password", password)];
            let values = values.map(|(path, value)| (path.to_owned(), value.to_owned())).to_vec();
            Draft::default().with(&values).expect("a draft")
        };
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        for (password, file) in [("one", "web.yaml"), ("two", "web-2.yaml"), ("two", "web-3.yaml")] {
            save(&draft(password), &folder.path().join(file)).expect("saved");
        }
        assert_eq!((read("web.a.password").as_str(), read("web.a.password-2").as_str()), ("one\n", "two\n"));
        assert!(read("web.yaml").ends_with("file:web.a.password\n"), "{}", read("web.yaml"));
        for file in ["web-2.yaml", "web-3.yaml"] {
            assert!(read(file).ends_with("file:web.a.password-2\n"), "{}", read(file));
        }
        assert!(!folder.path().join("web.a.password-3").exists());
    }
}
