//! What differs between releases: names of packages and services, paths, dialects. One file each, `steps/platform/`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Group, key, value: `paths.drbd_resource`.
pub type Groups = BTreeMap<String, BTreeMap<String, String>>;

/// A release that hapair knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// Id, such as `debian-12`: also the name of its file.
    pub id: String,
    /// For people: `Debian 12 (bookworm)`.
    pub title: String,
    /// `ID` of os-release.
    pub os: String,
    /// `VERSION_ID` of os-release.
    pub release: String,
    /// `corosync` or `heartbeat`.
    pub messaging: String,
    /// `systemd` or `sysv`.
    pub init: String,
    /// Dialect of DRBD's configuration where no module was asked: `8.0`, `8.4`, `9`.
    pub drbd_dialect: String,
    /// How well it is proved, in a sentence.
    pub proved: String,
    /// All that steps and templates name: `packages`, `services`, `paths` and what else a file groups.
    #[serde(flatten)]
    pub groups: Groups,
}

/// As in the file: what is missing comes from the platform that it is like.
#[derive(Debug, Clone, Default, Deserialize)]
struct Described {
    id: String,
    title: String,
    os: String,
    release: String,
    proved: String,
    #[serde(default)]
    like: Option<String>,
    #[serde(default)]
    messaging: Option<String>,
    #[serde(default)]
    init: Option<String>,
    #[serde(default)]
    drbd_dialect: Option<String>,
    #[serde(flatten)]
    groups: Groups,
}

impl Platform {
    /// The platforms of these files: name (`platform/debian-12.yaml`) and YAML.
    ///
    /// # Errors
    /// When one can't be read, is like a platform that is not there, or leaves something out that none gives it.
    pub fn load(texts: &[(String, String)]) -> Result<Vec<Platform>> {
        let mut described: BTreeMap<String, Described> = BTreeMap::new();
        for (name, text) in texts {
            let platform: Described = serde_yaml::from_str(text).with_context(|| format!("steps/{name}"))?;
            let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".yaml");
            if stem != platform.id {
                bail!("steps/{name}: its id is {}, so the file must be {}.yaml", platform.id, platform.id);
            }
            described.insert(platform.id.clone(), platform);
        }
        described.keys().map(|id| whole(id, &described).with_context(|| format!("steps/platform/{id}.yaml"))).collect()
    }

    /// Names of packages for these purposes, each once; of alternatives (`a|b`) the first.
    pub fn packages(&self, purposes: &[&str]) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let group = self.groups.get("packages");
        for name in purposes.iter().filter_map(|key| group?.get(*key)).flat_map(|names| names.split_whitespace()) {
            let first = name.split('|').next().unwrap_or(name);
            if !names.contains(&first) {
                names.push(first);
            }
        }
        names
    }

    /// Values of this platform that `when` may ask for, beyond messaging and init: group `choices`.
    pub fn choices(&self) -> impl Iterator<Item = (&str, &str)> {
        self.groups.get("choices").into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the kernel brings DRBD by itself; else a step builds the module.
    pub fn ships_drbd(&self) -> bool {
        self.choices().any(|choice| choice == ("drbd_module", "shipped"))
    }

    /// How one comes to a kernel that can do what is needed, in words.
    pub fn kernel_advice(&self) -> &str {
        self.groups.get("advice").and_then(|advice| advice.get("kernel")).map_or("", String::as_str)
    }

    /// Answers that this platform can't carry out, in words, from its group `supports`: there is no step for them, and
    /// leaving them out in silence would leave a pair without its fencing or its mount.
    pub fn unsupported(&self, choices: &BTreeMap<String, String>) -> Vec<String> {
        let Some(supports) = self.groups.get("supports") else { return Vec::new() };
        let wrong = |(key, values): (&String, &String)| {
            let value = choices.get(key)?;
            let known: Vec<&str> = values.split_whitespace().collect();
            (!known.contains(&value.as_str()))
                .then(|| format!("{} has no `{key}: {value}`; it has {}", self.id, known.join(" or ")))
        };
        supports.iter().filter_map(wrong).collect()
    }

    /// The platform of this id.
    ///
    /// # Errors
    /// In words, with those that there are.
    pub fn named<'a>(id: &str, platforms: &'a [Platform]) -> Result<&'a Platform, String> {
        platforms.iter().find(|platform| platform.id == id).ok_or_else(|| {
            let known: Vec<&str> = platforms.iter().map(|platform| platform.id.as_str()).collect();
            format!("there is no platform {id}; known are {}", known.join(", "))
        })
    }
}

