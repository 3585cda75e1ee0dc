//! The QEMU on this host: where it is, whether KVM works with it, and whether it has the one fault that matters here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::{bmc, command};
use super::probe::{self, Sight};

/// Programs that the engine starts on the host, each with the Debian package that has it.
pub const TOOLS: &[(&str, &str)] = &[
    (PROGRAM, "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("dpkg-scanpackages", "dpkg-dev"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mkswap", "util-linux"),
    ("setpriv", "util-linux"),
    ("ssh-keygen", "openssh-client"),
    (bmc::PROGRAM, "openipmi"),
    ("perl", "perl-base"),
    ("apt-get", "apt"),
    ("tar", "tar"),
    ("cp", "coreutils"),
    ("sha256sum", "coreutils"),
];

/// What somebody who isn't root needs besides, to build an image whose files belong to root.
pub const TOOLS_WITHOUT_ROOT: &[(&str, &str)] = &[("fakeroot", "fakeroot"), ("newuidmap", "uidmap")];

const PROGRAM: &str = "qemu-system-x86_64";

/// Says in words which programs are missing here and how to install them; `None` when all are there. `qemu` is the
/// emulator that was asked for, if any.
pub fn missing(qemu: Option<&Path>) -> Option<String> {
    let others: &[(&str, &str)] = if rustix::process::geteuid().is_root() { &[] } else { TOOLS_WITHOUT_ROOT };
    let asked = |program: &str| qemu.is_some() && program == PROGRAM;
    let absent: Vec<&(&str, &str)> =
        TOOLS.iter().chain(others).filter(|(program, _)| !asked(program) && found(program).is_none()).collect();
    if absent.is_empty() {
        return None;
    }
    let programs: Vec<&str> = absent.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = absent.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    Some(format!(
        "A rehearsal with QEMU needs programs that aren't here: {}.\nInstall them (as root), then start again:\n  apt-get install --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    ))
}

/// Where a program is: in PATH, or in the system's own folders, which not every user has in PATH.
pub(super) fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether a machine really runs with KVM here: `/dev/kvm` may be there and be refused, or fail at the first instruction.
pub fn kvm_works(qemu: &Path) -> bool {
    Path::new("/dev/kvm").exists() && probe::look(qemu, "kvm", "host").is_ok()
}

/// Whether a hypervisor under this emulator sees what its guests do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// It does.
    Absent,
    /// QEMU 10.0's emulation doesn't let a hypervisor see its guest's reads of CR2, CR3, CR4 and CR8: the decoder looks at
    /// an intercept's number where it means whether there is one. Xen's PVH guests of Debian 12 halt at once. KVM isn't
    /// concerned.
    Present,
    /// It couldn't be found out.
    Unknown,
}

/// How machines are run here.
#[derive(Debug, Clone)]
pub struct Emulator {
    /// The program.
    pub program: PathBuf,
    /// As it says itself: `10.0.2`.
    pub version: String,
    /// With the processor's own virtualization, not emulated.
    pub kvm: bool,
    /// See [`Bug`].
    pub bug: Bug,
}

impl Emulator {
    /// Looks at the emulator by starting it: twice for a fifth of a second.
    ///
    /// # Errors
    /// When it can't be started, with what to install.
    pub fn look(qemu: Option<&Path>) -> Result<Emulator> {
        let program = match qemu {
            Some(path) => path.to_owned(),
            None => {
                found(PROGRAM).with_context(|| format!("{PROGRAM} isn't installed: apt-get install qemu-system-x86"))?
            }
        };
        let about = command::run("ask QEMU for its version", &program.to_string_lossy(), &["--version"])?;
        let Some(version) = about.split_whitespace().nth(3).filter(|_| about.starts_with("QEMU emulator version"))
        else {
            bail!(
                "{} doesn't look like QEMU; it says: {}",
                program.display(),
                about.lines().next().unwrap_or_default()
            );
        };
        let kvm = kvm_works(&program);
        let bug = if kvm { under_kvm(&program) } else { emulated(&program)? };
        Ok(Emulator { version: version.to_owned(), program, kvm, bug })
    }

    /// QEMU's arguments for the processor and how it's run.
    pub(super) fn processor(&self) -> Vec<String> {
        let words = if self.kvm { ["-accel", "kvm", "-cpu", "host"] } else { ["-accel", TRANSLATOR, "-cpu", EMULATED] };
        words.map(str::to_owned).to_vec()
    }

    /// How long a boot may take.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(if self.kvm { 240 } else { 1500 })
    }
}

/// How QEMU translates the machine's code. Its store of translations is small on purpose: it is emptied when it is full, and only
/// that forgets what was once code in a page that has held data since. Until then each write to such a page looks at all
/// the translations in it, one by one: with 512 MiB that took nine tenths of the processor after an hour.
const TRANSLATOR: &str = "tcg,thread=multi,tb-size=64";

/// The emulated processor. Five-level page tables cost a third of its speed. With XSAVE, a dom0 that shares the
/// processor with a guest finds its vector registers changed; and all that a kernel takes for granted only with XSAVE
/// has to go with it, or the kernel's own AES self-test dies of an invalid opcode and keeps udev waiting for two minutes.
pub(super) const EMULATED: &str =
    "max,la57=off,xsave=off,avx=off,avx2=off,f16c=off,fma=off,vaes=off,vpclmulqdq=off,pku=off";

fn emulated(program: &Path) -> Result<Bug> {
    match probe::look(program, "tcg", EMULATED).context("QEMU can't even emulate a small machine here")? {
        Sight::Guests => Ok(Bug::Absent),
        Sight::BrokenGuests => Ok(Bug::Present),
        Sight::NoSvm => Ok(Bug::Unknown),
    }
}

/// Whether KVM lets machines run virtual machines of their own.
fn under_kvm(program: &Path) -> Bug {
    if probe::look(program, "kvm", "host").ok() == Some(Sight::Guests) {
        return Bug::Absent;
    }
    // The probe knows AMD's way only.
    let nested = fs::read_to_string("/sys/module/kvm_intel/parameters/nested").unwrap_or_default();
    if matches!(nested.trim(), "Y" | "1") { Bug::Absent } else { Bug::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_line_that_installs_it() {
        assert!(found("sh").is_some());
        assert!(found("no-such-program").is_none());
        if let Some(text) = missing(None) {
            assert!(text.contains("apt-get install"), "{text}");
        }
    }

    #[test]
    fn what_is_not_qemu_is_refused() {
        let error = Emulator::look(Some(Path::new("/bin/echo"))).unwrap_err().to_string();
        assert!(error.contains("doesn't look like QEMU"), "{error}");
    }
}
