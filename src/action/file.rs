//! A whole file: its bytes, its mode and its owner.
//!
//! The new file is written beside the old one, synced, and renamed over it: whoever reads the path sees the old file
//! or the new one, whenever the power goes. What stood there before hapair came is kept once, under
//! `/var/lib/hapair/backup`; a path at which nothing stood is noted under `/var/lib/hapair/absent`.

pub mod whole;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use self::whole::Whole;
use super::command::Command;
use super::{Act, Change, Order, Refusal, RefusalKind, RenderedFile, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Its arguments are told at its top.
const WRITE: &str = include_str!("file/write.sh");

/// A whole file from a template, or with a fixed content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path on the node.
    pub path: String,
    /// Template that the content comes from.
    #[serde(default)]
    pub template: Option<String>,
    /// Content: given in the step, or what the template gave.
    #[serde(default)]
    pub content: Option<String>,
    /// `base64` when `content` is binary.
    #[serde(default)]
    pub encoding: String,
    /// Octal.
    #[serde(default = "mode")]
    pub mode: String,
    /// `user:group`.
    #[serde(default = "owner")]
    pub owner: String,
    /// `true`: holds a secret, so it is never shown and no diff of it is made.
    #[serde(default)]
    pub secret: String,
}

fn mode() -> String {
    "0644".to_owned()
}

fn owner() -> String {
    "root:root".to_owned()
}

impl File {
    fn is_secret(&self) -> bool {
        self.secret == "true"
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let content = self
            .content
            .as_deref()
            .with_context(|| format!("{}: the step names neither a template nor a content", self.path))?;
        match self.encoding.as_str() {
            "" => Ok(content.as_bytes().to_vec()),
            "base64" => base64(content).with_context(|| format!("{}: its content is not base64", self.path)),
            other => bail!("{}: there is no encoding {other}", self.path),
        }
    }

    fn wanted(&self) -> Result<(Vec<u8>, u32)> {
        if !self.path.starts_with('/') || self.path.ends_with('/') {
            bail!("{:?} is not the absolute path of a file", self.path);
        }
        Ok((self.bytes()?, whole::octal(&self.path, &self.mode)?))
    }

    fn whole<'a>(&'a self, (bytes, mode): &'a (Vec<u8>, u32)) -> Whole<'a> {
        let (mode, secret) = (Some(*mode), self.is_secret());
        Whole { path: &self.path, bytes, mode, owner: &self.owner, secret, guard: "" }
    }
}

impl Act for File {
    fn title(&self) -> String {
        format!("write {}", self.path)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        whole::reads(&self.path).into()
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        match self.wanted() {
            Ok(wanted) => self.whole(&wanted).judge(seen.get(at, 0), seen.get(at, 1)),
            Err(error) => Refusal::state(RefusalKind::Preflight, format!("{error:#}"), "mend the step"),
        }
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        vec![undo::file(&self.path)]
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![Order::new(at, self.whole(&self.wanted()?).write())])
    }

    fn files(&self) -> Vec<RenderedFile> {
        match self.wanted() {
            Ok((content, mode)) => {
                vec![RenderedFile { path: self.path.clone(), mode, content, secret: self.is_secret() }]
            }
            Err(_) => Vec::new(),
        }
    }
}

/// Writes a whole file, atomically and with a backup of what hapair did not write. `mode` may be `keep`: then mode and
/// owner stay as they are.
pub fn write_whole(path: &str, mode: &str, owner: &str, bytes: Vec<u8>) -> Cmd {
    write(path, mode, owner, "", "", bytes)
}

/// As [`write_whole`] with `keep`, but only if the file still holds `old` (nothing: is not there): for files that others
/// write too.
pub fn change_whole(path: &str, old: &[u8], new: &[u8]) -> Cmd {
    write(path, "keep", "root:root", &old.len().to_string(), "", [old, new].concat())
}

fn write(path: &str, mode: &str, owner: &str, old: &str, guard: &str, bytes: Vec<u8>) -> Cmd {
    let size = bytes.len().to_string();
    Cmd::write_sh(WRITE, [path, mode, owner, &size, &backup_name(path), old, guard]).stdin(bytes)
}

/// Paths that other actions than `file` write through the same script, with a record.
pub const RECORDED: [&str; 2] = ["/etc/hosts", "/etc/hostname"];

/// A path as one file name.
pub fn backup_name(path: &str) -> String {
    path.replace('%', "%25").replace('/', "%2F")
}

