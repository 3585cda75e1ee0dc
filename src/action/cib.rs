//! Objects of the CIB: cluster properties, defaults, resources with their constraints, fencing levels.
//!
//! They are loaded by `cibadmin -M -c` (create or modify): the same objects again are no error, where `-C` gives 108 and
//! a plain `-M` of something new gives 105. A template may hold one section, or `<configuration>` with several: all of
//! it is one change, so no resource starts before its constraints are there. Merging takes nothing out: a fencing device that
//! became another one is replaced (`cibadmin -R --xpath`), each in one change, so that it is never missing.

mod compare;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::compare::{Comparison, Replaced, compare, in_section};
use super::command::{Command, Where};
use super::{Act, Change, Order, Refusal, RefusalKind, Scope, Seen, State};
use crate::cluster::NOT_CONNECTED;
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Sections that `cibadmin -o` knows. It takes any word: of an unknown one it prints the whole CIB, with exit code 0.
const SECTIONS: [&str; 7] =
    ["configuration", "crm_config", "rsc_defaults", "op_defaults", "resources", "constraints", "fencing-topology"];

/// Keeps the cluster from acting while it learns what already runs. A set of its own: nothing else ever holds it, so a
/// run that was killed in between is recognised and finished by the next one.
const HOLD: &str = r#"<crm_config><cluster_property_set id="hapair-takeover"><nvpair id="hapair-takeover-maintenance-mode" name="maintenance-mode" value="true"/></cluster_property_set></crm_config>"#;
const HOLD_ID: &str = "hapair-takeover";

/// `$1`: seconds, `$2`: `again` or nothing. Succeeds once the cluster, left to itself, would stop nothing.
const FOUND_RUNNING: &str = include_str!("cib/takeover.sh");

/// Objects of the CIB.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cib {
    /// Section of `cibadmin -o`; `configuration` for several at once.
    pub section: String,
    /// Template that the objects come from.
    #[serde(default)]
    pub template: Option<String>,
    /// The objects.
    #[serde(default)]
    pub content: Option<String>,
    /// For people: `the cluster's properties`.
    pub title: String,
    /// `true`: holds a password, so it is never shown and no diff of it is made.
    #[serde(default)]
    pub secret: String,
    /// `true`: what these resources describe may run already and must go on running.
    #[serde(default)]
    pub takeover: String,
}

impl Cib {
    fn is_secret(&self) -> bool {
        self.secret == "true"
    }

    fn objects(&self) -> Result<&str> {
        if !SECTIONS.contains(&self.section.as_str()) {
            bail!("the CIB has no section {}; known are {}", self.section, SECTIONS.join(", "));
        }
        let objects = self.content.as_deref().with_context(|| format!("{}: the step names no template", self.title))?;
        in_section(&self.section, objects).with_context(|| self.template.clone().unwrap_or_default())?;
        Ok(objects)
    }

    /// The live configuration: of the first node that answers.
    fn live(seen: &Seen<'_>) -> Option<(At, String)> {
        At::BOTH.into_iter().find(|at| seen.get(*at, 0).ok()).map(|at| (at, seen.get(at, 0).text()))
    }

    fn compared(&self, live: &str) -> Result<Comparison> {
        compare(&self.section, self.objects()?, live)
    }

    fn load(&self, section: &str, objects: impl Into<Vec<u8>>) -> Cmd {
        Cmd::write(["cibadmin", "-M", "-c", "-o", section, "--xml-pipe"]).stdin(objects).secret(self.is_secret())
    }

    /// In the place of the device of that id: it goes and comes in one change of the CIB, and fencing stays enabled.
    fn replace(&self, device: Replaced) -> Cmd {
        let place = format!("//primitive[@id='{}']", device.id);
        let words = ["cibadmin", "-R", "--xpath", place.as_str(), "--xml-pipe"];
        Cmd::write(words).stdin(device.xml).secret(self.is_secret())
    }
}

impl Act for Cib {
    fn title(&self) -> String {
        format!("load {} into the CIB", self.title)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read(["cibadmin", "-Q", "-o", "configuration"])]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        if let Err(error) = self.objects() {
            return Refusal::state(RefusalKind::Preflight, format!("{error:#}"), "mend the step or its template");
        }
        let Some((_, live)) = Self::live(seen) else {
            return State::Unknown(not_read(seen));
        };
        let found = match self.compared(&live) {
            Ok(found) => found,
            Err(error) => {
                return Refusal::state(
                    RefusalKind::Preflight,
                    format!("{}: {error:#}", self.title),
                    "look at it with `cibadmin -Q -o configuration`; rename it or take it out (`cibadmin -D`)",
                );
            }
        };
        if found.ids.is_empty() {
            return if self.takeover == "true" && live.contains(HOLD_ID) {
                State::drift(format!("give {} over to the cluster, which is still held back", self.title))
            } else {
                State::Satisfied
            };
        }
        let mut summary = format!("load {}: {}", self.title, named(&found.ids));
        if !found.replaced.is_empty() {
            let ids: Vec<String> = found.replaced.iter().map(|device| device.id.clone()).collect();
            summary.push_str(&format!(
                "; replaced as a whole, since its agent is another one or it has parameters that the answers have not: {}",
                named(&ids)
            ));
        }
        let change = Change::new(summary);
        State::Drift(if self.is_secret() { change } else { change.diff(found.diff) })
    }

    fn undo(&self, _at: At, undoing: &Undoing<'_>) -> Vec<Command> {
        // A cluster that does not run holds nothing that runs; its state is removed as a whole behind this.
        const GOES: &str = "exit 0";
        const STAYS: &str = r"{
    command -v cibadmin >/dev/null && [ -s /var/lib/pacemaker/cib/cib.xml ] || exit 0
    echo 'the cluster does not run on this node: what its CIB holds can not be told' >&2
    exit 112
}";
        const NONE: &str = r#"while [ "$#" -ge 2 ]; do
    ! printf '%s\n' "$live" | grep -qF " id=\"$2\"" || exit 1
    shift 2