fn whole(id: &str, described: &BTreeMap<String, Described>) -> Result<Platform> {
    let mut line: Vec<&Described> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut next = Some(id);
    while let Some(id) = next {
        if !seen.insert(id) {
            bail!(
                "it is like itself, by way of {}",
                line.iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(", ")
            );
        }
        let Some(one) = described.get(id) else { bail!("it is like {id}, and there is no such platform") };
        line.push(one);
        next = one.like.as_deref();
    }
    let own = line[0];
    let first = |get: fn(&Described) -> &Option<String>, key: &str| {
        line.iter().find_map(|one| get(one).clone()).with_context(|| format!("it has no {key}"))
    };
    let mut groups = Groups::new();
    for one in line.iter().rev() {
        for (name, group) in &one.groups {
            groups.entry(name.clone()).or_default().extend(group.clone());
        }
    }
    let platform = Platform {
        id: own.id.clone(),
        title: own.title.clone(),
        os: own.os.clone(),
        release: own.release.clone(),
        proved: own.proved.clone(),
        messaging: first(|one| &one.messaging, "messaging")?,
        init: first(|one| &one.init, "init")?,
        drbd_dialect: first(|one| &one.drbd_dialect, "drbd_dialect")?,
        groups,
    };
    for (key, value, known) in [
        ("messaging", &platform.messaging, &["corosync", "heartbeat"][..]),
        ("init", &platform.init, &["systemd", "sysv"]),
        ("drbd_dialect", &platform.drbd_dialect, &["8.0", "8.4", "9"]),
    ] {
        if !known.contains(&value.as_str()) {
            bail!("{key} is {value}; it must be one of {}", known.join(", "));
        }
    }
    Ok(platform)
}

/// A value of os-release (or, for releases older than that file, of lsb-release).
pub fn release_value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.strip_prefix('=')?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

/// The release in one line: `Debian GNU/Linux 12 (bookworm)`.
pub fn release_title(text: &str) -> String {
    release_value(text, "PRETTY_NAME")
        .or_else(|| release_value(text, "DISTRIB_DESCRIPTION"))
        .or_else(|| {
            let (_, release, title) = older(text)?;
            Some(if release.is_empty() { title } else { format!("{title} {release}") })
        })
        .unwrap_or_else(|| "an unknown release".to_owned())
}

/// Id, release and title from what a system without os-release and lsb-release has: /etc/debian_version (`5.0.10`,
/// `lenny/sid`) or /etc/SuSE-release (`openSUSE 11.1 (x86_64)`).
fn older(text: &str) -> Option<(String, String, String)> {
    let first = text.lines().find(|line| !line.trim().is_empty())?.trim();
    if first.contains('=') {
        return None;
    }
    if first.to_lowercase().contains("suse") {
        let release = first.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        return Some(("opensuse".to_owned(), release.unwrap_or_default().to_owned(), "openSUSE".to_owned()));
    }
    let mut parts = first.split('.');
    let (major, minor) = (parts.next()?, parts.next().unwrap_or("0"));
    let numbers = [major, minor].iter().all(|part| part.chars().all(|c| c.is_ascii_digit()) && !part.is_empty());
    let release = if numbers { format!("{major}.{minor}") } else { String::new() };
    let known = numbers || first.contains('/');
    known.then(|| ("debian".to_owned(), release, "Debian GNU/Linux".to_owned()))
}

