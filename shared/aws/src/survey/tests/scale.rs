//! A large fleet: how many calls it takes, and how long AWS's rates make them.

use std::collections::BTreeMap;

use patchwave::hierarchy::Role;
use patchwave::inventory::ConsumerKind;
use patchwave_tests::accounts::{EcsCluster, Kubernetes, Region, Trust};
use serde_json::{Value, json};

use super::super::Target;
use super::{Fixture, REGION, cluster, digest, revision, service, task};

const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const ECS_CLUSTERS: usize = 150;
const EKS_CLUSTERS: usize = 50;
const TASKS: usize = 10_000;
const PODS: usize = 5_000;
const SERVICES: usize = 8;

/// How many tasks a cluster has. Some have thousands, most have few.
fn tasks_of(n: usize) -> usize {
    match n {
        0..3 => 1_500,
        3..50 => 80,
        50..100 => 30,
        _ => (TASKS - 3 * 1_500 - 47 * 80 - 50 * 30) / 50 + usize::from(n == 149) * ((TASKS - 9_760) % 50),
    }
}

fn ecs(n: usize) -> EcsCluster {
    let name = format!("c{n:03}");
    let group = |task: usize| format!("service:s{}", task % (SERVICES - 1));
    let tasks = (0..tasks_of(n))
        .map(|i| task(&name, i, &group(i), &[("app", Some(digest(i % 40))), ("log", Some(digest(99)))]))
        .collect();
    let services = (0..SERVICES).map(|i| service(&name, &format!("s{i}"), &["1"])).collect();
    let images = BTreeMap::from([("app", digest(7))]);
    let revisions = (0..SERVICES).map(|i| revision(&name, &format!("s{i}"), "1", &images)).collect();
    EcsCluster { services, revisions, ..cluster(&name, tasks) }
}

fn pod(n: usize) -> Value {
    json!({
        "metadata": { "name": format!("p{n}"), "namespace": "shop", "ownerReferences": [
            { "kind": "ReplicaSet", "name": format!("d{}-5d8f", n % 10), "controller": true }],
            "labels": { "pod-template-hash": "5d8f" } },
        "spec": { "containers": [{ "name": "app", "image": "r/app:1", "env": [{ "name": "X", "value": "y".repeat(2_000) }] }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "app", "imageID": format!("r/app@{}", digest(n)),
            "state": { "running": { "startedAt": "2026-01-01T09:00:00Z" } } }] },
    })
}

/// How many services of a cluster run nothing: the last one, and those without tasks.
fn idle(n: usize) -> usize {
    SERVICES - tasks_of(n).min(SERVICES - 1)
}

fn pages(items: usize, page: usize) -> usize {
    items.div_ceil(page).max(1)
}

/// The fewest calls that a cluster can be read with. Its tasks and services are listed and
/// described page by page. Of the services, only idle ones and their revisions are described.
fn floor(n: usize) -> usize {
    let tasks = tasks_of(n);
    pages(tasks, 100) + tasks.div_ceil(100) + pages(SERVICES, 100) + 1 + 1
}

/// Returns the most memory that this process has held, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures for people")]
async fn a_large_fleet_costs_little_more_than_its_pages() {
    assert_eq!((0..ECS_CLUSTERS).map(tasks_of).sum::<usize>(), TASKS);
    let kubernetes = Kubernetes::start().await;
    let fixture = Fixture::new().await;
    let mut regions = [(); 3].map(|()| Region::default());
    for n in 0..ECS_CLUSTERS {
        regions[n % 3].ecs.push(ecs(n));
    }
    for n in 0..EKS_CLUSTERS {
        let name = format!("k{n}");
        let of = PODS / EKS_CLUSTERS;
        kubernetes.put(&name, "/api/v1/pods", (n * of..(n + 1) * of).map(pod).collect());
        regions[n % 3].eks.push(kubernetes.described(&name, Trust::Ours));
    }
    for (account, region) in ACCOUNTS.into_iter().zip(regions) {
        fixture.accounts.set(account, REGION, region);
        fixture.accounts.trust(&format!("arn:aws:iam::{account}:role/reader"), Some("id"));
    }
    let targets = ACCOUNTS.map(|account| Target {
        account: account.to_owned(),
        environment: None,
        role: Some(Role { name: "reader".to_owned(), external_id: Some("id".to_owned()) }),
        regions: vec![REGION.to_owned()],
    });

    let before = peak_memory();
    let (survey, cursor) = fixture.surveyor.survey(&targets, None, None).await;

    assert_eq!(cursor, None);
    let idle: usize = (0..ECS_CLUSTERS).map(idle).sum();
    let of = |kind| survey.sightings.iter().filter(|s| s.place.kind == kind).count();
    assert_eq!((of(ConsumerKind::Ecs), of(ConsumerKind::Eks)), (2 * TASKS + idle, PODS));
    let calls = fixture.accounts.all_calls();
    let ecs: u32 = [
        "ListClusters",
        "ListTasks",
        "DescribeTasks",
        "ListServices",
        "DescribeServices",
        "DescribeServiceRevisions",
    ]
    .into_iter()
    .map(|operation| fixture.accounts.calls(operation))
    .sum();
    let floor = 3 + (0..ECS_CLUSTERS).map(floor).sum::<usize>();
    println!("200 clusters, {TASKS} tasks, {PODS} pods, 3 accounts");
    println!("calls: {calls:?}, Kubernetes {}", kubernetes.calls());
    println!("ECS calls: {ecs}, the floor is {floor}");
    println!("the token buckets impose {:.1} s", fixture.clock.waited());
    println!("peak memory with the fakes: {} MiB, {before} MiB of it before the survey", peak_memory());
    assert!(f64::from(ecs) <= 1.05 * f64::from(u32::try_from(floor).unwrap()), "{ecs} calls, {floor} pages");
    // Nodes, pods, the groups of the API and six kinds of workloads, each on one page.
    assert_eq!(kubernetes.calls(), 9 * u32::try_from(EKS_CLUSTERS).unwrap());
    // In real time the calls take longer than their turns, but no turn comes later.
    assert!(fixture.clock.waited() < 60.0, "{}", fixture.clock.waited());
}
