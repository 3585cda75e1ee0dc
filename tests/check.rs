//! The whole `hapair check` on scripted nodes: a pair that is broken in every way, told in one go, and one that is sound.
//!
//! `UPDATE_GOLDEN=1` rewrites the expected texts; read the difference before committing it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hapair::answers::{Secrets, load};
use hapair::command::check::{self, Checked};
use hapair::node::scripted::{Scripted, fails, says};
use hapair::node::{Cmd, Node, Output, Pair, ReadOnly};
use hapair::setup::{Places, Setup};

const ANSWERS: &str = "\
cluster: pair
nodes:
  - { name: node1, ssh: root@192.0.2.1, address: 10.77.0.1, second_address: 10.78.0.1 }
  - { name: node2, ssh: root@192.0.2.2, address: 10.77.0.2, second_address: 10.78.0.2 }
storage: { device: /dev/sda3 }
fencing:
  method: ipmi
  node1: { address: 192.0.2.11, user: u, password: p }
  node2: { address: 192.0.2.12, user: u, password: p }
vms: [{ name: vm01, bridge: br0, memory: 512M }, { name: vm02 }]
";

/// What a node says: a text that a command must contain, its exit code and its standard output; the first that fits.
type Says = Vec<(&'static str, i32, String)>;

fn node(name: &str, says_: Says, ahead: u64) -> (Node, Arc<Scripted>) {
    let scripted = Arc::new(Scripted::new(move |cmd: &Cmd| {
        let line = cmd.argv.join(" ");
        if line.starts_with("date -u") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            return Ok(says(format!("{}.{:09}\n", now.as_secs() + ahead, now.subsec_nanos())));
        }
        Ok(match says_.iter().find(|(marker, ..)| line.contains(marker)) {
            Some((_, code, text)) => Output { code: *code, ..says(text.clone()) },
            // A fresh node: scripts find nothing, programs are not there.
            None if cmd.argv[0] == "sh" => says(""),
            None => fails(127, "not found"),
        })
    }));
    (Node { name: name.to_owned(), transport: Arc::new(ReadOnly(Arc::clone(&scripted))) }, scripted)
}

fn lines(marker: &'static str, text: &str) -> (&'static str, i32, String) {
    (marker, 0, text.to_owned())
}

fn os(release: &str, codename: &str) -> String {
    format!("PRETTY_NAME=\"Debian GNU/Linux {release} ({codename})\"\nVERSION_ID=\"{release}\"\nID=debian\n")
}

/// The first lines of the files that are looked at.
fn head(os: &str, id: &str, dmi: &str, cpu: &str, kilobytes: u64) -> (&'static str, i32, String) {
    let text = format!(
        "==> /etc/os-release <==\n{os}\n==> /etc/machine-id <==\n{id}\n\n\
         ==> /proc/sys/kernel/random/boot_id <==\nboot-{dmi}-{id}-{kilobytes}\n\n\
         ==> /proc/meminfo <==\nMemTotal: {kilobytes} kB\n\n==> /proc/cpuinfo <==\n{cpu}\n\n\
         ==> /sys/class/dmi/id/product_uuid <==\n4c4c4544-0051-3510-8050-b9c04f4a4e3{dmi}\n\n\
         ==> /sys/class/dmi/id/sys_vendor <==\nDell Inc.\n\n==> /sys/class/dmi/id/product_name <==\nPowerEdge R650\n"
    );
    ("head -v -n 200 ", 0, text)
}

const AMD: &str = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu sse4a svm";
const INTEL: &str = "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6330\nflags\t\t: fpu avx512f";

fn links(number: u8, first_mac: &str, mtu: u32, bridge: bool) -> Says {
    let mut text = format!(
        "eth1\t{first_mac}\tup\t1\t1000\t{mtu}\tethernet\neth2\t52:54:00:00:02:0{number}\tup\t1\t1000\t1500\tethernet\n"
    );
    if bridge {
        text.push_str(&format!("br0\t52:54:00:00:00:0{number}\tup\t1\t-\t1500\tbridge\n"));
    }
    let addresses = format!(
        "3: eth1    inet 10.77.0.{number}/24 brd 10.77.0.255 scope global eth1\\   valid_lft forever\n\
         4: eth2    inet 10.78.0.{number}/24 brd 10.78.0.255 scope global eth2\\   valid_lft forever\n"
    );
    vec![lines("# Network interfaces", &text), lines("ip -o -4 addr", &addresses)]
}

