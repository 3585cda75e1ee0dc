//! Something that takes time: a membership forms, resources start.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Order, Progress, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::cluster::{CRM_MON, ClusterView, NOT_CONNECTED};
use crate::node::{At, Cmd};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Both nodes online, a controller elected, quorum; seen so from both.
    Membership,
    /// A controller elected.
    Dc,
    /// The partition may act.
    Quorum,
    /// Everything that should run runs where it should.
    Resources,
}

/// Waits for the cluster. Orders nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// What for.
    #[serde(rename = "for")]
    pub goal: Goal,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Resources or clones that must be there and run; separated by white space, with none named all of the CIB.
    #[serde(default)]
    pub resources: String,
    /// Resources whose failures the cluster forgets within the limit, since their `failure-timeout` is short; separated
    /// by white space.
    #[serde(default)]
    pub heals: String,
    /// Seconds.
    #[serde(default = "limit")]
    pub limit: String,
}

fn limit() -> String {
    "300".to_owned()
}

/// Words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What both nodes see, or why that can't be told.
pub(crate) fn views(seen: &Seen<'_>, index: usize) -> Result<[ClusterView; 2], State> {
    let view = |at: At| {
        let output = seen.get(at, index);
        match output.code {
            0 => ClusterView::parse(&output.text()).map_err(State::drift),
            127 => Err(State::Unknown("Pacemaker is not installed yet".to_owned())),
            NOT_CONNECTED => Err(waiting("the cluster does not run yet".to_owned(), &["no answer".to_owned()])),
            code => {
                let errors = output.errors();
                let last = errors.lines().last().unwrap_or("nothing said");
                Err(waiting(format!("crm_mon gave exit code {code}: {last}"), &["no answer".to_owned()]))
            }
        }
    };
    Ok([view(At::First)?, view(At::Second)?])
}

/// Drift whose progress says what is missing.
pub(super) fn waiting(summary: String, missing: &[String]) -> State {
    let detail = missing.join("; ");
    State::Drift(Change::new(summary).progress(Progress { percent: None, eta_seconds: None, detail }))
}

impl Wait {
    fn what(&self) -> String {
        match self.goal {
            Goal::Membership => format!("{} to be online with a controller (DC) and quorum", self.nodes.join(" and ")),
            Goal::Dc => "a controller (DC)".to_owned(),
            Goal::Quorum => "quorum".to_owned(),
            Goal::Resources if self.resources.trim().is_empty() => "all resources to run where they should".to_owned(),
            Goal::Resources => format!("{} to run", words(&self.resources).join(", ")),
        }
    }

    /// What one node's view lacks.
    fn missing(&self, view: &ClusterView) -> Vec<String> {
        match self.goal {
            Goal::Membership => view.missing_membership(&self.nodes),
            Goal::Dc if view.dc.is_none() => vec!["no controller (DC) is elected".to_owned()],
            Goal::Quorum if !view.quorum => vec!["this partition has no quorum".to_owned()],
            Goal::Dc | Goal::Quorum => Vec::new(),
            Goal::Resources => {
                let mut missing = view.missing_membership(&self.nodes);
                missing.extend(view.missing_resources(&words(&self.resources)));
                missing
            }
        }
    }
}

impl Act for Wait {
    fn title(&self) -> String {
        format!("wait for {}", self.what())
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read(CRM_MON)]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let views = match views(seen, 0) {
            Ok(views) => views,
            Err(state) => return state,
        };
        // Each sees it in its own way while a membership forms: only together it is so.
        let mut missing: Vec<String> = Vec::new();
        for line in views.iter().flat_map(|view| self.missing(view)) {
            if !missing.contains(&line) {
                missing.push(line);
            }
        }
        if missing.is_empty() {
            return State::Satisfied;
        }
        if self.goal == Goal::Resources {
            let hopeless = views[0].hopeless(&words(&self.resources), &words(&self.heals));
            if !hopeless.is_empty() {
                return Refusal::state(
                    RefusalKind::Failed,
                    hopeless.join("; "),
                    "look at /var/log/pacemaker/pacemaker.log on that node",
                );
            }
        }
        waiting(format!("wait for {}: {}", self.what(), missing.join("; ")), &missing)
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }

    fn settle(&self) -> Option<Settle> {
        let seconds = self.limit.trim().parse().unwrap_or(300);
        let shell = match self.goal {
            Goal::Membership => {
                r#"[ "$(crm_mon -1 --output-as=xml | grep -c '<node .*online="true".*pending="false" unclean="false"')" -eq 2 ] && crm_mon -1 --output-as=xml | grep -q 'with_quorum="true"'"#
                    .to_owned()
            }
            Goal::Dc => "crm_mon -1 --output-as=xml | grep -q '<current_dc present=\"true\"'".to_owned(),
            Goal::Quorum => "crm_mon -1 --output-as=xml | grep -q 'with_quorum=\"true\"'".to_owned(),
            Goal::Resources => format!("crm_resource --wait --timeout={seconds}s"),
        };
        Some(Settle {
            what: self.what(),
            limit: Duration::from_secs(seconds),
            every: Duration::from_secs(3),
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

    const EARLY: &str = include_str!("../../tests/crm_mon/early.xml");
    const ONLINE: &str = include_str!("../../tests/crm_mon/online.xml");
    const RUNNING: &str = include_str!("../../tests/crm_mon/running.xml");
    const FAILED: &str = include_str!("../../tests/crm_mon/failed.xml");

    fn judge(goal: &str, resources: &str, first: &str, second: &str) -> State {
        let yaml = format!("{{for: {goal}, nodes: [node1, node2], resources: {resources:?}}}");
        let wait: Wait = serde_yaml::from_str(&yaml).expect("parses");
        let out = |text: &str| {
            let code = if text.is_empty() { NOT_CONNECTED } else { 0 };
            [Output { code, stdout: text.into(), stderr: Vec::new() }]
        };
        let (first, second) = (out(first), out(second));
        let memory = Memory::default();
        wait.judge(At::First, &Seen { outputs: [&first, &second], memory: &memory })
    }

    #[test]
    fn both_must_see_both() {
        assert_eq!(judge("membership", "", ONLINE, ONLINE), State::Satisfied);
        let State::Drift(change) = judge("membership", "", ONLINE, EARLY) else { panic!("not drift") };
        let detail = change.progress.expect("progress").detail;
        assert_eq!(detail, "node1 is UNCLEAN (offline); node2 is UNCLEAN (offline); no controller (DC) is elected");
    }

    #[test]
    fn a_cluster_that_does_not_run_yet_is_waited_for() {
        assert!(matches!(judge("dc", "", "", ONLINE), State::Drift(_)));
        assert!(matches!(judge("dc", "", EARLY, EARLY), State::Drift(_)));
        assert_eq!(judge("quorum", "", ONLINE, ONLINE), State::Satisfied);
    }

    #[test]
    fn resources_must_be_there_and_run() {
        assert_eq!(judge("resources", "", RUNNING, RUNNING), State::Satisfied);
        let State::Drift(change) = judge("resources", "fs-r0-clone", RUNNING, RUNNING) else { panic!("not drift") };
        assert!(change.summary.ends_with("fs-r0-clone is not in the CIB"), "{}", change.summary);
    }

    #[test]
    fn what_will_not_heal_ends_the_wait_with_the_command_that_mends_it() {
        let State::Refused(refusal) = judge("resources", "", FAILED, FAILED) else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Failed);
        assert!(refusal.what.contains("crm_resource --cleanup -r"), "{}", refusal.what);
    }
}
