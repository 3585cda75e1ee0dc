//! One screen before anything changes: what will be where, the steps, how long it takes, what is destroyed.

use anyhow::Result;

use super::picture::{Side, Wire, picture};
use super::sheet::heading;
use crate::action::{Memory, RefusalKind, Risk, State};
use crate::answers::{Create, InitialSync, NodeAnswers, SyncRate, VmSource};
use crate::device::{bytes, names_one_disk};
use crate::engine::{Looked, look};
use crate::facts::Facts;
use crate::node::{At, Pair};
use crate::plan::{Plan, PlannedAction, PlannedStep};
use crate::preflight;
use crate::report::style::{Style, Tone};
use crate::report::words;
use crate::secrets::Secrets;
use crate::setup::{Setup, Survey};

/// What is known before the first change.
pub struct Review {
    survey: Survey,
    plan: Plan,
    looked: Looked,
    /// Bytes per second that the link really carries.
    measured: Option<u64>,
    /// Why it can't be done as it stands, each in words.
    pub refusals: Vec<String>,
    /// Why it can, but should be thought over.
    warnings: Vec<String>,
}

impl Review {
    /// Looks at both machines with the whole plan; changes nothing. `pair`: the machines, which need not take a write.
    /// `facts`: what the survey found.
    ///
    /// # Errors
    /// When a machine can't be reached or is not supported.
    pub fn of(setup: &Setup, pair: &Pair, facts: [Facts; 2]) -> Result<Self> {
        let survey = setup.judged(facts)?;
        let secrets = match Secrets::existing(&setup.state)? {
            Some(secrets) => secrets,
            None => Secrets::placeholders(),
        };
        let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
        let actions: Vec<&PlannedAction> = plan.steps.iter().flat_map(|step| &step.actions).collect();
        let looked = look(pair, &actions).map_err(crate::setup::unanswered(pair))?;
        let platforms = setup.platforms(&survey.facts);
        let (answers, packages) = (&setup.answers, plan.packages());
        let evidence = preflight::gather(pair, answers, &survey.facts, &platforms, &packages, setup.rehearsal)
            .map_err(crate::setup::unanswered(pair))?;
        let measured = evidence.wire.rate();
        let mut refusals = Vec::new();
        let mut warnings = setup.warnings.clone();
        let mut findings = preflight::findings(&evidence);
        for finding in preflight::ignored(&mut findings, &setup.ignore) {
            warnings.push(format!("ignored by --ignore {}: {}", finding.name, finding.sentence()));
        }
        for finding in findings {
            let text = format!("{} ({}). Next: {}", finding.sentence(), finding.name, finding.next);
            if finding.error { refusals.push(text) } else { warnings.push(text) }
        }
        for (index, action) in actions.iter().enumerate() {
            for (at, state) in looked.states(index, action, &Memory::default()) {
                let State::Refused(refusal) = state else { continue };
                if refusal.kind != RefusalKind::Failed {
                    let node = if action.is_pair() { String::new() } else { format!("{}: ", pair.at(at).name) };
                    refusals.push(format!("{node}{}. Next: {}", refusal.what, refusal.next));
                }
            }
        }
        Ok(Self { survey, plan, looked, measured, refusals, warnings })
    }

    /// The screen.
    pub fn lines(&self, setup: &Setup, width: usize, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(heading(&format!("The pair {}", setup.answers.cluster), style));
        lines.extend(picture(&self.sides(setup), &wires(setup, &self.survey.facts), width, style));
        lines.extend(heading("What will be done", style));
        let mut first = 0;
        for (number, step) in self.plan.steps.iter().enumerate() {
            lines.extend(self.step(number + 1, step, first, width, style));
            first += step.actions.len();
        }
        lines.extend(heading("How long it takes", style));
        for text in self.times(setup) {
            lines.extend(style.wrap(Tone::Plain, &text, 1, 2, width));
        }
        lines.extend(heading("What is destroyed", style));
        let lost = self.lost(setup);
        if lost.is_empty() {
            lines.extend(style.wrap(Tone::Good, "Nothing: no device that is taken holds anything.", 1, 2, width));
        }
        for text in lost {
            lines.extend(style.wrap(Tone::Bad, &text, 1, 2, width));
        }
        for (title, tone, texts) in
            [("Worth a thought", Tone::Warning, &self.warnings), ("In the way", Tone::Bad, &self.refusals)]
        {
            if !texts.is_empty() {
                lines.extend(heading(title, style));
                lines.extend(texts.iter().flat_map(|text| style.wrap(tone, text, 1, 2, width)));
            }
        }
        lines.push(String::new());
        lines
    }

