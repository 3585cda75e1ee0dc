//! The command line: a contract.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::answers::LabHypervisor;
use crate::drill::Part;
use crate::report::Format;
use crate::setup::Places;

/// Turns two fresh Linux machines into a high-availability pair: Xen, DRBD, OCFS2, Corosync and Pacemaker.
#[derive(Debug, Parser)]
#[command(name = "hapair", version, help_expected = true, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, the wizard.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Install by this answers file: the same as `install --answers FILE`.
    #[command(flatten)]
    pub install: InstallArgs,
    /// Where things are.
    #[command(flatten)]
    pub places: PlaceArgs,
}

/// Where things are.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// Folder for journals, secrets and host keys [default: $XDG_STATE_HOME/hapair]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Steps of your own, in place of or beside those of the same name
    #[arg(long, global = true, value_name = "DIR")]
    pub steps_dir: Option<PathBuf>,
    /// Templates of your own, in place of or beside those of the same name
    #[arg(long, global = true, value_name = "DIR")]
    pub templates_dir: Option<PathBuf>,
    /// Private key for SSH, in place of those of ssh's own configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Configuration file for SSH, in place of your own
    #[arg(long, global = true, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// The two nodes are a rehearsal's throw-away machines, and this runs their VMs
    #[arg(long, global = true, hide = true, env = "HAPAIR_LAB", value_name = "HYPERVISOR")]
    pub lab: Option<LabHypervisor>,
}

impl From<PlaceArgs> for Places {
    fn from(args: PlaceArgs) -> Self {
        Places {
            state_dir: args.state_dir,
            steps_dir: args.steps_dir,
            templates_dir: args.templates_dir,
            identity: args.identity,
            ssh_config: args.ssh_config,
            lab: args.lab,
        }
    }
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people, with diffs
    Text,
    /// For programs
    Json,
    /// As a shell script for each node
    Sh,
}

/// An answers file.
#[derive(Debug, Clone, Args)]
pub struct AnswersArg {
    /// The answers file
    #[arg(long, value_name = "FILE")]
    pub answers: PathBuf,
}

/// Arguments of `install`, also without its name.
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// The answers file
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Where hapair runs on one of the nodes (`ssh: local`): go on by itself after that node's reboots (into Xen, and when the
    /// proof of the fencing has switched it off)
    #[arg(long)]
    pub continue_after_reboot: bool,
    /// How the run is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Check of the preflight that is not to be made; may be given several times
    #[arg(long, value_name = "NAME")]
    pub ignore: Vec<String>,
    /// Let VMs run on fencing that nobody has seen work: give the name of the cluster. It is noted, and `status` keeps saying it
    #[arg(long, value_name = "CLUSTER")]
    pub skip_fencing_proof: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Only the questions: asks what is missing, and writes a complete answers file
    Ask {
        /// Answers that are given already; the file is completed, and what is in it stays
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
    },
    /// Install unattended: never asks; continues where a run stopped
    Install(InstallArgs),
    /// Preflight: read both nodes, compare them, say what would refuse; changes nothing
    Check {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Check that is not to be made; may be given several times
        #[arg(long, value_name = "NAME")]
        ignore: Vec<String>,
    },
    /// Show what would change, with diffs; changes nothing
    Plan {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Only this step
        #[arg(long, value_name = "ID")]
        step: Option<String>,
        /// Ask no node: show everything that a fresh pair would need
        #[arg(long)]
        offline: bool,
        /// How it is shown
        #[arg(long, value_enum, default_value = "text")]
        format: PlanFormat,
    },
    /// Write every file as it would be on the nodes to DIR/<node>/<absolute path>; asks no node
    Render {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Folder that gets the files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Run one step alone; refuses if what it needs is not so
    Step {
        /// Id of the step; `hapair steps` lists them
        id: String,
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Run what it needs too, where that is not so
        #[arg(long)]
        with_needs: bool,
        /// How the run is shown
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Check of the preflight that is not to be made; may be given several times
        #[arg(long, value_name = "NAME")]
        ignore: Vec<String>,
        /// Let VMs run on fencing that nobody has seen work: give the name of the cluster. It is noted, and `status` keeps saying it
        #[arg(long, value_name = "CLUSTER")]
        skip_fencing_proof: Option<String>,
    },
    /// List the steps in order; with --answers, each one's state on the nodes
    Steps {
        /// The answers file
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
    },
    /// Tell what a step does and why
    Explain {
        /// Id of the step; `hapair steps` lists them
        id: String,
    },
    /// Show checkpoints and live health: is the pair all right, and if not, what to do
    Status {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// How it is shown
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Show it again and again, with a pause of so many seconds, until Ctrl-C
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
    },
    /// Harm a running pair on purpose, part by part, and measure what it costs; restores it after each part, and asks before it
    /// begins
    Drill {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Only this part; may be given several times
        #[arg(long, value_name = "NAME", value_enum)]
        only: Vec<Part>,
        /// How the run is shown
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Write a page with a time line for each part
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
        /// Consent without being asked: the name of the cluster
        #[arg(long, value_name = "CLUSTER")]
        confirm: Option<String>,
    },
    /// Take back what can be taken back, in reverse order; says what stays, and asks before it begins
    Undo {
        /// The answers file
        #[command(flatten)]
        answers: AnswersArg,
        /// Stop behind this step: it and all later ones are taken back, earlier ones stay
        #[arg(long, value_name = "ID")]
        until: Option<String>,
        /// Consent without being asked: the name of the cluster
        #[arg(long, value_name = "CLUSTER")]
        confirm: Option<String>,
        /// How the run is shown
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// The same install, for real, on two throw-away machines
    Rehearse(RehearseArgs),
    /// Print the JSON Schema of the answers file
    Schema,
}

/// What the throw-away machines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// `qemu` where KVM works, else `uml`
    Auto,
    /// User-Mode Linux: real DRBD, OCFS2 and cluster, no hypervisor; minutes
    Uml,
    /// Whole virtual machines with GRUB and Xen; minutes with KVM, half an hour or more emulated
    Qemu,
}

