//! What a node is asked about besides its facts, because the answers say what: names, ports, packages, fencing; and its clock.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::wire::Used;
use crate::answers::{Answers, Bmc, FencingMethod};
use crate::facts::clock;
use crate::fencing::login::{self, Login};
use crate::fencing::sbd::SOFTDOG;
use crate::node::{At, Cmd, Lost, Node, Output};

const SOURCES: &str = include_str!("sources.sh");

/// An RMCP presence ping (ASF 2.0, section 3.2.4.2; IPMI 2.0, section 13.13) over UDP 623: every BMC answers it, without a
/// password. And an echo request of the system's own ping for other power switches. [`SOFTDOG`] stands before it.
const REACH: &str = r#"
for target; do
	host=${target#*:}
	case $target in
	bmc:*)
		perl -MIO::Socket::INET -e '
			my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => $ARGV[0], PeerPort => 623) or exit 1;
			for (1 .. 3) {
				send $s, pack("C12", 6, 0, 255, 6, 0, 0, 17, 190, 128, 0, 0, 0), 0;
				my $in = ""; vec($in, fileno $s, 1) = 1;
				exit 0 if select($in, undef, undef, 1) > 0 && defined recv $s, my $d, 512, 0;
			}
			exit 1' "$host" >/dev/null 2>&1 && echo "$target yes" || echo "$target no"
		;;
	ping:*) ping -c 2 -i 0.3 -W 2 "$host" >/dev/null 2>&1 && echo "$target yes" || echo "$target no" ;;
	block:*) [ -b "$host" ] && echo "$target yes" || echo "$target no" ;;
	hard:*) softdog "$host" && echo "$target no" || echo "$target yes" ;;
	char:*) [ -c "$host" ] && echo "$target yes" || echo "$target no" ;;
	esac
done
exit 0
"#;

/// How the package sources stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Packages that are not installed yet.
    pub missing: Vec<String>,
    /// Those of them that can be had.
    pub available: Vec<String>,
    /// What could not be fetched, in apt's words.
    pub failed: Vec<String>,
    /// It was looked at at all.
    pub asked: bool,
}

/// A clock compared with that of the machine hapair runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offset {
    /// Milliseconds by which it is ahead.
    pub millis: i64,
    /// Milliseconds by which that may be wrong.
    pub unsure: i64,
}

/// What a node said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// What its own name leads to.
    pub own: Vec<Ipv4Addr>,
    /// What its peer's name leads to.
    pub peer: Vec<Ipv4Addr>,
    /// Ports with sockets.
    pub used: Used,
    /// Package sources.
    pub sources: Sources,
    /// What fencing needs and what came of it: `bmc:192.0.2.9`, `ping:HOST`, `block:PATH`, `char:PATH`, `hard:PATH` (a
    /// watchdog that is none of the kernel's own).
    pub fencing: Vec<(String, bool)>,
    /// What came of its trials to log in at its peer's BMC.
    pub logins: Vec<Login>,
    /// Its clock.
    pub clock: Option<Offset>,
}

/// What a node's fencing needs to reach.
fn targets(method: &FencingMethod, at: At) -> Vec<String> {
    match method {
        // A node uses the BMC of its peer.
        FencingMethod::Ipmi { nodes } => vec![format!("bmc:{}", nodes[at.peer().index()].address)],
        FencingMethod::Sbd { devices, watchdog } => {
            let mut targets: Vec<String> = devices.iter().map(|device| format!("block:{device}")).collect();
            targets.extend([format!("char:{watchdog}"), format!("hard:{watchdog}")]);
            targets
        }
        FencingMethod::Agent { nodes, .. } => nodes[at.peer().index()]
            .iter()
            .filter(|(key, _)| key == "ip" || key == "ipaddr")
            .map(|(_, value)| format!("ping:{}", value.reveal()))
            .collect(),
        FencingMethod::Levels { methods } => methods.iter().flat_map(|method| targets(method, at)).collect(),
        FencingMethod::Ssh | FencingMethod::Manual => Vec::new(),
    }
}

/// The BMCs that a node would use: those of its peer.
fn bmcs(method: &FencingMethod, at: At) -> Vec<&Bmc> {
    match method {
        FencingMethod::Ipmi { nodes } => vec![&nodes[at.peer().index()]],
        FencingMethod::Levels { methods } => methods.iter().flat_map(|method| bmcs(method, at)).collect(),
        _ => Vec::new(),
    }
}

