//! The wizard: asks only what is left to decide, and writes answers that any other run reads.
//!
//! The next question is a pure function of the answers so far and of what was found on the machines ([`Known::next`]).
//! An answer goes into the text of an answers file ([`draft::Draft`]), and what is wrong with it the loader of such files
//! says: nothing can be answered here that a file could not say. Whoever asks is an [`asker::Asker`].

pub mod asker;
mod disks;
pub mod draft;
mod fencing;
mod hosts;
mod line;
pub mod machines;
mod picture;
pub mod question;
pub mod review;
mod sheet;
pub mod terminal;
mod vms;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use self::asker::Asker;
use self::draft::Draft;
use self::machines::Machines;
use self::question::{Check, Kind, Question, Reply};
use crate::answers::load::net;
use crate::answers::{Reach, fields};
use crate::event::Failure;
use crate::exit;
use crate::facts::Facts;
use crate::node::Lost;
use crate::node::host_key::Meeting;
use crate::report::style::Tone;
use crate::setup::Setup;
use crate::step::Catalog;

/// All that a question depends on.
pub(crate) struct Known<'a> {
    /// Answers so far.
    draft: &'a Draft,
    /// What the machines are.
    facts: [&'a Facts; 2],
    /// For the reasons.
    catalog: &'a Catalog,
    /// The machines are throw-away machines of a rehearsal.
    lab: bool,
}

