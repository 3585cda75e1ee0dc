//! Harm by a hand at the machines.

use super::super::hand::Plug;
use super::super::outcome::Done;
use super::{Drill, Stop};

impl Drill<'_> {
    /// Whether these are pulled by a hand, and not cut by commands.
    pub(super) fn by_hand(&self, plugs: &[Plug]) -> bool {
        !plugs.is_empty() && self.hand.borrow().pulls()
    }

    /// Pulls them, in this order; what fails ends the drill.
    pub(super) fn pull(&self, plugs: &[Plug], commands: &mut Vec<Done>) -> Result<(), Stop> {
        for plug in plugs {
            commands.push(Done { node: "both".to_owned(), command: pulled(*plug) });
            self.note(pulled(*plug))?;
            self.hand.borrow_mut().set(*plug, false)?;
        }
        Ok(())
    }

    /// Puts in again whatever may be pulled.
    pub(super) fn plug_in(&self) -> Result<(), Stop> {
        if self.hand.borrow().pulls() {
            for plug in Plug::ALL {
                self.hand.borrow_mut().set(plug, true)?;
            }
        }
        Ok(())
    }
}

/// What was done, for the report.
pub(super) fn pulled(plug: Plug) -> String {
    format!("{plug} are pulled by hand")
}
