//! Loads an answers file: every problem at once, each with its line and column.

mod build;
mod fencing;
pub(crate) mod form;
pub(crate) mod net;
mod read;
mod report;
mod secret;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use report::{Problem, Problems};

use super::tree::{self, At, Node, Tree};
use super::{Answers, Secret};
use read::Reader;

pub(crate) use build::unsupported;

/// What is done with secrets that are given as `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are read now; one that is not there is a problem.
    Resolve,
    /// `env:NAME` itself stays as the secret: for what is done without nodes, such as `render`.
    Leave,
}

/// Answers, and what is worth a word but no refusal.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The answers.
    pub answers: Answers,
    /// Each with its place: `answers.yaml:3:1: ...`.
    pub warnings: Vec<String>,
    /// Paths of the secrets that come from the environment (`env:NAME`).
    pub from_environment: Vec<String>,
}

/// Why a file could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// It could not be read.
    Io(PathBuf, io::Error),
    /// It could be read, and something in it is wrong.
    Problems(Problems),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            LoadError::Problems(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Io(_, error) => Some(error),
            LoadError::Problems(_) => None,
        }
    }
}

/// Loads a file; secrets by reference come from the environment and from files beside it.
pub fn file(path: &Path, secrets: Secrets) -> Result<Loaded, LoadError> {
    let io = |error| LoadError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(io)?;
    let open = others_can_read(&file.metadata().map_err(io)?);
    let mut bytes = Vec::new();
    // One byte more than allowed tells that it is too large, however large it is.
    file.take(tree::LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let source = match std::str::from_utf8(&bytes) {
        Ok(source) => source,
        // A character cut in two by the limit: what stands before it is too large already.
        Err(error) if bytes.len() > tree::LIMIT && error.error_len().is_none() => {
            return load(&" ".repeat(bytes.len()), path, base, &environment, (secrets, &BTreeMap::new()), open)
                .map_err(LoadError::Problems);
        }
        Err(error) => {
            return Err(LoadError::Problems(binary(path, &bytes, error.valid_up_to())));
        }
    };
    load(source, path, base, &environment, (secrets, &BTreeMap::new()), open).map_err(LoadError::Problems)
}

/// Loads a text. `name` is what messages call it, `base` the folder that `file:PATH` starts from.
pub fn text(
    source: &str,
    name: &Path,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
) -> Result<Loaded, Problems> {
    load(source, name, base, env, (secrets, &BTreeMap::new()), false)
}

/// Loads a text with its secrets, of which those in `kept` (by their PATH of `file:PATH`) are in no file yet.
///
/// # Errors
/// All that is wrong, a secret that is not there among it.
pub fn unwritten(source: &str, name: &Path, base: &Path, kept: &BTreeMap<String, Secret>) -> Result<Loaded, Problems> {
    load(source, name, base, &environment, (Secrets::Resolve, kept), false)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether the group or all users may read a file.
fn others_can_read(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o044 != 0
}

fn binary(path: &Path, bytes: &[u8], valid: usize) -> Problems {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = "the file is not UTF-8 text; give an answers file in YAML, saved as UTF-8";
    Problems {
        file: path.to_owned(),
        source: String::new(),
        list: vec![Problem { line, column, path: String::new(), message: message.to_owned(), missing: false }],
    }
}

fn load(
    source: &str,
    name: &Path,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    (secrets, kept): (Secrets, &BTreeMap<String, Secret>),
    open: bool,
) -> Result<Loaded, Problems> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let Tree { root, flaws } = tree::parse(source);
    let mut reader = Reader {
        problems: Vec::new(),
        warnings: Vec::new(),
        clear: Vec::new(),
        from_environment: Vec::new(),
        secrets,
        env,
        base,
        kept,
        name,
    };
    for flaw in &flaws {
        reader.problem(flaw.at, "", flaw.message.as_str());
    }
    let answers = match &root {
        Some(root) => reader.answers(root),
        None if flaws.is_empty() => {
            let message = "the file is empty; `hapair ask` writes a complete one";
            reader.problem(At::START, "", message);
            None
        }
        None => None,
    };
    if open && !reader.clear.is_empty() {
        let which = reader.clear.join(", ");
        reader.warnings.push(format!(
            "{}: other users can read this file, and it holds a secret in clear ({which}); \
             `chmod 600` it, or give the secret as env:NAME or file:PATH",
            name.display()
        ));
    }
    match answers {
        Some(answers) if reader.problems.is_empty() => {
            Ok(Loaded { answers, warnings: reader.warnings, from_environment: reader.from_environment })
        }
        _ => Err(report(source, name, root.as_ref(), reader.problems)),
    }
}

fn report(source: &str, name: &Path, root: Option<&Node>, mut list: Vec<Problem>) -> Problems {
    list.sort_by_key(|problem| (problem.line, problem.column));
    list.dedup();
    let source = match root {
        _ if source.len() > tree::LIMIT => String::new(),
        Some(root) => {
            let mut ranges = Vec::new();
            report::secrets(root, "", &mut ranges);
            report::hide(source, &ranges)
        }
        None => report::hide_unparsed(source),
    };
    Problems { file: name.to_owned(), source, list }
}