    fn sides(&self, setup: &Setup) -> [Side; 2] {
        At::BOTH.map(|at| {
            let (node, facts) = (&setup.answers.nodes[at.index()], &self.survey.facts[at.index()]);
            let size = size(setup, node, facts).map(|size| format!(", {}", bytes(size))).unwrap_or_default();
            let mut lines = vec![
                format!("{}, {}", facts.release, bytes(facts.memory_mib << 20)),
                format!("{}{size}", short(node, facts)),
                format!("/dev/drbd0 on {}", setup.answers.storage.mount),
            ];
            let vms: Vec<String> = setup
                .answers
                .vms
                .iter()
                .filter(|vm| match &vm.prefer {
                    Some(prefer) => *prefer == node.name,
                    None => at == At::First,
                })
                .map(|vm| match &vm.source {
                    VmSource::Made { memory_mib, .. } => format!("{} ({})", vm.name, bytes(memory_mib << 20)),
                    VmSource::Config { .. } => vm.name.clone(),
                })
                .collect();
            lines.push(if vms.is_empty() { "no VM at first".to_owned() } else { format!("runs {}", vms.join(", ")) });
            Side { name: node.name.clone(), lines }
        })
    }

    fn step(&self, number: usize, step: &PlannedStep, first: usize, width: usize, style: Style) -> Vec<String> {
        let mut what: Vec<String> = Vec::new();
        let mut waits = 0;
        for (index, action) in step.actions.iter().enumerate() {
            for (at, state) in self.looked.states(first + index, action, &Memory::default()) {
                let text = match state {
                    State::Drift(change) => change.summary,
                    // An earlier step has to run before this can be compared.
                    State::Unknown(_) => {
                        waits += 1;
                        action.of(at).map(|action| action.title()).unwrap_or_default()
                    }
                    State::Satisfied | State::Refused(_) => continue,
                };
                if !what.contains(&text) {
                    what.push(text);
                }
            }
        }
        let (tone, right, text) = match &step.skipped {
            Some(why) => (Tone::Faint, String::new(), why.clone()),
            None if what.is_empty() && waits == 0 => (Tone::Faint, String::new(), "nothing to do".to_owned()),
            None => (Tone::Plain, step.step.takes.clone().unwrap_or_default(), what.join("; ")),
        };
        // What takes long takes a sentence to say so.
        let (right, below) = if measure(&right) > width / 3 { (String::new(), right) } else { (right, String::new()) };
        let mut lines = vec![
            style.row(&[(Tone::Faint, &format!(" {number:>2}  ")), (tone, &step.step.title)], &right, width),
            style.row(&[(Tone::Faint, &format!("     {text}"))], "", width),
        ];
        if !below.is_empty() {
            lines.extend(style.wrap(Tone::Faint, &format!("takes {below}"), 5, 0, width));
        }
        lines
    }

    fn times(&self, setup: &Setup) -> Vec<String> {
        let mut texts = Vec::new();
        let sizes: Vec<u64> = setup
            .answers
            .nodes
            .iter()
            .zip(&self.survey.facts)
            .filter_map(|(node, facts)| size(setup, node, facts))
            .collect();
        let link = self.measured.unwrap_or(self.survey.found.link_bytes_per_second);
        let rate = match setup.answers.storage.sync_rate {
            SyncRate::BytesPerSecond(rate) if link == 0 || rate < link => rate,
            _ => link,
        };
        texts.push(match (setup.answers.storage.initial_sync, sizes.as_slice()) {
            (InitialSync::Skip, _) => "First copy of the disk: none, both sides are declared equal.".to_owned(),
            (InitialSync::Full, [left, right]) => sync_time((*left).min(*right), rate),
            (InitialSync::Full, _) => "First copy of the disk: its size can't be told yet.".to_owned(),
        });
        let reboots = self.plan.steps.iter().any(|step| step.step.id == "xen-boot" && step.skipped.is_none());
        texts.push(format!(
            "All else: packages take two to five minutes with a near mirror{}, the cluster and its first start a few minutes more.",
            if reboots { ", each machine's reboot into Xen up to fifteen (one after the other)" } else { "" }
        ));
        texts
    }

