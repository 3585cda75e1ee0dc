use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use super::super::super::lab::Machine;
use super::super::emulator::{Bug, Emulator, found};
use super::*;
use crate::rehearsal::bmc::{Bmc, Chassis as _};
use crate::rehearsal::command;
use crate::rehearsal::qemu::free_ports;

/// Tells on its serial port that it boots, and then waits for ever:
/// `mov $0x3f8,%dx; mov $'B',%al; out %al,(%dx); hlt; jmp .-1`.
const BOOTS: [u8; 9] = [0xba, 0xf8, 0x03, 0xb0, b'B', 0xee, 0xf4, 0xeb, 0xfd];

fn hardware(folder: &Path) -> Hardware {
    let [port, wires @ ..] = free_ports::<5>().unwrap();
    Hardware {
        machine: Machine::First,
        name: "node1".to_owned(),
        disk: folder.join("disk"),
        shared: None,
        console: folder.join("console"),
        sockets: folder.to_owned(),
        port,
        wires: [[wires[0], wires[1]], [wires[2], wires[3]]],
    }
}

/// How often a machine has booted, as soon as it is as often as `times`.
fn boots(console: &Path, times: usize) -> usize {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = fs::read_to_string(console).unwrap_or_default().matches('B').count();
        if seen >= times || Instant::now() > limit {
            return seen;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// ipmitool over the wire, a real ipmi_sim, and a real machine with the lab's own hardware.
#[test]
fn a_bmc_really_switches_a_qemu() {
    let Some(program) = found("qemu-system-x86_64") else { return };
    let folder = tempfile::tempdir().unwrap();
    let hardware = hardware(folder.path());
    let mut disk = vec![0; 1 << 20];
    disk[..BOOTS.len()].copy_from_slice(&BOOTS);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&hardware.disk, disk).unwrap();
    let emulator = Emulator { program: program.clone(), version: String::new(), kvm: false, bug: Bug::Unknown };
    let mut arguments = emulator.processor();
    arguments.extend(hardware.arguments());
    let chassis = Arc::new(Chassis::new(program, arguments, hardware, folder.path().join("log")));
    let console = chassis.hardware.console.clone();
    let (address, [port]) = (Ipv4Addr::LOCALHOST.to_string(), free_ports().unwrap());
    let mut bmc =
        Bmc::start(&folder.path().join("bmc"), &address, port, Arc::clone(&chassis) as _, Duration::from_secs(1))
            .unwrap();
    let (port, password) = (port.to_string(), format!("IPMI_PASSWORD={}", bmc.access().password.reveal()));
    let user = bmc.access().user.clone();
    let tell = |words: &[&str]| {
        let mut all = vec![password.as_str(), "ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "4"];
        all.extend(["-H", &address, "-p", &port, "-U", &user, "-E", "power"]);
        all.extend(words);
        command::run("ask a BMC", "env", &all)
    };
    let limit = Instant::now() + Duration::from_secs(60);
    let mut state = tell(&["status"]);
    while state.is_err() && Instant::now() < limit {
        state = tell(&["status"]);
    }
    assert_eq!(state.unwrap(), "Chassis Power is off\n");

    tell(&["on"]).unwrap();
    assert_eq!(boots(&console, 1), 1);
    assert_eq!(tell(&["status"]).unwrap(), "Chassis Power is on\n");
    chassis.set_link(Link::Cluster, false).unwrap();

    tell(&["reset"]).unwrap();
    assert_eq!(boots(&console, 2), 2);
    assert!(chassis.is_on());

    tell(&["off"]).unwrap();
    assert!(!chassis.is_on());
    bmc.end().unwrap();
    assert!(tell(&["status"]).is_err());
}

/// In QEMU's place: notes what its monitor is told.
const NOTES: &str = r#"
use strict; use IO::Socket::UNIX;
unlink $ARGV[0];
my $monitor = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die "listen: $!";
while (my $who = $monitor->accept) {
    print $who qq({"QMP": {}}\n); $who->flush;
    while (my $order = <$who>) {
        open my $notes, ">>", $ARGV[1] or die "notes: $!";
        print $notes $order; close $notes;
        print $who qq({"return": {}}\n); $who->flush;
    }
}
"#;

/// A BMC that gives power must not mend what the lab has cut, whether the machine had power then or not.
#[test]
fn a_cut_link_is_cut_after_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let (hardware, notes) = (hardware(folder.path()), folder.path().join("notes"));
    let words = ["-e".into(), NOTES.into(), hardware.monitor().display().to_string(), notes.display().to_string()];
    let chassis = Chassis::new("perl".into(), words.to_vec(), hardware, folder.path().join("log"));
    let told = || {
        let text = fs::read_to_string(&notes).unwrap_or_default();
        fs::write(&notes, "").unwrap();
        let links: Vec<String> = text
            .lines()
            .filter(|line| line.contains("set_link"))
            .map(|line| {
                let order: serde_json::Value = serde_json::from_str(line).unwrap();
                format!("{} {}", order["arguments"]["name"].as_str().unwrap(), order["arguments"]["up"])
            })
            .collect();
        links.join(", ")
    };
    chassis.set_link(Link::Cluster, false).unwrap();
    chassis.power_on().unwrap();
    assert_eq!(told(), "card-cluster false, card-second true");
    // It has power: nothing is done again.
    chassis.power_on().unwrap();
    assert_eq!(told(), "");
    chassis.set_link(Link::Second, false).unwrap();
    assert_eq!(told(), "card-second false");
    chassis.power_off().unwrap();
    chassis.power_on().unwrap();
    assert_eq!(told(), "card-cluster false, card-second false");
    chassis.power_off().unwrap();
    chassis.set_link(Link::Cluster, true).unwrap();
    assert_eq!(told(), "");
    chassis.power_on().unwrap();
    assert_eq!(told(), "card-cluster true, card-second false");
}

#[test]
fn why_it_does_not_start_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let hardware = hardware(folder.path());
    fs::write(&hardware.console, "Kernel panic\n").unwrap();
    let words = vec!["-e".to_owned(), "die 'no such disk'".to_owned()];
    let chassis = Chassis::new("perl".into(), words, hardware, folder.path().join("log"));
    let error = format!("{:#}", chassis.power_on().unwrap_err());
    assert!(error.contains("switch node1 on") && error.contains("Kernel panic"), "{error}");
    assert!(error.contains("no such disk"), "{error}");
    assert!(!chassis.is_on());
}
