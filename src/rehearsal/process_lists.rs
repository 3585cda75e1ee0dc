//! Whether a secret is ever seen in a node's list of processes: looked for again and again while a rehearsal installs.
//!
//! What a process gets as an argument every user of its machine can read. The looks get the secrets on standard input.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::answers::Bmc;
use crate::command::print;
use crate::node::{At, Cmd, Node};
use crate::secrets::Secrets;
use crate::setup::Setup;

/// Seconds that a node looks before it tells what it saw.
const ROUND: u64 = 8;

/// Pause of a node that does not answer: it boots.
const PAUSE: Duration = Duration::from_secs(1);

/// The one program that gets one: drbdadm, which is DRBD's own, hands it the shared secret so, and it can't be given in
/// another way (drbdsetup(8), `--shared-secret`). For the module of DRBD 8.4 it starts itself anew as `drbdsetup-84`.
const DRBDSETUP: [&str; 2] = ["drbdsetup", "drbdsetup-84"];

/// What fence_ipmilan calls with the BMC's password among its arguments. It is not hapair's, nor is there another way with it:
/// `hapair check` warns of it. Called by anybody else, such as external/ipmi, it must not show one.
const IPMITOOL: &str = "ipmitool";

/// What a node has seen.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    /// The processes that had a secret among their arguments.
    programs: BTreeSet<Program>,
}

/// A process, as far as it matters here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    name: String,
    /// Name of the process that started it, as the kernel keeps it; empty when that could not be seen any more.
    parent: String,
}

impl Program {
    /// Whether it is `agent`'s own call of ipmitool. The kernel keeps 15 characters of a name (proc(5), `comm`).
    fn is_agents(&self, agent: Option<&str>) -> bool {
        self.name == IPMITOOL && agent.is_some_and(|agent| agent.starts_with(&self.parent))
    }
}

impl Seen {
    fn take(&mut self, text: &str) {
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("looks", count)) => self.looks += count.parse::<u64>().unwrap_or_default(),
                Some(("seen", words)) => {
                    let (program, parent) = words.split_once(' ').unwrap_or((words, ""));
                    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
                    self.programs.insert(Program { name, parent: parent.to_owned() });
                }
                _ => {}
            }
        }
    }
}

