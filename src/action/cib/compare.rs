//! Objects of the CIB, compared by id.
//!
//! Every element and every attribute of ours must be in the live CIB with the same value. What others added is left
//! alone, and the order of elements means nothing. An `nvpair` is known by its set and its name: `crm_attribute` and
//! the cluster itself give it other ids.
//!
//! A fencing device is all ours: of another agent, or with parameters that the answers have not, it is replaced as a whole.
//! Merged, it would keep what was meant for the agent before, and a `pcmk_host_map` of it could have another node shot.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use roxmltree::{Document, Node};

/// What was asked for once and is the user's from then on: `crm_resource --disable` must not be undone by a later run.
const LEFT_TO_THE_USER: &str = "target-role";

/// What is missing in the live CIB, and what would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Ids that are missing, or hold something else; in the order of the wanted objects.
    pub ids: Vec<String>,
    /// Lines before and after, as a diff.
    pub diff: String,
    /// An object of the section itself (or of one of its sections) is missing altogether.
    pub new_objects: bool,
    /// Fencing devices that are replaced as a whole.
    pub replaced: Vec<Replaced>,
    /// The wanted objects, with the ids that the live CIB uses for the same `nvpair`.
    pub payload: String,
}

/// A fencing device that takes the place of one with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its id.
    pub id: String,
    /// The device, as it will be.
    pub xml: String,
}

/// Wraps objects in their section, unless they come with it: `cibadmin` then loads all of them at once, or none.
///
/// # Errors
/// When they are not well-formed XML. Pacemaker 2.1 would silently load what libxml2 can save of it.
pub(super) fn in_section(section: &str, objects: &str) -> Result<String> {
    let objects = objects.trim();
    if let Ok(document) = Document::parse(objects) {
        if document.root_element().has_tag_name(section) {
            return Ok(objects.to_owned());
        }
    }
    let wrapped = format!("<{section}>\n{objects}\n</{section}>");
    Document::parse(&wrapped).with_context(|| format!("the objects for {section} are not well-formed XML"))?;
    Ok(wrapped)
}

/// Tag and id of each object, constraints behind the resources they are about.
///
/// # Errors
/// When the objects are not well-formed XML.
pub(super) fn top(section: &str, objects: &str) -> Result<Vec<(String, String)>> {
    let wanted = in_section(section, objects)?;
    let wanted = Document::parse(&wanted).context("the wanted objects are not well-formed XML")?;
    let root = wanted.root_element();
    let sections: Vec<Node<'_, '_>> = if section == "configuration" { elements(root).collect() } else { vec![root] };
    Ok(sections
        .into_iter()
        .flat_map(|section| elements(section).collect::<Vec<_>>())
        .filter_map(|object| Some((object.tag_name().name().to_owned(), object.attribute("id")?.to_owned())))
        .collect())
}

/// Compares a section with the answer of `cibadmin -Q -o configuration`.
///
/// # Errors
/// When one of both is not XML, or an id of ours belongs to something else in the live CIB.
pub(super) fn compare(section: &str, objects: &str, live: &str) -> Result<Comparison> {
    let wanted = in_section(section, objects)?;
    let wanted = Document::parse(&wanted).context("the wanted objects are not well-formed XML")?;
    let live = Document::parse(live).context("cibadmin printed no XML")?;
    let configuration = live.root_element();
    if !configuration.has_tag_name("configuration") {
        bail!("cibadmin printed <{}> and not the configuration", configuration.tag_name().name());
    }
    let known: BTreeMap<&str, Node<'_, '_>> =
        configuration.descendants().filter_map(|node| node.attribute("id").map(|id| (id, node))).collect();
    let root = wanted.root_element();
    let other = if section == "configuration" {
        Some(configuration)
    } else {
        configuration.children().find(|child| child.has_tag_name(section))
    };
    let mut walk =
        Walk { known: &known, ids: Vec::new(), diff: String::new(), new_objects: false, replaced: Vec::new() };
    let sections: Vec<(Node<'_, '_>, Option<Node<'_, '_>>)> = if section == "configuration" {
        elements(root).map(|child| (child, counterpart(child, other))).collect()
    } else {
        vec![(root, other)]
    };
    for (section, other) in sections {
        for object in elements(section) {
            let found = counterpart(object, other);
            walk.new_objects |= found.is_none();
            walk.element(object, found, object)?;
        }
    }
    let mut payload = String::new();
    write_element(&mut payload, root, other, 0);
    let Walk { ids, diff, new_objects, replaced, .. } = walk;
    Ok(Comparison { ids, diff, new_objects, replaced, payload })
}

