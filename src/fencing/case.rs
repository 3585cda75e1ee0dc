//! One node to be switched off by the other: how far that has come, told from what both nodes say.

use roxmltree::Document;

use super::configuration::is_of;
use super::{Configuration, Fields, Kept, Proof, Wrong, by_sbd, hash, lines, look, parse, sbd};
use crate::action::wait::views;
use crate::action::{Seen, State};
use crate::cluster::{CRM_MON, ClusterView, NOT_CONNECTED, ResourceView};
use crate::drbd;
use crate::node::{At, Cmd};

/// Who is to be switched off.
#[derive(Debug, Clone)]
pub struct Case {
    /// Names of the nodes, in order.
    pub nodes: [String; 2],
    /// Which of them.
    pub victim: At,
    /// Method of the answers.
    pub method: String,
    /// Where the shared file system is mounted; empty when there is none.
    pub mount: String,
}

/// What both nodes say of it.
#[derive(Debug, Clone)]
pub struct Look {
    case: Case,
    kept: [Kept; 2],
    views: [ClusterView; 2],
    /// Fencing configuration as it is, as it is kept in a record.
    pub configuration: String,
    /// Each node's DRBD: `Primary/Secondary`, with a word before it unless all is well; `-` when it is not up.
    drbd: [String; 2],
    mounted: [bool; 2],
    /// When the victim was last fenced with success, as the other node's fencing history has it.
    fenced: String,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Noted, for the configuration as it is.
    Proved,
    /// Somebody wanted no proof of it.
    Skipped,
    /// It was not tried, or it came to nothing.
    Open,
    /// Switched off; not all is as before yet.
    Returning(Vec<String>),
    /// Switched off, and all is as before.
    Back,
    /// Something else was switched off.
    Wrong(Wrong),
}

/// How far the trial with the cluster link cut has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// It was not made, or came to nothing.
    Open,
    /// The node of this name was switched off; not all is as before yet.
    Returning(String, Vec<String>),
    /// It was made, needs not be, or can't be here.
    Over,
    /// Both were switched off, or something else.
    Wrong(Wrong),
}

impl Case {
    /// From a step: names, the victim's name, method, mount.
    pub fn of(nodes: &[String], victim: &str, method: &str, mount: &str) -> Option<Self> {
        let [first, second] = nodes else { return None };
        let at = At::BOTH.into_iter().find(|at| nodes[at.index()] == victim)?;
        Some(Self {
            nodes: [first.clone(), second.clone()],
            victim: at,
            method: method.to_owned(),
            mount: mount.to_owned(),
        })
    }

    /// Name of the victim.
    pub fn name(&self) -> &str {
        &self.nodes[self.victim.index()]
    }

    /// Name of the node that switches it off.
    pub fn by(&self) -> &str {
        &self.nodes[self.victim.peer().index()]
    }

    /// Something else was switched off, told where the cluster does not run on both: the node that ordered it was booted anew,
    /// or Pacemaker has left the one that was to be dead, since it heard that it is.
    pub fn wrong(&self, seen: &Seen<'_>) -> Option<Wrong> {
        let by = self.victim.peer();
        let kept = At::BOTH.map(|at| parse(seen.get(at, 0)));
        let attempt = kept[by.index()].attempts.get(self.name())?;
        self.mixed_up(&kept, attempt).or_else(|| {
            let configuration = hash(&seen.get(by, 4).text(), &kept[by.index()].install).ok()?;
            let fenced = last_success(&seen.get(by, 5).text(), self.name());
            if attempt.get("configuration").is_some_and(|kept| is_of(kept, &configuration)) {
                self.ran_on(&kept, attempt, &fenced)
            } else {
                None
            }
        })
    }

    /// The reads of each node; [`Case::look`] wants them from number 0 on.
    pub fn reads(&self) -> Vec<Cmd> {
        vec![
            look(),
            Cmd::read(CRM_MON),
            Cmd::read(["cat", "/proc/drbd"]),
            Cmd::read(["cat", "/proc/mounts"]),
            Cmd::read(["cibadmin", "-Q", "-o", "configuration"]),
            // All of it: without `--verbose` it is meant to tell the last success, and was seen to tell an older one instead
            // (stonith_admin 2.1.5, with three of one node).
            Cmd::read(["stonith_admin", "--history", self.name(), "--verbose", "--output-as=xml"]),
            sbd::look(),
        ]
    }

