//! Installed packages.
//!
//! The install runs detached on the node (`packages/run.sh`), so that neither a broken connection nor a killed hapair
//! ends dpkg in the middle. Orders only start it; its progress, its end and its complaints are read while waiting. A run
//! that goes on already is waited for. One that was killed is finished by the next.

mod failure;

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Order, Progress, Refusal, RefusalKind, Seen, Settle, State};
use crate::node::{At, Cmd};

const ALIVE: &str = include_str!("packages/alive.sh");
const LOOK: &str = include_str!("packages/look.sh");
const START: &str = include_str!("packages/start.sh");
const RUN: &str = include_str!("packages/run.sh");

/// For so many seconds a failure is that of the install that is being waited for. After that it is an earlier one.
const FRESH: u64 = 30;
/// The same for an install that was killed, which is silent while it unpacks something large.
const FRESH_IF_KILLED: u64 = 120;

/// The download's share of the whole, in percent.
const DOWNLOAD: f64 = 30.0;

/// Packages that must be installed and configured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Names, separated by white space. `a|b`: one of them must be there; `a` is installed if none is.
    pub names: String,
    /// Replaces the node's own package sources: a URL, `file:/folder ./`, or whole lines that begin with `deb `.
    #[serde(default = "mirror")]
    pub mirror: String,
    /// Services that must not start by themselves, now or at the next boot, when this install brings them: with its
    /// default configuration a messaging daemon forms a cluster of one. They stay masked until a `service` wants them.
    #[serde(default = "hold")]
    pub hold: String,
}

fn mirror() -> String {
    "{{ packages.mirror }}".to_owned()
}

fn hold() -> String {
    "corosync pacemaker heartbeat".to_owned()
}

impl Packages {
    /// Each with its alternatives.
    fn list(&self) -> Vec<Vec<&str>> {
        let mut names: Vec<Vec<&str>> = Vec::new();
        for name in self.names.split_whitespace() {
            let alternatives = name.split('|').collect();
            if !names.contains(&alternatives) {
                names.push(alternatives);
            }
        }
        names
    }

    /// The first alternative of each.
    fn first(&self) -> Vec<&str> {
        self.list().iter().map(|alternatives| alternatives[0]).collect()
    }

    /// What the install is started with: mirror, services to hold, and names; of alternatives the one that is there.
    fn args(&self, text: &str) -> Vec<&str> {
        let there = installed(text);
        let mut args = vec![self.mirror.trim(), self.hold.trim()];
        for alternatives in self.list() {
            args.push(alternatives.iter().find(|name| there.contains(&bare(name))).unwrap_or(&alternatives[0]));
        }
        args
    }

    /// Whether a name could be taken for an option or a pattern.
    fn bad_name(&self) -> Option<&str> {
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.:".contains(c))
        };
        self.list().concat().into_iter().chain(self.hold.split_whitespace()).find(|name| !plain(name))
    }
}

/// Names of the packages that are installed and configured.
fn installed(text: &str) -> Vec<&str> {
    // An empty line stands between what dpkg says and what is known of the run.
    text.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(' '))
        // The first word is what is wanted: `hold` is as good as `install`.
        .filter(|(_, status)| status.ends_with(" ok installed"))
        .map(|(name, _)| name)
        .collect()
}

