//! What GRUB will boot: Xen, with the wanted arguments.
//!
//! Debian's package makes Xen the default by itself (`/etc/default/grub.d/xen.cfg`), and step `xen` adds a file of its own
//! beside it. Here the outcome is read: the menu that `update-grub` wrote.

mod legacy;

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::{Act, Change, Order, Refusal, RefusalKind, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

const MENU: &str = "/boot/grub/grub.cfg";
/// Of GRUB before its second version.
const LEGACY_MENU: &str = "/boot/grub/menu.lst";
const ENVIRONMENT: &str = "/boot/grub/grubenv";
/// Its fifth byte is 1 when Secure Boot is on.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// GRUB's default entry is Xen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootEntry {
    /// Arguments that Xen must get, such as `dom0_mem=1024M,max:1024M`.
    #[serde(default)]
    pub arguments: String,
    /// `grub` or `grub-legacy`.
    #[serde(default = "loader")]
    pub loader: String,
}

/// The platform's boot loader.
pub(super) fn loader() -> String {
    "{{ platform.boot.loader }}".to_owned()
}

fn is_legacy(loader: &str) -> bool {
    loader == "grub-legacy"
}

/// An entry of GRUB's menu, or a submenu.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// As it is shown.
    pub title: String,
    id: String,
    entries: Vec<Entry>,
    /// What the hypervisor gets, if it is loaded by this entry.
    pub xen: Option<String>,
}

/// The menu and GRUB's environment, in one read.
pub fn menu_read(loader: &str) -> Cmd {
    if is_legacy(loader) { Cmd::read(["cat", LEGACY_MENU]) } else { Cmd::read(["cat", MENU, ENVIRONMENT]) }
}

/// What the boot loader will boot next, from [`menu_read`]; `None` if there is no menu.
pub fn next_entry(loader: &str, text: &str) -> Option<Entry> {
    if is_legacy(loader) { legacy::next_entry(text) } else { next_of_grub(text) }
}

fn next_of_grub(text: &str) -> Option<Entry> {
    let mut root = menu(text);
    if root.entries.is_empty() {
        return None;
    }
    let variable = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    };
    let set = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("set default=\"")?.strip_suffix('"'))
        .rfind(|value| *value != "${next_entry}")
        .unwrap_or("0");
    let default = match (variable("next_entry"), set) {
        (Some(once), _) => once,
        (None, "${saved_entry}") => variable("saved_entry").unwrap_or("0"),
        (None, set) => set,
    };
    let mut path: Vec<usize> = Vec::new();
    let mut here = &root.entries;
    for part in default.replace(">>", "\u{0}").split('>') {
        let part = part.replace('\u{0}', ">");
        let place = here
            .iter()
            .position(|entry| entry.title == part || entry.id == part)
            .or_else(|| part.parse::<usize>().ok().filter(|number| *number < here.len()))
            // GRUB takes the first entry when it finds none of that name.
            .unwrap_or(0);
        let Some(entry) = here.get(place) else { break };
        path.push(place);
        here = &entry.entries;
    }
    let mut entries = std::mem::take(&mut root.entries);
    let mut found = entries.swap_remove(*path.first()?);
    for place in &path[1..] {
        entries = std::mem::take(&mut found.entries);
        found = entries.swap_remove(*place);
    }
    Some(found)
}

