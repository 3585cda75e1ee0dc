//! The simulated cluster: a CIB that takes objects by their id, and a view of it in which everything runs.

use std::fmt::Write as _;

use hapair::cluster::NOT_CONNECTED;
use hapair::node::scripted::{fails, says};
use hapair::node::{At, Cmd, Output};
use roxmltree::{Document, Node};

use super::World;

fn silent(world: &World, at: At) -> Option<Output> {
    if !world.machines[at.index()].has("pacemaker") {
        return Some(fails(127, "not found"));
    }
    (!world.running(at)).then(|| fails(NOT_CONNECTED, "Connection to cluster failed"))
}

pub fn query(world: &World, at: At) -> Output {
    if let Some(output) = silent(world, at) {
        return output;
    }
    says(configuration(world))
}

fn configuration(world: &World) -> String {
    let mut text = String::from("<configuration>");
    for (section, objects) in &world.cib {
        let _ = write!(text, "<{section}>{}</{section}>", objects.concat());
    }
    text + "</configuration>"
}

/// `cibadmin -M -c -o SECTION --xml-pipe`, `-D`, and `-R --xpath PLACE`. The first can't make another device of one that is
/// there: merged, it would keep what was meant for the agent before.
pub fn change(world: &mut World, at: At, cmd: &Cmd) -> Output {
    if let Some(output) = silent(world, at) {
        return output;
    }
    let text = String::from_utf8(cmd.stdin.clone()).unwrap();
    let document = Document::parse(&text).unwrap();
    let root = document.root_element();
    if cmd.argv[1] == "-R" {
        let id = root.attribute("id").unwrap();
        assert_eq!(cmd.argv[3], format!("//primitive[@id='{id}']"), "it replaces itself");
        let old = world.cib.get_mut("resources").and_then(|all| all.iter_mut().find(|object| object_id(object) == id));
        *old.expect("what is replaced is there") = text[root.range()].to_owned();
        return says("");
    }
    let section = cmd.argv.iter().skip_while(|word| *word != "-o").nth(1).unwrap();
    if cmd.argv[1] == "-D" {
        let id = root.attribute("id").unwrap();
        world.cib.entry(section.clone()).or_default().retain(|object| !object_id(object).eq(id));
        return says("");
    }
    let sections: Vec<Node<'_, '_>> =
        if section == "configuration" { root.children().filter(Node::is_element).collect() } else { vec![root] };
    for section in sections {
        let objects = world.cib.entry(section.tag_name().name().to_owned()).or_default();
        for object in section.children().filter(Node::is_element) {
            let new = text[object.range()].to_owned();
            match objects.iter_mut().find(|old| object_id(old) == object_id(&new)) {
                Some(old) => {
                    let agent = |object: &str| {
                        let document = Document::parse(object).unwrap();
                        document.root_element().attribute("type").unwrap_or_default().to_owned()
                    };
                    assert_eq!(agent(old), agent(&new), "an agent that is merged with another one");
                    *old = new;
                }
                None => objects.push(new),
            }
        }
    }
    says("")
}

pub fn object_id(object: &str) -> String {
    Document::parse(object).unwrap().root_element().attribute("id").unwrap_or_default().to_owned()
}

/// Whether the CIB has an object.
pub fn has(world: &World, id: &str) -> bool {
    world.cib.values().flatten().any(|object| object_id(object) == id)
}

/// Whether the CIB has a resource.
pub fn holds(world: &World, id: &str) -> bool {
    world.cib.get("resources").is_some_and(|all| all.iter().any(|object| object_id(object) == id))
}

pub fn crm_mon(world: &World, at: At) -> Output {
    if let Some(output) = silent(world, at) {
        return output;
    }
    let online = At::BOTH.map(|at| world.running(at));
    let text = configuration(world);
    let document = Document::parse(&text).unwrap();
    let value = |name: &str| {
        document
            .descendants()
            .find(|node| node.attribute("name") == Some(name))
            .and_then(|node| node.attribute("value"))
            .unwrap_or("false")
    };
    let managed = value("maintenance-mode") != "true";
    let mut out = format!(
        "<pacemaker-result><summary><current_dc present=\"true\" name=\"node1\" with_quorum=\"true\"/><cluster_options stonith-enabled=\"{}\" maintenance-mode=\"{}\"/></summary><nodes>",
        value("stonith-enabled"),
        value("maintenance-mode")
    );
    for (number, online) in online.into_iter().enumerate() {
        let _ = write!(
            out,
            "<node name=\"node{0}\" id=\"{0}\" online=\"{online}\" standby=\"false\" maintenance=\"false\" pending=\"false\" unclean=\"false\" shutdown=\"false\" type=\"member\"/>",
            number + 1
        );
    }
    out.push_str("</nodes><resources>");
    for primitive in document.descendants().filter(|node| node.has_tag_name("primitive")) {
        let id = primitive.attribute("id").unwrap();
        let agent = [primitive.attribute("class"), primitive.attribute("provider"), primitive.attribute("type")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(":");
        let clone = primitive.parent().filter(|parent| parent.has_tag_name("clone"));
        let promotable = clone.is_some_and(|clone| {
            clone
                .descendants()
                .any(|node| node.attribute("name") == Some("promotable") && node.attribute("value") == Some("true"))
        });
        let role = if promotable { "Promoted" } else { "Started" };
        let one = |node: &str| {
            format!(
                "<resource id=\"{id}\" resource_agent=\"{agent}\" role=\"{role}\" active=\"true\" orphaned=\"false\" blocked=\"false\" managed=\"{managed}\" failed=\"false\" nodes_running_on=\"1\"><node name=\"{node}\" id=\"1\" cached=\"true\"/></resource>"
            )
        };
        match clone {
            Some(clone) => {
                let _ = write!(
                    out,
                    "<clone id=\"{}\" multi_state=\"{promotable}\" managed=\"true\" failed=\"false\">{}{}</clone>",
                    clone.attribute("id").unwrap(),
                    one("node1"),
                    one("node2")
                );
            }
            None => out.push_str(&one("node1")),
        }
    }
    out.push_str("</resources></pacemaker-result>");
    says(out)
}
