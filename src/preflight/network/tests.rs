use std::net::Ipv4Addr;

use crate::facts::firewall::Firewall;
use crate::preflight::samples::Sample;
use crate::preflight::wire::{Port, Used, ports};

fn peer() -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 2)
}

fn drbd(sample: &Sample) -> Port {
    ports(&sample.answers, "corosync")[0]
}

fn corosync(sample: &Sample) -> Port {
    ports(&sample.answers, "corosync")[2]
}

#[test]
fn addresses_must_be_there_with_a_cable() {
    let mut sample = Sample::default();
    assert!(sample.names().is_empty());
    sample.facts[0].links[0].carrier = Some(false);
    sample.facts[1].links[1].addresses.clear();
    let findings = sample.find();
    let told: Vec<(&str, &str)> = findings.iter().map(|finding| (finding.name, finding.what.as_str())).collect();
    assert_eq!(
        told,
        [
            ("link-down", "eth1 (10.77.0.1) has no link"),
            ("address", "no interface has 10.78.0.2 (`second_address`); it has 10.77.0.2, 192.0.2.2"),
        ]
    );
}

#[test]
fn both_ends_must_be_of_one_network() {
    let mut sample = Sample::default();
    sample.answers.nodes[1].address = Ipv4Addr::new(10, 78, 5, 2);
    sample.facts[1].links[0].addresses[0].address = Ipv4Addr::new(10, 78, 5, 2);
    sample.asked[0].peer = Vec::new();
    sample.asked[1].own = Vec::new();
    let told: Vec<String> = sample.find().into_iter().map(|finding| finding.sentence()).collect();
    assert_eq!(
        told,
        [
            "node1: 10.78.5.2 (`address` of node2) is not in the network of eth1 (10.77.0.1/24)",
            "node2: 10.77.0.1 (`address` of node1) is not in the network of eth1 (10.78.5.2/24)",
        ]
    );
}

#[test]
fn one_link_is_told_and_so_are_two_on_one_cable() {
    let mut sample = Sample::default();
    for node in &mut sample.answers.nodes {
        node.second_address = None;
    }
    let findings = sample.find();
    assert_eq!((findings.len(), findings[0].name, findings[0].error), (1, "second-link", false));
    let mut sample = Sample::default();
    let moved = sample.facts[0].links[1].addresses.pop().expect("an address");
    sample.facts[0].links[0].addresses.push(moved);
    sample.facts[0].links[0].mtu = 1500;
    sample.facts[1].links[0].mtu = 1500;
    assert_eq!(sample.names(), ["second-link"]);
    assert!(sample.find()[0].what.contains("one cable"));
}

#[test]
fn a_port_that_somebody_has_is_refused_unless_it_is_ours() {
    let mut sample = Sample::default();
    sample.asked[1].used = Used::parse("==> /proc/net/tcp <==\n 0: 00000000:1E6C 00000000:0000 0A\n");
    let findings = sample.find();
    assert_eq!((findings[0].name, findings[0].what.as_str()), ("port-in-use", "something has TCP 7788 (DRBD) already"));
    let presence = &mut sample.facts[1].presence;
    presence.corosync_cluster = "pair".to_owned();
    presence.corosync_nodes = vec!["node1".to_owned(), "node2".to_owned()];
    presence.corosync_addresses = vec!["10.77.0.1".to_owned()];
    assert!(sample.names().is_empty());
    sample = Sample::default();
    sample.asked[0].used = Used::parse("==> /proc/net/udp <==\n 0: 0100007F:151D 00000000:0000 07\n");
    assert_eq!(sample.names(), ["port-in-use"]);
    // The package's own ring of one.
    sample.facts[0].presence.runs = vec!["corosync".to_owned()];
    assert!(sample.names().is_empty());
}

