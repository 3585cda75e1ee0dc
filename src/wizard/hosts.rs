//! Questions about the machines: how they are reached, what they are called, which networks they share.

use std::net::Ipv4Addr;

use super::Known;
use super::question::{Choice, Question};
use crate::answers::load::net;
use crate::facts::Facts;
use crate::facts::link::Link;

const PART: &str = "The two machines";
const NETWORK: &str = "Network";

/// How the nodes are reached: all that must be known before they can be looked at.
pub(super) fn reach(known: &Known<'_>) -> Option<Question> {
    let why = |more: &str| {
        (
            "hapair logs in as root, or as a user who may sudo without a password, with an SSH key.".to_owned(),
            format!(
                "{more}\nWrite user@host or user@host:port, such as root@192.0.2.1. Hosts of your ~/.ssh/config, its jump hosts and \
                 your SSH agent all work. A host key that is not known yet is shown to you before anything is sent, and a \
                 login that has no key yet gets one with ssh-copy-id, if you like.\nWrite `local` for the machine that \
                 hapair runs on, if it is one of the two."
            ),
        )
    };
    for n in 0..2 {
        let path = format!("nodes[{n}].ssh");
        if known.draft.has(&path) {
            continue;
        }
        let (text, more) = if n == 0 {
            (
                "How is the first machine reached? (user@host, or local)",
                "The first of the two is where single things are done, such as making the file system.",
            )
        } else {
            ("How is the second machine reached? (user@host)", "The second machine of the pair.")
        };
        return Some(Question::text(path, PART, text, None).because(why(more)));
    }
    None
}

/// Whether a host key that nobody knows is the machine's own.
pub(super) fn is_its_key(who: &str) -> Question {
    let labels = ["Yes, I have compared it", "No, send nothing there"];
    Question::confirm("@host_key", PART, format!("Is this the key of {who}?"), labels, false).because((
        "Whoever sits in between would show a key of their own, and get all that is meant for the machine.".to_owned(),
        "The key's fingerprint can be seen at the machine's own console with\n\
         ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n\
         or where the machine was made (the hoster's page, cloud-init's output). If they are the same, answer \
         yes: the key is then kept for this pair, and its fingerprint goes into the answers as `host_key`, so \
         that nobody is asked again. From then on another key at this address is refused.\n\
         If they differ, or there is nothing to compare with, answer no: nothing is sent there."
            .to_owned(),
    ))
}

/// Whether the user's key is copied to a machine that does not let it in.
pub(super) fn copies_key(who: &str, made_first: bool) -> Question {
    let text = if made_first {
        format!("Make a key with ssh-keygen, and copy it to {who} with ssh-copy-id?")
    } else {
        format!("Copy your key to {who} with ssh-copy-id?")
    };
    Question::confirm("@copy_key", PART, text, ["Yes", "No, I do that myself"], true).because((
        "An install that takes an hour and reboots machines can't ask for a password each time; ssh asks for \
         it once, hapair never sees it."
            .to_owned(),
        "ssh-copy-id logs in with the password, which ssh itself asks for on this terminal, and adds your \
         public key to ~/.ssh/authorized_keys there. Nothing else is changed. Without a key of your own, \
         ssh-keygen makes ~/.ssh/id_ed25519 first, without a passphrase: nobody could type one during an install.\n\
         Answer no to copy the key by hand, and give the machine again; another key is given with --identity."
            .to_owned(),
    ))
}

/// Whether a login that is not root may be tried again.
pub(super) fn has_sudo(who: &str, user: &str) -> Question {
    let labels = ["Yes, try again", "No, take another login"];
    Question::confirm("@sudo", PART, format!("May {user} use sudo on {who} without a password now?"), labels, true)
        .because((
            "Packages, disks and the cluster are root's; a password can't be typed for each command.".to_owned(),
            format!(
                "hapair runs every command there as `sudo -n`, which never asks. The line above, written by root, \
         allows it; `sudo -n true` as {user} shows whether it works. When the pair is built the file can be \
         taken away again, until hapair is needed the next time.\n\
         Or answer no and log in as root, where the machine allows that (by key only, as Debian does)."
            ),
        ))
}

/// Names: only where what the machines call themselves won't do.
pub(super) fn names(known: &Known<'_>) -> Option<Question> {
    for n in 0..2 {
        let path = format!("nodes[{n}].name");
        if known.draft.has(&path) {
            continue;
        }
        let own = label(known.facts[n]);
        let other = known.draft.get(&format!("nodes[{}].name", 1 - n));
        let default = own.filter(|name| Some(name) != other.as_ref()).unwrap_or(format!("node{}", n + 1));
        let text = format!("Name of the {} machine", if n == 0 { "first" } else { "second" });
        return Some(Question::text(path, PART, text, Some(default)).because(known.step("hosts", "nodes[].name")));
    }
    None
}

/// What a machine calls itself, where that is a name for a node.
pub(super) fn label(facts: &Facts) -> Option<String> {
    let name = facts.hostname.split('.').next().unwrap_or_default().to_lowercase();
    let nobody = ["localhost", "debian", "ubuntu", "unassigned", "none"];
    net::host_label(&name).ok().filter(|name| !nobody.contains(&name.as_str()))
}

