//! Both sides have written alone: the commands that give up what one of them wrote, for either.
//!
//! `drbdadm` discards the data of a side only while that is not connected and Secondary, so nothing may use it there. A node
//! in standby has its file system unmounted and its DRBD taken down by the cluster, where that manages them: it is brought up
//! again by hand, as Secondary. Where a boot script mounted it, that is undone by hand.

use super::trouble::{HARMLESS, LOOKS, Trouble};
use super::vm::VmStatus;
use crate::answers::{Answers, Layout, Start};
use crate::drbd;

/// It, with the commands for either choice.
pub(super) fn trouble(answers: &Answers, names: [&str; 2], vms: &[VmStatus], dialect: &str) -> Trouble {
    let resource = &answers.storage.resource;
    let (what, _) = drbd::split_brain(resource, &names.map(str::to_owned), dialect);
    let look = "look into the VMs and their files: which side has what is worth keeping? Copy what you want of the other side now";
    let trouble = Trouble::new("split-brain", None, what).mend("each node", look, LOOKS);
    (0..2).fold(trouble, |trouble, lost| {
        let case = Case { answers, lost: names[lost], kept: names[1 - lost], vms, dialect };
        case.mend(trouble)
    })
}

/// One of the two choices.
struct Case<'a> {
    answers: &'a Answers,
    /// The node whose data are given up.
    lost: &'a str,
    kept: &'a str,
    vms: &'a [VmStatus],
    dialect: &'a str,
}

impl Case<'_> {
    fn mend(&self, mut trouble: Trouble) -> Trouble {
        let Case { lost, kept, .. } = *self;
        let resource = &self.answers.storage.resource;
        let on = |node: &str| format!("{node} (to give up what {lost} wrote)");
        // A guest that moved would find another disk under it than the one it knows.
        let here: Vec<&str> =
            self.vms.iter().filter(|vm| vm.node.as_deref() == Some(lost)).map(|vm| vm.name.as_str()).collect();
        for vm in &here {
            trouble = trouble.mend(
                &on(kept),
                format!("crm_resource -r {vm} -m -p target-role -v Stopped"),
                &format!(
                    "it stops; moved to {kept} while it runs it would mix the data of both sides and destroy its own"
                ),
            );
        }
        trouble = trouble.mend(
            &on(kept),
            format!("crm_resource --wait && crm_standby -v on -N {lost} && crm_resource --wait"),
            &format!("{lost} runs nothing until it is taken out of standby below: meanwhile nobody takes over"),
        );
        trouble = trouble.mend(
            &on(lost),
            self.discard(),
            &format!("everything that {lost} wrote since the two parted is lost"),
        );
        trouble = trouble
            .mend(
                &on(kept),
                format!("[ \"$(drbdadm cstate {resource})\" != StandAlone ] || drbdadm connect {resource}"),
                &format!("none: the data of {kept} are the ones that stay"),
            )
            .mend("here", "hapair status --answers FILE, until it names no `resync` and no `disconnected`", LOOKS);
        if self.by_script() {
            trouble = trouble.mend(&on(lost), "systemctl restart mountdrbd", HARMLESS);
        }
        trouble = trouble.mend(&on(kept), format!("crm_standby -D -N {lost}"), HARMLESS);
        for vm in &here {
            trouble = trouble.mend(
                &on(kept),
                format!("crm_resource -r {vm} -m -p target-role -v Started"),
                &format!("none: it starts from the data of {kept}"),
            );
        }
        trouble
    }

    /// A boot script mounts the file system and makes DRBD Primary, and the cluster knows nothing of it.
    fn by_script(&self) -> bool {
        let storage = &self.answers.storage;
        storage.start == Start::Script && storage.layout == Layout::Ocfs2
    }

    fn discard(&self) -> String {
        let storage = &self.answers.storage;
        let resource = &storage.resource;
        let connect = if self.dialect == "8.0" {
            format!("drbdadm -- --discard-my-data connect {resource}")
        } else {
            format!("drbdadm connect --discard-my-data {resource}")
        };
        // DRBD connects again as soon as it is up, sees the split brain and lets go; or waits for the other side.
        let ready = if self.by_script() {
            format!("umount {} && drbdadm secondary {resource}", storage.mount)
        } else {
            format!("drbdadm up {resource}")
        };
        format!("{ready} && {{ drbdadm disconnect {resource}; {connect}; }}")
    }
}
