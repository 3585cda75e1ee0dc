//! The wires between the machines: three bridges in the lab's own network namespace. Two are the links of the pair, the
//! third is for hapair's own logins and for the BMCs, so that cutting a link never cuts the one who watches.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use crate::rehearsal::command;
use crate::rehearsal::lab::{Link, Machine, Wish};

/// Networks that the third bridge may use: set aside for laboratories (RFC 2544), so hardly anybody's own.
const MANAGEMENT: [&str; 3] = ["198.18.77", "198.18.78", "198.18.79"];

/// One of the three bridges. A machine's interfaces `vec0`, `vec1` and `vec2` are on them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bridge {
    Cluster,
    Second,
    Management,
}

impl Bridge {
    pub(super) const ALL: [Bridge; 3] = [Bridge::Cluster, Bridge::Second, Bridge::Management];

    fn name(self) -> &'static str {
        match self {
            Bridge::Cluster => "cluster",
            Bridge::Second => "second",
            Bridge::Management => "manage",
        }
    }

    /// The bridge's end of the wire to a machine.
    fn port(self, machine: Machine) -> String {
        format!("{}{}", self.name(), machine.index() + 1)
    }

    /// The machine's end of the wire: the interface that its kernel reads and writes.
    pub(super) fn plug(self, machine: Machine) -> String {
        format!("{}m", self.port(machine))
    }
}

impl From<Link> for Bridge {
    fn from(link: Link) -> Bridge {
        match link {
            Link::Cluster => Bridge::Cluster,
            Link::Second => Bridge::Second,
        }
    }
}

/// The three bridges and the wires to them.
#[derive(Debug)]
pub(super) struct Network {
    /// First three numbers of the third network's addresses.
    management: &'static str,
    addresses: [[String; 2]; 2],
}

impl Network {
    /// Lays the wires. Needs a network namespace where we may do so.
    pub(super) fn new(wish: &Wish) -> Result<Network> {
        let addresses = command::run("look at the namespace's network", "ip", &["-oneline", "addr", "show"])?;
        if addresses.lines().any(|line| line.split_whitespace().nth(1) != Some("lo")) {
            bail!(
                "this is not an empty network namespace, and the machines' wires must not be laid in a network in use:\n{addresses}"
            );
        }
        let network =
            Network { management: free_network(wish)?, addresses: [wish.cluster.clone(), wish.second.clone()] };
        // Pairs of virtual interfaces rather than taps: those need a device file that not every user may open.
        let mut batch = "link set lo up\n".to_owned();
        for bridge in Bridge::ALL {
            let name = bridge.name();
            writeln!(batch, "link add {name} type bridge\nlink set {name} up")?;
            for machine in Machine::BOTH {
                let (port, plug) = (bridge.port(machine), bridge.plug(machine));
                writeln!(batch, "link add {port} type veth peer name {plug}")?;
                // Frames of the wire's own size. A machine's kernel reads from a socket whose buffer holds three of the
                // large ones that TCP would otherwise hand over; the rest is dropped, and a mirrored disk stands still
                // for as long as TCP takes to notice.
                writeln!(batch, "link set {port} gso_max_segs 1 master {name} up\nlink set {plug} gso_max_segs 1 up")?;
            }
        }
        writeln!(batch, "addr add {}.254/24 dev {}", network.management, Bridge::Management.name())?;
        for machine in Machine::BOTH {
            writeln!(batch, "addr add {}/24 dev {}", network.bmc(machine), Bridge::Management.name())?;
        }
        ip("lay the wires between the machines", &batch)?;
        Ok(network)
    }

    /// Address of a machine's BMC: on the third bridge, so that it answers while the pair's own links are cut.
    pub(super) fn bmc(&self, machine: Machine) -> String {
        format!("{}.{}", self.management, machine.index() + 101)
    }

    /// A machine's address on a bridge.
    pub(super) fn address(&self, bridge: Bridge, machine: Machine) -> String {
        match bridge {
            Bridge::Management => format!("{}.{}", self.management, machine.index() + 1),
            Bridge::Cluster => self.addresses[0][machine.index()].clone(),
            Bridge::Second => self.addresses[1][machine.index()].clone(),
        }
    }
}

/// Cuts machines off a bridge, or mends that. They keep their carrier, as when the switch between them fails.
pub(super) fn set(bridge: Bridge, machines: &[Machine], up: bool) -> Result<()> {
    let mut batch = String::new();
    for machine in machines {
        let master = if up { format!("master {}", bridge.name()) } else { "nomaster".to_owned() };
        writeln!(batch, "link set {} {master}", bridge.port(*machine))?;
    }
    ip(if up { "mend a link between the machines" } else { "cut a link between the machines" }, &batch)
}

/// Takes all the wires away again.
pub(super) fn remove() -> Result<()> {
    let mut batch = String::new();
    for bridge in Bridge::ALL {
        for machine in Machine::BOTH {
            writeln!(batch, "link del {}", bridge.port(machine))?;
        }
        writeln!(batch, "link del {}", bridge.name())?;
    }
    ip("take the wires between the machines away", &batch)
}

/// Many changes by one process.
fn ip(doing: &str, batch: &str) -> Result<()> {
    command::run_with_input(doing, "ip", &["-batch", "-"], batch.as_bytes()).map(drop)
}

fn free_network(wish: &Wish) -> Result<&'static str> {
    let taken: Vec<&String> = wish.cluster.iter().chain(&wish.second).collect();
    let free =
        MANAGEMENT.into_iter().find(|network| !taken.iter().any(|address| address.starts_with(&format!("{network}."))));
    let Some(free) = free else {
        bail!(
            "the pair's addresses take all of {}.0/24: hapair needs one of them to log in to the machines",
            MANAGEMENT.join(".0/24, ")
        );
    };
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(cluster: [&str; 2], second: [&str; 2]) -> Wish {
        Wish {
            names: ["node1".into(), "node2".into()],
            release: "bookworm".into(),
            cluster: cluster.map(Into::into),
            second: second.map(Into::into),
            data_mib: 256,
            leave_free: false,
            sbd: false,
            preinstalled: Vec::new(),
            offered: Vec::new(),
            cache: "/nowhere".into(),
            scratch: "/nowhere".into(),
        }
    }

    #[test]
    fn the_third_network_is_none_of_the_pairs() {
        let usual = wish(["10.0.0.1", "10.0.0.2"], ["10.0.1.1", "10.0.1.2"]);
        assert_eq!(free_network(&usual).unwrap(), "198.18.77");
        let odd = wish(["198.18.77.1", "198.18.77.2"], ["198.18.78.1", "198.18.78.2"]);
        assert_eq!(free_network(&odd).unwrap(), "198.18.79");
    }

    #[test]
    fn interface_names_fit_the_kernels_limit() {
        for bridge in Bridge::ALL {
            assert!(bridge.plug(Machine::Second).len() <= 15);
        }
    }
}