/// Both nodes, looked at until this is ended.
pub struct ProcessLists {
    names: [String; 2],
    /// The fence agent that shows its password, if the answers have one.
    agent: Option<String>,
    seen: [Arc<Mutex<Seen>>; 2],
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl ProcessLists {
    /// Begins to look.
    ///
    /// # Errors
    /// When there is no way to the nodes.
    pub fn watch(setup: &Setup, bmcs: &[Bmc; 2]) -> Result<Self> {
        // A way of its own: the installer's is cut on purpose, and nothing but looks goes over this one.
        let pair = setup.connect(false)?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = [Arc::default(), Arc::default()];
        let mut threads = Vec::new();
        for at in At::BOTH {
            let (node, seen): (Node, Arc<Mutex<Seen>>) = (pair.at(at).clone(), Arc::clone(&seen[at.index()]));
            let (ended, state) = (Arc::clone(&ended), setup.state.clone());
            let passwords = bmcs.each_ref().map(|bmc| bmc.password.reveal().to_owned());
            let look = move || {
                while !ended.load(Ordering::Relaxed) {
                    // The cluster's keys are made on the way.
                    let made = Secrets::existing(&state).ok().flatten();
                    match node.exec(&look(&wanted(&passwords, made.as_ref()))) {
                        Ok(output) => seen.lock().unwrap_or_else(PoisonError::into_inner).take(&output.text()),
                        Err(_) => {
                            node.transport.reset();
                            thread::sleep(PAUSE);
                        }
                    }
                }
            };
            let thread = thread::Builder::new().name("process-lists".to_owned()).spawn(look);
            threads.push(thread.context("starting a thread")?);
        }
        let names = At::BOTH.map(|at| pair.at(at).name.clone());
        let agent = setup.answers.fencing.method.agent_that_shows_its_password().map(str::to_owned);
        Ok(Self { names, agent, seen, ended, threads })
    }

    /// Ends the looks, and prints what was seen.
    ///
    /// # Errors
    /// When a secret was seen, or when nobody looked.
    pub fn proved(mut self) -> Result<()> {
        self.end();
        let mut looks = Vec::new();
        for (name, seen) in self.names.iter().zip(&self.seen) {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let agent = self.agent.as_deref();
            let programs: Vec<String> = seen
                .programs
                .iter()
                .filter(|program| !DRBDSETUP.contains(&program.name.as_str()) && !program.is_agents(agent))
                .map(|program| format!("{} (started by {})", program.name, program.parent))
                .collect();
            if !programs.is_empty() {
                bail!("{name}: a secret was seen among the arguments of {}", programs.join(", "));
            }
            if seen.looks == 0 {
                bail!("{name}: nobody looked at its list of processes");
            }
            let own = if seen.programs.iter().any(|program| DRBDSETUP.contains(&program.name.as_str())) {
                ", but for drbdsetup, which gets DRBD's from drbdadm"
            } else {
                ""
            };
            let shown = match agent {
                Some(agent) if seen.programs.iter().any(|program| program.is_agents(Some(agent))) => {
                    format!(
                        ", but for {IPMITOOL}, which gets the BMC's password from {agent} (`hapair check` warns of it)"
                    )
                }
                _ => String::new(),
            };
            looks.push(format!("{} looks on {name}{own}{shown}", seen.looks));
        }
        print(&format!("proof: no secret was seen in a list of processes: {}\n", looks.join("; ")))
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It can't panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl Drop for ProcessLists {
    fn drop(&mut self) {
        self.end();
    }
}

/// What must not be seen; of a long key its beginning.
fn wanted(passwords: &[String; 2], made: Option<&Secrets>) -> Vec<String> {
    let made =
        made.iter().flat_map(|made| [&made.drbd_shared_secret, &made.corosync_authkey_base64, &made.heartbeat_key]);
    let all = passwords.iter().chain(made).map(|secret| secret.chars().take(40).collect::<String>());
    // An empty line would be found everywhere.
    all.filter(|secret| !secret.trim().is_empty()).collect()
}

/// Looks about twice a second. The only processes are `grep` and `sleep`: a machine of a rehearsal is slow to start them.
fn look(secrets: &[String]) -> Cmd {
    const LOOK: &str = r#"umask 077
secrets=$(cat)
[ -n "$secrets" ] || exit 1
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
read -r up _ </proc/uptime
end=$((${up%.*} + $1)) looks=0
while [ "${up%.*}" -lt "$end" ]; do
    printf '%s\n' "$secrets" | grep -HaF -f - /proc/[0-9]*/cmdline >"$file" 2>/dev/null
    [ ! -s "$file" ] || tr '\0' ' ' <"$file" | sed -n 's,^\(/proc/[0-9]*\)/cmdline:\([^ ]*\).*,\1 \2,p' |
        while read -r process program; do
            parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$process/status" 2>/dev/null)
            name=
            [ -z "$parent" ] || read -r name <"/proc/$parent/comm"
            echo "seen $program $name"
        done 2>/dev/null
    looks=$((looks + 1))
    sleep 0.4
    read -r up _ </proc/uptime
done
echo "looks $looks""#;
    Cmd::read_sh(LOOK, [ROUND.to_string()]).stdin(secrets.join("\n")).secret(true).timeout(Duration::from_secs(60))
}

#[cfg(test)]
// A process with a secret among its arguments has to be there.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::node::local::Local;

    #[test]
    fn a_secret_among_the_arguments_of_a_process_is_seen_and_the_looks_show_none() {
        let node = Node { name: "node1".to_owned(), transport: Arc::new(Local::new()) };
        let secret = format!("canary-{}", crate::random::hex::<16>().unwrap());
        let mut cmd = look(std::slice::from_ref(&secret));
        if let Some(seconds) = cmd.argv.last_mut() {
            "2".clone_into(seconds);
        }
        let mut seen = Seen::default();
        seen.take(&node.exec(&cmd).unwrap().text());
        assert!(seen.looks > 0 && seen.programs.is_empty(), "{seen:?}");
        let mut careless =
            Command::new("sh").args(["-c", "read -r line; :", "sh", &secret]).stdin(Stdio::piped()).spawn().unwrap();
        seen.take(&node.exec(&cmd).unwrap().text());
        careless.kill().unwrap();
        careless.wait().unwrap();
        let names: Vec<&str> = seen.programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["sh"]);
        // Of a test's own thread, whose name the kernel cuts.
        assert!(seen.programs.iter().all(|program| !program.parent.is_empty()), "{seen:?}");
    }

    #[test]
    fn ipmitool_may_show_a_password_only_where_the_agent_calls_it() {
        let mut seen = Seen::default();
        seen.take("seen /usr/bin/ipmitool fence_ipmilan\nseen ipmitool \nlooks 3\n");
        assert!(seen.programs.iter().all(|program| program.is_agents(Some("fence_ipmilan"))), "{seen:?}");
        assert!(!seen.programs.iter().any(|program| program.is_agents(None)));
        let mut other = Seen::default();
        other.take("seen /usr/bin/ipmitool ipmi\nseen drbdsetup fence_ipmilan\n");
        assert!(!other.programs.iter().any(|program| program.is_agents(Some("fence_ipmilan"))), "{other:?}");
    }
}
