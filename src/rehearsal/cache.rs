//! What is expensive to make is kept between runs, each entry under a name that holds a hash of all that made it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use super::command;

/// Returns the cache's entry for these parts, and builds it first when there is none.
///
/// `kind` names the sort of entry (`rootfs`), `suffix` ends its name (`.tar`, or empty for a folder), `parts` is
/// everything its content depends on. `build` gets the path it must create (a file or a folder); only when it returns
/// `Ok` does that become the entry, by a rename, so a killed build never leaves half of one.
///
/// # Errors
/// When the cache can't be written, or with what `build` says.
pub fn entry(
    cache: &Path,
    kind: &str,
    suffix: &str,
    parts: &[&str],
    say: &dyn Fn(&str),
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| format!("create the cache folder {}", cache.display()))?;
    let path = cache.join(format!("{kind}-{}{suffix}", hash(parts)?));
    // Entries only ever appear whole, so one that is there needs no lock, even while another run builds its own.
    if path.exists() {
        return Ok(path);
    }
    // Two runs may want the same entry: the second waits for the first's. The kernel lets go of the lock with its owner.
    let lock_path = cache.join(format!("{kind}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        say(&format!("waiting for another run that writes {kind} in {}", cache.display()));
        flock(&lock, FlockOperation::LockExclusive).with_context(|| format!("lock {}", lock_path.display()))?;
    }
    if path.exists() {
        return Ok(path);
    }
    // We hold the lock, so whatever is there under this name was left by a run that was killed.
    let partial = cache.join(format!("{kind}.partial{suffix}"));
    remove(&partial)?;
    if let Err(error) = build(&partial) {
        // The build's own error is what the reader needs; the rest is removed by the next run at the latest.
        let _ = remove(&partial);
        return Err(error);
    }
    fs::rename(&partial, &path).with_context(|| format!("rename {} to {}", partial.display(), path.display()))?;
    Ok(path)
}

/// Removes a file or a folder, whichever it is, if it's there.
///
/// # Errors
/// When it can't be removed.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    result.with_context(|| format!("remove {}", path.display()))
}

/// A folder for one run's own files, in the cache, and the lock that says that the run lives. Folders of runs that were
/// killed, whose lock nobody holds any more, are removed first: each holds two disks.
///
/// # Errors
/// When the folder can't be made.
pub fn run_folder(cache: &Path) -> Result<(PathBuf, File)> {
    for entry in fs::read_dir(cache).with_context(|| format!("read {}", cache.display()))?.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(RUN) {
            // Without a lock it is not known whether it lives.
            if let Ok(lock) = File::open(path.join(LOCK)) {
                if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                    remove(&path)?;
                }
            }
        }
    }
    let folder = tempfile::Builder::new().prefix(RUN).tempdir_in(cache).context("a folder for this run")?;
    let lock = File::create(folder.path().join(LOCK)).context("a lock for this run")?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).context("lock this run's folder")?;
    Ok((folder.keep(), lock))
}

/// How the names of runs' folders begin.
const RUN: &str = "run-";
const LOCK: &str = "lock";

/// A name for these parts that is the same in every run and on every machine: std's hashers don't promise that.
fn hash(parts: &[&str]) -> Result<String> {
    let mut input = Vec::new();
    for part in parts {
        // With their lengths, so that ["ab", "c"] is not ["a", "bc"].
        input.extend_from_slice(format!("{}:", part.len()).as_bytes());
        input.extend_from_slice(part.as_bytes());
    }
    let sum = command::run_with_input::<&str>("name a cache entry", "sha256sum", &[], &input)?;
    Ok(sum.chars().take(16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_once_and_forgets_failures() {
        let folder = tempfile::tempdir().unwrap();
        let quiet = |_: &str| {};
        let made = entry(folder.path(), "thing", ".txt", &["a"], &quiet, |path| Ok(fs::write(path, "one")?)).unwrap();
        let again = entry(folder.path(), "thing", ".txt", &["a"], &quiet, |_| anyhow::bail!("built twice")).unwrap();
        assert_eq!(made, again);
        assert_eq!(fs::read_to_string(made).unwrap(), "one");
        let failed = entry(folder.path(), "thing", ".txt", &["b"], &quiet, |path| {
            fs::write(path, "half")?;
            anyhow::bail!("no room")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no room");
        assert!(!folder.path().join("thing.partial.txt").exists());
    }

    #[test]
    fn only_folders_of_dead_runs_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let unknown = cache.path().join("run-other");
        fs::create_dir(&unknown).unwrap();
        let (dead, lock) = run_folder(cache.path()).unwrap();
        drop(lock);
        let (alive, _lock) = run_folder(cache.path()).unwrap();
        let (last, _last_lock) = run_folder(cache.path()).unwrap();
        assert!(!dead.exists() && alive.exists() && last.exists() && unknown.exists());
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(&["ab", "c"]).unwrap(), hash(&["a", "bc"]).unwrap());
    }
}
