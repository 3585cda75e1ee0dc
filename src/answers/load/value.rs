//! What each kind of value may look like. Every function says what is wrong and what to do.

use crate::answers::{Create, Image, SyncRate};

const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// A value between backticks, shortened, without control characters.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push_str("...");
    }
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}

pub(super) fn all(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

pub(crate) fn choice(text: &str, choices: &[&str]) -> Result<(), String> {
    if choices.contains(&text) {
        return Ok(());
    }
    if let [only] = choices {
        return Err(format!("{} is not `{only}`; write that or delete the line", quote(text)));
    }
    Err(format!("{} is not one of {}; take one of these", quote(text), choices.join(", ")))
}

pub(crate) fn cluster(text: &str) -> Result<String, String> {
    let right = (1..=15).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if right {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a cluster name; take 1 to 15 characters of a-z, 0-9 and `-`, with no `-` at \
         either end",
        quote(text)
    ))
}

/// The platforms that hapair installs on; `auto` reads it from the nodes.
pub(crate) const PLATFORMS: &[&str] = &["auto", "debian-12", "debian-13", "ubuntu-24.04", "ubuntu-7.10"];

pub(crate) fn platform(text: &str) -> Result<String, String> {
    if PLATFORMS.contains(&text) {
        return Ok(text.to_owned());
    }
    let all = PLATFORMS.join(", ");
    Err(match nearest_platform(&text.to_lowercase()) {
        Some(near) => format!("{} is not supported; the nearest platform that is: {near} (all: {all})", quote(text)),
        None => format!("{} is not a platform; take one of {all}", quote(text)),
    })
}

fn nearest_platform(text: &str) -> Option<&'static str> {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    let release = text
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse::<u32>().ok());
    if has(&["gutsy", "hardy", "feisty", "intrepid", "lenny", "etch", "squeeze", "wheezy"]) {
        return Some("ubuntu-7.10");
    }
    if has(&["trixie", "forky", "sid", "testing", "unstable"]) {
        return Some("debian-13");
    }
    if has(&["noble", "jammy", "focal", "plucky", "questing"]) {
        return Some("ubuntu-24.04");
    }
    if text.contains("ubuntu") {
        return Some(if release.is_some_and(|r| r <= 12) { "ubuntu-7.10" } else { "ubuntu-24.04" });
    }
    if text.contains("debian") {
        return Some(match release {
            Some(0..=7) => "ubuntu-7.10",
            Some(8..=12) => "debian-12",
            _ => "debian-13",
        });
    }
    let others = ["suse", "sles", "rhel", "redhat", "centos", "fedora", "rocky", "alma", "bookworm"];
    let more = ["bullseye", "buster", "devuan", "mint", "arch", "alpine", "gentoo"];
    others.iter().chain(&more).any(|name| text.contains(name)).then_some("debian-12")
}

