//! `hapair render`: every file as it would be written, without a node.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::node::At;
use crate::secrets::Secrets;
use crate::setup::Setup;

/// Writes `DIR/<node>/<absolute path>`; gives how many files. Keys that hapair makes are stand-ins.
///
/// # Errors
/// When a template can't be rendered or a file can't be written.
pub fn run(setup: &Setup, out: &Path) -> Result<usize> {
    let (platform, found) = setup.offline()?;
    let plan = setup.plan(&platform, &found, &Secrets::placeholders())?;
    let mut count = 0;
    for at in At::BOTH {
        let folder = out.join(&setup.answers.nodes[at.index()].name);
        for file in plan.files(at) {
            let path = folder.join(file.path.trim_start_matches('/'));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            write(&path, &file.content, file.mode).with_context(|| format!("writing {}", path.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

fn write(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    use std::io::Write as _;
    // Never wider than it will be on the node, not even for a moment.
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode & 0o600 | 0o200).open(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
