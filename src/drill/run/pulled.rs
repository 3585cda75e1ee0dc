//! Harm by a hand at the machines.

use super::super::hand::Plug;
use super::super::outcome::Done;
use super::{Drill, Stop};

impl Drill<'_> {
    /// Pulls them, in this order; what fails ends the drill.
    pub(super) fn pull(&self, plugs: &[Plug], commands: &mut Vec<Done>) -> Result<(), Stop> {
        for plug in plugs {
            commands.push(Done { node: "both".to_owned(), command: plug.to_string() });
            self.note(plug.to_string())?;
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
