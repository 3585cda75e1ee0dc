//! What a machine is made of, in QEMU's words.

use std::path::{Path, PathBuf};

use super::super::lab::{Link, Machine};

/// Memory of a machine: dom0 and a small guest or two.
pub(super) const MEMORY_MIB: u64 = 2048;

/// The parts of one machine that are its own.
#[derive(Debug)]
pub(super) struct Hardware {
    pub(super) machine: Machine,
    pub(super) name: String,
    pub(super) disk: PathBuf,
    /// A small disk that the other machine has too, for SBD.
    pub(super) shared: Option<PathBuf>,
    /// File that gets all that the machine prints.
    pub(super) console: PathBuf,
    /// Folder for sockets; its path has to be short.
    pub(super) sockets: PathBuf,
    /// Port on 127.0.0.1 that leads to the machine's SSH.
    pub(super) port: u16,
    /// For the cluster's link and the second one, the UDP port on 127.0.0.1 of each machine's end.
    pub(super) wires: [[u16; 2]; 2],
}

impl Hardware {
    /// Socket of the machine's monitor.
    pub(super) fn monitor(&self) -> PathBuf {
        self.sockets.join(format!("monitor-{}", self.machine.index() + 1))
    }

    /// Socket of the machine's card on the BMCs' network.
    pub(super) fn management(&self) -> PathBuf {
        self.sockets.join(format!("management-{}", self.machine.index() + 1))
    }

    /// Socket at the far end of that cable.
    pub(super) fn far_end(&self) -> PathBuf {
        self.sockets.join(format!("far-end-{}", self.machine.index() + 1))
    }

    /// QEMU's arguments, but for the processor.
    pub(super) fn arguments(&self) -> Vec<String> {
        let number = self.machine.index() + 1;
        let mut words = ["-machine", "pc", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none"]
            .map(str::to_owned)
            .to_vec();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-m", MEMORY_MIB.to_string());
        add("-name", escaped(&self.name));
        add("-uuid", format!("00000000-0000-4000-8000-{number:012}"));
        add("-rtc", "base=utc".to_owned());
        add("-qmp", format!("unix:{},server=on,wait=off", path(&self.monitor())));
        // Appended to: a console's last words before a power cut are worth keeping.
        add("-chardev", format!("file,id=console,path={},append=on", path(&self.console)));
        add("-serial", "chardev:console".to_owned());
        add("-device", "virtio-rng-pci,addr=0x7".to_owned());
        // Behind all else on the bus, so that the network cards keep their slots and with them their names. Nothing
        // happens before somebody opens it.
        add("-device", "i6300esb,addr=0x8".to_owned());
        // The host's page cache is the disk's: it survives QEMU's end, and only hapair's host could lose it.
        add(
            "-drive",
            format!(
                "file={},if=none,id=disk,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap",
                path(&self.disk)
            ),
        );
        add("-device", "virtio-scsi-pci,id=scsi,addr=0x5".to_owned());
        add(
            "-device",
            format!("scsi-hd,drive=disk,bus=scsi.0,rotation_rate=1,bootindex=0,serial={}", serial(self.machine)),
        );
        if let Some(shared) = &self.shared {
            // What one has written the other reads: both go through the host's page cache. Either may open it (`share-rw`).
            add("-drive", format!("file={},if=none,id=shared,format=raw,cache=writeback", path(shared)));
            add("-device", format!("scsi-hd,drive=shared,bus=scsi.0,share-rw=on,serial={SHARED}"));
        }
        add("-netdev", format!("user,id=management,ipv6=off,hostfwd=tcp:127.0.0.1:{}-:22", self.port));
        add("-device", format!("virtio-net-pci,romfile=,netdev=management,mac=52:54:00:77:00:{number:02x},addr=0x3"));
        let far_end = format!(
            "local.type=unix,local.path={},remote.type=unix,remote.path={}",
            path(&self.management()),
            path(&self.far_end())
        );
        for (id, card, ends, slot, middle) in [
            (cable(Link::Cluster), card(Link::Cluster), self.wire(0), 4, 1),
            (cable(Link::Second), card(Link::Second), self.wire(1), 6, 2),
            ("bmcs", "card-bmcs", far_end, 9, 3),
        ] {
            add("-netdev", format!("dgram,id={id},{ends}"));
            add(
                "-device",
                format!(
                    "virtio-net-pci,id={card},romfile=,netdev={id},mac=52:54:00:77:{middle:02x}:{number:02x},addr={slot:#x}"
                ),
            );
        }
        words
    }

    /// Both ends of a link. UDP, since a frame for a machine that takes none just now must be lost as on a wire: a socket of the
    /// file system holds ten frames and then says "try again", which QEMU does at once and for ever, at the cost of the machine
    /// that sends.
    fn wire(&self, link: usize) -> String {
        let [here, there] = [self.machine, other(self.machine)].map(|machine| self.wires[link][machine.index()]);
        let end = |side: &str, port: u16| format!("{side}.type=inet,{side}.host=127.0.0.1,{side}.port={port}");
        format!("{},{}", end("local", here), end("remote", there))
    }
}

/// Name of the network card at the end of a link, as [`super::monitor::Monitor::set_link`] wants it.
pub(super) fn card(link: Link) -> &'static str {
    match link {
        Link::Cluster => "card-cluster",
        Link::Second => "card-second",
    }
}

