//! `hapair drill` on the throw-away machines.

use anyhow::Result;

use super::lab::{Lab, Machine};
use crate::cancel::Cancel;
use crate::cli::RehearseArgs;
use crate::command::{drill, say};
use crate::drill::Part;
use crate::setup::Setup;

/// The drill, on the machines. Where there is fencing by SSH, one that has ended (a kernel of User-Mode Linux does when it panics) is
/// switched on again.
///
/// # Errors
/// As the drill's own.
pub fn run(args: &RehearseArgs, only: &[Part], lab: &mut dyn Lab, setup: &Setup, cancel: &Cancel) -> Result<u8> {
    let engine = lab.engine();
    // Only a BMC can switch on what has ended.
    let by_hand = setup.answers.fencing.method.uses_ssh();
    let meanwhile = std::cell::RefCell::new(|| {
        for machine in Machine::BOTH {
            if by_hand && !lab.is_on(machine) {
                say(&format!("{} has ended: it is switched on", setup.answers.nodes[machine.index()].name));
                lab.power_on(machine)?;
            }
        }
        Ok(())
    });
    let options = drill::Options {
        only,
        report: args.drill_report.clone(),
        confirm: Some(setup.answers.cluster.clone()),
        format: args.format,
        cancel,
        resume: "hapair rehearse --drill (a rehearsal always begins anew)".to_owned(),
        ground: Some(format!(
            "A rehearsal on two throw-away machines ({engine}): these times are no measure of a real pair."
        )),
        meanwhile: &meanwhile,
    };
    drill::run(setup, &options)
}
