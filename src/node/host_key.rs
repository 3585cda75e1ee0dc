//! Host keys: nobody is believed to be a node because he answers at its address.
//!
//! Each run has its own list of known keys. What the user's own files know goes into it; a key that
//! nobody knows gets in only when its fingerprint is the one in the answers, or a person said so.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::local::run;
use super::ssh::Target;
use super::{Lost, Output};

/// Programs that only look at files.
const SHORT: Duration = Duration::from_secs(10);

/// A key by which a node shows that it is the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// `ssh-ed25519` and so on.
    pub kind: String,
    /// `SHA256:...`
    pub fingerprint: String,
    /// As it stands in a list of known hosts.
    pub line: String,
    /// `@cert-authority` or `@revoked`.
    pub marker: Option<String>,
}

impl HostKey {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@')).map(str::to_owned);
        let (_names, kind, blob) = (words.next()?, words.next()?, words.next()?);
        let fingerprint = fingerprint(&format!("{kind} {blob}"))?;
        Some(Self { kind: kind.to_owned(), fingerprint, line: line.to_owned(), marker })
    }

    /// The better it is, the smaller: which of a node's keys is shown to people.
    fn rank(&self) -> usize {
        ["ssh-ed25519", "ecdsa-", "ssh-rsa"].iter().position(|kind| self.kind.starts_with(kind)).unwrap_or(3)
    }
}

/// How ssh itself would go there: its configuration may give another name, or a way around.
#[derive(Debug)]
struct Way {
    /// The name in lists of known hosts.
    name: String,
    address: String,
    port: u16,
    proxied: bool,
    files: Vec<PathBuf>,
}

impl Way {
    fn of(target: &Target) -> Self {
        let port = target.port.to_string();
        let mut argv = vec!["ssh".to_owned(), "-G".to_owned(), "-p".to_owned(), port];
        argv.extend(["-l".to_owned(), target.user.clone()]);
        if let Some(file) = &target.config_file {
            argv.extend(["-F".to_owned(), file.display().to_string()]);
        }
        argv.extend(["--".to_owned(), target.host.clone()]);
        let text = local(&argv, b"").map(|out| out.text()).unwrap_or_default();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.map(str::trim).filter(|value| *value != "none" && !value.is_empty())
        };
        let address = value("hostname").unwrap_or(&target.host).to_lowercase();
        let name = value("hostkeyalias").map_or_else(|| listed_name(&address, target.port), str::to_owned);
        let files = ["userknownhostsfile", "globalknownhostsfile"].into_iter().filter_map(value);
        let files: Vec<PathBuf> = files.flat_map(str::split_ascii_whitespace).map(PathBuf::from).collect();
        Self {
            name,
            address,
            port: target.port,
            proxied: value("proxyjump").or(value("proxycommand")).is_some(),
            files: if files.is_empty() { usual_files() } else { files },
        }
    }
}

impl Way {
    /// A key under the name that ssh will look for, which need not be the address that was asked.
    fn named(&self, key: HostKey) -> HostKey {
        let rest = key.line.split_once(' ').map_or(key.line.as_str(), |(_, rest)| rest);
        HostKey { line: format!("{} {rest}", self.name), ..key }
    }
}

fn usual_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let own = home.map(|home| home.join(".ssh/known_hosts"));
    own.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
}

/// A host's name in lists of known hosts: with its port, unless that is 22.
pub fn listed_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// What a list knows of a host; its entries may be hashed. A missing list knows nothing.
pub fn known(file: &Path, name: &str) -> Vec<HostKey> {
    if !file.is_file() {
        return Vec::new();
    }
    let found = local(&["ssh-keygen".as_ref(), "-F".as_ref(), name.as_ref(), "-f".as_ref(), file.as_os_str()], b"");
    let text = found.map(|out| out.text()).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).filter_map(HostKey::parse).collect()
}

/// Copies what the user's own files know of the target into the run's list.
///
/// # Errors
/// [`Lost::HostKey`] when the list cannot be written.
pub fn prefill(target: &Target) -> Result<(), Lost> {
    fill(target, &Way::of(target)).map(drop)
}

fn fill(target: &Target, way: &Way) -> Result<Vec<HostKey>, Lost> {
    let mut have = known(&target.known_hosts, &way.name);
    for key in way.files.iter().filter(|file| **file != target.known_hosts).flat_map(|file| known(file, &way.name)) {
        if !have.iter().any(|old| (&old.fingerprint, &old.marker) == (&key.fingerprint, &key.marker)) {
            accept(&target.known_hosts, &key)?;
            have.push(key);
        }
    }
    Ok(have)
}

