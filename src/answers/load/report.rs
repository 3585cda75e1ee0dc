//! What is wrong with an answers file, shown with the line it stands on and without its secrets.

use std::fmt;
use std::path::PathBuf;

use crate::answers::fields;
use crate::answers::tree::{At, Node, Value};

/// Stands for each character of a secret in [`Problems::source`]; a run of it is shown as `********`,
/// so that not even the length is told.
const HIDDEN: char = '\u{2022}';

/// What a hidden value is shown as.
const STARS: &str = "********";

/// So much of a long line is shown.
const WIDTH: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, such as `nodes[1].address`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// The key is not there: a wizard can ask for it.
    pub missing: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with one file.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The file as it was named.
    pub file: PathBuf,
    /// Its text with every secret made unreadable, so that it may be printed and logged.
    pub source: String,
    /// Every problem, in the order of the file.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The keys that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter(|p| p.missing).map(|p| p.path.as_str())
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = lines(&self.source);
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{problem}", self.file.display())?;
            let line = lines.get(problem.line - 1).copied().unwrap_or_default();
            if line.trim().is_empty() {
                continue;
            }
            let (shown, caret) = picture(line, problem.column);
            write!(f, "\n{:>5} | {shown}\n      | {:caret$}^", problem.line, "")?;
        }
        Ok(())
    }
}

/// Lines as YAML counts them: `\n`, `\r\n` and a lone `\r` each end one.
fn lines(source: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    for line in source.split('\n') {
        lines.extend(line.strip_suffix('\r').unwrap_or(line).split('\r'));
    }
    lines
}

/// The part of a line around `column`, and how many characters stand before the caret.
fn picture(line: &str, column: usize) -> (String, usize) {
    let from = if column > WIDTH { column - WIDTH / 2 } else { 1 };
    let mut shown = String::new();
    let mut width = 0;
    let mut caret = 0;
    let mut hidden = false;
    for (n, c) in (1..).zip(line.chars()) {
        if n == column {
            caret = width;
        }
        if n < from || n >= from + WIDTH {
            continue;
        }
        if c == HIDDEN {
            if !hidden {
                shown.push_str(STARS);
                width += STARS.len();
            }
        } else {
            shown.push(if c.is_control() { ' ' } else { c });
            width += 1;
        }
        hidden = c == HIDDEN;
        // The caret of a problem inside a secret stays at the first star.
        if hidden && n < column {
            caret = width - STARS.len();
        }
    }
    if column > line.chars().count() {
        caret = width;
    }
    (shown, caret)
}

/// `source` with the ranges made unreadable.
pub(super) fn hide(source: &str, ranges: &[At]) -> String {
    let mut chars: Vec<char> = source.chars().collect();
    for at in ranges {
        let range = chars.get_mut(at.start..at.end).unwrap_or_default();
        // The parser's ranges reach to the next token.
        let end = range.iter().rposition(|c| !c.is_whitespace()).map_or(0, |last| last + 1);
        for c in &mut range[..end] {
            if !matches!(c, '\n' | '\r') {
                *c = HIDDEN;
            }
        }
    }
    chars.into_iter().collect()
}

/// Where the secrets of a document stand.
pub(super) fn secrets(node: &Node, pattern: &str, found: &mut Vec<At>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path = fields::join(pattern, &entry.key);
                let known = fields::find(&path);
                if known.map_or_else(|| may_be_secret(&entry.key, pattern), |field| field.secret) {
                    leaves(&entry.value, found);
                } else if known.is_none() && pattern == "fencing" {
                    secrets(&entry.value, "fencing.<node>", found);
                } else {
                    secrets(&entry.value, &path, found);
                }
            }
        }
        Value::List(items) => {
            // A level of fencing has the keys of fencing itself.
            let item = if pattern == "fencing.levels" { "fencing" } else { &format!("{pattern}[]") };
            for node in items {
                secrets(node, item, found);
            }
        }
        // A URL with a password in it is refused, but it is shown in the refusal.
        Value::Scalar(text) if text.contains("://") && text.contains('@') => {
            found.extend(node.origin.or(Some(node.at)));
        }
        Value::Null | Value::Scalar(_) | Value::Flawed => {}
    }
}

/// An unknown key may be a secret one mistyped, and a fence agent may call its secrets what it likes.
fn may_be_secret(key: &str, pattern: &str) -> bool {
    pattern == "fencing.<node>" || telling(key)
}

/// Whether the name of a key says that its value is secret.
pub(super) fn telling(key: &str) -> bool {
    let key = key.to_lowercase();
    ["pass", "pwd", "secret", "token", "community", "key"].iter().any(|word| key.contains(word))
        || fields::nearest(&key, ["password"]).is_some()
}

fn leaves(node: &Node, found: &mut Vec<At>) {
    match &node.value {
        Value::Scalar(text) if text.starts_with("env:") || text.starts_with("file:") => {}
        Value::Scalar(_) | Value::Null | Value::Flawed => {
            found.extend(node.origin.or(Some(node.at)));
        }
        Value::List(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Map(entries) => {
            for entry in entries {
                found.push(entry.at);
                leaves(&entry.value, found);
            }
        }
    }
}

/// A text that is no YAML has no keys that could be called secret, so a line of it is hidden from the
/// first word on that is not certainly harmless.
pub(super) fn hide_unparsed(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for line in source.split_inclusive(['\n', '\r']) {
        let keep = harmless(line);
        let (shown, rest) = line.split_at(keep);
        text.push_str(shown);
        text.extend(rest.chars().map(|c| if matches!(c, '\n' | '\r') { c } else { HIDDEN }));
    }
    text
}

/// How many bytes of a line can be shown: all, when its every key is one of the table and not secret.
fn harmless(line: &str) -> usize {
    let code = line.trim_end();
    let lower = code.to_ascii_lowercase();
    let told = ["pass", "secret", "token"].iter().filter_map(|word| lower.find(word)).min();
    let mut shown = code.len() - code.trim_start_matches([' ', '\t', '-', '#']).len();
    let mut keys = 0;
    for (colon, _) in code.match_indices(':') {
        let after = &code[colon + 1..];
        if !after.is_empty() && !after.starts_with([' ', '\t']) {
            continue;
        }
        let key = code[..colon].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
        let key = key.unwrap_or_default();
        let ends = |field: &&fields::Field| field.path.rsplit('.').next() == Some(key);
        match fields::FIELDS.iter().filter(ends).map(|field| field.secret).reduce(|a, b| a || b) {
            Some(false) => shown = line.len(),
            Some(true) => return colon + 1,
            // What looks like a key may be the secret itself.
            None => return told.unwrap_or(colon).min(colon - key.len()),
        }
        keys += 1;
    }
    if keys == 0 { shown } else { told.unwrap_or(shown).min(shown) }
}
