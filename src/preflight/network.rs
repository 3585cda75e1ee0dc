//! The links between the nodes, and what passes over them.

use super::{Evidence, Finding, wire};
use crate::answers::VmSource;
use crate::node::At;

/// Round trips longer than this are told, in microseconds.
const SLOW: u64 = 5000;
/// A link that carries less is told, in bytes per second.
const NARROW: u64 = 10_000_000;

/// Addresses, cables and the second link.
pub(super) fn links(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let (name, node, facts) = (e.name(at), &e.answers.nodes[at.index()], e.fact(at));
        let second = node.second_address;
        let other = &e.answers.nodes[at.peer().index()];
        for (key, address, peer) in
            [("address", Some(node.address), Some(other.address)), ("second_address", second, other.second_address)]
        {
            let Some(address) = address else { continue };
            let Some(link) = facts.link(address) else {
                let own: Vec<String> =
                    facts.links.iter().flat_map(|link| &link.addresses).map(|own| own.address.to_string()).collect();
                found.push(Finding::error(
                    "address",
                    Some(name),
                    format!("no interface has {address} (`{key}`); it has {}", listed(&own)),
                    "configure the interface, or correct the address in the answers file",
                ));
                continue;
            };
            let own = link.addresses.iter().find(|own| own.address == address);
            if let (Some(own), Some(peer)) = (own, peer) {
                if !own.reaches(peer) {
                    found.push(Finding::error(
                        "address",
                        Some(name),
                        format!(
                            "{peer} (`{key}` of {}) is not in the network of {} ({address}/{})",
                            other.name, link.name, own.prefix
                        ),
                        "give both ends of the link addresses of one network",
                    ));
                }
            }
            if link.carrier == Some(false) || link.state == "down" {
                found.push(Finding::error(
                    "link-down",
                    Some(name),
                    format!("{} ({address}) has no link", link.name),
                    "plug the cable in, and see that the other end is switched on",
                ));
            }
        }
        let own = |address| facts.link(address).map(|link| &link.name);
        if let (Some(second), Some(first)) = (second.and_then(own), own(node.address)) {
            if first == second {
                found.push(Finding::warning(
                    "second-link",
                    Some(name),
                    format!("both links are addresses of {first}: one cable"),
                    "give the second link an interface and a cable of its own",
                ));
            }
        }
    }
    if e.answers.nodes.iter().any(|node| node.second_address.is_none()) {
        found.push(Finding::warning(
            "second-link",
            None,
            "there is one link only".to_owned(),
            "add `second_address` to both nodes in the answers file; the link to the users' network will do",
        ));
    }
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Ports: free, and open on the way.
pub(super) fn ports(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(platform) = e.platform() else { return };
    for at in At::BOTH {
        if e.is_ours(at) {
            continue;
        }
        for port in wire::ports(e.answers, &platform.messaging) {
            let theirs = match port.whose {
                // The package starts a ring of one by itself.
                "Corosync" => !e.fact(at).presence.running("corosync"),
                "Heartbeat" => !e.fact(at).presence.running("heartbeat"),
                "DRBD" => !e.has_resource(at),
                _ => e.fact(at).presence.ocfs2_cluster.is_empty(),
            };
            if theirs && e.asked[at.index()].used.has(port) {
                found.push(Finding::error(
                    "port-in-use",
                    Some(e.name(at)),
                    format!("something has {} already", port.words()),
                    "see who it is with `ss -anp`, and stop it; DRBD's port can be changed (`storage.port`)",
                ));
            }
        }
    }
    for from in At::BOTH {
        let talk = &e.wire.0[from.index()];
        for (port, address, result) in &talk.ports {
            let to = e.name(from.peer());
            let what = match result.as_str() {
                "open" => continue,
                "refused" => format!("{to} ({address}) refuses {}", port.words()),
                "silent" => format!("{to} ({address}) does not answer on {}", port.words()),
                "unreachable" => format!("there is no way to {to} ({address}), {}", port.words()),
                "other" => format!("somebody else than {to} answers on {address}, {}", port.words()),
                other => format!("{to} ({address}) can't be asked on {}: {other}", port.words()),
            };
            let firewall = &e.fact(from.peer()).firewall;
            let next = if result == "other" {
                "see whose address that is; two machines may have the same one"
            } else if firewall.refuses_input {
                "let it through in that node's packet filter (it has one that refuses), for the peer's address at least"
            } else if port.number == 22 {
                "start ssh on that node, on port 22"
            } else {
                "look for a packet filter on the way, and at the cables and networks of both addresses"
            };
            found.push(Finding::error("port", Some(e.name(from)), what, next));
        }
    }
}

