//! A service: whether it starts at boot, whether it runs, whether it is masked.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::{Act, Order, Refusal, RefusalKind, Seen, Settle, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Starts (or stops) a service; if that fails, its last messages say more than systemd does. `$1` verb, `$2` unit.
const SYSTEMCTL: &str = r#"systemctl "$1" "$2" || {
    rc=$?
    echo "the last messages of $2:" >&2
    journalctl --no-pager -q -o cat -n 10 -u "$2" >&2
    exit "$rc"
}"#;

/// `$1` service: its script's answer, and its start links.
const SYSV_LOOK: &str = r#"[ -x "/etc/init.d/$1" ] || { echo script=no; exit 0; }
echo script=yes
for link in /etc/rc[0-6].d/[SK][0-9][0-9]"$1"; do
    [ -e "$link" ] || continue
    echo "link=${link#/etc/rc}"
    case $link in /etc/rc[2345].d/S*) echo enabled=yes ;; esac
done
"/etc/init.d/$1" status >/dev/null 2>&1 </dev/null
echo "status=$?""#;

/// `$1` service, the rest: links as update-rc.d takes them. Old links would keep their numbers, so they go first.
const SYSV_LINKS: &str = r#"service=$1
shift
update-rc.d -f "$service" remove >/dev/null && update-rc.d "$service" "$@""#;

/// A service, by the name that its init script or unit has. What is empty is left as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name without `.service`.
    pub name: String,
    /// Whether it starts at boot: `true`, `false` or empty.
    #[serde(default)]
    pub enabled: String,
    /// Whether it runs now: `true`, `false` or empty.
    #[serde(default)]
    pub active: String,
    /// Whether nothing may start it: `true`, `false` or empty.
    #[serde(default)]
    pub masked: String,
    /// `systemd` or `sysv`.
    #[serde(default = "init")]
    pub init: String,
    /// Only for `sysv`: boot links as `update-rc.d` takes them, such as `start 71 2 3 4 5 . stop 07 0 1 6 .`.
    #[serde(default)]
    pub links: String,
}

fn init() -> String {
    "{{ platform.init }}".to_owned()
}

/// What a field wants.
fn want(field: &str) -> Option<bool> {
    match field {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// How a service stands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Is {
    known: bool,
    enabled: bool,
    active: bool,
    masked: bool,
    /// As the system says it: `activating`, `failed`.
    word: String,
}

impl Service {
    fn unit(&self) -> String {
        if self.name.contains('.') { self.name.clone() } else { format!("{}.service", self.name) }
    }

    fn is_sysv(&self) -> bool {
        self.init == "sysv"
    }

    /// Boot links as they must be, like `2.d/S72`, in order; empty when any will do.
    fn wanted_links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for part in self.links.split(" .") {
            let words: Vec<&str> = part.split_whitespace().collect();
            let [kind, number, levels @ ..] = words.as_slice() else { continue };
            let letter = if *kind == "start" { 'S' } else { 'K' };
            links.extend(levels.iter().map(|level| format!("{level}.d/{letter}{number}")));
        }
        links.sort();
        links
    }

    fn is(&self, text: &str) -> Is {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        if self.is_sysv() {
            let active = value("status") == "0";
            let wanted = self.wanted_links();
            let mut links: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix("link=")?.strip_suffix(self.name.as_str())).collect();
            links.sort_unstable();
            return Is {
                known: value("script") == "yes",
                // With numbers of our own the package's links are as good as none: they start it too early or too late.
                enabled: value("enabled") == "yes" && (wanted.is_empty() || links == wanted),
                active,
                masked: false,
                word: if active { "running" } else { "not running" }.to_owned(),
            };
        }
        let (load, file, word) = (value("LoadState"), value("UnitFileState"), value("ActiveState"));
        let masked = load == "masked" || file.starts_with("masked");
        let enabled = match file.as_str() {
            // Nothing can be switched at a static unit: another one pulls it in.
            "enabled" | "static" | "indirect" | "alias" => true,
            // From an init script: whether it starts at boot shows in who wants it.
            "generated" => !value("WantedBy").is_empty() || !value("RequiredBy").is_empty(),
            _ => false,
        };
        Is {
            known: load != "not-found" || masked,
            enabled,
            active: word == "active" || word == "reloading",
            masked,
            word,
        }
    }

    /// Whether `static` must not count against `enabled: false`.
    fn is_static(text: &str) -> bool {
        ["static", "indirect", "alias"]
            .iter()
            .any(|word| text.lines().any(|line| line == format!("UnitFileState={word}")))
    }

    /// Verbs, in order, and what is wrong, in words.
    fn missing(&self, text: &str) -> Vec<(&'static str, String)> {
        let is = self.is(text);
        let (enabled, active, masked) = (want(&self.enabled), want(&self.active), want(&self.masked));
        let name = &self.name;
        let mut verbs = Vec::new();
        // What starts or is to start can't be masked; the install masks what must not start by itself.
        let unmask = masked == Some(false) || (masked.is_none() && (enabled == Some(true) || active == Some(true)));
        if unmask && is.masked {
            verbs.push(("unmask", format!("unmask {name}")));
        }
        if active == Some(false) && !["inactive", "failed", "not running", ""].contains(&is.word.as_str()) {
            verbs.push(("stop", format!("stop {name}")));
        }
        if enabled == Some(false) && is.enabled && !Self::is_static(text) {
            verbs.push(("disable", format!("keep {name} from starting at boot")));
        }
        if masked == Some(true) && !is.masked {
            verbs.push(("mask", format!("mask {name}")));
        }
        if enabled == Some(true) && !is.enabled {
            verbs.push(("enable", format!("let {name} start at boot")));
        }
        if active == Some(true) && !is.active {
            verbs.push((
                "start",
                format!("start {name} (it is {})", if is.word.is_empty() { "unknown" } else { &is.word }),
            ));
        }
        verbs
    }
}

