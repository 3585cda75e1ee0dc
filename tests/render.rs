//! Every file as it would be written, for the answers files of `tests/examples/`: golden, and read by the real parsers.
#![allow(missing_docs, clippy::unwrap_used)]

mod parsers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hapair::answers::load::Secrets;
use hapair::command::render;
use hapair::setup::{Places, Setup};
use parsers::Tree;

const EXAMPLES: [&str; 3] = ["tutorial", "everything", "ubuntu-7.10"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rendered(example: &str) -> (Setup, tempfile::TempDir) {
    let answers = root().join(format!("tests/examples/{example}.yaml"));
    let setup = Setup::load(&answers, Places::default(), Secrets::Leave).unwrap();
    let out = tempfile::tempdir().unwrap();
    assert!(render::run(&setup, out.path()).unwrap() > 0);
    (setup, out)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn rendered_files_are_the_golden_ones() {
    for example in EXAMPLES {
        let (_, out) = rendered(example);
        let golden = root().join("tests/rendered").join(example);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let _ = fs::remove_dir_all(&golden);
            for (path, bytes) in files(out.path()) {
                let path = golden.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        let (now, then) = (files(out.path()), files(&golden));
        assert_eq!(now.keys().collect::<Vec<_>>(), then.keys().collect::<Vec<_>>(), "{example}: other files");
        for (path, bytes) in now {
            let then = String::from_utf8_lossy(&then[&path]).into_owned();
            assert_eq!(String::from_utf8_lossy(&bytes), then, "{example}: {}", path.display());
        }
    }
}

#[test]
fn drbdadm_reads_the_resource_as_each_node() {
    let tree = Tree::get();
    for (example, module) in [("tutorial", "8.4.11"), ("everything", "8.4.11"), ("ubuntu-7.10", "8.3.11")] {
        let (setup, out) = rendered(example);
        for node in &setup.answers.nodes {
            let files = out.path().join(&node.name);
            let config = if files.join("etc/drbd.conf").exists() {
                "/files/etc/drbd.conf".to_owned()
            } else {
                // As Debian's /etc/drbd.conf includes them.
                fs::write(
                    files.join("drbd.conf"),
                    "include \"/files/etc/drbd.d/global_common.conf\";\ninclude \"/files/etc/drbd.d/*.res\";\n",
                )
                .unwrap();
                "/files/drbd.conf".to_owned()
            };
            // The dry run of `up` under the node's own name: `dump` accepts a resource that is not for this host.
            let (code, said) = tree.run(
                &files,
                &node.name,
                &[node.address.to_string()],
                &format!(
                    "DRBD_DRIVER_VERSION_OVERRIDE={module} drbdadm -c {config} -d up {}",
                    setup.answers.storage.resource
                ),
            );
            assert_eq!(code, 0, "{example}, {}: {said}", node.name);
            assert!(said.contains(&node.device), "{example}, {}: {said}", node.name);
            assert!(said.contains("allow-two-primaries"), "{example}, {}: {said}", node.name);
        }
    }
}

#[test]
fn corosync_reads_its_configuration() {
    let tree = Tree::get();
    for example in ["tutorial", "everything"] {
        let (setup, out) = rendered(example);
        for node in &setup.answers.nodes {
            let files = out.path().join(&node.name);
            let addresses: Vec<String> = [Some(node.address), node.second_address]
                .into_iter()
                .flatten()
                .map(|address| address.to_string())
                .collect();
            let (code, said) = tree.run(
                &files,
                &node.name,
                &addresses,
                "cp /files/etc/corosync/authkey /etc/corosync/authkey && corosync -t -c /files/etc/corosync/corosync.conf",
            );
            assert_eq!(code, 0, "{example}, {}: {said}", node.name);
        }
    }
}

#[test]
fn o2cb_reads_the_cluster() {
    let tree = Tree::get();
    for example in EXAMPLES {
        let (setup, out) = rendered(example);
        let files = out.path().join(&setup.answers.nodes[0].name);
        let text = fs::read_to_string(files.join("etc/ocfs2/cluster.conf")).unwrap();
        // Jukka's comment: an attribute without a tab in front is not one.
        let odd =
            |line: &&str| !line.is_empty() && !line.starts_with('\t') && !line.ends_with(':') && !line.starts_with('#');
        assert_eq!(text.lines().find(odd), None);
        let (code, said) =
            tree.run(&files, "any", &[], "o2cb --config-file=/files/etc/ocfs2/cluster.conf list-nodes ocfs2");
        assert_eq!(code, 0, "{example}: {said}");
        for node in &setup.answers.nodes {
            assert!(said.contains(&node.name), "{example}: {said}");
        }
    }
}

#[test]
fn shells_read_the_scripts() {
    for example in EXAMPLES {
        let (_, out) = rendered(example);
        let mut count = 0;
        for (path, bytes) in files(out.path()) {
            if bytes.starts_with(b"#!/bin/sh") {
                count += 1;
                for shell in ["dash", "bash"] {
                    let (code, said) = parsers::command(shell, &["-n", out.path().join(&path).to_str().unwrap()]);
                    assert_eq!(code, 0, "{example}: {shell}: {}: {said}", path.display());
                }
            }
        }
        assert!(count > 0 || example != "ubuntu-7.10", "{example}: no script at all");
    }
}
