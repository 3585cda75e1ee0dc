//! What the system itself can't tell later, kept so that a run that was ended anywhere can go on.
//!
//! One JSON object a line, on disk (fdatasync) before the change that it announces is made. The first line names the
//! format. A last line without its end was being written when the run ended: it announced nothing that was done, and
//! is dropped. Anything else that can't be read is an error: guessing here could cost data.
//!
//! The journal never says that something is satisfied: on resume every check runs again.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Sink};

/// Format of the journal's lines.
pub const FORMAT: u32 = 1;

/// First line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "hapair-journal")]
    format: u32,
    cluster: String,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When: RFC 3339, UTC.
    pub time: jiff::Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// An open journal: the first sink of every event.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal of a state folder, or begins it; gives what it holds.
    ///
    /// # Errors
    /// When it can't be read or written, is no journal, is of a newer format or of another cluster.
    pub fn open(state: &Path, cluster: &str) -> Result<(Self, Vec<Line>)> {
        let path = state.join("journal.jsonl");
        let new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("opening the journal {}", path.display()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("reading the journal {}", path.display()))?;
        let (lines, whole) = parse(&bytes, cluster).with_context(|| format!("the journal {}", path.display()))?;
        if whole < bytes.len() {
            file.set_len(whole as u64)
                .and_then(|()| file.sync_data())
                .with_context(|| format!("dropping the torn last line of {}", path.display()))?;
            file.seek(SeekFrom::End(0)).with_context(|| format!("the journal {}", path.display()))?;
        }
        let mut journal = Self { file, path };
        if whole == 0 {
            journal.append(&Header { format: FORMAT, cluster: cluster.to_owned() })?;
        }
        if new {
            File::open(state)
                .and_then(|folder| folder.sync_all())
                .with_context(|| format!("syncing {}", state.display()))?;
        }
        Ok((journal, lines))
    }

    /// Reads a journal without opening it for writing; nothing if there is none.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn read(state: &Path, cluster: &str) -> Result<Vec<Line>> {
        let path = state.join("journal.jsonl");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(parse(&bytes, cluster).with_context(|| format!("the journal {}", path.display()))?.0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("reading the journal {}", path.display())),
        }
    }

    fn append<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let mut line = serde_json::to_vec(value).context("an event as JSON")?;
        line.push(b'\n');
        // One write: a line is torn only by a power cut, never by another line.
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("writing the journal {}; nothing more is changed", self.path.display()))
    }
}

impl Sink for Journal {
    fn event(&mut self, event: &Event) -> Result<()> {
        if matches!(event, Event::Waiting { .. }) {
            return Ok(());
        }
        self.append(&Line { time: jiff::Timestamp::now(), event: event.clone() })
    }
}

/// The lines, and how many bytes of the file are whole lines.
fn parse(bytes: &[u8], cluster: &str) -> Result<(Vec<Line>, usize)> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let Some((_, first)) = lines.next() else {
        return Ok((Vec::new(), 0));
    };
    let header: Header = serde_json::from_slice(first)
        .context("its first line is not that of a journal; move it away, or name another folder with --state-dir")?;
    if header.format > FORMAT {
        bail!(
            "it is of format {}, written by a newer hapair; this one reads up to {FORMAT}: use the newer one",
            header.format
        );
    }
    if header.cluster != cluster {
        bail!("it belongs to the cluster {}, not to {cluster}; name another folder with --state-dir", header.cluster);
    }
    let lines = lines
        .map(|(index, line)| {
            serde_json::from_slice(line).with_context(|| {
                format!("its line {} is damaged; put the file back from a copy, or move it away: the nodes are checked again in any case", index + 1)
            })
        })
        .collect::<Result<Vec<Line>>>()?;
    Ok((lines, whole))
}

/// What an earlier run left unfinished: the last event that announced a change and has no result.
pub fn unfinished(lines: &[Line]) -> Option<&Event> {
    let mut open: Option<&Event> = None;
    for line in lines {
        match &line.event {
            Event::ActionStarting { .. } => open = Some(&line.event),
            Event::ActionDone { .. } | Event::RunDone { .. } => open = None,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { text: text.to_owned() }
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_nothing_else() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("journal.jsonl");
        {
            let (mut journal, lines) = Journal::open(state.path(), "x").expect("new");
            assert!(lines.is_empty());
            journal.event(&note("one")).expect("kept");
            journal.event(&note("two")).expect("kept");
        }
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, [&whole[..], b"{\"time\":\"2026-"].concat()).expect("torn");
        let (mut journal, lines) = Journal::open(state.path(), "x").expect("opens");
        assert_eq!(lines.len(), 2);
        journal.event(&note("three")).expect("kept");
        let lines = Journal::read(state.path(), "x").expect("reads");
        assert_eq!(
            lines.iter().map(|line| line.event.clone()).collect::<Vec<_>>(),
            [note("one"), note("two"), note("three")]
        );
    }

    #[test]
    fn every_truncation_gives_a_prefix() {
        let state = tempfile::tempdir().expect("a folder");
        {
            let (mut journal, _) = Journal::open(state.path(), "x").expect("new");
            for text in ["one", "two", "three"] {
                journal.event(&note(text)).expect("kept");
            }
        }
        let bytes = std::fs::read(state.path().join("journal.jsonl")).expect("read");
        let all = parse(&bytes, "x").expect("parses").0;
        for end in 0..bytes.len() {
            let (lines, whole) = parse(&bytes[..end], "x").expect("a prefix parses");
            assert!(whole <= end);
            assert_eq!(lines[..], all[..lines.len()]);
        }
    }

    #[test]
    fn what_is_no_journal_is_refused_in_words() {
        for (text, word) in [
            ("hello\n", "first line"),
            ("{\"hapair-journal\":9,\"cluster\":\"x\"}\n", "newer"),
            ("{\"hapair-journal\":1,\"cluster\":\"y\"}\n", "cluster y"),
            ("{\"hapair-journal\":1,\"cluster\":\"x\"}\nrubbish\n", "line 2"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes(), "x").expect_err(text));
            assert!(error.contains(word), "{error}");
        }
    }
}
