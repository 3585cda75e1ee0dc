//! What really passes between the two nodes: ports, packets of full size, round trips and bytes.
//!
//! One node listens for a few seconds and the other talks to it, then the other way round. Both are one small perl program
//! (`wire.pl`, which needs nothing but perl-base), which ends by itself.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::answers::{Answers, Layout};
use crate::facts::Facts;
use crate::node::{At, Cmd, Lost, Output, Pair};

const WIRE: &str = include_str!("wire.pl");

/// Seconds after which a listener ends, whatever happens.
const LISTEN: u64 = 45;
/// Seconds that the talker waits for the listener to come up: on an emulated node a login and perl take that long.
const PATIENCE: u64 = 15;
/// Seconds of sending.
const LOAD: &str = "0.5";

/// A port that the pair needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// TCP, not UDP.
    pub tcp: bool,
    /// Number.
    pub number: u16,
    /// Who uses it.
    pub whose: &'static str,
}

impl Port {
    /// `TCP 7788 (DRBD)`.
    pub fn words(self) -> String {
        format!("{} {} ({})", if self.tcp { "TCP" } else { "UDP" }, self.number, self.whose)
    }

    fn key(self) -> &'static str {
        if self.tcp { "tcp" } else { "udp" }
    }
}

/// The ports that this pair needs, without that of SSH.
pub fn ports(answers: &Answers, messaging: &str) -> Vec<Port> {
    let mut ports = vec![Port { tcp: true, number: answers.storage.port, whose: "DRBD" }];
    if answers.storage.layout == Layout::Ocfs2 {
        ports.push(Port { tcp: true, number: 7777, whose: "OCFS2" });
    }
    ports.push(cluster_port(messaging));
    ports
}

fn cluster_port(messaging: &str) -> Port {
    if messaging == "heartbeat" {
        Port { tcp: false, number: 694, whose: "Heartbeat" }
    } else {
        Port { tcp: false, number: 5405, whose: "Corosync" }
    }
}

/// Ports with a socket on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    tcp: BTreeSet<u16>,
    udp: BTreeSet<u16>,
}

impl Used {
    /// The read.
    pub fn read() -> Cmd {
        Cmd::read(["head", "-v", "-n", "2000", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"])
    }

    /// `   0: 0100007F:1E6C 00000000:0000 0A ...`: local address, remote address and state, proc_net(5). A TCP connection
    /// that is only being ended (TIME_WAIT lasts a minute, after our own look too) takes no port from anybody.
    pub fn parse(text: &str) -> Self {
        const ESTABLISHED: &str = "01";
        const LISTEN: &str = "0A";
        let mut used = Self::default();
        let mut tcp = true;
        for line in text.lines() {
            if line.starts_with("==> ") {
                tcp = line.contains("/tcp");
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, ..] = words[..] else { continue };
            let Some((_, port)) = local.rsplit_once(':') else { continue };
            let Ok(number) = u16::from_str_radix(port, 16) else { continue };
            if !tcp {
                used.udp.insert(number);
            } else if state == ESTABLISHED || state == LISTEN {
                used.tcp.insert(number);
            }
        }
        used
    }

    /// Whether there is a socket on a port.
    pub fn has(&self, port: Port) -> bool {
        if port.tcp { self.tcp.contains(&port.number) } else { self.udp.contains(&port.number) }
    }
}

/// What one node found when it talked to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// Port, address and what came of it: `open`, `refused`, `silent`, `unreachable`, `other`.
    pub ports: Vec<(Port, Ipv4Addr, String)>,
    /// Address, size of a packet that may not be cut, and what came of it: `open`, `silent`, `too-long`.
    pub packets: Vec<(Ipv4Addr, u32, String)>,
    /// Best round trip, in microseconds.
    pub latency: Option<u64>,
    /// Bytes per second that arrived.
    pub rate: Option<u64>,
    /// Why nothing was measured at all: perl is missing, or the listener could not be made.
    pub failed: Option<String>,
}

impl Talk {
    /// Everything that was tried passed.
    fn is_whole(&self) -> bool {
        self.failed.is_none()
            && self.ports.iter().all(|(_, _, result)| result == "open")
            && self.packets.iter().all(|(_, _, result)| result == "open")
    }
}

/// What passes between the nodes, as seen by each; empty where nothing was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wire(pub [Talk; 2]);

impl Wire {
    /// Bytes per second over the link of DRBD, in the slower direction.
    pub fn rate(&self) -> Option<u64> {
        self.0.iter().filter_map(|talk| talk.rate).min()
    }
}

const SSH: Port = Port { tcp: true, number: 22, whose: "SSH, for live migration" };

/// What is to be tried from one node to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trial {
    listen: Vec<String>,
    talk: Vec<String>,
}

