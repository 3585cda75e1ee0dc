//! From the command line to a plan: what every command needs, in the order in which it can fail.
//!
//! Answers first (no node is touched for a typing mistake), then the nodes, then what they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum as _;

use crate::answers::load::Secrets as SecretValues;
use crate::answers::{Answers, LabHypervisor, NodeAnswers, Reach, load};
use crate::event::Failure;
use crate::exit::{self, WrongUsage};
use crate::facts::{self, Facts};
use crate::node::local::Local;
use crate::node::ssh::{self, Ssh, Target};
use crate::node::{At, Lost, Node, Output, Pair, ReadOnly, Transport, host_key, quote};
use crate::plan::Plan;
use crate::platform::{self, Platform};
use crate::record::{self, NodeRecord};
use crate::secrets::Secrets;
use crate::state;
use crate::step::Catalog;
use crate::template::Templates;
use crate::variables::{Found, Source};

/// What the command line says about where things are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folder for the state of all clusters, in place of the usual one.
    pub state_dir: Option<PathBuf>,
    /// Steps of one's own.
    pub steps_dir: Option<PathBuf>,
    /// Templates of one's own.
    pub templates_dir: Option<PathBuf>,
    /// A private key, in place of those of ssh's own configuration.
    pub identity: Option<PathBuf>,
    /// A configuration file of ssh, in place of the user's own.
    pub ssh_config: Option<PathBuf>,
    /// The two nodes are a rehearsal's throw-away machines.
    pub lab: Option<LabHypervisor>,
}

impl Places {
    /// The command line of a command of hapair, with these places and an answers file.
    pub fn command(&self, name: &str, answers: &Path) -> String {
        let mut words: Vec<String> = std::iter::once("hapair").chain(name.split(' ')).map(str::to_owned).collect();
        words.extend(["--answers".to_owned(), answers.display().to_string()]);
        for (option, value) in [
            ("--state-dir", &self.state_dir),
            ("--steps-dir", &self.steps_dir),
            ("--templates-dir", &self.templates_dir),
            ("--identity", &self.identity),
            ("--ssh-config", &self.ssh_config),
        ] {
            if let Some(value) = value {
                words.extend([option.to_owned(), value.display().to_string()]);
            }
        }
        if let Some(machines) = self.lab.and_then(|machines| machines.to_possible_value()) {
            words.extend(["--lab".to_owned(), machines.get_name().to_owned()]);
        }
        quote::line(&words)
    }
}

/// Answers, steps and templates, all of them read and sound.
#[derive(Debug)]
pub struct Setup {
    /// The user's decisions.
    pub answers: Answers,
    /// Where the answers were read from; `None` when they came from nowhere (a rehearsal's own).
    pub file: Option<PathBuf>,
    /// What the answers file should be told, but may be.
    pub warnings: Vec<String>,
    /// Paths of the answers' secrets that come from the environment.
    pub from_environment: Vec<String>,
    /// All steps.
    pub catalog: Catalog,
    /// All templates.
    pub templates: Templates,
    /// All platforms.
    pub platforms: Vec<Platform>,
    /// This cluster's state folder; may not exist yet.
    pub state: PathBuf,
    /// Where things are.
    pub places: Places,
    /// The two nodes are throw-away machines.
    pub rehearsal: bool,
    /// Checks of the preflight that are not to be made; see [`crate::preflight::checks::may_ignore`].
    pub ignore: Vec<String>,
}

/// What was found on the two nodes.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Facts of each node.
    pub facts: [Facts; 2],
    /// Platform of both.
    pub platform: Platform,
    /// What goes into the plan.
    pub found: Found,
    /// What each node's own record says.
    pub records: [NodeRecord; 2],
}

