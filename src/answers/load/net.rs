//! What names, addresses and ports may look like. Every function says what is wrong and what to do.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::value::{all, decimal, quote};
use crate::answers::Reach;

pub(crate) fn host_label(text: &str) -> Result<String, String> {
    let shown = quote(text);
    let lower = text.to_lowercase();
    if text != lower {
        return Err(format!(
            "{shown} has upper-case letters; Corosync, OCFS2 and DRBD compare names with \
             `uname -n` letter by letter: write {}",
            quote(&lower)
        ));
    }
    if let Some((first, _)) = text.split_once('.') {
        return Err(format!(
            "{shown} has a dot; the name is what `uname -n` says, without a domain: write {}",
            quote(first)
        ));
    }
    if text.contains('_') {
        return Err(format!(
            "{shown} has an underscore, which host names may not have: write {}",
            quote(&text.replace('_', "-"))
        ));
    }
    if text == "localhost" {
        return Err("`localhost` is the name of every machine; give the node its own".to_owned());
    }
    if text.is_empty() || text.len() > 63 || !all(text, "-") || text.starts_with('-') || text.ends_with('-') {
        return Err(format!(
            "{shown} is not a host name; take 1 to 63 characters of a-z, 0-9 and `-`, with no \
             `-` at either end"
        ));
    }
    Ok(text.to_owned())
}

pub(crate) fn reach(text: &str) -> Result<Reach, String> {
    if text == "local" {
        return Ok(Reach::Local);
    }
    let shown = quote(text);
    let Some((user, rest)) = text.split_once('@') else {
        return Err(format!(
            "{shown} has no user; write `root@{}`, or `local` for the machine hapair runs on",
            if all(text, "._-:") && !text.is_empty() { text } else { "host" }
        ));
    };
    if rest.starts_with('[') || rest.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{shown} is an IPv6 address; hapair knows IPv4 only: write that"));
    }
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, decimal(port, 1, 65535).ok()),
        None => (rest, Some(22)),
    };
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
        return Err(format!("{shown} has no valid port behind the colon; take 1 to 65535"));
    };
    if user.is_empty() || !all(user, "._-") || user.starts_with(['-', '.']) || user.len() > 32 {
        return Err(format!("{shown} has no valid user before the `@`; write `user@host`"));
    }
    if host.is_empty() || !all(host, "._-") || host.starts_with(['-', '.']) || host.len() > 253 {
        return Err(format!("{shown} has no valid host behind the `@`; write `user@host[:port]`"));
    }
    Ok(Reach::Ssh { user: user.to_owned(), host: host.to_owned(), port })
}

pub(crate) fn host_key(text: &str) -> Result<String, String> {
    let digest = text.strip_prefix("SHA256:").unwrap_or_default();
    if digest.len() == 43 && all(digest, "+/") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a fingerprint; write `SHA256:` and 43 characters, as \
         `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the node prints it",
        quote(text)
    ))
}

pub(crate) fn address(text: &str) -> Result<Ipv4Addr, String> {
    let shown = quote(text);
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.contains(':') && bare.split(['%', '/']).next().is_some_and(|a| a.parse::<Ipv6Addr>().is_ok()) {
        return Err(format!("{shown} is an IPv6 address, which is not supported; give an IPv4 address"));
    }
    if let Some((address, _)) = text.split_once('/') {
        return Err(format!("{shown} is a network; give the address alone: {}", quote(address)));
    }
    let Ok(address) = text.parse::<Ipv4Addr>() else {
        return Err(format!("{shown} is not an IPv4 address; write four numbers such as 10.0.0.1"));
    };
    let first = address.octets()[0];
    let what = if address.is_loopback() {
        "a loopback address, which the other node cannot reach"
    } else if address.is_multicast() {
        "a multicast address"
    } else if address.is_unspecified() || first == 0 {
        "an address that means \"any\""
    } else if address.is_broadcast() {
        "the broadcast address"
    } else if first >= 240 {
        "a reserved address"
    } else if address.octets()[3] == 0 {
        "the address of a network"
    } else {
        return Ok(address);
    };
    Err(format!("{shown} is {what}; give the node's own address in the cluster network"))
}

/// An IPv4 address or a host name: what a BMC is reached by.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric || text.contains([':', '/', '[']) {
        return address(text).map(|address| address.to_string());
    }
    let right = !text.is_empty()
        && text.len() <= 253
        && text
            .split('.')
            .all(|label| !label.is_empty() && label.len() <= 63 && all(label, "-") && !label.starts_with('-'));
    if right {
        return Ok(text.to_owned());
    }
    Err(format!("{} is neither an IPv4 address nor a host name", quote(text)))
}

pub(crate) fn port(text: &str) -> Result<u16, String> {
    let port = decimal(text, 1, 65535).ok().and_then(|port| u16::try_from(port).ok());
    let user = match port {
        None => {
            return Err(format!("{} is not a port; take a number from 1 to 65535", quote(text)));
        }
        Some(22) => "SSH",
        Some(3121) => "pacemaker-remote",
        Some(5405) => "Corosync",
        Some(7777) => "OCFS2",
        Some(port) => return Ok(port),
    };
    Err(format!("{} is the port of {user}; take another, such as 7788", quote(text)))
}