fn reach() -> String {
    format!("{SOFTDOG}{REACH}")
}

/// The reads for a node; `packages` may hold alternatives (`a|b`).
fn reads(answers: &Answers, packages: &[String], at: At) -> Vec<Cmd> {
    let name = |at: At| answers.nodes[at.index()].name.as_str();
    let mirror = answers.packages.mirror.clone().unwrap_or_default();
    let fencing = targets(&answers.fencing.method, at);
    let mut reads = vec![
        Cmd::read(["getent", "hosts", name(at)]),
        Cmd::read(["getent", "hosts", name(at.peer())]),
        Used::read(),
        Cmd::read_sh(&reach(), fencing).timeout(Duration::from_secs(30)),
        Cmd::read_sh(SOURCES, [mirror].into_iter().chain(packages.iter().cloned())).timeout(Duration::from_secs(180)),
    ];
    for bmc in bmcs(&answers.fencing.method, at) {
        reads.push(login::read(&bmc.address, &bmc.user, bmc.password.reveal(), ""));
    }
    reads
}

/// Asks a node; three round trips, of which two are for its clock.
///
/// # Errors
/// When it can't be asked.
pub fn ask(node: &Node, answers: &Answers, packages: &[String], at: At) -> Result<Asked, Lost> {
    let outputs = node.read_all(&reads(answers, packages, at))?;
    let mut asked = parse(&outputs);
    let peer = &answers.nodes[at.peer().index()].name;
    for (bmc, output) in bmcs(&answers.fencing.method, at).into_iter().zip(outputs.iter().skip(5)) {
        asked.logins.push(login::judge(output, &bmc.address, &bmc.user, peer));
    }
    for _ in 0..2 {
        let offset = offset(node)?;
        if asked.clock.is_none_or(|known| offset.is_some_and(|offset| offset.unsure < known.unsure)) {
            asked.clock = offset;
        }
    }
    Ok(asked)
}

fn here() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn offset(node: &Node) -> Result<Option<Offset>, Lost> {
    let before = here();
    let output = node.exec(&clock::now())?;
    let after = here();
    Ok(clock::millis(&output)
        .map(|there| Offset { millis: there - (before + after) / 2, unsure: (after - before) / 2 + 1 }))
}

fn parse(outputs: &[Output]) -> Asked {
    let text = |index: usize| outputs.get(index).map(Output::text).unwrap_or_default();
    Asked {
        own: addresses(&text(0)),
        peer: addresses(&text(1)),
        used: Used::parse(&text(2)),
        fencing: text(3)
            .lines()
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(target, word)| (target.to_owned(), word == "yes"))
            .collect(),
        sources: sources(outputs.get(4).filter(|output| output.ok())),
        logins: Vec::new(),
        clock: None,
    }
}