impl Act for Packages {
    fn title(&self) -> String {
        match self.first()[..] {
            [] => "no packages".to_owned(),
            [one] => format!("install {one}"),
            [first, _] => format!("install {first} and one more package"),
            [first, ..] => format!("install {first} and {} more packages", self.first().len() - 1),
        }
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        if self.list().is_empty() {
            return Vec::new();
        }
        vec![Cmd::read_sh(&format!("{ALIVE}{LOOK}"), self.list().concat())]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        if self.list().is_empty() {
            return State::Satisfied;
        }
        if let Some(name) = self.bad_name() {
            let what = format!("{name:?} is not the name of a package or service");
            return Refusal::state(RefusalKind::Preflight, what, "mend the step or the platform file");
        }
        let output = seen.get(at, 0);
        if !output.ok() {
            return State::Unknown("dpkg-query does not answer: this is not a system with Debian packages".to_owned());
        }
        let text = output.text();
        let run: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).collect();
        let there = installed(&text);
        let missing: Vec<&str> = self
            .list()
            .into_iter()
            .filter(|alternatives| !alternatives.iter().any(|name| there.contains(&bare(name))))
            .map(|alternatives| alternatives[0])
            .collect();
        let value = |key: &str| run.iter().find_map(|line| line.strip_prefix(key));
        if value("run=") == Some("alive") {
            let change = Change::new(if missing.is_empty() {
                "let the running package install finish".to_owned()
            } else {
                format!("wait for the running install of {}", missing.join(", "))
            });
            return State::Drift(change.progress(progress(&run)));
        }
        let unfinished = value("unfinished=").is_some();
        if missing.is_empty() && !unfinished {
            return State::Satisfied;
        }
        let todo = if missing.is_empty() {
            "finish an interrupted package install".to_owned()
        } else {
            format!("install {}", missing.join(", "))
        };
        // What happened to another install, or long ago, is no reason not to try: it is only told.
        let ours = value("wanted=") == Some(self.args(&text).join(" ").as_str());
        let number = |key: &str| value(key).and_then(|text| text.trim().parse::<u64>().ok());
        let age = number("now=").zip(number("ended=")).map_or(u64::MAX, |(now, ended)| now.saturating_sub(ended));
        let (refusal, fresh) = match value("run=ended").map(str::trim) {
            None | Some("0") => return State::drift(todo),
            Some("") => {
                let what = "the package install was ended from outside, in the middle".to_owned();
                let next = "continue: the next run finishes it".to_owned();
                (Refusal { kind: RefusalKind::Failed, what, next }, FRESH_IF_KILLED)
            }
            Some(code) => (failure::words(code, &run.join("\n")), FRESH),
        };
        if ours && age <= fresh {
            return State::Refused(refusal);
        }
        State::drift(format!("{todo} (the last try failed: {})", refusal.what.lines().next().unwrap_or_default()))
    }

    fn left(&self) -> Option<String> {
        Some("The packages stay installed.".to_owned())
    }

    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let text = seen.get(at, 0).text();
        let args = self.args(&text);
        let start = Cmd::write_sh(&format!("{ALIVE}{START}"), args).stdin(RUN);
        Ok(vec![Order::new(at, start)])
    }

    fn settle(&self) -> Option<Settle> {
        let names = self.list();
        (!names.is_empty()).then(|| Settle {
            what: "the installation of the packages".to_owned(),
            // A slow mirror, or an emulated machine: the progress is shown meanwhile.
            limit: Duration::from_secs(2 * 3600),
            every: Duration::from_secs(3),
            reboots: false,
            shell: format!(
                "test ! -e /var/lib/hapair/packages.unfinished -a \"$(dpkg-query -W -f '${{Status}}\\n' {} 2>/dev/null | grep -c ' ok installed$')\" -ge {}",
                names.concat().join(" "),
                names.len()
            ),
        })
    }
}

