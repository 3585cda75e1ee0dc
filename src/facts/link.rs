//! Network interfaces: what they are, whether a cable is in, their addresses.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

const LINKS: &str = include_str!("link.sh");

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix, such as 24.
    pub prefix: u8,
}

impl Address {
    /// Whether another address is in the same network.
    pub fn reaches(self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        u32::from(self.address) & mask == u32::from(other) & mask
    }
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Such as `eth0`.
    pub name: String,
    /// MAC address; empty if it has none.
    pub mac: String,
    /// `up`, `down`, `unknown`.
    pub state: String,
    /// The other end of the cable answers; `None` when the interface is switched off, and nobody can tell.
    pub carrier: Option<bool>,
    /// Mbit/s, where the driver tells it.
    pub megabits: Option<u64>,
    /// Bytes of its largest packet; 0 if unknown.
    pub mtu: u32,
    /// `ethernet`, `wireless`, `bridge`, `bond`, `vlan` or `virtual`.
    pub kind: String,
    /// Bridge or bond that it belongs to; empty if none.
    pub master: String,
    /// IPv4 addresses.
    pub addresses: Vec<Address>,
    /// The default route goes through it.
    pub default_route: bool,
}

impl Link {
    /// Whether it has this address.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }
}

/// Four commands.
pub(super) fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read_sh(LINKS, [""; 0]),
        Cmd::read(["ip", "-o", "link", "show"]),
        Cmd::read(["ip", "-o", "-4", "addr", "show"]),
        Cmd::read(["ip", "-4", "route", "show"]),
    ]
}

pub(super) fn parse(outputs: &[Output]) -> Vec<Link> {
    let text = |index: usize| outputs.get(index).map(Output::text).unwrap_or_default();
    let [links, masters, addresses, routes] = [0, 1, 2, 3].map(text);
    let known = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    links
        .lines()
        .map(|line| line.split('\t').collect::<Vec<&str>>())
        .filter(|words| words.len() == 7 && words[0] != "lo")
        .map(|words| Link {
            name: words[0].to_owned(),
            mac: known(words[1]),
            state: known(words[2]),
            carrier: match words[3] {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            },
            // Where nothing is known, drivers say -1 or 65535.
            megabits: words[4].parse::<u64>().ok().filter(|speed| (1..1_000_000).contains(speed) && *speed != 65_535),
            mtu: words[5].parse().unwrap_or(0),
            kind: words[6].to_owned(),
            master: masters
                .lines()
                .find(|line| interface(line) == words[0])
                .and_then(|line| line.split_whitespace().skip_while(|word| *word != "master").nth(1))
                .unwrap_or_default()
                .to_owned(),
            addresses: addresses.lines().filter(|line| interface(line) == words[0]).filter_map(parse_address).collect(),
            default_route: routes.lines().any(|line| {
                line.starts_with("default ")
                    && line.split_whitespace().skip_while(|word| *word != "dev").nth(1) == Some(words[0])
            }),
        })
        .collect()
}

/// Interface of a line such as `4: bond0@ens4    inet ...` or `2: eth0: <BROADCAST> mtu 1500 ...`.
fn interface(line: &str) -> &str {
    let word = line.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(':');
    word.split('@').next().unwrap_or_default()
}

/// Address of a line such as `2: ens3    inet 10.0.2.15/24 brd ... scope global ens3\ ...`.
fn parse_address(line: &str) -> Option<Address> {
    let word = line.split_whitespace().skip_while(|word| *word != "inet").nth(1)?;
    let (address, prefix) = word.split_once('/').unwrap_or((word, "32"));
    Some(Address { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: [&str; 4]) -> Vec<Link> {
        parse(&texts.map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() }))
    }

    // Two machines of the lab, put together: an emulated node with a bridge, and Debian 12 on a machine of ours.
    const LINKS: &str = "br0\t02:fc:00:00:00:09\tup\t1\t-\t1500\tbridge\nens3\t52:54:00:12:34:56\tup\t1\t-1\t1500\tethernet\n\
        ens4\t52:54:00:12:34:57\tup\t1\t1000\t9000\tethernet\nens5\t52:54:00:12:34:58\tdown\t-\t-\t1500\tethernet\n\
        eth0.7\t52:54:00:12:34:57\tdown\t0\t-\t1500\tvlan\nlo\t00:00:00:00:00:00\tunknown\t1\t-\t65536\tvirtual\n";
    const IP_LINK: &str = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n\
        2: ens3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast master br0 state UP mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff\n\
        3: ens4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9000 qdisc pfifo_fast state UP mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:12:34:57 brd ff:ff:ff:ff:ff:ff\n\
        6: eth0.7@ens4: <BROADCAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:12:34:57 brd ff:ff:ff:ff:ff:ff\n";
    const IP_ADDR: &str = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
        5: br0    inet 10.0.2.15/24 brd 10.0.2.255 scope global br0\\       valid_lft forever preferred_lft forever\n\
        3: ens4    inet 10.77.0.1/24 brd 10.77.0.255 scope global ens4\\       valid_lft forever preferred_lft forever\n\
        6: eth0.7@ens4    inet 10.78.0.1/30 scope global eth0.7\\       valid_lft forever preferred_lft forever\n";
    const ROUTES: &str = "default via 10.0.2.2 dev br0 \n10.0.2.0/24 dev br0 proto kernel scope link src 10.0.2.15 \n";

    #[test]
    fn interfaces_are_seen() {
        let links = of([LINKS, IP_LINK, IP_ADDR, ROUTES]);
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["br0", "ens3", "ens4", "ens5", "eth0.7"]);
        let [bridge, first, second, third, vlan] = &links[..] else { panic!("{links:?}") };
        assert!(bridge.default_route && bridge.kind == "bridge" && bridge.has(Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!((first.master.as_str(), first.megabits, first.carrier), ("br0", None, Some(true)));
        assert_eq!((second.megabits, second.mtu), (Some(1000), 9000));
        assert_eq!((third.carrier, third.state.as_str(), third.addresses.len()), (None, "down", 0));
        assert_eq!((vlan.kind.as_str(), vlan.carrier), ("vlan", Some(false)));
        assert_eq!(vlan.addresses, [Address { address: Ipv4Addr::new(10, 78, 0, 1), prefix: 30 }]);
    }

    #[test]
    fn a_network_reaches_its_own() {
        let own = Address { address: Ipv4Addr::new(10, 78, 0, 1), prefix: 30 };
        assert!(own.reaches(Ipv4Addr::new(10, 78, 0, 2)));
        assert!(!own.reaches(Ipv4Addr::new(10, 78, 0, 5)));
        assert!(Address { prefix: 0, ..own }.reaches(Ipv4Addr::new(1, 1, 1, 1)));
        assert!(!Address { prefix: 32, ..own }.reaches(Ipv4Addr::new(10, 78, 0, 2)));
    }

    #[test]
    fn without_ip_there_are_no_addresses() {
        let links = of([LINKS, "", "", ""]);
        assert_eq!((links.len(), links[2].addresses.len(), links[1].master.as_str()), (5, 0, ""));
        assert!(of(["", IP_LINK, IP_ADDR, ROUTES]).is_empty());
    }
}