impl Act for Service {
    fn title(&self) -> String {
        let say = |field: &str, yes: &str, no: &str| want(field).map(|on| if on { yes } else { no }.to_owned());
        let parts: Vec<String> = [
            say(&self.masked, "masked", "not masked"),
            say(&self.enabled, "started at boot", "not started at boot"),
            say(&self.active, "running", "stopped"),
        ]
        .into_iter()
        .flatten()
        .collect();
        format!("service {}: {}", self.name, parts.join(", "))
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        if self.is_sysv() {
            return vec![Cmd::read_sh(SYSV_LOOK, [&self.name])];
        }
        let properties = "LoadState,ActiveState,UnitFileState,WantedBy,RequiredBy";
        vec![Cmd::read(["systemctl", "show", "-p", properties, "--", &self.unit()])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        for field in [&self.enabled, &self.active, &self.masked] {
            if !field.is_empty() && want(field).is_none() {
                let what = format!("service {}: {field:?} is neither true nor false", self.name);
                return Refusal::state(RefusalKind::Preflight, what, "mend the step");
            }
        }
        let output = seen.get(at, 0);
        if !output.ok() {
            return State::Unknown(format!("the state of {} can't be read: {}", self.name, output.errors().trim()));
        }
        let text = output.text();
        if !self.is(&text).known && (want(&self.enabled) == Some(true) || want(&self.active) == Some(true)) {
            return State::Unknown(format!("there is no service {} yet", self.name));
        }
        let missing = self.missing(&text);
        if missing.is_empty() {
            return State::Satisfied;
        }
        let words: Vec<String> = missing.into_iter().map(|(_, words)| words).collect();
        State::drift(words.join(", "))
    }

    /// Only what this install started: a service that ran before goes on. The cluster's own are the install's, also where another
    /// workstation began them: a cluster that was there before is refused and never taken over.
    fn undo(&self, _at: At, undoing: &Undoing<'_>) -> Vec<Command> {
        const OFF: &str = r#"! systemctl -q is-active "$1" && ! systemctl -q is-enabled "$1" 2>/dev/null"#;
        const CLUSTER: [&str; 3] = ["corosync", "pacemaker", "heartbeat"];
        let ours = undoing.begun || CLUSTER.contains(&self.name.as_str());
        if !ours || (want(&self.enabled) != Some(true) && want(&self.active) != Some(true)) {
            // The lists of both nodes have to be of one length.
            return vec![undo::script(format!("leave the service {} as it is", self.name), ":", ":", &[])];
        }
        let title = format!("stop the service {}, and keep it from starting at boot", self.name);
        if self.is_sysv() {
            const STOP: &str = r#"invoke-rc.d "$1" stop && update-rc.d -f "$1" remove"#;
            return vec![undo::script(title, STOP, r#"! "/etc/init.d/$1" status >/dev/null 2>&1"#, &[&self.name])];
        }
        vec![undo::script(title, r#"systemctl disable --now -- "$1""#, OFF, &[&self.unit()])]
    }

    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let text = seen.get(at, 0).text();
        let verbs = self.missing(&text).into_iter().map(|(verb, _)| verb);
        let long = Duration::from_secs(300);
        let cmd = |verb: &str| -> Vec<Cmd> {
            if self.is_sysv() {
                let links =
                    |words: Vec<&str>| Cmd::write_sh(SYSV_LINKS, std::iter::once(self.name.as_str()).chain(words));
                return match verb {
                    "start" | "stop" => vec![Cmd::write(["invoke-rc.d", &self.name, verb]).timeout(long)],
                    "enable" if self.links.is_empty() => vec![links(vec!["defaults"])],
                    "enable" => vec![links(self.links.split_whitespace().collect())],
                    // With no link at all the next upgrade of the package would make them again.
                    "disable" => vec![links("stop 20 2 3 4 5 .".split(' ').collect())],
                    _ => Vec::new(),
                };
            }
            match verb {
                "start" | "stop" => vec![Cmd::write_sh(SYSTEMCTL, [verb, &self.unit()]).timeout(long)],
                _ => vec![Cmd::write(["systemctl", verb, "--", &self.unit()])],
            }
        };
        Ok(verbs.flat_map(cmd).map(|cmd| Order::new(at, cmd)).collect())
    }

    fn settle(&self) -> Option<Settle> {
        let active = want(&self.active)?;
        let (what, word) = if active { ("runs", "active") } else { ("is stopped", "inactive") };
        let shell = if self.is_sysv() {
            format!("{}/etc/init.d/{} status >/dev/null 2>&1", if active { "" } else { "! " }, self.name)
        } else {
            format!("test \"$(systemctl show -p ActiveState --value {})\" = {word}", self.unit())
        };
        Some(Settle {
            what: format!("{} {what}", self.name),
            limit: Duration::from_secs(20),
            every: Duration::from_secs(1),
            reboots: false,
            shell,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn service(yaml: &str) -> Service {
        let service: Service = serde_yaml::from_str(yaml).expect("parses");
        Service { init: if service.init == "sysv" { "sysv".to_owned() } else { "systemd".to_owned() }, ..service }
    }

    fn seen(service: &Service, text: &str) -> (State, Vec<String>) {
        let outputs = [Output { code: 0, stdout: text.as_bytes().to_vec(), stderr: Vec::new() }];
        let seen = Seen { outputs: [&outputs, &[]], memory: &Memory::default() };
        let orders = service.orders(At::First, &seen).expect("orders");
        (
            service.judge(At::First, &seen),
            orders.iter().map(|order| order.cmd.argv[order.cmd.argv.len() - 2..].join(" ")).collect(),
        )
    }

    // As systemd 252 says it.
    const RUNS: &str = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nWantedBy=multi-user.target\n";
    const OFF: &str = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nRequiredBy=\nWantedBy=\n";
    const MASKED: &str = "LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n";
    const NONE: &str = "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
    const SCRIPT: &str = "LoadState=loaded\nActiveState=active\nUnitFileState=generated\nRequiredBy=\nWantedBy=multi-user.target graphical.target\n";

    #[test]
    fn enabled_and_active_must_both_be_so() {
        let atd = service("{name: atd, enabled: true, active: true}");
        assert_eq!(seen(&atd, RUNS).0, State::Satisfied);
        assert_eq!(seen(&atd, SCRIPT).0, State::Satisfied);
        let (state, orders) = seen(&atd, OFF);
        assert_eq!(state, State::drift("let atd start at boot, start atd (it is inactive)"));
        assert_eq!(orders, ["-- atd.service", "start atd.service"]);
        assert_eq!(seen(&atd, NONE).0, State::Unknown("there is no service atd yet".to_owned()));
        let unlinked = SCRIPT.replace("multi-user.target graphical.target", "");
        assert_eq!(seen(&atd, &unlinked).0, State::drift("let atd start at boot"));
    }

    #[test]
    fn what_is_to_run_is_unmasked_first() {
        let (state, orders) = seen(&service("{name: corosync, enabled: true, active: true}"), MASKED);
        assert_eq!(state, State::drift("unmask corosync, let corosync start at boot, start corosync (it is inactive)"));
        assert_eq!(orders.len(), 3);
        assert_eq!(seen(&service("{name: corosync, masked: true}"), MASKED).0, State::Satisfied);
    }

    #[test]
    fn off_means_off() {
        let drbd = service("{name: drbd, enabled: false, active: false}");
        for text in [OFF, MASKED, NONE, "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n"] {
            assert_eq!(seen(&drbd, text).0, State::Satisfied, "{text}");
        }
        let (state, orders) = seen(&drbd, RUNS);
        assert_eq!(state, State::drift("stop drbd, keep drbd from starting at boot"));
        assert_eq!(orders, ["stop drbd.service", "-- drbd.service"]);
        let by_hand = service("{name: drbd, enabled: false}");
        assert_eq!(seen(&by_hand, RUNS).0, State::drift("keep drbd from starting at boot"));
    }

    #[test]
    fn init_scripts_have_links() {
        let o2cb = service("{name: o2cb, enabled: true, active: true, init: sysv, links: start 60 2 3 4 5 .}");
        let (state, orders) = seen(&o2cb, "script=yes\nstatus=3\n");
        assert_eq!(state, State::drift("let o2cb start at boot, start o2cb (it is not running)"));
        assert_eq!(orders, ["5 .", "o2cb start"]);
        assert!(matches!(seen(&o2cb, "script=no\n").0, State::Unknown(_)));
        let links = |number: &str| {
            let link = |level: &str| format!("link={level}.d/S{number}o2cb\nenabled=yes\n");
            format!("script=yes\n{}status=0\n", ["2", "3", "4", "5"].map(link).concat())
        };
        assert_eq!(seen(&o2cb, &links("60")).0, State::Satisfied);
        assert_eq!(seen(&o2cb, &links("20")).0, State::drift("let o2cb start at boot"));
    }

    #[test]
    fn neither_true_nor_false_is_refused() {
        assert!(matches!(seen(&service("{name: x, enabled: maybe}"), OFF).0, State::Refused(_)));
    }
}