/// How much passes, how fast.
pub(super) fn quality(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for from in At::BOTH {
        let talk = &e.wire.0[from.index()];
        let lost: Vec<_> = talk.packets.iter().filter(|(_, _, result)| result != "open").collect();
        for (address, size, result) in &lost {
            let reached = talk.ports.iter().any(|(port, to, result)| !port.tcp && to == address && result == "open");
            // A way that carries nothing at all is the port's finding, and the larger size says it all.
            let larger = lost.iter().any(|(to, other, _)| to == address && other > size);
            if reached && !larger {
                let to = e.name(from.peer());
                found.push(Finding::error(
                    "link-mtu",
                    Some(e.name(from)),
                    format!("a packet of {size} bytes does not get to {to} ({address}) in one piece ({result}), small ones do"),
                    "let every switch on the way pass frames of that size, or set the MTU of both interfaces to 1500",
                ));
            }
        }
    }
    let [one, other] = &e.answers.nodes;
    for (first, second) in [(Some(one.address), Some(other.address)), (one.second_address, other.second_address)] {
        let (Some(first), Some(second)) = (first, second) else { continue };
        if let (Some(a), Some(b)) = (e.facts[0].link(first), e.facts[1].link(second)) {
            if a.mtu != b.mtu {
                found.push(Finding::warning(
                    "link-mtu",
                    None,
                    format!(
                        "{} of {} has an MTU of {}, {} of {} one of {}",
                        a.name, one.name, a.mtu, b.name, other.name, b.mtu
                    ),
                    "set both to the same",
                ));
            }
        }
    }
    if let Some(latency) = e.wire.0.iter().filter_map(|talk| talk.latency).min().filter(|latency| *latency > SLOW) {
        found.push(Finding::warning(
            "latency",
            None,
            format!("a round trip between the nodes takes {}.{} ms", latency / 1000, latency % 1000 / 100),
            "join them by a cable or one switch; DRBD in both directions is not made for longer ways",
        ));
    }
    if let Some(rate) = e.wire.rate() {
        let speeds = At::BOTH.map(|at| e.fact(at).link_bytes_per_second(e.answers.nodes[at.index()].address));
        let nominal = speeds.into_iter().flatten().min();
        let slow_for_it = nominal.is_some_and(|nominal| rate < nominal / 4);
        if rate < NARROW || slow_for_it {
            let of =
                nominal.map(|nominal| format!(", of {} MB/s that it should", nominal / 1_000_000)).unwrap_or_default();
            found.push(Finding::warning(
                "throughput",
                None,
                format!("the link carries {}.{} MB/s{of}", rate / 1_000_000, rate % 1_000_000 / 100_000),
                "look at the cable and at what the interfaces negotiated (`ethtool`); use a faster link",
            ));
        }
    }
    for from in At::BOTH {
        if let Some(why) = &e.wire.0[from.index()].failed {
            found.push(Finding::warning(
                "throughput",
                Some(e.name(from)),
                format!("nothing could be measured to {}: {why}", e.name(from.peer())),
                "install perl-base on both nodes, or check ports and MTU by hand",
            ));
        }
    }
}

/// Packet filters, and the bridges of VMs.
pub(super) fn surroundings(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let firewall = &e.fact(at).firewall;
        let managed = firewall.by == "ufw" || firewall.by == "firewalld";
        // On a pair that works, what is to pass passes.
        if (firewall.refuses_input || managed) && !e.is_ours(at) {
            found.push(Finding::warning(
                "firewall",
                Some(e.name(at)),
                format!("a packet filter is at work ({}, {} rules)", firewall.by, firewall.rules),
                "let both nodes' cluster addresses through for good, in the filter's own configuration",
            ));
        }
        let mut told: Vec<&str> = Vec::new();
        for vm in &e.answers.vms {
            let VmSource::Made { bridge: Some(bridge), .. } = &vm.source else { continue };
            let there = e.fact(at).links.iter().any(|link| link.name == *bridge && link.kind == "bridge");
            if !there && !told.contains(&bridge.as_str()) {
                told.push(bridge);
                found.push(Finding::error(
                    "bridge",
                    Some(e.name(at)),
                    format!("there is no bridge {bridge}, which {} wants", vm.name),
                    "make the bridge in the node's network configuration, or set `bridge: none`",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