done
exit 0"#;
        // Properties and defaults go with the cluster's own state: fencing is never switched off while VMs are defined.
        if !["configuration", "resources", "constraints"].contains(&self.section.as_str()) {
            return Vec::new();
        }
        let Ok(objects) = self.objects().and_then(|objects| compare::top(&self.section, objects)) else {
            return Vec::new();
        };
        let mut args = vec!["600".to_owned()];
        args.extend(objects.into_iter().rev().flat_map(|(tag, id)| [tag, id]));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let unseen = if undoing.cluster_stays { STAYS } else { GOES };
        let none = format!("shift\nlive=$(cibadmin -Q -o configuration 2>/dev/null) || {unseen}\n{NONE}");
        let back = undo::script(
            format!("take {} out of the CIB; what runs of it is stopped", self.title),
            include_str!("../undo/cib.sh"),
            &none,
            &args,
        );
        vec![Command { timeout: "1500".to_owned(), scope: Where::Pair, ..back }]
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let (at, live) = Self::live(seen).with_context(|| not_read(seen))?;
        let found = self.compared(&live)?;
        let load = Order::new(at, self.load(&self.section, found.payload));
        let held = live.contains(HOLD_ID);
        if self.takeover != "true" || !(found.new_objects || held) {
            let replaced = found.replaced.into_iter().map(|device| Order::new(at, self.replace(device)));
            return Ok(replaced.chain([load]).collect());
        }
        let limit = Duration::from_secs(300);
        let again = if held { "again" } else { "" };
        Ok(vec![
            Order::new(at, Cmd::write(["cibadmin", "-M", "-c", "-o", "crm_config", "--xml-pipe"]).stdin(HOLD)),
            load,
            Order::new(
                at,
                Cmd::write_sh(FOUND_RUNNING, [limit.as_secs().to_string(), again.to_owned()])
                    .timeout(limit + Duration::from_secs(120)),
            ),
            Order::new(
                at,
                Cmd::write(["cibadmin", "-D", "-o", "crm_config", "--xml-pipe"])
                    .stdin(format!("<cluster_property_set id=\"{HOLD_ID}\"/>")),
            ),
        ])
    }
}

/// Why no node gave its CIB.
fn not_read(seen: &Seen<'_>) -> String {
    let output = seen.get(At::First, 0);
    match output.code {
        127 => "Pacemaker is not installed yet".to_owned(),
        NOT_CONNECTED => "the cluster does not run yet".to_owned(),
        code => format!("cibadmin gave exit code {code}: {}", output.errors().lines().last().unwrap_or("nothing said")),
    }
}

