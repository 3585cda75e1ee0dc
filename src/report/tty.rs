//! On a terminal: the steps as a list that fills, and below it what both nodes do right now.
//!
//! What is over is written once and stays, so that it can be scrolled back to and copied. Only the last lines are
//! drawn anew: ten times a second while something moves, by a thread, since a command may run for minutes without any
//! event.

use std::fmt::Write as _;
use std::io::Write;
use std::panic;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::{Term, measure_text_width};

use crate::event::{Event, Sink};
use crate::report::frame::{frame, stays};
use crate::report::model::Model;
use crate::report::style::Style;

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// Rows and columns of the terminal right now.
type Size = Box<dyn Fn() -> (u16, u16) + Send>;

/// Draws on a terminal.
pub struct Tty {
    screen: Arc<Mutex<Screen>>,
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

struct Screen {
    out: Box<dyn Write + Send>,
    size: Size,
    style: Style,
    start: Instant,
    model: Model,
    /// What is on the screen and can still be drawn over.
    drawn: Vec<String>,
    drawn_at: Option<Instant>,
    cursor_hidden: bool,
    /// Until the next event nothing is drawn.
    paused: bool,
}

impl Tty {
    /// Onto stderr. `width` as in [`super::choose`].
    pub fn stderr(colour: bool, unicode: bool, width: Option<u16>) -> Self {
        let term = Term::stderr();
        let asked = term.clone();
        // A serial line knows no size and says 0, or nothing.
        let known = |size: u16, or: u16| if size == 0 { or } else { size };
        let size = move || {
            let (rows, columns) = asked.size_checked().unwrap_or((24, 80));
            (known(rows, 24), width.unwrap_or(known(columns, 80)))
        };
        let tty = Self::new(Box::new(term), Box::new(size), Style { colour, unicode });
        make_way_for_panics(&tty.screen);
        tty
    }

    fn new(out: Box<dyn Write + Send>, size: Size, style: Style) -> Self {
        let screen = Arc::new(Mutex::new(Screen {
            out,
            size,
            style,
            start: Instant::now(),
            model: Model::new(),
            drawn: Vec::new(),
            drawn_at: None,
            cursor_hidden: false,
            paused: false,
        }));
        let (stop, stopped) = channel();
        let shared = Arc::clone(&screen);
        // Without the thread the picture still moves with each event.
        let ticker = thread::Builder::new().name("tty".to_owned()).spawn(move || tick(&shared, &stopped)).ok();
        Self { screen, stop: Some(stop), ticker }
    }
}

/// A panic is told on the same terminal, and would be drawn over.
fn make_way_for_panics(screen: &Arc<Mutex<Screen>>) {
    let screen = Arc::downgrade(screen);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(screen) = screen.upgrade() {
            // Not for ever: it may be this very thread that has it.
            for _ in 0..5 {
                if let Ok(mut screen) = screen.try_lock() {
                    screen.pause();
                    break;
                }
                thread::sleep(TICK / 5);
            }
        }
        before(info);
    }));
}

fn tick(screen: &Mutex<Screen>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        lock(screen).refresh();
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    // A panic elsewhere is told elsewhere; here the terminal must still be put back.
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Tty {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut screen = lock(&self.screen);
        screen.paused = false;
        let now = screen.start.elapsed();
        let said = screen.model.apply(event, now);
        let width = usize::from((screen.size)().1);
        let lines = stays(&screen.model, &said, width, screen.style);
        let over = matches!(
            event,
            Event::Failed(_) | Event::Interrupted { .. } | Event::RunDone { .. } | Event::DrillDone { .. }
        );
        if over || !lines.is_empty() {
            screen.draw(&lines);
        } else if screen.drawn_at.is_none_or(|at| at.elapsed() >= TICK / 2) {
            screen.refresh();
        }
        if over {
            // The process may end without unwinding.
            screen.show_cursor();
        }
        Ok(())
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
        // What is still drawn stays: it shows where a run was that ended without a word.
        lock(&self.screen).show_cursor();
    }
}

impl Screen {
    /// Draws what moves, if it looks different now.
    fn refresh(&mut self) {
        if self.paused {
            return;
        }
        self.model.now = self.start.elapsed();
        let (height, width) = (self.size)();
        let frame = frame(&self.model, width.into(), height.into(), self.style);
        if frame != self.drawn {
            self.put(&[], frame, width.into());
        }
    }

    /// Writes lines that stay, and what moves below them.
    fn draw(&mut self, lines: &[String]) {
        self.model.now = self.start.elapsed();
        let (height, width) = (self.size)();
        let frame = frame(&self.model, width.into(), height.into(), self.style);
        self.put(lines, frame, width.into());
    }