/// Only ports that nobody has on either node are tried: what has one already is either ours, and works, or a finding.
fn trial(answers: &Answers, messaging: &str, facts: &[Facts; 2], used: &[Used; 2], from: At) -> Trial {
    let (own, peer) = (&answers.nodes[from.index()], &answers.nodes[from.peer().index()]);
    let free = |port: &Port| !used.iter().any(|used| used.has(*port));
    let all = ports(answers, messaging);
    let mut trial = Trial { listen: Vec::new(), talk: Vec::new() };
    let mut links = vec![(own.address, peer.address)];
    links.extend(own.second_address.zip(peer.second_address));
    let (mut drbd, mut tcp, mut udp) = (None, None, None);
    for (index, (here, there)) in links.into_iter().enumerate() {
        let ports = all.iter().copied().filter(|port| free(port) && (index == 0 || !port.tcp));
        for port in ports {
            trial.listen.push(format!("{}:{there}:{}", port.key(), port.number));
            trial.talk.push(format!("{}:{here}:{there}:{}", port.key(), port.number));
            let place = format!("{here}:{there}:{}", port.number);
            if port.whose == "DRBD" {
                drbd = Some(place.clone());
            }
            if port.tcp { &mut tcp } else { &mut udp }.get_or_insert(place);
            if !port.tcp {
                let mtu = full_size(facts, from, here, there);
                let mut sizes = vec![mtu];
                if mtu > 1500 {
                    sizes.push(1500);
                }
                for size in sizes {
                    trial.talk.push(format!("mtu:{here}:{there}:{}:{size}", port.number));
                }
            }
        }
        if index == 0 {
            trial.talk.push(format!("ssh:{here}:{there}:{}", SSH.number));
        }
    }
    if let Some(place) = drbd {
        trial.talk.push(format!("echo:{place}"));
        trial.talk.push(format!("load:{place}:{LOAD}"));
    }
    // Either ends the listener, whichever gets through.
    trial.talk.extend(tcp.map(|place| format!("bye:{place}")));
    trial.talk.extend(udp.map(|place| format!("hush:{place}")));
    trial
}

/// The largest packet that both ends' interfaces would send.
fn full_size(facts: &[Facts; 2], from: At, here: Ipv4Addr, there: Ipv4Addr) -> u32 {
    let mtu = |at: At, address| facts[at.index()].link(address).map_or(1500, |link| link.mtu);
    mtu(from, here).min(mtu(from.peer(), there)).clamp(576, 65_535)
}

/// Lets both nodes talk to each other, one direction after the other; two round trips where everything passes.
///
/// # Errors
/// The node that could not be asked.
pub fn measure(
    pair: &Pair,
    answers: &Answers,
    messaging: &str,
    facts: &[Facts; 2],
    used: &[Used; 2],
) -> Result<Wire, (At, Lost)> {
    let mut wire = Wire::default();
    for from in At::BOTH {
        let trial = trial(answers, messaging, facts, used, from);
        let to = from.peer();
        let perl = |words: Vec<String>| {
            Cmd::read(["perl", "-e", WIRE].into_iter().map(str::to_owned).chain(words))
                .timeout(Duration::from_secs(150))
        };
        let listen = perl([vec!["listen".to_owned(), LISTEN.to_string()], trial.listen.clone()].concat());
        let talk = perl([vec!["talk".to_owned(), PATIENCE.to_string()], trial.talk.clone()].concat());
        let ports = ports(answers, messaging);
        // What does not pass is asked for once more: a node that is busy for a moment is no packet filter.
        for _ in 0..2 {
            let (heard, said) = std::thread::scope(|scope| {
                // Nobody has to listen when only SSH is tried.
                let listener = scope
                    .spawn(|| if trial.listen.is_empty() { Ok(Output::default()) } else { pair.at(to).exec(&listen) });
                let said = pair.at(from).exec(&talk);
                (listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), said)
            });
            let (heard, said) = (heard.map_err(|lost| (to, lost))?, said.map_err(|lost| (from, lost))?);
            let talked = parse(&ports, &heard, &said);
            let whole = talked.is_whole();
            wire.0[from.index()] = talked;
            if whole {
                break;
            }
        }
    }
    Ok(wire)
}

