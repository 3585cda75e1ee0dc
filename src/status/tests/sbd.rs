//! SBD that could not do its part is named, with what mends it.

use super::*;
use crate::fencing::sbd::tests::{SOUND, said};

const DEVICE: &str = r#"<primitive id="fence-sbd" class="stonith" type="external/sbd"/>"#;

fn by_sbd() -> Answers {
    let mut answers = answers();
    answers.fencing.method = crate::answers::FencingMethod::Sbd {
        devices: vec!["/dev/sdz".to_owned()],
        watchdog: "/dev/watchdog".to_owned(),
    };
    answers
}

/// A pair that was proved while both nodes said [`SOUND`], and says this now; `None` can't be asked.
fn looked(answers: &Answers, first: Option<&str>, second: Option<&str>) -> Standing {
    let cib = crate::fencing::object::tests::cib(DEVICE, "", "");
    let sound = said(SOUND).unwrap().hash("i1").unwrap();
    let kept = proved(&cib);
    let kept: String =
        kept.lines()
            .map(|line| {
                if line.contains(" configuration=") { format!("{line}+{sound}+{sound}\n") } else { format!("{line}\n") }
            })
            .collect();
    let look = |sbd: Option<&str>| {
        let sbd = sbd.ok_or(Lost::Unreachable("off".into()))?;
        let outputs = [GOOD, MOUNTS, "", "", "xen\n", "0 0 0\n", MEMORY, &kept, &cib, "", sbd].map(output);
        let mut node = NodeStatus::of(answers, &outputs).unwrap();
        node.cluster = Ok(view());
        Ok(node)
    };
    Standing::of(answers, [look(first), look(second)])
}

fn of(first: &str, second: &str) -> Standing {
    looked(&by_sbd(), Some(first), Some(second))
}

fn commands(standing: &Standing, name: &str) -> Vec<String> {
    let trouble = standing.troubles.iter().find(|trouble| trouble.name == name);
    let trouble = trouble.unwrap_or_else(|| panic!("no {name}: {:?}", names(standing)));
    assert!(trouble.mend.iter().all(|mend| !mend.risk.is_empty()));
    trouble.mend.iter().map(|mend| mend.command.clone()).collect()
}

#[test]
fn a_sound_pair_has_no_trouble_and_is_proved() {
    let sound = of(SOUND, SOUND);
    assert_eq!(names(&sound), [""; 0]);
    assert!(sound.fencing.proved.iter().all(|one| one.state == proof::State::Proved));
}

#[test]
fn other_settings_make_the_proof_void_and_what_can_not_be_read_does_not() {
    let longer = SOUND.replace("(msgwait)  : 10", "(msgwait)  : 30");
    let changed = of(&longer, &longer);
    assert_eq!(names(&changed), ["fencing-not-proved"; 2]);
    let words = changed.fencing.proved[0].words();
    assert!(
        words.contains("SBD's settings, or the header of its disk, were changed since the last proof (node1 by"),
        "{words}"
    );
    let lost = SOUND.replace("slot 0", "lost\nslot 0");
    let untold = of(SOUND, &lost);
    assert_eq!(names(&untold), ["sbd-disk", "fencing-untold", "fencing-untold"]);
    let words = untold.fencing.proved[0].words();
    assert!(words.ends_with("can't be told: node2: /dev/sdz can't be read"), "{words}");
    assert!(commands(&untold, "sbd-disk").iter().any(|command| command.contains("blockdev --getsize64 /dev/sdz")));
    let away = looked(&by_sbd(), Some(SOUND), None);
    assert!(away.fencing.proved.iter().all(|one| one.state == proof::State::Untold), "{:?}", away.fencing.proved);
    let silent = of(SOUND, "installed\n");
    assert_eq!(names(&silent), ["sbd-unknown", "fencing-untold", "fencing-untold"]);
}

#[test]
fn a_header_that_is_gone_is_told_with_the_times_that_it_must_have() {
    let header = &SOUND[SOUND.find("header ==Dumping").unwrap()..SOUND.find("process").unwrap()];
    let gone = SOUND.replace(header, "gone\n");
    let standing = of(&gone, &gone);
    assert_eq!(names(&standing)[..2], ["sbd-header", "sbd-header"]);
    assert!(names(&standing).contains(&"fencing-not-proved"), "what is gone has changed");
    assert_eq!(commands(&standing, "sbd-header")[1], "sbd -d /dev/sdz -1 5 -4 10 create");
    // The other disks know better.
    let second = header.replace("/dev/sdz", "/dev/sdy").replace(": 5", ": 15").replace(": 10", ": 30");
    let two = SOUND.replace(header, &format!("gone\ndisk /dev/sdy\n{second}"));
    assert_eq!(commands(&of(&two, &two), "sbd-header")[1], "sbd -d /dev/sdz -1 15 -4 30 create");
}

