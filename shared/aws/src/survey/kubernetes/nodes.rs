//! The architecture and operating system of a cluster's nodes: what a pod runs on, whatever it asks
//! for.
//!
//! Where nodes may not be listed, they are what the pod's selector says, or unknown. Then the
//! findings of every platform count.

use std::collections::BTreeMap;

use super::objects::{Node, PodSpec};
use super::server::Server;
use crate::survey::budget::bounded;
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const NODES: &str = "/api/v1/nodes";

/// What a machine runs images for, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) architecture: Option<String>,
    pub(super) os: Option<String>,
}

/// The nodes of a cluster, by their names.
pub(super) type Nodes = BTreeMap<String, Machine>;

/// Reads the nodes of a cluster, if they may be listed.
pub(super) async fn read(server: &Server, pace: &Pace, reading: &mut Reading) -> Nodes {
    let note = |known: &mut Nodes, node: Node, _: &mut Reading| {
        let Some(labels) = node.metadata.labels else { return };
        let (architecture, os) = (labels.architecture.map(bounded), labels.os.map(bounded));
        known.insert(bounded(node.metadata.name), Machine { architecture, os });
    };
    let (nodes, end) = server.list(pace, NODES, reading, note).await;
    // Nothing is known of a node that was not read.
    end.map_or_else(|_| Nodes::new(), |()| nodes)
}

/// Returns what a pod runs on: its node, or as far as that is not known what it asks for.
pub(super) fn machine(spec: &PodSpec, nodes: &Nodes) -> Machine {
    let node = nodes.get(&spec.node_name).cloned().unwrap_or_default();
    let selector = spec.node_selector.as_ref();
    let own_os = || spec.os.as_ref().and_then(|os| os.name.clone());
    let selected = || selector.and_then(|selector| selector.architecture.clone());
    let selected_os = || selector.and_then(|selector| selector.os.clone());
    Machine {
        architecture: node.architecture.or_else(selected),
        os: node.os.or_else(selected_os).or_else(own_os),
    }
}
