//! The cluster's links as Corosync sees them.

use serde::Serialize;

use crate::node::Cmd;

/// One of the links over which the nodes hear each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its number, from 0.
    pub number: String,
    /// The node's own address on it.
    pub address: String,
    /// `connected`, `disconnected`... towards the peer.
    pub state: String,
}

impl Link {
    /// The peer is heard over it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == "connected"
    }
}

/// A read whose output [`links`] understands: `corosync-cfgtool -s` (its man page).
#[must_use]
pub fn read() -> Cmd {
    Cmd::read(["corosync-cfgtool", "-s"])
}

/// Reads the output of `corosync-cfgtool -s` of Corosync 3 with knet.
#[must_use]
pub fn links(text: &str) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("LINK ID ") {
            let number = rest.split_whitespace().next().unwrap_or_default().to_owned();
            links.push(Link { number, address: String::new(), state: String::new() });
            continue;
        }
        let Some(link) = links.last_mut() else { continue };
        if let Some((_, address)) = line.split_once('=').filter(|(key, _)| key.trim() == "addr") {
            address.trim().clone_into(&mut link.address);
        } else if let Some(rest) = line.strip_prefix("nodeid:") {
            let state = rest.split_once(':').map_or("", |(_, state)| state.trim());
            if state != "localhost" {
                state.clone_into(&mut link.state);
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= 10.77.0.1\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\nLINK ID 1 udp\n\taddr\t= 10.78.0.1\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tdisconnected\n";

    #[test]
    fn reads_both_links_with_the_peers_state() {
        let links = links(TWO);
        assert_eq!(links.len(), 2);
        assert_eq!((links[0].address.as_str(), links[0].is_up()), ("10.77.0.1", true));
        assert_eq!((links[1].number.as_str(), links[1].state.as_str()), ("1", "disconnected"));
    }

    #[test]
    fn an_error_message_is_no_link() {
        assert!(super::links("Could not initialize corosync configuration API error 2\n").is_empty());
    }
}