#[test]
fn a_daemon_that_does_not_run_or_does_not_watch_its_disk_is_named() {
    let stopped =
        SOUND.replace("process sbd: inquisitor\n", "").replace("process sbd: watcher: /dev/sdz", "process other");
    let standing = of(SOUND, &stopped);
    assert_eq!(names(&standing), ["sbd-stopped"]);
    let typed = commands(&standing, "sbd-stopped");
    let place = |words: &str| typed.iter().position(|typed| typed.contains(words)).unwrap();
    assert!(place("crm_standby -v on -N node2") < place("restart corosync"), "{typed:?}");
    assert!(place("restart corosync") < place("crm_standby -D -N node2"), "{typed:?}");
    let blind = SOUND.replace("process sbd: watcher: /dev/sdz", "process sbd: watcher: /dev/sdy");
    assert_eq!(names(&of(&blind, SOUND)), ["sbd-unwatched"]);
    let no_slot = SOUND.replace("slot 1\tnode2\tclear\tnode1\n", "");
    let standing = of(&no_slot, SOUND);
    assert_eq!((names(&standing), standing.troubles[0].node.as_deref()), (vec!["sbd-slot"], Some("node2")));
    let other = SOUND.replace("UUID               : 11-22", "UUID               : 33-44");
    assert!(names(&of(SOUND, &other)).contains(&"sbd-two-disks"));
}

#[test]
fn a_watchdog_that_is_not_the_one_of_the_answers_is_named() {
    // Two names of one device.
    assert_eq!(names(&of(&SOUND.replace("holds /dev/watchdog", "holds /dev/watchdog0"), SOUND)), [""; 0]);
    assert_eq!(names(&of(&SOUND.replace("holds /dev/watchdog", "holds /dev/watchdog1"), SOUND)), ["sbd-watchdog"]);
    let set = SOUND.replace("SBD_WATCHDOG_DEV=/dev/watchdog", "SBD_WATCHDOG_DEV=/dev/null");
    assert!(names(&of(&set, SOUND)).contains(&"sbd-watchdog"));
    let softdog = SOUND.replace("end\n", "softdog\nend\n");
    assert_eq!(names(&of(&softdog, &softdog)), ["sbd-softdog"; 2]);
    let mut answers = by_sbd();
    answers.fencing.accept_unsafe_softdog = true;
    assert_eq!(names(&looked(&answers, Some(&softdog), Some(&softdog))), [""; 0]);
}

#[test]
fn a_message_that_nobody_read_is_named_where_it_matters() {
    let reset = SOUND.replace("node2\tclear\tnode1", "node2\treset\tnode1");
    let unread = of(SOUND, &reset);
    assert_eq!(names(&unread), ["sbd-message"]);
    assert!(commands(&unread, "sbd-message")[0].contains("sbd -d /dev/sdz list"));
    // Off, and set to start always: SBD clears its slot itself.
    assert!(!names(&looked(&by_sbd(), Some(&reset), None)).contains(&"sbd-message"));
    let clean = reset.replace("SBD_STARTMODE=always", "SBD_STARTMODE=clean");
    let kept = looked(&by_sbd(), Some(&clean), None);
    assert_eq!(
        commands(&kept, "sbd-message"),
        ["sbd -d /dev/sdz message node2 clear", "systemctl start corosync pacemaker"]
    );
    let trouble = kept.troubles.iter().find(|trouble| trouble.name == "sbd-message").unwrap();
    assert!(trouble.mend[0].on == "node1" && trouble.mend[0].risk.contains("switched off"), "{trouble:?}");
}

#[test]
fn a_pair_that_fences_otherwise_is_asked_nothing_of_it() {
    let standing = standing([Ok(node(GOOD, MOUNTS)), Ok(node(GOOD, MOUNTS))]);
    assert_eq!(names(&standing), [""; 0]);
}
