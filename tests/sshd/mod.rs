//! A real sshd on loopback, with everything of its own in a temporary folder.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hapair::node::ssh::Target;

/// It ends, with its sessions, when it goes out of scope.
pub(crate) struct Sshd {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Sshd {
    /// Starts it; `extra` are lines of its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        // Under /tmp whatever TMPDIR says: the path of a control socket must be short.
        let dir = tempfile::Builder::new().prefix("sshd").tempdir_in("/tmp").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut sshd = Self { dir, port, child: None };
        sshd.keygen("host");
        sshd.keygen("user");
        sshd.keygen("stranger");
        fs::copy(sshd.path("user.pub"), sshd.path("authorized")).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile {0}/pid\nAuthorizedKeysFile {0}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n{extra}\n",
            sshd.dir.path().display()
        );
        fs::write(sshd.path("config"), config).unwrap();
        // Nothing of the user's own configuration has a say in these tests.
        fs::write(
            sshd.path("client"),
            format!(
                "UserKnownHostsFile {0}/users\nGlobalKnownHostsFile {0}/global\nIdentityAgent none\n",
                sshd.dir.path().display()
            ),
        )
        .unwrap();
        sshd.up();
        fs::write(sshd.path("known"), sshd.known_line()).unwrap();
        sshd
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn keygen(&self, name: &str) {
        let _ = fs::remove_file(self.path(name));
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name)).status();
        assert!(made.expect("ssh-keygen: apt-get install -y openssh-client").success());
    }

    pub(crate) fn known_line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port, fs::read_to_string(self.path("host.pub")).unwrap())
    }

    /// How hapair gets there, with a key that is let in.
    pub(crate) fn target(&self) -> Target {
        Target {
            user: whoami(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            key: Some(self.path("user")),
            known_hosts: self.path("known"),
            config_file: Some(self.path("client")),
            control_dir: self.path("c"),
            connect_timeout: Duration::from_secs(10),
            sudo: false,
        }
    }

    pub(crate) fn up(&mut self) {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/sshd");
        let (program, options) = if unpacked.join("usr/sbin/sshd").exists() {
            (unpacked.join("usr/sbin/sshd"), helpers(&unpacked))
        } else {
            (PathBuf::from("/usr/sbin/sshd"), Vec::new())
        };
        assert!(program.exists(), "no {}: run tests/tools test, as `make test` does", program.display());
        // As root, sshd wants /run/sshd: it gets one that nobody else sees.
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("unshare");
            // An sshd that was only unpacked has no user of its own: it finds one in a list that nobody else sees.
            let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && if ! grep -q ^sshd: /etc/passwd; then \
                          cp /etc/passwd /run/passwd && echo sshd:x:65533:65534::/run/sshd:/bin/false >>/run/passwd && \
                          mount --bind /run/passwd /etc/passwd; fi && exec \"$@\"";
            command.args(["-m", "sh", "-c", script, "sh"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        let log = fs::File::create(self.path("log")).unwrap();
        command.args(["-D", "-e", "-f"]).arg(self.path("config")).args(options).stdin(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.path("log")).unwrap();
            assert!(start.elapsed() < Duration::from_secs(20), "sshd does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the listener and every connection.
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let sessions = children(child.id());
            let _ = child.kill();
            let _ = child.wait();
            sessions.into_iter().for_each(kill);
        }
    }

    /// Cuts every connection; the listener stays.
    pub(crate) fn cut(&self) -> usize {
        let sessions = children(self.child.as_ref().unwrap().id());
        let count = sessions.len();
        // The unprivileged half of a session holds the socket too, and goes first.
        sessions.iter().flat_map(|pid| children(*pid)).filter(|pid| is_sshd(*pid)).for_each(kill);
        sessions.into_iter().for_each(kill);
        count
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.down();
    }
}

/// Where newer servers find their second programs when they are not installed.
fn helpers(unpacked: &Path) -> Vec<String> {
    [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")]
        .into_iter()
        .map(|(option, name)| (option, unpacked.join("usr/lib/openssh").join(name)))
        .filter(|(_, path)| path.exists())
        .flat_map(|(option, path)| ["-o".to_owned(), format!("{option}={}", path.display())])
        .collect()
}

pub(crate) fn whoami() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Fields of /proc/PID/stat from the state on: state, parent, group, session...
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn processes() -> Vec<u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| stat(*pid).is_some_and(|stat| stat[1] == parent.to_string());
    processes().into_iter().filter(is_child).collect()
}

fn is_sshd(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("sshd"))
}

/// Processes whose command line holds this text.
pub(crate) fn with_argument(text: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    };
    processes().into_iter().filter(holds).filter(|pid| *pid != std::process::id()).collect()
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
