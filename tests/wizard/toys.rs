//! Machines made of data, for the wizard.

use std::sync::Arc;

use hapair::answers::Reach;
use hapair::facts::Facts;
use hapair::facts::disk::{Content, Disk, Gap, Part};
use hapair::facts::link::{Address, Link};
use hapair::node::host_key::{HostKey, Meeting};
use hapair::node::scripted::{Scripted, fails, says};
use hapair::node::{Cmd, Lost, Node, Output, Pair};
use hapair::setup::Setup;
use hapair::wizard::machines::Machines;
use hapair::wizard::review::Review;

/// Machines made of data: the terminal in front of them is real.
#[derive(Default)]
pub(crate) struct Toys {
    /// Strangers that let nobody in, and on which nothing is found.
    pub(crate) odd: bool,
    /// Whatever the last look finds in the way is told: a machine of data lacks nearly everything.
    pub(crate) in_the_way: bool,
    pub(crate) accepted: Vec<String>,
    pub(crate) copied: Vec<String>,
    pub(crate) refused: bool,
}

impl Machines for Toys {
    fn meet(&mut self, reach: &Reach) -> Result<Meeting, Lost> {
        if !self.odd || self.accepted.contains(&format!("{reach:?}")) {
            return Ok(Meeting::Known);
        }
        let (kind, fingerprint) = ("ssh-ed25519".to_owned(), format!("SHA256:{}", "k".repeat(43)));
        Ok(Meeting::Unknown(vec![HostKey { kind, fingerprint, line: String::new(), marker: None }]))
    }
    fn accept(&mut self, reach: &Reach, _: &[HostKey]) -> Result<(), Lost> {
        self.accepted.push(format!("{reach:?}"));
        Ok(())
    }
    fn enter(&mut self, reach: &Reach) -> Result<Output, Lost> {
        if self.odd && !self.copied.contains(&format!("{reach:?}")) {
            return Err(Lost::Auth("Permission denied (publickey)".to_owned()));
        }
        let Reach::Ssh { user, .. } = reach else { return Ok(Output::default()) };
        if user != "root" && !std::mem::replace(&mut self.refused, true) {
            // As the connection says it: src/node/wrap.rs.
            return Err(Lost::Sudo("sudo: a password is required".to_owned()));
        }
        Ok(Output::default())
    }
    fn lacks_key(&self, _: &Reach) -> bool {
        false
    }
    fn copy_key(&mut self, reach: &Reach) -> anyhow::Result<()> {
        self.copied.push(format!("{reach:?}"));
        Ok(())
    }
    fn survey(&mut self, _: [&Reach; 2]) -> Result<[Facts; 2], (usize, String)> {
        if self.odd {
            let links = vec![Link { name: "br0".to_owned(), kind: "bridge".to_owned(), ..Link::default() }];
            let nothing = Facts { hostname: "localhost".to_owned(), links, ..Facts::default() };
            return Ok([nothing.clone(), nothing]);
        }
        Ok([facts("left", 1), facts("right", 2)])
    }
    fn review(&mut self, setup: &Setup, facts: [Facts; 2]) -> anyhow::Result<Review> {
        let mut review = Review::of(setup, &Pair([node("left"), node("right")]), facts)?;
        if !self.in_the_way {
            review.refusals.clear();
        }
        Ok(review)
    }
}

/// A fresh node: scripts find nothing, programs are not there.
fn node(name: &str) -> Node {
    let answer = |cmd: &Cmd| Ok(if cmd.argv[0] == "sh" { says("") } else { fails(127, "not found") });
    Node { name: name.to_owned(), transport: Arc::new(Scripted::new(answer)) }
}

fn facts(name: &str, last: u8) -> Facts {
    let link = |name: &str, net: u8| Link {
        name: name.to_owned(),
        megabits: Some(1000),
        addresses: vec![Address { address: std::net::Ipv4Addr::new(10, net, 0, last), prefix: 24 }],
        ..Link::default()
    };
    let part = |number: u32, uses: Vec<String>| Part {
        path: format!("/dev/sda{number}"),
        number,
        bytes: 100 << 30,
        content: Content { kind: "ext4".to_owned(), label: "data".to_owned(), ..Content::default() },
        uses,
        ..Part::default()
    };
    Facts {
        hostname: name.to_owned(),
        os_release: "ID=debian\nVERSION_ID=\"12\"\n".to_owned(),
        release: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        links: vec![link("eth0", 1), link("eth1", 2)],
        disks: vec![Disk {
            name: "sda".to_owned(),
            bytes: 500 << 30,
            model: "Samsung SSD 870".to_owned(),
            serial: format!("S{last}"),
            table: "gpt".to_owned(),
            parts: vec![part(1, vec!["mounted on /".to_owned()]), part(2, Vec::new())],
            gaps: vec![Gap { start: 200 << 30, bytes: 300 << 30, last: true }],
            ..Disk::default()
        }],
        ..Facts::default()
    }
}
