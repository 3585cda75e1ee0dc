//! A command that goes on, line by line.

use std::time::Duration;

use openssh::{Session, Stdio};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::super::wrap::Wrapped;
use super::super::{Line, Lost};
use super::reason;

/// See [`super::super::Transport::follow`]. What nobody listens to any more ends on the node with its next line.
pub(super) async fn run(
    session: &Session,
    wrapped: &Wrapped,
    silence: Duration,
    line: &mut Line<'_>,
) -> Result<(), Lost> {
    let mut command = session.raw_command(wrapped.line());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let silent = || Lost::Dropped(format!("nothing was heard for {} s", silence.as_secs()));
    let dropped = |error: openssh::Error| Lost::Dropped(reason(&error));
    let mut child = timeout(silence, command.spawn()).await.map_err(|_| silent())?.map_err(dropped)?;
    let Some(mut out) = child.stdout().take() else { return Err(Lost::Dropped("ssh gave no pipe".to_owned())) };
    let mut lines = Lines::new(wrapped);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = timeout(silence, out.read(&mut buffer)).await.map_err(|_| silent())?;
        match read {
            Ok(0) | Err(_) => return Err(Lost::Dropped("the connection was closed".to_owned())),
            Ok(count) if !lines.push(&buffer[..count], line) => return Ok(()),
            Ok(_) => {}
        }
    }
}

/// Lines between the marks of the wrapper.
struct Lines {
    begin: String,
    end: String,
    begun: bool,
    rest: Vec<u8>,
}

impl Lines {
    fn new(wrapped: &Wrapped) -> Self {
        let (begin, end) = wrapped.frame();
        Self { begin, end, begun: false, rest: Vec::new() }
    }

    /// Gives the lines that are whole now; false when there is nothing more to read.
    fn push(&mut self, read: &[u8], line: &mut Line<'_>) -> bool {
        self.rest.extend_from_slice(read);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            let text = String::from_utf8_lossy(&whole[..end]);
            if !self.begun {
                self.begun = text.ends_with(&self.begin);
            } else if text.starts_with(&self.end) || !line(&text) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_between_the_marks_are_given_as_they_come() {
        let mut lines = Lines { begin: "N<".into(), end: "N ".into(), begun: false, rest: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        let mut take = |text: &str| {
            seen.push(text.to_owned());
            true
        };
        assert!(lines.push(b"Welcome!\nN<\nack 1\nac", &mut take));
        assert!(lines.push(b"k 2\n", &mut take));
        assert!(!lines.push(b"\nN .\nlater\n", &mut take));
        assert_eq!(seen, ["ack 1", "ack 2", ""]);
    }

    #[test]
    fn the_taker_ends_it() {
        let mut lines = Lines { begin: "N<".into(), end: "N ".into(), begun: true, rest: Vec::new() };
        assert!(!lines.push(b"one\ntwo\n", &mut |text| text != "one"));
    }
}
