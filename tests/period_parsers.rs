//! The files of the tutorial's own platform, by the grammar of its time: drbdadm's parser of that line as each node, the
//! statements that 8.0.3 had, the rules of Heartbeat 2's CIB.
#![allow(missing_docs, clippy::unwrap_used)]

mod parsers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hapair::answers::load::Secrets;
use hapair::command::render;
use hapair::setup::{Places, Setup};
use parsers::Tree;

const TUTORIAL: &str = include_str!("examples/ubuntu-7.10.yaml");

/// With everything that the platform can do: fencing by IPMI, a second link, VMs that prefer a node, no given rate.
fn wide() -> String {
    TUTORIAL
        .replace("address: 192.0.2.1 }", "address: 192.0.2.1, second_address: 198.51.100.1 }")
        .replace("address: 192.0.2.2 }", "address: 192.0.2.2, second_address: 198.51.100.2 }")
        .replace("sync_rate: 10M, ", "")
        .replace(
            "fencing: { method: ssh, accept_unsafe: ssh }",
            "fencing:\n  method: ipmi\n  node1: { address: 203.0.113.1, user: admin, password: env:BMC1 }\n  node2: { address: 203.0.113.2, user: admin, password: env:BMC2 }",
        )
        .replace(
            "  - { name: vm01, config: file:/srv/vm01.cfg }",
            "  - { name: vm01, config: file:/srv/vm01.cfg, prefer: node1 }\n  - { name: vm02, memory: 256M, disk: 2G, image: blank, prefer: node2 }",
        )
}

/// Both sets of answers, rendered.
fn rendered() -> Vec<(Setup, tempfile::TempDir)> {
    [TUTORIAL.to_owned(), wide()]
        .iter()
        .map(|text| {
            let out = tempfile::tempdir().unwrap();
            let answers = out.path().join("answers.yaml");
            fs::write(&answers, text).unwrap();
            let setup = Setup::load(&answers, Places::default(), Secrets::Leave).unwrap();
            assert!(render::run(&setup, out.path()).unwrap() > 0);
            (setup, out)
        })
        .collect()
}

#[test]
fn the_legacy_parser_of_drbdadm_reads_it_as_each_node() {
    let tree = Tree::get();
    for (setup, out) in rendered() {
        for (node, peer) in setup.answers.nodes.iter().zip(setup.answers.nodes.iter().rev()) {
            // The parser itself, and not drbdadm's choice by the module's version.
            let line = "/usr/lib/drbd/drbdadm-83 -c /files/etc/drbd.conf";
            let run = |words: &str| {
                tree.run(
                    &out.path().join(&node.name),
                    &node.name,
                    &[node.address.to_string()],
                    &format!("{line} {words}"),
                )
            };
            let (code, said) = run("-d up r0");
            assert_eq!(code, 0, "{}: {said}", node.name);
            // Both sides of the connection, seen from this node.
            let link = format!("{}:7788 ipv4:{}:7788", node.address, peer.address);
            for words in [node.device.as_str(), link.as_str(), "--allow-two-primaries"] {
                assert!(said.contains(words), "{}: no {words} in {said}", node.name);
            }
            let (code, said) = run("-d -- --overwrite-data-of-peer primary r0");
            assert_eq!(code, 0, "{}: {said}", node.name);
            assert!(said.contains("primary --overwrite-data-of-peer"), "{said}");
        }
    }
}

/// Statements that drbdadm 8.0.3 takes, by section: tried one by one with the real one. What came later is not here
/// (become-primary-on, fence-peer, split-brain, verify-alg, values `yes`).
const OF_8_0_3: &[(&str, &[&str])] = &[
    ("global", &["usage-count", "minor-count", "dialog-refresh", "disable-ip-verification"]),
    ("resource", &["protocol"]),
    ("handlers", &["outdate-peer", "pri-on-incon-degr", "pri-lost-after-sb", "local-io-error", "pri-lost"]),
    ("startup", &["wfc-timeout", "degr-wfc-timeout"]),
    ("disk", &["on-io-error", "fencing", "size", "use-bmbv"]),
    (
        "net",
        &[
            "allow-two-primaries",
            "after-sb-0pri",
            "after-sb-1pri",
            "after-sb-2pri",
            "rr-conflict",
            "always-asbp",
            "cram-hmac-alg",
            "shared-secret",
            "ping-timeout",
            "timeout",
            "max-buffers",
            "unplug-watermark",
        ],
    ),
    ("syncer", &["rate", "al-extents"]),
    ("on", &["device", "disk", "address", "meta-disk", "flexible-meta-disk"]),
];

