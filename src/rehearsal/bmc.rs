//! A BMC for each machine of a rehearsal: `ipmi_sim` of Debian's package openipmi, which speaks IPMI 2.0 over LAN as a
//! real one does. What it is told to switch is switched: its chassis control asks this process, which cuts the machine's
//! power or gives it back in the same way as the proofs do.

// It runs on this host and never on a node, so there is no transport for it to go through.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::answers::{self, Secret};
use crate::random;

/// UDP port of IPMI over LAN (RMCP).
pub const PORT: u16 = 623;

/// The program.
pub const PROGRAM: &str = "ipmi_sim";

/// How it differs from a real one, for the reader of the rehearsal's output.
pub const LIMIT: &str = "The BMCs are Debian's ipmi_sim: the protocol and the switching are real, and each order takes about ten seconds, because it does not tell its cipher suites.";

/// User at each BMC.
const USER: &str = "hapair";

/// What ipmi_sim starts: `get power`, `set power 0`, `set reset 1`... It hands the words on and prints the answer.
const CONTROL: &str = include_str!("bmc/control.pl");

/// Its management controller: what `mc info` says.
const CONTROLLER: &str = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n";

/// What a BMC switches.
pub trait Chassis: Send + Sync {
    /// Whether the machine has power and runs.
    fn is_on(&self) -> bool;

    /// Gives it power; nothing when it has.
    ///
    /// # Errors
    /// When the machine can't be started.
    fn power_on(&self) -> Result<()>;

    /// Cuts its power: nothing that it had not written is written any more.
    ///
    /// # Errors
    /// When the machine can't be ended.
    fn power_off(&self) -> Result<()>;
}

/// A BMC.
#[derive(Debug)]
pub struct Bmc {
    folder: PathBuf,
    open: fs::File,
    access: answers::Bmc,
    process: Option<Child>,
    control: Control,
    thread: Option<JoinHandle<()>>,
}

