//! What an earlier run has left at work: the end of hapair, or of its connection, does not end an order on a node.

use std::time::{Duration, Instant};

use super::{NodeRecord, read};
use crate::cancel::Cancel;
use crate::event::Failure;
use crate::exit;
use crate::node::{At, Pair};
use crate::setup::{failed, unanswered};

/// How long it is waited for: a whole fencing order, a file system on a large disk. What takes longer may hang until this run
/// mends its reason, and each destructive order looks by itself whether its device is in use.
const LIMIT: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_secs(1);

/// Waits until nothing is left of it on both nodes: what is half done must not be judged, and not be done twice at once.
/// `records` is what the nodes have said just now, `resource` DRBD's. Gives whether there was something to wait for.
///
/// # Errors
/// A [`Failure`]: a node can't be asked (5), Ctrl-C (130).
pub fn over(
    pair: &Pair,
    resource: &str,
    records: &[NodeRecord; 2],
    cancel: &Cancel,
    tell: &dyn Fn(String) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut busy = records.each_ref().map(|record| record.orders > 0);
    if busy == [false, false] {
        return Ok(false);
    }
    let names = |busy: [bool; 2]| {
        let names: Vec<&str> =
            At::BOTH.into_iter().filter(|at| busy[at.index()]).map(|at| pair.at(at).name.as_str()).collect();
        names.join(" and ")
    };
    tell(format!("what an earlier run began on {} is still at work there: it is waited for", names(busy)))?;
    while busy != [false, false] {
        if cancel.requested() {
            let what = "interrupted while it waited for what an earlier run had begun".to_owned();
            return Err(Failure { exit: exit::INTERRUPTED, ..failed(None, what, "nothing was changed") }.into());
        }
        if began.elapsed() > LIMIT {
            tell(format!(
                "what an earlier run began on {} is still at work there after {} s; this run goes on beside it (look there: pgrep -af hapair-order)",
                names(busy),
                LIMIT.as_secs()
            ))?;
            return Ok(true);
        }
        std::thread::sleep(EVERY);
        let reads = [read(resource)];
        let outputs = pair.read_both([&reads, &reads]).map_err(unanswered(pair))?;
        busy = outputs.map(|outputs| outputs.first().is_some_and(|output| super::parse(output).orders > 0));
    }
    Ok(true)
}