impl Setup {
    /// Reads an answers file, the steps and the templates.
    ///
    /// # Errors
    /// When any of them is not sound.
    pub fn load(answers: &Path, places: Places, secrets: SecretValues) -> Result<Self> {
        let loaded = load::file(answers, secrets)?;
        let mut setup = Self::of(loaded.answers, places)?;
        setup.file = Some(answers.to_owned());
        setup.warnings = loaded.warnings;
        setup.from_environment = loaded.from_environment;
        Ok(setup)
    }

    /// With answers that are there already.
    ///
    /// # Errors
    /// When a step or a template is not sound.
    pub fn of(mut answers: Answers, places: Places) -> Result<Self> {
        if let Some(machines) = places.lab {
            answers.hypervisor.rehearse_on(machines);
        }
        let rehearsal = places.lab.is_some();
        let catalog = Catalog::load(places.steps_dir.as_deref())?;
        let templates = Templates::load(places.templates_dir.as_deref())?;
        let platforms = Platform::load(&catalog.platforms)?;
        let state = state::folder(places.state_dir.as_deref(), &answers.cluster)?;
        Ok(Self {
            answers,
            file: None,
            warnings: Vec::new(),
            from_environment: Vec::new(),
            catalog,
            templates,
            platforms,
            state,
            places,
            rehearsal,
            ignore: Vec::new(),
        })
    }

    /// The command line of a command of hapair for this pair, to be told to a person.
    pub fn command(&self, name: &str) -> String {
        self.places.command(name, self.file.as_deref().unwrap_or(Path::new("FILE")))
    }

    /// No proof of the fencing is wanted; the option takes the cluster's name, and [`crate::command::consent::without_proof`]
    /// asks again.
    ///
    /// # Errors
    /// [`WrongUsage`] when it is the name of another cluster.
    pub fn skip_fencing_proof(&mut self, cluster: &str) -> Result<(), WrongUsage> {
        if cluster != self.answers.cluster {
            return Err(WrongUsage(format!(
                "--skip-fencing-proof {cluster}: without the proof nobody knows whether a node that is lost can be switched \
                 off, and its VMs may run twice or not at all. If you mean it, give the name of this cluster: \
                 --skip-fencing-proof {}",
                self.answers.cluster
            )));
        }
        self.answers.fencing.skip_proof = true;
        Ok(())
    }

    /// Connections to both nodes; none is made before the first command.
    ///
    /// # Errors
    /// A [`Failure`] with exit code 5 when a host key is not the known one.
    pub fn connect(&self, may_write: bool) -> Result<Pair> {
        let [first, second] = At::BOTH.map(|at| self.node(&self.answers.nodes[at.index()], may_write));
        Ok(Pair([first?, second?]))
    }

    /// Connections for looking, of which one may lead nowhere: a node that is gone, or whose host key is not the known one,
    /// says so to every command, and the other one can be asked all the same.
    ///
    /// # Errors
    /// When the state folder can't be made.
    pub fn connect_what_answers(&self) -> Result<Pair> {
        let [first, second] = At::BOTH.map(|at| -> Result<Node> {
            let node = &self.answers.nodes[at.index()];
            let transport = self.way(node, false)?.unwrap_or_else(|lost| Arc::new(lost));
            Ok(Node { name: node.name.clone(), transport })
        });
        Ok(Pair([first?, second?]))
    }

    fn node(&self, node: &NodeAnswers, may_write: bool) -> Result<Node> {
        let transport = self.way(node, may_write)?.map_err(|lost| unreachable(&node.name, &lost))?;
        Ok(Node { name: node.name.clone(), transport })
    }

