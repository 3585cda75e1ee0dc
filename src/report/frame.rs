//! How a run looks: lines of text from what is known of it. Pure, so that it can be read in tests.

use console::{measure_text_width, truncate_str};

use crate::action::{Progress, Risk};
use crate::report::gauge::gauge;
use crate::report::model::{Doing, Lane, Mark, Model, Said, Step};
use crate::report::style::{Style, Tone};
use crate::report::words;

/// Wider is not easier to read: the time would stand too far from what took it.
const WIDEST: usize = 100;
/// Remarks of the running step that are shown while it runs.
const REMARKS: usize = 3;
/// Rows that are left to steps that are over, where the screen is too small for the whole list.
const OVER: usize = 5;

/// Where the values of a failure's fields begin.
const FIELD: usize = 13;

/// The sign before a step.
fn mark(model: &Model, mark: Mark, style: Style) -> (Tone, String) {
    let (tone, unicode, ascii) = match mark {
        Mark::Waiting => (Tone::Faint, '·', '.'),
        Mark::Running => {
            let tick = usize::try_from(model.now.as_millis() / 125).unwrap_or(0);
            let unicode = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
            (Tone::Strong, unicode[tick % 10], ['|', '/', '-', '\\'][tick % 4])
        }
        Mark::Done => (Tone::Good, '✔', '+'),
        Mark::Skipped => (Tone::Faint, '–', '-'),
        Mark::Failed => (Tone::Bad, '✘', 'x'),
        Mark::Interrupted => (Tone::Warning, '!', '!'),
    };
    (tone, if style.unicode { unicode } else { ascii }.to_string())
}

/// What is drawn anew again and again, below what stays: the running step, both nodes, what is still to come.
pub(super) fn frame(model: &Model, width: usize, height: usize, style: Style) -> Vec<String> {
    let width = columns(width);
    // The cursor stands below.
    let rows = height.saturating_sub(1).max(1);
    let mut lines = Vec::new();
    if let Some(step) = model.step() {
        lines.push(step_row(model, step, width, style));
    }
    lines.extend(lanes(model, width, style));
    if !model.active {
        lines.truncate(rows);
        return lines;
    }
    let footer = usize::from(rows > lines.len());
    if let Some(step) = model.step() {
        let room = rows.saturating_sub(lines.len() + footer).min(REMARKS);
        let from = step.remarks.len().saturating_sub(room);
        lines.extend(
            step.remarks[from..].iter().map(|(tone, text)| style.row(&[(*tone, &format!("       {text}"))], "", width)),
        );
    }
    // Those that were done last are worth seeing, too.
    let over = model.steps.iter().filter(|step| !matches!(step.mark, Mark::Waiting | Mark::Running)).count();
    let room = rows.saturating_sub(lines.len() + footer + over.min(OVER));
    let pending: Vec<&Step> = model.pending().collect();
    let shown = if pending.len() <= room { pending.len() } else { room.saturating_sub(1) };
    lines.extend(pending[..shown].iter().map(|step| step_row(model, step, width, style)));
    let hidden = pending.len() - shown;
    if hidden > 0 && room > 0 {
        lines.push(style.row(
            &[(Tone::Faint, &format!(" …     {hidden} more step{}", if hidden == 1 { "" } else { "s" }))],
            "",
            width,
        ));
    }
    if footer > 0 {
        lines.push(footer_row(model, width, style));
    }
    lines.truncate(rows);
    lines
}

/// Columns that are used: never the last, since writing there may begin a new line.
fn columns(width: usize) -> usize {
    width.saturating_sub(1).clamp(10, WIDEST)
}

