//! A run on one of the nodes itself goes on by itself after the reboot that it has ordered: a unit of systemd that is run
//! once, at the next boot, and removes itself before it does anything else.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::event::Failure;
use crate::node::{Cmd, Node};
use crate::setup::{failed, unreachable};

/// Its name.
pub const UNIT: &str = "hapair-continue.service";

/// Writes the unit (from standard input) whole or not at all, and lets it run at the next boot. `$1` its name.
const INSTALL: &str = r#"set -eu
dir=/etc/systemd/system
[ -d /run/systemd/system ] || { echo 'systemd does not run here: nothing could go on by itself after the reboot' >&2; exit 1; }
umask 022
cat >"$dir/.$1.new"
sync "$dir/.$1.new"
mv -f -T "$dir/.$1.new" "$dir/$1"
systemctl daemon-reload
systemctl enable "$1"
sync"#;

/// The order that installs the unit.
pub fn order(unit: &str) -> Cmd {
    Cmd::write_sh(INSTALL, [UNIT]).stdin(unit)
}

/// Whether one was installed for a reboot that never came: its run was killed before, or its order failed. One that runs has
/// removed itself.
const LEFT: &str = r#"[ -e "/etc/systemd/system/$1" ] || [ -L "/etc/systemd/system/multi-user.target.wants/$1" ]"#;

const REMOVE: &str = r#"set -eu
rm -f "/etc/systemd/system/$1" "/etc/systemd/system/multi-user.target.wants/$1"
sync
systemctl daemon-reload"#;

/// Takes away what an earlier run left: the next boot, whatever it is for, must not install anything. Gives whether there was
/// something.
///
/// # Errors
/// A [`Failure`] when the node can't be asked or the unit can't be taken away.
pub fn forget(node: &Node) -> Result<bool, Failure> {
    let left = node.exec(&Cmd::read_sh(LEFT, [UNIT])).map_err(|lost| unreachable(&node.name, &lost))?;
    if !left.ok() {
        return Ok(false);
    }
    let removed = node.exec(&Cmd::write_sh(REMOVE, [UNIT])).map_err(|lost| unreachable(&node.name, &lost))?;
    if !removed.ok() {
        let what = format!("{UNIT} of an earlier run can't be taken away: {}", removed.errors().trim());
        return Err(failed(Some(&node.name), what, &format!("systemctl disable {UNIT}, then continue")));
    }
    Ok(true)
}

/// How often a run goes on by itself: after the reboot into Xen, after the proof of the fencing has switched this node off, and
/// when it is this node that loses once the link is cut.
const TIMES: u32 = 3;

/// Says how often it has gone on already.
const COUNT: &str = "HAPAIR_CONTINUED";

/// The unit that runs this very command once more; the last time without `--continue-after-reboot`: a machine that comes back
/// in the wrong way must not be rebooted for ever.
///
/// # Errors
/// When the program, the folder it was started in or an argument can't be named in a unit.
pub fn unit() -> Result<String> {
    let program = std::env::current_exe().context("the path of this program")?;
    let folder = std::env::current_dir().context("the folder this was started in")?;
    let times = 1 + std::env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let last = times >= TIMES;
    let words: Vec<OsString> =
        std::env::args_os().skip(1).filter(|word| !last || word != "--continue-after-reboot").collect();
    let kept = ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HAPAIR_LAB"];
    let mut environment: Vec<_> = kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
    environment.push((COUNT, times.to_string().into()));
    let user = rustix::process::geteuid();
    text(&program, &folder, &words, &environment, (!user.is_root()).then(|| user.as_raw()))
}

fn text(
    program: &std::path::Path,
    folder: &std::path::Path,
    words: &[OsString],
    environment: &[(&str, OsString)],
    user: Option<u32>,
) -> Result<String> {
    let mut command = quoted(program.as_os_str())?;
    for word in words {
        command.push(' ');
        command.push_str(&quoted(word)?);
    }
    let mut variables = String::new();
    for (name, value) in environment {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(value);
        variables.push_str(&format!("Environment={}\n", quoted(&pair)?.replace("$$", "$")));
    }
    // Whoever began it goes on: with their keys, and their state folder.
    let user = user.map(|id| format!("User={id}\n")).unwrap_or_default();
    let folder = folder.to_str().filter(|path| !path.contains('\n')).context("the folder's name is not plain text")?;
    let folder = folder.replace('%', "%%");
    // Not oneshot: that one is "starting" for as long as it runs. The boot would not be over until then, and when systemd reads its
    // units anew meanwhile (`enable` has it do so), the limit of a start is the default one again, since this file is gone: the
    // run was killed in the middle of the step messaging.
    Ok(format!(
        "# Written by hapair, which rebooted this machine and goes on once after the boot. It removes itself.\n\
         [Unit]\n\
         Description=hapair goes on after the reboot\n\
         Wants=network-online.target\n\
         After=network-online.target ssh.service\n\
         \n\
         [Service]\n\
         Type=exec\n\
         WorkingDirectory={folder}\n\
         {user}{variables}\
         ExecStartPre=+/bin/rm -f /etc/systemd/system/{UNIT} /etc/systemd/system/multi-user.target.wants/{UNIT}\n\
         ExecStart={command}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

/// A word of a command line in a unit (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").
fn quoted(word: &std::ffi::OsStr) -> Result<String> {
    let Some(word) = word.to_str().filter(|word| !word.contains('\n')) else {
        bail!("an argument that is no plain text can't go into a unit: {}", PathBuf::from(word).display());
    };
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{word}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_unit_runs_the_same_command_and_removes_itself_first() {
        let words = ["install", "--answers", "my 100% \"pair\".yaml"].map(OsString::from);
        let environment = [("HOME", OsString::from("/root"))];
        let text =
            text(Path::new("/usr/bin/hapair"), Path::new("/root/a b"), &words, &environment, None).expect("a unit");
        assert!(text.contains("\nType=exec\n"), "{text}");
        assert!(
            text.contains("ExecStart=\"/usr/bin/hapair\" \"install\" \"--answers\" \"my 100%% \\\"pair\\\".yaml\"\n")
        );
        assert!(text.contains("WorkingDirectory=/root/a b\n") && text.contains("Environment=\"HOME=/root\"\n"));
        let remove =
            text.find("ExecStartPre=+/bin/rm -f /etc/systemd/system/hapair-continue.service").expect("removes itself");
        assert!(remove < text.find("ExecStart=").expect("runs"));
        assert!(!text.contains("User="));
        let of_a_user =
            super::text(Path::new("/usr/bin/hapair"), Path::new("/home/a"), &words, &environment, Some(1000));
        assert!(of_a_user.expect("a unit").contains("\nUser=1000\n"));
        assert!(quoted(std::ffi::OsStr::new("a\nb")).is_err());
    }
}
