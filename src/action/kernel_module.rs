//! A kernel module: loaded now, and at each boot.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::file::backup_name;
use crate::action::{Act, Order, Refusal, RefusalKind, Seen, State};
use crate::drbd;
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Loaded now and at boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelModule {
    /// Name as in `lsmod`.
    pub name: String,
    /// `systemd` (/etc/modules-load.d) or `sysv` (/etc/modules).
    #[serde(default = "init")]
    pub init: String,
    /// For DRBD: `8.0`, `8.4` or `9`, the dialect that the configuration will be written in.
    #[serde(default)]
    pub dialect: String,
    /// `true`: an earlier action of the step builds it, so it may be missing before.
    #[serde(default)]
    pub built: String,
}

fn init() -> String {
    "{{ platform.init }}".to_owned()
}

const READ: &str = r#"
# $1 module, $2 init
read -r release </proc/sys/kernel/osrelease
printf 'release=%s\n' "$release"
if [ -d "/sys/module/$1" ]; then
	echo loaded=yes
	[ -r "/sys/module/$1/version" ] && read -r version <"/sys/module/$1/version" && printf 'version=%s\n' "$version"
else
	printf 'version=%s\n' "$(modinfo -F version "$1" 2>/dev/null)"
	# A module that was compiled for another kernel lies in that one's folder, or is refused by this one.
	built=$(modinfo -F vermagic "$1" 2>/dev/null)
	case ${built%% *} in
	'' | "$release") modprobe -n -q "$1" 2>/dev/null && echo there=yes ;;
	*) printf 'other=%s\n' "${built%% *}" ;;
	esac
	for file in /lib/modules/*/kernel/drivers/block/"$1".ko; do
		[ -e "$file" ] || continue
		file=${file#/lib/modules/}
		[ "${file%%/*}" = "$release" ] || printf 'other=%s\n' "${file%%/*}"
	done
fi
if [ "$2" = systemd ]; then file=/etc/modules-load.d/$1.conf; else file=/etc/modules; fi
[ -r "$file" ] && while read -r line _; do [ "$line" = "$1" ] && echo boot=yes; done <"$file"
exit 0
"#;

const BOOT: &str = r#"
# $1 module, $2 init, $3 name of the file in the record
umask 022
if [ "$2" = systemd ]; then
	mkdir -p /etc/modules-load.d || exit 1
	file=/etc/modules-load.d/$1.conf
	# For undo: what stood there before hapair came is not hapair's to take away.
	[ -e "$file" ] || (umask 077; mkdir -p /var/lib/hapair/absent && : >"/var/lib/hapair/absent/$3") || exit 1
	printf '%s\n' "$1" >"$file.hapair-new" || exit 1
else
	file=/etc/modules
	{ [ ! -r "$file" ] || cat "$file"; printf '%s\n' "$1"; } >"$file.hapair-new" || exit 1
fi
mv "$file.hapair-new" "$file" && sync
"#;

impl KernelModule {
    /// Under which name it is kept that there was no file for the boot.
    fn absent(&self) -> String {
        backup_name(&format!("/etc/modules-load.d/{}.conf", self.name))
    }
}

impl Act for KernelModule {
    fn title(&self) -> String {
        format!("kernel module {} loaded, now and at boot", self.name)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(READ, [self.name.clone(), self.init.clone()])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let text = seen.get(at, 0).text();
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).filter(|v| !v.is_empty());
        let release = value("release=").unwrap_or("?");
        let loaded = value("loaded=").is_some();
        if !loaded && value("there=").is_none() {
            let other = value("other=").map(|kernel| format!("; there is one for {kernel}, which does not run"));
            let other = other.unwrap_or_default();
            if self.built == "true" {
                return State::Unknown(format!("the module {} is not built yet for {release}{other}", self.name));
            }
            let what = format!("the running kernel {release} has no module {}{other}", self.name);
            return if release.contains("cloud") {
                Refusal::state(
                    RefusalKind::Preflight,
                    format!("{what}: it is Debian's kernel for clouds, which also lacks OCFS2 and Xen"),
                    "`apt-get install linux-image-amd64`, `apt-get purge 'linux-image-*cloud*'`, reboot, then continue",
                )
            } else {
                Refusal::state(
                    RefusalKind::Preflight,
                    what,
                    format!("boot a kernel that has it (`modinfo {}` must succeed), then continue", self.name),
                )
            };
        }
        if let (false, Some(version)) = (self.dialect.is_empty(), value("version=")) {
            let speaks = drbd::dialect(version);
            if speaks != self.dialect {
                return Refusal::state(
                    RefusalKind::Preflight,
                    format!(
                        "the module {} is version {version}, which wants a configuration of the {speaks} dialect, not {}",
                        self.name, self.dialect
                    ),
                    "both nodes must run the same kernel and the same module: compare `modinfo drbd` on both",
                );
            }
        }
        match (loaded, value("boot=").is_some()) {
            (true, true) => State::Satisfied,
            (true, false) => State::drift(format!("load the module {} at boot", self.name)),
            (false, true) => State::drift(format!("load the module {}", self.name)),
            (false, false) => State::drift(format!("load the module {}, now and at boot", self.name)),
        }
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        const REMOVE: &str =
            r#"rm -f "/etc/modules-load.d/$1.conf" && sync /etc/modules-load.d && rm -f "/var/lib/hapair/absent/$2""#;
        // Only a file that says nothing else, where there was none before.
        const NONE: &str =
            r#"[ ! -e "/var/lib/hapair/absent/$2" ] || [ "$(cat "/etc/modules-load.d/$1.conf" 2>/dev/null)" != "$1" ]"#;
        if self.init != "systemd" {
            return Vec::new();
        }
        let title = format!("load the module {} no more at boot", self.name);
        vec![undo::script(title, REMOVE, NONE, &[&self.name, &self.absent()])]
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![
            Order::new(at, Cmd::write(["modprobe", &self.name])),
            Order::new(at, Cmd::write_sh(BOOT, [self.name.clone(), self.init.clone(), self.absent()])),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(text: &str, built: &str) -> State {
        let module =
            KernelModule { name: "drbd".into(), init: "systemd".into(), dialect: "8.4".into(), built: built.into() };
        let out = [Output { stdout: text.into(), ..Output::default() }];
        let memory = Memory::default();
        module.judge(At::First, &Seen { outputs: [&out, &[]], memory: &memory })
    }

    #[test]
    fn loaded_and_at_boot() {
        assert_eq!(judge("release=6.1.0-56-amd64\nloaded=yes\nversion=8.4.11\nboot=yes\n", ""), State::Satisfied);
        assert!(matches!(judge("release=6.1.0-56-amd64\nloaded=yes\nversion=8.4.11\n", ""), State::Drift(_)));
        assert!(matches!(judge("release=6.1.0-56-amd64\nversion=8.4.11\nthere=yes\n", ""), State::Drift(_)));
    }

    #[test]
    fn missing_or_wrong() {
        let State::Refused(r) = judge("release=6.1.0-56-cloud-amd64\nversion=\n", "") else { panic!("not refused") };
        assert!(r.what.contains("clouds") && r.next.contains("linux-image-amd64"));
        assert!(matches!(judge("release=2.6.22-14-xen\nversion=\n", "true"), State::Unknown(_)));
        let other = judge("release=2.6.22-14-xen\nversion=\nother=2.6.22-14-generic\n", "true");
        assert!(
            matches!(other, State::Unknown(why) if why.ends_with("for 2.6.22-14-xen; there is one for 2.6.22-14-generic, which does not run"))
        );
        assert!(
            matches!(judge("release=6.1.0\nloaded=yes\nversion=9.2.2\nboot=yes\n", ""), State::Refused(r) if r.what.contains("9.2.2"))
        );
    }
}
