//! A node over SSH, by the system's own `ssh` (its agent, its configuration, its jump hosts).
//!
//! openssh's native-mux: one master connection per node, and commands over its control socket. The
//! master leaves our process group as soon as it is connected, and commands have no local process at
//! all, so Ctrl-C at our terminal reaches neither. Every command goes through [`super::wrap`].
//!
//! The only async of the crate is in this file; nothing of it is seen from outside.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use std::{fs, io};

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::local::GRACE;
use super::wrap::{Limit, Stream, Wrapped};
use super::{Cmd, Effect, Line, Lost, Output, Transport, host_key};

mod follow;

/// Silence of three intervals is a broken connection. A node whose disks are very busy is silent for a while, too.
const ALIVE: Duration = Duration::from_secs(15);

/// How long ssh's own master, a process beside us, may take to say that it's there.
const CHECK: Duration = Duration::from_secs(20);

/// A master that we could not end (killed with -9) ends by itself after ten idle minutes.
const IDLE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(599);

/// `sockaddr_un` has room for 107 bytes and a NUL.
const SOCKET_PATH: usize = 107;

/// `/.ssh-connection123456/master`, and what ssh appends to it while it binds.
const SOCKET_TAIL: usize = 29 + 17;

/// A line that `sh -c` gets must fit into one argument; Linux allows 128 KiB.
const LONGEST_LINE: usize = 120_000;

/// Where a node is, and how one logs in there.
#[derive(Debug, Clone)]
pub struct Target {
    /// Login name.
    pub user: String,
    /// Name, address, or a `Host` of the user's ssh configuration.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Only this key is offered; without it, the agent's and the usual ones.
    pub key: Option<PathBuf>,
    /// The run's own list of known host keys; nothing that is not in it is accepted.
    pub known_hosts: PathBuf,
    /// Used instead of `~/.ssh/config`.
    pub config_file: Option<PathBuf>,
    /// For the control sockets: ours alone, and short; see [`control_dir`].
    pub control_dir: PathBuf,
    /// For the connection to be made.
    pub connect_timeout: Duration,
    /// The login is not root: everything runs through `sudo -n`.
    pub sudo: bool,
}

/// A node over SSH. It connects with the first command, and again after a broken connection.
#[derive(Debug)]
pub struct Ssh {
    target: Target,
    limit: Limit,
    session: Mutex<Option<Arc<Session>>>,
}

impl Ssh {
    /// Connects to nothing yet.
    pub fn new(target: Target) -> Self {
        Self { target, limit: Limit::default(), session: Mutex::new(None) }
    }

    /// With another way to end what takes too long.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A session whose master answers. Connects while it holds the lock: two threads, one master.
    fn session(&self, runtime: &Runtime) -> Result<Arc<Session>, Lost> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = slot.as_ref() {
            // The master is gone after an idle time, or when it saw the connection break. Asking
            // first means that a command which then fails to start was never half sent.
            let check = async { timeout(CHECK, session.check()).await };
            if matches!(runtime.block_on(check), Ok(Ok(()))) {
                return Ok(Arc::clone(session));
            }
            *slot = None;
        }
        let session = Arc::new(self.connect(runtime)?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    fn connect(&self, runtime: &Runtime) -> Result<Session, Lost> {
        let target = &self.target;
        prepare(&target.control_dir)?;
        let mut builder = SessionBuilder::default();
        builder
            .user(target.user.clone())
            .port(target.port)
            .connect_timeout(target.connect_timeout.max(Duration::from_secs(1)))
            .server_alive_interval(ALIVE)
            .known_hosts_check(KnownHosts::Strict)
            .user_known_hosts_file(option_path(&target.known_hosts))
            .control_directory(&target.control_dir)
            .control_persist(ControlPersist::IdleFor(IDLE));
        if let Some(key) = &target.key {
            builder.keyfile(key);
        }
        if let Some(file) = &target.config_file {
            builder.config_file(file);
        }
        let limit = target.connect_timeout + GRACE;
        let mut again = true;
        loop {
            let attempt = async { timeout(limit, builder.connect_mux(&target.host)).await };
            let Ok(result) = runtime.block_on(attempt) else {
                return Err(Lost::Unreachable(format!("no connection to {} after {} s", target.host, limit.as_secs())));
            };
            let failure = match result {
                Ok(session) => return Ok(session),
                Err(failure) => failure,
            };
            let text = reason(&failure);
            // Until it is connected, ssh is in our process group: a Ctrl-C that the engine wants to
            // survive has ended it without a word. That is no reason to lose the node.
            if text.is_empty() && std::mem::take(&mut again) {
                continue;
            }
            return Err(self.classified(&text));
        }
    }

    /// ssh has one exit code for everything; its own sentences have been the same for decades.
    fn classified(&self, text: &str) -> Lost {
        let says = |sentences: &[&str]| sentences.iter().any(|sentence| text.contains(sentence));
        if says(&[
            "Host key verification failed",
            "HOST IDENTIFICATION HAS CHANGED",
            "host key is known for",
            "REVOKED HOST KEY",
        ]) {
            return Lost::HostKey(host_key::explained(&self.target, text));
        }
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ssh gave no reason");
        if says(&["Permission denied", "Too many authentication failures", "No supported authentication methods"]) {
            return Lost::Auth(format!("{last}{}", key_hint(&self.target, text)));
        }
        Lost::Unreachable(last.to_owned())
    }

    fn forget(&self, session: &Arc<Session>) {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may already have made a new one.
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *slot = None;
        }
    }
}

