//! A question as data: what is asked, why, what may be answered and what an answer puts into the answers file.

use std::sync::Arc;

/// Values for the answers file: path and text, such as `nodes[0].address` and `10.0.0.1`. A path that begins with `@` is
/// the wizard's own note and never written.
pub type Values = Vec<(String, String)>;

/// Turns what was typed into values, or says what is wrong with it.
pub type Check = Arc<dyn Fn(&str) -> Result<Values, String> + Send + Sync>;

/// A question.
#[derive(Clone)]
pub struct Question {
    /// The key of the answers file that it is about, or a note (`@...`).
    pub id: String,
    /// Heading under which it stands.
    pub part: &'static str,
    /// The question, one line.
    pub text: String,
    /// One sentence: why it is asked.
    pub why: String,
    /// At length, for whoever types `?`.
    pub more: String,
    /// What may be answered.
    pub kind: Kind,
}

/// What may be answered.
#[derive(Clone)]
pub enum Kind {
    /// One of a list.
    Choose {
        /// In the order in which they are shown; at least one can be taken.
        choices: Vec<Choice>,
        /// The one that Enter takes.
        default: usize,
    },
    /// A line of text.
    Text {
        /// What Enter alone takes.
        default: Option<String>,
        /// What it becomes.
        check: Check,
    },
    /// A line of text that is not shown.
    Secret {
        /// What it becomes.
        check: Check,
    },
}

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is shown.
    pub label: String,
    /// What it means.
    pub take: Take,
}

/// What a choice means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// These values.
    Values(Values),
    /// It is shown so that nobody looks for it, but can't be taken: why.
    Not(String),
}

impl Choice {
    /// A choice that puts in one value.
    pub fn value(label: impl Into<String>, path: impl Into<String>, value: impl Into<String>) -> Self {
        Self::values(label, vec![(path.into(), value.into())])
    }

    /// A choice that puts in these values.
    pub fn values(label: impl Into<String>, values: Values) -> Self {
        Self { label: label.into(), take: Take::Values(values) }
    }

    /// One that can't be taken.
    pub fn not(label: impl Into<String>, why: impl Into<String>) -> Self {
        Self { label: label.into(), take: Take::Not(why.into()) }
    }

    /// Whether it can be taken.
    pub fn open(&self) -> bool {
        matches!(self.take, Take::Values(_))
    }
}

impl Question {
    /// A question whose answer is the value of the key `id`, as it is typed: the loader of answers says what is wrong.
    pub fn text(id: impl Into<String>, part: &'static str, text: impl Into<String>, default: Option<String>) -> Self {
        let id = id.into();
        let path = id.clone();
        let check: Check = Arc::new(move |typed: &str| Ok(vec![(path.clone(), typed.to_owned())]));
        Self::new(id, part, text, Kind::Text { default, check })
    }

    /// A question with a list. The default is the first that can be taken.
    pub fn choose(id: impl Into<String>, part: &'static str, text: impl Into<String>, choices: Vec<Choice>) -> Self {
        let default = choices.iter().position(Choice::open).unwrap_or(0);
        Self::new(id.into(), part, text, Kind::Choose { choices, default })
    }

    /// Yes or no. The answer is the value of the note `id`: `yes` or `no`. `likely`: what Enter alone takes.
    pub fn confirm(
        id: &'static str,
        part: &'static str,
        text: impl Into<String>,
        labels: [&str; 2],
        likely: bool,
    ) -> Self {
        let choices = labels.into_iter().zip(["yes", "no"]).map(|(label, value)| Choice::value(label, id, value));
        let kind = Kind::Choose { choices: choices.collect(), default: usize::from(!likely) };
        Self::new(id, part, text, kind)
    }

    /// A question of any kind.
    pub fn new(id: impl Into<String>, part: &'static str, text: impl Into<String>, kind: Kind) -> Self {
        Self { id: id.into(), part, text: text.into(), why: String::new(), more: String::new(), kind }
    }

    /// With one sentence of why, and more for `?`.
    #[must_use]
    pub fn because(mut self, (why, more): (String, String)) -> Self {
        (self.why, self.more) = (why, more);
        self
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These values, and in a word what was answered, for the line that stays on the screen.
    Values(Values),
    /// Back to the question before.
    Back,
}

impl Reply {
    /// Whether a note was given this value.
    pub fn says(&self, word: &str) -> bool {
        matches!(self, Reply::Values(values) if values.iter().any(|(path, value)| path.starts_with('@') && value == word))
    }
}
