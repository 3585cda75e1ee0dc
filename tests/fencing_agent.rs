//! The looks of the step stonith that are scripts, run as they stand there: an agent's parameters against its own metadata,
//! the times in the header of an SBD disk.
#![allow(missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use hapair::action::kind::Action;
use hapair::node::local::Local;
use hapair::node::{Cmd, Transport as _};
use hapair::step::Catalog;

/// What Pacemaker prints of an agent, as far as it matters; an agent of another name is none.
const STONITH_ADMIN: &str = "#!/bin/sh
[ \"$*\" = '--metadata --agent fence_apc_snmp' ] || exit 1
echo '<resource-agent><parameters><parameter name=\"ip\" unique=\"0\"/><parameter name=\"plug\" unique=\"0\"/></parameters></resource-agent>'
";

/// The scripts of the step that hold these words.
fn looks(words: &str) -> Vec<String> {
    let catalog = Catalog::load(None).unwrap();
    let actions = catalog.step("stonith").unwrap().actions.iter().map(|entry| entry.action().unwrap());
    let scripts = actions.filter_map(|action| match action {
        Action::Command(command) if command.run.join(" ").contains(words) => {
            assert_eq!(command.run, command.unless, "it orders nothing that its look does not");
            // As the plan renders it.
            Some(command.run[2].replace("{{ fencing.softdog }}", hapair::fencing::sbd::SOFTDOG))
        }
        _ => None,
    });
    scripts.collect()
}

#[test]
fn a_parameter_that_the_agent_does_not_have_is_named_and_so_is_an_agent_that_there_is_not() {
    let [script, of_levels] = &looks("--metadata")[..] else { panic!("one for an agent, one for levels") };
    assert_eq!(script, of_levels);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stonith_admin");
    std::fs::write(&path, STONITH_ADMIN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let on = |path: &str, names: &str| {
        let words = ["env".to_owned(), format!("PATH={path}"), "/bin/sh".to_owned(), "-c".to_owned()];
        let more = [script.as_str(), "sh", names].map(str::to_owned);
        Local::new().exec(&Cmd::read(words.into_iter().chain(more))).unwrap()
    };
    let here = folder.path().to_str().unwrap();
    assert!(on(here, "fence_apc_snmp:ip fence_apc_snmp:plug fence_apc_snmp:pcmk_host_map ").ok());
    let unknown = on(here, "fence_apc_snmp:ip fence_apc_snmp:colour ");
    assert_eq!(unknown.code, 1);
    assert!(unknown.errors().starts_with("fence_apc_snmp has no parameter colour"), "{}", unknown.errors());
    let none = on(here, "fence_apc_snmp:ip fence_apc:ip ");
    assert!(none.code == 1 && none.errors().starts_with("there is no fence agent fence_apc here"), "{}", none.errors());
    // Before Pacemaker is installed nothing can be told.
    assert_eq!(on("/nonexistent", "fence_apc:ip ").code, 127);
}

#[test]
fn an_sbd_disk_whose_times_can_not_work_is_named() {
    let [script] = &looks("dump 2>/dev/null")[..] else { panic!("one look") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sbd");
    let here = folder.path().to_str().unwrap();
    let run = |header: &str, watchdog: &str, backing: &str, script: &str| {
        // As sbd 1.5 prints it.
        std::fs::write(&path, format!("#!/bin/sh\n[ \"$*\" = '-d /dev/sdz dump' ] || exit 1\n{header}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["env".to_owned(), format!("PATH={here}:/usr/bin:/bin"), "/bin/sh".to_owned(), "-c".to_owned()];
        let more = [script, "sh", "/dev/sdz ", watchdog, "false", backing].map(str::to_owned);
        Local::new().exec(&Cmd::read(words.into_iter().chain(more))).unwrap()
    };
    let at = |header: &str, watchdog: &str, backing: &str| run(header, watchdog, backing, script);
    // Any character device will do: which watchdog it is can't be seen in a test.
    let on = |header: &str| at(header, "/dev/null", "/dev/sda3");
    let times = |watchdog: u32, wait: u32| {
        format!(
            "echo '==Dumping header on disk /dev/sdz'\necho 'Timeout (watchdog) : {watchdog}'\necho 'Timeout (allocate) : 2'\n\
             echo 'Timeout (msgwait)  : {wait}'\n"
        )
    };
    assert!(on(&times(5, 10)).ok(), "{}", on(&times(5, 10)).errors());
    assert!(on(&times(30, 60)).ok());
    for (watchdog, wait) in [(5, 9), (35, 70), (0, 0)] {
        let output = on(&times(watchdog, wait));
        assert_eq!(output.code, 1, "{watchdog} {wait}");
        let words = format!("the header of /dev/sdz says watchdog {watchdog} s and msgwait {wait} s");
        assert!(output.errors().starts_with(&words), "{}", output.errors());
    }
    assert!(on("exit 1\n").errors().starts_with("/dev/sdz is not prepared"));
    let none = at(&times(5, 10), "/dev/no-watchdog", "/dev/sda3");
    assert!(none.code == 1 && none.errors().starts_with("there is no watchdog /dev/no-watchdog"), "{}", none.errors());
    let same = at(&times(5, 10), "/dev/null", "/dev/sdz");
    assert!(same.code == 1 && same.errors().starts_with("/dev/sdz is the disk of DRBD"), "{}", same.errors());
    // The kernel's own timer, under whatever name; `/dev/null` stands for the device.
    std::fs::create_dir(folder.path().join("null")).unwrap();
    std::fs::write(folder.path().join("null/identity"), "Software Watchdog\n").unwrap();
    let softdog = run(&times(5, 10), "/dev/null", "/dev/sda3", &script.replace("/sys/class/watchdog", here));
    assert!(
        softdog.code == 1 && softdog.errors().starts_with("the watchdog /dev/null is softdog"),
        "{}",
        softdog.errors()
    );
    assert!(on("echo nothing\n").errors().contains("says watchdog ? s and msgwait ? s"));
}