    /// All in one write: nothing half-drawn is ever seen, and nothing half-drawn is left by a kill.
    fn put(&mut self, lines: &[String], frame: Vec<String>, width: usize) {
        // Terminals that know this show it all at once; others ignore it.
        let mut text = "\x1b[?2026h".to_owned();
        if !frame.is_empty() && !self.cursor_hidden {
            text.push_str("\x1b[?25l");
            self.cursor_hidden = true;
        }
        // Most terminals break lines anew when they get narrower, so that what was drawn has more rows now.
        let rows: usize = self.drawn.iter().map(|line| measure_text_width(line).div_ceil(width.max(1)).max(1)).sum();
        text.push('\r');
        if rows > 0 {
            let _ = write!(text, "\x1b[{rows}A");
        }
        // All at once and not line by line: a line whose end was cleared may still count as a full one when the
        // terminal breaks lines anew.
        text.push_str("\x1b[J");
        for line in lines {
            let _ = write!(text, "{line}\r\n");
        }
        // A character that is wider than it should be must not begin a new line: rows are counted.
        text.push_str("\x1b[?7l");
        for line in &frame {
            let _ = write!(text, "{line}\r\n");
        }
        text.push_str("\x1b[?7h\x1b[?2026l");
        self.drawn = frame;
        self.drawn_at = Some(Instant::now());
        self.write(&text);
    }

    /// Takes away what moves, for someone else who writes here.
    fn pause(&mut self) {
        self.paused = true;
        if !self.drawn.is_empty() {
            self.put(&[], Vec::new(), (self.size)().1.into());
        }
        self.show_cursor();
    }

    fn show_cursor(&mut self) {
        if self.cursor_hidden {
            self.cursor_hidden = false;
            self.write("\x1b[?25h");
        }
    }

    /// A terminal that is gone is no reason to stop a run.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use super::*;
    use crate::event::{Failure, StepName};

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

