//! Looks: all reads of many actions in one round trip to each node.

use std::sync::Arc;

use crate::action::{Memory, Seen, State};
use crate::node::{At, Cmd, Lost, Output, Pair};
use crate::plan::PlannedAction;

/// What the reads of some actions gave.
#[derive(Debug, Clone)]
pub struct Looked {
    outputs: [Arc<Vec<Output>>; 2],
    /// For each action and node: which outputs are its own.
    places: Vec<[Vec<usize>; 2]>,
}

/// Asks both nodes at once for everything that the actions need to know.
///
/// # Errors
/// The first node that could not be asked.
pub fn look(pair: &Pair, actions: &[&PlannedAction]) -> Result<Looked, (At, Lost)> {
    let mut reads: [Vec<Cmd>; 2] = [Vec::new(), Vec::new()];
    let mut places = Vec::with_capacity(actions.len());
    for action in actions {
        places.push(At::BOTH.map(|at| {
            let Some(instance) = action.of(at) else { return Vec::new() };
            instance.reads(at).into_iter().map(|read| place(&mut reads[at.index()], read)).collect()
        }));
    }
    let mut outputs = pair.read_both([&reads[0], &reads[1]])?;
    if outputs.iter().flatten().any(|output| output.code == Output::LATE) {
        again(pair, &reads, &mut outputs)?;
    }
    Ok(Looked { outputs: outputs.map(Arc::new), places })
}

/// Asks once more what had no time to answer, and nothing else: a node that was busy for a minute, or one slow read before
/// all others, is no reason to end an install.
fn again(pair: &Pair, reads: &[Vec<Cmd>; 2], outputs: &mut [Vec<Output>; 2]) -> Result<(), (At, Lost)> {
    let late = At::BOTH.map(|at| {
        let codes = outputs[at.index()].iter().enumerate();
        codes.filter(|(_, output)| output.code == Output::LATE).map(|(index, _)| index).collect::<Vec<usize>>()
    });
    let asked = At::BOTH.map(|at| late[at.index()].iter().map(|index| reads[at.index()][*index].clone()).collect());
    let [first, second]: [Vec<Cmd>; 2] = asked;
    for (at, answers) in At::BOTH.into_iter().zip(pair.read_both([&first, &second])?) {
        for (index, answer) in late[at.index()].iter().zip(answers) {
            outputs[at.index()][*index] = answer;
        }
    }
    Ok(())
}

/// Several actions read the same thing (/proc/drbd): it is asked for once.
fn place(reads: &mut Vec<Cmd>, read: Cmd) -> usize {
    match reads.iter().position(|known| *known == read) {
        Some(index) => index,
        None => {
            reads.push(read);
            reads.len() - 1
        }
    }
}

impl Looked {
    /// What is known of `count` actions from number `first` on.
    #[must_use]
    pub fn slice(&self, first: usize, count: usize) -> Looked {
        Looked { outputs: self.outputs.clone(), places: self.places[first..first + count].to_vec() }
    }

    /// How an action stands on each node it is for.
    pub fn states(&self, index: usize, action: &PlannedAction, memory: &Memory) -> Vec<(At, State)> {
        action.each().map(|(at, _)| (at, self.state(index, action, at, memory))).collect()
    }

    /// How an action stands on a node. What had no time to answer can't be told, whatever the kind of action: it is never
    /// taken for absent.
    pub fn state(&self, index: usize, action: &PlannedAction, at: At, memory: &Memory) -> State {
        let Some(instance) = action.of(at) else { return State::Satisfied };
        match self.late(index, action) {
            Some(late) => State::Unknown(format!("`{late}` had no time to answer")),
            None => self.with(index, memory, |seen| instance.judge(at, seen)),
        }
    }

    /// The first of an action's reads that had no time to answer, on either node.
    fn late(&self, index: usize, action: &PlannedAction) -> Option<String> {
        At::BOTH.into_iter().find_map(|at| {
            let instance = action.of(at).filter(|instance| !instance.judges_silence())?;
            let place = |read: &usize| self.outputs[at.index()][*read].code == Output::LATE;
            let late = self.places[index][at.index()].iter().position(place)?;
            instance.reads(at).get(late).map(Cmd::shown)
        })
    }

    /// Whether an action is satisfied wherever it is for.
    pub fn satisfied(&self, index: usize, action: &PlannedAction, memory: &Memory) -> bool {
        self.states(index, action, memory).iter().all(|(_, state)| *state == State::Satisfied)
    }

    /// Gives the outputs of one action to `judge`.
    pub fn with<T>(&self, index: usize, memory: &Memory, judge: impl FnOnce(&Seen<'_>) -> T) -> T {
        let own = At::BOTH.map(|at| {
            self.places[index][at.index()]
                .iter()
                .map(|place| self.outputs[at.index()][*place].clone())
                .collect::<Vec<Output>>()
        });
        judge(&Seen { outputs: [&own[0], &own[1]], memory })
    }
}
