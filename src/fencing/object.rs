//! Fencing devices and levels: which of them a method has, and which a CIB holds beside these.
//!
//! What is loaded into the CIB stays there until it is taken out. So a method that was changed in the answers leaves the
//! devices of the one before, and the cluster goes on using them.

use roxmltree::{Document, Node};

use crate::answers::FencingMethod;

/// A fencing device or a level in a CIB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its id.
    pub id: String,
    /// `fencing device stonith-ssh (external/ssh)`.
    pub words: String,
    /// What it does as long as it is there.
    pub does: String,
    /// Commands that take it out, in this order: the cluster refuses a constraint on nothing.
    pub removal: Vec<String>,
}

/// Ids of the devices and levels that a method has, as `templates/cib/fencing-*` gives them.
pub fn ids(method: &FencingMethod, nodes: [&str; 2]) -> Vec<String> {
    match method {
        FencingMethod::Ipmi { .. } | FencingMethod::Agent { .. } => nodes.map(|node| format!("fence-{node}")).to_vec(),
        FencingMethod::Sbd { .. } => vec!["fence-sbd".to_owned()],
        FencingMethod::Ssh => vec!["stonith-ssh".to_owned()],
        FencingMethod::Levels { methods } => {
            let devices = methods.iter().enumerate().filter(|(_, method)| !matches!(method, FencingMethod::Manual));
            let of = |number: usize, node: &str| [format!("fence-{number}-{node}"), format!("level-{node}-{number}")];
            devices.flat_map(|(index, _)| nodes.into_iter().flat_map(move |node| of(index + 1, node))).collect()
        }
        FencingMethod::Manual => Vec::new(),
    }
}

/// All fencing devices and levels of a CIB, the levels first. `xml` is its `<configuration>`.
///
/// # Errors
/// When it is no XML; the text is for people.
pub fn objects(xml: &str) -> Result<Vec<Object>, String> {
    let document = Document::parse(xml).map_err(|error| format!("cibadmin printed no XML: {error}"))?;
    let all: Vec<Node<'_, '_>> = document.root_element().descendants().filter(Node::is_element).collect();
    let levels = all.iter().filter(|node| node.has_tag_name("fencing-level")).map(|node| level(*node));
    let devices =
        all.iter().filter(|node| node.has_tag_name("primitive") && node.attribute("class") == Some("stonith"));
    Ok(levels.chain(devices.map(|node| device(*node, &all))).collect())
}

/// Those that are none of `wanted`.
pub fn beside<'a>(objects: &'a [Object], wanted: &[String]) -> Vec<&'a Object> {
    objects.iter().filter(|object| !wanted.contains(&object.id)).collect()
}

fn level(node: Node<'_, '_>) -> Object {
    let text = |name: &str| node.attribute(name).unwrap_or_default().to_owned();
    let target = ["target", "target-pattern", "target-value"].into_iter().find_map(|name| node.attribute(name));
    let target = target.unwrap_or("a node");
    Object {
        id: text("id"),
        words: format!("fencing level {} ({target}: {})", text("id"), text("devices")),
        does: format!("as long as {target} has levels no device is used for it that they don't name"),
        removal: vec![removal("fencing-level", &text("id"))],
    }
}