/// Statements that 8.0.3 does not know in that place, and braces that don't match.
fn complaints(text: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim()) {
        let word = line.split([' ', ';']).next().unwrap_or_default();
        if line.is_empty() || line.starts_with('#') {
        } else if line.ends_with('{') {
            open.push(word.to_owned());
        } else if line == "}" {
            if open.pop().is_none() {
                found.push("a brace too many".to_owned());
            }
        } else {
            let section = open.last().map_or("", String::as_str);
            let known = OF_8_0_3.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, words)| *words);
            // A value came to these with 8.4.
            let bare = ["allow-two-primaries", "always-asbp", "use-bmbv"].contains(&word) && line != format!("{word};");
            if !known.contains(&word) || !line.ends_with(';') || bare {
                found.push(format!("{section}: {line}"));
            }
        }
    }
    if !open.is_empty() {
        found.push(format!("not closed: {}", open.join(", ")));
    }
    found
}

#[test]
fn every_statement_is_one_of_8_0_3() {
    for (setup, out) in rendered() {
        for node in &setup.answers.nodes {
            let text = fs::read_to_string(out.path().join(&node.name).join("etc/drbd.conf")).unwrap();
            assert_eq!(complaints(&text), Vec::<String>::new());
        }
    }
    // The page's own file lost its braces; later releases' words are refused.
    let page = "global {\nusage-count yes;\ncommon {\nsyncer { rate 10M; }\n";
    assert!(!complaints(page).is_empty());
    assert_eq!(
        complaints("resource r0 {\nstartup {\nbecome-primary-on both;\n}\n}\n"),
        ["startup: become-primary-on both;"]
    );
    assert_eq!(complaints("resource r0 {\nnet {\nallow-two-primaries yes;\n}\n}\n"), ["net: allow-two-primaries yes;"]);
}

/// The CIB that the files below /root/cluster make, with two nodes as Heartbeat enters them.
fn cib(files: &Path) -> String {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut names: Vec<_> = fs::read_dir(files).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let section = match text.trim_start() {
            text if text.starts_with("<cluster_property_set") => "crm_config",
            text if text.starts_with("<rsc_") => "constraints",
            text if text.starts_with('<') => "resources",
            _ => continue,
        };
        sections.entry(section).or_default().push_str(&text);
    }
    let part = |name: &str| sections.get(name).map_or("", String::as_str);
    format!(
        "<cib>\n<configuration>\n<crm_config>{}</crm_config>\n<nodes>\n\
         <node id=\"6bfd2aa7-b132-4104-913c-c34ef03a4dba\" uname=\"node1\" type=\"normal\"/>\n\
         <node id=\"83972cf7-0b56-4299-8e42-69b3411377a7\" uname=\"node2\" type=\"normal\"/>\n</nodes>\n\
         <resources>{}</resources>\n<constraints>{}</constraints>\n</configuration>\n<status/>\n</cib>\n",
        part("crm_config"),
        part("resources"),
        part("constraints")
    )
}

fn valid(cib: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cib.xml");
    fs::write(&path, cib).unwrap();
    let dtd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/period/cib-0.6.dtd");
    parsers::command("xmllint", &["--noout", "--dtdvalid", dtd.to_str().unwrap(), path.to_str().unwrap()])
}

#[test]
fn the_cib_follows_the_rules_of_0_6() {
    for (setup, out) in rendered() {
        for node in &setup.answers.nodes {
            let cib = cib(&out.path().join(&node.name).join("root/cluster"));
            let (code, said) = valid(&cib);
            assert_eq!(code, 0, "{}: {said}\n{cib}", node.name);
            assert!(cib.contains("cluster-delay") && !cib.contains("transition-idle-timeout"));
        }
    }
}

#[test]
fn what_the_page_printed_does_not() {
    let (_, out) = rendered().remove(0);
    let good = cib(&out.path().join("node1/root/cluster"));
    for (what, bad) in [
        ("no <attributes>", good.replace("<attributes>", "").replace("</attributes>", "")),
        ("no <operations>", good.replace("<operations>", "").replace("</operations>", "")),
        ("one id for several things", good.replace("\"stonith-ssh\"", "\"stonithclone\"")),
        ("round brackets", good.replacen("<nvpair", "(nvpair", 1)),
        ("typographic quotes", good.replacen("value=\"60s\"", "value=\u{2033}60s\u{2033}", 1)),
        ("a word of Pacemaker 0.6", good.replace("globally_unique=\"false\"", "globally_unique=\"no\"")),
    ] {
        assert_ne!(good, bad, "{what}");
        assert_ne!(valid(&bad).0, 0, "{what} was accepted");
    }
}
