//! Two machines of 2007, as far as an install sees them: a root folder each, with the ordinary programs of that time under
//! their own names and `tools.sh` in the place of everything that was particular to it (DRBD 8.0.3, Heartbeat 2.1.2, Xen
//! 3.1, m-a, init scripts). The scripts that hapair sends run for real, in that root and with nothing else in reach.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use hapair::node::{Cmd, Effect, Lost, Output, Transport, batch};

/// Programs that a minimal Ubuntu 7.10 has and that the scripts may use: nothing that came later (`lsblk`, `wipefs`,
/// `timeout`, `truncate`, `sha256sum`, `systemctl`). docs/platforms.md says the same to people.
pub(crate) const ORDINARY: &[&str] = &[
    "awk", "basename", "cat", "chmod", "chown", "cmp", "cp", "cut", "date", "dd", "df", "dirname", "env", "expr",
    "false", "find", "flock", "fuser", "grep", "head", "id", "install", "ln", "ls", "mkdir", "mktemp", "mv", "od",
    "pidof", "printf", "readlink", "rm", "rmdir", "sed", "setsid", "sh", "sha1sum", "sleep", "sort", "stat", "sync",
    "tail", "test", "touch", "tr", "true", "umount", "uniq", "wc", "xargs",
];

/// Programs that `tools.sh` plays.
pub(crate) const PLAYED: &[&str] = &[
    "apt-get",
    "blkid",
    "blockdev",
    "cibadmin",
    "cl_status",
    "crm_mon",
    "debugfs.ocfs2",
    "depmod",
    "dpkg",
    "dpkg-query",
    "drbdadm",
    "drbdmeta",
    "drbdsetup",
    "getent",
    "hostname",
    "invoke-rc.d",
    "ip",
    "m-a",
    "mkfs.ocfs2",
    "modinfo",
    "modprobe",
    "mount",
    "sfdisk",
    "shutdown",
    "ssh",
    "ssh-keygen",
    "uname",
    "update-grub",
    "update-rc.d",
    "xm",
];

/// Files of `/proc` that only the period's kernel has, or that must not be this machine's own. In commands they become
/// `/Proc/...`, of the same length, and back again in what the commands say.
const PROC: &[&str] = &[
    "/proc/drbd",
    "/proc/mounts",
    "/proc/self/mountinfo",
    "/proc/swaps",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/proc/xen/capabilities",
    "/proc/net/tcp",
];

/// Bytes of the partition under DRBD.
const PARTITION: u64 = 256 << 20;

/// Both machines and what they share.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    tools: PathBuf,
}

