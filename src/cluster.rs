//! What the cluster says of itself: `crm_mon -1 --inactive --output-as=xml`, read.
//!
//! Used by the actions `wait`, `fencing-device` and `verify`, and by `hapair status`.

mod operation;

use roxmltree::{Document, Node};

pub use operation::OperationView;

/// The command whose output [`ClusterView::parse`] reads. Stopped resources are shown too, or nothing could be missed.
pub const CRM_MON: [&str; 4] = ["crm_mon", "-1", "--inactive", "--output-as=xml"];

/// The shell function `managed ID`: whether Pacemaker has this resource, and acts by itself.
pub const MANAGED: &str = include_str!("cluster/managed.sh");

/// Exit code of Pacemaker's tools when no cluster runs on the node (`CRM_EX_DISCONNECT`).
pub const NOT_CONNECTED: i32 = 102;

/// The cluster as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Name of the designated controller, once one is elected.
    pub dc: Option<String>,
    /// This partition may act.
    pub quorum: bool,
    /// `stonith-enabled`.
    pub fencing_enabled: bool,
    /// `maintenance-mode`: the cluster looks but does nothing.
    pub maintenance: bool,
    /// The nodes.
    pub nodes: Vec<NodeView>,
    /// Every resource; of a clone each instance.
    pub resources: Vec<ResourceView>,
    /// Actions that failed and were not cleaned up.
    pub failures: Vec<FailureView>,
    /// Who was fenced, the latest first.
    pub fencings: Vec<FencingView>,
    /// What each resource's actions gave, in the order in which they were done on a node; only with `--timing-details`.
    pub operations: Vec<OperationView>,
    /// Constraints that keep a resource away from a node.
    pub bans: Vec<BanView>,
}

/// A node as the cluster sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "crm_mon's own attributes, in any combination")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// A member, with its daemons in contact.
    pub online: bool,
    /// Its state is not known: it has to be fenced before anything it ran may start elsewhere.
    pub unclean: bool,
    /// It is joining.
    pub pending: bool,
    /// It runs nothing, on request.
    pub standby: bool,
    /// Its resources are left alone, on request.
    pub maintenance: bool,
    /// It is leaving.
    pub shutdown: bool,
}

impl NodeView {
    /// Takes part and may run resources.
    pub fn is_ready(&self) -> bool {
        self.online && !self.unclean && !self.pending && !self.shutdown
    }

    /// In a word, as crm_mon has it.
    pub fn word(&self) -> &'static str {
        match self {
            NodeView { online: false, unclean: true, .. } => "UNCLEAN (offline)",
            NodeView { online: true, unclean: true, .. } => "UNCLEAN (online)",
            NodeView { pending: true, .. } => "pending",
            NodeView { online: false, .. } => "OFFLINE",
            NodeView { shutdown: true, .. } => "shutting down",
            NodeView { standby: true, .. } => "standby",
            NodeView { maintenance: true, .. } => "maintenance",
            NodeView { .. } => "online",
        }
    }
}

/// A resource, or an instance of a clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "crm_mon's own attributes, in any combination")]
pub struct ResourceView {
    /// Id of the primitive.
    pub id: String,
    /// Id of the clone it is an instance of.
    pub clone: Option<String>,
    /// That clone is a promotable one.
    pub promotable: bool,
    /// Agent: `ocf:heartbeat:Xen`.
    pub agent: String,
    /// `Started`, `Stopped`, `Promoted`, `Unpromoted`, `Starting`...; the old words are translated.
    pub role: String,
    /// Role that was asked for, if any.
    pub target: Option<String>,
    /// Its last action failed.
    pub failed: bool,
    /// The cluster can do nothing with it before somebody mends it.
    pub blocked: bool,
    /// The cluster manages it.
    pub managed: bool,
    /// No longer in the configuration.
    pub orphaned: bool,
    /// What the cluster is doing with it just now.
    pub pending: Option<String>,
    /// Where it runs.
    pub nodes: Vec<String>,
}

impl ResourceView {
    /// Id of the clone, or of the resource itself.
    pub fn top(&self) -> &str {
        self.clone.as_deref().unwrap_or(&self.id)
    }

    /// Somebody asked that it be stopped.
    pub fn is_to_stop(&self) -> bool {
        self.target.as_deref() == Some("Stopped")
    }

