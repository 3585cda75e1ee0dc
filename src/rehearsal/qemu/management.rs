//! The network of the BMCs: a cable of its own from each machine, and both BMCs at its far end, at the port that IPMI has
//! everywhere. QEMU's own network can't lead there: it leaves the port as it is, and port 623 of the host is root's alone
//! and there only once. So the far end is here: ARP is answered, and IPMI's datagrams are handed on to where the BMCs listen.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::bmc;
use super::super::lab::Machine;

/// Address of a machine. The network is one that is set aside for laboratories (RFC 2544).
pub(super) fn address(machine: Machine) -> Ipv4Addr {
    match machine {
        Machine::First => Ipv4Addr::new(198, 18, 77, 1),
        Machine::Second => Ipv4Addr::new(198, 18, 77, 2),
    }
}

/// Address of a machine's BMC, as both machines see it.
pub(super) fn bmc(machine: Machine) -> Ipv4Addr {
    BMCS[machine.index()]
}

const BMCS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 77, 101), Ipv4Addr::new(198, 18, 77, 102)];

/// How long answers are waited for behind the last one: longer than any pause within a session of IPMI (60 s).
const IDLE: Duration = Duration::from_secs(90);
/// How soon a thread notices that the lab is gone.
const LOOK: Duration = Duration::from_secs(1);
/// Longest frame of an Ethernet.
const FRAME: usize = 1514;

type Mac = [u8; 6];

/// The far end of one machine's cable; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct FarEnd {
    ends: Arc<AtomicBool>,
}

impl FarEnd {
    /// Listens at the socket `here` for the machine whose card is at the socket `there`, and hands on what it has for the BMCs
    /// to these UDP ports of 127.0.0.1.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub(super) fn start(here: &Path, there: &Path, ports: [u16; 2]) -> Result<FarEnd> {
        let socket = UnixDatagram::bind(here).with_context(|| format!("listen at {}", here.display()))?;
        socket.set_read_timeout(Some(LOOK)).context("set a time limit for frames")?;
        let ends = Arc::new(AtomicBool::new(false));
        let cable = Cable { socket, there: there.to_owned(), ends: Arc::clone(&ends) };
        thread::Builder::new()
            .name("management".to_owned())
            .spawn(move || Arc::new(cable).serve(ports))
            .context("start the management network's thread")?;
        Ok(FarEnd { ends })
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

struct Cable {
    socket: UnixDatagram,
    there: PathBuf,
    ends: Arc<AtomicBool>,
}

impl Cable {
    fn serve(self: Arc<Self>, ports: [u16; 2]) {
        // A socket for each port of the machine, as each program there has one: else answers would go to the wrong one.
        let mut ways: HashMap<Ends, Weak<UdpSocket>> = HashMap::new();
        let mut room = [0; FRAME];
        while !self.ended() {
            let Ok(length) = self.socket.recv(&mut room) else { continue };
            let frame = &room[..length];
            if let Some(answer) = who_has(frame) {
                self.send(&answer);
            } else if let Some((ends, words)) = datagram(frame) {
                let way = match ways.get(&ends).and_then(Weak::upgrade) {
                    Some(way) => way,
                    None => {
                        let Ok(way) = self.way(ends, ports[ends.bmc]) else { continue };
                        ways.retain(|_, way| way.strong_count() > 0);
                        ways.insert(ends, Arc::downgrade(&way));
                        way
                    }
                };
                // Nobody hears it while the BMC's plug is pulled, and nobody says so: as on metal.
                let _ = way.send(words);
            }
        }
    }

    /// Opens a way to a BMC whose answers go back to where the question came from.
    fn way(self: &Arc<Self>, ends: Ends, port: u16) -> io::Result<Arc<UdpSocket>> {
        let way = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        way.connect((Ipv4Addr::LOCALHOST, port))?;
        way.set_read_timeout(Some(LOOK))?;
        let (cable, answers) = (Arc::clone(self), Arc::clone(&way));
        thread::Builder::new().name("ipmi".to_owned()).spawn(move || {
            let mut room = [0; FRAME - HEADERS];
            let mut last = Instant::now();
            while last.elapsed() < IDLE && !cable.ended() {
                // An error is silence, or a BMC whose plug is pulled.
                if let Ok(length) = answers.recv(&mut room) {
                    cable.send(&answer(ends, &room[..length]));
                    last = Instant::now();
                }
            }
        })?;
        Ok(way)
    }