/// A name without its architecture.
fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// From the last line of apt's status: `dlstatus:3:41.2:Retrieving...`, `pmstatus:drbd-utils:58.3:Unpacking...`, or a
/// stage of our own.
fn progress(lines: &[&str]) -> Progress {
    let number =
        |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)).and_then(|text| text.parse::<u64>().ok());
    let elapsed = match (number("began="), number("now=")) {
        (Some(began), Some(now)) => now.saturating_sub(began),
        _ => 0,
    };
    if let Some(holder) = lines.iter().find_map(|line| line.split("Waiting for cache lock: ").nth(1)) {
        let who = holder.split("held by ").nth(1).unwrap_or("another package manager").trim_end_matches('.');
        return Progress { percent: None, eta_seconds: None, detail: format!("waiting for {who}") };
    }
    let kinds = ["stage:", "dlstatus:", "pmstatus:"];
    let last = lines.iter().rfind(|line| kinds.iter().any(|kind| line.starts_with(kind))).copied().unwrap_or_default();
    let mut parts = last.splitn(4, ':');
    let kind = parts.next().unwrap_or_default();
    let (percent, detail) = match kind {
        "stage" => (None, last.trim_start_matches("stage:").to_owned()),
        "dlstatus" | "pmstatus" => {
            let package = parts.next().unwrap_or_default();
            let percent = parts.next().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default().clamp(0.0, 100.0);
            let words = parts.next().unwrap_or_default();
            if kind == "dlstatus" {
                let mut detail = lower(words.split(" (").next().unwrap_or_default());
                let since = number("fetching=").zip(number("now=")).map(|(since, now)| now.saturating_sub(since));
                let need = lines.iter().rev().find_map(|line| line.strip_prefix("Need to get ")).and_then(size);
                if let Some(rate) = need.zip(since).and_then(|(need, since)| rate(need * percent / 100.0, since)) {
                    detail = format!("{detail}, {rate}");
                }
                (Some(percent * DOWNLOAD / 100.0), detail)
            } else {
                let detail = if package.is_empty() || package == "dpkg-exec" {
                    lower(words)
                } else {
                    lower(words.trim_end_matches(" (amd64)"))
                };
                (Some(DOWNLOAD + percent * (100.0 - DOWNLOAD) / 100.0), detail)
            }
        }
        _ => (None, "starting".to_owned()),
    };
    Progress { percent, eta_seconds: percent.and_then(|percent| eta(elapsed, percent)), detail }
}

/// Bytes, from apt's `45.2 MB/46.0 MB of archives.` or `1,052 kB of archives.`: what is still to be had comes first.
fn size(text: &str) -> Option<f64> {
    let (number, unit) = text.split(" of archives").next()?.split('/').next()?.split_once(' ')?;
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    number.replace(',', "").parse::<f64>().ok().map(|number| number * factor)
}

/// What passes each second, as DRBD's own is told.
#[allow(clippy::cast_precision_loss)]
fn rate(bytes: f64, seconds: u64) -> Option<String> {
    (bytes > 0.0 && seconds >= 2).then(|| format!("{:.1} MB/s", bytes / seconds as f64 / 1e6))
}