impl Bmc {
    /// Starts a BMC that answers at `address` (and `port`, which is [`PORT`] for all but tests) and switches `chassis`, which stays
    /// `dark` (without power) in a reset. The BMC answers before that: ipmitool asks again after a second, and would reset it twice.
    /// `folder` is its own, and best in memory: the password is kept there. User and password are made here.
    ///
    /// # Errors
    /// When ipmi_sim is not there or can't be started, or the folder can't be written.
    pub fn start(folder: &Path, address: &str, port: u16, chassis: Arc<dyn Chassis>, dark: Duration) -> Result<Bmc> {
        fs::create_dir_all(folder.join("state")).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .with_context(|| format!("protect {}", folder.display()))?;
        // ipmi_sim takes 16 characters at most.
        let password = random::hex::<8>().context("make up a BMC's password")?;
        let open = fs::File::open(folder).with_context(|| format!("open {}", folder.display()))?;
        let listener = UnixListener::bind(socket(&open)).with_context(|| format!("listen in {}", folder.display()))?;
        let files = [
            ("lan.conf", settings(address, port, &password, &random::hex::<16>()?)),
            ("controller.emu", CONTROLLER.to_owned()),
            ("control.pl", CONTROL.to_owned()),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        let control = Control { chassis, dark, done: Arc::default(), ended: Arc::default() };
        let served = control.clone();
        let thread = thread::Builder::new()
            .name("bmc".to_owned())
            .spawn(move || served.serve(&listener))
            .context("start a thread for a BMC")?;
        let mut bmc = Bmc {
            folder: folder.to_owned(),
            open,
            access: answers::Bmc {
                address: address.to_owned(),
                user: USER.to_owned(),
                password: Secret::new(password.as_str()),
            },
            process: None,
            control,
            thread: Some(thread),
        };
        bmc.set(true)?;
        Ok(bmc)
    }

    /// Where it answers, and to whom.
    pub fn access(&self) -> &answers::Bmc {
        &self.access
    }

    /// What it was told to switch, in order: `set power 0`, `set reset 1`.
    pub fn done(&self) -> Vec<String> {
        self.control.done().clone()
    }

    /// Pulls the BMC's own plug, so that it answers nobody, or puts it in again. It ends with the thread that does that at
    /// the latest, so that none is left when hapair is killed.
    ///
    /// # Errors
    /// When its process can't be started or ended.
    pub fn set(&mut self, up: bool) -> Result<()> {
        if !up {
            if let Some(mut process) = self.process.take() {
                process.kill().context("end a BMC")?;
                process.wait().context("wait for a BMC's end")?;
            }
            return Ok(());
        }
        if self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None))) {
            return Ok(());
        }
        let log =
            fs::File::options().create(true).append(true).open(self.folder.join("log")).context("open a BMC's log")?;
        let errors = log.try_clone().context("open a BMC's log twice")?;
        // Words without its folder's name: ipmi_sim hands them to a shell.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", PROGRAM, "-c", "lan.conf", "-f", "controller.emu", "-s", "state", "-n"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start a BMC with `setpriv {PROGRAM}`; is the package openipmi installed?"))?;
        self.process = Some(child);
        Ok(())
    }

    /// Ends it for good: whatever it was told, it switches nothing on any more.
    ///
    /// # Errors
    /// When its process can't be ended.
    pub fn end(&mut self) -> Result<()> {
        *self.control.ended() = true;
        self.set(false)
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        // Nobody is left to hear about a failure.
        let _ = self.end();
        // Wakes the thread, which waits for somebody. Where its folder is gone already nobody can: it ends with this process.
        let woken = UnixStream::connect(socket(&self.open)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// Where its chassis control finds this process. A socket's name has room for 107 bytes, a folder's may be longer.
fn socket(folder: &fs::File) -> String {
    format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd())
}

/// Its `lan.conf` (ipmi_lan(5); `chassis_control` and the GUID, without which it speaks no IPMI 2.0, as in ipmi_sim's own
/// example).
fn settings(address: &str, port: u16, password: &str, guid: &str) -> String {
    format!(
        "name \"bmc\"\nset_working_mc 0x20\nstartlan 1\n  addr {address} {port}\n  priv_limit admin\n  \
         allowed_auths_admin md5\n  guid {guid}\nendlan\nchassis_control \"perl control.pl\"\n\
         user 2 true \"{USER}\" \"{password}\" admin 10 md5\n"
    )
}

/// Its chassis control.
#[derive(Clone)]
struct Control {
    chassis: Arc<dyn Chassis>,
    /// How long the machine stays without power in a reset.
    dark: Duration,
    /// What was switched, in order.
    done: Arc<Mutex<Vec<String>>>,
    /// Nothing is switched on any more.
    ended: Arc<Mutex<bool>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("done", &self.done).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Control {
    fn ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self) -> MutexGuard<'_, Vec<String>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if *self.ended() {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line).is_err() {
                continue;
            }
            let answer = match self.obey(line.trim()) {
                Ok(text) => format!("ok\n{text}"),
                Err(error) => format!("failed\n{error:#}\n"),
            };
            // Who asked may be gone: then nobody wants the answer.
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// `get NAME...` or `set NAME VALUE ...`, as ipmi_sim's chassis control has it.
    fn obey(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["get", names @ ..] => Ok(names
                .iter()
                .map(|name| match *name {
                    "power" => format!("power:{}\n", u8::from(self.chassis.is_on())),
                    other => format!("{other}:default\n"),
                })
                .collect()),
            ["set", pairs @ ..] => {
                for pair in pairs.chunks(2) {
                    match pair {
                        ["power", "0"] => self.chassis.power_off()?,
                        ["power", "1"] => self.chassis.power_on()?,
                        // A reset of a machine that is off does nothing (IPMI 2.0, 28.3).
                        ["reset", "1"] if self.chassis.is_on() => self.reset()?,
                        ["reset", _] => continue,
                        other => anyhow::bail!("this BMC can't do {}", other.join(" ")),
                    }
                    self.done().push(format!("set {}", pair.join(" ")));
                }
                Ok(String::new())
            }
            _ => anyhow::bail!("not understood: {line}"),
        }
    }

    /// Cuts the power, and gives it back a while after the answer.
    fn reset(&self) -> Result<()> {
        self.chassis.power_off()?;
        let control = self.clone();
        thread::spawn(move || {
            thread::sleep(control.dark);
            // Held meanwhile: behind the BMC's end nothing is switched on any more.
            let ended = control.ended();
            if !*ended {
                // Whoever waits for the machine sees that it is off.
                let _ = control.chassis.power_on();
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
