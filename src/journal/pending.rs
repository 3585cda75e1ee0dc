//! What the journal tells of an earlier run that was not told to its end.

use super::Line;
use crate::event::Event;

/// What an earlier run left unfinished: the last event that announced a change and has no result. Two may be open at once, one
/// on each node.
pub fn unfinished(lines: &[Line]) -> Option<&Event> {
    let mut open: Vec<&Event> = Vec::new();
    for line in lines {
        match &line.event {
            // What an earlier run left open was looked at again by this one.
            Event::RunStarted { .. } | Event::RunDone { .. } | Event::DrillDone { .. } => open.clear(),
            // Whatever of it had no result is so by now.
            Event::StepDone { step: done, .. } => {
                open.retain(|event| !matches!(event, Event::ActionStarting { step, .. } if step == done));
            }
            Event::ActionStarting { .. } => open.push(&line.event),
            Event::ActionDone { step: done, action: id, node: on, .. } => open.retain(|event| {
                !matches!(event, Event::ActionStarting { step, action, node, .. } if (step, action, node) == (done, id, on))
            }),
            _ => {}
        }
    }
    open.pop()
}

/// Boot id of each node before a reboot that an earlier run ordered and whose end no run has told. `names`: the nodes.
pub fn rebooted(lines: &[Line], names: &[String; 2]) -> [Option<String>; 2] {
    let mut open: [Option<String>; 2] = [None, None];
    for line in lines {
        // Of which node the end is told; `None`: of both.
        let told = match &line.event {
            Event::Rebooting { node, boot_id } => {
                if let Some(index) = names.iter().position(|name| name == node) {
                    open[index] = Some(boot_id.clone());
                }
                continue;
            }
            // The next run may order it once more.
            Event::Failed(failure) => failure.node.as_ref(),
            Event::ActionDone { node: Some(node), .. } => Some(node),
            Event::RunDone { .. } | Event::DrillDone { .. } => None,
            _ => continue,
        };
        for (boot, name) in open.iter_mut().zip(names) {
            if told.is_none_or(|node| node == name) {
                *boot = None;
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Change;
    use crate::event::Sink as _;
    use crate::journal::Journal;

    fn lines(events: &[Event]) -> Vec<Line> {
        let state = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(state.path(), "x").expect("new");
        for event in events {
            journal.event(event).expect("kept");
        }
        Journal::read(state.path(), "x").expect("read")
    }

    fn action(node: &str, done: bool) -> Event {
        let (step, action, title) = ("xen-boot".to_owned(), "1-reboot".to_owned(), "reboot into Xen".to_owned());
        let node = Some(node.to_owned());
        if done {
            Event::ActionDone { step, action, node, title, seconds: 1.0 }
        } else {
            Event::ActionStarting { step, action, node, title, change: Change::new("x") }
        }
    }

    #[test]
    fn of_two_at_once_the_one_without_a_result_is_unfinished() {
        let mut events = vec![action("node1", false), action("node2", false), action("node2", true)];
        let open = lines(&events);
        assert!(matches!(unfinished(&open), Some(Event::ActionStarting { node: Some(node), .. }) if node == "node1"));
        let mut so = events.clone();
        so.push(Event::StepDone { step: "xen-boot".to_owned(), changed: false, seconds: 0.0 });
        assert_eq!(unfinished(&lines(&so)), None, "a later run found that it is so");
        events.push(action("node1", true));
        assert_eq!(unfinished(&lines(&events)), None);
    }

    #[test]
    fn a_reboot_whose_end_nobody_told_is_known() {
        let names = ["node1".to_owned(), "node2".to_owned()];
        let boot = |node: &str| Event::Rebooting { node: node.to_owned(), boot_id: format!("{node} before") };
        let known = |events: &[Event]| rebooted(&lines(events), &names);
        assert_eq!(known(&[action("node1", false), boot("node1")]), [Some("node1 before".to_owned()), None]);
        let one = known(&[boot("node1"), boot("node2"), action("node1", true)]);
        assert_eq!(one, [None, Some("node2 before".to_owned())]);
        let end = Event::RunDone { changed: 1, seconds: 1.0, summary: Vec::new() };
        assert_eq!(known(&[boot("node1"), boot("node2"), end]), [None, None]);
    }
}