    /// How commands get to a node, or why they don't.
    fn way(&self, node: &NodeAnswers, may_write: bool) -> Result<Result<Arc<dyn Transport>, Lost>> {
        Ok(Ok(match &node.ssh {
            Reach::Local => guarded(Local::new().sudo(!rustix::process::geteuid().is_root()), may_write),
            Reach::Ssh { user, host, port } => {
                state::make(&self.state)?;
                let target = Target {
                    user: user.clone(),
                    host: host.clone(),
                    port: *port,
                    key: self.places.identity.clone(),
                    known_hosts: self.state.join("known_hosts"),
                    config_file: self.places.ssh_config.clone(),
                    control_dir: ssh::control_dir(),
                    // An emulated node may need half a minute to start a login.
                    connect_timeout: Duration::from_secs(if self.rehearsal { 45 } else { 15 }),
                    sudo: user != "root",
                };
                if let Err(lost) = host_key::settle(&target, node.host_key.as_deref()) {
                    return Ok(Err(lost));
                }
                guarded(Ssh::new(target), may_write)
            }
        }))
    }

    /// Surveys both nodes, one round trip each, both at once.
    ///
    /// # Errors
    /// A [`Failure`]: a node can't be reached (5) or its release is not supported (4).
    pub fn survey(&self, pair: &Pair) -> Result<Survey> {
        let (facts, records) = self.read(pair)?;
        Ok(Survey { records, ..self.judged(facts)? })
    }

    /// What the two nodes are: one round trip each, both at once.
    ///
    /// # Errors
    /// A [`Failure`] with exit code 5 when a node can't be reached.
    pub fn facts(&self, pair: &Pair) -> Result<[Facts; 2]> {
        self.read(pair).map(|(facts, _)| facts)
    }

    /// The facts, and the records that hapair keeps on the nodes.
    fn read(&self, pair: &Pair) -> Result<([Facts; 2], [NodeRecord; 2])> {
        let mut reads = facts::reads();
        reads.push(record::read(&self.answers.storage.resource));
        let [first, second] = pair.read_both([&reads, &reads]).map_err(unanswered(pair))?;
        let of = |at: At, mut outputs: Vec<Output>| -> Result<(Facts, NodeRecord)> {
            let record = record::parse(&outputs.pop().unwrap_or_default());
            let facts = facts::judge(&outputs).with_context(|| format!("surveying {}", pair.at(at).name))?;
            Ok((facts, record))
        };
        let ((first, first_record), (second, second_record)) = (of(At::First, first)?, of(At::Second, second)?);
        Ok(([first, second], [first_record, second_record]))
    }

    /// What facts that are known already mean for these answers; the nodes' records are not known.
    ///
    /// # Errors
    /// A [`Failure`] when a release is not supported (4).
    pub fn judged(&self, facts: [Facts; 2]) -> Result<Survey> {
        let platform = self.platform(&facts)?;
        let found = self.found(&facts);
        Ok(Survey { facts, platform, found, records: [NodeRecord::default(), NodeRecord::default()] })
    }

    /// Each node's platform, or in words why there is none.
    pub fn platforms(&self, facts: &[Facts; 2]) -> [Result<Platform, String>; 2] {
        facts.each_ref().map(|facts| {
            if self.answers.platform == "auto" {
                platform::detect(&facts.os_release, &self.platforms).cloned()
            } else {
                Platform::named(&self.answers.platform, &self.platforms).cloned()
            }
        })
    }

    fn platform(&self, facts: &[Facts; 2]) -> Result<Platform> {
        let names = self.answers.nodes.each_ref().map(|node| node.name.as_str());
        let [first, second] = self.platforms(facts);
        let whole = |platform: Result<Platform, String>, name: &str| {
            platform.map_err(|why| refused(Some(name), why, "install a release that is supported"))
        };
        let (first, second) = (whole(first, names[0])?, whole(second, names[1])?);
        if first.id != second.id {
            let what = format!(
                "{} is {} and {} is {}: the two nodes must be of one release",
                names[0], first.id, names[1], second.id
            );
            return Err(refused(None, what, "install the same release on both").into());
        }
        Ok(first)
    }

    fn named_platform(&self, id: &str) -> Result<&Platform> {
        Platform::named(id, &self.platforms).map_err(anyhow::Error::msg)
    }