/// A change with the unified diff of a file; of a binary file only that it differs.
pub fn with_diff(change: Change, path: &str, old: Option<&[u8]>, new: &[u8]) -> Change {
    let texts = (old.map_or(Ok(""), std::str::from_utf8), std::str::from_utf8(new));
    let (Ok(before), Ok(after)) = texts else {
        return Change { summary: format!("{} (binary)", change.summary), ..change };
    };
    let from = if old.is_some() { path } else { "/dev/null" };
    let diff = TextDiff::from_lines(before, after).unified_diff().context_radius(3).header(from, path).to_string();
    change.diff(diff)
}

fn base64(text: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let whole: String = text.split_whitespace().collect();
    Ok(base64::engine::general_purpose::STANDARD.decode(whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn file(content: &str) -> File {
        serde_yaml::from_str(&format!("{{path: /etc/x.conf, content: {content:?}}}")).expect("parses")
    }

    fn out(code: i32, text: &[u8]) -> Output {
        Output { code, stdout: text.to_vec(), stderr: Vec::new() }
    }

    fn judge(file: &File, stat: Output, content: Output) -> State {
        let outputs = [stat, content];
        file.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    #[test]
    fn bytes_mode_and_owner_must_all_be_so() {
        let file = file("a\nb\n");
        let good = || out(0, b"644 root:root regular file\n");
        assert_eq!(judge(&file, good(), out(0, b"a\nb\n")), State::Satisfied);
        let State::Drift(change) = judge(&file, good(), out(0, b"a\nc\n")) else { panic!("not drift") };
        assert_eq!(change.diff.as_deref(), Some("--- /etc/x.conf\n+++ /etc/x.conf\n@@ -1,2 +1,2 @@\n a\n-c\n+b\n"));
        for stat in ["600 root:root regular file", "644 root:adm regular file", "777 root:root symbolic link"] {
            assert!(matches!(judge(&file, out(0, stat.as_bytes()), out(0, b"a\nb\n")), State::Drift(_)), "{stat}");
        }
        let folder = judge(&file, out(0, b"755 root:root directory\n"), out(1, b""));
        assert!(matches!(folder, State::Refused(_)));
    }

    #[test]
    fn a_new_file_shows_all_its_lines() {
        let State::Drift(change) = judge(&file("a\n"), out(1, b""), out(1, b"")) else { panic!("not drift") };
        assert_eq!(change.summary, "write /etc/x.conf");
        assert_eq!(change.diff.as_deref(), Some("--- /dev/null\n+++ /etc/x.conf\n@@ -0,0 +1 @@\n+a\n"));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = File { secret: "true".to_owned(), ..file("key\n") };
        for (stat, content) in [(out(1, b""), out(1, b"")), (out(0, b"644 root:root regular file"), out(0, b"old"))] {
            let State::Drift(change) = judge(&secret, stat, content) else { panic!("not drift") };
            assert_eq!(change.diff, None);
            assert!(!format!("{change:?}").contains("key"));
        }
        let seen = Seen { outputs: [&[], &[]], memory: &Memory::default() };
        let orders = secret.orders(At::First, &seen).expect("orders");
        assert!(orders[0].cmd.secret && !orders[0].cmd.shown().contains("key\n"));
    }

    #[test]
    fn binary_content_is_base64() {
        assert_eq!(base64("AAH/\n/g==\n").expect("decodes"), [0, 1, 255, 254]);
        assert_eq!(base64("aGFwYWly").expect("decodes"), b"hapair");
        assert!(base64("a*b").is_err());
        let key = File { encoding: "base64".to_owned(), mode: "0400".to_owned(), ..file("/wD+") };
        assert_eq!(key.files()[0].content, [255, 0, 254]);
        assert_eq!(key.files()[0].mode, 0o400);
        assert_eq!(judge(&key, out(0, b"400 root:root regular file"), out(0, &[255, 0, 254])), State::Satisfied);
    }

    #[test]
    fn the_content_goes_through_stdin() {
        let seen = Seen { outputs: [&[], &[]], memory: &Memory::default() };
        let orders = file("a\n").orders(At::Second, &seen).expect("orders");
        assert_eq!(orders[0].at, At::Second);
        assert_eq!(orders[0].cmd.argv[4..], ["/etc/x.conf", "0644", "root:root", "2", "%2Fetc%2Fx.conf", "", ""]);
        assert_eq!(orders[0].cmd.stdin, b"a\n");
    }
}