struct Walk<'w, 'live> {
    known: &'w BTreeMap<&'live str, Node<'live, 'live>>,
    ids: Vec<String>,
    diff: String,
    new_objects: bool,
    replaced: Vec<Replaced>,
}

impl Walk<'_, '_> {
    /// `owner` is the innermost element with an id: it names the difference.
    fn element(&mut self, wanted: Node<'_, '_>, live: Option<Node<'_, '_>>, owner: Node<'_, '_>) -> Result<()> {
        let owner = if wanted.attribute("id").is_some() { wanted } else { owner };
        let Some(live) = live else {
            self.free(wanted, None)?;
            self.note(owner);
            let mut text = String::new();
            write_element(&mut text, wanted, None, 0);
            self.lines('+', &text);
            return Ok(());
        };
        if stale(wanted, live) {
            self.free(wanted, Some(live))?;
            self.note(owner);
            let (mut before, mut xml) = (String::new(), String::new());
            write_element(&mut before, live, None, 0);
            write_element(&mut xml, wanted, None, 0);
            // What is no parameter of the agent stays as somebody set it, such as that the device is not to run.
            if !wanted.children().any(|child| child.has_tag_name("meta_attributes")) {
                let mut meta = String::new();
                for set in live.children().filter(|child| child.has_tag_name("meta_attributes")) {
                    write_element(&mut meta, set, None, 1);
                }
                if let Some(end) = xml.rfind("</") {
                    xml.insert_str(end, &meta);
                }
            }
            self.lines('-', &before);
            self.lines('+', &xml);
            self.replaced.push(Replaced { id: owner.attribute("id").unwrap_or_default().to_owned(), xml });
            return Ok(());
        }
        let differs = wanted.attributes().filter(|attribute| attribute.name() != "id").any(|attribute| {
            !is_left(wanted, attribute.name()) && live.attribute(attribute.name()) != Some(attribute.value())
        });
        if differs {
            self.note(owner);
            self.lines('-', &tag(live, None));
            self.lines('+', &tag(wanted, Some(live)));
        }
        for child in elements(wanted) {
            self.element(child, counterpart(child, Some(live)), owner)?;
        }
        Ok(())
    }

    /// No id of a new element may be in use, but by what it replaces: the cluster would refuse it with nothing but "does not
    /// conform".
    fn free(&self, wanted: Node<'_, '_>, replaces: Option<Node<'_, '_>>) -> Result<()> {
        for node in wanted.descendants().filter(Node::is_element) {
            let id = node.attribute("id").filter(|_| !node.has_tag_name("resource_ref"));
            let other = id.and_then(|id| self.known.get(id).map(|other| (id, other)));
            let stays = |other: &Node<'_, '_>| !other.ancestors().any(|above| Some(above) == replaces);
            if let Some((id, other)) = other.filter(|(_, other)| stays(other)) {
                let place = other.parent_element().map(|parent| parent.tag_name().name()).unwrap_or_default();
                bail!("the id {id} is already that of a <{}> in <{place}>", other.tag_name().name());
            }
        }
        Ok(())
    }

    fn note(&mut self, owner: Node<'_, '_>) {
        let id = owner.attribute("id").unwrap_or_else(|| owner.tag_name().name()).to_owned();
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    fn lines(&mut self, sign: char, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.diff, "{sign}{line}");
        }
    }
}

fn is_left(nvpair: Node<'_, '_>, attribute: &str) -> bool {
    attribute == "value" && nvpair.has_tag_name("nvpair") && nvpair.attribute("name") == Some(LEFT_TO_THE_USER)
}