impl Stage {
    /// Two fresh machines: booted without Xen, with a DRBD module that somebody built for that kernel, and their own names
    /// on 127.0.1.1.
    pub(crate) fn new() -> Arc<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/period/tools.sh");
        let stage = Self { folder: tempfile::tempdir().unwrap(), tools };
        for folder in ["drbd", "cib", "fs"] {
            fs::create_dir(stage.path(folder)).unwrap();
        }
        fs::File::create(stage.path("drbd/device")).unwrap().set_len(PARTITION - 65536).unwrap();
        for name in ["node1", "node2"] {
            stage.machine(name);
        }
        Arc::new(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn machine(&self, name: &str) {
        let root = self.path(name);
        // Its programs are its own folders, with links into this machine's, which can't be written to from there.
        let make = |path: &str| fs::create_dir_all(root.join(path)).unwrap();
        for folder in [
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "host",
            "proc",
            "pair",
            "dev",
            "etc/init.d",
            "etc/default",
            "etc/ssh",
            "root",
            "boot/grub",
            "srv",
            "stage",
            "drbd0",
        ] {
            make(folder);
        }
        for folder in ["tmp", "run", "var/lib/dpkg/updates", "var/log", "lib/modules", "sys/hypervisor", "sys/module"] {
            make(folder);
        }
        for level in 0..7 {
            make(&format!("etc/rc{level}.d"));
        }
        for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib64", "usr/lib64")] {
            symlink(target, root.join(link)).unwrap();
        }
        // /lib is the machine's own, for its modules; the loader and its libraries are looked for there as well.
        for entry in fs::read_dir("/usr/lib").unwrap() {
            let library = entry.unwrap().file_name().into_string().unwrap();
            if library.ends_with("-linux-gnu") {
                symlink(format!("/usr/lib/{library}"), root.join("lib").join(library)).unwrap();
            }
        }
        fs::copy(&self.tools, root.join("stage/tool")).unwrap();
        fs::set_permissions(root.join("stage/tool"), Permissions::from_mode(0o755)).unwrap();
        for program in PLAYED {
            symlink("/stage/tool", root.join("usr/sbin").join(program)).unwrap();
        }
        for program in ORDINARY {
            let place = ["/usr/bin", "/usr/sbin"].map(|folder| Path::new(folder).join(program));
            // Behind /etc/alternatives, which these machines do not have.
            let real = place.iter().find_map(|path| path.canonicalize().ok());
            let real = real.unwrap_or_else(|| panic!("there is no {program} here"));
            let inside = Path::new("/host").join(real.strip_prefix("/usr").unwrap());
            symlink(inside, root.join("usr/bin").join(program)).unwrap();
        }
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        write("etc/group", "root:x:0:\n");
        write(
            "etc/lsb-release",
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=7.10\nDISTRIB_CODENAME=gutsy\nDISTRIB_DESCRIPTION=\"Ubuntu 7.10\"\n",
        );
        write("etc/hostname", &format!("{name}\n"));
        write("etc/hosts", &format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n"));
        write("etc/modules", "loop\n");
        write(
            "boot/grub/menu.lst",
            "default\t\t0\n\ntimeout\t\t3\n\n# xenhopt=\n# xenkopt=console=tty0\n## ## End Default Options ##\n\ntitle\t\tUbuntu 7.10, kernel 2.6.22-14-generic\nroot\t\t(hd0,0)\nkernel\t\t/boot/vmlinuz-2.6.22-14-generic root=/dev/sda1 ro quiet\n",
        );
        write(
            "srv/vm01.cfg",
            "name = 'vm01'\nmemory = 256\nbootloader = '/usr/bin/pygrub'\ndisk = [ 'tap:aio:/drbd0/xen/vm01/vm01-disk0.img,xvda,w' ]\n",
        );
        write("Proc/name", &format!("{name}\n"));
        write("Proc/nodename", &format!("{name}\n"));
        write("Proc/mounts", "/dev/sda1 / ext3 rw,errors=remount-ro 0 0\n");
        write("Proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 979956 0 -1\n");
        write("Proc/sys/kernel/osrelease", "2.6.22-14-generic\n");
        write("Proc/sys/kernel/random/boot_id", &format!("boot-{name}\n"));
        write("Proc/xen/none", "");
        write("Proc/net/tcp", "  sl  local_address rem_address   st\n");
        write("lib/modules/2.6.22-14-generic/kernel/drivers/block/drbd.ko", "");
        write("var/lib/dpkg/installed", "util-linux\nopenssh-server\n");
        for (file, text) in [("size", PARTITION / 512), ("start", 8_000_000), ("ro", 0)] {
            write(&format!("sys/block/sda/sda3/{file}"), &format!("{text}\n"));
        }
        write("sys/block/sda/size", "160836480\n");
        fs::File::create(root.join("dev/sda3")).unwrap().set_len(PARTITION).unwrap();
        fs::write(root.join("dev/sda"), "").unwrap();
        // What DRBD shows is the same on both; it is there once the resource is up.
        fs::hard_link(self.path("drbd/device"), root.join("dev/.drbd0")).unwrap();
        for device in ["null", "zero", "urandom"] {
            fs::write(root.join("dev").join(device), "").unwrap();
        }
        let key = root.join("etc/ssh/ssh_host_rsa_key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-C"])
            .arg(format!("root@{name}"))
            .arg("-f")
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
    }

    /// Adds a line to what both machines have done.
    pub(crate) fn head(&self, text: &str) {
        for name in ["node1", "node2"] {
            let path = self.path(&format!("log.{name}"));
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{text}").unwrap();
        }
    }

    fn note(&self, name: &str, text: &str) {
        let path = self.path(&format!("log.{name}"));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{text}").unwrap();
    }

