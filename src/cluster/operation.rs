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
    /// Since when it gives this result, as Pacemaker writes it.
    pub changed: String,
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
                changed: text(operation, "last-rc-change"),
            }
        })
        .collect()
}
