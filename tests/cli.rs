//! The command line as a script sees it: output, exit codes, what a refusal says.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn hapair(&self, words: &[&str]) -> (i32, String, String) {
        let output = Command::cargo_bin("hapair")
            .unwrap()
            .args(words)
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .env("NO_COLOR", "1")
            .env_remove("BMC1_PASSWORD")
            .env_remove("BMC2_PASSWORD")
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples").join(name).to_str().unwrap().to_owned()
}

/// Two nodes where nobody listens.
fn nobody(fencing: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "cluster: c\nnodes:\n  - {{ name: a, ssh: root@127.0.0.1:{port}, address: 10.0.0.1 }}\n  \
         - {{ name: b, ssh: root@127.0.0.2:{port}, address: 10.0.0.2 }}\nstorage: {{ device: /dev/sda3 }}\n\
         fencing: {fencing}\nvms: []\n"
    )
}

#[test]
fn without_a_terminal_there_is_nobody_to_ask() {
    let (code, out, err) = Rig::new().hapair(&[]);
    assert_eq!((code, out.as_str()), (3, ""));
    for missing in ["cluster: ", "nodes: ", "fencing.method: ", "hapair install --answers FILE"] {
        assert!(err.contains(missing), "{missing} is missing in\n{err}");
    }
    let rig = Rig::new();
    let half = rig.write("half.yaml", "cluster: web\nstorage: { device: /dev/sda3 }\n");
    let (code, _, err) = rig.hapair(&["ask", "--answers", &half]);
    assert_eq!(code, 3);
    assert!(err.contains("nodes: ") && !err.contains("cluster: ") && err.contains(&half), "{err}");
    let wrong = rig.write("wrong.yaml", "cluster: Web_1\n");
    let (code, _, err) = rig.hapair(&["ask", "--answers", &wrong]);
    assert_eq!(code, 3);
    assert!(err.contains("wrong.yaml:1:10: cluster: ") && !err.contains("nodes"), "{err}");
}

#[test]
fn wrong_usage_is_exit_2_and_the_help_names_what_there_is() {
    let (_, out, _) = Rig::new().hapair(&["--help"]);
    assert!(out.contains("ask  ") || out.contains("ask "), "{out}");
    assert!(out.contains("  drill "), "{out}");
    assert!(out.contains("  undo "), "{out}");
    assert_eq!(Rig::new().hapair(&["install"]).0, 2);
    assert_eq!(Rig::new().hapair(&["no-such-command"]).0, 2);
}