/// The cluster's name.
pub(super) fn cluster(known: &Known<'_>) -> Option<Question> {
    if known.draft.has("cluster") {
        return None;
    }
    let names = [0, 1].map(|n| known.draft.get(&format!("nodes[{n}].name")).unwrap_or_default());
    let stem: String = names[0].chars().zip(names[1].chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let stem = stem.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    let default = if (3..=15).contains(&stem.len()) && stem != "node" { stem } else { "pair" };
    Some(
        Question::text("cluster", PART, "Name of the pair", Some(default.to_owned()))
            .because(known.step("messaging", "cluster")),
    )
}

/// Interfaces of the two nodes that reach each other, by their addresses.
struct Wire<'a> {
    links: [&'a Link; 2],
    addresses: [Ipv4Addr; 2],
    prefix: u8,
}

impl Wire<'_> {
    fn words(&self) -> String {
        let mut words = format!(
            "{} {} to {} {}/{}",
            self.links[0].name, self.addresses[0], self.links[1].name, self.addresses[1], self.prefix
        );
        if let Some(speed) = self.links.iter().map(|link| link.megabits).min().flatten() {
            words.push_str(&if speed >= 1000 {
                format!(", {} Gbit/s", speed / 1000)
            } else {
                format!(", {speed} Mbit/s")
            });
        }
        if self.links.iter().any(|link| link.mtu > 1500) {
            words.push_str(&format!(", MTU {}", self.links.iter().map(|link| link.mtu).min().unwrap_or(0)));
        }
        if self.links.iter().any(|link| link.default_route) {
            words.push_str(", also the way out");
        }
        if self.links.iter().any(|link| link.carrier == Some(false)) {
            words.push_str(", no cable");
        }
        words
    }
}

/// All of them, those that carry nothing else first.
fn wires(facts: [&Facts; 2]) -> Vec<Wire<'_>> {
    let mut wires = Vec::new();
    for left in &facts[0].links {
        for own in &left.addresses {
            for right in &facts[1].links {
                for other in &right.addresses {
                    if own.prefix == other.prefix && own.address != other.address && own.reaches(other.address) {
                        let addresses = [own.address, other.address];
                        wires.push(Wire { links: [left, right], addresses, prefix: own.prefix });
                    }
                }
            }
        }
    }
    wires.sort_by_key(|wire| {
        let any = |is: &dyn Fn(&Link) -> bool| wire.links.iter().any(|link| is(link));
        let speed = wire.links.iter().map(|link| link.megabits.unwrap_or(0)).min().unwrap_or(0);
        (any(&|link| link.carrier == Some(false)), any(&|link| link.default_route), std::cmp::Reverse(speed))
    });
    wires
}

/// The networks for DRBD and the cluster, and the second link.
pub(super) fn network(known: &Known<'_>) -> Option<Question> {
    let missing = [0, 1].map(|n| !known.draft.has(&format!("nodes[{n}].address")));
    let wires = wires(known.facts);
    let choices = |key: &str, skip: Option<Ipv4Addr>| -> Vec<Choice> {
        wires
            .iter()
            .filter(|wire| !wire.addresses.iter().any(|address| Some(*address) == skip))
            .map(|wire| {
                let value = |n: usize| (format!("nodes[{n}].{key}"), wire.addresses[n].to_string());
                Choice::values(wire.words(), vec![value(0), value(1), ("@second".to_owned(), "ask".to_owned())])
            })
            .collect()
    };
    if missing == [true, true] && !wires.is_empty() && !known.draft.has("@addresses") {
        let mut choices = choices("address", None);
        choices.push(Choice::value("other addresses, typed by hand", "@addresses", "typed"));
        let text = "Which network carries DRBD and the cluster?";
        let why = known.step("messaging", "nodes[].address");
        return Some(Question::choose("nodes[0].address", NETWORK, text, choices).because(why));
    }
    if let Some(n) = missing.iter().position(|missing| *missing) {
        let text = format!("Address of {} for DRBD and the cluster", known.name(n));
        let own = known.facts[n].links.iter().flat_map(|link| &link.addresses).next();
        let default = own.map(|address| address.address.to_string());
        return Some(
            Question::text(format!("nodes[{n}].address"), NETWORK, text, default)
                .because(known.step("messaging", "nodes[].address")),
        );
    }
    // Only where the first link was asked for, too: a file that has it has decided.
    if known.draft.get("@second").as_deref() != Some("ask") || known.draft.has("nodes[0].second_address") {
        return None;
    }
    let first = known.draft.get("nodes[0].address").and_then(|address| address.parse().ok());
    let mut choices = choices("second_address", first);
    if choices.is_empty() {
        return None;
    }
    choices.push(Choice::value("none: one cut cable parts the pair", "@second", "none"));
    let why = known.step("messaging", "nodes[].second_address");
    let text = "Which network is the second link of the cluster?";
    Some(Question::choose("nodes[0].second_address", NETWORK, text, choices).because(why))
}