fn step_row(model: &Model, step: &Step, width: usize, style: Style) -> String {
    let (tone, sign) = mark(model, step.mark, style);
    let right = match step.mark {
        Mark::Waiting | Mark::Skipped => String::new(),
        Mark::Running => words::duration(model.now.saturating_sub(step.since).as_secs_f64().floor()),
        Mark::Done if !step.changed => format!("unchanged, {}", words::duration(step.seconds)),
        Mark::Done | Mark::Failed | Mark::Interrupted => words::duration(step.seconds),
    };
    let title = match step.mark {
        Mark::Running => Tone::Strong,
        Mark::Waiting | Mark::Skipped => Tone::Faint,
        _ => Tone::Plain,
    };
    let takes = match &step.takes {
        Some(takes) if step.mark == Mark::Running => format!(" (takes {takes})"),
        _ => String::new(),
    };
    let number = format!("  {:>2}  ", step.number);
    let parts =
        [(tone, format!(" {sign}").as_str()), (Tone::Faint, &number), (title, &step.title), (Tone::Faint, &takes)]
            .map(|(tone, text)| (tone, text.to_owned()));
    let parts: Vec<(Tone, &str)> = parts.iter().map(|(tone, text)| (*tone, text.as_str())).collect();
    style.row(&parts, &right, width)
}

fn footer_row(model: &Model, width: usize, style: Style) -> String {
    let done = model.steps.iter().filter(|step| matches!(step.mark, Mark::Done | Mark::Skipped)).count();
    let time = words::duration(model.now.saturating_sub(model.begun).as_secs_f64().floor());
    let text = format!("       {done} of {} done, {time} so far", model.steps.len());
    style.row(&[(Tone::Faint, &text)], "", width)
}

/// One line for each node, or one for both while they do something together; a bar below where there is progress.
fn lanes(model: &Model, width: usize, style: Style) -> Vec<String> {
    let idle = |lane: &Lane| lane.doing == Doing::Nothing;
    let all_idle = model.lanes.iter().all(idle);
    if all_idle && idle(&model.both) && model.step().is_none() {
        return Vec::new();
    }
    let together = all_idle && !idle(&model.both);
    let shown: Vec<(&str, &Lane)> = if together {
        vec![(&model.both.label, &model.both)]
    } else {
        let doing = |lane| if idle(lane) { &model.both } else { lane };
        model.lanes.iter().map(|lane| (lane.label.as_str(), doing(lane))).collect()
    };
    let wide = if width < 60 { 8 } else { 16 };
    let pad = model.lanes.iter().map(|lane| measure_text_width(&lane.label)).fold(4, usize::max).min(wide);
    let indent = if width < 60 { 3 } else { 7 };
    let mut lines = Vec::new();
    for (label, lane) in shown {
        let (tone, mut text) = doing(lane, style);
        let runs = !matches!(lane.doing, Doing::Nothing | Doing::Done(_));
        let seconds = model.now.saturating_sub(lane.since).as_secs_f64().floor();
        let right = if runs && seconds >= 1.0 { words::duration(seconds) } else { String::new() };
        let label = truncate_str(label, pad, "");
        let label = format!("{:indent$}{label:pad$}  ", "");
        let blank = " ".repeat(measure_text_width(&label));
        let mut below = None;
        let standing = match &lane.doing {
            Doing::Waiting { progress: Some(progress), heard, .. } => {
                Some((progress.clone(), model.now.saturating_sub(*heard).as_secs()))
            }
            // A node that reboots tells nothing itself.
            Doing::Waiting { progress: None, .. } | Doing::Rebooting => {
                model.reboot(lane).map(|progress| (progress, 0))
            }
            _ => None,
        };
        if let Some((progress, behind)) = &standing {
            let (progress, behind) = (progress, *behind);
            let so_far = so_far(progress, behind, width.saturating_sub(blank.len()));
            if let Some(over) = so_far.over {
                text = format!("{text}: {over}");
            }
            let bar = match words::percent(progress) {
                Some(percent) => format!("{}  ", gauge(percent, so_far.bar, style.unicode)),
                None => String::new(),
            };
            if !bar.is_empty() || !so_far.text.is_empty() {
                let parts = [(Tone::Plain, blank.as_str()), (Tone::Good, &bar), (Tone::Plain, &so_far.text)];
                below = Some(style.row(&parts, "", width));
            }
        }
        lines.push(style.row(&[(Tone::Faint, &label), (tone, &text)], &right, width));
        lines.extend(below);
    }
    lines
}

