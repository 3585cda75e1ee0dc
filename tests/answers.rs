//! The answers file: golden files that load, golden files that do not, and what must never happen.
//!
//! `UPDATE_GOLDEN=1` rewrites the expected results, `UPDATE_DOCS=1` rewrites `docs/answers.md`; read
//! the difference before committing it.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hapair::answers::fields::{FIELDS, Kind, Need};
use hapair::answers::{Answers, FencingMethod, LoadError, Loaded, Problems, Secrets, fields, load, schema};
use hapair::cli::PlanFormat;
use hapair::command::plan;
use hapair::setup::{Places, Setup};
use proptest::prelude::*;

/// What a good file is compared with; a struct, so that the order of keys is the types' own.
#[derive(serde::Serialize)]
struct Golden<'a> {
    answers: &'a Answers,
    warnings: &'a [String],
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers").join(name)
}

fn no_env(_: &str) -> Option<String> {
    None
}

fn read(source: &str) -> Result<Loaded, Problems> {
    load::text(source, Path::new("answers.yaml"), Path::new("/nonexistent"), &no_env, Secrets::Leave)
}

fn golden(name: &str, found: &str, expected: &Path) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(expected, found).unwrap();
        return None;
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    (wanted != found).then(|| format!("== {name}: expected\n{wanted}\n== found\n{found}"))
}

fn yaml_files(name: &str, least: usize) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "{} files in {name}", files.len());
    files
}