impl Transport for Ssh {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        let wrapped = Wrapped::new(cmd, self.limit, self.target.sudo)?;
        let line = wrapped.line();
        if line.len() > LONGEST_LINE {
            return Err(Lost::Refused(format!("{} bytes of arguments: use standard input", line.len())));
        }
        let runtime = runtime()?;
        let limit = cmd.timeout + GRACE;
        let mut again = cmd.effect == Effect::Read;
        loop {
            let session = self.session(runtime)?;
            let answer = async { timeout(limit, run(&session, &wrapped, &line, &cmd.stdin)).await };
            let Ok(result) = runtime.block_on(answer) else {
                self.forget(&session);
                return Err(Lost::Dropped(format!("no answer for {} s", limit.as_secs())));
            };
            if matches!(result, Err(Lost::Dropped(_))) {
                self.forget(&session);
                // The node may have got the command and we no word of it. A write is the caller's to check; a read
                // does no harm twice.
                if std::mem::take(&mut again) {
                    continue;
                }
            }
            return result;
        }
    }

    fn follow(&self, cmd: &Cmd, silence: Duration, line: &mut Line<'_>) -> Result<(), Lost> {
        let wrapped = Wrapped::new(cmd, self.limit, self.target.sudo)?;
        let runtime = runtime()?;
        let session = self.session(runtime)?;
        let result = runtime.block_on(follow::run(&session, &wrapped, silence, line));
        if matches!(result, Err(Lost::Dropped(_))) {
            self.forget(&session);
        }
        result
    }

    fn reset(&self) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One for all nodes. One worker: our threads wait in `block_on`, and it does the rest.
fn runtime() -> Result<&'static Runtime, Lost> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_name("ssh").enable_all().build().map_err(|e| e.to_string())
        })
        .as_ref()
        .map_err(|why| Lost::Unreachable(format!("no runtime for ssh: {why}")))
}