#[test]
fn a_port_that_does_not_answer_is_refused() {
    for (result, words) in [
        ("open", ""),
        ("refused", "node2 (10.77.0.2) refuses TCP 7788 (DRBD)"),
        ("silent", "node2 (10.77.0.2) does not answer on TCP 7788 (DRBD)"),
        ("unreachable", "there is no way to node2 (10.77.0.2), TCP 7788 (DRBD)"),
        ("other", "somebody else than node2 answers on 10.77.0.2, TCP 7788 (DRBD)"),
        ("error-13", "node2 (10.77.0.2) can't be asked on TCP 7788 (DRBD): error-13"),
    ] {
        let mut sample = Sample::default();
        sample.wire.0[0].ports = vec![(drbd(&sample), peer(), result.to_owned())];
        let findings = sample.find();
        assert_eq!(findings.first().map_or("", |finding| finding.what.as_str()), words);
        assert!(findings.iter().all(|finding| finding.name == "port" && finding.error));
    }
    let mut sample = Sample::default();
    sample.wire.0[0].ports = vec![(drbd(&sample), peer(), "silent".to_owned())];
    sample.facts[1].firewall = Firewall { by: "nftables".to_owned(), refuses_input: true, rules: 9 };
    assert_eq!(sample.names(), ["port", "firewall"]);
    assert!(sample.find()[0].next.contains("packet filter (it has one that refuses)"));
}

#[test]
fn large_packets_must_pass_where_small_ones_do() {
    let mut sample = Sample::default();
    let port = corosync(&sample);
    sample.wire.0[0].packets = vec![(peer(), 9000, "silent".to_owned()), (peer(), 1500, "open".to_owned())];
    // Nothing passes at all: that is the port's finding.
    assert!(sample.names().is_empty());
    sample.wire.0[0].ports = vec![(port, peer(), "open".to_owned())];
    let findings = sample.find();
    assert_eq!((findings.len(), findings[0].name, findings[0].error), (1, "link-mtu", true));
    assert!(findings[0].what.starts_with("a packet of 9000 bytes does not get to node2 (10.77.0.2)"));
    sample.wire.0[0].packets[1].2 = "silent".to_owned();
    assert_eq!(sample.names(), ["link-mtu"]);
    sample.wire.0[0].packets.clear();
    sample.facts[1].links[0].mtu = 1500;
    let findings = sample.find();
    assert_eq!((findings.len(), findings[0].name, findings[0].error), (1, "link-mtu", false));
    assert_eq!(findings[0].what, "eth1 of node1 has an MTU of 9000, eth1 of node2 one of 1500");
}

#[test]
fn a_slow_link_is_told() {
    let mut sample = Sample::default();
    for talk in &mut sample.wire.0 {
        (talk.latency, talk.rate) = (Some(200), Some(110_000_000));
    }
    assert!(sample.names().is_empty());
    sample.wire.0[1].rate = Some(11_700_000);
    assert_eq!(sample.find()[0].what, "the link carries 11.7 MB/s, of 125 MB/s that it should");
    for facts in &mut sample.facts {
        facts.links[0].megabits = None;
    }
    assert!(sample.names().is_empty());
    sample.wire.0[1].rate = Some(1_200_000);
    sample.wire.0[0].latency = Some(5400);
    sample.wire.0[1].latency = Some(5300);
    let told: Vec<String> = sample.find().into_iter().map(|finding| finding.what).collect();
    assert_eq!(told, ["a round trip between the nodes takes 5.3 ms", "the link carries 1.2 MB/s"]);
    sample = Sample::default();
    sample.wire.0[0].failed = Some("perl is not there".to_owned());
    assert_eq!(sample.find()[0].what, "nothing could be measured to node2: perl is not there");
}

#[test]
fn packet_filters_and_missing_bridges_are_told() {
    let mut sample = Sample::default();
    sample.facts[0].firewall = Firewall { by: "nftables".to_owned(), refuses_input: false, rules: 3 };
    assert!(sample.names().is_empty());
    sample.facts[0].firewall.by = "ufw".to_owned();
    assert_eq!(sample.names(), ["firewall"]);
    sample = Sample::default();
    sample.facts[1].links.retain(|link| link.kind != "bridge");
    let findings = sample.find();
    assert_eq!((findings[0].name, findings[0].what.as_str()), ("bridge", "there is no bridge br0, which vm01 wants"));
}