    /// What the reads gave.
    ///
    /// # Errors
    /// The state of an action that can't be told yet.
    pub fn look(&self, seen: &Seen<'_>) -> Result<Look, State> {
        let by = self.victim.peer();
        let kept = At::BOTH.map(|at| parse(seen.get(at, 0)));
        let cib = seen.get(by, 4);
        if !cib.ok() {
            return Err(State::Unknown(match cib.code {
                127 => "Pacemaker is not installed yet".to_owned(),
                NOT_CONNECTED => "the cluster does not run yet".to_owned(),
                code => format!("cibadmin gave exit code {code} on {}", self.by()),
            }));
        }
        let (xml, salt) = (cib.text(), &kept[by.index()].install);
        let cib = hash(&xml, salt).map_err(State::Unknown)?;
        let views = views(seen, 1)?;
        let told = At::BOTH.map(|at| sbd::parse(seen.get(at, 6)));
        let parts = by_sbd(&xml).then(|| told.each_ref().map(|sbd| sbd.as_ref().map_err(Clone::clone)));
        let names = self.nodes.each_ref().map(String::as_str);
        // What can't be read is no reason to switch anybody off once more, and no proof either.
        let configuration = Configuration::new(cib, salt, names, parts).text().map_err(State::Unknown)?;
        Ok(Look {
            views,
            drbd: At::BOTH.map(|at| roles(&seen.get(at, 2).text())),
            mounted: At::BOTH.map(|at| {
                let text = seen.get(at, 3).text();
                text.lines().any(|line| line.split(' ').nth(1) == Some(self.mount.as_str()))
            }),
            fenced: last_success(&seen.get(by, 5).text(), self.name()),
            case: self.clone(),
            kept,
            configuration,
        })
    }
}

/// Roles in a word, with the connection and the disks before them unless these are as they must be.
fn roles(proc: &str) -> String {
    match drbd::proc(proc).minor(drbd::MINOR) {
        None => "-".to_owned(),
        Some(device) if device.whole() => format!("{}/{}", device.role, device.peer_role),
        Some(device) => {
            format!("{} {}/{} {}/{}", device.connection, device.disk, device.peer_disk, device.role, device.peer_role)
        }
    }
}

/// When a node was last fenced with success; empty: never, or the cluster does not say.
fn last_success(xml: &str, victim: &str) -> String {
    let Ok(document) = Document::parse(xml) else { return String::new() };
    document
        .descendants()
        .filter(|node| node.has_tag_name("fence_event"))
        .filter(|node| node.attribute("target") == Some(victim) && node.attribute("status") == Some("success"))
        .filter_map(|node| node.attribute("completed"))
        .max()
        .unwrap_or_default()
        .to_owned()
}

