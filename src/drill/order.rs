//! What a part does to the pair: commands, each on a node, and what is waited for then.

use std::time::Duration;

use super::guest;
use super::hand::{Hand, Plug};
use super::part::Part;
use crate::answers::{Answers, HypervisorKind};
use crate::node::{At, Cmd};

const LINK: &str = include_str!("link.sh");
const UNLINK: &str = include_str!("unlink.sh");
const MEND: &str = include_str!("mend.sh");
const KILL_STAND_IN: &str = include_str!("kill_stand_in.sh");
const KILL_QEMU: &str = include_str!("kill_qemu.sh");

/// Seconds after which a cut link or a detached disk is mended by its node's own timer.
const CUT: u64 = 600;
/// The same for a standby.
const STANDBY: u64 = 900;
/// Seconds for which nothing may happen while nobody can fence. From the cut on no heartbeat reaches the disks, and a node
/// without one resets itself after 150 s (`templates/ocfs2/o2cb.tera`): the links have to be back well before.
const HELPLESS: u64 = 90;
/// Seconds after which the node's own timer puts those links back, should nobody else do so.
const HELPLESS_AT_MOST: u64 = 120;

/// OCFS2's port (`templates/ocfs2/`).
const O2CB: u16 = 7777;

/// Ends the node a second later, so that the word of it still comes out.
const END: &str = "setsid sh -c 'sleep 1; echo \"$1\" >/proc/sysrq-trigger' sh \"$1\" </dev/null >/dev/null 2>&1 &";
const REBOOT: &str = "setsid sh -c 'sleep 1; systemctl reboot' </dev/null >/dev/null 2>&1 &";
/// `$1` unit, `$2` seconds, then the command that takes back what the next does.
const TIMER: &str = r#"systemctl stop "$1.timer" 2>/dev/null
unit=$1 seconds=$2; shift 2
systemd-run --quiet --collect --unit="$unit" --on-active="$seconds" "$@""#;

/// A command on a node.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where.
    pub at: At,
    /// As one would type it, or in words where that is shorter.
    pub typed: String,
    /// What runs.
    pub cmd: Cmd,
}

impl Order {
    /// A command with its words.
    pub fn new(at: At, typed: impl Into<String>, cmd: Cmd) -> Self {
        Self { at, typed: typed.into(), cmd }
    }

    fn plain(at: At, cmd: Cmd) -> Self {
        Self { at, typed: cmd.shown(), cmd }
    }
}

/// What is waited for before the harm is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// What ran on the node runs on the other, and so does the service.
    Left(At),
    /// The service and each VM run on the other node than they did.
    Swapped,
    /// They run where they did before that.
    Back,
    /// The node has booted anew.
    Booted(At),
    /// Something was noticed and the service runs again; or nothing was noticed for so long.
    Answered {
        /// Seconds to look at it at least.
        least: u64,
        /// Seconds to wait for the service at most.
        most: u64,
    },
    /// The same, and each VM that ran was started anew.
    Restarted {
        /// Seconds to look at it at least.
        least: u64,
        /// Seconds to wait for the service and the VMs at most.
        most: u64,
    },
    /// So many seconds have gone by, whatever happened.
    Watched(u64),
}

/// A piece of a part.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What is done, in order.
    pub orders: Vec<Order>,
    /// What a hand at the machines pulls in their stead, in order; nothing where only commands can do it.
    pub plugs: &'static [Plug],
    /// What is waited for.
    pub until: Until,
}

impl Stage {
    /// As it is done where there is this hand: what it pulls takes the place of the commands.
    #[must_use]
    pub fn with(self, hand: &dyn Hand) -> Self {
        if hand.pulls() && !self.plugs.is_empty() {
            Self { orders: Vec::new(), ..self }
        } else {
            Self { plugs: &[], ..self }
        }
    }
}

/// What orders are made from.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Names, addresses, the resource.
    pub answers: &'a Answers,
    /// The node that runs the counter.
    pub serving: At,
    /// VMs that run, and where.
    pub vms: &'a [(String, At)],
}