/// Whether a fencing device of this id is another one: of another agent, or with parameters beside the wanted ones.
fn stale(wanted: Node<'_, '_>, live: Node<'_, '_>) -> bool {
    if !wanted.has_tag_name("primitive") || wanted.attribute("class") != Some("stonith") {
        return false;
    }
    let parameters = |device: Node<'_, '_>| -> Vec<(String, String)> {
        let sets = device.children().filter(|child| child.has_tag_name("instance_attributes"));
        let text = |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap_or_default().to_owned();
        sets.flat_map(|set| elements(set).map(move |pair| (text(set, "id"), text(pair, "name")))).collect()
    };
    let ours = parameters(wanted);
    ["class", "provider", "type"].iter().any(|name| wanted.attribute(*name) != live.attribute(*name))
        || parameters(live).iter().any(|parameter| !ours.contains(parameter))
}

fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The same element in the live CIB: by set and name for an `nvpair`, by id where it has one, else by its kind.
fn counterpart<'a>(wanted: Node<'_, '_>, parent: Option<Node<'a, 'a>>) -> Option<Node<'a, 'a>> {
    let key = if wanted.has_tag_name("nvpair") { "name" } else { "id" };
    parent?
        .children()
        .filter(|child| child.has_tag_name(wanted.tag_name().name()))
        .find(|child| wanted.attribute(key).is_none() || child.attribute(key) == wanted.attribute(key))
}

/// An element's start tag on one line; with `live`, under the id that it has there.
fn tag(node: Node<'_, '_>, live: Option<Node<'_, '_>>) -> String {
    let mut text = format!("<{}", node.tag_name().name());
    for attribute in node.attributes() {
        let value = match live {
            Some(live) if attribute.name() == "id" || is_left(node, attribute.name()) => {
                live.attribute(attribute.name()).unwrap_or(attribute.value())
            }
            _ => attribute.value(),
        };
        let _ = write!(text, " {}=\"{}\"", attribute.name(), escaped(value));
    }
    text.push_str(if elements(node).next().is_some() { ">" } else { "/>" });
    text
}