fn blocks(sectors: u64) -> (&'static str, i32, String) {
    lines(
        "# Block devices",
        &format!(
            "sda\tblock\twhole\nsda\tsize\t20971520\nsda\tdev\t8:0\nsda3\tpart\tsda\nsda3\tnumber\t3\nsda3\tstart\t13633536\nsda3\tsize\t{sectors}\nsda3\tdev\t8:3\n"
        ),
    )
}

/// A menu of GRUB that has no Xen yet, as Debian makes it.
const GRUB: &str = "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {\n\tlinux\t/boot/vmlinuz-6.1.0-56-amd64 root=UUID=1 ro\n}\n";

fn free_device() -> String {
    "device=/dev/sda3\nkind=block\nreal=/dev/sda3\nsize=2147483648\nro=0\nidentity=/dev/sda3 2147483648 13633536\npartition=3\ndisk=sda\nhead=zero\ntail=zero\n".to_owned()
}

fn setup(answers: &str, state: &Path, ignore: &[&str]) -> Setup {
    let loaded =
        load::text(answers, Path::new("answers.yaml"), Path::new("/nonexistent"), &|_| None, Secrets::Leave).unwrap();
    let places = Places { state_dir: Some(state.to_owned()), ..Places::default() };
    let mut setup = Setup::of(loaded.answers, places).unwrap();
    setup.ignore = ignore.iter().map(|name| (*name).to_owned()).collect();
    setup
}

fn checked(setup: &Setup, nodes: [(Says, u64); 2]) -> Checked {
    let [(first, ahead), (second, behind)] = nodes;
    let ((node1, one), (node2, two)) = (node("node1", first, ahead), node("node2", second, behind));
    let checked = check::on(setup, &Pair([node1, node2])).unwrap();
    // Facts, what depends on the answers, the clock twice, one node listens and talks, what the steps look at.
    for scripted in [one, two] {
        // What does not pass is tried twice.
        assert!(scripted.trips() <= 9, "{} trips: {:?}", scripted.trips(), scripted.shown());
    }
    checked
}

fn golden(name: &str, checked: &Checked, setup: &Setup) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check").join(name);
    let found = format!("{}exit code {}\n", checked.text(setup), checked.code());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{name}: expected\n{expected}\nfound\n{found}");
}

/// A pair on which everything is as it should be.
fn sound(number: u8) -> Says {
    let peer = 3 - number;
    let mut says = vec![
        lines(" sh /dev/sda3 ", &free_device()),
        head(&os("12", "bookworm"), &format!("m{number}"), &number.to_string(), AMD, 4_000_000),
        lines("uname -n", &format!("node{number} 6.1.0-56-amd64 x86_64\n")),
        lines("modinfo -F version drbd", "8.4.11\n"),
        lines("modinfo -F filename ocfs2", "/lib/modules/6.1.0-56-amd64/kernel/fs/ocfs2/ocfs2.ko\n"),
        lines("^CONFIG_XEN", "CONFIG_XEN=y\nCONFIG_XEN_DOM0=y\n"),
        lines("timedatectl", "yes\n"),
        blocks(4_194_304),
        lines("/boot/grub/grub.cfg", GRUB),
        lines("bmc:*)", &format!("bmc:192.0.2.1{peer} yes\n")),
        lines("ipmitool -v -I lanplus", "ok\n"),
        lines("# Whether the packages", "missing sbd\ncandidate sbd 1.5.2-1\nlists old\n"),
        lines("perl -e # Two nodes talk", &talk(peer, &[("7788", "open"), ("7777", "open"), ("5405", "open")], "open")),
        lines("uname=", &format!("uname=node{number}\nnode{number}\n")),
        lines(" sh drbd ", "release=6.1.0-56-amd64\nthere=8.4.11\n"),
        ("ssh-keygen", 3, String::new()),
    ];
    says.extend(links(number, &format!("52:54:00:00:01:0{number}"), 9000, true));
    says
}