impl Ground<'_> {
    fn name(&self, at: At) -> &str {
        &self.answers.nodes[at.index()].name
    }

    /// What a part does, piece by piece.
    #[must_use]
    pub fn stages(&self, part: Part, bmcs: &[String]) -> Vec<Stage> {
        let at = self.serving;
        let pulled = |orders: Vec<Order>, plugs, until| Stage { orders, plugs, until };
        let stage = |orders, until| pulled(orders, &[], until);
        let answered = Until::Answered { least: 45, most: 480 };
        match part {
            Part::Migrate => {
                // Each VM from where it is: one that runs on the other node shows as much by its move.
                let away = self.each(|id, from| ban(from.peer(), id, self.name(from)));
                let mut back = self.each(|id, _| Order::plain(at, clear(id)));
                back.extend(self.each(|id, to| ban(to, id, self.name(to.peer()))));
                vec![stage(away, Until::Swapped), stage(back, Until::Back)]
            }
            Part::Standby => {
                let name = self.name(at);
                let timer = ["crm_standby", "-D", "-N", name, "-l", "reboot"];
                let standby = Cmd::write(["crm_standby", "-v", "on", "-N", name, "-l", "reboot"]);
                let orders = vec![self::timer(at, "hapair-drill-standby", STANDBY, &timer), Order::plain(at, standby)];
                vec![stage(orders, Until::Left(at))]
            }
            Part::Halt => {
                let reboot = Cmd::write_sh(REBOOT, [] as [&str; 0]);
                vec![stage(vec![Order::new(at, "systemctl reboot", reboot)], Until::Booted(at))]
            }
            Part::Power => vec![stage(vec![sysrq(at, "b")], Until::Booted(at))],
            Part::Panic => vec![stage(vec![sysrq(at, "c")], Until::Booted(at))],
            Part::ClusterLink => vec![stage(vec![Self::cut(at, CUT, &self.first(at, &["udp"]))], answered)],
            Part::ReplicationLink => {
                let ports = [format!("tcp:{}", self.answers.storage.port), format!("tcp:{O2CB}")];
                let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
                vec![stage(vec![Self::cut(at, CUT, &self.first(at, &ports))], answered)]
            }
            Part::BothLinks => vec![pulled(vec![Self::cut(at, CUT, &self.all(at))], &[Plug::Links], answered)],
            Part::FencingDead => {
                let bmcs = |at: At, seconds: u64, links: Vec<(String, String)>| {
                    let cuts = bmcs.iter().map(|bmc| (bmc.clone(), "all".to_owned()));
                    Self::cut(at, seconds, &cuts.chain(links).collect::<Vec<_>>())
                };
                // What fences first, on both; the links last, when every name has been found.
                let orders = vec![bmcs(at.peer(), CUT, Vec::new()), bmcs(at, HELPLESS_AT_MOST, self.all(at))];
                vec![pulled(orders, &[Plug::Bmcs, Plug::Links], Until::Watched(HELPLESS))]
            }
            Part::Kill => vec![
                stage(self.each(|id, at| self.kill(at, id)), Until::Restarted { least: 15, most: 900 }),
                stage(vec![kill_all(at, "pacemakerd")], Until::Answered { least: 30, most: 240 }),
                stage(vec![kill_all(at, "corosync")], answered),
            ],
            Part::DiskError => {
                let resource = self.answers.storage.resource.as_str();
                let timer = self::timer(at, "hapair-drill-disk", CUT, &["drbdadm", "attach", resource]);
                let detach = Cmd::write(["drbdadm", "detach", "--force", resource]);
                vec![stage(vec![timer, Order::plain(at, detach)], Until::Answered { least: 30, most: 240 })]
            }
        }
    }

    /// For the counter and each VM that runs, with the node where it does.
    fn each(&self, make: impl Fn(&str, At) -> Order) -> Vec<Order> {
        let vms = self.vms.iter().map(|(id, at)| (id.as_str(), *at));
        std::iter::once((guest::ID, self.serving)).chain(vms).map(|(id, at)| make(id, at)).collect()
    }

    /// Ends the counter or a VM as a crash would, without a word to the cluster.
    fn kill(&self, at: At, id: &str) -> Order {
        let stand_in = id == guest::ID || self.answers.hypervisor.kind == HypervisorKind::StandIn;
        let (file, script) = match self.answers.hypervisor.kind {
            _ if stand_in => (format!("/run/hapair/StandIn-{id}.pid"), KILL_STAND_IN),
            HypervisorKind::Kvm => (format!("/run/libvirt/qemu/{id}.pid"), KILL_QEMU),
            HypervisorKind::Xen | HypervisorKind::StandIn => {
                // By its number: xl takes a name of digits for one.
                let script = "id=$(xl domid \"$1\") && xl destroy \"$id\"";
                return Order::new(at, format!("xl destroy $(xl domid {id})"), Cmd::write_sh(script, [id]));
            }
        };
        let what = if id == guest::ID { "the counter" } else { id };
        let typed = format!("kill -KILL $(cat {file}), the process of {what}");
        Order::new(at, typed, Cmd::write_sh(script, [file.as_str(), id]))
    }

    /// The peer's address that DRBD uses.
    fn first(&self, at: At, what: &[&str]) -> Vec<(String, String)> {
        let peer = self.answers.nodes[at.peer().index()].address.to_string();
        what.iter().map(|what| (peer.clone(), (*what).to_owned())).collect()
    }

    /// Every address of the peer.
    fn all(&self, at: At) -> Vec<(String, String)> {
        let peer = &self.answers.nodes[at.peer().index()];
        let second = peer.second_address.map(|address| address.to_string());
        std::iter::once(peer.address.to_string()).chain(second).map(|peer| (peer, "all".to_owned())).collect()
    }

    fn cut(at: At, seconds: u64, cuts: &[(String, String)]) -> Order {
        let what: Vec<String> = cuts
            .iter()
            .map(|(peer, what)| match what.strip_prefix("tcp:") {
                Some(port) => format!("TCP port {port} of {peer}"),
                None if what == "udp" => format!("UDP of {peer}"),
                None => format!("everything of {peer}"),
            })
            .collect();
        let args = std::iter::once(seconds.to_string())
            .chain(cuts.iter().flat_map(|(peer, what)| [peer.clone(), what.clone()]));
        Order::new(
            at,
            format!("tc filter: drop {}, for {seconds} s at most", what.join(" and ")),
            Cmd::write_sh(LINK, args).timeout(Duration::from_secs(120)),
        )
    }

    /// Takes back whatever else a part may have left: on each node, then in the cluster.
    #[must_use]
    pub fn mend(&self) -> Vec<Order> {
        let mend = |at| {
            let args = [self.answers.storage.resource.as_str(), self.name(at)];
            Order::new(at, "mend what was detached or in standby here", Cmd::write_sh(MEND, args))
        };
        At::BOTH.into_iter().map(mend).chain([self.unban()]).collect()
    }

    /// Puts the links back, before anything else: it is quick, asks nobody, and without them the rest may wait for an answer of
    /// the cluster.
    #[must_use]
    pub fn links(&self) -> Vec<Order> {
        let unlink =
            |at| Order::new(at, "tc: let through again what was cut here", Cmd::write_sh(UNLINK, [self.name(at)]));
        At::BOTH.map(unlink).to_vec()
    }

    /// Takes the constraints of a move away, of all VMs and of the counter.
    fn unban(&self) -> Order {
        let names = self.answers.vms.iter().map(|vm| vm.name.as_str());
        let ids = std::iter::once(guest::ID).chain(names);
        // Only what is there: one look at the constraints instead of a command for each VM.
        let script = "there=$(cibadmin -Q -o constraints 2>/dev/null) || exit 0
for id; do
    case $there in *\"\\\"cli-ban-$id-on-\"*) crm_resource --clear --resource \"$id\" || exit 1 ;; esac
done";
        Order::new(self.serving, "crm_resource --clear", Cmd::write_sh(script, ids))
    }
}

