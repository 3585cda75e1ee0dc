//! What is already there: DRBD, messaging, a CIB, OCFS2, virtual machines, and daemons that matter.

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

const LOOK: &str = include_str!("presence.sh");

/// A DRBD resource of the running kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrbdDisk {
    /// Name of the resource; empty where DRBD does not tell it (8.0).
    pub resource: String,
    /// Its backing device, as it was configured.
    pub disk: String,
}

/// A virtual machine that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Name.
    pub name: String,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// What is already there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Daemons and package tools that run, by the kernel's name for them (at most 15 letters): `corosync`, `pacemakerd`,
    /// `heartbeat`, `chronyd`, `firewalld`, `apt-get`...
    pub runs: Vec<String>,
    /// DRBD resources in its configuration.
    pub drbd_resources: Vec<String>,
    /// DRBD's backing devices in use.
    pub drbd_disks: Vec<DrbdDisk>,
    /// `cluster_name` of corosync.conf; empty if there is none.
    pub corosync_cluster: String,
    /// Names of its nodes.
    pub corosync_nodes: Vec<String>,
    /// Addresses of its nodes, or the network it binds to.
    pub corosync_addresses: Vec<String>,
    /// Nodes of Heartbeat's ha.cf.
    pub heartbeat_nodes: Vec<String>,
    /// A CIB is on the disk: how many primitives it has.
    pub cib_primitives: Option<u64>,
    /// Name of OCFS2's cluster in /etc/ocfs2/cluster.conf; empty if there is none.
    pub ocfs2_cluster: String,
    /// Where OCFS2 is mounted.
    pub ocfs2_mounts: Vec<String>,
    /// Virtual machines that run under Xen, without Domain-0.
    pub domains: Vec<Domain>,
    /// Memory of dom0 itself in MiB; 0 when it is not Xen.
    pub dom0_mib: u64,
    /// Files that describe virtual machines.
    pub vm_configs: Vec<String>,
    /// What the hypervisor tells (`xl info`): key and value.
    pub xen_info: Vec<(String, String)>,
    /// hapair's own records in /var/lib/hapair.
    pub hapair: Vec<String>,
}

impl Presence {
    /// Whether a daemon runs.
    pub fn running(&self, name: &str) -> bool {
        self.runs.iter().any(|run| run == name)
    }

    /// A value of `xl info`.
    pub fn xen(&self, key: &str) -> Option<&str> {
        self.xen_info.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether Corosync is configured for more than this one machine. Debian's package brings a ring of one on 127.0.0.1.
    pub fn corosync_is_a_cluster(&self) -> bool {
        self.corosync_addresses.iter().any(|address| !address.starts_with("127."))
    }
}

/// One command.
pub(super) fn reads() -> Vec<Cmd> {
    vec![Cmd::read_sh(LOOK, [""; 0])]
}

pub(super) fn parse(outputs: &[Output]) -> Presence {
    let text = outputs.first().map(Output::text).unwrap_or_default();
    let mut found = Presence::default();
    let mut shown = String::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('\t')) {
        let value = value.trim();
        match key {
            "runs" if !found.running(value) => found.runs.push(value.to_owned()),
            "drbd-configured" => found.drbd_resources.push(value.trim_matches('"').to_owned()),
            "drbd-show" => drbd_show(value, &mut shown, &mut found.drbd_disks),
            "corosync-cluster_name" => value.clone_into(&mut found.corosync_cluster),
            "corosync-name" => found.corosync_nodes.push(value.to_owned()),
            "corosync-ring0_addr" | "corosync-ring1_addr" | "corosync-bindnetaddr" => {
                found.corosync_addresses.push(value.to_owned());
            }
            "heartbeat-node" => found.heartbeat_nodes.extend(value.split_whitespace().map(str::to_owned)),
            "cib" => {
                let count = value.split_whitespace().next().and_then(|count| count.parse().ok());
                found.cib_primitives = found.cib_primitives.max(Some(count.unwrap_or(0)));
            }
            "ocfs2-cluster" => value.clone_into(&mut found.ocfs2_cluster),
            "ocfs2-mount" => found.ocfs2_mounts.extend(value.split_once(' ').map(|(_, place)| place.to_owned())),
            "domain-line" => domain(value, &mut found),
            "xen" => {
                let pair = value.split_once(':').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
                found.xen_info.extend(pair);
            }
            "vm-config" => found.vm_configs.push(value.to_owned()),
            "hapair" => found.hapair.push(value.to_owned()),
            _ => {}
        }
    }
    found.runs.sort();
    found
}

