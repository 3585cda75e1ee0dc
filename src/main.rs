//! The program: reads the command line, runs the command, turns an error into words and an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use hapair::answers::load::{LoadError, Secrets};
use hapair::cancel::Cancel;
use hapair::cli::{Cli, Command};
use hapair::command::ask::{self, Then};
use hapair::command::{self, install, say, typed};
use hapair::drill::hand::Nobody;
use hapair::event::Failure;
use hapair::exit::WrongUsage;
use hapair::report::Format;
use hapair::setup::{Places, Setup};
use hapair::step::Catalog;
use hapair::{exit, lock, rehearsal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = code(&error);
            say(format!("hapair: {error:#}").trim_end());
            ExitCode::from(code)
        }
    }
}

/// The only place that turns an error into an exit code.
fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<LoadError>() {
            return exit::ANSWERS;
        }
        if cause.is::<lock::Held>() {
            return exit::LOCKED;
        }
        if cause.is::<WrongUsage>() {
            return exit::USAGE;
        }
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
    }
    exit::STEP_FAILED
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let places: Places = cli.places.into();
    let Some(command) = cli.command else {
        let Some(answers) = &cli.install.answers else {
            if cli.install.continue_after_reboot || cli.install.format != Format::Text {
                let why = "the wizard runs on a terminal, and alone; these options are for an install by an answers file: --answers FILE";
                return Err(WrongUsage(why.to_owned()).into());
            }
            may_ignore(&cli.install.ignore)?;
            return ask::run(None, &places, &Then::Install { ignore: cli.install.ignore });
        };
        let how = How {
            continue_after_reboot: cli.install.continue_after_reboot,
            ignore: cli.install.ignore,
            skip_fencing_proof: cli.install.skip_fencing_proof,
            ..How::default()
        };
        return install(answers, places, cli.install.format, how);
    };
    match command {
        Command::Ask { answers } => ask::run(answers.as_deref(), &places, &Then::Save),
        Command::Install(args) => match &args.answers {
            Some(answers) => {
                let how = How {
                    continue_after_reboot: args.continue_after_reboot,
                    ignore: args.ignore,
                    skip_fencing_proof: args.skip_fencing_proof,
                    ..How::default()
                };
                install(answers, places, args.format, how)
            }
            None => Err(WrongUsage(
                "install never asks: name an answers file with --answers FILE (`hapair schema` describes it)"
                    .to_owned(),
            )
            .into()),
        },
        Command::Step { id, answers, with_needs, format, ignore, skip_fencing_proof } => {
            command::step::known(&Catalog::load(places.steps_dir.as_deref())?, &id)?;
            let how = How { step: Some(id), with_needs, ignore, skip_fencing_proof, ..How::default() };
            install(&answers.answers, places, format, how)
        }
        Command::Check { answers, ignore } => {
            may_ignore(&ignore)?;
            let mut setup = Setup::load(&answers.answers, places, Secrets::Resolve)?;
            setup.ignore = ignore;
            command::check::run(&setup)
        }
        Command::Plan { answers, step, offline, format } => {
            let secrets = if offline { Secrets::Leave } else { Secrets::Resolve };
            let setup = Setup::load(&answers.answers, places, secrets)?;
            command::plan::run(&setup, &command::plan::Options { step, offline, format })?;
            Ok(exit::DONE)
        }
        Command::Render { answers, out } => {
            let setup = Setup::load(&answers.answers, places, Secrets::Leave)?;
            let count = command::render::run(&setup, &out)?;
            say(&format!("{count} files in {}", out.display()));
            Ok(exit::DONE)
        }
        Command::Steps { answers: None } => {
            command::print(&command::steps::list(&Catalog::load(places.steps_dir.as_deref())?))?;
            Ok(exit::DONE)
        }
        Command::Steps { answers: Some(answers) } => {
            let setup = Setup::load(&answers, places, Secrets::Resolve)?;
            command::print(&command::steps::text(&command::steps::states(&setup)?))?;
            Ok(exit::DONE)
        }
        Command::Explain { id } => {
            let catalog = Catalog::load(places.steps_dir.as_deref())?;
            command::print(&command::explain::page(command::step::known(&catalog, &id)?))?;
            Ok(exit::DONE)
        }
        Command::Status { answers, format, watch } => {
            let setup = Setup::load(&answers.answers, places, Secrets::Resolve)?;
            let watch = watch.map(std::time::Duration::from_secs);
            command::status::run(&setup, command::status::Options { json: format == Format::Json, watch })
        }
        Command::Drill { answers, only, format, report, confirm } => {
            let cancel = Cancel::listen()?;
            let setup = Setup::load(&answers.answers, places, Secrets::Resolve)?;
            let hand = std::cell::RefCell::new(Nobody);
            let options = command::drill::Options {
                only: &only,
                report,
                confirm,
                format,
                cancel: &cancel,
                resume: typed(),
                ground: None,
                hand: &hand,
            };
            command::drill::run(&setup, &options)
        }
        Command::Undo { answers, until, confirm, format } => {
            let cancel = Cancel::listen()?;
            let setup = Setup::load(&answers.answers, places, Secrets::Resolve)?;
            let options = command::undo::Options { until, confirm, format, cancel: &cancel, resume: typed() };
            command::undo::run(&setup, &options).map(|outcome| outcome.code)
        }
        Command::Rehearse(args) => rehearsal::run(&args, places),
        Command::Schema => {
            command::print(&format!("{:#}\n", hapair::answers::schema::schema()))?;
            Ok(exit::DONE)
        }
    }
}

/// What of an install is asked for.
#[derive(Debug, Default)]
struct How {
    step: Option<String>,
    with_needs: bool,
    continue_after_reboot: bool,
    ignore: Vec<String>,
    skip_fencing_proof: Option<String>,
}

fn install(answers: &std::path::Path, places: Places, format: Format, how: How) -> anyhow::Result<u8> {
    may_ignore(&how.ignore)?;
    let mut setup = Setup::load(answers, places, Secrets::Resolve)?;
    setup.ignore = how.ignore;
    if let Some(name) = &how.skip_fencing_proof {
        setup.skip_fencing_proof(name)?;
        if !command::consent::without_proof(&setup.answers.cluster)? {
            return Ok(exit::USAGE);
        }
    }
    let cancel = Cancel::listen()?;
    if let (true, Some(name)) = (how.continue_after_reboot, setup.from_environment.first()) {
        let why = format!(
            "--continue-after-reboot: after the boot there is no environment that {name} could come from (env:NAME); \
             give it as file:PATH"
        );
        return Err(WrongUsage(why).into());
    }
    let command = how.step.as_ref().map_or_else(|| "install".to_owned(), |id| format!("step {id}"));
    let run = install::Run {
        command,
        steps: how.step.map(|id| vec![id]),
        with_needs: how.with_needs,
        continue_after_reboot: how.continue_after_reboot,
        format,
        cancel: &cancel,
        resume: typed(),
    };
    install::run(&setup, &run).map(|outcome| outcome.code)
}

fn may_ignore(names: &[String]) -> anyhow::Result<()> {
    hapair::preflight::checks::may_ignore(names).map_err(|why| WrongUsage(why).into())
}
