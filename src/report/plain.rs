//! Off a terminal: a line per event on stderr, without colour, to be read in a log.

use std::io::{self, Write};

use jiff::{Timestamp, tz::TimeZone};

use crate::event::{Event, Sink};
use crate::report::words::{self, Context};

/// Seconds after which a wait is spoken of again.
const EVERY_SECONDS: u64 = 15;
/// Percent after which a wait is spoken of again.
const EVERY_PERCENT: f64 = 10.0;

/// Writes a line per event, with the time of day.
pub struct Plain {
    out: Box<dyn Write + Send>,
    clock: fn() -> String,
    context: Context,
    /// The last that was said about each wait that is not over.
    waits: Vec<Wait>,
    /// Time per step, for the end.
    times: Vec<(String, String)>,
}

struct Wait {
    node: Option<String>,
    what: String,
    seconds: u64,
    percent: Option<f64>,
}

impl Plain {
    /// Onto stderr.
    pub fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), || {
            Timestamp::now().to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
        })
    }

    /// Onto anything, with any clock that says the time of day.
    pub fn new(out: Box<dyn Write + Send>, clock: fn() -> String) -> Self {
        Self { out, clock, context: Context { pad: 4, ..Context::default() }, waits: Vec::new(), times: Vec::new() }
    }

    fn say(&mut self, lines: impl IntoIterator<Item = String>) {
        let time = (self.clock)();
        let text: String = lines
            .into_iter()
            .map(|line| if line.is_empty() { format!("[{time}]\n") } else { format!("[{time}] {line}\n") })
            .collect();
        // A closed stderr is no reason to stop a run.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Whether this wait has come far enough since it was last spoken of.
    fn worth_saying(&mut self, node: Option<&String>, what: &str, seconds: u64, percent: Option<f64>) -> bool {
        let now = Wait { node: node.cloned(), what: what.to_owned(), seconds, percent };
        let Some(last) = self.waits.iter_mut().find(|wait| wait.node.as_ref() == node && wait.what == what) else {
            self.waits.push(now);
            return true;
        };
        let come = match (last.percent, percent) {
            (Some(before), Some(now)) => now - before >= EVERY_PERCENT,
            (None, Some(_)) => true,
            _ => false,
        };
        // Fewer seconds than before: the same is waited for anew.
        let again = seconds < last.seconds || seconds - last.seconds >= EVERY_SECONDS;
        if come || again {
            *last = now;
        }
        come || again
    }
}