/// The menu as a tree.
fn menu(text: &str) -> Entry {
    let mut open = vec![(Entry::default(), true)];
    for line in text.lines().map(str::trim) {
        if line.ends_with('{') {
            let is_entry = line.starts_with("menuentry ") || line.starts_with("submenu ");
            let mut entry = Entry::default();
            if is_entry {
                let mut quoted = line.split('\'').skip(1).step_by(2);
                entry.title = quoted.next().unwrap_or_default().to_owned();
                entry.id = quoted.last().unwrap_or_default().to_owned();
            }
            open.push((entry, is_entry));
        } else if line == "}" && open.len() > 1 {
            if let (Some((entry, true)), Some((parent, _))) = (open.pop(), open.last_mut()) {
                parent.entries.push(entry);
            }
        } else if let Some((entry, true)) = open.last_mut() {
            let mut words = line.split_whitespace();
            let loader = words.next().unwrap_or_default();
            let file = words.next().unwrap_or_default();
            if ["multiboot", "multiboot2", "xen_hypervisor"].contains(&loader) && file.contains("/xen-") {
                entry.xen = Some(words.collect::<Vec<_>>().join(" "));
            }
        }
    }
    open.into_iter().next().map(|(root, _)| root).unwrap_or_default()
}

impl Act for BootEntry {
    fn title(&self) -> String {
        "make Xen the entry that GRUB boots".to_owned()
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![menu_read(&self.loader), Cmd::read(["od", "-An", "-tu1", "-j4", "-N1", SECURE_BOOT])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let secure = seen.get(at, 1);
        if secure.ok() && secure.line() == "1" {
            return Refusal::state(
                RefusalKind::Preflight,
                "Secure Boot is on: GRUB would not load Xen, which nobody has signed",
                "switch Secure Boot off in the node's firmware setup",
            );
        }
        let Some(entry) = next_entry(&self.loader, &seen.get(at, 0).text()) else {
            let (menu, packages) =
                if is_legacy(&self.loader) { (LEGACY_MENU, "grub") } else { (MENU, "grub-pc or grub-efi-amd64") };
            return Refusal::state(
                RefusalKind::Preflight,
                format!("there is no {menu}, or nothing in it: this node is not booted by GRUB, and Xen needs it"),
                format!("install {packages}, and let it boot the node"),
            );
        };
        let Some(has) = &entry.xen else {
            return State::drift(format!("make Xen the entry that GRUB boots (it is {:?})", entry.title));
        };
        let missing: Vec<&str> = self
            .arguments
            .split_whitespace()
            .filter(|wanted| !has.split_whitespace().any(|is| is == *wanted))
            .collect();
        if missing.is_empty() {
            return State::Satisfied;
        }
        State::Drift(Change::new(format!("give Xen the arguments {} at boot", missing.join(" "))))
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        const NONE: &str = r#"! grep -qF -e "$1" /boot/grub/grub.cfg"#;
        vec![undo::script(
            "write GRUB's menu without hapair's arguments for Xen",
            "update-grub",
            NONE,
            &[&self.arguments],
        )]
    }

    fn undo_last(&self) -> bool {
        true
    }

    fn left(&self) -> Option<String> {
        Some("Xen stays installed and the entry that GRUB boots, as its package wants it: apt-get purge xen-system-amd64 ends that.".to_owned())
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        let cmd = if is_legacy(&self.loader) {
            Cmd::write_sh(legacy::SET, [LEGACY_MENU, &self.arguments])
        } else {
            Cmd::write(["update-grub"])
        };
        Ok(vec![Order::new(at, cmd.timeout(Duration::from_secs(600)))])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    /// As update-grub of Debian 12 wrote it, without what is in between.
    pub(in crate::action) const GRUB: &str = r#"if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="Debian GNU/Linux, with Xen hypervisor"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-6c1e7c5e-0001' {
	load_video
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=/dev/sda1 ro console=ttyS0,115200 quiet
	initrd	/boot/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-6c1e7c5e-0001' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-56-amd64' --class debian --class os $menuentry_id_option 'gnulinux-6.1.0-56-amd64-advanced-6c1e7c5e-0001' {
		linux	/boot/vmlinuz-6.1.0-56-amd64 root=/dev/sda1 ro console=ttyS0,115200 quiet
	}
}
menuentry 'Debian GNU/Linux, with Xen hypervisor' --class debian --class xen $menuentry_id_option 'xen-gnulinux-simple-6c1e7c5e-0001' {
	echo	'Loading Xen 4.17-amd64 ...'
        if [ "$grub_platform" = "pc" -o "$grub_platform" = "" ]; then
            xen_rm_opts=
        else
            xen_rm_opts="no-real-mode edd=off"
        fi
	multiboot2	/boot/xen-4.17-amd64.gz placeholder  dom0_mem=1024M,max:1024M  ${xen_rm_opts}
	module2	/boot/vmlinuz-6.1.0-56-amd64 placeholder root=/dev/sda1 ro console=ttyS0,115200 quiet
	module2	--nounzip   /boot/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options for Debian GNU/Linux (with Xen hypervisor)' $menuentry_id_option 'gnulinux-advanced-6c1e7c5e-0001' {
	submenu 'Xen hypervisor, version 4.17-amd64' $menuentry_id_option 'xen-hypervisor-4.17-amd64-6c1e7c5e-0001' {
		menuentry 'Debian GNU/Linux, with Xen 4.17-amd64 and Linux 6.1.0-56-amd64' --class debian --class xen $menuentry_id_option 'xen-gnulinux-6.1.0-56-amd64-advanced-6c1e7c5e-0001' {
			multiboot2	/boot/xen-4.17-amd64.gz placeholder  dom0_mem=1024M,max:1024M  ${xen_rm_opts}
		}
	}
}
"#;

    const NATIVE: &str = "set default=\"Debian GNU/Linux, with Xen hypervisor\"";

    fn booted(change: &str) -> (String, bool) {
        let entry = next_of_grub(&GRUB.replace(NATIVE, change)).expect("an entry");
        (entry.title, entry.xen.is_some())
    }

    fn judge(menu: &str, secure: &str) -> State {
        let outputs = [menu, secure].map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() });
        let action = BootEntry { arguments: "dom0_mem=1024M,max:1024M".to_owned(), loader: "grub".to_owned() };
        action.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    #[test]
    fn grub_takes_the_entry_by_title_id_number_or_path() {
        assert_eq!(booted(NATIVE), ("Debian GNU/Linux, with Xen hypervisor".to_owned(), true));
        assert_eq!(booted("set default=\"0\""), ("Debian GNU/Linux".to_owned(), false));
        assert!(booted("set default=\"2\"").1);
        assert!(booted("set default=\"xen-gnulinux-simple-6c1e7c5e-0001\"").1);
        assert_eq!(booted("set default=\"gone\"").0, "Debian GNU/Linux");
        assert_eq!(booted("set default=\"3>0>0\"").0, "Debian GNU/Linux, with Xen 4.17-amd64 and Linux 6.1.0-56-amd64");
        assert!(!booted("set default=\"1>0\"").1);
        assert_eq!(next_of_grub(""), None);
    }