    /// In the role that a running one has.
    fn is_up(&self) -> bool {
        let role = if self.promotable && self.target.as_deref() != Some("Unpromoted") { "Promoted" } else { "Started" };
        self.role == role
            || (self.promotable && self.target.as_deref() == Some("Unpromoted") && self.role == "Unpromoted")
    }
}

/// A failed action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureView {
    /// Resource.
    pub resource: String,
    /// Action: `start`, `monitor`...
    pub task: String,
    /// Where.
    pub node: String,
    /// What the agent returned: `error`, `not running`; or the status where it did not end (`Timed Out`).
    pub result: String,
    /// What the agent gave as the reason.
    pub reason: String,
}

impl FailureView {
    /// For people, with what mends it.
    pub fn words(&self) -> String {
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        format!("{} of {} failed on {}: {}{reason}", self.task, self.resource, self.node, self.result)
    }

    /// The command that makes the cluster forget the failure and try again.
    pub fn cleanup(&self) -> String {
        format!("crm_resource --cleanup -r {}", self.resource)
    }
}

/// A fencing that was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FencingView {
    /// Who was shot.
    pub target: String,
    /// `reboot`, `off`.
    pub action: String,
    /// `success`, `failed`, `pending`.
    pub status: String,
    /// Who shot.
    pub delegate: String,
    /// When, as Pacemaker writes it.
    pub completed: String,
}

/// A constraint that keeps a resource away from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BanView {
    /// Its id.
    pub id: String,
    /// Resource.
    pub resource: String,
    /// Node.
    pub node: String,
    /// Below zero; -1000000 is never.
    pub weight: i64,
}

