//! The fencing configuration of a pair, as hashes: what a proof holds for.

use roxmltree::{Document, Node};

use super::sbd::{Sbd, short};

/// Properties of the cluster that decide how it fences.
const PROPERTIES: [&str; 6] = [
    "stonith-enabled",
    "stonith-action",
    "stonith-timeout",
    "stonith-watchdog-timeout",
    "fence-reaction",
    "priority-fencing-delay",
];

/// Hash of all that decides how a node is switched off: the fencing devices with their parameters, where they may run,
/// the levels, and the cluster's own properties of fencing. `xml` is the CIB's `<configuration>`. Passwords are part of
/// it, so `salt` is the install's id, which only root can read: nobody can guess them from the hash alone.
///
/// # Errors
/// When it is no XML; the text is for people.
pub fn hash(xml: &str, salt: &str) -> Result<String, String> {
    let document = Document::parse(xml).map_err(|error| format!("cibadmin printed no XML: {error}"))?;
    let mut facts: Vec<String> = Vec::new();
    let mut devices: Vec<&str> = Vec::new();
    let all = || document.root_element().descendants().filter(Node::is_element);
    for device in all().filter(|node| node.has_tag_name("primitive") && node.attribute("class") == Some("stonith")) {
        let id = device.attribute("id").unwrap_or_default();
        devices.push(id);
        devices.extend(device.parent().and_then(|clone| clone.attribute("id")));
        facts.push(format!("device {id} {}", device.attribute("type").unwrap_or_default()));
        // How often it is monitored does not matter to who is switched off.
        for set in device.children().filter(|node| node.has_tag_name("instance_attributes")) {
            facts.extend(pairs(set).map(|(name, value)| format!("parameter {id} {name}={value}")));
        }
    }
    for node in all() {
        match node.tag_name().name() {
            "crm_config" => facts.extend(
                node.children()
                    .flat_map(pairs)
                    .filter(|(name, _)| PROPERTIES.contains(name))
                    .map(|(name, value)| format!("property {name}={value}")),
            ),
            "fencing-level" => facts.push(format!("level {}", attributes(node))),
            "rsc_location" if node.attribute("rsc").is_some_and(|id| devices.contains(&id)) => {
                facts.push(format!("place {}", attributes(node)));
            }
            _ => {}
        }
    }
    facts.sort_unstable();
    Ok(short(&format!("{salt}\n{}", facts.join("\n"))))
}

/// Whether SBD takes part in the fencing of a CIB: as a device of its own, under whatever method, or by the watchdog alone.
/// `xml` is its `<configuration>`.
pub fn by_sbd(xml: &str) -> bool {
    const AGENTS: [&str; 3] = ["external/sbd", "fence_sbd", "fence_watchdog"];
    let Ok(document) = Document::parse(xml) else { return false };
    document.descendants().any(|node| {
        let device = node.has_tag_name("primitive") && node.attribute("class") == Some("stonith");
        let alone = node.has_tag_name("nvpair") && node.attribute("name") == Some("stonith-watchdog-timeout");
        (device && node.attribute("type").is_some_and(|agent| AGENTS.contains(&agent)))
            || (alone && node.attribute("value").is_some_and(|value| !["0", "0s"].contains(&value)))
    })
}

/// What a proof holds for: the hash of the CIB, and where SBD takes part one of each node's SBD. Only what both sides tell is
/// compared: a node that could not be asked has changed nothing, and has not stayed as it was either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    cib: String,
    sbd: Vec<Result<String, String>>,
}

impl Configuration {
    /// `cib` is what [`hash`] gave of it, `names` are those of the nodes, `sbd` is what each says of its SBD, or why it says
    /// nothing; `None`: SBD takes no part.
    pub fn new(cib: String, salt: &str, names: [&str; 2], sbd: Option<[Result<&Sbd, String>; 2]>) -> Self {
        let of = |(name, sbd): (&str, Result<&Sbd, String>)| {
            sbd.and_then(|sbd| sbd.hash(salt)).map_err(|why| format!("{name}: {why}"))
        };
        Self { cib, sbd: sbd.map(|sbd| names.into_iter().zip(sbd).map(of).collect()).unwrap_or_default() }
    }

    /// As it is kept in a record.
    ///
    /// # Errors
    /// What can't be told of it, for people.
    pub fn text(&self) -> Result<String, String> {
        let why = self.untold();
        if !why.is_empty() {
            return Err(format!("how SBD is set can't be told: {why}"));
        }
        let sbd = self.sbd.iter().filter_map(|part| part.as_deref().ok());
        Ok([self.cib.as_str()].into_iter().chain(sbd).collect::<Vec<_>>().join("+"))
    }

    /// Why a part of it can't be told; empty: all of it can.
    pub fn untold(&self) -> String {
        self.sbd.iter().filter_map(|part| part.as_ref().err()).cloned().collect::<Vec<_>>().join("; ")
    }

    /// Whether it is that of a record; `None` when that can't be told.
    pub fn is(&self, kept: &str) -> Option<bool> {
        let mut parts = kept.split('+');
        if parts.next() != Some(&self.cib) || parts.clone().count() != self.sbd.len() {
            return Some(false);
        }
        let same: Vec<Option<bool>> =
            self.sbd.iter().zip(parts).map(|(now, kept)| now.as_ref().ok().map(|now| now == kept)).collect();
        if same.contains(&Some(false)) {
            return Some(false);
        }
        (!same.contains(&None)).then_some(true)
    }