/// Absolute, and with nothing in it that has another spelling.
fn normalised(text: &str, others: &str) -> bool {
    text.starts_with('/')
        && all(text, others)
        && text[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

pub(crate) fn device(text: &str) -> Result<String, String> {
    const NOT_DISKS: &[&str] = &["null", "zero", "full", "random", "urandom", "mem", "tty", "console"];
    let shown = quote(text);
    let name = text.strip_prefix("/dev/").unwrap_or_default();
    if name.is_empty() || !normalised(text, "/._:+@=-") {
        return Err(format!(
            "{shown} is not a device; write an absolute path such as /dev/sda3 or \
             /dev/disk/by-id/..."
        ));
    }
    if name.starts_with("drbd") {
        return Err(format!("{shown} is DRBD's own device; give the partition underneath it"));
    }
    if NOT_DISKS.contains(&name) || name.starts_with("shm/") || name.starts_with("pts/") {
        return Err(format!("{shown} is not a disk or a partition; give one such as /dev/sda3"));
    }
    Ok(text.to_owned())
}

pub(crate) fn erase(text: &str) -> Result<String, String> {
    const NOT_NAMES: &[&str] = &["true", "yes", "y", "on", "false", "no", "n", "off", "all", "force"];
    if text.is_empty() || NOT_NAMES.contains(&text.to_lowercase().as_str()) {
        return Err(format!(
            "{} names no disk; give the serial number (`lsblk -o NAME,SERIAL`) or the name in \
             /dev/disk/by-id of the disk that may be erased",
            quote(text)
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{} has a control character", quote(text)));
    }
    Ok(text.to_owned())
}

/// A size in bytes: `512M`, `8G`, `1TiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let shown = quote(text);
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let example = "write a whole number and K, M, G or T, such as 512M or 8G";
    let number = match digits.parse::<u64>() {
        Ok(number) => number,
        Err(_) if digits.is_empty() || unit.is_empty() => {
            return Err(format!("{shown} is not a size; {example}"));
        }
        Err(_) => return Err(format!("{shown} is more than any disk holds; {example}")),
    };
    let factor = match unit {
        "K" | "KB" | "KiB" => KIB,
        "M" | "MB" | "MiB" => MIB,
        "G" | "GB" | "GiB" => 1024 * MIB,
        "T" | "TB" | "TiB" => 1024 * 1024 * MIB,
        "" => return Err(format!("{shown} has no unit; {example}")),
        _ => {
            return Err(format!("{shown} is not a size: {} is no unit; {example}", quote(unit)));
        }
    };
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes <= i64::MAX.unsigned_abs());
    bytes.ok_or_else(|| format!("{shown} is more than any disk holds; {example}"))
}

fn at_least(text: &str, bytes: u64, least: u64, name: &str) -> Result<u64, String> {
    if bytes < least {
        return Err(format!("{} is too small; take {name} or more", quote(text)));
    }
    Ok(bytes)
}

fn whole_mib(text: &str, least: u64, name: &str) -> Result<u64, String> {
    let bytes = at_least(text, size(text)?, least * MIB, name)?;
    if bytes % MIB != 0 {
        return Err(format!("{} is not a whole number of MiB; write it with M or G", quote(text)));
    }
    Ok(bytes / MIB)
}

pub(crate) fn dom0_memory(text: &str) -> Result<u64, String> {
    whole_mib(text, 512, "512M")
}

pub(crate) fn vm_memory(text: &str) -> Result<u64, String> {
    whole_mib(text, 32, "32M")
}

pub(crate) fn disk(text: &str) -> Result<u64, String> {
    at_least(text, size(text)?, 16 * MIB, "16M")
}

pub(crate) fn create(text: &str) -> Result<Create, String> {
    match text {
        "no" => Ok(Create::No),
        "rest" => Ok(Create::Rest),
        _ => match size(text) {
            Ok(bytes) => at_least(text, bytes, 256 * MIB, "256M").map(Create::Bytes),
            Err(message) => Err(format!("{message}, or `rest` for all the free space")),
        },
    }
}

pub(crate) fn rate(text: &str) -> Result<SyncRate, String> {
    if text == "auto" {
        return Ok(SyncRate::Auto);
    }
    match size(text) {
        Ok(bytes) => at_least(text, bytes, 64 * KIB, "64K").map(SyncRate::BytesPerSecond),
        Err(message) => Err(format!("{message} (bytes per second), or `auto`")),
    }
}

pub(crate) fn resource(text: &str) -> Result<String, String> {
    let right = (1..=32).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if text == "all" {
        return Err("`all` means every resource to drbdadm; take another name".to_owned());
    }
    if right {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a resource name; take 1 to 32 characters of a-z, 0-9, `_` and `-`, first a \
         letter or a digit",
        quote(text)
    ))
}

/// Digits only: no sign, no `0x10`, no `1_000`, and no `010` that might be octal.
pub(super) fn decimal(text: &str, least: u32, most: u32) -> Result<u32, ()> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(());
    }
    text.parse().ok().filter(|n| (least..=most).contains(n)).ok_or(())
}

pub(crate) fn vcpus(text: &str) -> Result<u32, String> {
    decimal(text, 1, 512).map_err(|()| format!("{} is not a number of CPUs; take 1 to 512", quote(text)))
}

pub(crate) fn mount(text: &str) -> Result<String, String> {
    const WHOLE: &[&str] =
        &["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr"];
    const ITSELF: &[&str] = &["/home", "/lost+found", "/media", "/opt", "/root", "/srv", "/var"];
    const BELOW_VAR: &[&str] = &["cache", "lib", "lock", "log", "run", "spool", "tmp"];
    let shown = quote(text);
    if text == "/" {
        return Err("`/` is the root file system; take an empty folder such as /drbd0".to_owned());
    }
    if !normalised(text, "/._-+") || text.len() > 200 {
        return Err(format!(
            "{shown} is not a plain absolute path; write one such as /drbd0: letters, digits, \
             `.`, `_`, `-`, no `//`, no `..`, no `/` at the end"
        ));
    }
    let first = text[1..].split('/').next().unwrap_or_default();
    let var = text.strip_prefix("/var/").is_some_and(|below| BELOW_VAR.contains(&below));
    if WHOLE.contains(&first) || ITSELF.contains(&text) || var {
        return Err(format!(
            "{shown} belongs to the system, and a mount would hide it; take an empty folder such \
             as /drbd0"
        ));
    }
    Ok(text.to_owned())
}