/// A line of `drbdsetup show`: `resource r0 {`, or `disk "/dev/sda3";`.
fn drbd_show(line: &str, resource: &mut String, disks: &mut Vec<DrbdDisk>) {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("resource"), Some(name)) => name.trim_matches(['"', '{']).clone_into(resource),
        (Some("disk"), Some(disk)) if disk.contains("/dev/") => disks.push(DrbdDisk {
            resource: resource.clone(),
            disk: disk.trim_end_matches(';').trim_matches('"').to_owned(),
        }),
        _ => {}
    }
}

/// A line of `xl list`: `vm01    1   128     1     -b----       2.3`.
fn domain(line: &str, found: &mut Presence) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(memory_mib) = words.get(2).and_then(|word| word.parse().ok()) else { return };
    if words[0] == "Domain-0" {
        found.dom0_mib = memory_mib;
    } else {
        found.domains.push(Domain { name: words[0].to_owned(), memory_mib });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Presence {
        parse(&[Output { stdout: text.as_bytes().to_vec(), ..Output::default() }])
    }

    #[test]
    fn a_fresh_node_has_nothing() {
        assert_eq!(
            of("runs\tsystemd-timesyn\n"),
            Presence { runs: vec!["systemd-timesyn".to_owned()], ..Presence::default() }
        );
        assert!(!of("").corosync_is_a_cluster());
    }

    // Lines of the lab's node1 with a VM, as the script passes them on.
    #[test]
    fn a_node_of_a_pair_shows_it() {
        let found = of("runs\tcorosync\nruns\tpacemakerd\nruns\tcorosync\ndrbd-configured\tr0\n\
            drbd-show\tresource r0 {\ndrbd-show\t    _this_host {\ndrbd-show\t        volume 0 {\n\
            drbd-show\t            device\t\t\tminor 0;\ndrbd-show\t            disk\t\t\t\"/dev/sda3\";\n\
            drbd-show\t            meta-disk\t\t\tinternal;\n\
            corosync-cluster_name\tpair\ncorosync-name\tnode1\ncorosync-ring0_addr\t10.77.0.1\ncorosync-name\tnode2\n\
            corosync-ring0_addr\t10.77.0.2\ncib\t7 /var/lib/pacemaker/cib/cib.xml\nocfs2-cluster\tocfs2\n\
            ocfs2-mount\t/dev/drbd0 /drbd0\n\
            domain-line\tName                                        ID   Mem VCPUs\tState\tTime(s)\n\
            domain-line\tDomain-0                                     0  1024     1     r-----     144.4\n\
            domain-line\tvm01                                         1   128     1     -b----       2.3\n\
            xen\ttotal_memory           : 2047\nxen\tfree_memory            : 127\n\
            xen\tvirt_caps              : pv hvm hap gnttab-v1 gnttab-v2\nhapair\tdrbd-r0.made\n");
        assert_eq!(found.runs, ["corosync", "pacemakerd"]);
        assert_eq!(found.drbd_disks, [DrbdDisk { resource: "r0".to_owned(), disk: "/dev/sda3".to_owned() }]);
        assert_eq!((found.corosync_cluster.as_str(), found.corosync_nodes.len()), ("pair", 2));
        assert!(found.corosync_is_a_cluster());
        assert_eq!((found.cib_primitives, found.ocfs2_cluster.as_str()), (Some(7), "ocfs2"));
        assert_eq!(found.ocfs2_mounts, ["/drbd0"]);
        assert_eq!(found.domains, [Domain { name: "vm01".to_owned(), memory_mib: 128 }]);
        assert_eq!((found.dom0_mib, found.xen("total_memory")), (1024, Some("2047")));
        assert_eq!(found.hapair, ["drbd-r0.made"]);
    }

    #[test]
    fn the_packages_own_ring_is_no_cluster() {
        let found = of("corosync-cluster_name\tdebian\ncorosync-name\tnode1\ncorosync-ring0_addr\t127.0.0.1\n");
        assert!(!found.corosync_is_a_cluster());
        assert_eq!(
            of("heartbeat-node\tnode1 node2\ncib\t0 /var/lib/heartbeat/crm/cib.xml\n").heartbeat_nodes,
            ["node1", "node2"]
        );
    }
}
