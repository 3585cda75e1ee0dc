//! hapair on one of the nodes itself: the reboot into Xen ends the run, and the same command goes on after the boot.

use std::sync::Mutex;

use hapair::cancel::Cancel;
use hapair::continuation;
use hapair::engine::{Ended, Engine};
use hapair::event::Event;
use hapair::journal::Journal;
use hapair::node::At;

use crate::model::Model;
use crate::{folder, plan};

const RESUME: &str = "hapair install --answers pair.yaml";

fn run(model: &Model, state: &std::path::Path, by_itself: bool) -> Ended {
    let (journal, _) = Journal::open(state, "xencluster").unwrap();
    let (sink, pair, cancel) = (Mutex::new(journal), model.pair(), Cancel::default());
    let mut engine = Engine::new(&pair, &sink, &cancel, RESUME.to_owned());
    engine.local = Some(At::First);
    engine.order = [At::Second, At::First];
    engine.continuation = by_itself.then(|| continuation::order("a unit"));
    engine.run(&model.plan, None).unwrap()
}

#[test]
fn the_own_machine_is_rebooted_last_and_the_same_command_goes_on() {
    for by_itself in [false, true] {
        let (model, state) = (Model::new(&plan()), folder());
        assert_eq!(run(&model, state.path(), by_itself), Ended::Rebooting);
        let world = model.world();
        assert_eq!(world.reboots, [1, 1], "the peer first, then this one");
        assert_eq!(world.create_md, [0, 0], "nothing was done behind the own reboot");
        let events: Vec<Event> =
            Journal::read(state.path(), "xencluster").unwrap().into_iter().map(|line| line.event).collect();
        let order: Vec<&str> = events
            .iter()
            .filter_map(|event| match event {
                Event::Rebooting { node, .. } => Some(node.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["node2", "node1"]);
        let note = events.iter().any(|event| {
            matches!(event, Event::Note { text } if text.contains("hapair runs on node1") && text.contains(RESUME)
                && text.contains("by itself") == by_itself)
        });
        assert!(note, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Interrupted { step, .. }) if step == "xen-boot"));
        let unit = model.transports[0].log().iter().any(|cmd| cmd.argv.contains(&continuation::UNIT.to_owned()));
        assert_eq!(unit, by_itself);

        // For the proof of the fencing its peer switches it off, first of the two: the end of a run once more.
        assert_eq!(run(&model, state.path(), by_itself), Ended::Rebooting);
        assert_eq!(
            model.world().fenced.iter().map(|(name, times)| (name.as_str(), *times)).collect::<Vec<_>>(),
            [("node1", 1)]
        );
        assert!(!model.world().machines[0].records.contains_key("fencing-node1.proved"));
        assert!(matches!(run(&model, state.path(), by_itself), Ended::Done { .. }));
        // The proof with the link cut may hit this machine instead of its peer: the unit is there meanwhile, and gone again behind.
        let orders = model.transports[0].log();
        let asked = |word: &str| {
            let of_the_unit = orders.iter().filter(|cmd| cmd.argv.contains(&continuation::UNIT.to_owned()));
            of_the_unit.filter(|cmd| cmd.argv.iter().any(|text| text.contains(word))).count()
        };
        assert_eq!(asked("systemctl enable"), if by_itself { 3 } else { 0 });
        assert_eq!(asked("rm -f"), usize::from(by_itself));
        let world = model.world();
        assert_eq!((world.reboots, world.create_md, world.mkfs), ([1, 1], [1, 1], 1));
        assert_eq!(world.fenced.values().collect::<Vec<_>>(), [&1, &1]);
        assert!(world.machines.iter().all(|machine| machine.records.contains_key("fencing-node1.proved")));
    }
}