/// What a rehearsal does to its install (`make matrix`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Harm {
    /// Kill the installer in each step
    KillSteps,
    /// Kill the installer in each action
    KillActions,
    /// Cut the power of each machine in each step
    Power,
    /// Cut the way from the installer to a machine in each step, for five seconds
    Silence,
    /// The same for five minutes
    LongSilence,
}

/// Arguments of `rehearse`.
#[derive(Debug, Clone, Args)]
pub struct RehearseArgs {
    /// Rehearse these answers: names, layout and VMs are yours, addresses and sizes are the lab's
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// What the machines are
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Engine,
    /// Start from an image that has the packages already
    #[arg(long)]
    pub preinstalled: bool,
    /// Leave the machines running at the end and tell how to log in
    #[arg(long)]
    pub keep: bool,
    /// Install nothing: start the machines, leave them running and tell how to log in, by hand or with the wizard
    #[arg(long, hide = true)]
    pub machines: bool,
    /// Do harm during the install and resume it each time
    #[arg(long, value_enum, hide = true)]
    pub harm: Option<Harm>,
    /// That harm only in these steps
    #[arg(long, hide = true, requires = "harm", value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub harm_in: Vec<String>,
    /// First install with each node's BMC given to the other: the proof of the fencing must find that
    #[arg(long, hide = true)]
    pub swap_bmcs: bool,
    /// Run the install on the first machine itself: it goes on by itself behind each boot of that machine
    #[arg(long, hide = true, conflicts_with_all = ["harm", "swap_bmcs"])]
    pub on_node: bool,
    /// Behind the proofs: take everything back, install again, prove again
    #[arg(long, hide = true)]
    pub undo: bool,
    /// Behind the install: the drill, all parts or those named
    #[arg(long, hide = true, value_name = "NAME", value_enum, num_args = 0.., value_delimiter = ',')]
    pub drill: Option<Vec<Part>>,
    /// The drill's page
    #[arg(long, hide = true, value_name = "FILE.html")]
    pub drill_report: Option<PathBuf>,
    /// Emulator in place of qemu-system-x86_64
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// How the run is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}