impl Sink for Plain {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::RunStarted { nodes, .. } => {
                self.context.pad = nodes.iter().map(|node| node.chars().count()).fold(4, usize::max);
                self.context.first.clone_from(&nodes[0]);
                self.times.clear();
            }
            Event::StepStarted { step, .. } => {
                self.context.step.clone_from(step);
                self.waits.clear();
            }
            Event::ActionDone { node, .. } => self.waits.retain(|wait| wait.node != *node),
            Event::StepDone { step, seconds, .. } => self.times.push((step.clone(), words::duration(*seconds))),
            Event::StepSkipped { step, .. } => self.times.push((step.clone(), "skipped".to_owned())),
            Event::Waiting { node, what, progress, seconds, .. } => {
                let percent = progress.as_ref().and_then(words::percent);
                if !self.worth_saying(node.as_ref(), what, *seconds, percent) {
                    return Ok(());
                }
            }
            _ => {}
        }
        let mut lines = words::lines(event, &self.context);
        if let Event::RunDone { .. } = event {
            let wide = self.times.iter().map(|(step, _)| step.len()).max().unwrap_or(0);
            let times = self.times.iter().map(|(step, time)| format!("  {step:wide$}  {time}"));
            lines.splice(1..1, times.collect::<Vec<_>>());
        }
        self.say(lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::action::{Change, Progress, Risk};
    use crate::event::{Failure, StepName};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(events: &[Event]) -> String {
        let kept = Kept::default();
        let mut plain = Plain::new(Box::new(kept.clone()), || "17:03:12".to_owned());
        for event in events {
            plain.event(event).unwrap();
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    fn waiting(node: Option<&str>, seconds: u64, percent: Option<f64>) -> Event {
        Event::Waiting {
            step: "drbd-sync".to_owned(),
            node: node.map(str::to_owned),
            what: "both UpToDate".to_owned(),
            progress: percent.map(|percent| Progress {
                percent: Some(percent),
                eta_seconds: Some(700),
                detail: "27,400 K/sec".to_owned(),
            }),
            seconds,
        }
    }

    #[test]
    fn a_line_per_event() {
        let text = |text: &str| text.to_owned();
        let drbd = || text("drbd-sync");
        let node = || Some(text("alpha1"));
        let done =
            Event::RunDone { changed: 1, seconds: 75.0, summary: vec![text("It is up.\n"), text("  crm_mon -1")] };
        let said = told(&[
            Event::RunStarted {
                version: text("0.1.0"),
                cluster: text("web"),
                command: text("install"),
                nodes: [text("alpha1"), text("beta")],
                steps: vec![StepName { id: drbd(), title: text("The first synchronisation") }],
                plan: text("0123456789abcdef"),
            },
            Event::NodeReached { node: text("beta"), summary: text("Debian 12") },
            Event::Note { text: text("two\nlines \u{1b}[31mred") },
            Event::StepSkipped { step: text("xen"), why: text("not rehearsed by this engine") },
            Event::StepStarted {
                step: drbd(),
                title: text("The first synchronisation"),
                number: 2,
                of: 2,
                takes: Some(text("20 min")),
            },
            Event::ActionStarting {
                step: drbd(),
                action: text("1-drbd-sync"),
                node: node(),
                title: text("in sync"),
                change: Change::new("overwrite beta's /dev/sda3").risk(Risk::DestroysData),
            },
            Event::Command { node: text("alpha1"), command: text("drbdadm primary --force r0") },
            waiting(None, 0, None),
            Event::Rebooting { node: text("beta"), boot_id: text("b") },
            Event::ActionDone { step: drbd(), action: text("1"), node: node(), title: text("in sync"), seconds: 72.0 },
            Event::StepDone { step: drbd(), changed: true, seconds: 72.4 },
            done,
        ]);
        let expected = "\
[17:03:12] hapair 0.1.0, install: cluster web, nodes alpha1 and beta, 1 step, plan 0123456789ab
[17:03:12] beta    Debian 12
[17:03:12] note: two\\nlines red
[17:03:12] step xen: skipped: not rehearsed by this engine
[17:03:12] step 2 of 2, drbd-sync: The first synchronisation (takes 20 min)
[17:03:12] alpha1  drbd-sync: overwrite beta's /dev/sda3 [destroys data]
[17:03:12] alpha1  drbd-sync: $ drbdadm primary --force r0
[17:03:12] both    drbd-sync: waiting for both UpToDate, 0 s
[17:03:12] beta    drbd-sync: rebooting
[17:03:12] alpha1  drbd-sync: done in 1 min 12 s: in sync
[17:03:12] step drbd-sync: done in 1 min 12 s
[17:03:12] Done in 1 min 15 s: 1 action changed something.
[17:03:12]   xen        skipped
[17:03:12]   drbd-sync  1 min 12 s
[17:03:12] It is up.
[17:03:12]
[17:03:12]   crm_mon -1
";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_wait_is_spoken_of_every_15_seconds_or_10_percent() {
        let mut events: Vec<Event> = (0..40).map(|second| waiting(Some("beta"), second, None)).collect();
        events.extend((0..=30u32).map(|percent| waiting(None, u64::from(percent / 10), Some(f64::from(percent)))));
        let said = told(&events);
        let expected = "\
[17:03:12] beta  drbd-sync: waiting for both UpToDate, 0 s
[17:03:12] beta  drbd-sync: waiting for both UpToDate, 15 s
[17:03:12] beta  drbd-sync: waiting for both UpToDate, 30 s
[17:03:12] both  drbd-sync: waiting for both UpToDate, 0 s: 0 %, 27,400 K/sec, 12 min left
[17:03:12] both  drbd-sync: waiting for both UpToDate, 1 s: 10 %, 27,400 K/sec, 12 min left
[17:03:12] both  drbd-sync: waiting for both UpToDate, 2 s: 20 %, 27,400 K/sec, 12 min left
[17:03:12] both  drbd-sync: waiting for both UpToDate, 3 s: 30 %, 27,400 K/sec, 12 min left
";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_file_that_is_replaced_is_shown_as_a_diff() {
        let change =
            Change::new("change /etc/hosts").diff("--- /etc/hosts\n+++ /etc/hosts\n@@ -1 +1 @@\n-\u{1b}[2Jold\n+new\n");
        let said = told(&[Event::ActionStarting {
            step: "hosts".to_owned(),
            action: "1-host-names".to_owned(),
            node: Some("beta".to_owned()),
            title: "names".to_owned(),
            change,
        }]);
        let expected = "\
[17:03:12] beta  hosts: change /etc/hosts
[17:03:12] beta  hosts: /etc/hosts is there already; what hapair did not write is kept on beta in /var/lib/hapair/backup (changed since: /var/lib/hapair/changed)
[17:03:12]     --- /etc/hosts
[17:03:12]     +++ /etc/hosts
[17:03:12]     @@ -1 +1 @@
[17:03:12]     -old
[17:03:12]     +new
";
        assert_eq!(said, expected);
    }

    #[test]
    fn the_copy_of_a_file_for_both_is_on_the_first_node() {
        let path = "/drbd0/xen/vm01/vm01.cfg";
        let change = Change::new("change").diff(format!("--- {path}\n+++ {path}\n@@ -1 +1 @@\n-old\n+new\n"));
        let said = told(&[
            Event::RunStarted {
                version: "0.1.0".to_owned(),
                cluster: "web".to_owned(),
                command: "install".to_owned(),
                nodes: ["alpha".to_owned(), "beta".to_owned()],
                steps: Vec::new(),
                plan: String::new(),
            },
            Event::ActionStarting {
                step: "vms".to_owned(),
                action: "1-shared-file".to_owned(),
                node: None,
                title: "write".to_owned(),
                change,
            },
        ]);
        assert!(
            said.contains(
                "both   vms: /drbd0/xen/vm01/vm01.cfg is there already; what hapair did not write is kept on alpha in"
            ),
            "{said}"
        );
    }

    #[test]
    fn a_failure_in_full() {
        let said = told(&[Event::Failed(Failure {
            exit: 1,
            step: Some("mkfs".to_owned()),
            action: None,
            node: Some("beta".to_owned()),
            command: Some("mkfs.ocfs2 /dev/drbd0".to_owned()),
            code: Some(1),
            stderr: vec!["in use".to_owned()],
            what: "it holds something".to_owned(),
            next: String::new(),
            resume: Some("hapair install --answers web.yaml".to_owned()),
        })]);
        let expected = "\
[17:03:12] failed: step mkfs on beta: it holds something
[17:03:12]   command:   mkfs.ocfs2 /dev/drbd0
[17:03:12]   exit code: 1
[17:03:12]   stderr:    in use
[17:03:12]   continue:  hapair install --answers web.yaml
";
        assert_eq!(said, expected);
    }
}
