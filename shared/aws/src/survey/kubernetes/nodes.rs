//! The architectures of a cluster's nodes: what a pod runs on, whatever it asks for.
//!
//! Where nodes may not be listed, the architecture of a pod is what its selector says, or unknown.
//! Then the findings of every platform count.

use std::collections::BTreeMap;

use super::objects::Node;
use super::server::Server;
use crate::survey::budget::bounded;
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const NODES: &str = "/api/v1/nodes";

/// The architecture of each node, by its name.
pub(super) type Architectures = BTreeMap<String, String>;

/// Reads the nodes of a cluster, if they may be listed.
pub(super) async fn read(server: &Server, pace: &Pace, reading: &mut Reading) -> Architectures {
    let note = |known: &mut Architectures, node: Node, _: &mut Reading| {
        let Some(architecture) = node.metadata.labels.and_then(|labels| labels.architecture) else { return };
        known.insert(bounded(node.metadata.name), bounded(architecture));
    };
    let (architectures, end) = server.list(pace, NODES, reading, note).await;
    // A node that was not read has no architecture.
    end.map_or_else(|_| Architectures::new(), |()| architectures)
}
