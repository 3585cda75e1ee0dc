//! The questions of the wizard as data: what is seen there, what is wrong there, what is answered.

/// What is typed at a list and begins none of its lines, and what is told then.
pub(crate) const ZZ: &str = "zz\r";
pub(crate) const NOTHING: &str = "Nothing in this list begins with `zz`";

/// A question: what is seen there, what is wrong and in which words, and what is answered.
pub(crate) type Asked = (&'static str, &'static str, &'static str, &'static str);

/// What is seen at each question, what is wrong there and in which words, and what is answered.
pub(crate) const QUESTIONS: &[Asked] = &[
    ("How is the first machine reached?", "left\r", "has no user", "root@left\r"),
    ("How is the second machine reached?", "root@left\r", "same machine as the first", "root@right:2222\r"),
    ("Name of the pair", "My_Pair\r", "is not a cluster name", "web\r"),
    ("Which network carries DRBD", ZZ, NOTHING, "\r"),
    ("Which network is the second link", ZZ, NOTHING, "\r"),
    ("Which device of left", "\x1b[B\x1b[B\r", "can't be taken: mounted on /", "\x1b[A\r"),
    ("type its serial (S1)", "yes\r", "does not name this disk; it is S1", "S1\r"),
    ("Which device of right", ZZ, NOTHING, "\r"),
    ("How large is the new partition", "10X\r", "no unit", "\r"),
    ("How is a machine switched off", ZZ, NOTHING, "\r"),
    ("Address of the BMC of left", "10.1.0.1\r", "node's own address", "10.9.0.1\r"),
    ("User at the BMC of left", "\r", "Type an answer", "admin\r"),
    ("Where are passwords kept", ZZ, NOTHING, "\r"),
    ("Password at the BMC of left", "\r", "Type it", "geheim\r"),
    ("Address of the BMC of right", "10.9.0.1\r", "other node's BMC", "10.9.0.2\r"),
    ("User at the BMC of right", "administrator-of-right\r", "16 bytes", "\r"),
    ("Password at the BMC of right", "\r", "Type it", "geheim2\r"),
    ("Shall hapair make a virtual machine", ZZ, NOTHING, "\r"),
    ("Name of the virtual machine", "left\r", "name of a node", "vm1\r"),
    ("What does vm1 start from", ZZ, NOTHING, "\r"),
    ("Memory of vm1", "1\r", "has no unit", "\r"),
    ("Virtual CPUs of vm1", "0\r", "is not a number of CPUs", "\r"),
    ("Size of the disk of vm1", "1G1\r", "is no unit", "\r"),
    ("Where does vm1 run", ZZ, NOTHING, "\r"),
    ("Another virtual machine", ZZ, NOTHING, "\r"),
    ("In which file are the answers kept", "/no/such/folder/x\r", "there is no folder", "\r"),
];

/// The questions that only strangers cause, of which nothing is known.
pub(crate) const ODD_QUESTIONS: &[Asked] = &[
    ("How is the first machine reached?", "left\r", "has no user", "admin@left\r"),
    ("Is this the key of admin@left", ZZ, NOTHING, "yes\r"),
    ("Copy your key to admin@left", ZZ, NOTHING, "\r"),
    ("May admin use sudo on admin@left", ZZ, NOTHING, "\r"),
    ("How is the second machine reached?", "admin@left\r", "same machine as the first", "root@right\r"),
    ("Is this the key of root@right", ZZ, NOTHING, "y\r"),
    ("Copy your key to root@right", ZZ, NOTHING, "\r"),
    ("Name of the first machine", "node_1\r", "has an underscore", "\r"),
    ("Name of the second machine", "node1\r", "name of the first node too", "\r"),
    ("Name of the pair", "My_Pair\r", "is not a cluster name", "\r"),
    ("Address of node1 for DRBD", "fe80::1\r", "IPv6 address", "10.1.0.1\r"),
    ("Address of node2 for DRBD", "10.1.0.1\r", "every address is used once", "10.1.0.2\r"),
    ("Nothing free was found on node1", "/dev/drbd0\r", "own device", "/dev/sda3\r"),
    ("Nothing free was found on node2", "/dev/drbd0\r", "own device", "/dev/sda3\r"),
    ("How is a machine switched off", ZZ, NOTHING, "another\r"),
    ("Name of the fence agent", "apc\r", "is not a fence agent", "fence_apc_snmp\r"),
    ("Parameters that switch off node1", "ip\r", "is no parameter", "ip=10.9.0.1 plug=1\r"),
    ("Parameters that switch off node2", "passwd=x\r", "What is typed here is shown", "ip=10.9.0.1 plug=2\r"),
    ("Shall hapair make a virtual machine", ZZ, NOTHING, "\r"),
    ("Name of the virtual machine", "node1\r", "name of a node", "vm1\r"),
    ("What does vm1 start from", ZZ, NOTHING, "a copy\r"),
    ("Path of the disk image", "images/x\r", "not an absolute path", "/srv/x.img\r"),
    ("Memory of vm1", "1\r", "has no unit", "\r"),
    ("Virtual CPUs of vm1", "0\r", "is not a number of CPUs", "\r"),
    ("Size of the disk of vm1", "1G1\r", "is no unit", "\r"),
    ("Which bridge is vm1 connected to", ZZ, NOTHING, "br0\r"),
    ("Where does vm1 run", ZZ, NOTHING, "either\r"),
    ("Another virtual machine", ZZ, NOTHING, "no\r"),
    ("In which file are the answers kept", "/no/such/folder/x\r", "there is no folder", "\r"),
];

/// Something that is only seen when a question explains itself.
pub(crate) fn at_length(question: &str) -> &'static str {
    match question {
        "In which file are the answers kept" => "mode 0600",
        question if question.contains("machine reached") => "agent",
        question if question.starts_with("Is this the key") => "cloud-init",
        question if question.starts_with("Copy your key") => "authorized_keys",
        question if question.starts_with("May admin") => "Debian",
        _ => "hapair explain",
    }
}

/// What is typed for the same answer when the question is asked again: a list begins at its default again.
pub(crate) fn once_more(right: &str) -> &str {
    if right.starts_with("\x1b[A") { "\x1b[B\r" } else { right }
}

/// How a question explains itself: on a line whose characters are not shown `?` is one of them, until Enter.
pub(crate) fn explain(question: &str) -> &'static str {
    if question.starts_with("Password") { "?\r" } else { "?" }
}
