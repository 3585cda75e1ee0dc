//! The wizard as a person meets it: in a pseudo-terminal, with keys and a screen.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod asked;
mod last_look;
mod machines;
mod questions;
#[path = "../screen/mod.rs"]
mod screen;
#[path = "../sshd/mod.rs"]
mod sshd;
mod toys;

use std::path::{Path, PathBuf};
use std::process::Command;

use hapair::cancel::Cancel;
use hapair::command::ask::{self, Then};
use hapair::setup::Places;
use hapair::wizard::draft::Draft;
use hapair::wizard::terminal::{self, Terminal};
use screen::Screen;
use toys::Toys;

/// The program that the tests start in their pseudo-terminals: the wizard with its real terminal and toy machines.
#[test]
#[ignore = "it is started by the other tests"]
fn the_wizard_with_toys() {
    let cancel = Cancel::listen_at_once().unwrap();
    let file = Path::new("half.yaml");
    let (file, text) = (file.exists().then_some(file), std::fs::read_to_string(file).unwrap_or_default());
    let draft = Draft::new(text, PathBuf::from("."));
    let set = |name: &str| std::env::var_os(name).is_some();
    let mut toys = Toys { odd: set("ODD_TOYS"), in_the_way: set("TOYS_IN_THE_WAY"), ..Toys::default() };
    let places = Places { state_dir: Some(PathBuf::from("state")), ..Places::default() };
    let then = if set("TOYS_INSTALL") { Then::Install { ignore: Vec::new() } } else { Then::Save };
    let mut terminal = Terminal::new();
    let result = ask::wizard(&mut terminal, &mut toys, file, draft, &places, &then, &cancel);
    let code = match result {
        Ok(code) => i32::from(code),
        Err(error) if error.is::<hapair::wizard::asker::Interrupted>() => 130,
        Err(error) => {
            terminal::restore();
            eprintln!("the wizard ended: {error:#}");
            1
        }
    };
    drop(terminal);
    std::process::exit(code);
}

fn with_toys(folder: &Path, rows: u16, columns: u16) -> Screen {
    Screen::start(toys(folder), rows, columns)
}

fn with_odd_toys(folder: &Path, rows: u16, columns: u16) -> Screen {
    let mut command = toys(folder);
    command.env("ODD_TOYS", "1");
    Screen::start(command, rows, columns)
}

fn toys(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "the_wizard_with_toys", "--nocapture"]).current_dir(folder);
    command
}
