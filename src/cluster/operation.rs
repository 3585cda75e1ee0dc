//! What a resource's actions gave, and since when.

use roxmltree::Node;

use super::text;

/// An action that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationView {
    /// Resource.
    pub resource: String,
    /// Where.
    pub node: String,
    /// `start`, `monitor`, `migrate_from`...
    pub task: String,
    /// `ok`, `error`...
    pub result: String,
    /// Milliseconds between two of it; 0: it is done once.
    pub interval_ms: u64,
    /// Since when it gives this result, as Pacemaker writes it.
    pub changed: String,
}

impl OperationView {
    /// `ok since Sun Nov 22 17:52:30 2026, every 60 s`.
    #[must_use]
    pub fn words(&self) -> String {
        let every = match self.interval_ms / 1000 {
            0 => String::new(),
            seconds => format!(", every {seconds} s"),
        };
        format!("{} since {}{every}", self.result, self.changed)
    }
}

/// All that a `<node_history>` tells.
pub(super) fn all(history: Node<'_, '_>) -> Vec<OperationView> {
    history
        .descendants()
        .filter(|node| node.has_tag_name("operation_history"))
        .map(|operation| {
            let above = |tag: &str, name: &str| {
                operation
                    .ancestors()
                    .find(|node| node.has_tag_name(tag))
                    .map(|node| text(node, name))
                    .unwrap_or_default()
            };
            OperationView {
                resource: above("resource_history", "id"),
                node: above("node", "name"),
                task: text(operation, "task"),
                result: text(operation, "rc_text"),
                interval_ms: text(operation, "interval").trim_end_matches("ms").parse().unwrap_or_default(),
                changed: text(operation, "last-rc-change"),
            }
        })
        .collect()
}