fn doing(lane: &Lane, style: Style) -> (Tone, String) {
    match &lane.doing {
        Doing::Nothing => (Tone::Faint, "checking".to_owned()),
        Doing::Changing { summary, risk: Risk::None } => (Tone::Plain, summary.clone()),
        Doing::Changing { summary, risk } => ((*risk).into(), format!("{summary} [{}]", words::risk(*risk))),
        Doing::Command(command) => (Tone::Plain, format!("$ {command}")),
        Doing::Rebooting => (Tone::Warning, "rebooting".to_owned()),
        Doing::Waiting { what, .. } => (Tone::Plain, format!("waiting for {what}")),
        Doing::Done(title) => (Tone::Faint, format!("{} {title}", if style.unicode { '✔' } else { '+' })),
    }
}

/// How a wait stands, in the room that there is.
struct SoFar {
    bar: usize,
    text: String,
    /// The rate or stage, where there was no room for it.
    over: Option<String>,
}

/// Percent, the time left and the rate as far as there is room beside a bar: in this order, since a person asks first
/// when it will be done. `behind`: seconds since it was heard; the time left runs on meanwhile.
fn so_far(progress: &Progress, behind: u64, room: usize) -> SoFar {
    let left = progress.eta_seconds.map(|eta| words::left(eta.saturating_sub(behind)));
    let detail = Some(words::tidy(progress.detail.trim())).filter(|detail| !detail.is_empty());
    let Some(percent) = words::percent(progress) else {
        return SoFar { bar: 0, text: left.unwrap_or_default(), over: detail };
    };
    // Of one width, whatever stands beside it, or it would jump with each second.
    let mut bar = (room * 3 / 8).clamp(6, 40);
    let mut text = format!("{:>3.0} %", percent.floor());
    if let Some(left) = left {
        let longer = format!("{text}  {left}");
        let fits = room.saturating_sub(measure_text_width(&longer) + 2);
        if fits >= 5 {
            (bar, text) = (bar.min(fits), longer);
        }
    }
    let Some(detail) = detail else { return SoFar { bar, text, over: None } };
    let longer = format!("{text}  {detail}");
    if bar + 2 + measure_text_width(&longer) <= room {
        SoFar { bar, text: longer, over: None }
    } else {
        SoFar { bar, text, over: Some(detail) }
    }
}

/// What stays, as lines.
pub(super) fn stays(model: &Model, said: &[Said], width: usize, style: Style) -> Vec<String> {
    let width = columns(width);
    let mut lines = Vec::new();
    for said in said {
        match said {
            Said::Step(index) => {
                let Some(step) = model.steps.get(*index) else { continue };
                lines.push(step_row(model, step, width, style));
                for (tone, text) in &step.remarks {
                    lines.extend(style.wrap(*tone, text, 7, 2, width));
                }
            }
            Said::Text(tone, text) => lines.extend(style.wrap(*tone, text, 0, 2, width)),
            Said::Field(text) => lines.extend(style.wrap(Tone::Plain, text, 0, FIELD, width)),
            Said::Verbatim(tone, text) => lines.push(style.paint(*tone, &style.clean(text))),
            Said::Times => lines.extend(times(model, width, style)),
            Said::Gap => lines.push(String::new()),
        }
    }
    lines
}

/// Time per step, in two columns where they fit: the end of a run should be one screen.
fn times(model: &Model, width: usize, style: Style) -> Vec<String> {
    let over: Vec<&Step> = model.steps.iter().filter(|step| step.mark != Mark::Waiting).collect();
    let id = over.iter().map(|step| measure_text_width(&step.id)).max().unwrap_or(0);
    let cell = |step: &Step| {
        let (tone, sign) = mark(model, step.mark, style);
        let time = match step.mark {
            Mark::Skipped => "skipped".to_owned(),
            _ => words::duration(step.seconds),
        };
        let id = style.clean_part(&format!("  {:id$}", step.id));
        format!(" {}{id}  {}", style.paint(tone, &sign), style.paint(Tone::Faint, &format!("{time:>12}")))
    };
    let columns = if 2 * (id + 18) + 2 <= width && over.len() > 4 { 2 } else { 1 };
    let rows = over.len().div_ceil(columns);
    let line = |row: usize| {
        let cells: Vec<String> = over.iter().skip(row).step_by(rows).map(|step| cell(step)).collect();
        cells.join("    ")
    };
    (0..rows).map(line).collect()
}

#[cfg(test)]
mod tests;
