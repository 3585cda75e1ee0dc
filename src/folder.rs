//! A folder of texts of the user's own: `--steps-dir`, `--templates-dir`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Every file below `dir` whose name ends in `.extension`: path relative to `dir`, and text; sorted.
///
/// # Errors
/// When a file can't be read or is not UTF-8.
pub fn texts(dir: &Path, extension: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    walk(dir, dir, extension, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(root: &Path, dir: &Path, extension: &str, found: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading the folder {}", dir.display()))? {
        let path = entry.with_context(|| format!("reading the folder {}", dir.display()))?.path();
        if path.is_dir() {
            walk(root, &path, extension, found)?;
        } else if path.extension().is_some_and(|ending| ending == extension) {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push((name, text));
        }
    }
    Ok(())
}
