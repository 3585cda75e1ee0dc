//! What must be so before anything is changed: the nodes compared with each other and with the answers.

use crate::answers::Answers;
use crate::event::Failure;
use crate::facts::Facts;
use crate::setup::refused;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Name by which it could be ignored.
    pub name: &'static str,
    /// Node; `None` when it is about both.
    pub node: Option<String>,
    /// Refuses the install.
    pub error: bool,
    /// What was seen and why it matters.
    pub what: String,
    /// What to do.
    pub next: &'static str,
}

/// Everything that was found, errors first.
pub fn findings(answers: &Answers, facts: &[Facts; 2]) -> Vec<Finding> {
    let mut found = Vec::new();
    let both = |name, what: String, next| Finding { name, node: None, error: true, what, next };
    let [first, second] = facts;
    if first.identity.boot_id == second.identity.boot_id {
        found.push(both(
            "same-machine",
            format!(
                "{} and {} are one and the same machine (boot id {}): DRBD would mirror it to itself",
                answers.nodes[0].name, answers.nodes[1].name, first.identity.boot_id
            ),
            "correct `ssh` of the two nodes in the answers file",
        ));
    } else if !first.identity.machine_id.is_empty() && first.identity.machine_id == second.identity.machine_id {
        found.push(Finding {
            error: false,
            ..both(
                "machine-id",
                format!(
                    "both nodes have the machine id {}: one is a copy of the other's disk",
                    first.identity.machine_id
                ),
                "on one of them: rm /etc/machine-id && systemd-machine-id-setup",
            )
        });
    }
    if first.kernel.machine != second.kernel.machine {
        found.push(both(
            "architecture",
            format!(
                "the nodes are {} and {}: a VM can't move between them",
                first.kernel.machine, second.kernel.machine
            ),
            "use two machines of one architecture",
        ));
    }
    for (node, facts) in answers.nodes.iter().zip(facts) {
        if facts.kernel.machine != "x86_64" {
            found.push(Finding {
                name: "architecture",
                node: Some(node.name.clone()),
                error: true,
                what: format!("it is {}; hapair's Xen is that of x86_64", facts.kernel.machine),
                next: "use x86_64 machines",
            });
        }
    }
    found.sort_by_key(|finding| !finding.error);
    found
}

/// Refuses when any finding is an error.
///
/// # Errors
/// A [`Failure`] with exit code 4 that says all of them.
pub fn refuse(findings: &[Finding]) -> Result<(), Failure> {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let mut what = first.what.clone();
    for other in &errors[1..] {
        what.push_str("; and ");
        if let Some(node) = &other.node {
            what.push_str(&format!("{node}: "));
        }
        what.push_str(&other.what);
    }
    Err(refused(first.node.as_deref(), what, first.next))
}
