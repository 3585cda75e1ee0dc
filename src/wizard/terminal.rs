//! Asks on the terminal: draws a question below what stays, reads keys, follows the window's size.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use console::{Key, Term, measure_text_width};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::asker::{Asker, Interrupted};
use super::line::Line;
use super::question::{Choice, Kind, Question, Reply, Take, Values};
use super::sheet::{Entry, Sheet, answered, columns, heading, sheet};
use crate::report::style::{Style, Tone};

/// How often a change of the window's size is looked for.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 150_000_000 };

/// The terminal as it was, for whoever ends the program.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// Puts the terminal back as it was: its modes and its cursor.
pub fn restore() {
    if let Some(before) = BEFORE.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
    let _ = Term::stderr().show_cursor();
}

/// Whether questions can be asked here: a keyboard, a screen, and a terminal that can move its cursor.
pub fn here() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    io::stdin().is_terminal() && io::stderr().is_terminal() && !term.is_empty() && term != "dumb"
}

/// Keys are not shown, and come one by one. Behind its life they are still not shown, but Ctrl-C is a signal again: what is
/// typed before the next question is there may be a password. [`restore`] ends that.
struct Quiet;

impl Quiet {
    /// `signals`: Ctrl-C stays a signal and is no key.
    fn begin(signals: bool) -> Result<Self> {
        let now = tcgetattr(io::stdin()).context("asking the terminal for its modes")?;
        let quiet = Self::modes(BEFORE.get_or_init(|| now), signals);
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet).context("setting the terminal's modes")?;
        Ok(Self)
    }

    fn modes(before: &Termios, signals: bool) -> Termios {
        let mut quiet = before.clone();
        quiet.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON);
        if !signals {
            quiet.local_modes &= !LocalModes::ISIG;
        }
        quiet
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = BEFORE.get() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &Self::modes(before, true));
        }
    }
}

/// The terminal.
pub struct Terminal {
    term: Term,
    style: Style,
    /// What is drawn and will be drawn over.
    drawn: Sheet,
    /// The heading that was shown last.
    part: &'static str,
    /// Answers that are the last lines on the screen: their lines, and the heading before them.
    tail: Vec<(Vec<String>, &'static str)>,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// On stderr: stdout holds only what was asked for.
    pub fn new() -> Self {
        Self { term: Term::stderr(), style: Style::here(), drawn: Sheet::default(), part: "", tail: Vec::new() }
    }

    /// Rows and columns.
    fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size_checked().unwrap_or((24, 80));
        (if rows == 0 { 24 } else { rows.into() }, if columns == 0 { 80 } else { columns.into() })
    }

    /// Draws over what was drawn before.
    fn draw(&mut self, next: Sheet) -> Result<()> {
        let mut text = self.over();
        text.push_str(&next.lines.join("\r\n"));
        let (rows, column) = match next.cursor {
            Some((line, column)) => (next.lines.len() - 1 - line, column),
            None => (0, 0),
        };
        if rows > 0 {
            text.push_str(&format!("\x1b[{rows}A"));
        }
        text.push('\r');
        if column > 0 {
            text.push_str(&format!("\x1b[{column}C"));
        }
        text.push_str(if next.cursor.is_some() { "\x1b[?25h" } else { "\x1b[?25l" });
        self.drawn = next;
        self.write(&text)
    }

    /// The way back to the first drawn line, and all below it cleared.
    fn over(&self) -> String {
        let (_, width) = self.size();
        let line = self.drawn.cursor.map_or(self.drawn.lines.len().saturating_sub(1), |(line, _)| line);
        // Most terminals break lines anew when they get narrower.
        let rows = |line: &String| measure_text_width(line).div_ceil(width.max(1)).max(1);
        let mut up: usize = self.drawn.lines.iter().take(line).map(rows).sum();
        if self.drawn.cursor.is_none() {
            up += self.drawn.lines.last().map_or(0, |last| rows(last) - 1);
        }
        if up > 0 { format!("\r\x1b[{up}A\x1b[J") } else { "\r\x1b[J".to_owned() }
    }

    /// Takes away what is drawn and writes lines that stay.
    fn leave(&mut self, lines: &[String]) -> Result<()> {
        let mut text = self.over();
        self.drawn = Sheet::default();
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\x1b[?25h");
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.term.write_all(text.as_bytes()).and_then(|()| self.term.flush()).map_err(|_| Interrupted.into())
    }

    /// A key; `None` when the window's size has changed.
    fn key(&self, size: (usize, usize)) -> Result<Option<Key>> {
        let stdin = io::stdin();
        loop {
            let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&TICK)) {
                Ok(0) if self.size() != size => return Ok(None),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    return match self.term.read_key_raw() {
                        // Control-D on an empty line, and a terminal that went away.
                        Ok(Key::CtrlC | Key::Char('\u{4}')) | Err(_) => Err(Interrupted.into()),
                        Ok(key) => Ok(Some(key)),
                    };
                }
                Err(_) => return Err(Interrupted.into()),
            }
        }
    }

    fn explain(&mut self, question: &Question) -> Result<()> {
        let (_, width) = self.size();
        let mut lines = vec![String::new()];
        let title = question.text.as_str();
        for text in std::iter::once(title).chain([""]).chain(question.more.lines()) {
            let tone = if text == title { Tone::Strong } else { Tone::Plain };
            lines.extend(self.style.wrap(tone, text, 1, 0, columns(width)));
        }
        lines.push(String::new());
        self.tail.clear();
        self.leave(&lines)
    }

    /// Takes the last answer off the screen.
    fn unsay(&mut self) -> Result<()> {
        let Some((lines, part)) = self.tail.pop() else { return self.leave(&[]) };
        let (_, width) = self.size();
        let rows: usize = lines.iter().map(|line| measure_text_width(line).div_ceil(width.max(1)).max(1)).sum();
        self.part = part;
        let text = format!("{}\x1b[{rows}A\x1b[J", self.over());
        self.drawn = Sheet::default();
        self.write(&text)
    }

    /// What Enter means at a question as it stands: values and what to show for them, or what is wrong.
    fn taken(question: &Question, entry: &Entry) -> std::result::Result<(Values, String), String> {
        match &question.kind {
            Kind::Choose { choices, .. } => match choices.get(entry.at) {
                Some(choice) if !begins(choice, &entry.line.text()) => Err(nothing_begins(&entry.line.text())),
                Some(Choice { label, take: Take::Values(values) }) => Ok((values.clone(), label.clone())),
                Some(Choice { take: Take::Not(why), .. }) => Err(format!("This can't be taken: {why}.")),
                None => Err("There is nothing to choose from.".to_owned()),
            },
            Kind::Text { default, check } => {
                let typed = entry.line.text().trim().to_owned();
                let text = if typed.is_empty() { default.clone().unwrap_or_default() } else { typed };
                if text.is_empty() && default.is_none() {
                    return Err("Type an answer; there is none to guess.".to_owned());
                }
                check(&text).map(|values| (values, text))
            }
            Kind::Secret { check } => {
                if entry.line.is_empty() {
                    return Err("Type it; nothing of it is shown.".to_owned());
                }
                check(&entry.line.text()).map(|values| (values, "********".to_owned()))
            }
        }
    }
}

