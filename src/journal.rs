//! What the system itself can't tell later, kept so that a run that was ended anywhere can go on.
//!
//! One JSON object a line, on disk (fdatasync) before the change that it announces is made. The first line names the
//! format. Each line ends with a checksum over itself and the checksum of the line before it, so a bit that flipped, a line
//! that is missing and a line in another place are all noticed. A last line that is not whole was being written when the
//! run ended: it announced nothing that was done, and is dropped. Anything else that can't be read is an error: guessing
//! here could cost data.
//!
//! Formats: 1 (before 0.2) has no checksums; it is read, and rewritten as 2 when a run opens it.
//!
//! The journal never says that something is satisfied: on resume every check runs again.

mod pending;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::{Event, Failure, Sink};

pub use pending::{rebooted, unfinished};

/// Format of the journal's lines.
pub const FORMAT: u32 = 2;

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
    /// Checksum of the last line, and how long the file is with it.
    last: String,
    whole: u64,
    /// A write failed: what the file ends with is not known, so nothing more is appended.
    broken: bool,
}

impl Journal {
    /// Opens the journal of a state folder, or begins it; gives what it holds.
    ///
    /// # Errors
    /// When it can't be read or written, is no journal, is of a newer format or of another cluster.
    pub fn open(state: &Path, cluster: &str) -> Result<(Self, Vec<Line>)> {
        let path = state.join("journal.jsonl");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("reading the journal {}", path.display())),
        };
        let Parsed { format, lines, whole, mut last } =
            parse(&bytes, cluster).with_context(|| format!("the journal {}", path.display()))?;
        let mut whole = whole as u64;
        if whole == 0 || format < FORMAT {
            (last, whole) = begin(state, &path, cluster, &lines)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("opening the journal {}", path.display()))?;
        if file.metadata().with_context(|| format!("the journal {}", path.display()))?.len() > whole {
            file.set_len(whole)
                .and_then(|()| file.sync_data())
                .with_context(|| format!("dropping the torn last line of {}", path.display()))?;
        }
        Ok((Self { file, path, last, whole, broken: false }, lines))
    }

    /// Reads a journal without opening it for writing; nothing if there is none.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn read(state: &Path, cluster: &str) -> Result<Vec<Line>> {
        let path = state.join("journal.jsonl");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(parse(&bytes, cluster).with_context(|| format!("the journal {}", path.display()))?.lines),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("reading the journal {}", path.display())),
        }
    }

    /// What failed last, if anything did.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn last_failure(state: &Path, cluster: &str) -> Result<Option<Failure>> {
        Ok(Self::read(state, cluster)?.into_iter().rev().find_map(|line| match line.event {
            Event::Failed(failure) => Some(failure),
            _ => None,
        }))
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        if self.broken {
            bail!("the journal {} could not be written before; nothing more is changed", self.path.display());
        }
        let (bytes, check) = sealed(line, &self.last)?;
        // One write: a line is torn only by a power cut or a full disk, never by another line.
        match self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.last = check;
                self.whole += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.broken = true;
                // Half a line may be there; the next run would drop it in any case.
                let _ = self.file.set_len(self.whole);
                Err(error)
                    .with_context(|| format!("writing the journal {}; nothing more is changed", self.path.display()))
            }
        }
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

/// Writes a journal anew, whole or not at all; gives the last checksum and the length.
fn begin(state: &Path, path: &Path, cluster: &str, lines: &[Line]) -> Result<(String, u64)> {
    let (mut bytes, mut last) = sealed(&Header { format: FORMAT, cluster: cluster.to_owned() }, "")?;
    for line in lines {
        let (more, check) = sealed(line, &last)?;
        bytes.extend(more);
        last = check;
    }
    let new = path.with_extension("jsonl.new");
    std::fs::write(&new, &bytes)
        .and_then(|()| File::open(&new)?.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| File::open(state)?.sync_all())
        .with_context(|| format!("writing the journal {}", path.display()))?;
    Ok((last, bytes.len() as u64))
}

/// A line with its end, and its checksum.
fn sealed<T: Serialize>(value: &T, before: &str) -> Result<(Vec<u8>, String)> {
    let text = serde_json::to_string(value).context("an event as JSON")?;
    let check = checksum(&text, before);
    let open = text.strip_suffix('}').unwrap_or(&text);
    Ok((format!("{open}{CHECK}{check}\"}}\n").into_bytes(), check))
}

/// Stands before the checksum, which is the last field.
const CHECK: &str = ",\"check\":\"";