#[test]
fn a_rehearsal_does_harm_only_in_steps_that_there_are() {
    let rig = Rig::new();
    let (code, _, err) = rig.hapair(&["rehearse", "--harm", "power", "--harm-in", "mkfs,mkfss"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("there is no step mkfss") && err.contains("mkfs,"), "{err}");
    let (code, _, err) = rig.hapair(&["rehearse", "--harm-in", "mkfs"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--harm <HARM>"), "{err}");
}

#[test]
fn a_proof_is_left_out_only_for_the_cluster_that_is_named() {
    let rig = Rig::new();
    let file = rig.write("answers.yaml", &nobody("{ method: ssh, accept_unsafe: ssh }"));
    let words = ["install", "--answers", &file, "--skip-fencing-proof"];
    let (code, _, err) = rig.hapair(&[&words[..], &["yes"]].concat());
    assert_eq!(code, 2);
    assert!(err.contains("give the name of this cluster: --skip-fencing-proof c"), "{err}");
    // With the right name it goes on, to nodes that are not there.
    assert_eq!(rig.hapair(&[&words[..], &["c"]].concat()).0, 5);
}

#[test]
fn steps_and_explain_need_no_answers() {
    let rig = Rig::new();
    let (code, out, _) = rig.hapair(&["steps"]);
    assert_eq!((code, out.lines().count()), (0, 18));
    let (code, out, _) = rig.hapair(&["explain", "drbd-sync"]);
    assert_eq!(code, 0);
    assert!(out.contains("tutorial") && out.contains("Needs: drbd-resource"), "{out}");
    let (code, _, err) = rig.hapair(&["explain", "drbdsync"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no step drbdsync; the steps are hosts, partition"), "{err}");
}

#[test]
fn the_schema_is_json() {
    let (code, out, _) = Rig::new().hapair(&["schema"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["nodes"].is_object());
}

#[test]
fn every_problem_of_the_answers_is_told_at_once_with_its_place() {
    let rig = Rig::new();
    let file = rig.write(
        "answers.yaml",
        "cluster: Bad_Name\nnodes:\n  - { name: a, ssh: root@h, address: 10.0.0.1 }\n  - { name: a, ssh: root@i, address: 10.0.0.300 }\n\
         storage: { device: sda3, port: 0 }\nfencing: { method: ssh }\n",
    );
    let (code, out, err) = rig.hapair(&["install", "--answers", &file]);
    assert_eq!((code, out.as_str()), (3, ""));
    for place in ["answers.yaml:1:10: cluster", "nodes[1].address", "storage.port", "storage.device"] {
        assert!(err.contains(place), "{place} is missing in:\n{err}");
    }
    let (code, _, err) = rig.hapair(&["install", "--answers", "/no/such/file.yaml"]);
    assert_eq!(code, 3);
    assert!(err.contains("/no/such/file.yaml"), "{err}");
}

#[test]
fn a_secret_that_is_not_set_is_an_answer_that_is_missing() {
    let (code, _, err) = Rig::new().hapair(&["install", "--answers", &example("tutorial.yaml")]);
    assert_eq!(code, 3);
    assert!(err.contains("BMC1_PASSWORD") && err.contains("BMC2_PASSWORD"), "{err}");
}

#[test]
fn fencing_by_ssh_is_refused_before_any_node_is_touched() {
    let rig = Rig::new();
    let file = rig.write("answers.yaml", &nobody("{ method: ssh }"));
    let (code, _, err) = rig.hapair(&["install", "--answers", &file]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("accept_unsafe"), "{err}");
}

#[test]
fn a_node_that_nobody_answers_for_is_exit_5_and_tells_how_to_go_on() {
    let rig = Rig::new();
    let file = rig.write("answers.yaml", &nobody("{ method: ssh, accept_unsafe: ssh }"));
    let (code, _, err) = rig.hapair(&["install", "--answers", &file]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains(&format!("hapair install --answers {file}")), "{err}");
    let (code, _, _) = rig.hapair(&["plan", "--answers", &file]);
    assert_eq!(code, 5);
}

#[test]
fn a_plan_without_nodes_names_every_step_and_no_secret() {
    let rig = Rig::new();
    for format in ["text", "json", "sh"] {
        let words = ["plan", "--offline", "--format", format, "--answers", &example("everything.yaml")];
        let (code, out, err) = rig.hapair(&words);
        assert_eq!(code, 0, "{err}");
        for step in ["hosts", "drbd-resource", "verify"] {
            assert!(out.contains(step), "{format}: {step} is missing");
        }
    }
    assert!(!rig.folder.path().join("state").exists(), "a plan without nodes left something behind");
}

#[test]
fn the_plan_as_a_script_is_one() {
    let rig = Rig::new();
    let words = ["plan", "--offline", "--format", "sh", "--answers", &example("everything.yaml")];
    let (_, out, _) = rig.hapair(&words);
    let script = PathBuf::from(rig.write("plan.sh", &out));
    for shell in ["dash", "bash"] {
        Command::new(shell).arg("-n").arg(&script).assert().success();
    }
    assert!(out.contains("drbdadm"), "{out}");
}

#[test]
fn a_second_run_at_the_same_time_is_refused_by_name() {
    let rig = Rig::new();
    let file = rig.write("answers.yaml", &nobody("{ method: ssh, accept_unsafe: ssh }"));
    let state = rig.folder.path().join("state/c");
    std::fs::create_dir_all(&state).unwrap();
    let _lock = hapair::lock::Lock::take(&state, "install").unwrap();
    let (code, _, err) = rig.hapair(&["install", "--answers", &file]);
    assert_eq!(code, 7, "{err}");
    assert!(err.contains(&format!("process {}", std::process::id())), "{err}");
}

#[test]
fn a_drill_is_refused_before_anything_is_asked_where_it_can_not_be_measured() {
    let rig = Rig::new();
    let (code, _, err) = rig.hapair(&["drill", "--answers", &example("tutorial.yaml"), "--only", "earthquake"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("replication-link") && err.contains("disk-error"), "{err}");

    let local = nobody("{ method: ssh, accept_unsafe: ssh }").replacen("ssh: root@", "ssh: local, host_key: root@", 1);
    let local = local.split(", host_key").next().unwrap().to_owned() + &local[local.find(", address").unwrap()..];
    let answers = rig.write("local.yaml", &local);
    let (code, out, err) = rig.hapair(&["drill", "--answers", &answers, "--confirm", "c"]);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert!(err.contains("who watches must stand outside"), "{err}");

    let answers = rig.write("nobody.yaml", &nobody("{ method: ssh, accept_unsafe: ssh }"));
    let (code, _, err) = rig.hapair(&["drill", "--answers", &answers, "--report", "/nowhere/at/all.html"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no file can be written there"), "{err}");
}
