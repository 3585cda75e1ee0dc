//! Fencing that switched off something else than it was told to.

use super::{Case, Fields, Kept};
use crate::node::At;

/// A node that was switched off is gone with the order, or some seconds behind it. One that still answers so long after the
/// cluster's word, in seconds, was not hit.
const GRACE: u64 = 120;
/// Seconds that an order may take, where the note does not say how long it took: the run was ended meanwhile.
const LONGEST: u64 = 900;

/// What was hit instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What it is, in words.
    pub what: String,
    /// What to do.
    pub next: String,
}

impl Case {
    /// The node that ordered it was switched off.
    pub(super) fn mixed_up(&self, kept: &[Kept; 2], attempt: &Fields) -> Option<Wrong> {
        let boot = |at: At| kept[at.index()].boot.as_str();
        let field = |key: &str| attempt.get(key).map_or("", String::as_str);
        let (name, shooter) = (self.name(), self.by());
        // Noted and never ordered (the run was ended in between), or refused by the device: the boot was somebody else's.
        if field("ordered") != "yes" {
            return None;
        }
        let now = boot(self.victim.peer());
        if now.is_empty() || now == field("own-boot") {
            return None;
        }
        let next = format!(
            "{} If they are right and something else rebooted {shooter}: `rm /var/lib/hapair/fencing-{name}.trying` there, and \
             run this again",
            self.addresses()
        );
        let wrong = |what: String| Some(Wrong { what, next });
        let alone = boot(self.victim) == field("old-boot");
        if field("way") == "cut" {
            // Alone: the victim was the quicker one, and that is no mistake.
            if alone {
                return None;
            }
            return wrong(format!(
                "with the cluster link cut both nodes were switched off: {shooter} and {name} have shot each other, so the \
                 delay of one of their fencing devices (pcmk_delay_base) is too short for these machines or is gone; or the \
                 devices are mixed up"
            ));
        }
        wrong(if alone {
            format!(
                "the fencing device of {name} switches {shooter} off: {shooter} ordered that {name} be switched off, and was \
                 rebooted itself (boot id {} became {now}), while {name} ran on",
                field("own-boot")
            )
        } else {
            format!(
                "{shooter} ordered that {name} be switched off, and both were rebooted: the two fencing devices are mixed up, \
                 or {shooter} was switched off by something else meanwhile"
            )
        })
    }

    /// The cluster says that it was done, and whom it should have hit answers and was never down. `fenced`: when the victim was
    /// last fenced with success, as the cluster has it.
    pub(super) fn ran_on(&self, kept: &[Kept; 2], attempt: &Fields, fenced: &str) -> Option<Wrong> {
        let (name, shooter) = (self.name(), self.by());
        let (victim, by) = (&kept[self.victim.index()], &kept[self.victim.peer().index()]);
        let field = |key: &str| attempt.get(key).map_or("", String::as_str);
        let number = |key: &str| field(key).parse::<u64>().ok();
        let told = field("ordered") == "yes" && !fenced.is_empty() && fenced != field("fenced-before");
        let same = !victim.boot.is_empty() && victim.boot == field("old-boot") && by.boot == field("own-boot");
        if !told || !same {
            return None;
        }
        let since = by.uptime.checked_sub(number("uptime")? + number("seconds").unwrap_or(LONGEST))?;
        (since >= GRACE).then(|| Wrong {
            what: format!(
                "the fencing device of {name} switches some other machine, or none: {shooter} ordered that {name} be switched \
                 off, the cluster says that it was done ({fenced}), and {since} s later {name} answers and was never down (its \
                 boot id is {} as before)",
                victim.boot
            ),
            next: format!(
                "{} Look for the machine that was switched off instead. Then boot {name} anew, since the cluster takes it for \
                 dead and has left it, and run this again",
                self.addresses()
            ),
        })
    }

    fn addresses(&self) -> String {
        format!(
            "give {} and {} each the address of its own BMC (or outlet) in `fencing` of the answers file; look at `ipmitool -H \
             ADDRESS ... mc guid` and `dmidecode -s system-uuid`, or at the BMC's own page.",
            self.nodes[0], self.nodes[1]
        )
    }
}