/// 64 bits of SHA-256 over the line without its checksum, and the checksum before it.
fn checksum(text: &str, before: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(text);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A line without its checksum, and that; `None` where they don't belong together.
fn opened(line: &[u8], before: &str) -> Option<(String, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let (open, check) = line.strip_suffix("\"}")?.rsplit_once(CHECK)?;
    let text = format!("{open}}}");
    (checksum(&text, before) == check).then(|| (text, check.to_owned()))
}

/// What a journal's bytes hold.
struct Parsed {
    format: u32,
    lines: Vec<Line>,
    /// How many bytes are whole lines.
    whole: usize,
    /// Checksum of the last of them.
    last: String,
}

const PUT_BACK: &str = "put the file back from a copy, or move it away: the nodes are checked again in any case";

fn parse(bytes: &[u8], cluster: &str) -> Result<Parsed> {
    let mut parsed = Parsed { format: FORMAT, lines: Vec::new(), whole: 0, last: String::new() };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    // Of a journal that was only begun there may be half a header.
    let begun = HEADER.len().min(bytes.len());
    if end == 0 && bytes[..begun] != HEADER.as_bytes()[..begun] {
        bail!("its first line is not that of a journal; move it away, or name another folder with --state-dir");
    }
    for (index, line) in bytes[..end].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let is_last = parsed.whole + line.len() == end;
        let text = &line[..line.len() - 1];
        if index == 0 {
            let header: Header = serde_json::from_slice(text).context(
                "its first line is not that of a journal; move it away, or name another folder with --state-dir",
            )?;
            if header.format > FORMAT {
                bail!(
                    "it is of format {}, written by a newer hapair; this one reads up to {FORMAT}: use the newer one",
                    header.format
                );
            }
            parsed.format = header.format;
            if header.format > 1 {
                let (_, check) = opened(text, "").with_context(|| format!("its first line is damaged; {PUT_BACK}"))?;
                parsed.last = check;
            }
            if header.cluster != cluster {
                bail!(
                    "it belongs to the cluster {}, not to {cluster}; name another folder with --state-dir",
                    header.cluster
                );
            }
        } else if parsed.format == 1 {
            let line = serde_json::from_slice(text)
                .with_context(|| format!("its line {} is damaged; {PUT_BACK}", index + 1))?;
            parsed.lines.push(line);
        } else {
            match opened(text, &parsed.last) {
                Some((text, check)) => {
                    let line = serde_json::from_str(&text).with_context(|| {
                        format!("its line {} is whole, but of a kind that this hapair does not know: use the newer one that wrote it", index + 1)
                    })?;
                    parsed.lines.push(line);
                    parsed.last = check;
                }
                // A power cut may leave the length of a line without all of its bytes.
                None if is_last && is_one_line(text) => break,
                None => bail!("its line {} is damaged; {PUT_BACK}", index + 1),
            }
        }
        parsed.whole += line.len();
    }
    if !is_one_line(&bytes[end..]) {
        bail!("its last line is damaged; {PUT_BACK}");
    }
    Ok(parsed)
}

/// Whether the rest of a file can be one line that was being written: a checksum ends a line, so none stands within one.
fn is_one_line(rest: &[u8]) -> bool {
    let sealed = CHECK.len() + "0123456789abcdef\"}".len();
    rest.windows(CHECK.len()).position(|window| window == CHECK.as_bytes()).is_none_or(|at| rest.len() <= at + sealed)
}

