use std::time::Duration;

use super::*;
use crate::action::Change;
use crate::event::{Event, Failure, StepName};

const PLAIN: Style = Style { colour: false, unicode: true };
const ASCII: Style = Style { colour: false, unicode: false };
const COLOUR: Style = Style { colour: true, unicode: true };

/// A run that is fed by hand, and what of it stays.
struct Run {
    model: Model,
    stays: Vec<String>,
    width: usize,
    style: Style,
}

impl Run {
    fn new(steps: usize, width: usize, style: Style) -> Run {
        let mut run = Run { model: Model::new(), stays: Vec::new(), width, style };
        run.at(
            0,
            &Event::RunStarted {
                version: "0.1.0".to_owned(),
                cluster: "web".to_owned(),
                command: "install".to_owned(),
                nodes: ["node1".to_owned(), "node2".to_owned()],
                steps: (1..=steps)
                    .map(|number| StepName { id: format!("step-{number}"), title: format!("Step number {number}") })
                    .collect(),
                plan: "0123".to_owned(),
            },
        );
        run
    }

    fn at(&mut self, second: u64, event: &Event) {
        let said = self.model.apply(event, Duration::from_secs(second));
        self.stays.extend(stays(&self.model, &said, self.width, self.style));
    }

    fn start(&mut self, second: u64, number: usize) {
        self.at(
            second,
            &Event::StepStarted {
                step: format!("step-{number}"),
                title: format!("Step number {number}"),
                number,
                of: 18,
                takes: None,
            },
        );
    }

    fn done(&mut self, second: u64, number: usize) {
        self.at(second, &Event::StepDone { step: format!("step-{number}"), changed: number != 2, seconds: 72.0 });
    }

    fn frame(&mut self, second: u64, height: usize) -> String {
        self.model.now = Duration::from_secs(second);
        frame(&self.model, self.width, height, self.style).join("\n")
    }
}

/// Texts are compared below an empty line, so that in the source they stand as they look.
fn below(text: &str) -> String {
    format!("\n{text}")
}

fn command(node: &str, command: &str) -> Event {
    Event::Command { node: node.to_owned(), command: command.to_owned() }
}

fn waiting(node: Option<&str>, what: &str, percent: Option<f64>, seconds: u64) -> Event {
    let detail = "27,400 K/sec".to_owned();
    let progress = percent.map(|percent| Progress { percent: Some(percent), eta_seconds: Some(130), detail });
    let node = node.map(str::to_owned);
    Event::Waiting { step: "step-3".to_owned(), node, what: what.to_owned(), progress, seconds }
}

fn starting(node: Option<&str>, summary: &str, risk: Risk) -> Event {
    Event::ActionStarting {
        step: "step-3".to_owned(),
        action: "1-x".to_owned(),
        node: node.map(str::to_owned),
        title: "title".to_owned(),
        change: Change::new(summary).risk(risk),
    }
}

fn third(width: usize, style: Style) -> Run {
    let mut run = Run::new(18, width, style);
    run.start(0, 1);
    run.done(72, 1);
    run.start(72, 2);
    run.done(144, 2);
    run.start(144, 3);
    run
}

#[test]
fn a_file_that_is_replaced_is_shown_before_its_step_is_over() {
    let mut run = third(80, PLAIN);
    let shown = run.stays.len();
    let diff = "--- /etc/hosts\n+++ /etc/hosts\n@@ -1,2 +1,2 @@\n 127.0.0.1\tlocalhost\n-old\n+new\n";
    let mut event = starting(Some("node1"), "change /etc/hosts", Risk::None);
    if let Event::ActionStarting { change, .. } = &mut event {
        change.diff = Some(diff.to_owned());
    }
    run.at(150, &event);
    assert_eq!(
        below(&run.stays[shown..].join("\n")),
        "
/etc/hosts is there already; what hapair did not write is kept on node1 in
  /var/lib/hapair/backup (changed since: /var/lib/hapair/changed)
    --- /etc/hosts
    +++ /etc/hosts
    @@ -1,2 +1,2 @@
     127.0.0.1 localhost
    -old
    +new"
    );
    // A file for both is written by the first.
    if let Event::ActionStarting { node, .. } = &mut event {
        *node = None;
    }
    let shown = run.stays.len();
    run.at(151, &event);
    assert!(run.stays[shown].contains("is kept on node1 in"), "{}", run.stays[shown]);
    // What is written anew replaces nothing.
    if let Event::ActionStarting { change, .. } = &mut event {
        change.diff = Some(diff.replacen("/etc/hosts", "/dev/null", 1));
    }
    let shown = run.stays.len();
    run.at(151, &event);
    assert_eq!(run.stays.len(), shown);
}

