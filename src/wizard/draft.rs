//! The answers as far as they are given: the text of an answers file, and the wizard's own notes.
//!
//! What is right and what is missing the loader of answers files says, and nobody else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::question::Values;
use crate::answers::load::{self, Loaded, Problem, Problems, Secrets};
use crate::answers::{Secret, edit, tree};

/// Answers as far as they are given.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Text of the answers file.
    text: String,
    /// The same, parsed.
    root: Option<tree::Node>,
    /// Folder of the answers file: `file:PATH` starts from there.
    pub base: PathBuf,
    /// Secrets that go to a file of their own beside the answers when those are written.
    pub files: BTreeMap<String, Secret>,
    notes: BTreeMap<String, String>,
}

impl Draft {
    /// From a file that may be half-written, or from nothing.
    pub fn new(text: impl Into<String>, base: PathBuf) -> Self {
        let text = text.into();
        Self { root: tree::parse(&text).root, text, base, ..Self::default() }
    }

    /// Text of the answers file.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn at(&self, path: &str) -> Option<&tree::Value> {
        edit::at(self.root.as_ref()?, path).map(|node| &node.value)
    }

    /// The value of a key or a note.
    pub fn get(&self, path: &str) -> Option<String> {
        if path.starts_with('@') {
            return self.notes.get(path).cloned();
        }
        match self.at(path)? {
            tree::Value::Scalar(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Whether anything stands there.
    pub fn has(&self, path: &str) -> bool {
        if path.starts_with('@') {
            return self.notes.contains_key(path);
        }
        self.at(path).is_some_and(|value| !matches!(value, tree::Value::Null))
    }

    /// How many items a list has; 0 if there is none.
    pub fn count(&self, path: &str) -> usize {
        match self.at(path) {
            Some(tree::Value::List(items)) => items.len(),
            _ => 0,
        }
    }

    /// With more values. A value for `@secret:NAME` goes to a file of its own.
    ///
    /// # Errors
    /// When something else stands where a value would have to be.
    pub fn with(&self, values: &Values) -> Result<Self> {
        let mut draft = self.clone();
        for (path, value) in values {
            if let Some(name) = path.strip_prefix("@secret:") {
                draft.files.insert(name.to_owned(), Secret::new(value.as_str()));
            } else if path.starts_with('@') {
                draft.notes.insert(path.clone(), value.clone());
            } else {
                draft.text = edit::set(&draft.text, path, value)?;
            }
        }
        if draft.text != self.text {
            draft.root = tree::parse(&draft.text).root;
        }
        Ok(draft)
    }

    /// What the loader says of it. Secrets in files that are not written yet are left as they are.
    ///
    /// # Errors
    /// All that is wrong and all that is missing.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let environment = |name: &str| std::env::var(name).ok();
        load::text(&self.text, Path::new("answers"), &self.base, &environment, Secrets::Leave)
    }

    /// The same with the secrets themselves, those that are not written yet among them: for whoever tries them.
    ///
    /// # Errors
    /// As [`Draft::load`], and when a secret is not there.
    pub fn resolved(&self) -> Result<Loaded, Problems> {
        load::unwritten(&self.text, Path::new("answers"), &self.base, &self.files)
    }

    /// All that is wrong or missing.
    pub fn problems(&self) -> Vec<Problem> {
        self.load().err().map(|problems| problems.list).unwrap_or_default()
    }

    /// What these values would make wrong, in words.
    ///
    /// # Errors
    /// The first of it.
    pub fn judge(&self, values: &Values) -> Result<(), String> {
        let next = self.with(values).map_err(|error| format!("{error:#}"))?;
        let known = self.problems();
        let is_new = |problem: &Problem| {
            !problem.missing && !known.iter().any(|old| (&old.path, &old.message) == (&problem.path, &problem.message))
        };
        let Some(problem) = next.problems().into_iter().find(is_new) else { return Ok(()) };
        // At the question of that key its name would be in the way.
        Err(if values.iter().any(|(path, _)| *path == problem.path) {
            problem.message
        } else {
            format!("{}: {}", problem.path, problem.message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, value: &str) -> Values {
        vec![(path.to_owned(), value.to_owned())]
    }

    #[test]
    fn the_loader_says_what_is_wrong_with_an_answer_and_not_what_is_still_missing() {
        let draft = Draft::new("nodes:\n  - ssh: root@a\n", PathBuf::new());
        assert_eq!(draft.judge(&one("cluster", "web")), Ok(()));
        let wrong = draft.judge(&one("cluster", "Web_1")).expect_err("a wrong name");
        assert!(wrong.starts_with("`Web_1` is not a cluster name"), "{wrong}");
        let same = draft.judge(&one("nodes[1].ssh", "root@a")).expect_err("the same");
        assert!(same.contains("same machine as the first node"), "{same}");
        assert_eq!(draft.judge(&one("nodes[1].ssh", "root@b")), Ok(()));
    }

    #[test]
    fn notes_and_secrets_are_no_part_of_the_text() {
        let draft = Draft::default().with(&one("@keep", "file")).expect("a note");
        let draft = draft.with(&one("@secret:pw", "geheim")).expect("a secret");
        assert_eq!((draft.text(), draft.get("@keep").as_deref()), ("", Some("file")));
        assert_eq!(draft.files["pw"].reveal(), "geheim");
        assert!(!format!("{draft:?}").contains("geheim"));
    }
}