/// How every journal begins.
const HEADER: &str = "{\"hapair-journal\":";

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::panic,
    clippy::print_stdout
)]
mod tests {
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { text: text.to_owned() }
    }

    fn journal(texts: &[String]) -> Vec<u8> {
        let state = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(state.path(), "x").expect("new");
        for text in texts {
            journal.event(&note(text)).expect("kept");
        }
        std::fs::read(state.path().join("journal.jsonl")).expect("read")
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
        // Half a line, a whole length of zeros as a power cut leaves it, and a line whose middle never came.
        for torn in [&b"{\"time\":\"2026-"[..], &[0; 200], b"{\"time\":\"20\0\0\0\0\0\0\"}\n"] {
            std::fs::write(&path, [&whole[..], torn].concat()).expect("torn");
            let (mut journal, lines) = Journal::open(state.path(), "x").expect("opens");
            assert_eq!(lines.len(), 2);
            journal.event(&note("three")).expect("kept");
            let lines = Journal::read(state.path(), "x").expect("reads");
            assert_eq!(
                lines.iter().map(|line| line.event.clone()).collect::<Vec<_>>(),
                [note("one"), note("two"), note("three")]
            );
        }
    }

    #[test]
    fn every_truncation_gives_a_prefix() {
        let bytes = journal(&["one".to_owned(), "two".to_owned(), "three".to_owned()]);
        let all = parse(&bytes, "x").expect("parses").lines;
        assert_eq!(all.len(), 3);
        for end in 0..bytes.len() {
            let parsed = parse(&bytes[..end], "x").expect("a prefix parses");
            assert!(parsed.whole <= end);
            assert_eq!(parsed.lines[..], all[..parsed.lines.len()]);
        }
    }

    #[test]
    fn every_single_bit_that_flips_is_noticed() {
        let bytes = journal(&["one".to_owned(), "two".to_owned(), "three".to_owned()]);
        let all = parse(&bytes, "x").expect("parses").lines;
        let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                match parse(&flipped, "x") {
                    // Only the last line may be taken for one that was being written.
                    Ok(parsed) => {
                        assert!(place >= last, "byte {place}, bit {bit}: {}", String::from_utf8_lossy(&flipped));
                        assert_eq!(parsed.lines[..], all[..2]);
                    }
                    Err(error) => assert!(!format!("{error:#}").is_empty()),
                }
            }
        }
    }

    /// Cut off anywhere and with bits flipped anywhere, a journal gives a prefix of what was written, or words.
    #[test]
    fn damage_gives_a_prefix_or_words() {
        use proptest::test_runner::{Config, TestRunner};
        const CASES: u32 = 10_000;
        let damaged = (
            proptest::collection::vec("\\PC{0,40}", 0..12),
            proptest::option::of(0.0..1.0_f64),
            proptest::collection::vec((0.0..1.0_f64, 0..8_u32), 0..4),
        );
        let refused = std::cell::Cell::new(0);
        let run = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) }).run(
            &damaged,
            |(texts, cut, flips)| {
                let header = Header { format: FORMAT, cluster: "x".to_owned() };
                let (mut bytes, mut last) = sealed(&header, "").expect("sealed");
                let mut all = Vec::new();
                for text in &texts {
                    let line = Line { time: jiff::Timestamp::UNIX_EPOCH, event: note(text) };
                    let (more, check) = sealed(&line, &last).expect("sealed");
                    bytes.extend(more);
                    last = check;
                    all.push(line);
                }
                let place = |share: f64, of: usize| (share * of as f64) as usize;
                if let Some(cut) = cut {
                    bytes.truncate(place(cut, bytes.len()));
                }
                for (share, bit) in flips {
                    if !bytes.is_empty() {
                        let place = place(share, bytes.len());
                        bytes[place] ^= 1 << bit;
                    }
                }
                match parse(&bytes, "x") {
                    Ok(parsed) => proptest::prop_assert_eq!(&parsed.lines[..], &all[..parsed.lines.len()]),
                    Err(error) => {
                        refused.set(refused.get() + 1);
                        let words = format!("{error:#}");
                        proptest::prop_assert!(words.len() > 20);
                    }
                }
                Ok(())
            },
        );
        run.unwrap_or_else(|error| panic!("{error}"));
        let refused: u32 = refused.get();
        assert!(refused > CASES / 4 && refused < CASES);
        println!(
            "journal: {CASES} times cut off and bits flipped at random: {} read as a prefix, {refused} refused in words",
            CASES - refused
        );
    }

    #[test]
    fn a_line_that_is_missing_or_moved_is_noticed() {
        let bytes = journal(&["one".to_owned(), "two".to_owned(), "three".to_owned()]);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for other in [[0, 2, 3, 3], [0, 1, 3, 2], [0, 1, 1, 2]] {
            let text = other.map(|index| lines[index]).concat();
            let error = parse(&text, "x").map(|parsed| parsed.lines.len()).expect_err("noticed");
            assert!(error.to_string().contains("is damaged"), "{error}");
        }
    }

    #[test]
    fn what_is_no_journal_is_refused_in_words() {
        for (text, word) in [
            ("hello\n".to_owned(), "first line"),
            ("no end".to_owned(), "first line"),
            ("{\"hapair-journal\":9,\"cluster\":\"x\"}\n".to_owned(), "newer"),
            ("{\"hapair-journal\":1,\"cluster\":\"y\"}\n".to_owned(), "cluster y"),
            ("{\"hapair-journal\":1,\"cluster\":\"x\"}\nrubbish\n".to_owned(), "line 2"),
            ("{\"hapair-journal\":2,\"cluster\":\"x\",\"check\":\"0\"}\n".to_owned(), "damaged"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes(), "x").map(|parsed| parsed.whole).expect_err(&text));
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_kind_of_event_that_is_not_known_is_not_called_damage() {
        let (mut bytes, last) = sealed(&Header { format: FORMAT, cluster: "x".to_owned() }, "").expect("sealed");
        let line = serde_json::json!({ "time": "2026-11-22T18:00:00Z", "event": "from-tomorrow" });
        bytes.extend(sealed(&line, &last).expect("sealed").0);
        let error = format!("{:#}", parse(&bytes, "x").map(|parsed| parsed.whole).expect_err("unknown"));
        assert!(error.contains("newer"), "{error}");
    }

    #[test]
    fn a_clock_that_jumps_back_changes_nothing() {
        let state = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(state.path(), "x").expect("new");
        for (second, text) in [(2_000_000_000, "one"), (1_000_000_000, "two"), (-5, "three"), (3_000_000_000, "four")] {
            let time = jiff::Timestamp::from_second(second).expect("a time");
            journal.append(&Line { time, event: note(text) }).expect("kept");
        }
        let texts: Vec<Event> =
            Journal::read(state.path(), "x").expect("reads").into_iter().map(|line| line.event).collect();
        assert_eq!(texts, ["one", "two", "three", "four"].map(note));
    }
}