/// Whether a choice is what somebody begins to type.
fn begins(choice: &Choice, typed: &str) -> bool {
    choice.label.to_lowercase().starts_with(&typed.to_lowercase())
}

fn nothing_begins(typed: &str) -> String {
    format!("Nothing in this list begins with `{typed}`. Up and Down move, Backspace takes back what was typed.")
}

impl Asker for Terminal {
    fn ask(
        &mut self,
        question: &Question,
        judge: &dyn Fn(&Values) -> std::result::Result<(), String>,
    ) -> Result<Reply> {
        let _quiet = Quiet::begin(false)?;
        let at = if let Kind::Choose { default, .. } = question.kind { default } else { 0 };
        let count = if let Kind::Choose { choices, .. } = &question.kind { choices.len() } else { 0 };
        let mut entry = Entry { at, line: Line::default(), wrong: None };
        loop {
            let size = self.size();
            let new = self.part != question.part;
            self.draw(sheet(question, &entry, new, size, self.style))?;
            let key = match self.key(size) {
                Ok(Some(key)) => key,
                Ok(None) => continue,
                Err(error) => {
                    let _ = self.leave(&[]);
                    return Err(error);
                }
            };
            match key {
                Key::Escape => {
                    self.unsay()?;
                    return Ok(Reply::Back);
                }
                Key::Char('?')
                    if count > 0 || (entry.line.is_empty() && !matches!(question.kind, Kind::Secret { .. })) =>
                {
                    self.explain(question)?;
                }
                Key::Enter => {
                    let secret = matches!(question.kind, Kind::Secret { .. });
                    if secret && entry.line.text() == "?" {
                        self.explain(question)?;
                        entry.line.put("");
                        continue;
                    }
                    match Self::taken(question, &entry)
                        .and_then(|(values, shown)| judge(&values).map(|()| (values, shown)))
                    {
                        Ok((values, shown)) => {
                            let mut lines = Vec::new();
                            let before = self.part;
                            if new {
                                lines.extend(heading(question.part, self.style));
                                self.part = question.part;
                            }
                            lines.push(answered(question, &shown, size.1, self.style));
                            self.leave(&lines)?;
                            self.tail.push((lines, before));
                            return Ok(Reply::Values(values));
                        }
                        Err(wrong) => entry.wrong = Some(wrong),
                    }
                }
                Key::ArrowUp if count > 0 => entry.to(entry.at.checked_sub(1).unwrap_or(count - 1)),
                Key::ArrowDown if count > 0 => entry.to((entry.at + 1) % count),
                Key::Home if count > 0 => entry.to(0),
                Key::End if count > 0 => entry.to(count - 1),
                Key::Tab if entry.line.is_empty() => {
                    if let Kind::Text { default: Some(default), .. } = &question.kind {
                        entry.line.put(default);
                    }
                }
                key if entry.line.key(&key) => {
                    entry.wrong = None;
                    if let Kind::Choose { choices, .. } = &question.kind {
                        let typed = entry.line.text();
                        match choices.iter().position(|choice| begins(choice, &typed)) {
                            Some(_) if typed.is_empty() => {}
                            Some(at) => entry.at = at,
                            None => entry.wrong = Some(nothing_begins(&typed)),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, tone: Tone, text: &str) {
        let (_, width) = self.size();
        let lines: Vec<String> =
            text.lines().flat_map(|line| self.style.wrap(tone, line, 1, 2, columns(width))).collect();
        self.tail.clear();
        let _ = self.leave(&lines);
    }

    fn show(&mut self, lines: &[String]) {
        self.tail.clear();
        let _ = self.leave(lines);
    }

    fn busy(&mut self, what: &str, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let _quiet = Quiet::begin(true)?;
        let bar = indicatif::ProgressBar::new_spinner().with_message(what.to_owned());
        let ticks = if self.style.unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " } else { "|/-\\ " };
        if let Ok(style) = indicatif::ProgressStyle::with_template(" {spinner} {wide_msg} {elapsed}") {
            bar.set_style(style.tick_chars(ticks));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        let result = work();
        bar.finish_and_clear();
        result
    }

    fn page(&self) -> (usize, Style) {
        (columns(self.size().1), self.style)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}
