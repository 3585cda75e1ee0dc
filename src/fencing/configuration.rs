//! The fencing configuration of a CIB, as a hash: what a proof holds for.

use roxmltree::{Document, Node};
use sha2::{Digest as _, Sha256};

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
    let hash = Sha256::digest(format!("{salt}\n{}", facts.join("\n")));
    Ok(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
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
