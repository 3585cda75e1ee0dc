//! A terminal with somebody in front of it: a program in a pseudo-terminal, its screen as it is seen, keys that are typed.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ptyprocess::{PtyProcess, WaitStatus};

pub(crate) const ESC: &str = "\x1b";
pub(crate) const ENTER: &str = "\r";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const CTRL_C: &str = "\x03";

fn some(size: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(size).unwrap()
}

pub(crate) struct Screen {
    process: PtyProcess,
    input: std::fs::File,
    seen: Arc<Mutex<vt100::Parser>>,
    /// All that was written.
    pub(crate) raw: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    pub(crate) fn start(mut command: Command, rows: u16, columns: u16) -> Self {
        command.env_remove("NO_COLOR").env("LANG", "C.UTF-8");
        Self::begin(command, rows, columns)
    }

    /// One without colours and without characters beyond ASCII.
    pub(crate) fn plain(mut command: Command, rows: u16, columns: u16) -> Self {
        command.env("NO_COLOR", "1").env("LANG", "C");
        Self::begin(command, rows, columns)
    }

    fn begin(mut command: Command, rows: u16, columns: u16) -> Self {
        command.env_remove("LC_ALL").env_remove("LC_CTYPE").env("TERM", "xterm-256color");
        let mut process = PtyProcess::spawn(with_echo(&command)).unwrap();
        process.set_window_size(columns, rows).unwrap();
        let mut output = process.get_raw_handle().unwrap();
        let input = process.get_raw_handle().unwrap();
        let seen = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 2000)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (parser, all) = (Arc::clone(&seen), Arc::clone(&raw));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..count]);
                all.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { process, input, seen, raw }
    }

    pub(crate) fn text(&self) -> String {
        self.seen.lock().unwrap().screen().contents()
    }

    /// All that can still be read, scrolled away or not, without what was drawn over.
    pub(crate) fn all(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned()
    }

    pub(crate) fn cursor_is_seen(&self) -> bool {
        !self.seen.lock().unwrap().screen().hide_cursor()
    }

    /// Waits until a text is on the screen.
    pub(crate) fn wait(&self, text: &str, seconds: u64) {
        let began = Instant::now();
        while !self.text().contains(text) {
            assert!(
                began.elapsed() < Duration::from_secs(seconds),
                "not seen in {seconds} s: {text}\n--- the screen:\n{}\n---",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a text is no longer on the screen.
    pub(crate) fn gone(&self, text: &str) {
        let began = Instant::now();
        while self.text().contains(text) {
            assert!(began.elapsed() < Duration::from_secs(10), "still seen: {text}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Types something and Enter.
    pub(crate) fn answer(&mut self, question: &str, text: &str) {
        self.wait(question, 20);
        self.press(text);
        self.press(ENTER);
    }

    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        self.seen.lock().unwrap().screen_mut().set_size(some(rows), some(columns));
        self.process.set_window_size(columns, rows).unwrap();
    }

    /// Exit code, when it ends in time.
    pub(crate) fn code(&mut self, seconds: u64) -> i32 {
        let began = Instant::now();
        loop {
            match self.process.status() {
                Ok(WaitStatus::Exited(_, code)) => return code,
                Ok(WaitStatus::Signaled(_, signal, _)) => panic!("ended by {signal}:\n{}", self.text()),
                _ => {}
            }
            assert!(began.elapsed() < Duration::from_secs(seconds), "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The terminal is as a shell wants it: keys are signals, lines are edited, and the cursor is seen.
    pub(crate) fn assert_as_before(&self, when: &str) {
        use rustix::termios::{LocalModes, tcgetattr};
        let modes = tcgetattr(&self.input).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO), "{when}: {modes:?}");
        // The last bytes may still be on their way.
        std::thread::sleep(Duration::from_millis(200));
        assert!(self.cursor_is_seen(), "{when}: no cursor");
    }
}

/// A terminal of a person shows what is typed. The child of [`PtyProcess`] turns that off before it becomes the program, at
/// a moment that nobody else knows: so the program's own process turns it on again.
fn with_echo(command: &Command) -> Command {
    let mut whole = Command::new("sh");
    whole.args(["-c", "stty echo && exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    whole
}