fn talk(peer: u8, ports: &[(&str, &str)], large: &str) -> String {
    let mut text = String::new();
    for (number, result) in ports {
        let kind = if *number == "5405" { "udp" } else { "tcp" };
        text.push_str(&format!("{kind} 10.77.0.{peer} {number} {result}\n"));
    }
    text.push_str(&format!(
        "mtu 10.77.0.{peer} 5405 9000 {large}\nmtu 10.77.0.{peer} 5405 1500 open\nssh 10.77.0.{peer} 22 open\n\
         udp 10.78.0.{peer} 5405 open\nmtu 10.78.0.{peer} 5405 1500 open\necho 10.77.0.{peer} 7788 212\n\
         load 10.77.0.{peer} 7788 0.5 58400000 500000\nbye 10.77.0.{peer} 7788 open\n"
    ));
    text
}

#[test]
fn a_sound_pair_is_quiet() {
    let state = tempfile::tempdir().unwrap();
    let setup = setup(ANSWERS, state.path(), &[]);
    let checked = checked(&setup, [(sound(1), 0), (sound(2), 0)]);
    golden("sound.txt", &checked, &setup);
    assert_eq!((checked.code(), checked.findings.len()), (0, 0));
}

/// Every check that two nodes of one release can fail at the same time.
fn broken() -> [(Says, u64); 2] {
    let key = "==> /etc/ssh/ssh_host_ed25519_key.pub <==\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@debian\n\n";
    let with_key = |(marker, code, text): (&'static str, i32, String)| (marker, code, format!("{key}{text}"));
    let mut first = vec![
        lines(
            " sh /dev/sda3 ",
            "device=/dev/sda3\nkind=block\nreal=/dev/sda3\nsize=2147483648\nro=0\nidentity=/dev/sda3 2147483648 13633536\npartition=3\ndisk=sda\nuse=/dev/sda3 is mounted on /srv\n",
        ),
        with_key(head(&os("12", "bookworm"), "copied", "1", AMD, 1_500_000)),
        lines("uname -n", "Node1 6.1.0-56-cloud-amd64 x86_64\n"),
        ("modinfo -F version drbd", 1, String::new()),
        ("modinfo -F filename ocfs2", 1, String::new()),
        ("^CONFIG_XEN", 1, String::new()),
        lines("od -An -tu1", "   1\n"),
        lines("timedatectl", "no\n"),
        blocks(4_194_304),
        lines("/boot/grub/grub.cfg", GRUB),
        lines("lsblk -b", "NAME=\"sda\" SERIAL=\"X1\" MODEL=\"Ultra\" TRAN=\"usb\"\n"),
        lines("bmc:*)", "bmc:192.0.2.12 no\n"),
        lines(
            "# Whether the packages",
            "missing drbd-utils\nmissing ocfs2-tools\nlists fresh\ncandidate drbd-utils 9.22.0-1\n",
        ),
        lines(
            "perl -e # Two nodes talk",
            &talk(2, &[("7788", "open"), ("5405", "open")], "silent").replace("58400000", "1200000"),
        ),
        lines("getent hosts node1", "127.0.1.1       node1\n"),
        lines("stat -c %i %n", "131 /var/lib/dpkg/lock-frontend\n"),
        lines("/proc/locks", "2: POSIX  ADVISORY  WRITE 4231 08:01:131 0 EOF\n"),
        lines(
            "df -kP",
            "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/sda1          6167456   859360    204800      15% /\n",
        ),
        lines(
            "nft list ruleset",
            "nft\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport 22 accept\n\t}\n}\n",
        ),
        lines("uname=", "uname=Node1\nNode1\n"),
        lines(" sh drbd ", "release=6.1.0-56-cloud-amd64\n"),
        ("ssh-keygen", 3, String::new()),
        lines("/proc/net/tcp", "==> /proc/net/tcp <==\n  0: 00000000:1E61 00000000:0000 0A\n"),
    ];
    first.extend(links(1, "52:54:00:00:01:01", 9000, true));
    let mut second = vec![
        lines(
            " sh /dev/sda3 ",
            "device=/dev/sda3\nkind=block\nreal=/dev/sda3\nsize=3221225472\nro=0\nidentity=/dev/sda3 3221225472 13633536\npartition=3\ndisk=sda\nsig=0x438,1d5b,data,ext4\nhead=data\ntail=zero\nserial=WD-77\n",
        ),
        with_key(head(&os("12", "bookworm"), "copied", "1", INTEL, 4_000_000)),
        lines("uname -n", "node2 6.1.0-56-amd64 x86_64\n"),
        lines("modinfo -F version drbd", "8.4.11\n"),
        lines("modinfo -F filename ocfs2", "/lib/modules/6.1.0-56-amd64/kernel/fs/ocfs2/ocfs2.ko\n"),
        lines("^CONFIG_XEN", "CONFIG_XEN_DOM0=y\n"),
        lines("timedatectl", "yes\n"),
        blocks(6_291_456),
        lines("/boot/grub/grub.cfg", GRUB),
        lines("bmc:*)", "bmc:192.0.2.11 yes\n"),
        lines("IPMI_PASSWORD", "password\n"),
        lines(
            "# Whether the packages",
            "missing drbd-utils\nfetch Failed to fetch http://mirror.example/debian/dists/bookworm/InRelease  Could not connect to mirror.example:80\nlists fresh\ncandidate drbd-utils 9.22.0-1\n",
        ),
        lines("perl -e # Two nodes talk", "ssh 10.77.0.1 22 refused\n"),
        lines(
            "# What runs here",
            "corosync-cluster_name\tweb\ncorosync-name\tweb1\ncorosync-ring0_addr\t10.9.0.1\ncorosync-name\tweb2\ncorosync-ring0_addr\t10.9.0.2\ndrbd-show\tresource web {\ndrbd-show\t  disk \"/dev/sda3\";\nocfs2-cluster\tweb\nocfs2-mount\t/dev/drbd1 /var/www\n",
        ),
        lines(
            "dpkg --audit",
            "The following packages are only half configured:\n corosync             cluster engine\n",
        ),
        lines("uname=", "uname=node2\nnode2\n"),
        lines(" sh drbd ", "release=6.1.0-56-amd64\nthere=8.4.11\n"),
        ("ssh-keygen", 3, String::new()),
    ];
    second.extend(links(2, "52:54:00:00:01:01", 1500, false));
    [(first, 7), (second, 0)]
}

#[test]
fn a_broken_pair_is_told_everything_at_once() {
    let state = tempfile::tempdir().unwrap();
    let setup = setup(ANSWERS, state.path(), &[]);
    let checked = checked(&setup, broken());
    golden("broken.txt", &checked, &setup);
    assert_eq!(checked.code(), 4);
    // Nothing was written: no journal, no lock, no secret.
    assert!(!state.path().join("pair").exists());
}

#[test]
fn what_is_ignored_is_shown_as_such() {
    let state = tempfile::tempdir().unwrap();
    let all = checked(&setup(ANSWERS, state.path(), &[]), broken());
    let names: Vec<&str> = all
        .findings
        .iter()
        .map(|finding| finding.name)
        .filter(|name| hapair::preflight::checks::find(name).is_some_and(|check| check.ignorable))
        .collect();
    let setup = setup(ANSWERS, state.path(), &names);
    let checked = checked(&setup, broken());
    golden("ignored.txt", &checked, &setup);
    assert!(checked.findings.iter().all(|finding| !names.contains(&finding.name)));
}

#[test]
fn two_releases_and_one_machine_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let setup = setup(ANSWERS, state.path(), &[]);
    let mut second = sound(2);
    second.retain(|(marker, ..)| !marker.starts_with("head -v"));
    second.push(head(&os("13", "trixie"), "m2", "2", AMD, 4_000_000));
    let found = checked(&setup, [(sound(1), 0), (second, 0)]);
    golden("two-releases.txt", &found, &setup);
    let found = checked(&setup, [(sound(1), 0), (sound(1), 0)]);
    golden("one-machine.txt", &found, &setup);
    assert_eq!(found.code(), 4);
}

/// Of all checks only these are in none of the texts above; each has its unit tests, on both sides.
#[test]
fn the_golden_texts_show_nearly_every_check() {
    const ELSEWHERE: [&str; 11] = [
        "release",
        "same-machine",
        "architecture",
        "drbd-version",
        "cpu-flags",
        "address",
        "link-down",
        "second-link",
        "fencing-unsafe",
        "fencing-softdog",
        "fencing-shown",
    ];
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/broken.txt")).unwrap();
    for check in hapair::preflight::checks::CHECKS {
        let shown =
            text.contains(&format!("error: {}: ", check.name)) || text.contains(&format!("warning: {}: ", check.name));
        let elsewhere = ELSEWHERE.contains(&check.name) || ["latency", "step", "name-address"].contains(&check.name);
        assert!(shown || elsewhere, "{} is in no text", check.name);
    }
}