#[test]
fn good_files_load_as_expected() {
    let mut wrong = Vec::new();
    for path in yaml_files("good", 15) {
        let source = fs::read_to_string(&path).unwrap();
        let loaded = read(&source).unwrap_or_else(|problems| panic!("{path:?}\n{problems}"));
        let found = Golden { answers: &loaded.answers, warnings: &loaded.warnings };
        let found = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
        wrong.extend(golden(&path.display().to_string(), &found, &path.with_extension("json")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_files_give_the_expected_plan() {
    let state = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for path in yaml_files("good", 15) {
        let answers = read(&fs::read_to_string(&path).unwrap()).unwrap().answers;
        let places = Places { state_dir: Some(state.path().to_owned()), ..Places::default() };
        let setup = Setup::of(answers, places).unwrap();
        let options = plan::Options { step: None, offline: true, format: PlanFormat::Text };
        let found = plan::text(&setup, &options).unwrap();
        wrong.extend(golden(&path.display().to_string(), &found, &path.with_extension("plan.txt")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Bad files that the schema takes are listed in `beyond-the-schema.txt`: what is wrong there is no matter of structure. Two
/// values are compared, a value has the right form and is impossible all the same, or an editor reads YAML in another way
/// than hapair, which takes what was typed.
#[test]
fn the_schema_agrees_with_the_loader() {
    let mut compiler = boon::Compiler::new();
    let mut schemas = boon::Schemas::new();
    compiler.add_resource("answers.json", schema::schema()).unwrap();
    let schema = compiler.compile("answers.json", &mut schemas).unwrap();
    let valid = |path: &Path| -> Option<Result<(), String>> {
        let value: serde_json::Value = serde_yaml::from_slice(&fs::read(path).unwrap()).ok()?;
        Some(schemas.validate(&value, schema).map_err(|error| format!("{error:#}")))
    };
    for path in yaml_files("good", 15) {
        assert_eq!(valid(&path), Some(Ok(())), "{path:?}");
    }
    let taken: Vec<String> = yaml_files("bad", 50)
        .iter()
        .filter(|path| valid(path) == Some(Ok(())))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let wrong = golden("beyond the schema", &(taken.join("\n") + "\n"), &folder("beyond-the-schema.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn bad_files_are_refused_in_the_expected_words() {
    let mut wrong = Vec::new();
    for path in yaml_files("bad", 50) {
        let bytes = fs::read(&path).unwrap();
        let problems = match std::str::from_utf8(&bytes) {
            Ok(source) => {
                let name = Path::new("answers.yaml");
                let base = folder("bad");
                // A file whose name begins so is about secrets that cannot be read.
                let about = path.file_name().unwrap().to_string_lossy().starts_with("secret-");
                let secrets = if about { Secrets::Resolve } else { Secrets::Leave };
                load::text(source, name, &base, &no_env, secrets).err()
            }
            Err(_) => match load::file(&path, Secrets::Leave) {
                Err(LoadError::Problems(problems)) => Some(Problems { file: "answers.yaml".into(), ..problems }),
                _ => None,
            },
        };
        let Some(problems) = problems else {
            wrong.push(format!("== {path:?} is not refused"));
            continue;
        };
        let found = format!("{problems}\n");
        for secret in ["hunter2", "s3cret"] {
            assert!(!found.contains(secret), "{path:?} tells a secret:\n{found}");
            assert!(!format!("{problems:?}").contains(secret), "{path:?} tells a secret in Debug");
        }
        wrong.extend(golden(&path.display().to_string(), &found, &path.with_extension("txt")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const SMALL: &str = "\
cluster: pair
nodes:
  - { name: a, ssh: root@192.0.2.1, address: 10.0.0.1 }
  - { name: b, ssh: root@192.0.2.2, address: 10.0.0.2 }
storage: { device: /dev/sda3 }
fencing: { method: ssh }
vms: [{ name: vm01 }]
";

/// The fencing of [`SMALL`] replaced.
fn fenced(fencing: &str) -> String {
    SMALL.replace("fencing: { method: ssh }", &format!("fencing: {fencing}"))
}

fn first(source: &str) -> String {
    read(source).unwrap_err().list[0].to_string()
}

#[test]
fn defaults_are_those_of_the_table() {
    let Loaded { answers, warnings, .. } = read(SMALL).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let json = serde_json::to_value(&answers).unwrap();
    let at = |pointer: &str| json.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    assert_eq!(at("/platform"), "auto");
    assert_eq!(at("/storage/create"), "no");
    assert_eq!(at("/storage/layout"), "ocfs2");
    assert_eq!(at("/storage/resource"), "r0");
    assert_eq!(at("/storage/port"), 7788);
    assert_eq!(at("/storage/mount"), "/drbd0");
    assert_eq!(at("/storage/initial_sync"), "full");
    assert_eq!(at("/storage/sync_rate"), "auto");
    assert_eq!(at("/storage/start"), "cluster");
    assert_eq!(at("/hypervisor/kind"), "xen");
    assert_eq!(at("/hypervisor/dom0_memory_mib"), 1024);
    assert_eq!(at("/packages/mirror"), serde_json::Value::Null);
    assert_eq!(at("/cib/stickiness"), "INFINITY");
    assert_eq!(at("/cib/failure_stickiness"), "-500");
    assert_eq!(at("/vms/0/source/made/memory_mib"), 256);
    assert_eq!(at("/vms/0/source/made/vcpus"), 1);
    assert_eq!(at("/vms/0/source/made/disk_bytes"), 1_u64 << 30);
    assert_eq!(at("/vms/0/source/made/image"), "demo");
    assert_eq!(at("/vms/0/source/made/bridge"), serde_json::Value::Null);
}

#[test]
fn the_table_agrees_with_itself() {
    for field in FIELDS {
        assert_eq!(FIELDS.iter().filter(|other| other.path == field.path).count(), 1);
        assert!(field.doc.ends_with('.') && !field.doc.contains('|'), "{}", field.path);
        if let Need::Default(text) = field.need {
            let Kind::Text(form) = field.kind else { panic!("{} has a default", field.path) };
            (form.check)(text).unwrap_or_else(|e| panic!("{}: default: {e}", field.path));
        }
        if let Some((parent, key)) = field.path.rsplit_once('.') {
            assert!(fields::children(parent).any(|(found, _)| found == key), "{}", field.path);
        }
    }
}

#[test]
fn the_schema_has_every_key() {
    let schema = schema::schema();
    for field in FIELDS {
        let mut pointer = String::new();
        for part in field.path.split('.') {
            let (key, list) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
            if key == "<parameter>" || key == "<node>" {
                pointer.push_str("/additionalProperties");
            } else {
                pointer.push_str("/properties/");
                pointer.push_str(key);
            }
            if list {
                pointer.push_str("/items");
            }
        }
        let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{}", field.path));
        assert_eq!(found["description"], field.doc, "{}", field.path);
        assert_eq!(found.get("default").is_some(), matches!(field.need, Need::Default(_)));
    }
}

#[test]
fn the_reference_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/answers.md");
    let page = schema::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/answers.md is stale: UPDATE_DOCS=1 cargo test --test answers");
}

#[test]
fn secrets_come_from_the_environment_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bmc2"), "s3cret two\n").unwrap();
    fs::set_permissions(folder.path().join("bmc2"), fs::Permissions::from_mode(0o600)).unwrap();
    let source = fenced(
        "{ method: ipmi, a: { address: 10.9.0.1, user: u, password: env:ONE }, \
         b: { address: 10.9.0.2, user: u, password: file:bmc2 } }",
    );
    let env = |name: &str| (name == "ONE").then(|| "s3cret one".to_owned());
    let name = Path::new("answers.yaml");
    let loaded = load::text(&source, name, folder.path(), &env, Secrets::Resolve).unwrap();
    let FencingMethod::Ipmi { nodes } = &loaded.answers.fencing.method else { panic!() };
    assert_eq!(nodes[0].password.reveal(), "s3cret one");
    assert_eq!(nodes[1].password.reveal(), "s3cret two");
    assert!(!format!("{:?}", loaded.answers).contains("s3cret"));
    assert!(!serde_json::to_string(&loaded.answers).unwrap().contains("s3cret"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);

    let left = load::text(&source, name, folder.path(), &env, Secrets::Leave).unwrap();
    let FencingMethod::Ipmi { nodes } = &left.answers.fencing.method else { panic!() };
    assert_eq!(nodes[0].password.reveal(), "env:ONE");
    assert_eq!(nodes[1].password.reveal(), "file:bmc2");

    fs::set_permissions(folder.path().join("bmc2"), fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = load::text(&source, name, folder.path(), &env, Secrets::Resolve).unwrap();
    assert!(loaded.warnings[0].contains("`chmod 600` it"), "{:?}", loaded.warnings);
}

#[test]
fn a_secret_in_clear_in_a_readable_file_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.yaml");
    let bmc = |n: u8| format!("{{ address: 10.9.0.{n}, user: u, password: hunter2 }}");
    fs::write(&path, fenced(&format!("{{ method: ipmi, a: {}, b: {} }}", bmc(1), bmc(2)))).unwrap();
    for (mode, warned) in [(0o600, false), (0o640, true), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load::file(&path, Secrets::Resolve).unwrap();
        assert_eq!(loaded.warnings.len(), usize::from(warned), "{mode:o}: {:?}", loaded.warnings);
        if warned {
            let warning = &loaded.warnings[0];
            assert!(warning.contains("fencing.a.password, fencing.b.password"), "{warning}");
            assert!(!warning.contains("hunter2"));
        }
    }
}

#[test]
fn an_alias_keeps_a_password_of_digits_as_typed() {
    let source = fenced(
        "{ method: ipmi, a: { address: 10.9.0.1, user: u, password: &p 0123 }, \
         b: { address: 10.9.0.2, user: u, password: *p } }",
    );
    let FencingMethod::Ipmi { nodes } = read(&source).unwrap().answers.fencing.method else { panic!() };
    assert_eq!(nodes.map(|bmc| bmc.password.reveal().to_owned()), ["0123", "0123"]);
}

#[test]
fn files_that_are_no_answers_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.yaml");
    let told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match load::file(&path, Secrets::Leave) {
            Err(LoadError::Problems(problems)) => problems.list[0].to_string(),
            other => panic!("{other:?}"),
        }
    };
    let large = "1:1: the file is larger than 1 MiB";
    assert!(told(&vec![b'a'; 10 << 20]).starts_with(large));
    assert!(told(&vec![0xff; 10 << 20]).starts_with("1:1: the file is not UTF-8"));
    assert!(told("\u{20ac}".repeat(1 << 20).as_bytes()).starts_with(large));
    assert!(told(b"").starts_with("1:1: the file is empty"));
    assert!(told(b"# nothing\n").starts_with("1:1: the file is empty"));
    assert!(told(b"a: b\nc: \xff").starts_with("2:4: the file is not UTF-8"));
    assert!(told(b"\x7fELF\x02\x01\x01\x00").starts_with("1:1: the file holds the control"));
    let missing = load::file(&folder.path().join("none.yaml"), Secrets::Leave).unwrap_err();
    assert!(missing.to_string().ends_with("No such file or directory (os error 2)"), "{missing}");
    assert!(matches!(load::file(folder.path(), Secrets::Leave), Err(LoadError::Io(..))));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let source = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    read(&source).unwrap();
    let broken = source.replace("/dev/sda3", "sda3");
    assert!(first(&broken).starts_with("5:20: storage.device: `sda3` is not a device"));
}

#[test]
fn nesting_without_end_is_refused() {
    for source in ["- ".repeat(500_000), "[".repeat(900_000), "? ".repeat(400_000), "- ".repeat(499)] {
        read(&source).unwrap_err();
    }
    let lines = (0..900).map(|n| " ".repeat(n)).collect::<Vec<_>>().join("-\n");
    read(&lines).unwrap_err();
    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let again = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.extend([format!("b{n}: &a{n} [{again}]\n")]);
    }
    read(&bomb).unwrap_err();
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let long = format!("  {}\n", "y".repeat(900)).repeat(500);
    let source = format!("a: &a |\n{long}b:\n{}", "- *a\n".repeat(80_000));
    assert!(first(&source).starts_with("1:1: there are too many aliases"));
}

#[test]
fn fencing_by_ssh_is_refused_outside_a_rehearsal() {
    let plain = read(SMALL).unwrap().answers;
    assert_eq!(plain.refusals(false).len(), 1);
    assert!(plain.refusals(false)[0].contains("accept_unsafe: ssh"));
    assert!(plain.refusals(true).is_empty());
    let accepted = read(&fenced("{ method: ssh, accept_unsafe: ssh }")).unwrap().answers;
    assert!(accepted.refusals(false).is_empty());
    // In levels it is refused whoever accepts it.
    assert!(read(&fenced("{ method: levels, levels: [{ method: ssh }], accept_unsafe: ssh }")).is_err());
    let sbd = read(&fenced("{ method: sbd, devices: [/dev/sdb] }")).unwrap().answers;
    assert!(sbd.refusals(false).is_empty());
}

#[test]
fn missing_keys_are_told_apart_for_the_wizard() {
    let problems = read("cluster: Pair\nnodes: [{ name: a }]\n").unwrap_err();
    let missing: Vec<_> = problems.missing().collect();
    assert!(missing.contains(&"nodes[0].ssh") && missing.contains(&"fencing.method"), "{missing:?}");
    assert!(!missing.contains(&"cluster"));
}

#[test]
fn text_that_is_no_yaml_tells_no_secret() {
    for broken in [
        "password: hunter2\n\tname: x\n",
        "pasword: hunter2 ]\n}: {\n",
        "fencing: { a: { pw: hunter2\n",
        "a: [\n  hunter2\n",
        "password: \"hunter2\n",
        "password:\n  hunter2: [\n",
        "password: |\n hunter2\n]\n",
        "a: { password hunter2, name: x\n",
        "# password: hunter2, name: x\na: [\n",
        "\"password\": hunter2\n- ]\n",
    ] {
        let problems = read(broken).unwrap_err();
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}

/// A line of [`SMALL`] or of a larger example, changed at one place.
fn mutated() -> impl Strategy<Value = String> {
    let files: Vec<String> = ["everything", "tutorial", "levels", "agent"]
        .iter()
        .map(|name| fs::read_to_string(folder("good").join(format!("{name}.yaml"))).unwrap())
        .collect();
    let pieces = vec![
        "",
        "\t",
        "\n",
        " ",
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "&a ",
        "*a",
        "!!int ",
        "|\n",
        "0",
        "-1",
        "~",
        "null",
        "true",
        "1e99",
        "99999999999999999999",
        "env:",
        "file:",
        "\u{e000}",
        "\u{feff}",
        "\r",
        "é",
        "? ",
        "<<: *a\n",
        "---\n",
        "#",
        "% ",
        "@",
        "name: ",
        "node1: ",
    ];
    let pieces = prop::sample::select(pieces);
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, pieces), 1..5);
    (prop::sample::select(files), cuts).prop_map(|(file, cuts)| {
        let mut chars: Vec<char> = file.chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(chars.len());
            let end = (at + length).min(chars.len());
            chars.splice(at..end, piece.chars());
            if chars.is_empty() {
                chars.push(' ');
            }
        }
        chars.into_iter().collect()
    })
}

/// How many inputs of each of three kinds: 10^5 in all.
const GENERATED: u32 = 34_000;

/// Tries `test` with inputs that are made up, and says how many there were.
fn generated<S: Strategy>(kind: &str, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: GENERATED, failure_persistence: None, ..Default::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(strategy, test)
        .unwrap_or_else(|error| panic!("{kind}: {error}"));
    println!("answers: {GENERATED} generated inputs ({kind}): no panic, and all that was refused was refused in words");
}

#[test]
fn changed_files_never_panic() {
    generated("files changed in some places", &mutated(), |source| {
        if let Err(problems) = read(&source) {
            prop_assert!(!problems.list.is_empty());
            prop_assert!(problems.to_string().contains("answers.yaml:"));
        }
        Ok(())
    });
}

#[test]
fn any_text_never_panics() {
    let texts = "[a-z:{}\\[\\]\\- \n\t\"'&*!|>#%@?,0-9\\PC]{0,60}";
    generated("any text", &texts, |source| {
        let problems = read(&source).unwrap_err();
        prop_assert!(problems.to_string().contains("answers.yaml:"));
        Ok(())
    });
}

#[test]
fn any_value_never_panics() {
    generated("any value in each field", &"\\PC{0,30}", |value| {
        for field in FIELDS {
            if let Kind::Text(form) | Kind::Texts(form) = field.kind {
                if let Err(message) = (form.check)(&value) {
                    prop_assert!(!message.is_empty());
                }
            }
        }
        Ok(())
    });
}