    /// What is to be seen after all that was written, on an endless screen, and whether the cursor is.
    fn seen(bytes: &[u8]) -> (String, bool) {
        let text = std::str::from_utf8(bytes).unwrap();
        let (mut lines, mut row, mut cursor) = (vec![String::new()], 0, true);
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => {}
                '\n' => {
                    row += 1;
                    lines.resize(lines.len().max(row + 1), String::new());
                }
                '\u{1b}' => {
                    let mut control = String::new();
                    while !control.ends_with(|c: char| c.is_ascii_alphabetic()) {
                        control.push(rest.next().unwrap());
                    }
                    match control.as_str() {
                        "[J" => {
                            lines.truncate(row);
                            lines.push(String::new());
                        }
                        "[?25l" => cursor = false,
                        "[?25h" => cursor = true,
                        "[?7l" | "[?7h" | "[?2026l" | "[?2026h" => {}
                        up => row -= up[1..].strip_suffix('A').unwrap().parse::<usize>().unwrap(),
                    }
                }
                character => lines[row].push(character),
            }
        }
        (lines.join("\n"), cursor)
    }

    const PLAIN: Style = Style { colour: false, unicode: true };

    fn events() -> [Event; 4] {
        let step = || "hosts".to_owned();
        [
            Event::RunStarted {
                version: "0.1.0".to_owned(),
                cluster: "web".to_owned(),
                command: "install".to_owned(),
                nodes: ["node1".to_owned(), "node2".to_owned()],
                steps: vec![StepName { id: step(), title: "Names".to_owned() }],
                plan: String::new(),
            },
            Event::StepStarted { step: step(), title: "Names".to_owned(), number: 1, of: 1, takes: None },
            Event::StepDone { step: step(), changed: true, seconds: 2.0 },
            Event::RunDone { changed: 1, seconds: 3.0, summary: vec!["It is up.".to_owned()] },
        ]
    }

    #[test]
    fn only_what_stays_is_left_and_the_cursor_is_back() {
        let kept = Kept::default();
        let written = || kept.0.lock().unwrap().clone();
        let mut tty = Tty::new(Box::new(kept.clone()), Box::new(|| (24, 80)), PLAIN);
        let [begin, step, done, end] = events();
        tty.event(&begin).unwrap();
        tty.event(&step).unwrap();
        thread::sleep(TICK * 3);
        let (picture, cursor) = seen(&written());
        assert!(picture.contains("Names") && picture.contains("node2  checking"), "{picture}");
        assert!(!cursor);
        tty.event(&done).unwrap();
        tty.event(&end).unwrap();
        let expected = format!(
            "hapair 0.1.0, install: cluster web, nodes node1 and node2\n ✔   1  Names{}2 s\n\n\
             Done in 3 s: 1 action changed something.\n ✔  hosts           2 s\n\nIt is up.\n",
            " ".repeat(63)
        );
        assert_eq!(seen(&written()), (expected.clone(), true));
        drop(tty);
        assert_eq!(seen(&written()), (expected, true));
    }

    #[test]
    fn the_cursor_is_back_after_a_run_that_ended_without_a_word() {
        let kept = Kept::default();
        let mut tty = Tty::new(Box::new(kept.clone()), Box::new(|| (24, 80)), PLAIN);
        for event in &events()[..2] {
            tty.event(event).unwrap();
        }
        drop(tty);
        let (picture, cursor) = seen(&kept.0.lock().unwrap());
        assert!(picture.contains("Names"), "{picture}");
        assert!(cursor);
    }

    #[test]
    fn a_window_that_is_resized_shows_the_picture_once() {
        let some = |size: u16| std::num::NonZeroU16::new(size).unwrap();
        let (kept, size) = (Kept::default(), Arc::new(Mutex::new((24, 80))));
        let asked = Arc::clone(&size);
        let mut tty = Tty::new(Box::new(kept.clone()), Box::new(move || *asked.lock().unwrap()), PLAIN);
        for event in &events()[..2] {
            tty.event(event).unwrap();
        }
        let mut terminal = vt100::Parser::new(some(24), some(80), 100);
        for (rows, columns) in [(24, 80), (12, 40), (40, 120), (5, 40), (24, 80)] {
            terminal.screen_mut().set_size(some(rows), some(columns));
            *size.lock().unwrap() = (rows, columns);
            thread::sleep(TICK * 5);
            terminal.process(&std::mem::take(&mut *kept.0.lock().unwrap()));
            let text = terminal.screen().contents();
            assert_eq!(text.matches("so far").count(), 1, "{rows}x{columns}:\n{text}");
            assert_eq!(text.matches("node2  checking").count(), 1, "{rows}x{columns}:\n{text}");
            // Not the heading: it was written before, and a terminal cuts it.
            let picture = text.lines().filter(|line| !line.starts_with("hapair "));
            assert!(picture.map(measure_text_width).all(|width| width < columns.into()), "{rows}x{columns}:\n{text}");
        }
    }

    #[test]
    fn who_else_writes_is_not_drawn_over() {
        let kept = Kept::default();
        let mut tty = Tty::new(Box::new(kept.clone()), Box::new(|| (24, 80)), PLAIN);
        for event in &events()[..2] {
            tty.event(event).unwrap();
        }
        lock(&tty.screen).pause();
        kept.clone().write_all(b"boom\r\n").unwrap();
        thread::sleep(TICK * 3);
        let heading = "hapair 0.1.0, install: cluster web, nodes node1 and node2";
        assert_eq!(seen(&kept.0.lock().unwrap()), (format!("{heading}\nboom\n"), true));
        drop(tty);
    }

    #[test]
    fn events_do_not_draw_more_often_than_can_be_seen() {
        let kept = Kept::default();
        let mut tty = Tty::new(Box::new(kept.clone()), Box::new(|| (24, 80)), PLAIN);
        for event in &events()[..2] {
            tty.event(event).unwrap();
        }
        let start = Instant::now();
        for number in 0..20_000 {
            let command = Event::Command { node: "node1".to_owned(), command: format!("echo {number}") };
            tty.event(&command).unwrap();
        }
        let most = start.elapsed().as_millis() / (TICK / 2).as_millis() * 2 + 4;
        drop(tty);
        let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let drawn = written.matches("\u{1b}[J").count();
        assert!(u128::try_from(drawn).unwrap() <= most, "{drawn} drawings, at most {most}");
    }

    #[test]
    fn a_terminal_that_is_gone_is_no_error() {
        let mut tty = Tty::new(Box::new(Closed), Box::new(|| (24, 80)), PLAIN);
        for event in events() {
            assert!(tty.event(&event).is_ok());
        }
        let failure = Failure {
            exit: 5,
            step: None,
            action: None,
            node: Some("node1".to_owned()),
            command: None,
            code: None,
            stderr: Vec::new(),
            what: "it can't be reached".to_owned(),
            next: String::new(),
            resume: None,
        };
        assert!(tty.event(&Event::Failed(failure)).is_ok());
    }
}