impl ClusterView {
    /// Reads the output of [`CRM_MON`].
    ///
    /// # Errors
    /// When it is not that command's XML; the text is for people.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let document = Document::parse(xml).map_err(|error| format!("crm_mon printed no XML: {error}"))?;
        let root = document.root_element();
        let mut view = Self::default();
        let Some(summary) = child(root, "summary") else {
            return Err(format!("crm_mon printed <{}> without a summary", root.tag_name().name()));
        };
        if let Some(dc) = child(summary, "current_dc").filter(|dc| truth(*dc, "present")) {
            view.dc = Some(text(dc, "name"));
            view.quorum = truth(dc, "with_quorum");
        }
        if let Some(options) = child(summary, "cluster_options") {
            view.fencing_enabled = truth(options, "stonith-enabled");
            view.maintenance = truth(options, "maintenance-mode");
        }
        view.nodes = children(root, "nodes", "node").map(node).collect();
        if let Some(resources) = child(root, "resources") {
            view.resources =
                resources.descendants().filter(|node| node.has_tag_name("resource")).map(resource).collect();
        }
        view.failures = children(root, "failures", "failure").map(failure).collect();
        view.fencings = children(root, "fence_history", "fence_event")
            .map(|event| FencingView {
                target: text(event, "target"),
                action: text(event, "action"),
                status: text(event, "status"),
                delegate: text(event, "delegate"),
                completed: text(event, "completed"),
            })
            .collect();
        view.operations = child(root, "node_history").map(operation::all).unwrap_or_default();
        view.bans = children(root, "bans", "ban")
            .map(|ban| BanView {
                id: text(ban, "id"),
                resource: text(ban, "resource"),
                node: text(ban, "node"),
                weight: text(ban, "weight").parse().unwrap_or_default(),
            })
            .collect();
        Ok(view)
    }

    /// The last of a resource's successful or failed actions of these names, on one node or on any.
    pub fn operation(&self, resource: &str, node: Option<&str>, tasks: &[&str]) -> Option<&OperationView> {
        self.operations.iter().rev().find(|operation| {
            operation.resource == resource
                && node.is_none_or(|node| operation.node == node)
                && tasks.contains(&operation.task.as_str())
        })
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// What is missing until these nodes form a cluster that may act; empty when nothing is.
    pub fn missing_membership(&self, names: &[String]) -> Vec<String> {
        let mut missing: Vec<String> = names
            .iter()
            .filter_map(|name| match self.node(name) {
                None => Some(format!("{name} is not known to the cluster")),
                Some(node) if !node.is_ready() => Some(format!("{name} is {}", node.word())),
                Some(_) => None,
            })
            .collect();
        for node in &self.nodes {
            if !names.contains(&node.name) {
                missing.push(format!("{} is in the cluster and not in the answers", node.name));
            }
        }
        if self.dc.is_none() {
            missing.push("no controller (DC) is elected".to_owned());
        } else if !self.quorum {
            missing.push("this partition has no quorum".to_owned());
        }
        missing
    }

    /// What does not run where it should; empty when all does. `wanted` names resources or clones that must be there;
    /// with none named, all that are in the CIB count.
    pub fn missing_resources(&self, wanted: &[String]) -> Vec<String> {
        let mut missing = Vec::new();
        if self.maintenance {
            missing.push("the cluster is in maintenance mode".to_owned());
        }
        let mut tops: Vec<&str> = self.resources.iter().map(ResourceView::top).collect();
        tops.dedup();
        for id in wanted {
            if !self.resources.iter().any(|resource| resource.top() == id || resource.id == *id) {
                missing.push(format!("{id} is not in the CIB"));
            }
            if self.is_told_to_stop(id) {
                missing.push(format!("{id} is told to stop"));
            }
        }
        for top in tops {
            let members: Vec<&ResourceView> = self.resources.iter().filter(|resource| resource.top() == top).collect();
            let named = wanted.is_empty() || wanted.iter().any(|id| id == top || members.iter().any(|m| m.id == *id));
            if named {
                missing.extend(self.missing_of(top, &members));
            }
        }
        missing
    }

    fn missing_of(&self, top: &str, members: &[&ResourceView]) -> Vec<String> {
        let Some(first) = members.first() else { return Vec::new() };
        if first.is_to_stop() {
            return Vec::new();
        }
        if !first.managed {
            return vec![format!("{top} is not managed by the cluster")];
        }
        if first.clone.is_none() {
            return match first.nodes.as_slice() {
                _ if first.blocked => vec![format!("{top} is blocked")],
                [_] if first.is_up() && !first.failed => Vec::new(),
                [] => vec![format!("{top} is {}", doing(first))],
                [one] => vec![format!("{top} is {} on {one}", doing(first))],
                several => vec![format!("{top} runs on {} at once", several.join(" and "))],
            };
        }
        self.nodes
            .iter()
            .filter(|node| node.online && !node.standby)
            .filter_map(|node| {
                let here: Vec<_> = members.iter().filter(|member| member.nodes.contains(&node.name)).collect();
                match here.as_slice() {
                    [] => Some(format!("{top} does not run on {}", node.name)),
                    all if all.iter().any(|member| member.blocked) => {
                        Some(format!("{top} is blocked on {}", node.name))
                    }
                    all => all
                        .iter()
                        .find(|member| !member.is_up() || member.failed)
                        .map(|member| format!("{top} is {} on {}", doing(member), node.name)),
                }
            })
            .collect()
    }

    /// What will not come by itself: blocked resources, and failed actions of resources that do not run where they
    /// should. `heals` names resources whose failures the cluster forgets soon (a short `failure-timeout`).
    pub fn hopeless(&self, wanted: &[String], heals: &[String]) -> Vec<String> {
        let mut hopeless: Vec<String> = self
            .resources
            .iter()
            .filter(|resource| resource.blocked && !resource.is_to_stop())
            .map(|resource| format!("{} is blocked; {}", resource.id, how_to_clean(&resource.id)))
            .collect();
        hopeless.extend(wanted.iter().filter(|id| self.is_told_to_stop(id)).map(|id| {
            format!(
                "{id} is told to stop (target-role), by a person or by an undo that was not finished; to let it run: \
                 crm_resource --resource {id} --meta --delete-parameter target-role"
            )
        }));
        let missing = self.missing_resources(wanted);
        for failure in &self.failures {
            // A failed monitor is followed by a recovery, and a start of a VM that failed here is tried on the other node;
            // a clone has nowhere else to go.
            let instance = self.resources.iter().find(|resource| resource.id == failure.resource);
            let stuck = instance.is_some_and(|resource| {
                let top = format!("{} ", resource.top());
                missing.iter().any(|line| line.starts_with(&top))
                    && match resource.clone {
                        Some(_) => !self.runs_on(&failure.resource, &failure.node),
                        None => {
                            resource.nodes.is_empty()
                                && resource.pending.is_none()
                                && self.failed_everywhere(&failure.resource)
                        }
                    }
            });
            let lasting = matches!(failure.task.as_str(), "start" | "promote" | "stop" | "migrate_from");
            if stuck && lasting && !heals.contains(&failure.resource) {
                hopeless.push(format!("{}; {}", failure.words(), how_to_clean(&failure.resource)));
            }
        }
        hopeless.dedup();
        hopeless
    }

    /// Whether this clone, on which others stand, is to be stopped. A VM that is, is its user's business.
    fn is_told_to_stop(&self, clone: &str) -> bool {
        self.resources.iter().any(|resource| resource.clone.as_deref() == Some(clone) && resource.is_to_stop())
    }

    fn runs_on(&self, id: &str, node: &str) -> bool {
        self.resources.iter().any(|resource| resource.id == id && resource.nodes.iter().any(|name| name == node))
    }

    fn failed_everywhere(&self, id: &str) -> bool {
        self.nodes
            .iter()
            .filter(|node| node.is_ready() && !node.standby)
            .all(|node| self.failures.iter().any(|failure| failure.resource == id && failure.node == node.name))
    }

    /// Fencing devices that run, by id.
    pub fn fencing_devices(&self) -> impl Iterator<Item = &ResourceView> {
        self.resources.iter().filter(|resource| resource.agent.starts_with("stonith:"))
    }
}