async fn run(session: &Session, wrapped: &Wrapped, line: &str, stdin: &[u8]) -> Result<Output, Lost> {
    let start = Instant::now();
    let dropped = |e: openssh::Error| Lost::Dropped(reason(&e));
    let mut command = session.raw_command(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = loop {
        match command.spawn().await {
            Ok(child) => break child,
            // sshd's MaxSessions: nothing has run, a place will be free. The caller's limit ends this.
            Err(e) if reason(&e).contains("refused") => sleep(Duration::from_millis(200)).await,
            Err(e) => return Err(dropped(e)),
        }
    };
    let (Some(mut input), Some(out), Some(err)) = (child.stdin().take(), child.stdout().take(), child.stderr().take())
    else {
        return Err(Lost::Dropped("ssh gave no pipes".to_owned()));
    };
    // All three at once: whichever pipe is full, somebody empties it.
    let feed = async move {
        // A command need not read its input to its end, so a broken pipe says nothing.
        let _ = input.write_all(stdin).await;
    };
    let (mut feed, mut done) = (pin!(feed), false);
    let (mut read_out, mut out_done) = (pin!(collect(out, wrapped.stream())), None);
    let (mut read_err, mut err_done) = (pin!(collect(err, wrapped.stream())), None);
    let (stdout, stderr) = poll_fn(|context| {
        if !done {
            done = feed.as_mut().poll(context).is_ready();
        }
        if out_done.is_none() {
            out_done = ready(read_out.as_mut().poll(context));
        }
        if err_done.is_none() {
            err_done = ready(read_err.as_mut().poll(context));
        }
        // Whether it is fed does not matter: a command may end before it has read its input.
        match (out_done.take(), err_done.take()) {
            (Some(out), Some(err)) => Poll::Ready((out, err)),
            some => {
                (out_done, err_done) = some;
                Poll::Pending
            }
        }
    })
    .await;
    let result = wrapped.open(stdout, stderr, start.elapsed());
    // Lets the master close its channel in its own time, but no daemon may keep us here.
    let end = timeout(Duration::from_millis(500), child.wait()).await;
    match (result, end) {
        (Err(Lost::Dropped(_)), Ok(Err(e))) if session.check().await.is_err() => Err(dropped(e)),
        (result, _) => result,
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Until the frame is closed or there is no more.
async fn collect(mut from: impl AsyncRead + Unpin, mut stream: Stream) -> Stream {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return stream,
            Ok(n) if stream.push(&buffer[..n]) => return stream,
            Ok(_) => {}
        }
    }
}

/// What openssh says and what is behind it; for a failed connection, only ssh's own words.
fn reason(error: &openssh::Error) -> String {
    match error {
        openssh::Error::Connect(e) if e.kind() == io::ErrorKind::NotFound => {
            format!("the program ssh cannot be run: {e}")
        }
        openssh::Error::Connect(e) => e.to_string(),
        _ => {
            let mut text = error.to_string();
            let mut next = std::error::Error::source(error);
            while let Some(cause) = next {
                text = format!("{text}: {cause}");
                next = cause.source();
            }
            text
        }
    }
}

fn key_hint(target: &Target, text: &str) -> String {
    let Some(key) = &target.key else { return String::new() };
    let trouble = text.lines().find(|line| line.contains("Load key") || line.contains("no such identity"));
    format!(
        "; it was offered {}{}",
        key.display(),
        trouble.map(|line| format!(" ({})", line.trim())).unwrap_or_default()
    )
}

/// As the value of an ssh option: one word, nothing expanded.
pub(crate) fn option_path(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// The usual place for control sockets: `$XDG_RUNTIME_DIR/hapair`, for root `/run/hapair`.
pub fn control_dir() -> PathBuf {
    let user = rustix::process::getuid();
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() && dir.is_dir() => dir.join("hapair"),
        _ if user.is_root() => PathBuf::from("/run/hapair"),
        _ => PathBuf::from(format!("/tmp/hapair-{}", user.as_raw())),
    }
}

/// Makes the folder, or makes sure that it is ours alone: a socket in it is a root login.
fn prepare(dir: &Path) -> Result<(), Lost> {
    let refuse = |why: String| Lost::Unreachable(format!("the folder for control sockets, {}, {why}", dir.display()));
    let longest = SOCKET_PATH - SOCKET_TAIL;
    let length = dir.as_os_str().len();
    if length > longest {
        return Err(refuse(format!("has a path of {length} bytes; a socket allows {longest}")));
    }
    if !dir.is_absolute() || dir.to_string_lossy().contains(['%', '"']) {
        return Err(refuse("must have an absolute path without % and quotes".to_owned()));
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| refuse(format!("cannot be made: {e}")))?;
    let found = fs::symlink_metadata(dir).map_err(|e| refuse(format!("cannot be read: {e}")))?;
    if !found.is_dir() || found.uid() != rustix::process::getuid().as_raw() {
        return Err(refuse("is not a folder of ours".to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        let closed = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
        closed.map_err(|e| refuse(format!("is open to others: {e}")))?;
    }
    Ok(())
}

/// Ends the masters that a killed run left in this folder. Only under the lock of the run: a running
/// one has its masters there too.
pub fn sweep(control_dir: &Path) {
    for entry in fs::read_dir(control_dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(".ssh-connection") {
            continue;
        }
        let socket = entry.path().join("master");
        if socket.exists() {
            // Without an answer there is nobody to end; the folder goes in either case.
            let exit = ["ssh".as_ref(), "-F".as_ref(), "none".as_ref(), "-S".as_ref(), socket.as_os_str()];
            let exit = exit.into_iter().chain(["-O".as_ref(), "exit".as_ref(), "node".as_ref()]);
            let _ = super::local::run(&exit.collect::<Vec<_>>(), b"", Duration::from_secs(5));
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ssh() -> Ssh {
        Ssh::new(Target {
            user: "root".into(),
            host: "127.0.0.1".into(),
            port: 9,
            key: Some("/k/id".into()),
            known_hosts: "/nowhere/known_hosts".into(),
            config_file: None,
            control_dir: "/run/x".into(),
            connect_timeout: Duration::from_secs(5),
            sudo: false,
        })
    }

    #[test]
    fn ssh_sentences_are_understood() {
        let ssh = ssh();
        let unknown = "No ED25519 host key is known for node1.test and you have requested strict checking.\r\n\
                       Host key verification failed.\r\n";
        assert!(matches!(ssh.classified(unknown), Lost::HostKey(_)));
        assert!(matches!(ssh.classified("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @"), Lost::HostKey(_)));
        let denied = "Load key \"/k/id\": bad permissions\r\nroot@node1.test: Permission denied (publickey).\r\n";
        let Lost::Auth(why) = ssh.classified(denied) else { panic!() };
        assert!(why.contains("publickey") && why.contains("/k/id") && why.contains("bad permissions"), "{why}");
        for text in [
            "connect to host node1.test port 22: Connection refused",
            "connect to host node1.test port 22: Connection timed out",
            "Could not resolve hostname node1.test: Name or service not known",
            "kex_exchange_identification: Connection closed by remote host",
        ] {
            assert_eq!(ssh.classified(&format!("Warning: x\r\n{text}\r\n")), Lost::Unreachable(text.to_owned()));
        }
        assert!(matches!(ssh.classified(""), Lost::Unreachable(_)));
    }

    #[test]
    fn the_folder_for_sockets_is_ours_alone_and_short() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("a/b");
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        let Err(Lost::Unreachable(why)) = prepare(&base.path().join("x".repeat(70))) else { panic!() };
        assert!(why.contains("a socket allows 61"), "{why}");
        assert!(prepare(Path::new("relative")).is_err());
        std::os::unix::fs::symlink(&dir, base.path().join("link")).unwrap();
        assert!(prepare(&base.path().join("link")).is_err());
        assert_eq!(option_path(Path::new("/a b/50%")), "\"/a b/50%%\"");
    }
}