/// The keys that a host shows, the one for people first. Whoever answers there answers this.
///
/// # Errors
/// [`Lost::Unreachable`] when nobody answers as an SSH server.
pub fn scan(host: &str, port: u16, limit: Duration) -> Result<Vec<HostKey>, Lost> {
    let secs = limit.as_secs().max(1).to_string();
    let port_text = port.to_string();
    let argv = ["ssh-keyscan", "-T", &secs, "-p", &port_text, "-t", "ed25519,ecdsa,rsa", "--", host];
    let out = run(&argv, b"", limit * 3 + SHORT).map_err(|e| Lost::Unreachable(format!("ssh-keyscan: {e}")))?;
    let out = out.unwrap_or_default();
    let text = out.text();
    let mut keys: Vec<HostKey> = text.lines().filter(|l| !l.starts_with('#')).filter_map(HostKey::parse).collect();
    keys.sort_by_key(HostKey::rank);
    if keys.is_empty() {
        let errors = out.errors();
        let said = errors.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#'));
        let said = said.unwrap_or("no answer");
        return Err(Lost::Unreachable(format!("no SSH server at {}: {said}", listed_name(host, port))));
    }
    Ok(keys)
}

/// SHA256 fingerprint of a public key (`ssh-ed25519 AAAA...`).
pub fn fingerprint(public: &str) -> Option<String> {
    let out = local(&["ssh-keygen", "-lf", "-"], format!("{public}\n").as_bytes())?;
    out.text().split_ascii_whitespace().find(|word| word.starts_with("SHA256:")).map(str::to_owned)
}

/// Adds a key to a list of known hosts.
///
/// # Errors
/// [`Lost::HostKey`] when the list cannot be written.
pub fn accept(file: &Path, key: &HostKey) -> Result<(), Lost> {
    let write = || {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        let whole = fs::read(file).map_or(true, |old| old.is_empty() || old.ends_with(b"\n"));
        let line = format!("{}{}\n", if whole { "" } else { "\n" }, key.line);
        // One write: both nodes may be settled at the same time.
        OpenOptions::new().append(true).create(true).mode(0o600).open(file)?.write_all(line.as_bytes())
    };
    write().map_err(|e| Lost::HostKey(format!("{} cannot be written: {e}", file.display())))
}

/// Makes sure that the run's list knows the target's key before anything connects.
///
/// Known: nothing to do; ssh itself compares. Unknown: the key whose fingerprint is `expected` is added.
///
/// # Errors
/// [`Lost::HostKey`], with fingerprints and what to do, when it is not known or not the known one;
/// [`Lost::Unreachable`] when nobody answers.
pub fn settle(target: &Target, expected: Option<&str>) -> Result<(), Lost> {
    let way = Way::of(target);
    let have = fill(target, &way)?;
    let expected = expected.map(normal);
    let trusted = |key: &&HostKey| key.marker.as_deref() != Some("@revoked");
    match &expected {
        None if have.iter().any(|key| trusted(&key)) => return Ok(()),
        Some(want) if have.iter().filter(trusted).any(|key| key.fingerprint == *want) => return Ok(()),
        // An authority vouches for whatever key the host has; ssh checks that when it connects.
        Some(_) if have.iter().any(|key| key.marker.as_deref() == Some("@cert-authority")) => return Ok(()),
        _ => {}
    }
    if way.proxied {
        return Err(Lost::HostKey(behind_proxy(target, &way)));
    }
    let shown = scan(&way.address, way.port, target.connect_timeout)?;
    let Some(expected) = expected else { return Err(Lost::HostKey(unknown(&way, &shown))) };
    let Some(key) = shown.iter().find(|key| key.fingerprint == expected) else {
        return Err(Lost::HostKey(format!(
            "{} shows {}, the answers say {expected}. {}",
            way.name,
            list(&shown),
            advice(&shown)
        )));
    };
    let old: Vec<HostKey> = have.into_iter().filter(|old| old.kind == key.kind).collect();
    if !old.is_empty() {
        return Err(Lost::HostKey(changed(target, &way, &list(std::slice::from_ref(key)), &old)));
    }
    accept(&target.known_hosts, &way.named(key.clone()))
}

/// What is known of a target that is met for the first time.
#[derive(Debug)]
pub enum Meeting {
    /// Its key is known; ssh itself compares.
    Known,
    /// Nobody knows these keys, the one for people first. They are ready for [`accept`].
    Unknown(Vec<HostKey>),
}

/// Whether the target's key is known already; what the user's own files know is copied into the run's list.
///
/// # Errors
/// [`Lost::Unreachable`] when nobody answers; [`Lost::HostKey`] when its key can't be asked for.
pub fn meet(target: &Target) -> Result<Meeting, Lost> {
    let way = Way::of(target);
    if fill(target, &way)?.iter().any(|key| key.marker.as_deref() != Some("@revoked")) {
        return Ok(Meeting::Known);
    }
    if way.proxied {
        return Err(Lost::HostKey(behind_proxy(target, &way)));
    }
    let shown = scan(&way.address, way.port, target.connect_timeout)?;
    Ok(Meeting::Unknown(shown.into_iter().map(|key| way.named(key)).collect()))
}