impl Known<'_> {
    /// The next question, if anything is left to decide.
    fn next(&self) -> Option<Question> {
        hosts::names(self)
            .or_else(|| hosts::cluster(self))
            .or_else(|| hosts::network(self))
            .or_else(|| disks::devices(self))
            .or_else(|| fencing::fencing(self))
            .or_else(|| vms::vms(self))
            .or_else(|| self.leftover())
    }

    /// What a half-written file needs and no question above is about.
    fn leftover(&self) -> Option<Question> {
        let problem = self.draft.problems().into_iter().find(|problem| problem.missing)?;
        let (text, path) = (format!("Value of {}", problem.path), problem.path.clone());
        let why = problem.message.trim_start_matches("is missing: ").to_owned();
        let secret = path.rsplit('.').next().is_some_and(|key| key.contains("password"));
        let key = path.clone();
        let check: Check = Arc::new(move |typed: &str| Ok(vec![(key.clone(), typed.to_owned())]));
        let kind = if secret { Kind::Secret { check } } else { Kind::Text { default: None, check } };
        Some(Question::new(path, "Still missing", text, kind).because((why, String::new())))
    }

    /// Name of a node, or what it will be called until it has one.
    fn name(&self, n: usize) -> String {
        self.draft.get(&format!("nodes[{n}].name")).unwrap_or_else(|| format!("node{}", n + 1))
    }

    /// Why something is asked: the first sentence of the step's reason; at length the key, the step and its warnings.
    fn step(&self, id: &str, field: &str) -> (String, String) {
        let doc = fields::find(field).map(|field| field.doc).unwrap_or_default();
        let Some(step) = self.catalog.steps.iter().find(|step| step.id == id) else {
            return (doc.to_owned(), doc.to_owned());
        };
        let why = step.why.split_whitespace().collect::<Vec<_>>().join(" ");
        let first = why.find(". ").map_or(why.as_str(), |end| &why[..=end]).to_owned();
        let mut more = format!("`{field}` in the answers file: {doc}\n\n{}: {why}", step.title);
        for warning in &step.warnings {
            more.push_str(&format!("\n\nMind: {}", warning.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        more.push_str(&format!("\n\n`hapair explain {id}` tells all about this step."));
        (first, more)
    }
}

/// The wizard between two questions.
pub struct Wizard<'a> {
    asker: &'a mut dyn Asker,
    machines: &'a mut dyn Machines,
    catalog: &'a Catalog,
    lab: bool,
    /// Answers so far.
    pub draft: Draft,
    /// Answers before each question that was answered.
    history: Vec<Draft>,
    /// Machines that let us in, and the fingerprint of the key that was accepted here.
    entered: BTreeMap<String, Option<String>>,
    /// What was found, and how those machines were reached.
    found: Option<([Reach; 2], [Facts; 2])>,
}

impl<'a> Wizard<'a> {
    /// Begins with what is given already.
    pub fn new(
        asker: &'a mut dyn Asker,
        machines: &'a mut dyn Machines,
        catalog: &'a Catalog,
        lab: bool,
        draft: Draft,
    ) -> Self {
        Self { asker, machines, catalog, lab, draft, history: Vec::new(), entered: BTreeMap::new(), found: None }
    }

    /// Asks until nothing is left to decide; gives what was found on the machines.
    ///
    /// # Errors
    /// [`asker::Interrupted`]; a [`Failure`] when a machine that the given answers name can't be reached.
    pub fn ask(&mut self) -> Result<[Facts; 2]> {
        loop {
            let nobody = Facts::default();
            let known = Known { draft: &self.draft, facts: [&nobody, &nobody], catalog: self.catalog, lab: self.lab };
            let reach = hosts::reach(&known);
            // Whoever has been named is called upon before the next question.
            if !self.meet_all()? {
                continue;
            }
            if let Some(question) = reach {
                self.put(&question)?;
                continue;
            }
            let Some(facts) = self.survey()? else { continue };
            self.take_names(&facts)?;
            let known =
                Known { draft: &self.draft, facts: [&facts[0], &facts[1]], catalog: self.catalog, lab: self.lab };
            let Some(question) = known.next() else { return Ok(facts) };
            self.put(&question)?;
        }
    }

    /// Looks at both machines with the whole plan, while somebody waits.
    ///
    /// # Errors
    /// As [`review::Review::of`].
    pub fn review(&mut self, setup: &Setup, facts: &[Facts; 2]) -> Result<review::Review> {
        let mut review = None;
        let machines = &mut *self.machines;
        self.asker.busy("looking at both machines with the whole plan", &mut || {
            review = Some(machines.review(setup, facts.clone())?);
            Ok(())
        })?;
        review.context("nobody looked at the machines")
    }

    /// Whoever asks, for what is said besides questions.
    pub fn asker(&mut self) -> &mut dyn Asker {
        self.asker
    }

    /// Back to the question before; `false` at the first.
    pub fn back(&mut self) -> bool {
        match self.history.pop() {
            Some(draft) => {
                self.draft = draft;
                true
            }
            None => false,
        }
    }

    /// Asks a question that is none of the answers file's own.
    ///
    /// # Errors
    /// As [`Wizard::ask`].
    pub fn put(&mut self, question: &Question) -> Result<()> {
        let draft = &self.draft;
        match self.asker.ask(question, &|values| draft.judge(values))? {
            Reply::Values(values) => {
                let next = self.draft.with(&values)?;
                self.history.push(std::mem::replace(&mut self.draft, next));
            }
            Reply::Back => {
                if !self.back() {
                    self.asker.say(Tone::Faint, "This is the first question; Ctrl-C leaves, and nothing is changed.");
                }
            }
        }
        Ok(())
    }

    /// Asks what is no part of the answers; Esc is no.
    fn confirm(&mut self, question: &Question) -> Result<bool> {
        Ok(self.asker.ask(question, &|_| Ok(()))?.says("yes"))
    }

    fn reach(&self, n: usize) -> Option<Reach> {
        net::reach(&self.draft.get(&format!("nodes[{n}].ssh"))?).ok()
    }

    /// Calls upon the machines that have been named. `false`: a question is open again.
    fn meet_all(&mut self) -> Result<bool> {
        for n in 0..2 {
            let Some(reach) = self.reach(n) else { continue };
            let name = format!("{reach:?}");
            if let Some(accepted) = self.entered.get(&name).cloned() {
                // Whoever goes back and names it again has accepted its key already.
                self.keep_key(n, accepted)?;
                continue;
            }
            match self.meet(n, &reach)? {
                Ok(()) => {
                    let accepted = self.draft.get(&format!("nodes[{n}].host_key"));
                    self.entered.insert(name, accepted);
                }
                Err(why) => {
                    self.asker.say(Tone::Bad, &why);
                    if !self.back() {
                        let failure = crate::setup::unreachable(&shown(&reach), &Lost::Unreachable(why));
                        return Err(Failure { exit: exit::UNREACHABLE, ..failure }.into());
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Host key, login, sudo. The inner error is for the user: the question is asked again.
    fn meet(&mut self, n: usize, reach: &Reach) -> Result<Result<(), String>> {
        let who = shown(reach);
        let expected = self.draft.get(&format!("nodes[{n}].host_key"));
        let mut meeting = Ok(Meeting::Known);
        let machines = &mut *self.machines;
        self.asker.busy(&format!("calling {who}"), &mut || {
            meeting = machines.meet(reach);
            Ok(())
        })?;
        match meeting {
            Err(lost) => return Ok(Err(format!("{who} {lost}"))),
            Ok(Meeting::Known) => {}
            Ok(Meeting::Unknown(keys)) => {
                let Some(best) = keys.first() else { return Ok(Err(format!("{who} shows no host key."))) };
                let same = expected.as_ref().is_some_and(|want| keys.iter().any(|key| key.fingerprint == *want));
                if let (Some(want), false) = (&expected, same) {
                    return Ok(Err(format!("{who} shows the key {}, the answers say {want}.", best.fingerprint)));
                }
                if !same {
                    self.asker.say(Tone::Warning, &format!("{who} has a host key that is not known here yet:"));
                    for key in &keys {
                        self.asker.say(Tone::Plain, &format!("  {} {}", key.kind, key.fingerprint));
                    }
                    self.asker.say(
                        Tone::Faint,
                        "Compare one of them at the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
                    );
                    if !self.confirm(&hosts::is_its_key(&who))? {
                        return Ok(Err(format!("The key of {who} was not accepted; nothing was sent there.")));
                    }
                }
                if let Err(lost) = self.machines.accept(reach, &keys) {
                    return Ok(Err(lost.to_string()));
                }
                self.keep_key(n, Some(best.fingerprint.clone()))?;
            }
        }
        self.enter(reach, &who)
    }

    /// An accepted key goes into the answers, so that they are enough on another machine.
    fn keep_key(&mut self, n: usize, accepted: Option<String>) -> Result<()> {
        let path = format!("nodes[{n}].host_key");
        if let (Some(fingerprint), false) = (accepted, self.draft.has(&path)) {
            self.draft = self.draft.with(&vec![(path, fingerprint)])?;
        }
        Ok(())
    }

    fn enter(&mut self, reach: &Reach, who: &str) -> Result<Result<(), String>> {
        let mut offered = false;
        loop {
            let mut entered = Err(Lost::Unreachable(String::new()));
            let machines = &mut *self.machines;
            self.asker.busy(&format!("logging in at {who}"), &mut || {
                entered = machines.enter(reach);
                Ok(())
            })?;
            match entered {
                Ok(output) if output.ok() => return Ok(Ok(())),
                Ok(_) => return Ok(Err(format!("On {who} not even `true` can be run."))),
                Err(Lost::Sudo(why)) => {
                    let user = if let Reach::Ssh { user, .. } = reach { user } else { "you" };
                    self.asker.say(Tone::Bad, &format!("{who} lets {user} in, but not as root: {why}"));
                    self.asker.say(
                        Tone::Plain,
                        &format!(
                            "On that machine, as root: echo '{user} ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/hapair"
                        ),
                    );
                    if !self.confirm(&hosts::has_sudo(who, user))? {
                        return Ok(Err(format!("{user} needs sudo without a password on {who}.")));
                    }
                }
                Err(Lost::Auth(why)) if !offered => {
                    offered = true;
                    self.asker.say(Tone::Warning, &format!("{who} does not let your key in yet: {why}"));
                    if !self.confirm(&hosts::copies_key(who, self.machines.lacks_key(reach)))? {
                        return Ok(Err(format!("Without a key hapair can't log in at {who}.")));
                    }
                    if let Err(error) = self.machines.copy_key(reach) {
                        return Ok(Err(format!("{error:#}.")));
                    }
                }
                Err(lost) => return Ok(Err(format!("{who} {lost}"))),
            }
        }
    }

    /// What the machines are; asked once. `None`: a question is open again.
    fn survey(&mut self) -> Result<Option<[Facts; 2]>> {
        let (Some(left), Some(right)) = (self.reach(0), self.reach(1)) else { return Ok(None) };
        if let Some((_, facts)) = self.found.as_ref().filter(|(reaches, _)| *reaches == [left.clone(), right.clone()]) {
            return Ok(Some(facts.clone()));
        }
        let mut found = Err((0, String::new()));
        let machines = &mut *self.machines;
        let what = format!("looking at {} and {}", shown(&left), shown(&right));
        self.asker.busy(&what, &mut || {
            found = machines.survey([&left, &right]);
            Ok(())
        })?;
        match found {
            Ok(facts) => {
                for (reach, facts) in [&left, &right].into_iter().zip(&facts) {
                    self.asker.say(Tone::Faint, &format!("{}: {}, {}", shown(reach), facts.hostname, facts.summary()));
                }
                self.found = Some(([left, right], facts.clone()));
                Ok(Some(facts))
            }
            Err((n, why)) => {
                let who = shown(if n == 0 { &left } else { &right });
                self.asker.say(Tone::Bad, &format!("{who} {why}"));
                if self.back() {
                    return Ok(None);
                }
                Err(crate::setup::unreachable(&who, &Lost::Dropped(why)).into())
            }
        }
    }

    /// Names that both machines have already are no question.
    fn take_names(&mut self, facts: &[Facts; 2]) -> Result<()> {
        if (0..2).any(|n| self.draft.has(&format!("nodes[{n}].name"))) {
            return Ok(());
        }
        let (Some(left), Some(right)) = (hosts::label(&facts[0]), hosts::label(&facts[1])) else { return Ok(()) };
        if left != right {
            let values = [left, right].into_iter().enumerate().map(|(n, name)| (format!("nodes[{n}].name"), name));
            self.draft = self.draft.with(&values.collect())?;
        }
        Ok(())
    }
}

/// `root@192.0.2.1`, or `this machine`.
fn shown(reach: &Reach) -> String {
    match reach {
        Reach::Local => "this machine".to_owned(),
        Reach::Ssh { user, host, port: 22 } => format!("{user}@{host}"),
        Reach::Ssh { user, host, port } => format!("{user}@{host}:{port}"),
    }
}

#[cfg(test)]
mod tests;