impl Look {
    /// The proof that holds for the configuration as it is, of whichever node has it.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof_of(self.case.name())
    }

    fn proof_of(&self, node: &str) -> Option<&Proof> {
        let mut proofs = self.kept.iter().filter_map(|kept| kept.proofs.get(node));
        proofs.find(|proof| proof.configuration == self.configuration)
    }

    /// Whether a node has noted this proof.
    pub fn has(&self, at: At, proof: &Proof) -> bool {
        self.kept[at.index()].proofs.get(self.case.name()) == Some(proof)
    }

    /// Whether it is noted on a node that no proof is wanted of the configuration as it is.
    pub fn skipped(&self, at: At) -> bool {
        let skipped = self.kept[at.index()].skipped.as_ref();
        skipped.is_some_and(|skipped| skipped.configuration == self.configuration)
    }

    /// The attempt for the configuration as it is. The shooter's own note says more: it adds how long it took.
    fn attempt(&self) -> Option<&Fields> {
        let by = self.case.victim.peer();
        [by, self.case.victim]
            .into_iter()
            .filter_map(|at| self.kept[at.index()].attempts.get(self.case.name()))
            .find(|attempt| attempt.get("configuration") == Some(&self.configuration))
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        if self.proof().is_some() {
            return Stage::Proved;
        }
        if At::BOTH.into_iter().any(|at| self.skipped(at)) {
            return Stage::Skipped;
        }
        let Some(attempt) = self.attempt() else { return Stage::Open };
        let field = |key: &str| attempt.get(key).map_or("", String::as_str);
        let other_same = self.kept[self.case.victim.index()].boot == field("old-boot");
        let wrong = self.case.mixed_up(&self.kept, attempt);
        if let Some(wrong) = wrong.or_else(|| self.case.ran_on(&self.kept, attempt, &self.fenced)) {
            return Stage::Wrong(wrong);
        }
        match other_same {
            true => Stage::Open,
            false if self.fenced.is_empty() || self.fenced == field("fenced-before") => Stage::Open,
            false => {
                let missing = self.missing(attempt);
                if missing.is_empty() { Stage::Back } else { Stage::Returning(missing) }
            }
        }
    }

    /// How far the trial with the cluster link cut has come.
    pub fn cut(&self) -> Cut {
        match (self.stage(), self.attempt()) {
            (Stage::Proved | Stage::Skipped | Stage::Back, _) => Cut::Over,
            (_, None) => Cut::Open,
            // It was left to an order, or can't be made here.
            (_, Some(attempt)) if attempt.get("way").is_none_or(|way| way != "cut") => Cut::Over,
            (_, Some(attempt)) if attempt.contains_key("cut-not") => Cut::Over,
            (Stage::Wrong(wrong), _) => Cut::Wrong(wrong),
            (Stage::Returning(missing), _) => Cut::Returning(self.case.name().to_owned(), missing),
            (Stage::Open, Some(attempt)) => {
                let by = &self.kept[self.case.victim.peer().index()];
                if attempt.get("ordered").is_none_or(|word| word != "yes") || attempt.get("own-boot") == Some(&by.boot)
                {
                    return Cut::Open;
                }
                let missing = self.missing(attempt);
                if missing.is_empty() { Cut::Over } else { Cut::Returning(self.case.by().to_owned(), missing) }
            }
        }
    }

    /// What is not as it was before the attempt.
    fn missing(&self, attempt: &Fields) -> Vec<String> {
        let mut missing: Vec<String> = self.views.iter().flat_map(|view| self.members(view)).collect();
        for at in At::BOTH {
            let node = &self.case.nodes[at.index()];
            let field = |key: &str| attempt.get(&format!("{key}-{}", at.index() + 1)).map_or("", String::as_str);
            let drbd = &self.drbd[at.index()];
            if drbd != field("drbd") {
                missing.push(format!("DRBD on {node} is {drbd} and was {}", field("drbd")));
            }
            if field("mounted") == "yes" && !self.mounted[at.index()] {
                missing.push(format!("{} is not mounted on {node} again", self.case.mount));
            }
        }
        let mut unique = Vec::new();
        for line in missing {
            if !unique.contains(&line) {
                unique.push(line);
            }
        }
        unique
    }

    fn members(&self, view: &ClusterView) -> Vec<String> {
        view.missing_membership(&self.case.nodes)
    }

    /// Why it must not be tried now; empty when it may.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found: Vec<String> = self.views.iter().flat_map(|view| self.members(view)).collect();
        let view = &self.views[self.case.victim.peer().index()];
        let devices: Vec<String> = view.fencing_devices().map(|device| device.top().to_owned()).collect();
        if devices.is_empty() {
            found.push("the CIB has no fencing device".to_owned());
        } else {
            found.extend(view.missing_resources(&devices));
        }
        for at in At::BOTH {
            let drbd = &self.drbd[at.index()];
            // A word before the roles: not connected, or a disk that is not the whole data.
            if drbd.contains(' ') {
                found.push(format!("DRBD on {} is {drbd}", self.case.nodes[at.index()]));
            }
        }
        found.dedup();
        found
    }

    /// Whether the other node has still to be switched off: the second one's turn comes behind it.
    pub fn waits_for_other(&self) -> bool {
        self.case.victim == At::Second && self.proof_of(self.case.by()).is_none()
    }

    /// Resources that would die with the victim: all but fencing devices and clones.
    pub fn vms_on_victim(&self) -> Vec<String> {
        let there = self.mortal().filter(|resource| resource.nodes.iter().any(|node| node == self.case.name()));
        there.map(|resource| resource.id.clone()).collect()
    }

    /// Whether anything runs that would die with one of the nodes.
    pub fn runs_vms(&self) -> bool {
        self.mortal().any(|resource| !resource.nodes.is_empty())
    }

    fn mortal(&self) -> impl Iterator<Item = &ResourceView> {
        let view = &self.views[self.case.victim.peer().index()];
        view.resources.iter().filter(|resource| resource.clone.is_none() && !resource.agent.starts_with("stonith:"))
    }

    /// The note of an attempt that is about to be made.
    pub fn note(&self) -> String {
        let (victim, by) = (&self.kept[self.case.victim.index()], &self.kept[self.case.victim.peer().index()]);
        let yes = |at: At| if self.mounted[at.index()] { "yes" } else { "no" };
        lines(&[
            ("configuration", &self.configuration),
            ("date", &by.now),
            ("old-boot", &victim.boot),
            ("own-boot", &by.boot),
            ("uptime", &by.uptime.to_string()),
            ("fenced-before", &self.fenced),
            ("drbd-1", &self.drbd[0]),
            ("drbd-2", &self.drbd[1]),
            ("mounted-1", yes(At::First)),
            ("mounted-2", yes(At::Second)),
        ])
    }

    /// The note that no proof is wanted.
    pub fn skip(&self) -> String {
        lines(&[("date", &self.kept[0].now), ("configuration", &self.configuration)])
    }

    /// The proof that the attempt has given; `None` when there is no attempt.
    pub fn proves(&self) -> Option<Proof> {
        let attempt = self.attempt()?;
        let field = |key: &str| attempt.get(key).cloned().unwrap_or_default();
        let by = &self.kept[self.case.victim.peer().index()];
        let began: Option<u64> = field("uptime").parse().ok();
        let seconds: Option<u64> = field("seconds").parse().ok();
        Some(Proof {
            victim: self.case.name().to_owned(),
            by: self.case.by().to_owned(),
            method: self.case.method.clone(),
            cut: field("way") == "cut",
            date: by.now.clone(),
            seconds,
            // A run that was ended and went on later can't tell: it was not there.
            whole_after: seconds.and(began).map(|began| by.uptime.saturating_sub(began)),
            old_boot: field("old-boot"),
            new_boot: self.kept[self.case.victim.index()].boot.clone(),
            configuration: self.configuration.clone(),
        })
    }
}