pub(crate) fn mirror(text: &str) -> Result<Option<String>, String> {
    if text == "none" {
        return Ok(None);
    }
    let web = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    if web.is_some_and(|rest| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
        return Err("the URL has a user or a password in it, which all users of the nodes could \
                    read; give it without"
            .to_owned());
    }
    let host = web.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    let file = text.strip_prefix("file:").is_some_and(|path| path.starts_with('/'));
    if (host || file) && all(text, ":/._-+~%,=@") {
        return Ok(Some(text.to_owned()));
    }
    Err(format!("{} is not a mirror; write `none`, http://..., https://... or file:/...", quote(text)))
}

/// `file:` and an absolute path.
fn file(text: &str) -> Option<Result<String, String>> {
    let path = text.strip_prefix("file:")?;
    let right = path.starts_with('/') && path.len() > 1 && !path.ends_with('/');
    if right && !path.chars().any(char::is_control) {
        return Some(Ok(path.to_owned()));
    }
    Some(Err(format!("{} is not an absolute path; write file:/folder/name", quote(text))))
}

pub(crate) fn config(text: &str) -> Result<String, String> {
    file(text).unwrap_or_else(|| Err(format!("{} is not a file; write file:/folder/name.cfg", quote(text))))
}

pub(crate) fn image(text: &str) -> Result<Image, String> {
    match (text, file(text)) {
        ("demo", _) => Ok(Image::Demo),
        ("blank", _) => Ok(Image::Blank),
        (_, Some(path)) => path.map(|path| Image::File { path }),
        _ => Err(format!("{} is not an image; write demo, blank or file:/path", quote(text))),
    }
}

pub(crate) fn vm_name(text: &str) -> Result<String, String> {
    // It is an id in the cluster's XML too, and these begin with a letter.
    let right = text.len() <= 63 && all(text, "_-") && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if right {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a VM name; take 1 to 63 letters, digits, `_` and `-` without spaces, first a letter",
        quote(text)
    ))
}

pub(crate) fn bridge(text: &str) -> Result<Option<String>, String> {
    if text == "none" {
        return Ok(None);
    }
    if (1..=15).contains(&text.len()) && all(text, "._-") && !text.starts_with(['-', '.']) {
        return Ok(Some(text.to_owned()));
    }
    Err(format!("{} is not a bridge; write `none` or its name, at most 15 characters, such as br0", quote(text)))
}

pub(crate) fn agent(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("fence_").unwrap_or_default();
    if !name.is_empty() && all(name, "_-") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a fence agent; give its name, such as fence_apc_snmp (`stonith_admin -I` on a \
         node lists them)",
        quote(text)
    ))
}

/// A text for a configuration file: not empty, one line.
pub(crate) fn line(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; give a value".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has a line break or a control character; give a single line".to_owned());
    }
    Ok(text.to_owned())
}

/// A user of a BMC. IPMI 2.0, 22.28 "Set User Name": sixteen bytes; ipmitool refuses a longer one.
pub(crate) fn bmc_user(text: &str) -> Result<String, String> {
    const MOST: usize = 16;
    if text.len() > MOST {
        return Err(format!("{} is too long: IPMI takes {MOST} bytes at most", quote(text)));
    }
    line(text)
}

/// A score from `least` to `most`, where a missing limit lets INFINITY through.
fn score(text: &str, least: Option<i32>, most: Option<i32>) -> Option<String> {
    match text {
        "INFINITY" if most.is_none() => return Some(text.to_owned()),
        "-INFINITY" if least.is_none() => return Some(text.to_owned()),
        _ => {}
    }
    let number = text.parse::<i32>().ok().filter(|n| n.to_string() == text)?;
    let right = number >= least.unwrap_or(-1_000_000) && number <= most.unwrap_or(1_000_000);
    right.then(|| text.to_owned())
}

pub(crate) fn stickiness(text: &str) -> Result<String, String> {
    score(text, Some(0), None)
        .ok_or_else(|| format!("{} is not a score; take a number from 0 to 1000000, or INFINITY", quote(text)))
}

pub(crate) fn failure_stickiness(text: &str) -> Result<String, String> {
    score(text, None, Some(0))
        .ok_or_else(|| format!("{} is not a score; take a number from -1000000 to 0, or -INFINITY", quote(text)))
}