fn device(node: Node<'_, '_>, all: &[Node<'_, '_>]) -> Object {
    let id = node.attribute("id").unwrap_or_default();
    let agent = node.attribute("type").unwrap_or_default();
    // A clone, or a group, can't be empty.
    let mut top = node;
    while let Some(parent) = top.parent_element().filter(|parent| {
        parent.has_tag_name("clone")
            || (parent.has_tag_name("group")
                && parent.children().filter(|child| child.has_tag_name("primitive")).count() == 1)
    }) {
        top = parent;
    }
    let names: Vec<&str> = node
        .ancestors()
        .take_while(|above| top.parent() != Some(*above))
        .filter_map(|above| above.attribute("id"))
        .collect();
    let about = |constraint: &&Node<'_, '_>| {
        let in_section = constraint.parent_element().is_some_and(|section| section.has_tag_name("constraints"));
        in_section
            && ["rsc", "with-rsc", "first", "then"]
                .iter()
                .any(|key| constraint.attribute(*key).is_some_and(|rsc| names.contains(&rsc)))
    };
    let element = |node: Node<'_, '_>| removal(node.tag_name().name(), node.attribute("id").unwrap_or_default());
    let mut removal: Vec<String> = all.iter().filter(about).map(|constraint| element(*constraint)).collect();
    removal.push(element(top));
    Object {
        id: id.to_owned(),
        words: format!("fencing device {id} ({agent})"),
        does: if agent == "external/ssh" {
            "it reports success for a node that it can't reach, and then what still runs there is started a second time"
                .to_owned()
        } else {
            "it may be asked to switch a node off, and its word is taken for it".to_owned()
        },
        removal,
    }
}

fn removal(tag: &str, id: &str) -> String {
    format!("cibadmin -D --xpath \"//{tag}[@id='{id}']\"")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `templates/cib/fencing-ssh.xml.tera` makes.
    pub(crate) const SSH: &str =
        r#"<clone id="stonithclone"><primitive id="stonith-ssh" class="stonith" type="external/ssh"/></clone>"#;

    /// A `<configuration>` of these resources, constraints and levels.
    pub(crate) fn cib(resources: &str, constraints: &str, levels: &str) -> String {
        format!(
            "<configuration><crm_config/><nodes/><resources>{resources}</resources><constraints>{constraints}</constraints><fencing-topology>{levels}</fencing-topology></configuration>"
        )
    }

    fn left(xml: &str, wanted: &[&str]) -> Vec<Object> {
        let wanted: Vec<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
        let objects = objects(xml).unwrap();
        beside(&objects, &wanted).into_iter().cloned().collect()
    }

    #[test]
    fn a_clone_is_taken_out_as_a_whole() {
        let xml = cib(SSH, "", "");
        assert!(left(&xml, &["stonith-ssh"]).is_empty());
        let found = left(&xml, &["fence-node1", "fence-node2"]);
        assert_eq!(found[0].words, "fencing device stonith-ssh (external/ssh)");
        assert!(found[0].does.contains("reports success"));
        assert_eq!(found[0].removal, ["cibadmin -D --xpath \"//clone[@id='stonithclone']\""]);
    }

    #[test]
    fn levels_go_before_their_devices_and_constraints_before_these() {
        let device = r#"<primitive id="fence-1-node1" class="stonith" type="external/ipmi"/>"#;
        let place = r#"<rsc_location id="loc-fence-1-node1" rsc="fence-1-node1" node="node1" score="-INFINITY"/><rsc_location id="other" rsc="vm01" node="node1" score="1"/>"#;
        let level = r#"<fencing-level id="level-node1-1" target="node1" index="1" devices="fence-1-node1"/>"#;
        let found = left(&cib(device, place, level), &["fence-node1"]);
        assert_eq!(found[0].words, "fencing level level-node1-1 (node1: fence-1-node1)");
        let removal: Vec<&str> = found.iter().flat_map(|object| &object.removal).map(String::as_str).collect();
        assert_eq!(
            removal,
            [
                "cibadmin -D --xpath \"//fencing-level[@id='level-node1-1']\"",
                "cibadmin -D --xpath \"//rsc_location[@id='loc-fence-1-node1']\"",
                "cibadmin -D --xpath \"//primitive[@id='fence-1-node1']\"",
            ]
        );
    }

    #[test]
    fn what_shoots_nobody_is_none() {
        let counter = r#"<primitive id="hapair-drill" class="ocf" provider="hapair" type="StandIn"/>"#;
        assert!(objects(&cib(counter, "", "")).unwrap().is_empty());
        assert!(objects("none").is_err());
    }
}