    /// In what it differs from that of a record, for people.
    pub fn difference(&self, kept: &str) -> &'static str {
        if !is_of(kept, &self.cib) {
            "the fencing configuration was changed since the last proof"
        } else if !kept.contains('+') {
            "SBD's own settings were no part of the last proof"
        } else {
            "SBD's settings, or the header of its disk, were changed since the last proof"
        }
    }
}

/// Whether a record is about a CIB of this hash.
pub(super) fn is_of(kept: &str, cib: &str) -> bool {
    kept.split('+').next() == Some(cib)
}

fn pairs<'a>(set: Node<'a, 'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    set.children()
        .filter(|node| node.has_tag_name("nvpair"))
        .map(|pair| (pair.attribute("name").unwrap_or_default(), pair.attribute("value").unwrap_or_default()))
}

fn attributes(node: Node<'_, '_>) -> String {
    let mut all: Vec<String> =
        node.attributes().map(|attribute| format!("{}={}", attribute.name(), attribute.value())).collect();
    all.sort_unstable();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIB: &str = r#"<configuration><crm_config><cluster_property_set id="o"><nvpair id="a" name="stonith-enabled" value="true"/><nvpair id="b" name="cluster-delay" value="60s"/></cluster_property_set></crm_config>
<resources><primitive id="vm01" class="ocf" type="Xen"/><primitive id="fence-node2" class="stonith" type="external/ipmi"><instance_attributes id="p"><nvpair id="c" name="passwd" value="old"/><nvpair id="d" name="ipaddr" value="192.0.2.12"/></instance_attributes><operations><op id="m" name="monitor" interval="60s"/></operations></primitive></resources>
<constraints><rsc_location id="l" rsc="fence-node2" node="node2" score="-INFINITY"/><rsc_location id="v" rsc="vm01" node="node1" score="100"/></constraints></configuration>"#;

    fn changed(from: &str, to: &str) -> bool {
        assert!(CIB.contains(from), "{from}");
        hash(CIB, "i1").unwrap() != hash(&CIB.replace(from, to), "i1").unwrap()
    }

    #[test]
    fn what_can_not_be_read_is_neither_changed_nor_as_before() {
        use crate::fencing::sbd::tests::{SOUND, said};
        let sound = said(SOUND).unwrap();
        let other = said(&SOUND.replace("(msgwait)  : 10", "(msgwait)  : 20")).unwrap();
        let lost = said(&SOUND.replace("slot 0", "lost\nslot 0")).unwrap();
        let of = |first, second| Configuration::new("c1".into(), "i1", ["node1", "node2"], Some([first, second]));
        let away = || Err("it can't be asked".to_owned());
        let now = of(Ok(&sound), Ok(&sound));
        let kept = now.text().unwrap();
        assert!(kept.starts_with("c1+") && kept.matches('+').count() == 2, "{kept}");
        assert_eq!(now.is(&kept), Some(true));
        assert_eq!(of(Ok(&sound), Ok(&lost)).is(&kept), None);
        assert_eq!(of(away(), Ok(&sound)).is(&kept), None);
        assert_eq!(of(away(), Ok(&sound)).untold(), "node1: it can't be asked");
        assert!(of(away(), Ok(&sound)).text().unwrap_err().contains("node1: it can't be asked"));
        // One that tells something else is enough, whatever the other one would say.
        assert_eq!(of(away(), Ok(&other)).is(&kept), Some(false));
        assert!(now.difference(&of(Ok(&other), Ok(&sound)).text().unwrap()).starts_with("SBD's settings"));
        // A record from before; and pairs without SBD, of which nothing else is asked than before.
        assert_eq!(now.is("c1"), Some(false));
        assert!(now.difference("c1").contains("no part of the last proof") && now.difference("c2").contains("changed"));
        let without = Configuration::new("c1".into(), "i1", ["node1", "node2"], None);
        assert_eq!((without.text(), without.is("c1"), without.is("c2")), (Ok("c1".into()), Some(true), Some(false)));
    }

    #[test]
    fn sbd_takes_part_by_its_device_or_by_the_watchdog_alone() {
        let without = by_sbd(CIB);
        let levels = CIB.replace("external/ipmi", "fence_sbd");
        let alone = CIB.replace("cluster-delay", "stonith-watchdog-timeout");
        assert_eq!((without, by_sbd(&levels), by_sbd(&alone)), (false, true, true));
        assert!(!by_sbd(&alone.replace("60s\"/></cluster", "0\"/></cluster")));
    }

    #[test]
    fn what_decides_who_is_switched_off_changes_it_and_nothing_else() {
        assert!(changed("value=\"old\"", "value=\"new\""));
        assert!(changed("192.0.2.12", "192.0.2.13"));
        assert!(changed("external/ipmi", "fence_ipmilan"));
        assert!(changed("score=\"-INFINITY\"", "score=\"0\""));
        assert!(changed("name=\"stonith-enabled\" value=\"true\"", "name=\"stonith-enabled\" value=\"false\""));
        assert!(!changed("value=\"60s\"", "value=\"61s\""));
        assert!(!changed("interval=\"60s\"", "interval=\"30s\""));
        assert!(!changed("score=\"100\"", "score=\"200\""));
        assert!(!changed("<primitive id=\"vm01\" class=\"ocf\" type=\"Xen\"/>", ""));
        assert_ne!(hash(CIB, "i1"), hash(CIB, "i2"));
        assert!(hash("none", "i1").is_err());
    }
}