    fn lost(&self, setup: &Setup) -> Vec<String> {
        let mut lost = Vec::new();
        for (node, facts) in setup.answers.nodes.iter().zip(&self.survey.facts) {
            let (Some(erase), Some(what)) = (&node.erase, content(node, facts)) else { continue };
            // `erase` may be a name by id; people read the serial on the disk itself.
            let serial = place(node, facts).map(|(disk, _)| &disk.serial).filter(|serial| names_one_disk(serial));
            let serial = serial.unwrap_or(erase);
            lost.push(format!("{} on {}, serial {serial}: {what} is destroyed.", short(node, facts), node.name));
        }
        let mut index = 0;
        for step in &self.plan.steps {
            for action in &step.actions {
                for (at, state) in self.looked.states(index, action, &Memory::default()) {
                    if let State::Drift(change) = state {
                        if change.risk == Risk::DestroysData {
                            lost.push(format!("{}: {}", setup.answers.nodes[at.index()].name, change.summary));
                        }
                    }
                }
                index += 1;
            }
        }
        lost
    }
}

fn measure(text: &str) -> usize {
    console::measure_text_width(text)
}

/// How long the first copy takes, in words. `rate` in bytes a second; 0 if unknown.
fn sync_time(size: u64, rate: u64) -> String {
    let size_words = bytes(size);
    if rate == 0 {
        return format!("First copy of the disk: {size_words}; how fast the link is can't be told before it begins.");
    }
    // Checksums, headers and the disks themselves take their part.
    let seconds = size / (rate * 9 / 10).max(1);
    #[allow(clippy::cast_precision_loss)]
    let time = words::duration(seconds as f64);
    format!("First copy of the disk: {size_words} at {} MB/s, about {time}.", rate / 1_000_000)
}

/// Disk and partition behind a device, or the disk on which it will be made.
fn place<'a>(
    node: &NodeAnswers,
    facts: &'a Facts,
) -> Option<(&'a crate::facts::disk::Disk, Option<&'a crate::facts::disk::Part>)> {
    let id = node.device.strip_prefix("/dev/disk/by-id/");
    for disk in &facts.disks {
        let is =
            |path: &str, names: &[String]| path == node.device || names.iter().any(|name| Some(name.as_str()) == id);
        if is(&disk.path(), &disk.by_id) {
            return Some((disk, None));
        }
        if let Some(part) = disk.parts.iter().find(|part| is(&part.path, &part.by_id)) {
            return Some((disk, Some(part)));
        }
        let (base, _) = crate::device::split(&node.device)?;
        let base_id = base.strip_prefix("/dev/disk/by-id/");
        if base == disk.path() || disk.by_id.iter().any(|name| Some(name.as_str()) == base_id) {
            return Some((disk, None));
        }
    }
    None
}

/// How much will be mirrored, as far as this side says.
fn size(setup: &Setup, node: &NodeAnswers, facts: &Facts) -> Option<u64> {
    if let Some(volume) = facts.volumes.iter().find(|volume| volume.path == node.device) {
        return Some(volume.bytes);
    }
    let (disk, part) = place(node, facts)?;
    Some(match (part, setup.answers.storage.create) {
        (Some(part), _) => part.bytes,
        (None, _) if disk.table.is_empty() => disk.bytes,
        (None, Create::Bytes(bytes)) => bytes,
        (None, _) => disk.room(),
    })
}

/// A device by the name that people know: `sda3`.
fn short(node: &NodeAnswers, facts: &Facts) -> String {
    match place(node, facts) {
        Some((_, Some(part))) => part.path.trim_start_matches("/dev/").to_owned(),
        Some((disk, None)) => match crate::device::split(&node.device) {
            Some((_, number)) if !disk.table.is_empty() => {
                format!("{} (new)", disk.partition_path(number).trim_start_matches("/dev/"))
            }
            _ => disk.name.clone(),
        },
        None => node.device.clone(),
    }
}

/// What a device holds, if anything is known.
fn content(node: &NodeAnswers, facts: &Facts) -> Option<String> {
    let (disk, part) = place(node, facts)?;
    let content = part.map_or(&disk.content, |part| &part.content);
    (!content.kind.is_empty()).then(|| content.words())
}

