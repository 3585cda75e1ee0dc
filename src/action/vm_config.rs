//! An `xl` configuration of one's own: checked, and copied to the shared mount.
//!
//! Its disks must lie where both nodes see them, and its name must be the VM's, since the cluster finds the domain by it. What
//! stands at its place already is kept, and put back by `undo`, as for a [`super::shared_file`].

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::file::whole::{self, Whole};
use super::shared_file::{self, STAYS, mounted, not_mounted};
use super::{Act, Order, Refusal, RefusalKind, Scope, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// A configuration of one's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmConfig {
    /// Name of the VM.
    pub name: String,
    /// Where it lies on the first node.
    pub source: String,
    /// Where it goes.
    pub path: String,
    /// The shared mount: all its disks must lie under it.
    pub mount: String,
}

impl VmConfig {
    /// Its mode is the user's own: it may hold a password.
    fn whole<'a>(&'a self, bytes: &'a [u8]) -> Whole<'a> {
        Whole { path: &self.path, bytes, mode: None, owner: "root:root", secret: false, guard: &self.mount }
    }

    /// What keeps it from moving between the nodes.
    fn complaint(&self, text: &str) -> Option<String> {
        match value(text, "name") {
            Some(name) if name == self.name => {}
            Some(name) => return Some(format!("it is named {name}, and the VM {}: they must be the same", self.name)),
            None => return Some(format!("it has no line name = \"{}\"", self.name)),
        }
        disks(text).into_iter().find_map(|disk| {
            let target = target(&disk);
            let under =
                target.strip_prefix(&self.mount).is_some_and(|rest| rest.starts_with('/')) && !target.contains("/../");
            (!under).then(|| {
                let target = if target.is_empty() { disk.as_str() } else { target };
                format!("its disk {target} does not lie under {}, so the other node can't use it", self.mount)
            })
        })
    }
}

/// Lines without their comments. A `#` within quotes stays.
fn code(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut quote = None;
        for c in line.chars() {
            match quote {
                Some(open) if open == c => quote = None,
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c == '#' => break,
                _ => {}
            }
            out.push(c);
        }
        out.push('\n');
    }
    out
}

/// What follows `key =` at the start of a line, the last one counts.
fn assigned<'a>(code: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    let mut offset = 0;
    for line in code.split_inclusive('\n') {
        let rest = line.trim_start().strip_prefix(key).map(str::trim_start);
        if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('=')) {
            found = Some(&code[offset + line.len() - rest.len()..]);
        }
        offset += line.len();
    }
    found
}

/// Quoted strings up to the end of the value: a line, or a bracketed list over several.
fn strings(value: &str) -> Vec<String> {
    let end = if value.trim_start().starts_with('[') { ']' } else { '\n' };
    let mut found = Vec::new();
    let mut open: Option<(char, String)> = None;
    for c in value.chars() {
        match &mut open {
            Some((quote, text)) if *quote == c => {
                found.push(std::mem::take(text));
                open = None;
            }
            Some((_, text)) => text.push(c),
            None if c == '"' || c == '\'' => open = Some((c, String::new())),
            None if c == end => break,
            None => {}
        }
    }
    found
}

fn value(text: &str, key: &str) -> Option<String> {
    let code = code(text);
    assigned(&code, key).and_then(|value| strings(value).into_iter().next())
}

fn disks(text: &str) -> Vec<String> {
    let code = code(text);
    assigned(&code, "disk").map(strings).unwrap_or_default()
}

/// The path of a disk line, in any of its forms (xl-disk-configuration(5), and xm's older ones).
fn target(disk: &str) -> &str {
    if let Some(at) = disk.find("target=") {
        // `target=` is always the last and takes all that follows.
        return disk[at + "target=".len()..].trim();
    }
    let first = disk.split(',').next().unwrap_or_default().trim();
    match first.rsplit_once(':') {
        Some((_, path)) => path.trim(),
        None => first,
    }
}

impl Act for VmConfig {
    fn title(&self) -> String {
        format!("copy {} to {}", self.source, self.path)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        let mut reads: Vec<Cmd> = [mounted(&self.mount)].into_iter().chain(whole::reads(&self.path)).collect();
        if at == At::First {
            reads.push(Cmd::read(["cat", "--", &self.source]));
        }
        reads
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let source = seen.get(At::First, 3);
        let mounted = not_mounted(seen, &self.mount);
        let copies = [seen.get(At::First, 2), seen.get(At::Second, 2)];
        if !source.ok() {
            // Taken away after it was copied: the copy is what the cluster uses.
            if mounted.is_none() && copies.iter().all(|copy| copy.ok() && !copy.stdout.is_empty()) {
                return State::Satisfied;
            }
            return Refusal::state(
                RefusalKind::Preflight,
                format!("there is no configuration {} of {} on the first node", self.source, self.name),
                "put it there, or name another one in the answers",
            );
        }
        if let Some(complaint) = self.complaint(&source.text()) {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{}: {complaint}", self.source),
                format!("mend {} and run the same command again", self.source),
            );
        }
        mounted.unwrap_or_else(|| shared_file::judge(seen, &self.whole(&source.stdout)))
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        vec![undo::shared_file(&self.path, &self.mount)]
    }

    fn left(&self) -> Option<String> {
        Some(STAYS.to_owned())
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let source = seen.get(At::First, 3);
        // What was judged is what is written, whatever the source has become by now.
        let content =
            source.ok().then_some(&source.stdout).with_context(|| format!("{} can't be read", self.source))?;
        Ok(vec![shared_file::write(&self.whole(content))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Option<String> {
        let config = VmConfig {
            name: "vm02".to_owned(),
            source: "/srv/vm02.cfg".to_owned(),
            path: "/drbd0/xen/vm02/vm02.cfg".to_owned(),
            mount: "/drbd0".to_owned(),
        };
        config.complaint(text)
    }

    #[test]
    fn every_form_of_a_disk_is_read() {
        for disk in [
            "'tap:aio:/drbd0/xen/vm02/a.img,xvda,w'",
            "\"file:/drbd0/a.img,xvda,w\"",
            "'/drbd0/a.img,raw,xvda,rw'",
            "'format=raw,vdev=xvda,access=rw,target=/drbd0/a.img'",
        ] {
            assert_eq!(complaint(&format!("name = \"vm02\"\ndisk = [ {disk} ]\n")), None, "{disk}");
        }
        let two = "name='vm02' # the guest\ndisk = [\n  '/drbd0/a.img,raw,xvda,rw',  # system\n  'phy:/dev/sdb1,xvdb,w',\n]\n";
        let complaint = complaint(two).expect("a local disk");
        assert!(complaint.starts_with("its disk /dev/sdb1 does not lie under /drbd0"), "{complaint}");
    }

    #[test]
    fn paths_that_only_look_shared_are_not() {
        assert!(complaint("name=\"vm02\"\ndisk=['/drbd01/a.img,raw,xvda,rw']").is_some());
        assert!(complaint("name=\"vm02\"\ndisk=['/drbd0/../srv/a.img,raw,xvda,rw']").is_some());
    }

    #[test]
    fn the_name_must_be_the_vms() {
        assert!(complaint("name = \"vm01\"\n").is_some_and(|text| text.starts_with("it is named vm01")));
        assert!(complaint("# name = \"vm02\"\n").is_some());
        assert_eq!(complaint("name = \"vm02\"\n"), None);
    }
}
