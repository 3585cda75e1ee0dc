//! Words that the reporters share: durations, risks, and an event as plain lines.

use crate::action::{Change, Progress, Risk};
use crate::device::STATE;
use crate::drill::outcome;
use crate::event::Event;

/// A duration for people: `0.3 s`, `12 s`, `1 min 12 s`, `2 h 5 min`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // both are kept off by max()
pub fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    if (0.05..0.95).contains(&seconds) {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => {
            let minutes = (whole + 30) / 60;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

/// Percent that can be drawn, whatever was computed: none where it is not a number.
pub fn percent(progress: &Progress) -> Option<f64> {
    progress.percent.filter(|percent| percent.is_finite()).map(|percent| percent.clamp(0.0, 100.0))
}

/// How far something has come: `43 %, 27,400 K/sec, 2 min 10 s left`.
pub fn progress(progress: &Progress) -> String {
    // Rounded down: 100 % is said when it is there.
    let percent = percent(progress).map(|percent| format!("{:.0} %", percent.floor()));
    let detail = Some(progress.detail.trim().to_owned()).filter(|detail| !detail.is_empty());
    let left = progress.eta_seconds.map(left);
    [percent, detail, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Time to the end: `2 min 10 s left`; from ten minutes on without seconds, which nobody can foresee.
pub fn left(seconds: u64) -> String {
    if (600..3600).contains(&seconds) {
        return format!("{} min left", seconds.div_ceil(60));
    }
    // Precise far beyond any sync that ends.
    #[allow(clippy::cast_precision_loss)]
    let seconds = seconds as f64;
    format!("{} left", duration(seconds))
}

/// What a change may cost, for people; empty for nothing.
pub fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::None => "",
        Risk::RestartsCluster => "restarts the cluster's daemons",
        Risk::Reboots => "reboots",
        Risk::DestroysData => "destroys data",
    }
}

/// Lines of a diff that are shown while a run goes on.
const DIFF_LINES: usize = 40;

/// The diff of a file that takes the place of another one, for people, and a sentence before it; `None` where nothing is
/// replaced. A change of a file that holds a secret has no diff. `node` keeps the copy: of a file for both that is the first.
pub fn replaced(node: &str, change: &Change) -> Option<(String, Vec<String>)> {
    let diff = change.diff.as_deref()?;
    // What differs in the CIB is no file, and has no path.
    let path = diff.strip_prefix("--- ")?.lines().next()?;
    if !path.starts_with('/') || path == "/dev/null" {
        return None;
    }
    let sentence = format!(
        "{path} is there already; what hapair did not write is kept on {node} in {STATE}/backup (changed since: {STATE}/changed)"
    );
    let all = diff.lines().count();
    let mut lines: Vec<String> = diff.lines().take(DIFF_LINES).map(|line| format!("    {line}")).collect();
    if all > DIFF_LINES {
        lines.push(format!("    ... {} more; `hapair plan` shows all before a run", count(all - DIFF_LINES, "line")));
    }
    Some((sentence, lines))
}

/// `1 step`, `18 steps`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What is said at the end of a drill, below its first line.
pub fn drilled(event: &Event) -> Vec<String> {
    let Event::DrillDone { passed, parts, report, .. } = event else { return Vec::new() };
    let mut lines: Vec<String> = outcome::table(parts).into_iter().map(|line| format!("  {line}")).collect();
    lines.push(match (passed, parts.iter().filter(|part| !part.passed()).count()) {
        (true, _) => "Every part has passed, and no acknowledged write was lost.".to_owned(),
        (false, 0) => "Not every part was done.".to_owned(),
        (false, others) => format!("{} not passed.", count(others, "part")),
    });
    lines.extend(report.iter().map(|path| format!("The page: {path}")));
    lines
}

/// The line that ends a run.
pub fn done(changed: usize, seconds: f64) -> String {
    let took = duration(seconds);
    match changed {
        0 => format!("Done in {took}: nothing had to be changed."),
        _ => format!("Done in {took}: {} changed something.", count(changed, "action")),
    }
}

/// One line that is safe to show: what came from a node may hold colours, cursor movements or line breaks, which
/// would break the picture or fake another one.
pub fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for character in console::strip_ansi_codes(text.trim_end()).chars() {
        match character {
            '\n' => tidy.push_str("\\n"),
            '\r' => {}
            '\t' => tidy.push(' '),
            // Marks that turn the direction of writing can make a command look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => tidy.push('?'),
            character if character.is_control() => tidy.push('?'),
            character => tidy.push(character),
        }
    }
    tidy
}

/// What [`lines`] must know that the event itself does not say.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Columns for a node's name.
    pub pad: usize,
    /// Id of the running step.
    pub step: String,
    /// Name of the first node.
    pub first: String,
}

impl Context {
    fn at(&self, node: Option<&str>, step: &str, text: &str) -> String {
        let (node, pad) = (node.unwrap_or("both"), self.pad);
        if step.is_empty() { format!("{node:pad$}  {text}") } else { format!("{node:pad$}  {step}: {text}") }
    }
}