fn wires(setup: &Setup, facts: &[Facts; 2]) -> Vec<Wire> {
    let nodes = &setup.answers.nodes;
    let end = |n: usize, address: std::net::Ipv4Addr| {
        facts[n].link(address).map_or_else(|| address.to_string(), |link| format!("{} {address}", link.name))
    };
    let mut wires =
        vec![Wire { what: "DRBD, cluster".to_owned(), ends: [end(0, nodes[0].address), end(1, nodes[1].address)] }];
    if let (Some(left), Some(right)) = (nodes[0].second_address, nodes[1].second_address) {
        wires.push(Wire { what: "second link".to_owned(), ends: [end(0, left), end(1, right)] });
    }
    wires
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::facts::disk::Content;
    use crate::node::scripted::{Scripted, fails, says};
    use crate::node::{Cmd, Node, Pair};
    use crate::preflight::samples;
    use crate::record::NodeRecord;
    use crate::setup::Places;

    /// What is seen before a pair of fresh nodes is changed.
    fn review(answers: crate::answers::Answers, facts: [Facts; 2]) -> (Setup, Review) {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places { state_dir: Some(folder.path().to_owned()), ..Places::default() };
        let setup = Setup::of(answers, places).expect("a setup");
        let (platform, found) = (samples::platform("debian-12"), setup.found(&facts));
        let plan = setup.plan(&platform, &found, &Secrets::placeholders()).expect("a plan");
        let pair = Pair(["node1", "node2"].map(|name| {
            let fresh = |cmd: &Cmd| Ok(if cmd.argv[0] == "sh" { says("") } else { fails(127, "not found") });
            Node { name: name.to_owned(), transport: Arc::new(Scripted::new(fresh)) }
        }));
        let actions: Vec<&PlannedAction> = plan.steps.iter().flat_map(|step| &step.actions).collect();
        let looked = look(&pair, &actions).expect("a look");
        let survey = Survey { facts, platform, found, records: [NodeRecord::default(), NodeRecord::default()] };
        let warnings = vec!["there is no second link".to_owned()];
        (setup, Review { survey, plan, looked, measured: Some(125_000_000), refusals: Vec::new(), warnings })
    }

    const PLAIN: Style = Style { colour: false, unicode: false };

    /// Without the places where lines are broken.
    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_screen_tells_what_will_be_where_the_steps_the_time_and_in_red_what_is_lost() {
        let (mut answers, mut facts) = (samples::answers(), samples::facts());
        answers.nodes[0].erase = Some("ata-DISK_S1".to_owned());
        let disk = &mut facts[0].disks[0];
        disk.serial = "S1SERIAL".to_owned();
        disk.parts[0].content = Content { kind: "ext4".to_owned(), label: "data".to_owned(), ..Content::default() };
        let (setup, review) = review(answers, facts);

        let text = review.lines(&setup, 79, PLAIN).join("\n");
        let parts = ["The pair pair", "What will be done", "How long it takes", "What is destroyed", "Worth a thought"];
        let places = parts.map(|part| text.find(&format!("-- {part}")).unwrap_or_else(|| panic!("{part}:\n{text}")));
        assert!(places.is_sorted(), "{text}");
        for seen in [
            "sda3, 2 GiB",
            "/dev/drbd0 on /drbd0",
            "eth1 10.77.0.1",
            "eth2 10.78.0.2",
            "runs vm01",
            "First copy of the disk: 2 GiB at 125 MB/s",
            "sda3 on node1, serial S1SERIAL: ext4 'data' is destroyed.",
        ] {
            assert!(text.contains(seen), "{seen}:\n{text}");
        }
        let mut timed = 0;
        for (number, step) in review.plan.steps.iter().enumerate() {
            let title = format!("{:>2}  {}", number + 1, step.step.title);
            let (_, rest) = text.split_once(&title).unwrap_or_else(|| panic!("{title}:\n{text}"));
            if step.skipped.is_none() && rest.lines().nth(1).map(str::trim) != Some("nothing to do") {
                let takes = step.step.takes.as_deref().expect("each step says how long it takes");
                assert!(words(&text).contains(&words(takes)), "{takes}:\n{text}");
                timed += 1;
            }
        }
        assert!(timed > 5, "{text}");
        assert!(!text.contains("sda3 on node2"), "{text}");

        let colour = Style { colour: true, unicode: true };
        let red = colour.paint(Tone::Bad, "x").split('x').next().map(str::to_owned).expect("a colour");
        let lines = review.lines(&setup, 79, colour);
        let loss = lines.iter().find(|line| line.contains("S1SERIAL")).expect("what is lost");
        assert!(loss.contains(&red), "{loss:?}");
    }

    #[test]
    fn the_screen_before_the_first_change_fits_every_terminal() {
        let (setup, review) = review(samples::answers(), samples::facts());
        for width in [39, 59, 79, 99] {
            let lines = review.lines(&setup, width, PLAIN);
            assert!(lines.iter().any(|line| line.contains("Nothing: no device")), "{}", lines.join("\n"));
            for line in &lines {
                assert!(line.is_ascii() && !line.contains('\x1b') && measure(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn the_first_copy_is_computed_from_size_and_link() {
        assert_eq!(
            sync_time(300 << 30, 125_000_000),
            "First copy of the disk: 300 GiB at 125 MB/s, about 47 min 43 s."
        );
        assert!(sync_time(1 << 30, 0).contains("can't be told"));
    }
}