fn cable(link: Link) -> &'static str {
    match link {
        Link::Cluster => "cluster",
        Link::Second => "second",
    }
}

/// Serial number of the shared disk, the same from both.
const SHARED: &str = "S1";
/// Its name, as udev makes it.
pub(super) const SHARED_DISK: &str = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_S1";
/// The machine's watchdog: it has no other.
pub(super) const WATCHDOG: &str = "/dev/watchdog";

/// Serial number of a machine's disk; udev makes it `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_A1`.
pub(super) fn serial(machine: Machine) -> &'static str {
    match machine {
        Machine::First => "A1",
        Machine::Second => "B1",
    }
}

fn other(machine: Machine) -> Machine {
    match machine {
        Machine::First => Machine::Second,
        Machine::Second => Machine::First,
    }
}

fn path(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// QEMU's options are separated by commas; a comma inside is doubled.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sends_the_other_receives() {
        let hardware = Machine::BOTH.map(|machine| Hardware {
            machine,
            name: "n".into(),
            disk: "/s/a,b".into(),
            shared: (machine == Machine::First).then(|| "/s/d".into()),
            console: "/s/c".into(),
            sockets: "/s".into(),
            port: 20022,
            wires: [[20001, 20002], [20003, 20004]],
        });
        let [first, second] = hardware.map(|one| one.arguments().join(" "));
        let wire = |id: &str, here: u16, there: u16| {
            format!(
                "dgram,id={id},local.type=inet,local.host=127.0.0.1,local.port={here},remote.type=inet,remote.host=127.0.0.1,remote.port={there}"
            )
        };
        assert!(first.contains(&wire("cluster", 20001, 20002)), "{first}");
        assert!(second.contains(&wire("cluster", 20002, 20001)), "{second}");
        assert!(second.contains(&wire("second", 20004, 20003)), "{second}");
        assert!(first.contains("file=/s/a,,b,if=none"), "{first}");
        assert!(first.contains("addr=0x4") && first.contains("addr=0x6"), "{first}");
        assert!(first.contains("local.path=/s/management-1,remote.type=unix,remote.path=/s/far-end-1"), "{first}");
        assert!(first.contains("file=/s/d,if=none,id=shared") && first.contains("share-rw=on,serial=S1"), "{first}");
        assert!(!second.contains("shared"), "{second}");
        assert!(first.contains("-device i6300esb,addr=0x8"), "{first}");
    }
}