/// Nothing can be told from the first moments.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn eta(elapsed: u64, percent: f64) -> Option<u64> {
    (percent >= 5.0 && elapsed >= 5).then(|| (elapsed as f64 * (100.0 - percent) / percent) as u64)
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().collect::<String>() + chars.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn packages() -> Packages {
        Packages { names: "at corosync".to_owned(), mirror: String::new(), hold: "corosync".to_owned() }
    }

    fn judge(packages: &Packages, code: i32, text: &str) -> State {
        let outputs = [Output { code, stdout: text.as_bytes().to_vec(), stderr: Vec::new() }];
        packages.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    fn summary(state: State) -> (String, Option<Progress>) {
        match state {
            State::Drift(change) => (change.summary, change.progress),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn installed_and_configured_or_not() {
        let both = "at install ok installed\ncorosync hold ok installed\n\n";
        assert_eq!(judge(&packages(), 0, both), State::Satisfied);
        assert_eq!(judge(&packages(), 0, &format!("{both}run=ended 0\n")), State::Satisfied);
        assert_eq!(summary(judge(&packages(), 0, "\n")).0, "install at, corosync");
        let half = "at install ok installed\ncorosync install ok half-configured\n\n";
        assert_eq!(summary(judge(&packages(), 0, half)).0, "install corosync");
        let not = "at install ok installed\ncorosync install ok not-installed\n\n";
        assert_eq!(summary(judge(&packages(), 0, not)).0, "install corosync");
        assert_eq!(
            summary(judge(&packages(), 0, &format!("{both}unfinished=yes\n"))).0,
            "finish an interrupted package install"
        );
        assert!(matches!(judge(&packages(), 127, ""), State::Unknown(_)));
    }

    #[test]
    fn a_run_that_goes_on_is_waited_for() {
        let text = "\nunfinished=yes\nwanted=x\nnow=160\nrun=alive\nbegan=100\nUnpacking libqb100\n\
                    pmstatus:libqb100:50.0000:Unpacking libqb100 (amd64)\n";
        let (summary, progress) = summary(judge(&packages(), 0, text));
        assert_eq!(summary, "wait for the running install of at, corosync");
        let progress = progress.expect("progress");
        assert_eq!(progress.percent, Some(65.0));
        assert_eq!(progress.eta_seconds, Some(32));
        assert_eq!(progress.detail, "unpacking libqb100");
    }

    #[test]
    fn the_download_is_the_first_part() {
        let of = |last: &str| progress(&["began=100", "now=130", last, "Reading package lists..."]);
        let download = of("dlstatus:10:50.0000:Retrieving file 10 of 61 (12s remaining)");
        assert_eq!((download.percent, download.detail.as_str()), (Some(15.0), "retrieving file 10 of 61"));
        let fetching = |need: &str| {
            let status = "dlstatus:10:50.0000:Retrieving file 10 of 61 (12s remaining)";
            progress(&["now=130", "began=100", "fetching=120", need, status, "Get:10 http://x bookworm/main"]).detail
        };
        assert_eq!(fetching("Need to get 45.2 MB/46.0 MB of archives."), "retrieving file 10 of 61, 2.3 MB/s");
        assert_eq!(fetching("Need to get 4,052 kB of archives."), "retrieving file 10 of 61, 0.2 MB/s");
        assert_eq!(fetching("Need to get nothing"), "retrieving file 10 of 61");
        assert_eq!(of("stage:reading the package lists").detail, "reading the package lists");
        assert_eq!(of("pmstatus:dpkg-exec:0.0000:Running dpkg").percent, Some(30.0));
        let waiting = progress(&[
            "stage:fetching packages",
            "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4231 (python3)...",
        ]);
        assert_eq!(waiting.detail, "waiting for process 4231 (python3)");
    }

    #[test]
    fn a_failed_or_killed_run_is_told() {
        let head = "\nunfinished=yes\nwanted= corosync at corosync\nnow=100\nended=90\n";
        let failed = format!("{head}run=ended 100\n--- err\nE: Unable to locate package corosync\n--- log\n--- df\n");
        let killed = format!("{head}run=ended \n--- err\n");
        for (text, word) in [(&failed, "know no corosync"), (&killed, "from outside")] {
            let State::Refused(refusal) = judge(&packages(), 0, text) else { panic!("not refused") };
            assert_eq!(refusal.kind, RefusalKind::Failed);
            assert!(refusal.what.contains(word), "{}", refusal.what);
        }
        let again = "install at, corosync (the last try failed: the node's package sources know no corosync)";
        let later = failed.replace("now=100", "now=900");
        let another = failed.replace("wanted= corosync at", "wanted= corosync x");
        for other in [later, another] {
            assert_eq!(summary(judge(&packages(), 0, &other)).0, again);
        }
    }

    #[test]
    fn one_of_two_is_enough() {
        let packages = Packages { names: "cpio a-static|a".to_owned(), mirror: String::new(), hold: String::new() };
        let text = "a install ok installed\ncpio install ok installed\n\n";
        assert_eq!(judge(&packages, 0, text), State::Satisfied);
        assert_eq!(summary(judge(&packages, 0, "cpio install ok installed\n\n")).0, "install a-static");
        let args = |text: &str| {
            let outputs = [Output { stdout: text.as_bytes().to_vec(), ..Output::default() }];
            let seen = Seen { outputs: [&outputs, &[]], memory: &Memory::default() };
            packages.orders(At::First, &seen).expect("orders")[0].cmd.argv[6..].to_vec()
        };
        assert_eq!(args("a install ok installed\n\n"), ["cpio", "a"]);
        assert_eq!(args("\n"), ["cpio", "a-static"]);
    }

    #[test]
    fn names_are_arguments_and_the_program_is_stdin() {
        let seen = Seen { outputs: [&[], &[]], memory: &Memory::default() };
        let mut packages = packages();
        packages.mirror = "file:/h ./".to_owned();
        let orders = packages.orders(At::First, &seen).expect("orders");
        assert_eq!(orders[0].cmd.argv[4..], ["file:/h ./", "corosync", "at", "corosync"]);
        assert_eq!(orders[0].cmd.stdin, RUN.as_bytes());
        packages.names = "at --purge".to_owned();
        assert!(matches!(judge(&packages, 0, "\n"), State::Refused(_)));
    }
}