    #[test]
    fn what_was_saved_counts() {
        let saved = GRUB.replace(NATIVE, "set default=\"${saved_entry}\"");
        let xen = |text: String| next_of_grub(&text).is_some_and(|entry| entry.xen.is_some());
        assert!(!xen(saved.clone()));
        assert!(xen(saved + "# GRUB Environment Block\nsaved_entry=2\n####"));
        // grub-reboot: once, whatever the default is.
        assert!(!xen(GRUB.to_owned() + "# GRUB Environment Block\nnext_entry=0\n####"));
    }

    #[test]
    fn default_and_arguments_must_both_be_so() {
        assert_eq!(judge(GRUB, ""), State::Satisfied);
        let native = GRUB.replace(NATIVE, "set default=\"0\"");
        assert_eq!(judge(&native, ""), State::drift("make Xen the entry that GRUB boots (it is \"Debian GNU/Linux\")"));
        let without = GRUB.replace("dom0_mem=1024M,max:1024M", "");
        assert_eq!(judge(&without, ""), State::drift("give Xen the arguments dom0_mem=1024M,max:1024M at boot"));
        for (menu, secure) in [(GRUB, "   1\n"), ("", "")] {
            assert!(matches!(judge(menu, secure), State::Refused(_)));
        }
    }
}
