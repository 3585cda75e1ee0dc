//! Reads keys out of the tree, and collects what is wrong with them.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::{Problem, telling};
use super::value::{self, quote};
use super::{Secrets, secret};
use crate::answers::Secret;
use crate::answers::fields::{self, Kind, Need};
use crate::answers::tree::{At, Entry, Node, Value};

/// A value with the place it stands at, for checks that compare values.
pub(super) struct Got<T> {
    pub(super) value: T,
    pub(super) at: At,
    pub(super) path: String,
}

/// A mapping that is being read.
pub(super) struct Section<'t> {
    /// Path for people, such as `nodes[1]`.
    pub(super) path: String,
    /// Path in the table of fields, such as `nodes[]`.
    pub(super) pattern: &'static str,
    /// Where a missing key is reported.
    pub(super) at: At,
    pub(super) entries: &'t [Entry],
    /// It is something else than a mapping, which is said already.
    pub(super) broken: bool,
}

impl<'t> Section<'t> {
    pub(super) fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.duplicate)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        fields::join(&self.path, key)
    }
}

/// Reads and collects.
pub(super) struct Reader<'a> {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Paths of the secrets that stand in the file in clear.
    pub(super) clear: Vec<String>,
    /// Paths of the secrets that come from the environment.
    pub(super) from_environment: Vec<String>,
    pub(super) secrets: Secrets,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder of the answers file.
    pub(super) base: &'a Path,
    /// Secrets whose files are not written yet.
    pub(super) kept: &'a BTreeMap<String, Secret>,
    pub(super) name: &'a Path,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, at: At, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            line: at.line,
            column: at.column,
            path: path.into(),
            message: message.into(),
            missing: false,
        });
    }

    pub(super) fn warn(&mut self, at: At, path: &str, message: &str) {
        let name = self.name.display();
        self.warnings.push(format!("{name}:{}:{}: {path}: {message}", at.line, at.column));
    }

    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, why: &str) {
        if section.broken {
            return;
        }
        let path = section.path_of(key);
        self.problems.push(Problem {
            line: section.at.line,
            column: section.at.column,
            message: format!("is missing: {why}"),
            missing: true,
            path,
        });
    }

    /// The mapping at `key` of `parent`; an absent or empty one has no entries.
    pub(super) fn section<'t>(&mut self, parent: &Section<'t>, key: &str, pattern: &'static str) -> Section<'t> {
        let path = parent.path_of(key);
        match parent.entry(key) {
            Some(entry) => self.mapping(&entry.value, entry.at, path, pattern),
            None => Section { path, pattern, at: parent.at, entries: &[], broken: parent.broken },
        }
    }

    pub(super) fn mapping<'t>(&mut self, node: &'t Node, at: At, path: String, pattern: &'static str) -> Section<'t> {
        let mut broken = false;
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                broken = true;
                self.wrong(node.at, &path, &Kind::Section, other);
                &[]
            }
        };
        Section { path, pattern, at, entries, broken }
    }

    fn wrong(&mut self, at: At, path: &str, kind: &Kind, found: &Value) {
        // That is a problem of its own already.
        if !matches!(found, Value::Flawed) {
            let message = format!("expected {}, found {}", kind.expects(), found.describe());
            self.problem(at, path, message);
        }
    }

    /// The items of the list at `key`; none when it is no list, which is then said.
    pub(super) fn list<'t>(&mut self, section: &Section<'t>, key: &str) -> Option<&'t [Node]> {
        let entry = section.entry(key)?;
        match &entry.value.value {
            Value::List(items) => Some(items),
            Value::Null => Some(&[]),
            other => {
                let kind = fields::find(&fields::join(section.pattern, key)).map(|field| field.kind);
                let path = section.path_of(key);
                self.wrong(entry.value.at, &path, &kind.unwrap_or(Kind::Sections), other);
                None
            }
        }
    }

    /// Says which keys of a section are unknown.
    pub(super) fn known_only(&mut self, section: &Section<'_>) {
        let known: Vec<&str> = fields::children(section.pattern).map(|(key, _)| key).collect();
        for entry in section.entries {
            if !known.contains(&entry.key.as_str()) {
                self.unknown(section, entry, &known);
            }
        }
    }

    pub(super) fn unknown(&mut self, section: &Section<'_>, entry: &Entry, known: &[&str]) {
        // An empty key is one that is no single word, which is said already.
        if entry.key.is_empty() || entry.duplicate {
            return;
        }
        let last = |path: &'static str| path.rsplit('.').next() == Some(entry.key.as_str());
        let elsewhere = fields::FIELDS.iter().find(|f| last(f.path) && f.path.contains('.'));
        let help = if entry.key == "<<" {
            "merge keys are not supported; write the keys out".to_owned()
        } else if let Some(near) = fields::nearest(&entry.key, known.iter().copied()) {
            format!("did you mean `{near}`?")
        } else if let Some(field) = elsewhere {
            format!("did you mean `{}`?", field.path)
        } else {
            format!("known here: {}", known.join(", "))
        };
        let shown = if entry.key.len() > 40 { "..." } else { &entry.key };
        let path = section.path_of(&shown.escape_debug().to_string());
        self.problem(entry.at, path, format!("unknown key; {help}"));
    }

    /// The text at `key`, if there is one.
    fn text<'t>(&mut self, section: &Section<'t>, key: &str) -> Option<(&'t str, At)> {
        let pattern = fields::join(section.pattern, key);
        let kind = fields::find(&pattern).map_or(Kind::Section, |field| field.kind);
        let entry = section.entry(key)?;
        self.scalar(&entry.value, entry.at, &section.path_of(key), &kind)
    }

    pub(super) fn scalar<'t>(&mut self, node: &'t Node, key: At, path: &str, kind: &Kind) -> Option<(&'t str, At)> {
        match &node.value {
            Value::Scalar(text) => return Some((text, node.at)),
            Value::Null => {
                let message = format!("has no value; give {} or delete the line", kind.expects());
                self.problem(key, path, message);
            }
            other => self.wrong(node.at, path, kind, other),
        }
        None
    }

    /// Parses the value of a key that the table says is required, optional or has a default.
    pub(super) fn read<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Got<T>> {
        let path = section.path_of(key);
        if !section.has(key) {
            let field = fields::find(&fields::join(section.pattern, key))?;
            return match field.need {
                Need::Default(text) => parse(text).ok().map(|value| Got { value, at: section.at, path }),
                Need::Required => {
                    self.missing(section, key, field.doc);
                    None
                }
                Need::When(_) | Need::Optional => None,
            };
        }
        let (text, at) = self.text(section, key)?;
        match parse(text) {
            Ok(value) => Some(Got { value, at, path }),
            Err(message) => {
                self.problem(at, path, message);
                None
            }
        }
    }

    /// As [`Reader::read`], without the place.
    pub(super) fn take<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read(section, key, parse).map(|got| got.value)
    }

    /// As [`Reader::read`] for a key that is required because of what another key says.
    pub(super) fn needed<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Got<T>> {
        if !section.has(key) {
            let doc = fields::find(&fields::join(section.pattern, key)).map_or("", |field| field.doc);
            self.missing(section, key, doc);
            return None;
        }
        self.read(section, key, parse)
    }

    /// One of a few words, each standing for a value.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        words: &[&str],
        values: &[T],
    ) -> Option<T> {
        self.take(section, key, |text| {
            value::choice(text, words)?;
            let found = words.iter().zip(values).find(|(word, _)| **word == text);
            found.map(|(_, value)| *value).ok_or_else(|| format!("{} has no meaning", quote(text)))
        })
    }

    /// A secret: in clear, from the environment or from a file.
    pub(super) fn secret(&mut self, entry: &Entry, path: &str, kind: &Kind) -> Option<Secret> {
        let (text, at) = self.scalar(&entry.value, entry.at, path, kind)?;
        if !secret::is_reference(text) && telling(&entry.key) {
            self.clear.push(path.to_owned());
        }
        if text.starts_with(secret::ENV) {
            self.from_environment.push(path.to_owned());
        }
        match secret::resolve(text, self.secrets, self.env, self.base, self.kept) {
            Ok((secret, warning)) => {
                if let Some(warning) = warning {
                    self.warn(at, path, &warning);
                }
                Some(secret)
            }
            Err(message) => {
                self.problem(at, path, message);
                None
            }
        }
    }
}
