//! The commands of the command line, one a file.

pub mod ask;
pub mod check;
pub mod consent;
pub mod drill;
pub mod explain;
pub mod install;
pub mod plan;
pub mod render;
pub mod script;
pub mod status;
pub mod step;
pub mod steps;
pub mod undo;

use std::io::Write as _;

/// Writes what was asked for to stdout. A reader that went away (`| head`) is no error.
///
/// # Errors
/// When stdout can't be written for another reason.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says something to a person, on stderr. A closed stderr is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The command line as it was typed, to be typed again.
pub fn typed() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        "hapair".clone_into(program);
    }
    crate::node::quote::line(&words)
}
