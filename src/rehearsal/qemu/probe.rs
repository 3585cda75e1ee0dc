//! What an emulator can do, seen by trying: a boot sector (`probe.s`) that reports about the processor it runs on.

// An emulator is started and ended here, which is no node's work.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::command::last_lines;

/// What the boot sector saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// A virtual machine inside the machine behaves as it should.
    Guests,
    /// A virtual machine inside reads control registers past its hypervisor.
    BrokenGuests,
    /// The processor doesn't offer AMD's virtualization (on Intel's that says nothing).
    NoSvm,
}

/// Starts the emulator on the boot sector.
///
/// # Errors
/// When the machine didn't start, or didn't come to the boot sector's end: with what QEMU said.
pub(super) fn look(qemu: &Path, acceleration: &str, processor: &str) -> Result<Sight> {
    let mut sector = SECTOR.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    let disk = tempfile::Builder::new().prefix("hapair-probe").tempfile().context("create the probe's disk")?;
    std::fs::write(&disk, &sector).context("write the probe's disk")?;
    let drive = format!("file={},format=raw,if=ide,snapshot=on", disk.path().display().to_string().replace(',', ",,"));
    let handle = duct::cmd!(
        qemu,
        "-accel",
        acceleration,
        "-cpu",
        processor,
        "-machine",
        "pc",
        "-m",
        "16",
        "-nodefaults",
        "-display",
        "none",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
        "-drive",
        &drive
    )
    .stdin_null()
    .stdout_null()
    .stderr_capture()
    .unchecked()
    .start()
    .with_context(|| format!("start {} (is it installed?)", qemu.display()))?;
    let Some(output) = handle.wait_timeout(PATIENCE).context("wait for the probe")? else {
        handle.kill().context("end the probe")?;
        bail!("the probe machine ({acceleration}) came to no end in {} s", PATIENCE.as_secs());
    };
    // The device doubles what it's told and adds one.
    match output.status.code() {
        Some(0x25) => Ok(Sight::Guests),
        Some(0x21..=0x3f | 0x61) => Ok(Sight::BrokenGuests),
        Some(0x41) => Ok(Sight::NoSvm),
        _ => bail!(
            "the probe machine ({acceleration}) didn't run ({}):\n{}",
            output.status,
            last_lines(&String::from_utf8_lossy(&output.stderr), 3)
        ),
    }
}

/// It takes a fifth of a second; on a busy host ten times that.
const PATIENCE: Duration = Duration::from_secs(20);

/// `probe.s`, assembled.
#[rustfmt::skip]
const SECTOR: &[u8] = &[
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x0f, 0x01, 0x16, 0xdc, 0x7c, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0xea, 0x17,
    0x7c, 0x08, 0x00, 0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xb8, 0x01, 0x00, 0x00, 0x80, 0x0f, 0xa2,
    0xf6, 0xc1, 0x04, 0xb0, 0x20, 0x0f, 0x84, 0x86, 0x00, 0x00, 0x00, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x80, 0xcc,
    0x10, 0x0f, 0x30, 0xb9, 0x17, 0x01, 0x01, 0xc0, 0xb8, 0x00, 0x00, 0x02, 0x00, 0x31, 0xd2, 0x0f, 0x30, 0xbb, 0x00, 0x00,
    0x01, 0x00, 0x89, 0xdf, 0xb9, 0x00, 0x04, 0x00, 0x00, 0x31, 0xc0, 0xf3, 0xab, 0xc6, 0x03, 0x04, 0xc6, 0x43, 0x10, 0x01,
    0xc6, 0x43, 0x58, 0x01, 0xbf, 0x00, 0x04, 0x01, 0x00, 0xb9, 0x04, 0x00, 0x00, 0x00, 0xc7, 0x07, 0x10, 0x00, 0x93, 0x0c,
    0xff, 0x4f, 0x04, 0x83, 0xc7, 0x10, 0xe2, 0xf2, 0xc7, 0x83, 0x10, 0x04, 0x00, 0x00, 0x08, 0x00, 0x9b, 0x0c, 0xc6, 0x83,
    0xd1, 0x04, 0x00, 0x00, 0x10, 0xc6, 0x83, 0x58, 0x05, 0x00, 0x00, 0x11, 0xc6, 0x83, 0x70, 0x05, 0x00, 0x00, 0x02, 0x66,
    0xc7, 0x83, 0x78, 0x05, 0x00, 0x00, 0xbc, 0x7c, 0x89, 0xd8, 0x0f, 0x01, 0xd8, 0x8b, 0x43, 0x70, 0x83, 0xf8, 0x10, 0x72,
    0x02, 0xb0, 0x0f, 0x04, 0x10, 0xe6, 0xf4, 0xf4, 0x0f, 0x20, 0xd0, 0xb0, 0x30, 0xeb, 0xf6, 0x90, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00,
    0x17, 0x00, 0xc4, 0x7c,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_bytes_are_the_sources() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("probe.s");
        std::fs::write(&source, include_str!("probe.s")).unwrap();
        let script =
            "as --32 -o probe.o probe.s && ld -m elf_i386 -e 0 -Ttext 0x7c00 --oformat binary -o probe.bin probe.o";
        let Ok(output) = duct::cmd!("sh", "-c", script).dir(folder.path()).stderr_capture().unchecked().run() else {
            return;
        };
        // A host without an assembler, or with one for another processor, has nothing to compare with.
        if output.status.success() {
            let made = std::fs::read(folder.path().join("probe.bin")).unwrap();
            assert_eq!(&made[..SECTOR.len()], SECTOR);
            assert!(made[SECTOR.len()..510].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn an_emulator_that_is_not_there_is_an_error() {
        let error = look(&PathBuf::from("/no/such/qemu"), "tcg", "max").unwrap_err().to_string();
        assert!(error.contains("/no/such/qemu"), "{error}");
    }
}
