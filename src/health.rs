//! Whether a node carries its part: looked at before its peer is touched.

use crate::cluster::ClusterView;
use crate::drbd;
use crate::node::{Cmd, Output};

/// What a node is asked.
pub fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read_sh("cat /proc/drbd 2>/dev/null || :", [] as [&str; 0]),
        Cmd::read_sh(
            "pidof corosync pacemakerd >/dev/null 2>&1 || exit 7; crm_mon -1 --output-as=xml",
            [] as [&str; 0],
        ),
    ]
}

/// Healthy, or what is missing.
///
/// # Errors
/// What is missing, in words.
pub fn judge(outputs: &[Output]) -> Result<(), String> {
    let [drbd, cluster] = outputs else { return Err("it was not asked".to_owned()) };
    // Only our own: what others do with DRBD here is not ours to wait for.
    if let Some(device) = drbd::proc(&drbd.text()).minor(drbd::MINOR) {
        if device.connection != "Connected" || device.disk != "UpToDate" || device.peer_disk != "UpToDate" {
            return Err(format!("DRBD is {} and {}/{}", device.connection, device.disk, device.peer_disk));
        }
    }
    if cluster.code == 7 {
        return Ok(());
    }
    let view =
        ClusterView::parse(&cluster.text()).map_err(|error| format!("the cluster does not answer yet: {error}"))?;
    match view.nodes.iter().find(|node| !node.online || node.unclean || node.pending) {
        Some(node) => Err(format!("the cluster does not see {} online yet", node.name)),
        None => Ok(()),
    }
}