fn addresses(text: &str) -> Vec<Ipv4Addr> {
    text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn sources(output: Option<&Output>) -> Sources {
    let Some(output) = output else { return Sources::default() };
    let mut found = Sources { asked: true, ..Sources::default() };
    for (key, value) in output.text().lines().filter_map(|line| line.split_once(' ')) {
        match key {
            "missing" => found.missing.push(value.to_owned()),
            "candidate" => found.available.extend(value.split_whitespace().next().map(str::to_owned)),
            "fetch" => found.failed.push(value.split_whitespace().collect::<Vec<_>>().join(" ")),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::scripted::{Scripted, fails, says};
    use crate::preflight::samples;
    use std::sync::Arc;

    #[test]
    fn what_a_node_says_is_understood() {
        let asked = parse(&[
            says("127.0.1.1       node1.example.org node1\n"),
            fails(2, ""),
            says(""),
            says("bmc:192.0.2.9 no\nblock:/dev/disk/by-id/a b yes\n"),
            says(
                "missing sbd\nmissing nosuch\nfetch Failed to fetch http://192.0.2.77/x  Could not connect\nlists fresh\ncandidate sbd 1.5.2-1\n",
            ),
        ]);
        assert_eq!((asked.own, asked.peer.len()), (vec![Ipv4Addr::new(127, 0, 1, 1)], 0));
        assert_eq!(
            asked.fencing,
            [("bmc:192.0.2.9".to_owned(), false), ("block:/dev/disk/by-id/a b".to_owned(), true)]
        );
        assert_eq!(asked.sources.missing, ["sbd", "nosuch"]);
        assert_eq!(asked.sources.available, ["sbd"]);
        assert_eq!(asked.sources.failed, ["Failed to fetch http://192.0.2.77/x Could not connect"]);
        assert!(!parse(&[]).sources.asked);
    }

    #[test]
    fn each_node_looks_for_what_would_stop_its_peer() {
        let mut answers = samples::answers();
        let at = |answers: &Answers, at| targets(&answers.fencing.method, at);
        assert_eq!(at(&answers, At::First), ["bmc:192.0.2.12"]);
        assert_eq!(at(&answers, At::Second), ["bmc:192.0.2.11"]);
        answers.fencing.method = FencingMethod::Levels {
            methods: vec![
                answers.fencing.method.clone(),
                FencingMethod::Sbd { devices: vec!["/dev/sdz".to_owned()], watchdog: "/dev/watchdog".to_owned() },
            ],
        };
        assert_eq!(
            at(&answers, At::First),
            ["bmc:192.0.2.12", "block:/dev/sdz", "char:/dev/watchdog", "hard:/dev/watchdog"]
        );
        answers.fencing.method = FencingMethod::Ssh;
        assert!(at(&answers, At::First).is_empty());
    }

    #[test]
    fn a_clock_that_is_ahead_is_measured() {
        let node = Scripted::new(|cmd| {
            Ok(if cmd.argv[0] == "date" { says(format!("{}.500000000\n", (here() + 7000) / 1000)) } else { says("") })
        });
        let node = Node { name: "node1".to_owned(), transport: Arc::new(node) };
        let asked = ask(&node, &samples::answers(), &[], At::First).expect("an answer");
        let clock = asked.clock.expect("a clock");
        assert!((6000..8000).contains(&clock.millis) && clock.unsure < 1000, "{clock:?}");
    }

    /// The real script, where the kernel's own timer is the first of two watchdogs.
    #[test]
    fn the_kernels_own_timer_is_known_by_its_name() {
        use crate::node::{Transport as _, local::Local};
        let folder = tempfile::tempdir().expect("a folder");
        for (name, identity) in [("watchdog0", "Software Watchdog\n"), ("watchdog1", "iTCO_wdt\n")] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
            std::fs::write(folder.path().join(name).join("identity"), identity).expect("written");
        }
        let script = reach().replace("/sys/class/watchdog", &folder.path().to_string_lossy());
        let output = Local::new()
            .exec(&Cmd::read_sh(&script, ["hard:/dev/watchdog", "hard:/dev/watchdog1", "hard:/dev/watchdog2"]))
            .expect("an output");
        assert_eq!(output.text(), "hard:/dev/watchdog no\nhard:/dev/watchdog1 yes\nhard:/dev/watchdog2 yes\n");
    }

    /// The real script on this machine: an RMCP ping to a BMC of our own making is answered.
    #[test]
    fn a_bmc_that_answers_is_seen() {
        use crate::node::{Transport as _, local::Local};
        let Ok(bmc) = std::net::UdpSocket::bind("127.0.0.1:623") else { return };
        bmc.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let answer = std::thread::spawn(move || {
            let mut packet = [0; 64];
            let (size, from) = loop {
                match bmc.recv_from(&mut packet) {
                    // Tests of other parts of this process send it signals.
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    received => break received.expect("a ping"),
                }
            };
            assert_eq!(packet[..size], [6, 0, 255, 6, 0, 0, 17, 190, 128, 0, 0, 0]);
            bmc.send_to(&[6, 0, 255, 6, 0, 0, 17, 190, 64, 0, 0, 16], from).expect("a pong");
        });
        let cmd = Cmd::read_sh(
            &reach(),
            ["bmc:127.0.0.1", "char:/dev/null", "char:/etc/passwd", "block:/dev/null", "hard:/dev/null"],
        );
        let output = Local::new().exec(&cmd).expect("an output");
        answer.join().expect("it was asked");
        assert_eq!(
            output.text(),
            "bmc:127.0.0.1 yes\nchar:/dev/null yes\nchar:/etc/passwd no\nblock:/dev/null no\nhard:/dev/null yes\n"
        );
    }
}