fn ban(on: At, id: &str, from: &str) -> Order {
    // Sent away, not called: with a stickiness of INFINITY a resource stays where it is when another node wants it too.
    let words = ["crm_resource", "--ban", "--resource", id, "--node", from, "--lifetime", "PT30M"];
    Order::plain(on, Cmd::write(words))
}

fn clear(id: &str) -> Cmd {
    Cmd::write(["crm_resource", "--clear", "--resource", id])
}

fn sysrq(at: At, key: &str) -> Order {
    Order::new(at, format!("echo {key} >/proc/sysrq-trigger"), Cmd::write_sh(END, [key]))
}

fn kill_all(at: At, program: &str) -> Order {
    Order::new(
        at,
        format!("kill -KILL $(pidof {program})"),
        Cmd::write_sh("pids=$(pidof \"$1\") || exit 1; kill -KILL $pids", [program]),
    )
}

fn timer(at: At, unit: &str, seconds: u64, back: &[&str]) -> Order {
    let seconds = seconds.to_string();
    let args = [unit, &seconds].into_iter().chain(back.iter().copied());
    Order::new(at, format!("systemd-run --on-active={seconds} {}", back.join(" ")), Cmd::write_sh(TIMER, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::load::{Secrets, text};
    use crate::node::Effect;

    fn answers() -> Answers {
        let file = include_str!("../../tests/examples/tutorial.yaml");
        let here = std::path::Path::new("pair.yaml");
        text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers
    }

    fn orders(part: Part) -> Vec<Order> {
        let answers = answers();
        let vms = [(answers.vms[0].name.clone(), At::Second)];
        let ground = Ground { answers: &answers, serving: At::First, vms: &vms };
        let bmcs = ["192.0.2.201".to_owned(), "192.0.2.202".to_owned()];
        ground.stages(part, &bmcs).into_iter().flat_map(|stage| stage.orders).collect()
    }

    #[test]
    fn harm_is_never_marked_as_a_read() {
        for part in Part::ALL {
            let orders = orders(part);
            assert!(!orders.is_empty(), "{part}");
            assert!(orders.iter().all(|order| order.cmd.effect == Effect::Write && !order.typed.is_empty()), "{part}");
        }
    }

    #[test]
    fn what_lasts_is_taken_back_by_a_timer_that_is_set_before() {
        for (part, harm) in [(Part::Standby, "crm_standby -v"), (Part::DiskError, "detach")] {
            let orders = orders(part);
            let timer = orders.iter().position(|order| order.typed.starts_with("systemd-run")).expect("a timer");
            let harm = orders.iter().position(|order| order.typed.contains(harm)).expect("the harm");
            assert!(timer < harm, "{part}");
        }
        let cut = orders(Part::ClusterLink);
        assert!(LINK.find("systemd-run").unwrap() < LINK.find("\ndrop() {").unwrap());
        assert_eq!(cut[0].cmd.argv[4..7], ["600", "10.0.0.2", "udp"].map(str::to_owned), "{:?}", cut[0].cmd.argv);
    }

    #[test]
    fn a_move_takes_every_vm_along_and_ends_by_itself() {
        let orders = orders(Part::Migrate);
        let typed: Vec<&str> = orders.iter().map(|order| order.typed.as_str()).collect();
        assert!(typed.iter().filter(|line| line.contains("--ban")).all(|line| line.contains("--lifetime PT30M")));
        assert_eq!(typed.iter().filter(|line| line.contains("--ban")).count(), 4, "{typed:?}");
        assert_eq!(typed.iter().filter(|line| line.contains("--clear")).count(), 2, "{typed:?}");
        // The counter is on node1 and the VM on node2: each leaves its own, and later the other's.
        let ends = ["node1", "node2", "", "", "node2", "node1"];
        for (line, end) in typed.iter().zip(ends).filter(|(_, end)| !end.is_empty()) {
            assert!(line.contains(&format!("--node {end}")), "{typed:?}");
        }
    }

    #[test]
    fn a_vm_is_killed_as_a_crash_would_end_it_where_it_runs() {
        let mut answers = answers();
        let vms = [(answers.vms[0].name.clone(), At::Second)];
        for (kind, typed) in [
            (HypervisorKind::Xen, "xl destroy $(xl domid vm01)"),
            (HypervisorKind::Kvm, "kill -KILL $(cat /run/libvirt/qemu/vm01.pid), the process of vm01"),
            (HypervisorKind::StandIn, "kill -KILL $(cat /run/hapair/StandIn-vm01.pid), the process of vm01"),
        ] {
            answers.hypervisor.kind = kind;
            let stages = Ground { answers: &answers, serving: At::First, vms: &vms }.stages(Part::Kill, &[]);
            assert_eq!(stages.len(), 3);
            assert!(matches!(stages[0].until, Until::Restarted { .. }));
            let [counter, vm] = stages[0].orders.as_slice() else { panic!("{stages:?}") };
            assert_eq!((vm.at, vm.typed.as_str()), (At::Second, typed));
            assert_eq!(counter.at, At::First);
            assert!(counter.typed.contains("StandIn-hapair-drill.pid"), "{}", counter.typed);
        }
    }

    #[test]
    fn what_is_sent_over_a_cut_link_is_lost_and_not_refused() {
        // With a refusal knet sends nothing over the second link either, and one node fences the other.
        assert!(LINK.contains("[ \"$direction\" = ingress ] || verdict=trap"));
        assert!(!LINK.contains("action drop"));
    }

    #[test]
    fn links_are_made_whole_on_both_nodes_without_asking_the_cluster() {
        let answers = answers();
        let ground = Ground { answers: &answers, serving: At::First, vms: &[] };
        let tc = |order: &Order| order.cmd.argv[2].contains("tc qdisc del");
        assert_eq!(ground.links().iter().map(tc).collect::<Vec<_>>(), [true, true]);
        assert!(!ground.mend().iter().any(tc));
        assert!(!UNLINK.contains("crm_") && !UNLINK.contains("drbdadm"));
    }

    #[test]
    fn what_fences_is_cut_off_before_the_links() {
        let orders = orders(Part::FencingDead);
        assert_eq!(orders[0].at, At::Second);
        assert!(!orders[0].typed.contains("10.0.0."), "{}", orders[0].typed);
        assert!(orders[1].typed.contains("10.0.0.2") && orders[1].typed.contains("192.0.2.201"), "{}", orders[1].typed);
        // Nobody watches any more: the links are back before the nodes reset themselves, and what fences not before them.
        assert_eq!(orders[1].cmd.argv[4], "120");
        assert_eq!(orders[0].cmd.argv[4], "600");
    }
}
