//! A machine that runs commands. One verb: [`Transport::exec`].
//!
//! A command is an argument vector, marked as a read or a write. What only reads nodes gets
//! [`ReadOnly`], which refuses everything that is not marked as a read: a dry run is safe by type.

pub mod batch;
pub mod host_key;
pub mod local;
pub mod login;
pub mod quote;
pub mod scripted;
pub mod ssh;
pub mod wrap;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which of the two nodes, in the order of the answers file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// `nodes[0]`.
    First,
    /// `nodes[1]`.
    Second,
}

impl At {
    /// Both, in order.
    pub const BOTH: [At; 2] = [At::First, At::Second];

    /// 0 or 1.
    pub fn index(self) -> usize {
        match self {
            At::First => 0,
            At::Second => 1,
        }
    }

    /// The other one.
    #[must_use]
    pub fn peer(self) -> At {
        match self {
            At::First => At::Second,
            At::Second => At::First,
        }
    }

    /// Does the same for both at once; gives the results in order.
    pub fn both<T: Send>(work: impl Fn(At) -> T + Sync) -> [T; 2] {
        std::thread::scope(|scope| {
            let second = scope.spawn(|| work(At::Second));
            let first = work(At::First);
            [first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
        })
    }
}

/// Whether a command changes anything on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Read,
    /// It may change something.
    Write,
}

/// A command: program and arguments, never a line for a shell to split.
#[derive(Clone, PartialEq, Eq)]
pub struct Cmd {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What it gets on standard input.
    pub stdin: Vec<u8>,
    /// Read or write.
    pub effect: Effect,
    /// How long it may take on the node before it is ended there (exit code 124).
    pub timeout: Duration,
    /// Standard input holds a secret: never shown.
    pub secret: bool,
}

impl Cmd {
    /// A command that only looks. A minute at most.
    pub fn read<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            effect: Effect::Read,
            timeout: Duration::from_secs(60),
            secret: false,
        }
    }

    /// A command that changes something. Five minutes at most.
    pub fn write<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { effect: Effect::Write, timeout: Duration::from_secs(300), ..Self::read(argv) }
    }

    /// A shell script that only looks; `args` are its `$1`, `$2`...
    pub fn read_sh<S: Into<String>>(script: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self::read(sh(script, args))
    }

    /// A shell script that changes something; `args` are its `$1`, `$2`...
    pub fn write_sh<S: Into<String>>(script: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self::write(sh(script, args))
    }

    /// With this on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Standard input is a secret.
    #[must_use]
    pub fn secret(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }

    /// With another limit of time.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Refuses what no machine can run: no program, or a NUL byte in an argument.
    ///
    /// # Errors
    /// [`Lost::Refused`].
    pub fn is_runnable(&self) -> Result<(), Lost> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(Lost::Refused("a command without a program".to_owned()));
        }
        if self.argv.iter().any(|arg| arg.contains('\0')) {
            return Err(Lost::Refused(format!("an argument with a NUL byte: {}", self.shown())));
        }
        Ok(())
    }

    /// As one would type it in a shell, for a message: a script of several lines is only counted, and the standard input
    /// is not shown. `plan --format sh` shows everything.
    pub fn shown(&self) -> String {
        let words: Vec<String> = self.argv.iter().map(|word| shortened(word)).collect();
        quote::line(&words)
    }
}

/// A word without its lines behind the first, and not longer than a line.
fn shortened(word: &str) -> String {
    const LONGEST: usize = 160;
    let lines = word.lines().count();
    if lines > 2 && word.contains([';', '|', '$']) {
        return format!("(script of {lines} lines)");
    }
    let first = word.lines().next().unwrap_or_default();
    let short: String = first.chars().take(LONGEST).collect();
    if lines > 1 || short.len() < first.len() { format!("{short}...") } else { word.to_owned() }
}

fn sh<S: Into<String>>(script: &str, args: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut words = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
    words.extend(args.into_iter().map(Into::into));
    words
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.effect, self.shown())
    }
}

