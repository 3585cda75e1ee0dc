//! The connection lost in mid-command, a node that is silent, a host key that changed: exit code 5, words, and the same
//! command goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::Failure;
use hapair::exit;
use hapair::journal::Journal;
use hapair::node::{At, Cmd, Effect, Lost, Node, Output, Pair, Transport};

use crate::kill::run;
use crate::model::Model;
use crate::{folder, plan};

/// A way to a simulated node that breaks at its write number `at`: before the order took effect, or behind it.
struct Breaks {
    inner: Arc<dyn Transport>,
    writes: AtomicUsize,
    at: usize,
    behind: bool,
    lost: Lost,
}

impl Transport for Breaks {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        // A reboot breaks the connection in any case: it is no failure there.
        let ends = ["setsid sh -c 'sleep 1", "stonith_admin --reboot", "the cluster link was cut for"];
        let reboots = |word: &String| ends.iter().any(|end| word.contains(end));
        if cmd.effect == Effect::Read || cmd.argv.iter().any(reboots) {
            return self.inner.exec(cmd);
        }
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number == self.at {
            if self.behind {
                self.inner.exec(cmd)?;
            }
            return Err(self.lost.clone());
        }
        self.inner.exec(cmd)
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        if self.writes.load(Ordering::SeqCst) > self.at {
            return Err(self.lost.clone());
        }
        self.inner.exec_all(reads)
    }
}

/// A run whose way to one node breaks; `None` if it has fewer writes than that.
fn broken(model: &Model, state: &std::path::Path, node: At, at: usize, behind: bool, lost: &Lost) -> Option<Failure> {
    let mut pair = model.pair();
    let inner = Arc::clone(&pair.at(node).transport);
    let breaks = Breaks { inner, writes: AtomicUsize::new(0), at, behind, lost: lost.clone() };
    let name = pair.at(node).name.clone();
    pair = Pair(match node {
        At::First => [Node { name, transport: Arc::new(breaks) }, pair.at(At::Second).clone()],
        At::Second => [pair.at(At::First).clone(), Node { name, transport: Arc::new(breaks) }],
    });
    let (journal, _) = Journal::open(state, "xencluster").unwrap();
    let (sink, cancel) = (Mutex::new(journal), Cancel::default());
    Engine::new(&pair, &sink, &cancel, "hapair install --answers pair.yaml".to_owned())
        .run(&model.plan, None)
        .err()
        .map(|failure| *failure)
}

#[test]
fn cut_at_every_order_before_and_behind_its_effect() {
    let plan = plan();
    let fresh = Model::new(&plan);
    let wanted = {
        let (model, state) = (fresh.copy(), folder());
        run(&model, &plan, state.path(), None);
        model.world()
    };
    let mut cuts = 0;
    for node in At::BOTH {
        for at in 0..200 {
            let (model, state) = (fresh.copy(), folder());
            // One side of the effect for each: the other one is a kill of the matrix.
            let dropped = Lost::Dropped("broken pipe".to_owned());
            let failure = broken(&model, state.path(), node, at, at % 2 == 0, &dropped);
            let Some(failure) = failure else {
                assert!(at > 20);
                break;
            };
            assert_eq!(failure.exit, exit::UNREACHABLE, "{failure}");
            assert!(failure.to_string().contains("hapair install --answers pair.yaml"), "{failure}");
            let (ended, _) = run(&model, &plan, state.path(), None);
            assert!(matches!(ended, Some(Ended::Done { .. })));
            assert!(model.world() == wanted, "cut at {at} of {node:?}: another end state");
            cuts += 1;
        }
    }
    println!("connection cut in mid-command on simulated nodes: {cuts} of {cuts} resumed to the same end state");
    assert!(cuts > 50);
}

#[test]
fn silence_and_a_changed_host_key_are_told_apart() {
    let plan = plan();
    for (lost, words) in [
        (Lost::Unreachable("192.0.2.2: connection timed out".to_owned()), ["cannot be reached", "its SSH answers"]),
        (Lost::HostKey("it is SHA256:x, and SHA256:y is known".to_owned()), ["host key", "console"]),
        (Lost::Auth("Permission denied (publickey)".to_owned()), ["let us in", "ssh-copy-id"]),
    ] {
        let (model, state) = (Model::new(&plan), folder());
        let failure = broken(&model, state.path(), At::Second, 3, false, &lost).unwrap();
        assert_eq!(failure.exit, exit::UNREACHABLE);
        assert_eq!(failure.node.as_deref(), Some("node2"));
        let text = failure.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(matches!(run(&model, &plan, state.path(), None).0, Some(Ended::Done { .. })));
    }
}