/// At most four, then how many more.
fn named(ids: &[String]) -> String {
    match ids.len() {
        0..=4 => ids.join(", "),
        more => format!("{} and {} more", ids[..3].join(", "), more - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn cib(takeover: &str) -> Cib {
        Cib {
            section: "rsc_defaults".to_owned(),
            template: None,
            content: Some(
                "<meta_attributes id=\"rsc-options\"><nvpair id=\"a\" name=\"resource-stickiness\" value=\"50\"/></meta_attributes>"
                    .to_owned(),
            ),
            title: "the defaults".to_owned(),
            secret: String::new(),
            takeover: takeover.to_owned(),
        }
    }

    fn out(code: i32, text: &str) -> Output {
        Output { code, stdout: text.into(), stderr: Vec::new() }
    }

    fn judge(cib: &Cib, first: Output, second: Output) -> (State, Result<Vec<Order>>) {
        let (first, second) = ([first], [second]);
        let memory = Memory::default();
        let seen = Seen { outputs: [&first, &second], memory: &memory };
        (cib.judge(At::First, &seen), cib.orders(At::First, &seen))
    }

    const EMPTY: &str = "<configuration><crm_config/><nodes/><resources/><constraints/></configuration>";

    #[test]
    fn without_a_cluster_nothing_can_be_told() {
        let (state, orders) = judge(&cib(""), out(102, ""), out(102, ""));
        assert_eq!(state, State::Unknown("the cluster does not run yet".to_owned()));
        assert!(orders.is_err());
        let (state, _) = judge(&cib(""), out(127, ""), out(127, ""));
        assert_eq!(state, State::Unknown("Pacemaker is not installed yet".to_owned()));
    }

    #[test]
    fn the_node_that_answers_is_asked_and_told() {
        let (state, orders) = judge(&cib(""), out(102, ""), out(0, EMPTY));
        let State::Drift(change) = state else { panic!("{state:?}") };
        assert_eq!(change.summary, "load the defaults: rsc-options");
        let orders = orders.expect("orders");
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].at, At::Second);
        assert_eq!(orders[0].cmd.argv, ["cibadmin", "-M", "-c", "-o", "rsc_defaults", "--xml-pipe"]);
        assert!(String::from_utf8_lossy(&orders[0].cmd.stdin).starts_with("<rsc_defaults>\n  <meta_attributes"));
    }

    #[test]
    fn a_takeover_holds_the_cluster_back_and_lets_it_go() {
        let (_, orders) = judge(&cib("true"), out(0, EMPTY), out(0, EMPTY));
        let orders = orders.expect("orders");
        let argv: Vec<String> = orders.iter().map(|order| order.cmd.argv[..2].join(" ")).collect();
        assert_eq!(argv, ["cibadmin -M", "cibadmin -M", "sh -c", "cibadmin -D"]);
        assert_eq!(orders[2].cmd.argv.last().map(String::as_str), Some(""));
    }

    #[test]
    fn a_takeover_that_was_killed_is_finished() {
        let loaded = EMPTY.replace(
            "<nodes/>",
            "<rsc_defaults><meta_attributes id=\"rsc-options\"><nvpair id=\"a\" name=\"resource-stickiness\" value=\"50\"/></meta_attributes></rsc_defaults>",
        );
        assert_eq!(judge(&cib("true"), out(0, &loaded), out(0, &loaded)).0, State::Satisfied);
        let held = loaded.replace("<crm_config/>", &HOLD.replace('\n', ""));
        let (state, orders) = judge(&cib("true"), out(0, &held), out(0, &held));
        assert!(matches!(state, State::Drift(_)));
        let orders = orders.expect("orders");
        assert_eq!(orders.len(), 4);
        // What the cluster saw before may not be so any more.
        assert_eq!(orders[2].cmd.argv.last().map(String::as_str), Some("again"));
    }

    #[test]
    fn another_fencing_device_takes_the_place_of_the_old_one_and_fencing_stays_enabled() {
        const NEW: &str = r#"<configuration><resources><primitive id="fence-node1" class="stonith" type="fence_apc"><instance_attributes id="p"><nvpair id="p-passwd" name="passwd" value="hidden-word"/></instance_attributes></primitive></resources></configuration>"#;
        let device = Cib {
            section: "configuration".to_owned(),
            content: Some(NEW.to_owned()),
            secret: "true".to_owned(),
            ..cib("")
        };
        let old = r#"<resources><primitive id="fence-node1" class="stonith" type="external/ipmi"><instance_attributes id="p"><nvpair id="p-u" name="userid" value="admin"/></instance_attributes></primitive></resources>"#;
        let live = EMPTY.replace("<resources/>", old);
        let (state, orders) = judge(&device, out(0, &live), out(0, &live));
        let State::Drift(change) = state else { panic!("{state:?}") };
        assert!(
            change.summary.contains("replaced as a whole") && change.summary.ends_with("fence-node1"),
            "{change:?}"
        );
        assert!(!format!("{change:?}").contains("hidden-word"));
        let orders = orders.expect("orders");
        let argv: Vec<String> = orders.iter().map(|order| order.cmd.argv.join(" ")).collect();
        assert_eq!(
            argv,
            [
                "cibadmin -R --xpath //primitive[@id='fence-node1'] --xml-pipe",
                "cibadmin -M -c -o configuration --xml-pipe"
            ]
        );
        assert!(orders.iter().all(|order| order.cmd.secret), "the password is on standard input, and is not shown");
        let sent = String::from_utf8_lossy(&orders[0].cmd.stdin).into_owned();
        assert!(sent.starts_with("<primitive id=\"fence-node1\"") && !sent.contains("userid"), "{sent}");
        assert!(!argv.concat().contains("stonith-enabled") && !sent.contains("stonith-enabled"));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Cib { secret: "true".to_owned(), ..cib("") };
        let (state, orders) = judge(&secret, out(0, EMPTY), out(0, EMPTY));
        assert!(!format!("{state:?}").contains("50"));
        assert!(orders.expect("orders")[0].cmd.secret);
    }

    #[test]
    fn a_section_that_cibadmin_would_ignore_is_refused() {
        let wrong = Cib { section: "nosuch".to_owned(), ..cib("") };
        assert!(matches!(judge(&wrong, out(0, EMPTY), out(0, EMPTY)).0, State::Refused(_)));
    }
}