fn write_element(into: &mut String, node: Node<'_, '_>, live: Option<Node<'_, '_>>, depth: usize) {
    let indent = "  ".repeat(depth);
    // What is replaced as a whole keeps no id of what was there.
    let live = live.filter(|live| !stale(node, *live));
    let _ = writeln!(into, "{indent}{}", tag(node, live));
    let mut inner = elements(node).peekable();
    if inner.peek().is_none() {
        return;
    }
    for child in inner {
        write_element(into, child, counterpart(child, live), depth + 1);
    }
    let _ = writeln!(into, "{indent}</{}>", node.tag_name().name());
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // Attribute values are normalised: white space other than blanks would become blanks.
            '\n' => text.push_str("&#10;"),
            '\r' => text.push_str("&#13;"),
            '\t' => text.push_str("&#9;"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Pacemaker 2.1.5 printed it after the first start of a pair.
    const LIVE: &str = r#"<configuration>
  <crm_config>
    <cluster_property_set id="cib-bootstrap-options">
      <nvpair id="cib-bootstrap-options-have-watchdog" name="have-watchdog" value="false"/>
      <nvpair id="cib-bootstrap-options-dc-version" name="dc-version" value="2.1.5-a3f44794f94"/>
      <nvpair id="cib-bootstrap-options-cluster-infrastructure" name="cluster-infrastructure" value="corosync"/>
      <nvpair id="cib-bootstrap-options-cluster-name" name="cluster-name" value="xencluster"/>
    </cluster_property_set>
  </crm_config>
  <nodes>
    <node id="1" uname="node1"/>
    <node id="2" uname="node2"/>
  </nodes>
  <resources>
    <primitive id="vm01" class="ocf" provider="heartbeat" type="Xen">
      <meta_attributes id="vm01-meta">
        <nvpair id="vm01-meta-target-role" name="target-role" value="Stopped"/>
        <nvpair id="other" name="priority" value="5"/>
      </meta_attributes>
      <operations>
        <op id="vm01-monitor" name="monitor" interval="10s" timeout="20s"/>
      </operations>
    </primitive>
  </resources>
  <constraints/>
</configuration>"#;

    const PROPERTIES: &str = r#"<cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="true"/>
    </cluster_property_set>"#;

    #[test]
    fn a_missing_property_is_named() {
        let found = compare("crm_config", PROPERTIES, LIVE).expect("compares");
        assert_eq!(found.ids, ["cib-bootstrap-options-stonith-enabled"]);
        assert_eq!(
            found.diff,
            "+<nvpair id=\"cib-bootstrap-options-stonith-enabled\" name=\"stonith-enabled\" value=\"true\"/>\n"
        );
        assert!(!found.new_objects);
        assert!(found.payload.starts_with("<crm_config>\n  <cluster_property_set id=\"cib-bootstrap-options\">\n"));
    }

    #[test]
    fn a_set_that_is_there_under_another_id_counts() {
        let live = LIVE.replace(
            "</cluster_property_set>",
            "<nvpair id=\"made-by-crm_attribute\" name=\"stonith-enabled\" value=\"false\"/></cluster_property_set>",
        );
        let found = compare("crm_config", PROPERTIES, &live).expect("compares");
        assert_eq!(
            found.diff,
            "-<nvpair id=\"made-by-crm_attribute\" name=\"stonith-enabled\" value=\"false\"/>\n\
             +<nvpair id=\"made-by-crm_attribute\" name=\"stonith-enabled\" value=\"true\"/>\n"
        );
        assert!(found.payload.contains("id=\"made-by-crm_attribute\" name=\"stonith-enabled\" value=\"true\""));
        let live = live.replace("name=\"stonith-enabled\" value=\"false\"", "name=\"stonith-enabled\" value=\"true\"");
        assert!(compare("crm_config", PROPERTIES, &live).expect("compares").ids.is_empty());
    }

    const VM: &str = r#"<configuration>
        <resources><primitive id="vm01" class="ocf" provider="heartbeat" type="Xen">
            <operations><op id="vm01-monitor" name="monitor" interval="10s" timeout="120s"/></operations>
            <meta_attributes id="vm01-meta"><nvpair id="vm01-meta-target-role" name="target-role" value="Started"/></meta_attributes>
        </primitive></resources>
        <constraints><rsc_location id="loc-vm01" rsc="vm01" node="node1" score="100"/></constraints>
    </configuration>"#;

    #[test]
    fn order_and_what_others_added_mean_nothing() {
        let found = compare("configuration", VM, LIVE).expect("compares");
        assert_eq!(found.ids, ["vm01-monitor", "loc-vm01"]);
        assert!(found.new_objects, "the constraint is new");
        assert!(found.diff.contains("-<op id=\"vm01-monitor\" name=\"monitor\" interval=\"10s\" timeout=\"20s\"/>\n+"));
    }

    #[test]
    fn a_vm_that_was_stopped_on_request_stays_so() {
        let found = compare("configuration", VM, LIVE).expect("compares");
        assert!(!found.diff.contains("target-role"));
        assert!(found.payload.contains("name=\"target-role\" value=\"Stopped\""));
    }

    #[test]
    fn an_id_of_something_else_is_refused_in_words() {
        let objects = "<clone id=\"vm01\"><primitive id=\"x\" class=\"ocf\" provider=\"p\" type=\"t\"/></clone>";
        let error = compare("resources", objects, LIVE).expect_err("clash");
        assert_eq!(error.to_string(), "the id vm01 is already that of a <primitive> in <resources>");
    }

    const DEVICE: &str = r#"<configuration><resources><primitive id="fence-node1" class="stonith" type="fence_apc">
        <instance_attributes id="fence-node1-params"><nvpair id="fence-node1-params-ip" name="ip" value="192.0.2.9"/></instance_attributes>
        <operations><op id="fence-node1-monitor" name="monitor" interval="60s"/></operations>
    </primitive></resources></configuration>"#;

    fn beside(device: &str) -> String {
        LIVE.replace("</resources>", &format!("{device}</resources>"))
    }

    #[test]
    fn a_device_of_another_agent_keeps_nothing_of_the_one_before() {
        let live = beside(
            r#"<primitive id="fence-node1" class="stonith" type="external/ipmi"><instance_attributes id="fence-node1-params"><nvpair id="fence-node1-params-passwd" name="passwd" value="old"/><nvpair id="x-ip" name="ip" value="192.0.2.9"/></instance_attributes><meta_attributes id="m"><nvpair id="m-t" name="target-role" value="Stopped"/></meta_attributes></primitive>"#,
        );
        let found = compare("configuration", DEVICE, &live).expect("compares");
        assert_eq!(found.ids, ["fence-node1"]);
        let [device] = &found.replaced[..] else { panic!("{found:?}") };
        assert_eq!(device.id, "fence-node1");
        assert!(!device.xml.contains("passwd") && device.xml.contains("type=\"fence_apc\""), "{}", device.xml);
        // What somebody has asked of it is no parameter of the agent.
        assert!(device.xml.contains("name=\"target-role\" value=\"Stopped\""), "{}", device.xml);
        assert!(Document::parse(&device.xml).is_ok(), "{}", device.xml);
        assert!(found.diff.contains("-    <nvpair id=\"fence-node1-params-passwd\" name=\"passwd\" value=\"old\"/>"));
        // Loaded behind it, under ids that are there by then.
        assert!(found.payload.contains("id=\"fence-node1-params-ip\"") && !found.payload.contains("x-ip"));
    }

    #[test]
    fn parameters_that_are_not_ours_go_with_a_device_and_stay_with_all_else() {
        let same = DEVICE.replace("<configuration><resources>", "").replace("</resources></configuration>", "");
        assert!(compare("configuration", DEVICE, &beside(&same)).expect("compares").ids.is_empty());
        let more = |device: &str, pair: &str| {
            device.replace("</instance_attributes>", &format!("{pair}</instance_attributes>"))
        };
        let pair = r#"<nvpair id="left" name="pcmk_host_map" value="node1:3"/>"#;
        let found = compare("configuration", DEVICE, &beside(&more(&same, pair))).expect("compares");
        assert_eq!((found.ids.len(), found.replaced.len()), (1, 1));
        // A second set of them counts, too.
        let set =
            r#"</instance_attributes><instance_attributes id="other"><nvpair id="o" name="ip" value="192.0.2.8"/>"#;
        assert_eq!(compare("configuration", DEVICE, &beside(&more(&same, set))).expect("compares").replaced.len(), 1);
        // Another value is merged; and what is no fencing device keeps what others added.
        let found =
            compare("configuration", DEVICE, &beside(&same.replace("192.0.2.9", "192.0.2.7"))).expect("compares");
        assert_eq!((found.ids.as_slice(), found.replaced.len()), (&["fence-node1-params-ip".to_owned()][..], 0));
        let vm = |text: &str| text.replace("class=\"stonith\"", "class=\"ocf\"");
        let found = compare("configuration", &vm(DEVICE), &beside(&vm(&more(&same, pair)))).expect("compares");
        assert!(found.ids.is_empty() && found.replaced.is_empty());
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        // Cut in the middle of an nvpair: Pacemaker 2.1.5 takes this, without the value.
        let cut = &PROPERTIES[..PROPERTIES.len() - 45];
        assert!(compare("crm_config", cut, LIVE).is_err());
        assert!(compare("crm_config", "<a id=\"″\"><b></a>", LIVE).is_err());
    }

    #[test]
    fn the_payload_is_escaped() {
        let objects = "<meta_attributes id=\"m\"><nvpair id=\"p\" name=\"passwd\" value=\"a&amp;b&lt;&quot;\"/></meta_attributes>";
        let found = compare("rsc_defaults", objects, LIVE).expect("compares");
        assert!(found.payload.contains("value=\"a&amp;b&lt;&quot;\""));
        assert!(found.new_objects);
    }
}