fn behind_proxy(target: &Target, way: &Way) -> String {
    format!(
        "the key of {} is not known, and it is behind a proxy: log in once with `ssh {}`, compare the \
         fingerprint, and run this again",
        way.name, target.host
    )
}

/// What to say after ssh itself refused a host key with this text.
pub(super) fn explained(target: &Target, text: &str) -> String {
    let way = Way::of(target);
    let old = known(&target.known_hosts, &way.name);
    if old.is_empty() {
        return match scan(&way.address, way.port, target.connect_timeout) {
            Ok(shown) if !way.proxied => unknown(&way, &shown),
            _ => format!("the key of {} is not known", way.name),
        };
    }
    let sent = text.split_ascii_whitespace().find(|word| word.starts_with("SHA256:"));
    changed(target, &way, sent.map_or("another key", |sent| sent.trim_end_matches('.')), &old)
}

fn unknown(way: &Way, shown: &[HostKey]) -> String {
    let best = shown.first().map(|key| key.fingerprint.as_str()).unwrap_or_default();
    format!(
        "{} shows {}, and nobody knows that key. {}; if it is the same, add this line to the node in the answers file:\n\
         host_key: {best}",
        way.name,
        list(shown),
        advice(shown)
    )
}

fn changed(target: &Target, way: &Way, shown: &str, old: &[HostKey]) -> String {
    let files = std::iter::once(&target.known_hosts).chain(&way.files);
    let files: Vec<&PathBuf> = files.filter(|file| !known(file, &way.name).is_empty()).collect();
    let remove: Vec<String> = files
        .iter()
        .map(|file| {
            let argv = ["ssh-keygen", "-R", &way.name, "-f", &file.display().to_string()].map(str::to_owned);
            super::quote::line(&argv)
        })
        .collect();
    format!(
        "{} shows {shown}, known is {}. Either somebody is in between, or it was installed anew; in that case \
         forget the old key:\n{}",
        way.name,
        list(old),
        remove.join("\n")
    )
}

fn advice(shown: &[HostKey]) -> String {
    let kind = shown.first().map_or("ed25519", |key| match key.rank() {
        1 => "ecdsa",
        2 => "rsa",
        _ => "ed25519",
    });
    format!("Compare at the node's console with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub`")
}

fn list(keys: &[HostKey]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{} ({})", key.fingerprint, key.kind)).collect();
    keys.join(", ")
}

/// People copy fingerprints with and without their prefix.
fn normal(fingerprint: &str) -> String {
    let bare = fingerprint.trim().trim_end_matches('=');
    format!("SHA256:{}", bare.strip_prefix("SHA256:").unwrap_or(bare))
}

fn local<S: Into<std::ffi::OsString> + Clone>(argv: &[S], stdin: &[u8]) -> Option<Output> {
    run(argv, stdin, SHORT).ok().flatten().filter(Output::ok)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC0nBXuT3Jyj0xaRkG1mEyPgmrBqLRgMbyUbmxHzCcmY";

    #[test]
    fn names_and_fingerprints() {
        assert_eq!(listed_name("n", 22), "n");
        assert_eq!(listed_name("n", 2222), "[n]:2222");
        assert_eq!(normal(" abc= "), "SHA256:abc");
        assert_eq!(normal("SHA256:abc"), "SHA256:abc");
        assert_eq!(fingerprint("ssh-ed25519 nonsense"), None);
        let found = fingerprint(KEY).unwrap();
        assert_eq!((found.len(), &found[..7]), (50, "SHA256:"));
    }

    #[test]
    fn lists_are_read_hashed_or_not_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/known_hosts");
        assert!(known(&file, "n1").is_empty());
        let key = HostKey::parse(&format!("n1 {KEY}")).unwrap();
        accept(&file, &key).unwrap();
        fs::write(&file, fs::read_to_string(&file).unwrap().trim_end()).unwrap();
        accept(&file, &HostKey::parse(&format!("@revoked [n2]:2222 {KEY}")).unwrap()).unwrap();
        assert_eq!(known(&file, "n1"), [key]);
        assert_eq!(known(&file, "[n2]:2222")[0].marker.as_deref(), Some("@revoked"));
        assert!(known(&file, "n2").is_empty());
        local(&["ssh-keygen".as_ref(), "-H".as_ref(), "-f".as_ref(), file.as_os_str()], b"").unwrap();
        assert!(!fs::read_to_string(&file).unwrap().contains("n1 "));
        assert_eq!(known(&file, "n1").len(), 1);
    }
}