fn how_to_clean(id: &str) -> String {
    format!("when its cause is mended: crm_resource --cleanup -r {id}")
}

fn doing(resource: &ResourceView) -> String {
    match &resource.pending {
        Some(pending) => pending.to_lowercase(),
        None if resource.failed => format!("{} and failed", resource.role.to_lowercase()),
        None => resource.role.to_lowercase(),
    }
}

fn node(node: Node<'_, '_>) -> NodeView {
    NodeView {
        name: text(node, "name"),
        online: truth(node, "online"),
        unclean: truth(node, "unclean"),
        pending: truth(node, "pending"),
        standby: truth(node, "standby") || truth(node, "standby_onfail"),
        maintenance: truth(node, "maintenance"),
        shutdown: truth(node, "shutdown"),
    }
}

fn resource(node: Node<'_, '_>) -> ResourceView {
    let clone = node.ancestors().find(|parent| parent.has_tag_name("clone"));
    ResourceView {
        id: text(node, "id"),
        clone: clone.map(|clone| text(clone, "id")),
        promotable: clone.is_some_and(|clone| truth(clone, "multi_state")),
        agent: text(node, "resource_agent"),
        role: modern(&text(node, "role")),
        target: node.attribute("target_role").map(modern),
        failed: truth(node, "failed") && !truth(node, "failure_ignored"),
        blocked: truth(node, "blocked"),
        managed: truth(node, "managed"),
        orphaned: truth(node, "orphaned"),
        pending: node.attribute("pending").map(str::to_owned),
        nodes: node.children().filter(|node| node.has_tag_name("node")).map(|node| text(node, "name")).collect(),
    }
}

fn failure(node: Node<'_, '_>) -> FailureView {
    // `op_key` is RESOURCE_TASK_INTERVAL; a resource's id may hold underscores itself.
    let key = text(node, "op_key");
    let resource = key.rsplitn(3, '_').nth(2).unwrap_or(&key);
    // migrate_to and migrate_from bring an underscore of their own.
    let task = text(node, "task");
    let resource = resource.strip_suffix("_migrate").unwrap_or(resource).to_owned();
    let status = text(node, "status");
    FailureView {
        resource,
        task,
        node: text(node, "node"),
        result: if status.is_empty() || status == "complete" { text(node, "exitstatus") } else { status },
        reason: text(node, "exitreason"),
    }
}

/// Pacemaker 2.1 says Promoted where 2.0 said Master.
fn modern(role: &str) -> String {
    match role {
        "Master" => "Promoted",
        "Slave" => "Unpromoted",
        other => other,
    }
    .to_owned()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn children<'a, 'input>(
    root: Node<'a, 'input>,
    list: &str,
    item: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    child(root, list).into_iter().flat_map(|list| list.children()).filter(move |child| child.has_tag_name(item))
}

fn text(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_owned()
}

fn truth(node: Node<'_, '_>, name: &str) -> bool {
    matches!(node.attribute(name), Some("true" | "1" | "yes" | "on"))
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