/// What a command gave. A non-zero exit code is an answer, not an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; [`Output::LATE`] when its time was up, 127 when there is no such program.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Exit code of what had no time to finish, as `timeout`(1) says it.
    pub const LATE: i32 = 124;

    /// Exit code 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output without white space at its ends.
    pub fn line(&self) -> String {
        self.text().trim().to_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Why nothing is known of a command: it may or may not have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// No connection could be made.
    Unreachable(String),
    /// The host key is unknown, or not the known one.
    HostKey(String),
    /// The node does not let us in.
    Auth(String),
    /// It lets us in, but not as root: sudo is missing or refuses.
    Sudo(String),
    /// The connection went away in mid-command.
    Dropped(String),
    /// A write was given to a node that may only be read.
    Refused(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Lost::HostKey(why) => write!(f, "its host key is not accepted: {why}"),
            Lost::Auth(why) => write!(f, "does not let us in: {why}"),
            Lost::Sudo(why) => write!(f, "does not let us become root: {why}"),
            Lost::Dropped(why) => write!(f, "the connection broke: {why}"),
            Lost::Refused(why) => write!(f, "refused, since this run only reads: {why}"),
        }
    }
}

impl std::error::Error for Lost {}

/// Takes a line; false when it has enough.
pub type Line<'a> = dyn FnMut(&str) -> bool + Send + 'a;

/// Runs commands on one machine.
pub trait Transport: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`Lost`] when it is not known whether it ran; an exit code other than 0 is not an error.
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost>;

    /// Runs many reads, in one round trip where the transport can; the outputs are in their order.
    ///
    /// # Errors
    /// As [`Transport::exec`]; [`Lost::Refused`] when one of them is not marked as a read.
    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        batch::exec(self, reads)
    }

    /// Runs a command that only looks and goes on doing so, and gives each line that it prints as it comes, until `line`
    /// gives false, the command ends or nothing came for as long as `silence`.
    ///
    /// # Errors
    /// As [`Transport::exec`]; [`Lost::Dropped`] after the silence.
    fn follow(&self, cmd: &Cmd, silence: Duration, line: &mut Line<'_>) -> Result<(), Lost> {
        let output = self.exec(&cmd.clone().timeout(silence))?;
        let text = output.text();
        let _ = text.lines().take_while(|text| line(text)).count();
        Ok(())
    }

    /// Forgets the connection, so that the next command makes a new one (after a reboot).
    fn reset(&self) {}
}

/// A machine that may only be looked at.
pub struct ReadOnly<T>(pub T);

impl<T: Transport> Transport for ReadOnly<T> {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        match cmd.effect {
            Effect::Read => self.0.exec(cmd),
            Effect::Write => Err(Lost::Refused(cmd.shown())),
        }
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        batch::only_reads(reads)?;
        self.0.exec_all(reads)
    }

    fn follow(&self, cmd: &Cmd, silence: Duration, line: &mut Line<'_>) -> Result<(), Lost> {
        batch::only_reads(std::slice::from_ref(cmd))?;
        self.0.follow(cmd, silence, line)
    }

    fn reset(&self) {
        self.0.reset();
    }
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        (**self).exec(cmd)
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        (**self).exec_all(reads)
    }

    fn follow(&self, cmd: &Cmd, silence: Duration, line: &mut Line<'_>) -> Result<(), Lost> {
        (**self).follow(cmd, silence, line)
    }

    fn reset(&self) {
        (**self).reset();
    }
}

/// A machine that can't be asked, with the reason: for what goes on with the other one alone.
impl Transport for Lost {
    fn exec(&self, _cmd: &Cmd) -> Result<Output, Lost> {
        Err(self.clone())
    }
}

/// A node: its name and how commands get there.
#[derive(Clone)]
pub struct Node {
    /// Name as in the answers.
    pub name: String,
    /// How commands get there.
    pub transport: Arc<dyn Transport>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Node {
    /// Runs a command; see [`Transport::exec`].
    pub fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        self.transport.exec(cmd)
    }

    /// Runs many reads in one round trip; the outputs are in their order.
    pub fn read_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        self.transport.exec_all(reads)
    }
}

/// The two nodes.
#[derive(Debug, Clone)]
pub struct Pair(pub [Node; 2]);

impl Pair {
    /// One of them.
    pub fn at(&self, at: At) -> &Node {
        &self.0[at.index()]
    }

    /// Runs reads on both at once, one round trip each; the outputs are in the reads' order.
    ///
    /// # Errors
    /// The first node that could not be asked.
    pub fn read_both(&self, reads: [&[Cmd]; 2]) -> Result<[Vec<Output>; 2], (At, Lost)> {
        let [first, second] = At::both(|at| self.at(at).read_all(reads[at.index()]));
        Ok([first.map_err(|lost| (At::First, lost))?, second.map_err(|lost| (At::Second, lost))?])
    }
}
