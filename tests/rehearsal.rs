//! The whole rehearsal on two User-Mode Linux machines: the real install from fresh machines to the end, and its proofs.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One at a time: each needs the memory of two machines.
static MACHINES: Mutex<()> = Mutex::new(());

/// What has to be seen in the output, in this order.
const PROOFS: [&str; 13] = [
    "hapair check, on the fresh machines:",
    "proof: no secret was seen in a list of processes",
    "proof: both nodes are Primary and UpToDate",
    "proof: /drbd0 is mounted on both, and what one writes the other reads",
    "proof: the cluster is online, with quorum and with fencing",
    "proof: each node was really switched off by the other one, and came back as it was",
    "proof: vm01's stand-in moved to the other node and back by stop and start",
    "proof: after the power of both was cut, the pair and its VMs came back by themselves",
    "proof: a second install changes nothing",
    "proof: `hapair check` finds nothing on the finished pair that it did not find before",
    "Nothing to do: everything is as it must be.",
    "time per step",
    "all proofs seen",
];

/// Two kills on the way: each costs a look at what is there, and no wait for a machine. `make matrix` does all of them.
/// The packages are there from the start, for the sake of time: `make rehearse` installs them on the machines.
#[test]
fn two_fresh_machines_become_a_pair_though_the_installer_is_killed() {
    let mut proofs =
        vec![PROOFS[0], "proof: the installer killed in each step, between intent and result", "2 of 2 places"];
    proofs.extend(&PROOFS[1..]);
    rehearse(&["--preinstalled", "--harm", "kill-steps", "--harm-in", "mkfs,vms"], &proofs);
}

#[test]
#[ignore = "minutes more; `make matrix` runs it"]
fn killed_in_each_step_it_goes_on_and_it_can_be_taken_back() {
    let mut proofs = vec![PROOFS[0], "proof: the installer killed in each step, between intent and result"];
    proofs.extend(&PROOFS[1..8]);
    proofs.extend(["proof: undo killed in each step, between intent and result", "proof: undo took back"]);
    proofs.extend(&PROOFS[8..]);
    rehearse(&["--preinstalled", "--harm", "kill-steps", "--undo"], &proofs);
}

fn rehearse(more: &[&str], proofs: &[&str]) {
    let _alone = MACHINES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Its progress goes to this test's own stderr: a run of minutes should show where it is.
    let output = Command::new(env!("CARGO_BIN_EXE_hapair"))
        .args(["rehearse", "--engine", "uml"])
        .args(more)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{said}", output.status);
    let mut rest = said.as_str();
    for proof in proofs {
        let Some(place) = rest.find(proof) else { panic!("not seen (in this order): {proof}\n{said}") };
        rest = &rest[place..];
    }
    // The figures of this run belong into the log.
    let mut log = std::io::stderr();
    std::io::Write::write_all(&mut log, said.as_bytes()).unwrap();
}