#[test]
fn two_nodes_on_80x24() {
    let mut run = third(80, PLAIN);
    run.at(150, &starting(Some("node1"), "write a table to /dev/sda", Risk::DestroysData));
    run.at(150, &command("node1", "sfdisk --append /dev/sda"));
    run.at(151, &waiting(Some("node2"), "packages", Some(43.9), 3));
    assert_eq!(
        below(&run.frame(160, 24)),
        "
 ⠋   3  Step number 3                                                      16 s
       node1  $ sfdisk --append /dev/sda                                   10 s
       node2  waiting for packages                                         12 s
              ██████████▌░░░░░░░░░░░░░   43 %  2 min 1 s left  27,400 K/sec
       node1: write a table to /dev/sda [destroys data]
 ·   4  Step number 4
 ·   5  Step number 5
 ·   6  Step number 6
 ·   7  Step number 7
 ·   8  Step number 8
 ·   9  Step number 9
 ·  10  Step number 10
 ·  11  Step number 11
 ·  12  Step number 12
 ·  13  Step number 13
 ·  14  Step number 14
 ·  15  Step number 15
 ·  16  Step number 16
 ·  17  Step number 17
 ·  18  Step number 18
       2 of 18 done, 2 min 40 s so far"
    );
    assert_eq!(
        below(&run.stays.join("\n")),
        "
hapair 0.1.0, install: cluster web, nodes node1 and node2
 ✔   1  Step number 1                                                1 min 12 s
 ✔   2  Step number 2                                     unchanged, 1 min 12 s"
    );
}

#[test]
fn both_wait_together_in_ascii_on_40x12() {
    let mut run = third(40, ASCII);
    run.at(150, &waiting(None, "both nodes online and a DC elected", Some(50.0), 6));
    assert_eq!(
        below(&run.frame(150, 12)),
        "
 |   3  Step number 3               6 s
   both   waiting for both node...  6 s
          ###--   50 %  2 min 10 s left
 .   4  Step number 4
 .   5  Step number 5
 .   6  Step number 6
 .   7  Step number 7
 ...     11 more steps
       2 of 18 done, 2 min 30 s so far"
    );
}

#[test]
fn no_size_breaks_the_frame() {
    for style in [PLAIN, ASCII, COLOUR] {
        for width in (1..62).chain([80, 99, 130]) {
            let mut run = third(width, style);
            run.at(150, &starting(None, "übergroße Änderung 日本語 of everything", Risk::Reboots));
            run.at(
                151,
                &command("node1", "sh -c 'echo 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語'"),
            );
            run.at(151, &waiting(Some("node2"), "packages", Some(43.9), 3));
            for height in [0, 1, 2, 3, 5, 8, 12, 24, 40] {
                run.model.now = Duration::from_secs(160);
                let lines = frame(&run.model, width, height, style);
                assert!(lines.len() <= height.saturating_sub(1).max(1), "{width}x{height}");
                let widest = lines.iter().map(|line| measure_text_width(line)).max().unwrap_or(0);
                assert!(widest <= columns(width), "{width}x{height}: {lines:#?}");
                assert!(style != ASCII || lines.iter().all(|line| line.is_ascii()), "{lines:#?}");
            }
        }
    }
}

#[test]
fn what_both_do_stands_at_the_node_that_has_nothing_else() {
    let mut run = third(60, PLAIN);
    run.at(144, &starting(None, "load the CIB", Risk::None));
    let at = |run: &mut Run| run.frame(144, 5).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(at(&mut run)[0], "   both   load the CIB");
    run.at(144, &command("node1", "cibadmin --modify"));
    assert_eq!(at(&mut run)[..2], ["   node1  $ cibadmin --modify", "   node2  load the CIB"]);
    run.at(
        144,
        &Event::ActionDone {
            step: "step-3".to_owned(),
            action: "1-cib".to_owned(),
            node: None,
            title: "the CIB".to_owned(),
            seconds: 1.0,
        },
    );
    assert_eq!(at(&mut run)[..2], ["   node1  ✔ the CIB", "   node2  ✔ the CIB"]);
}

#[test]
fn a_reboot_is_measured_by_that_of_the_other_node() {
    let mut run = third(80, PLAIN);
    let rebooting = |node: &str| Event::Rebooting { node: node.to_owned(), boot_id: "b".to_owned() };
    let back = "the node back under Xen";
    run.at(150, &rebooting("node1"));
    run.at(152, &waiting(Some("node1"), back, None, 2));
    // Nothing is known of the first one: no bar is made up.
    assert!(!run.frame(160, 24).contains('%'), "{}", run.frame(160, 24));
    let done = Event::ActionDone {
        step: "step-3".to_owned(),
        action: "1-reboot".to_owned(),
        node: Some("node1".to_owned()),
        title: "reboot".to_owned(),
        seconds: 120.0,
    };
    run.at(270, &done);
    run.at(271, &rebooting("node2"));
    run.at(273, &waiting(Some("node2"), back, None, 2));
    let seen = run.frame(301, 24);
    assert!(seen.contains("░   25 %  1 min 30 s left") && seen.contains("node1 took 2 min 0 s"), "{seen}");
    // Longer than the other one: the bar had been wrong.
    assert!(!run.frame(400, 24).contains('%'), "{}", run.frame(400, 24));
}

