//! For programs: an object a line on stdout.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Event, Sink};

/// Writes every event as one line of JSON, with the time in UTC.
pub struct Json {
    out: Box<dyn Write + Send>,
    clock: fn() -> Timestamp,
}

/// An event and when it was.
#[derive(Serialize)]
struct Stamped<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Json {
    /// Onto stdout.
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), Timestamp::now)
    }

    /// Onto anything, with any clock.
    pub fn new(out: Box<dyn Write + Send>, clock: fn() -> Timestamp) -> Self {
        Self { out, clock }
    }
}

impl Sink for Json {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        // Always milliseconds: times of one width sort as text.
        let time = format!("{:.3}", (self.clock)());
        // In one write, so that a reader never sees half a line. Nobody reading any more (a broken pipe) is no
        // reason to stop a run.
        if let Ok(mut line) = serde_json::to_vec(&Stamped { time, event }) {
            line.push(b'\n');
            let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::action::{Change, Risk};
    use crate::event::Failure;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn failure() -> Event {
        Event::Failed(Failure {
            exit: 1,
            step: Some("mkfs".to_owned()),
            action: None,
            node: Some("node1".to_owned()),
            command: Some("mkfs.ocfs2 /dev/drbd0".to_owned()),
            code: Some(1),
            stderr: vec!["in use\u{1b}".to_owned()],
            what: "it holds something".to_owned(),
            next: "look".to_owned(),
            resume: None,
        })
    }

    #[test]
    fn an_object_a_line() {
        let kept = Kept::default();
        let mut json = Json::new(Box::new(kept.clone()), || Timestamp::UNIX_EPOCH);
        json.event(&Event::ActionStarting {
            step: "hosts".to_owned(),
            action: "1-file".to_owned(),
            node: Some("node1".to_owned()),
            title: "/etc/hosts".to_owned(),
            change: Change::new("write /etc/hosts").risk(Risk::DestroysData),
        })
        .unwrap();
        json.event(&failure()).unwrap();
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","event":"action-starting","step":"hosts","action":"1-file","#,
                r#""node":"node1","title":"/etc/hosts","change":{"summary":"write /etc/hosts","diff":null,"#,
                r#""risk":"destroys-data","progress":null}}"#,
                "\n",
                r#"{"time":"1970-01-01T00:00:00.000Z","event":"failed","exit":1,"step":"mkfs","action":null,"#,
                r#""node":"node1","command":"mkfs.ocfs2 /dev/drbd0","code":1,"stderr":["in use\u001b"],"#,
                r#""what":"it holds something","next":"look","resume":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_broken_pipe_is_no_error() {
        let mut json = Json::new(Box::new(Closed), Timestamp::now);
        assert!(json.event(&failure()).is_ok());
    }
}