    fn send(&self, frame: &[u8]) {
        // A machine without power hears nothing.
        let _ = self.socket.send_to(frame, &self.there);
    }

    fn ended(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }
}

/// Between whom a datagram goes: a program in the machine, and a BMC (0 or 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    mac: Mac,
    address: [u8; 4],
    port: u16,
    bmc: usize,
}

/// Lengths of the headers of Ethernet, IPv4 (without options) and UDP.
const HEADERS: usize = 14 + 20 + 8;
const IPV4: [u8; 2] = [8, 0];
const ARP: [u8; 2] = [8, 6];
const UDP: u8 = 17;

/// A hardware address of its own for each BMC, in the range of the machines' cards.
fn mac(bmc: usize) -> Mac {
    [0x52, 0x54, 0, 0x77, 4, u8::from(bmc == 1) + 1]
}

fn which(address: &[u8]) -> Option<usize> {
    BMCS.iter().position(|bmc| bmc.octets() == address)
}

/// The answer to an ARP request for a BMC's address (RFC 826).
fn who_has(frame: &[u8]) -> Option<Vec<u8>> {
    // Ethernet, IPv4, lengths 6 and 4, request.
    let request = [0, 1, 8, 0, 6, 4, 0, 1];
    if frame.get(12..14)? != ARP || frame.get(14..22)? != request {
        return None;
    }
    let (asker, target) = (frame.get(22..32)?, frame.get(38..42)?);
    let own = mac(which(target)?);
    let parts: [&[u8]; 8] = [&asker[..6], &own, &ARP, &[0, 1, 8, 0, 6, 4, 0, 2], &own, target, asker, &[0; 18]];
    Some(parts.concat())
}

/// A datagram for a BMC's IPMI port, with its content.
fn datagram(frame: &[u8]) -> Option<(Ends, &[u8])> {
    let packet = frame.get(14..).filter(|_| frame[12..14] == IPV4)?;
    let header = usize::from(packet.first().filter(|first| *first >> 4 == 4)? & 15) * 4;
    // IPMI's datagrams are never in pieces.
    if header < 20 || *packet.get(9)? != UDP || u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0 {
        return None;
    }
    let bmc = which(packet.get(16..20)?)?;
    let udp = packet.get(header..)?;
    let number = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    if number(2)? != bmc::PORT {
        return None;
    }
    let ends =
        Ends { mac: frame[6..12].try_into().ok()?, address: packet[12..16].try_into().ok()?, port: number(0)?, bmc };
    // A short frame is filled up behind its end.
    Some((ends, udp.get(8..usize::from(number(4)?))?))
}