#[test]
fn colour_only_where_it_is_wanted() {
    let risky = |style| {
        let mut run = third(80, style);
        run.at(150, &starting(Some("node1"), "erase sda3", Risk::DestroysData));
        run.at(150, &starting(Some("node2"), "reboot", Risk::Reboots));
        run.frame(150, 24)
    };
    let coloured = risky(COLOUR);
    assert!(coloured.contains("\u{1b}[31m\u{1b}[1merase sda3 [destroys data]\u{1b}[0m"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[33mreboot [reboots]\u{1b}[0m"), "{coloured:?}");
    assert_eq!(console::strip_ansi_codes(&coloured), risky(PLAIN));
    assert!(!risky(PLAIN).contains('\u{1b}'));
}

#[test]
fn a_failure_in_full() {
    let mut run = third(60, PLAIN);
    run.at(150, &Event::Note { text: "the link is slower than it was measured before this run".to_owned() });
    run.stays.clear();
    run.at(
        150,
        &Event::Failed(Failure {
            exit: 1,
            step: Some("step-3".to_owned()),
            action: Some("in sync".to_owned()),
            node: Some("node2".to_owned()),
            command: Some("drbdadm status r0 --verbose --statistics --and --more --of --it".to_owned()),
            code: Some(10),
            stderr: vec!["\u{1b}[2Jfirst".to_owned(), "second".to_owned()],
            what: "the connection was lost and did not come back within 60 s".to_owned(),
            next: "look at the cable of eth1 on node2, then at the switch".to_owned(),
            resume: Some("hapair install --answers web.yaml".to_owned()),
        }),
    );
    assert_eq!(
        below(&run.stays.join("\n")),
        "
 ✘   3  Step number 3                                   6 s
       the link is slower than it was measured before this
         run
       15 steps not begun

Failed: step step-3 on node2: the connection was lost and
  did not come back within 60 s
  action:    in sync
  command:   drbdadm status r0 --verbose --statistics --and --more --of --it
  exit code: 10
  stderr:    first
             second
  next:      look at the cable of eth1 on node2, then at
             the switch
  continue:  hapair install --answers web.yaml"
    );
    assert_eq!(run.frame(151, 24), "");
}

#[test]
fn interrupted() {
    let mut run = third(60, ASCII);
    run.stays.clear();
    run.at(150, &Event::Interrupted { step: "step-3".to_owned(), resume: "hapair install".to_owned() });
    assert_eq!(
        below(&run.stays.join("\n")),
        "
 !   3  Step number 3                                   6 s

Interrupted; the running action was finished. This
  continues:
  hapair install"
    );
    assert_eq!(run.frame(151, 24), "");
}

#[test]
fn the_end_is_times_and_the_summary() {
    let mut run = third(80, PLAIN);
    run.done(216, 3);
    run.at(216, &Event::StepSkipped { step: "step-4".to_owned(), why: "not for this engine".to_owned() });
    run.start(216, 5);
    run.done(288, 5);
    run.stays.clear();
    let summary = vec!["The pair is up.".to_owned(), String::new(), "  crm_mon -1".to_owned()];
    run.at(288, &Event::RunDone { changed: 7, seconds: 288.0, summary });
    assert_eq!(
        below(&run.stays.join("\n")),
        "

Done in 4 min 48 s: 7 actions changed something.
 ✔  step-1    1 min 12 s     –  step-4       skipped
 ✔  step-2    1 min 12 s     ✔  step-5    1 min 12 s
 ✔  step-3    1 min 12 s

The pair is up.

  crm_mon -1"
    );
    assert_eq!(run.frame(289, 24), "");
}

#[test]
fn a_second_run_begins_anew() {
    let mut run = third(80, PLAIN);
    run.at(150, &Event::RunDone { changed: 0, seconds: 1.0, summary: Vec::new() });
    run.model.apply(
        &Event::RunStarted {
            version: "0.1.0".to_owned(),
            cluster: "web".to_owned(),
            command: "install".to_owned(),
            nodes: ["a".to_owned(), "b".to_owned()],
            steps: Vec::new(),
            plan: String::new(),
        },
        Duration::from_secs(200),
    );
    assert_eq!(run.frame(203, 24), "       0 of 0 done, 3 s so far");
}