/// The platform of a node.
///
/// # Errors
/// In words: what was found, the nearest that is supported, and how another one is added.
pub fn detect<'a>(os_release: &str, platforms: &'a [Platform]) -> Result<&'a Platform, String> {
    let os = release_value(os_release, "ID")
        .or_else(|| release_value(os_release, "DISTRIB_ID").map(|id| id.to_lowercase()))
        .or_else(|| older(os_release).map(|(id, _, _)| id))
        .unwrap_or_default();
    let release = release_value(os_release, "VERSION_ID")
        .or_else(|| release_value(os_release, "DISTRIB_RELEASE"))
        .or_else(|| older(os_release).map(|(_, release, _)| release))
        .unwrap_or_default();
    if let Some(found) = platforms.iter().find(|platform| platform.os == os && platform.release == release) {
        return Ok(found);
    }
    let family = release_value(os_release, "ID_LIKE").unwrap_or_default();
    let related = |platform: &&Platform| platform.os == os || family.split_whitespace().any(|like| like == platform.os);
    let distance = |platform: &&Platform| {
        // Without a number (Debian's testing) the newest is the nearest.
        let wanted = number(&release).unwrap_or(u64::MAX);
        number(&platform.release).unwrap_or(0).abs_diff(wanted)
    };
    let own = platforms.iter().filter(|platform| platform.os == os).min_by_key(distance);
    // A system is nearer to another of its time than to a later one of its own name.
    let name = format!("{os}-{release}");
    let of_its_time = platforms.iter().find(|platform| {
        let names = platform.groups.get("nearest").and_then(|group| group.get("to"));
        names.is_some_and(|names| names.split_whitespace().any(|other| other == name))
    });
    let nearest = of_its_time
        .or(own)
        .or_else(|| platforms.iter().filter(related).max_by_key(|platform| number(&platform.release)));
    let id = if os.is_empty() {
        "ID".to_owned()
    } else {
        format!("{os}-{}", if release.is_empty() { "RELEASE" } else { &release })
    };
    let known: Vec<&str> = platforms.iter().map(|platform| platform.id.as_str()).collect();
    Err(format!(
        "{} is not supported; {}; to add a platform: one file steps/platform/{id}.yaml",
        release_title(os_release),
        match nearest {
            Some(platform) => format!("nearest is {}", platform.id),
            None => format!("supported are {}", known.join(", ")),
        }
    ))
}

