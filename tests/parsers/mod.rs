//! The real parsers, in a Debian tree of their own below `target/`: nothing is installed on this machine.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hapair::rehearsal::{repository, rootfs};
use rustix::fs::{FlockOperation, flock};

/// Packages with a parser in them.
const PACKAGES: [&str; 5] = ["corosync", "drbd-utils", "ocfs2-tools", "pacemaker", "pacemaker-cli-utils"];

/// A Debian tree that has them.
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// Made at the first call; kept between runs by the name of what it was made from.
    pub(crate) fn get() -> &'static Tree {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(|| {
            let say = |text: &str| eprintln!("parsers: {text}");
            let cache = cache();
            let tar = rootfs::tar(&cache, "bookworm", rootfs::SERVER, &[], &say).unwrap();
            let debs = repository::folder(&cache, &tar, &PACKAGES, &say).unwrap();
            let name = debs.file_name().unwrap().to_str().unwrap();
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
            fs::create_dir_all(&target).unwrap();
            // Several test programs may come here at once.
            let lock = File::create(target.join("parsers.lock")).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            let tree = target.join(format!("parsers-{name}"));
            if !tree.exists() {
                let half = target.join("parsers-half");
                let _ = fs::remove_dir_all(&half);
                fs::create_dir_all(&half).unwrap();
                let script = "tar -C \"$1\" --exclude='./dev/*' --no-same-owner -xf \"$2\" && \
                              for deb in \"$3\"/*.deb; do dpkg-deb --fsys-tarfile \"$deb\" | tar -C \"$1\" --no-same-owner --keep-directory-symlink -xf - || exit 1; done && \
                              mkdir -p \"$1/files\" \"$1/proc\"";
                let (code, said) =
                    command("sh", &["-c", script, "sh", half.to_str().unwrap(), tar.to_str().unwrap(), debs.to_str().unwrap()]);
                assert_eq!(code, 0, "{said}");
                fs::rename(&half, &tree).unwrap();
            }
            Tree(tree)
        })
    }

    /// Runs a line of shell in the tree, on a machine of this name with these addresses; `files` is its `/files`.
    pub(crate) fn run(&self, files: &Path, name: &str, addresses: &[String], line: &str) -> (i32, String) {
        let script = r#"
            set -e
            tree=$1 files=$2 name=$3 line=$4; shift 4
            hostname "$name" 2>/dev/null || echo "$name" > /proc/sys/kernel/hostname
            ip link set lo up
            for address; do ip addr add "$address/32" dev lo; done
            mount --bind "$files" "$tree/files"
            mount -t tmpfs tmpfs "$tree/tmp"
            mount -t tmpfs tmpfs "$tree/run"
            mount -t tmpfs tmpfs "$tree/dev" && touch "$tree/dev/null" && mount --bind /dev/null "$tree/dev/null"
            mount --rbind /proc "$tree/proc"
            exec chroot "$tree" env LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "$line"
        "#;
        let mut words = vec!["--uts", "--net", "--mount"];
        if !rustix::process::geteuid().is_root() {
            words.extend(["--user", "--map-root-user"]);
        }
        words.extend(["sh", "-c", script, "sh", self.0.to_str().unwrap(), files.to_str().unwrap(), name, line]);
        words.extend(addresses.iter().map(String::as_str));
        command("unshare", &words)
    }
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let cache = base.join("hapair");
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// Exit code, and all that it said.
pub(crate) fn command(program: &str, words: &[&str]) -> (i32, String) {
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), said)
}
