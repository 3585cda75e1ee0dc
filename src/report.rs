//! How events are shown: a list that fills on a terminal, a line per event elsewhere, JSON lines for programs.
//!
//! A reporter is chosen once, at the start: a bar that is hidden because nobody looks would swallow the messages
//! that go through it. None of them ever fails: a run must not stop half-way because nobody can read about it; what
//! has to be kept is in the journal.

mod frame;
mod gauge;
pub mod json;
mod model;
pub mod plain;
pub mod style;
pub mod tty;
pub mod words;

use std::io::{self, IsTerminal};

use crate::event::Sink;

/// What `--format` may say for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people, on stderr: a filling list on a terminal, a line per event elsewhere.
    #[default]
    Text,
    /// For programs, on stdout: an object a line.
    Json,
}

/// The reporter for a format and a terminal. `width` is a fixed width in columns, for a terminal whose own can't be
/// asked for; `None` asks the terminal, again and again, since windows are resized.
///
/// A terminal that can't move its cursor (`TERM` is `dumb` or not set) gets plain lines.
pub fn choose(format: Format, stderr_is_terminal: bool, no_color: bool, width: Option<u16>) -> Box<dyn Sink> {
    let term = std::env::var("TERM").unwrap_or_default();
    match format {
        Format::Json => Box::new(json::Json::stdout()),
        Format::Text if stderr_is_terminal && !term.is_empty() && term != "dumb" => {
            let locale = locale(|name| std::env::var(name).ok());
            Box::new(tty::Tty::stderr(!no_color, draws_unicode(&term, &locale), width))
        }
        Format::Text => Box::new(plain::Plain::stderr()),
    }
}

/// The reporter for where this process was started: stderr as it is, `NO_COLOR` as it is set.
pub fn choose_here(format: Format) -> Box<dyn Sink> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    choose(format, io::stderr().is_terminal(), no_color, None)
}

/// The locale that decides about characters: the first of the three that says anything, as in POSIX.
fn locale(get: impl Fn(&str) -> Option<String>) -> String {
    ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(get).find(|value| !value.is_empty()).unwrap_or_default()
}

/// Whether marks and bars may be other than ASCII. Linux' own console takes UTF-8, but its fonts lack the marks.
fn draws_unicode(term: &str, locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    term != "linux" && (locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_needs_a_locale_and_a_font() {
        assert!(draws_unicode("xterm-256color", "en_US.UTF-8"));
        assert!(draws_unicode("screen", "C.utf8"));
        assert!(!draws_unicode("linux", "en_US.UTF-8"));
        assert!(!draws_unicode("xterm", "POSIX"));
        assert!(!draws_unicode("xterm", ""));
    }

    #[test]
    fn the_first_locale_that_says_anything_holds() {
        let set = |name: &str| match name {
            "LC_ALL" => Some(String::new()),
            "LC_CTYPE" => Some("C".to_owned()),
            _ => Some("de_DE.UTF-8".to_owned()),
        };
        assert_eq!(locale(set), "C");
        assert_eq!(locale(|_| None), "");
    }
}
