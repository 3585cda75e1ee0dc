//! `hapair drill` on the throw-away machines.

use std::cell::RefCell;

use anyhow::Result;

use super::lab::{Lab, Link, Machine};
use crate::cancel::Cancel;
use crate::cli::RehearseArgs;
use crate::command::{drill, say};
use crate::drill::Part;
use crate::drill::hand::{Hand, Plug};
use crate::setup::Setup;

/// The rehearsal's hand: at the bridges, the BMCs and the power switches.
struct AtTheMachines<'a> {
    lab: &'a mut dyn Lab,
    setup: &'a Setup,
}

impl Hand for AtTheMachines<'_> {
    fn pulls(&self) -> bool {
        true
    }

    fn set(&mut self, plug: Plug, up: bool) -> Result<()> {
        match plug {
            Plug::Links => [Link::Cluster, Link::Second].into_iter().try_for_each(|link| self.lab.set_link(link, up)),
            Plug::Bmcs => Machine::BOTH.into_iter().try_for_each(|machine| self.lab.set_bmc(machine, up)),
        }
    }

    /// Where there is fencing by SSH, a machine that has ended (a kernel of User-Mode Linux does when it panics) is switched
    /// on again: only a BMC can switch on what has ended.
    fn meanwhile(&mut self) -> Result<()> {
        for machine in Machine::BOTH {
            if self.setup.answers.fencing.method.uses_ssh() && !self.lab.is_on(machine) {
                say(&format!("{} has ended: it is switched on", self.setup.answers.nodes[machine.index()].name));
                self.lab.power_on(machine)?;
            }
        }
        Ok(())
    }
}

/// The drill, on the machines.
///
/// # Errors
/// As the drill's own.
pub fn run(args: &RehearseArgs, only: &[Part], lab: &mut dyn Lab, setup: &Setup, cancel: &Cancel) -> Result<u8> {
    let ground = format!(
        "A rehearsal on two throw-away machines ({}): these times are no measure of a real pair.",
        lab.engine()
    );
    let hand = RefCell::new(AtTheMachines { lab, setup });
    let options = drill::Options {
        only,
        report: args.drill_report.clone(),
        confirm: Some(setup.answers.cluster.clone()),
        format: args.format,
        cancel,
        resume: "hapair rehearse --drill (a rehearsal always begins anew)".to_owned(),
        ground: Some(ground),
        hand: &hand,
    };
    drill::run(setup, &options)
}