/// What the talker printed; the listener tells which ports it could not have.
fn parse(ports: &[Port], heard: &Output, said: &Output) -> Talk {
    let mut talk = Talk::default();
    for (who, output) in [("listen", heard), ("talk", said)] {
        if output.code == 127 {
            talk.failed = Some("perl is not there".to_owned());
            return talk;
        }
        if !output.ok() && output.stdout.is_empty() {
            talk.failed = Some(format!("{who}: {}", output.errors().lines().next().unwrap_or("no answer")));
            return talk;
        }
    }
    let heard = heard.text();
    let bound = |kind: &str, address: &str, port: &str| {
        !heard.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() == 5 && words[..4] == ["bind", kind, address, port] && words[4] != "ok"
        })
    };
    for line in said.text().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kind, address, number, ..] = words[..] else { continue };
        let (Ok(to), Some(result)) = (address.parse::<Ipv4Addr>(), words.last().copied()) else { continue };
        match kind {
            "tcp" | "udp" => {
                let port = ports.iter().find(|port| port.key() == kind && port.number.to_string() == number);
                // A listener that could not have the port says nothing about the way to it.
                if let Some(port) = port.filter(|_| bound(kind, address, number)) {
                    talk.ports.push((*port, to, result.to_owned()));
                }
            }
            "ssh" => talk.ports.push((SSH, to, result.to_owned())),
            "mtu" => talk.packets.extend(words[3].parse().ok().map(|size| (to, size, result.to_owned()))),
            "echo" => talk.latency = result.parse().ok(),
            "load" if words.len() == 6 => {
                let (bytes, micros): (Option<u64>, Option<u64>) = (words[4].parse().ok(), words[5].parse().ok());
                if let (Some(bytes), Some(micros @ 1..)) = (bytes, micros) {
                    talk.rate = Some(bytes.saturating_mul(1_000_000) / micros);
                }
            }
            _ => {}
        }
    }
    talk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::scripted::{fails, says};
    use crate::preflight::samples;

    #[test]
    fn sockets_are_read_from_proc() {
        // Of a node whose DRBD is connected and whose Corosync runs.
        let text = "==> /proc/net/tcp <==\n  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11037 1 0000 100 0 0 10 0\n   1: 01004D0A:1E6C 02004D0A:D431 01 00000000:00000000 00:00000000 00000000     0        0 11038 1 0000 100 0 0 10 0\n\n==> /proc/net/udp <==\n  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  100: 01004D0A:151D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18000 2 0000 0\n";
        let used = Used::parse(text);
        let has: Vec<bool> = ports(&samples::answers(), "corosync").into_iter().map(|port| used.has(port)).collect();
        assert_eq!(has, [true, false, true]);
        assert!(used.has(SSH) && !Used::default().has(SSH));
        // A minute after a look at the same ports.
        assert_eq!(Used::parse(&text.replace("D431 01", "D431 06")).tcp, BTreeSet::from([22]));
    }

    #[test]
    fn what_is_free_is_tried_on_both_links() {
        let (answers, facts) = (samples::answers(), samples::facts());
        let fresh = [Used::default(), Used::default()];
        let trial = trial(&answers, "corosync", &facts, &fresh, At::First);
        assert_eq!(
            trial.listen,
            ["tcp:10.77.0.2:7788", "tcp:10.77.0.2:7777", "udp:10.77.0.2:5405", "udp:10.78.0.2:5405"]
        );
        assert_eq!(
            trial.talk,
            [
                "tcp:10.77.0.1:10.77.0.2:7788",
                "tcp:10.77.0.1:10.77.0.2:7777",
                "udp:10.77.0.1:10.77.0.2:5405",
                "mtu:10.77.0.1:10.77.0.2:5405:9000",
                "mtu:10.77.0.1:10.77.0.2:5405:1500",
                "ssh:10.77.0.1:10.77.0.2:22",
                "udp:10.78.0.1:10.78.0.2:5405",
                "mtu:10.78.0.1:10.78.0.2:5405:1500",
                "echo:10.77.0.1:10.77.0.2:7788",
                "load:10.77.0.1:10.77.0.2:7788:0.5",
                "bye:10.77.0.1:10.77.0.2:7788",
                "hush:10.77.0.1:10.77.0.2:5405",
            ]
        );
        let busy = Used { tcp: [7788, 7777].into(), udp: [5405].into() };
        let trial = super::trial(&answers, "corosync", &facts, &[Used::default(), busy], At::Second);
        assert_eq!((trial.listen.len(), trial.talk), (0, vec!["ssh:10.77.0.2:10.77.0.1:22".to_owned()]));
    }

    #[test]
    fn what_they_say_is_understood() {
        let ports = ports(&samples::answers(), "corosync");
        let heard = says("bind tcp 10.77.0.2 7788 ok\nbind tcp 10.77.0.2 7777 98\nbind udp 10.77.0.2 5405 ok\n");
        let said = says(
            "tcp 10.77.0.2 7788 open\ntcp 10.77.0.2 7777 refused\nudp 10.77.0.2 5405 silent\nmtu 10.77.0.2 5405 9000 silent\n\
             ssh 10.77.0.2 22 open\necho 10.77.0.2 7788 180\nload 10.77.0.2 7788 0.5 46661632 500000\nbye 10.77.0.2 7788 open\n",
        );
        let talk = parse(&ports, &heard, &said);
        let found: Vec<(u16, &str)> =
            talk.ports.iter().map(|(port, _, result)| (port.number, result.as_str())).collect();
        assert_eq!(found, [(7788, "open"), (5405, "silent"), (22, "open")]);
        assert_eq!(talk.packets, [(Ipv4Addr::new(10, 77, 0, 2), 9000, "silent".to_owned())]);
        assert_eq!((talk.latency, talk.rate, talk.failed), (Some(180), Some(93_323_264), None));
        let wire = Wire([Talk { rate: Some(7), ..Talk::default() }, Talk { rate: Some(5), ..Talk::default() }]);
        assert_eq!((wire.rate(), Wire::default().rate()), (Some(5), None));
    }

    #[test]
    fn without_perl_nothing_is_measured() {
        let talk = parse(&[], &Output::default(), &fails(127, "sh: perl: not found"));
        assert_eq!(talk.failed.as_deref(), Some("perl is not there"));
        let talk = parse(&[], &fails(2, "syntax error at -e line 3."), &says(""));
        assert_eq!(talk.failed.as_deref(), Some("listen: syntax error at -e line 3."));
    }

    /// The real program, with itself, over this machine's loopback.
    #[test]
    fn the_program_talks_to_itself() {
        use crate::node::{Transport as _, local::Local};
        use std::sync::Arc;
        let perl = |words: &[&str]| Cmd::read(["perl", "-e", WIRE].into_iter().chain(words.iter().copied()));
        let node = Arc::new(Local::new());
        let listener = Arc::clone(&node);
        // No name of a port can be taken for sure: ports of the ephemeral range that nobody asked for.
        let listen = perl(&["listen", "20", "tcp:127.0.0.1:47788", "udp:127.0.0.1:45405"]);
        let heard = std::thread::spawn(move || listener.exec(&listen));
        let talk = perl(&[
            "talk",
            "4",
            "tcp:127.0.0.1:127.0.0.1:47788",
            "udp:127.0.0.1:127.0.0.1:45405",
            "mtu:127.0.0.1:127.0.0.1:45405:9000",
            "echo:127.0.0.1:127.0.0.1:47788",
            "load:127.0.0.1:127.0.0.1:47788:0.2",
            "bye:127.0.0.1:127.0.0.1:47788",
        ]);
        let said = node.exec(&talk).expect("an output");
        let heard = heard.join().expect("no panic").expect("an output");
        let ports = [Port { tcp: true, number: 47788, whose: "a" }, Port { tcp: false, number: 45405, whose: "b" }];
        let talk = parse(&ports, &heard, &said);
        assert!(talk.ports.len() == 2 && talk.ports.iter().all(|(_, _, result)| result == "open"), "{talk:?} {said:?}");
        assert_eq!(talk.packets[0].2, "open");
        assert!(talk.latency.is_some() && talk.rate.is_some_and(|rate| rate > 1_000_000), "{talk:?}");
    }
}