/// An event as plain lines: one, but for a file that is replaced, a failure and the summary at the end.
pub fn lines(event: &Event, context: &Context) -> Vec<String> {
    let line = match event {
        Event::RunStarted { version, cluster, command, nodes: [first, second], steps, plan } => format!(
            "hapair {version}, {command}: cluster {cluster}, nodes {first} and {second}, {}{}",
            count(steps.len(), "step"),
            // A drill follows no plan.
            if plan.is_empty() {
                String::new()
            } else {
                format!(", plan {}", plan.chars().take(12).collect::<String>())
            }
        ),
        Event::NodeReached { node, summary } => context.at(Some(node), "", summary),
        Event::Note { text } => format!("note: {text}"),
        Event::StepStarted { step, title, number, of, takes } => {
            let takes = takes.as_ref().map(|takes| format!(" (takes {takes})")).unwrap_or_default();
            format!("step {number} of {of}, {step}: {title}{takes}")
        }
        Event::StepSkipped { step, why } => format!("step {step}: skipped: {why}"),
        Event::ActionStarting { step, node, change, .. } => {
            let risk = match risk(change.risk) {
                "" => String::new(),
                risk => format!(" [{risk}]"),
            };
            let mut lines = vec![context.at(node.as_deref(), step, &format!("{}{risk}", change.summary))];
            if let Some((sentence, diff)) = replaced(node.as_deref().unwrap_or(&context.first), change) {
                lines.push(context.at(node.as_deref(), step, &sentence));
                lines.extend(diff);
            }
            return lines.iter().map(|line| tidy(line)).collect();
        }
        Event::Command { node, command } => context.at(Some(node), &context.step, &format!("$ {command}")),
        Event::Rebooting { node, .. } => context.at(Some(node), &context.step, "rebooting"),
        Event::Waiting { step, node, what, progress: so_far, seconds } => {
            let so_far = so_far.as_ref().map(progress).filter(|so_far| !so_far.is_empty());
            let so_far = so_far.map(|so_far| format!(": {so_far}")).unwrap_or_default();
            #[allow(clippy::cast_precision_loss)]
            let waited = duration(*seconds as f64);
            context.at(node.as_deref(), step, &format!("waiting for {what}, {waited}{so_far}"))
        }
        Event::ActionDone { step, node, title, seconds, .. } => {
            context.at(node.as_deref(), step, &format!("done in {}: {title}", duration(*seconds)))
        }
        Event::StepDone { step, changed: true, seconds } => format!("step {step}: done in {}", duration(*seconds)),
        Event::StepDone { step, changed: false, seconds } => {
            format!("step {step}: nothing to change ({})", duration(*seconds))
        }
        Event::Failed(failure) => {
            let text = format!("failed: {failure}");
            return text.lines().map(tidy).collect();
        }
        Event::Interrupted { step, resume } => format!("interrupted in step {step}; continue with: {resume}"),
        Event::Measured(outcome) => return outcome.lines().iter().map(|line| tidy(line)).collect(),
        Event::DrillDone { seconds, .. } => {
            let lines = drilled(event).into_iter().map(|line| tidy(&line));
            return std::iter::once(format!("Drill over after {}.", duration(*seconds))).chain(lines).collect();
        }
        Event::RunDone { changed, seconds, summary } => {
            let summary = summary.iter().flat_map(|text| text.split('\n')).map(tidy);
            return std::iter::once(done(*changed, *seconds)).chain(summary).collect();
        }
    };
    vec![tidy(&line)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let said: Vec<String> = [0.0, 0.31, 0.97, 12.4, 59.6, 72.0, 3599.9, 7500.0, -3.0, f64::NAN, f64::INFINITY]
            .into_iter()
            .map(duration)
            .collect();
        let expected =
            ["0 s", "0.3 s", "1 s", "12 s", "1 min 0 s", "1 min 12 s", "1 h 0 min", "2 h 5 min", "0 s", "0 s", "0 s"];
        assert_eq!(said, expected);
    }

    #[test]
    fn progress_says_what_it_knows() {
        let all = Progress { percent: Some(99.97), eta_seconds: Some(130), detail: "27,400 K/sec".to_owned() };
        assert_eq!(progress(&all), "99 %, 27,400 K/sec, 2 min 10 s left");
        let none = Progress { percent: Some(f64::NAN), eta_seconds: None, detail: String::new() };
        assert_eq!(progress(&none), "");
    }

    #[test]
    fn a_file_that_is_replaced_is_shown_with_where_the_old_one_is() {
        let change = |diff: &str| Change::new("change /etc/drbd.conf").diff(diff);
        let short = change("--- /etc/drbd.conf\n+++ /etc/drbd.conf\n@@ -1 +1 @@\n-old\n+new\n");
        let (sentence, lines) = replaced("beta", &short).expect("a file is replaced");
        assert_eq!(
            sentence,
            "/etc/drbd.conf is there already; what hapair did not write is kept on beta in /var/lib/hapair/backup (changed since: /var/lib/hapair/changed)"
        );
        assert_eq!(
            lines,
            ["    --- /etc/drbd.conf", "    +++ /etc/drbd.conf", "    @@ -1 +1 @@", "    -old", "    +new"]
        );

        let long = format!("--- /etc/drbd.conf\n+++ /etc/drbd.conf\n{}", "-old\n".repeat(50));
        let (_, lines) = replaced("beta", &change(&long)).expect("a file is replaced");
        assert_eq!(lines.len(), 41);
        assert_eq!(lines[40], "    ... 12 lines more; `hapair plan` shows all before a run");

        // A new file, the CIB, and what has no diff since it is secret.
        for diff in
            ["--- /dev/null\n+++ /etc/drbd.conf\n@@ -0,0 +1 @@\n+new\n", "-<op id=\"a\"/>\n+<op id=\"b\"/>\n", ""]
        {
            assert_eq!(replaced("beta", &change(diff)), None, "{diff}");
        }
        assert_eq!(replaced("beta", &Change::new("change /etc/x (it is secret)")), None);
    }

    #[test]
    fn nothing_from_a_node_moves_the_cursor() {
        assert_eq!(tidy("\u{1b}[31mred\u{1b}[0m\ta\r\nb\u{1b}]0;title\u{7}\u{8}\u{202e}x\n"), "red a\\nb??x");
    }
}
