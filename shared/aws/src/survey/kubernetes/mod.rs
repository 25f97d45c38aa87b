//! A cluster's own API: pods run images, and workload objects refer to them.

mod custom;
mod few;
mod nodes;
mod objects;
mod pods;
mod replica_sets;
mod server;
mod token;
mod workloads;

use super::pace::Pace;
use super::reading::Reading;

pub(super) use server::Address;

/// Reads all pods of a cluster, and the workloads without pods.
pub(super) async fn read(address: Address, pace: &Pace, reading: &mut Reading) {
    let server = match server::Server::new(address) {
        Ok(server) => server,
        Err(fault) => return reading.miss(fault.into()),
    };
    let nodes = nodes::read(&server, pace, reading).await;
    let note = |running: &mut _, pod, reading: &mut _| pods::note(running, &pod, &nodes, reading);
    let (running, end) = server.list(pace, "/api/v1/pods", reading, note).await;
    if let Err(missed) = end {
        // Without the pods it is unknown which workloads run.
        return reading.miss(missed);
    }
    workloads::note(&server, pace, &running, reading).await;
}

fn workload(namespace: &str, kind: &str, name: &str) -> String {
    format!("{namespace}/{kind}/{name}")
}
