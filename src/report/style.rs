//! What the terminal can show, and texts made for it: colours, characters, widths.

use console::{measure_text_width, truncate_str};

use crate::action::Risk;
use crate::report::words;

/// How a text is meant; what it looks like is the style's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// The one that counts.
    Strong,
    /// Less important.
    Faint,
    /// It went well.
    Good,
    /// Worth a thought.
    Warning,
    /// Something is wrong, or will be lost.
    Bad,
}

impl From<Risk> for Tone {
    fn from(risk: Risk) -> Tone {
        match risk {
            Risk::None => Tone::Plain,
            Risk::RestartsCluster | Risk::Reboots => Tone::Warning,
            Risk::DestroysData => Tone::Bad,
        }
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colours and bold.
    pub colour: bool,
    /// Marks and lines other than ASCII.
    pub unicode: bool,
}

impl Style {
    /// For where this process was started: `NO_COLOR`, `TERM` and the locale decide.
    pub fn here() -> Self {
        let term = std::env::var("TERM").unwrap_or_default();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let locale = super::locale(|name| std::env::var(name).ok());
        Self { colour: !no_color, unicode: super::draws_unicode(&term, &locale) }
    }

    /// A text as it is meant.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let style = console::Style::new().force_styling(true);
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => style.bold(),
            Tone::Faint => style.dim(),
            Tone::Good => style.green(),
            Tone::Warning => style.yellow(),
            Tone::Bad => style.red().bold(),
        };
        style.apply_to(text).to_string()
    }

    /// One safe line in characters that the terminal has.
    pub(crate) fn clean(self, text: &str) -> String {
        let text = words::tidy(text);
        if self.unicode || text.is_ascii() {
            return text;
        }
        let mut ascii = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '…' => ascii.push_str("..."),
                '–' | '—' => ascii.push('-'),
                '‘' | '’' => ascii.push('\''),
                '“' | '”' => ascii.push('"'),
                character if character.is_ascii() => ascii.push(character),
                _ => ascii.push('?'),
            }
        }
        ascii
    }

    /// A line: parts from the left, cut where they meet what stands at the right.
    pub(crate) fn row(self, parts: &[(Tone, &str)], right: &str, width: usize) -> String {
        let tail = if self.unicode { "…" } else { "..." };
        let right = self.clean(right);
        let taken = measure_text_width(&right) + 2;
        let (right, mut room) = match width.checked_sub(taken) {
            Some(room) if !right.is_empty() => (right, room),
            _ => (String::new(), width),
        };
        let mut line = String::new();
        for (tone, text) in parts {
            let text = self.clean_part(text);
            let tail = if tail.chars().count() <= room { tail } else { "" };
            let cut = truncate_str(&text, room, tail);
            line.push_str(&self.paint(*tone, &cut));
            room -= measure_text_width(&cut).min(room);
            if cut != text {
                break;
            }
        }
        if !right.is_empty() {
            line.push_str(&" ".repeat(room + 2));
            line.push_str(&self.paint(Tone::Faint, &right));
        }
        line
    }

    /// As [`Style::clean`], but what separates it from the next part stays.
    pub(crate) fn clean_part(self, text: &str) -> String {
        let end = text.trim_end();
        format!("{}{}", self.clean(end), " ".repeat(text.len() - end.len()))
    }

    /// A sentence on as many lines as it needs, those after the first `hang` further in.
    pub(crate) fn wrap(self, tone: Tone, text: &str, indent: usize, hang: usize, width: usize) -> Vec<String> {
        let text = self.clean(text);
        let mut lines = Vec::new();
        let mut line = " ".repeat(indent);
        for (index, word) in text.split(' ').enumerate() {
            if index > 0 && measure_text_width(&line) + 1 + measure_text_width(word) > width {
                let next = " ".repeat(indent + hang);
                lines.push(std::mem::replace(&mut line, next));
            } else if index > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
        lines.iter().map(|line| self.paint(tone, line)).collect()
    }
}
