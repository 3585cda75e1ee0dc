//! A node made of a closure: what tests of everything above this layer talk to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Cmd, Lost, Output, Transport, batch};

type Answer = dyn Fn(&Cmd) -> Result<Output, Lost> + Send + Sync;

/// A transport whose closure answers every command, and which remembers all it was asked.
///
/// The closure may hold the state of a simulated node behind a `Mutex`: a write changes it, a read
/// shows it. Of a batch ([`Transport::exec_all`]) it sees each read by itself.
pub struct Scripted {
    answer: Box<Answer>,
    log: Mutex<Vec<Cmd>>,
    trips: AtomicUsize,
    resets: AtomicUsize,
}

impl Scripted {
    /// A node on which this closure answers.
    pub fn new(answer: impl Fn(&Cmd) -> Result<Output, Lost> + Send + Sync + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            log: Mutex::default(),
            trips: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
        }
    }

    /// All it was asked, in order; reads of a batch one by one.
    pub fn log(&self) -> Vec<Cmd> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same as one would type it.
    pub fn shown(&self) -> Vec<String> {
        self.log().iter().map(Cmd::shown).collect()
    }

    /// What it was asked since the last time; the log is empty after it.
    pub fn take_log(&self) -> Vec<Cmd> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Round trips so far; a batch is one, an empty batch none.
    pub fn trips(&self) -> usize {
        self.trips.load(Ordering::SeqCst)
    }

    /// How often the connection was reset.
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    // The log is not locked while the closure runs: it may ask for the log, or take its time.
    fn ask(&self, cmd: &Cmd) -> Result<Output, Lost> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(cmd.clone());
        (self.answer)(cmd)
    }
}

impl Transport for Scripted {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        self.trips.fetch_add(1, Ordering::SeqCst);
        self.ask(cmd)
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        batch::only_reads(reads)?;
        if !reads.is_empty() {
            self.trips.fetch_add(1, Ordering::SeqCst);
        }
        reads.iter().map(|cmd| self.ask(cmd)).collect()
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

/// An answer with exit code 0 and this on standard output.
pub fn says(stdout: impl Into<Vec<u8>>) -> Output {
    Output { code: 0, stdout: stdout.into(), stderr: Vec::new() }
}

/// An answer with this exit code and this on standard error.
pub fn fails(code: i32, stderr: impl Into<Vec<u8>>) -> Output {
    Output { code, stdout: Vec::new(), stderr: stderr.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::node::{Node, ReadOnly};

    #[test]
    fn a_simulated_node_keeps_state_and_remembers() {
        let loaded = Mutex::new(false);
        let node = Arc::new(Scripted::new(move |cmd| {
            let mut loaded = loaded.lock().unwrap();
            match cmd.argv[0].as_str() {
                "modprobe" => *loaded = true,
                "lsmod" if *loaded => return Ok(says("drbd\n")),
                "lsmod" => {}
                _ => return Ok(fails(127, "not found")),
            }
            Ok(Output::default())
        }));
        assert_eq!(node.exec(&Cmd::read(["lsmod"])).unwrap().line(), "");
        assert!(node.exec(&Cmd::write(["modprobe", "drbd"])).unwrap().ok());
        assert_eq!(node.exec(&Cmd::read(["lsmod"])).unwrap().line(), "drbd");
        assert_eq!(node.shown(), ["lsmod", "modprobe drbd", "lsmod"]);
        assert_eq!(node.take_log().len(), 3);
        assert!(node.log().is_empty());
    }

    #[test]
    fn a_batch_is_one_trip_and_every_read_is_seen() {
        let scripted = Arc::new(Scripted::new(|cmd| Ok(says(cmd.shown()))));
        let node = Node { name: "node1".to_owned(), transport: Arc::new(ReadOnly(Arc::clone(&scripted))) };
        let reads = [Cmd::read(["a", "b"]), Cmd::read(["c"])];
        let texts: Vec<String> = node.read_all(&reads).unwrap().iter().map(Output::text).collect();
        assert_eq!(texts, ["a b", "c"]);
        assert_eq!(scripted.trips(), 1);
        assert_eq!(scripted.shown(), ["a b", "c"]);
        assert!(node.read_all(&[]).unwrap().is_empty());
        assert_eq!(scripted.trips(), 1);
    }

    #[test]
    fn writes_are_refused_in_a_batch_and_by_a_read_only_node() {
        let scripted = Arc::new(Scripted::new(|_| Ok(Output::default())));
        let write = Cmd::write(["rm", "x"]);
        let refused = Lost::Refused("rm x".to_owned());
        assert_eq!(scripted.exec_all(&[Cmd::read(["ls"]), write.clone()]), Err(refused.clone()));
        let node = ReadOnly(Arc::clone(&scripted));
        assert_eq!(node.exec(&write), Err(refused.clone()));
        assert_eq!(node.exec_all(std::slice::from_ref(&write)), Err(refused));
        assert!(scripted.log().is_empty());
        node.reset();
        assert_eq!(scripted.resets(), 1);
    }
}