    /// What of the facts goes into the plan.
    pub fn found(&self, facts: &[Facts; 2]) -> Found {
        let speeds: Vec<u64> = facts
            .iter()
            .zip(&self.answers.nodes)
            .filter_map(|(facts, node)| facts.link_bytes_per_second(node.address))
            .collect();
        Found {
            drbd_version: facts.iter().find_map(|facts| facts.kernel.drbd.clone()),
            link_bytes_per_second: if speeds.len() == 2 { speeds[0].min(speeds[1]) } else { 0 },
        }
    }

    /// A survey of nodes that nobody asks: the platform of the answers (the first there is when it is `auto`).
    ///
    /// # Errors
    /// When there is no such platform.
    pub fn offline(&self) -> Result<(Platform, Found)> {
        let id = if self.answers.platform == "auto" { "debian-12" } else { &self.answers.platform };
        Ok((self.named_platform(id)?.clone(), Found::default()))
    }

    /// The plan for a platform and what was found.
    ///
    /// # Errors
    /// A [`Failure`] with exit code 4 when the platform can't carry out an answer; when a step or template names a
    /// variable that is not there.
    pub fn plan(&self, platform: &Platform, found: &Found, secrets: &Secrets) -> Result<Plan> {
        self.plan_of(&self.answers, platform, found, secrets)
    }

    /// The same plan with stand-ins for every secret: for what is shown.
    ///
    /// # Errors
    /// As [`Setup::plan`].
    pub fn shown_plan(&self, platform: &Platform, found: &Found) -> Result<Plan> {
        let mut answers = self.answers.clone();
        answers.fencing.method = answers.fencing.method.masked();
        self.plan_of(&answers, platform, found, &Secrets::placeholders())
    }

    fn plan_of(&self, answers: &Answers, platform: &Platform, found: &Found, secrets: &Secrets) -> Result<Plan> {
        let source = Source { answers, platform, secrets, found };
        let each = std::iter::once(None).chain(answers.vms.iter().map(Some));
        let mut wrong: Vec<String> = each.flat_map(|vm| platform.unsupported(&source.choices(vm))).collect();
        wrong.dedup();
        if !wrong.is_empty() {
            return Err(
                refused(None, wrong.join("; "), "change these in the answers file, or take another platform").into()
            );
        }
        Plan::build(&self.catalog, &self.templates, &source)
    }
}

fn guarded(transport: impl Transport + 'static, may_write: bool) -> Arc<dyn Transport> {
    if may_write { Arc::new(transport) } else { Arc::new(ReadOnly(transport)) }
}

/// A node that can't be reached, with exit code 5.
pub fn unreachable(node: &str, lost: &Lost) -> Failure {
    let next = match lost {
        Lost::HostKey(_) => "compare the fingerprint with what the node's own console shows before you accept it",
        Lost::Sudo(_) => "let this user use sudo without a password there, or log in as root",
        Lost::Auth(_) => "let your key in: ssh-copy-id USER@HOST; hapair asks for no password",
        _ => "see that the node is on, and that `ssh` reaches it from here",
    };
    failure(exit::UNREACHABLE, Some(node), lost.to_string(), next)
}

/// Turns the node of a pair that gave no answer into words.
pub fn unanswered(pair: &Pair) -> impl Fn((At, Lost)) -> Failure {
    |(at, lost)| unreachable(&pair.at(at).name, &lost)
}

/// A node that is not what it must be, with exit code 4.
pub fn refused(node: Option<&str>, what: String, next: &str) -> Failure {
    failure(exit::PREFLIGHT, node, what, next)
}

/// A node on which something could not be done, with exit code 1.
pub fn failed(node: Option<&str>, what: String, next: &str) -> Failure {
    failure(exit::STEP_FAILED, node, what, next)
}

fn failure(exit: u8, node: Option<&str>, what: String, next: &str) -> Failure {
    Failure {
        exit,
        step: None,
        action: None,
        node: node.map(str::to_owned),
        command: None,
        code: None,
        stderr: Vec::new(),
        what,
        next: next.to_owned(),
        resume: None,
    }
}
