//! What the journal of a running installer tells to one who watches it: what was announced and has no result yet.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

/// An action that was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announced {
    /// Step's id.
    pub(super) step: String,
    /// Action's number and kind, `3-file`.
    pub(super) action: String,
    /// Node's name; `None` for an action on both.
    pub(super) node: Option<String>,
}

impl Announced {
    /// The step, or a part of it that is a place of its own: there each node switches the other one off.
    pub(super) fn place(&self) -> String {
        match self.action.strip_suffix("-fencing-shot") {
            Some(_) => format!("{} (fencing shot)", self.step),
            None => self.step.clone(),
        }
    }
}

/// Reads what is new in a journal.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    offset: u64,
    /// Announced by the run that is watched, without a result so far: between intent and result.
    pub(super) open: Vec<Announced>,
    /// How many results were seen.
    pub(super) results: usize,
    /// Why the last run ended by itself, in its words.
    pub(super) failure: Option<String>,
}

impl Watch {
    /// From the journal's end on, if there is one.
    pub(super) fn new(path: PathBuf) -> Self {
        let offset = std::fs::metadata(&path).map_or(0, |data| data.len());
        Self { path, offset, open: Vec::new(), results: 0, failure: None }
    }

    /// Another run begins: what an earlier one announced is no longer between intent and result.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.look()?;
        self.open.clear();
        self.failure = None;
        Ok(())
    }

    /// Takes in what is new; gives what was announced since the last look, also what has its result already.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub(super) fn look(&mut self) -> Result<Vec<Announced>> {
        let mut text = Vec::new();
        match std::fs::File::open(&self.path) {
            Ok(mut file) => {
                // A torn last line was dropped by the run that followed: what comes now begins there.
                self.offset = self.offset.min(file.metadata()?.len());
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("watching the journal"),
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        Ok(self.take(&text[..whole]))
    }

    fn take(&mut self, lines: &[u8]) -> Vec<Announced> {
        let mut fresh = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
            let word = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let announced = || {
                let (step, action) = (word("step")?, word("action")?);
                Some(Announced { step, action, node: word("node") })
            };
            match word("event").as_deref() {
                Some("action-starting") => {
                    if let Some(announced) = announced() {
                        self.open.push(announced.clone());
                        fresh.push(announced);
                    }
                }
                Some("action-done") => {
                    self.results += 1;
                    if let Some(done) = announced() {
                        self.open.retain(|open| *open != done);
                    }
                }
                Some("failed") => {
                    let part = |key: &str| word(key).map(|text| format!("{text}: ")).unwrap_or_default();
                    let what = word("what").unwrap_or_default();
                    self.failure = Some(format!("{}{}{}{what}", part("step"), part("node"), part("action")));
                }
                _ => {}
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_intent_and_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let line = |event: &str, action: &str, node: &str| {
            format!("{{\"event\":\"{event}\",\"step\":\"boot\",\"action\":\"{action}\",\"node\":{node}}}\n")
        };
        std::fs::write(&path, line("action-starting", "1-file", "\"node1\"")).unwrap();
        let mut watch = Watch::new(path.clone());
        assert_eq!(watch.look().unwrap(), [], "what was there before is another run's");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += &line("action-starting", "2-file", "\"node1\"");
        text += &line("action-starting", "2-file", "\"node2\"");
        text += &line("action-done", "2-file", "\"node2\"");
        std::fs::write(&path, format!("{text}{{\"event\":\"action-sta")).unwrap();
        assert_eq!(watch.look().unwrap().len(), 2);
        assert_eq!((watch.open.len(), watch.results), (1, 1));
        assert_eq!(watch.open[0].node.as_deref(), Some("node1"));
        // The torn line goes with the next run.
        text += &line("action-starting", "9-fencing-shot", "null");
        text += "{\"event\":\"failed\",\"step\":\"boot\",\"node\":\"node2\",\"action\":null,\"what\":\"it is off\"}\n";
        std::fs::write(&path, &text).unwrap();
        watch.begin().unwrap();
        assert!(watch.open.is_empty());
        text += &line("action-starting", "9-fencing-shot", "null");
        std::fs::write(&path, &text).unwrap();
        let fresh = watch.look().unwrap();
        assert_eq!((fresh[0].place().as_str(), fresh[0].node.as_deref()), ("boot (fencing shot)", None));
        assert_eq!(watch.failure, None);
    }
}