    /// What a machine has done, a line for each command.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("log.{name}"))).unwrap_or_default()
    }

    /// A file of a machine.
    pub(crate) fn file(&self, name: &str, path: &str) -> String {
        fs::read_to_string(self.path(name).join(path)).unwrap_or_else(|error| panic!("{name}: {path}: {error}"))
    }

    fn run(&self, name: &str, cmd: &Cmd) -> Output {
        const ENTER: &str = r#"
            set -e
            pair=$1 root=$1/$2; shift 2
            mount --rbind /proc "$root/proc"
            for folder in lib lib64; do
                mount --bind "/usr/$folder" "$root/usr/$folder"
                mount -o remount,bind,ro "$root/usr/$folder"
            done
            mount --bind /usr "$root/host"
            mount -o remount,bind,ro "$root/host"
            mount --bind "$pair" "$root/pair"
            for device in null zero urandom; do mount --bind "/dev/$device" "$root/dev/$device"; done
            if grep -q ' /drbd0 ocfs2 ' "$root/Proc/mounts"; then mount --bind "$pair/fs" "$root/drbd0"; fi
            exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"
        "#;
        let there = |text: &str| {
            let mut text = text.to_owned();
            for path in PROC {
                text = text.replace(path, &path.replace("/proc/", "/Proc/"));
            }
            text
        };
        let mut words: Vec<String> = vec!["--mount".to_owned()];
        if !rustix::process::geteuid().is_root() {
            words.extend(["--user", "--map-root-user"].map(str::to_owned));
        }
        words.extend(["sh", "-c", ENTER, "sh"].map(str::to_owned));
        words.extend([self.folder.path().display().to_string(), name.to_owned()]);
        // The devices are files here.
        words.extend(cmd.argv.iter().map(|word| there(word).replace("[ -b ", "[ -e ").replace("[ ! -b ", "[ ! -e ")));
        let mut child = Command::new("unshare")
            .args(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = match std::str::from_utf8(&cmd.stdin) {
            Ok(text) => there(text).replace("[ -b ", "[ -e ").replace("[ ! -b ", "[ ! -e ").into_bytes(),
            Err(_) => cmd.stdin.clone(),
        };
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let back = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text.replace("/Proc/", "/proc/").into_bytes(),
            Err(error) => error.into_bytes(),
        };
        Output { code: output.status.code().unwrap_or(137), stdout: back(output.stdout), stderr: back(output.stderr) }
    }
}

/// The connection to one of the machines, which can be cut at a write.
pub(crate) struct Wire {
    stage: Arc<Stage>,
    name: &'static str,
    cut: Arc<Mutex<Option<(usize, bool)>>>,
}

impl Wire {
    /// `cut`: after so many more writes (of both machines) the connection is lost, before or after the write took effect.
    pub(crate) fn new(stage: &Arc<Stage>, name: &'static str, cut: &Arc<Mutex<Option<(usize, bool)>>>) -> Self {
        Self { stage: Arc::clone(stage), name, cut: Arc::clone(cut) }
    }

    /// Whether it is cut at this write, and when.
    fn cut(&self) -> Option<bool> {
        let mut cut = self.cut.lock().unwrap();
        match *cut {
            Some((0, after)) => Some(after),
            Some((left, after)) => {
                *cut = Some((left - 1, after));
                None
            }
            None => None,
        }
    }
}

impl Transport for Wire {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        let lost = || Lost::Dropped("cut by the test".to_owned());
        if cmd.effect == Effect::Read {
            return Ok(self.stage.run(self.name, cmd));
        }
        let cut = self.cut();
        if cut == Some(false) {
            return Err(lost());
        }
        // A file that is written whole: its path and its mode are the script's first words.
        if let ([shell, _, _, _, path, mode, ..], false) = (cmd.argv.as_slice(), cmd.stdin.is_empty()) {
            if shell == "sh" && path.starts_with('/') {
                self.stage.note(self.name, &format!("(writes {path}, mode {mode})"));
            }
        }
        let output = self.stage.run(self.name, cmd);
        if cut.is_some() { Err(lost()) } else { Ok(output) }
    }

    fn exec_all(&self, reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
        batch::exec(self, reads)
    }
}