/// `24.04` as a number that orders: 2404.
fn number(release: &str) -> Option<u64> {
    let (major, minor) = release.split_once('.').unwrap_or((release, "0"));
    Some(major.parse::<u64>().ok()? * 100 + minor.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // As the releases have it.
    const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";

    fn texts() -> Vec<(String, String)> {
        ["debian-12", "debian-13", "ubuntu-24.04", "ubuntu-7.10"]
            .map(|id| {
                let name = format!("platform/{id}.yaml");
                let path = format!("{}/steps/{name}", env!("CARGO_MANIFEST_DIR"));
                (name, std::fs::read_to_string(path).expect("a platform file"))
            })
            .to_vec()
    }

    #[test]
    fn every_platform_has_the_same_keys() {
        let platforms = Platform::load(&texts()).expect("they load");
        assert_eq!(platforms.len(), 4);
        let keys = |platform: &Platform| -> Vec<String> {
            let groups = platform.groups.iter();
            groups
                // What only the platform itself is asked for.
                .filter(|(name, _)| !["supports", "nearest"].contains(&name.as_str()))
                .flat_map(|(name, group)| group.keys().map(move |key| format!("{name}.{key}")))
                .collect()
        };
        for platform in &platforms {
            // A template that names a key must render on every platform.
            assert_eq!(keys(platform), keys(&platforms[0]), "{}", platform.id);
        }
        assert_eq!(platforms[0].packages(&["tools", "drbd", "tools"]), ["busybox-static", "cpio", "drbd-utils"]);
        let (twelve, noble) = (&platforms[0], &platforms[2]);
        assert_eq!((twelve.id.as_str(), noble.init.as_str()), ("debian-12", "systemd"));
        assert_eq!(platforms[3].messaging, "heartbeat");
    }

    #[test]
    fn a_release_is_recognised() {
        let platforms = Platform::load(&texts()).expect("they load");
        assert_eq!(detect(BOOKWORM, &platforms).map(|platform| platform.id.as_str()), Ok("debian-12"));
        let gutsy =
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=7.10\nDISTRIB_CODENAME=gutsy\nDISTRIB_DESCRIPTION=\"Ubuntu 7.10\"\n";
        assert_eq!(detect(gutsy, &platforms).map(|platform| platform.id.as_str()), Ok("ubuntu-7.10"));
    }

    #[test]
    fn what_is_not_supported_is_told_in_words() {
        let platforms = Platform::load(&texts()).expect("they load");
        let eleven = "PRETTY_NAME=\"Debian GNU/Linux 11 (bullseye)\"\nVERSION_ID=\"11\"\nID=debian\n";
        assert_eq!(
            detect(eleven, &platforms).expect_err("unknown"),
            "Debian GNU/Linux 11 (bullseye) is not supported; nearest is debian-12; to add a platform: one file steps/platform/debian-11.yaml"
        );
        for (text, nearest) in [
            ("PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n", "nearest is debian-13"),
            ("ID=ubuntu\nVERSION_ID=\"22.04\"\nID_LIKE=debian\n", "nearest is ubuntu-24.04"),
            ("ID=linuxmint\nVERSION_ID=\"22\"\nID_LIKE=\"ubuntu debian\"\n", "nearest is ubuntu-24.04"),
            ("ID=alpine\nVERSION_ID=3.20.1\n", "supported are debian-12, debian-13, ubuntu-24.04, ubuntu-7.10"),
        ] {
            let error = detect(text, &platforms).expect_err("unknown");
            assert!(error.contains(nearest), "{error}");
        }
    }

    #[test]
    fn the_releases_that_readers_used_are_told_the_nearest() {
        let platforms = Platform::load(&texts()).expect("they load");
        let hardy =
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=8.04\nDISTRIB_CODENAME=hardy\nDISTRIB_DESCRIPTION=\"Ubuntu 8.04\"\n";
        for (text, title, file) in [
            (hardy, "Ubuntu 8.04", "ubuntu-8.04"),
            ("5.0.10\n", "Debian GNU/Linux 5.0", "debian-5.0"),
            ("openSUSE 11.1 (x86_64)\nVERSION = 11.1\n", "openSUSE 11.1", "opensuse-11.1"),
        ] {
            assert_eq!(
                detect(text, &platforms).expect_err("not supported"),
                format!(
                    "{title} is not supported; nearest is ubuntu-7.10; to add a platform: one file steps/platform/{file}.yaml"
                )
            );
        }
        assert!(detect("trixie/sid\n", &platforms).expect_err("unknown").contains("nearest is debian-13"));
        assert_eq!(release_title("no such thing\n"), "an unknown release");
    }

    #[test]
    fn an_answer_that_a_platform_cannot_carry_out_is_told() {
        let platforms = Platform::load(&texts()).expect("they load");
        let choices = |fencing: &str| {
            BTreeMap::from([("fencing".to_owned(), fencing.to_owned()), ("start".to_owned(), "script".to_owned())])
        };
        assert_eq!(platforms[3].unsupported(&choices("ssh")), Vec::<String>::new());
        assert_eq!(
            platforms[3].unsupported(&choices("sbd")),
            ["ubuntu-7.10 has no `fencing: sbd`; it has ipmi or ssh"]
        );
        assert_eq!(platforms[0].unsupported(&choices("sbd")), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_comes_from_what_it_is_like() {
        let head = |id: &str| format!("id: {id}\ntitle: t\nos: x\nrelease: '1'\nproved: p\n");
        let text = |id: &str, more: &str| (format!("platform/{id}.yaml"), head(id) + more);
        let base = text("a", "messaging: corosync\ninit: systemd\ndrbd_dialect: '8.4'\npackages: {one: x, two: y}\n");
        let platforms = Platform::load(&[base.clone(), text("b", "like: a\npackages: {two: z}\n")]).expect("they load");
        assert_eq!(platforms[1].groups["packages"]["one"], "x");
        assert_eq!(platforms[1].groups["packages"]["two"], "z");
        for (more, word) in [("like: b\n", "like itself"), ("like: nobody\n", "no such platform"), ("", "no messaging")]
        {
            let error = format!("{:#}", Platform::load(&[base.clone(), text("b", more)]).expect_err(word));
            assert!(error.contains(word), "{error}");
        }
    }
}