/// What a BMC answers, as a frame.
fn answer(ends: Ends, words: &[u8]) -> Vec<u8> {
    // No longer than a frame is.
    let length = |more: usize| u16::try_from(words.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    // Not in pieces, 64 hops at most.
    let mut ip =
        [&[0x45, 0][..], &length(28), &[0, 0, 0x40, 0, 64, UDP, 0, 0], &BMCS[ends.bmc].octets(), &ends.address]
            .concat();
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let (from, to) = (bmc::PORT.to_be_bytes(), ends.port.to_be_bytes());
    // A UDP checksum of zero says that there is none (RFC 768).
    [&ends.mac[..], &mac(ends.bmc), &IPV4, &ip, &from, &to, &length(8), &[0, 0], words].concat()
}

/// The checksum of an IPv4 header whose own checksum is zero (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let sum = header.chunks_exact(2).fold(0_u16, |sum, two| {
        let (sum, carry) = sum.overflowing_add(u16::from_be_bytes([two[0], two[1]]));
        // Never overflows again: behind a carry the sum is below its maximum.
        sum + u16::from(carry)
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Mac = [0x52, 0x54, 0, 0x77, 3, 1];

    fn request(target: Ipv4Addr) -> Vec<u8> {
        let parts: [&[u8]; 7] = [
            &[0xff; 6],
            &MACHINE,
            &ARP,
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &MACHINE,
            &[198, 18, 77, 1, 0, 0, 0, 0, 0, 0],
            &target.octets(),
        ];
        parts.concat()
    }

    /// A datagram from the first machine, filled up to the shortest frame as a card may do.
    fn question(target: Ipv4Addr, from: u16, to: u16, words: &[u8]) -> Vec<u8> {
        let length = |more: usize| u16::try_from(words.len() + more).unwrap().to_be_bytes();
        let mut frame =
            [&[0; 6][..], &MACHINE, &IPV4, &[0x45, 0], &length(28), &[0, 1, 0x40, 0, 64, UDP, 0, 0]].concat();
        frame.extend([198, 18, 77, 1]);
        frame.extend(target.octets());
        frame.extend([from.to_be_bytes(), to.to_be_bytes(), length(8), [0, 0]].concat());
        frame.extend(words);
        frame.resize(frame.len().max(60), 0);
        frame
    }

    /// The header of RFC 1071's readers' usual example (192.168.0.1 to 192.168.0.199, UDP).
    #[test]
    fn the_checksum_is_that_of_ipv4() {
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(checksum(&header), 0xb861);
    }

    #[test]
    fn a_machine_finds_both_bmcs_and_each_program_gets_its_own_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("far"), folder.path().join("card"));
        let listening = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let ports = listening.each_ref().map(|bmc| bmc.local_addr().unwrap().port());
        let card = UnixDatagram::bind(&there).unwrap();
        card.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let end = FarEnd::start(&here, &there, ports).unwrap();
        let send = |frame: &[u8]| card.send_to(frame, &here).unwrap();
        let mut room = [0; FRAME];
        let mut heard = || {
            let length = card.recv(&mut room).unwrap();
            room[..length].to_vec()
        };

        // What is not for a BMC gets no answer: the next that is heard is that to the last request.
        send(&request(Ipv4Addr::new(198, 18, 77, 2)));
        send(&[1, 2, 3]);
        send(&[]);
        send(&request(bmc(Machine::Second)));
        let found = heard();
        assert_eq!((&found[..6], &found[6..12]), (&MACHINE[..], &mac(1)[..]));
        assert_eq!(&found[20..32], [&[0, 2][..], &mac(1), &[198, 18, 77, 102]].concat());

        send(&question(bmc(Machine::Second), 4001, 624, b"other port"));
        send(&question(bmc(Machine::Second), 4001, 623, b"one"));
        send(&question(bmc(Machine::Second), 4002, 623, b"two"));
        let mut asked = [0; 100];
        let mut from = Vec::new();
        for words in [b"one", b"two"] {
            let (length, peer) = listening[1].recv_from(&mut asked).unwrap();
            assert_eq!(&asked[..length], words);
            from.push(peer);
        }
        listening[1].send_to(b"for two", from[1]).unwrap();
        let frame = heard();
        assert_eq!((&frame[..6], &frame[6..12]), (&MACHINE[..], &mac(1)[..]));
        assert_eq!(checksum(&frame[14..34]), 0, "the header adds up");
        assert_eq!(&frame[26..34], [198, 18, 77, 102, 198, 18, 77, 1]);
        assert_eq!(&frame[34..38], [623_u16.to_be_bytes(), 4002_u16.to_be_bytes()].concat());
        assert_eq!(&frame[38..40], 15_u16.to_be_bytes());
        assert_eq!(&frame[42..], b"for two");
        listening[1].send_to(b"for one", from[0]).unwrap();
        assert!(heard().ends_with(b"for one"));

        send(&question(bmc(Machine::First), 4001, 623, b"first"));
        let (length, _) = listening[0].recv_from(&mut asked).unwrap();
        assert_eq!(&asked[..length], b"first");
        drop(end);
    }
}
