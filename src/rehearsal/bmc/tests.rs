use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::rehearsal::command;

const DARK: Duration = Duration::from_secs(1);

/// A machine that only counts.
#[derive(Debug, Default)]
struct Counter {
    on: AtomicBool,
    starts: AtomicU32,
}

impl Chassis for Counter {
    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn power_on(&self) -> Result<()> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn power_off(&self) -> Result<()> {
        self.on.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// What ipmitool says, over the wire.
fn ipmitool(access: &answers::Bmc, port: u16, password: &str, words: &[&str]) -> Result<String> {
    let port = port.to_string();
    let password = format!("IPMI_PASSWORD={password}");
    let mut all = vec![password.as_str(), "ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "2"];
    all.extend(["-H", &access.address, "-p", &port, "-U", &access.user, "-E"]);
    all.extend(words);
    command::run("ask a BMC", "env", &all)
}

/// A free UDP port of this machine.
fn port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn until_it_answers(bmc: &Bmc, port: u16) -> String {
    let password = bmc.access().password.reveal().to_owned();
    for _ in 0..20 {
        if let Ok(text) = ipmitool(bmc.access(), port, &password, &["power", "status"]) {
            return text;
        }
    }
    panic!("the BMC does not answer: {}", fs::read_to_string(bmc.folder.join("log")).unwrap_or_default());
}

#[test]
fn it_really_switches() {
    let folder = tempfile::tempdir().unwrap();
    let (machine, port) = (Arc::new(Counter::default()), port());
    let mut bmc = Bmc::start(folder.path(), "127.0.0.1", port, Arc::clone(&machine) as Arc<dyn Chassis>, DARK).unwrap();
    assert_eq!(until_it_answers(&bmc, port), "Chassis Power is off\n");
    let password = bmc.access().password.reveal().to_owned();
    let tell = |words: &[&str]| ipmitool(bmc.access(), port, &password, words);
    tell(&["power", "on"]).unwrap();
    assert_eq!(tell(&["power", "status"]).unwrap(), "Chassis Power is on\n");
    tell(&["power", "reset"]).unwrap();
    thread::sleep(DARK * 2);
    assert_eq!(machine.starts.load(Ordering::Relaxed), 2);
    tell(&["power", "off"]).unwrap();
    assert!(!machine.is_on());
    let mut done = bmc.done();
    // On a busy host ipmitool asks again before it has its answer.
    done.dedup();
    assert_eq!(done, ["set power 1", "set reset 1", "set power 0"]);
    let wrong = ipmitool(bmc.access(), port, "wrong", &["power", "on"]).unwrap_err().to_string();
    assert!(wrong.contains("Unable to establish IPMI v2 / RMCP+ session") && !machine.is_on(), "{wrong}");
    // Its own plug pulled, and put in again.
    bmc.set(false).unwrap();
    assert!(ipmitool(bmc.access(), port, &password, &["power", "status"]).is_err());
    bmc.set(true).unwrap();
    assert_eq!(until_it_answers(&bmc, port), "Chassis Power is off\n");
}

/// As when hapair is killed, which runs no destructor.
#[test]
fn none_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, port) = (folder.path().to_owned(), port());
    let (mut bmc, seen) = thread::spawn(move || {
        let bmc = Bmc::start(&path, "127.0.0.1", port, Arc::new(Counter::default()), DARK).unwrap();
        let seen = until_it_answers(&bmc, port);
        (bmc, seen)
    })
    .join()
    .unwrap();
    assert_eq!(seen, "Chassis Power is off\n");
    let ended = bmc.process.as_mut().unwrap().wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
}

/// Ctrl-C removes the files of a run at once, before its BMCs end.
#[test]
fn it_ends_although_its_folder_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let bmc = Bmc::start(&folder.path().join("bmc"), "127.0.0.1", port(), Arc::new(Counter::default()), DARK).unwrap();
    folder.close().unwrap();
    let (ended, end) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(bmc);
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(20)).expect("it waits for ever");
}

#[test]
fn what_it_cant_do_is_said() {
    let machine = Arc::new(Counter::default());
    let chassis = Arc::clone(&machine) as Arc<dyn Chassis>;
    let control = Control { chassis, dark: DARK, done: Arc::default(), ended: Arc::default() };
    let tell = |line: &str| control.obey(line);
    assert!(tell("set boot pxe").unwrap_err().to_string().contains("can't do boot pxe"));
    assert!(tell("jump").is_err());
    tell("set reset 1").unwrap();
    assert_eq!((machine.starts.load(Ordering::Relaxed), control.done().len()), (0, 0));
    assert_eq!(tell("get power boot").unwrap(), "power:0\nboot:default\n");
}

/// The very read of `hapair check` and of the step stonith, against the BMC's own port.
#[test]
fn user_and_password_are_tried_and_each_failure_has_its_words() {
    use crate::fencing::login::{Login, judge, read};
    use crate::node::{Transport as _, local::Local};
    const ADDRESS: &str = "127.0.0.77";
    // Only root may have that port.
    if std::net::UdpSocket::bind((ADDRESS, PORT)).is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let machine = Arc::new(Counter::default());
    let bmc = Bmc::start(folder.path(), ADDRESS, PORT, Arc::clone(&machine) as Arc<dyn Chassis>, DARK).unwrap();
    until_it_answers(&bmc, PORT);
    let password = bmc.access().password.reveal().to_owned();
    let of = |address: &str, user: &str, password: &str| {
        let output = Local::new().exec(&read(address, user, password, "")).unwrap();
        judge(&output, address, user, "node2")
    };
    let fails = |address: &str, user: &str, password: &str| match of(address, user, password) {
        Login::Fails(what, _) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(of(ADDRESS, USER, &password), Login::Works);
    assert!(fails(ADDRESS, USER, "wrong").contains("does not take the password"));
    assert!(fails(ADDRESS, "nobody", &password).contains("has no user nobody"));
    assert!(fails("127.0.0.78", USER, &password).contains("does not answer"));
    assert_eq!(machine.starts.load(Ordering::Relaxed), 0);
}
