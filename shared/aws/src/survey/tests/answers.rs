//! What a refused call means to a survey.

use std::collections::BTreeMap;

use patchwave_tests::accounts::{EcsCluster, Region};
use serde_json::json;

use super::{Fixture, cluster, digest, revision, service, task};

/// Refusals before the call succeeds: one fewer than a survey attempts.
const REFUSALS: u32 = 5;

/// A Region in which every call of a survey is made.
fn region() -> Region {
    let function = json!({
        "Configuration": { "FunctionName": "pay", "Version": "$LATEST", "PackageType": "Image" },
        "Code": { "ImageUri": "r/pay:1", "ResolvedImageUri": format!("r/pay@{}", digest(9)) },
    });
    let services = vec![service("web", "idle", &["1"]), service("web", "bare", &[])];
    let revisions = vec![revision("web", "idle", "1", &BTreeMap::from([("app", digest(1))]))];
    let tasks = vec![task("web", 1, "service:shop", &[("app", Some(digest(1)))])];
    let target = json!({ "Id": "1", "Arn": super::arn("cluster/web"),
        "EcsParameters": { "TaskDefinitionArn": super::arn("task-definition/nightly:1") } });
    Region {
        ecs: vec![EcsCluster { services, revisions, ..cluster("web", tasks) }],
        functions: vec![function],
        eks: vec![json!({ "name": "pods", "status": "ACTIVE" })],
        rules: vec![json!({ "Name": "nightly", "Targets": [target] })],
        schedules: vec![json!({ "Name": "hourly", "GroupName": "default", "Target": target })],
        ..Region::default()
    }
}

/// Returns what it means that an operation is refused a few times: whether it is tried again, what
/// it asks about is gone, or its place is unread.
pub(crate) async fn meaning(service: &str, operation: &str, code: &str, status: u16) -> String {
    let fixture = Fixture::of(region()).await;
    // Two services have an operation of this name.
    let operation =
        if (service, operation) == ("eks", "ListClusters") { "ListEksClusters" } else { operation };
    fixture.accounts.refuse_with(operation, code, status, REFUSALS);
    let survey = fixture.survey().await;
    let is_unread = |reason: &String| reason.contains(code);
    let unread = survey.places.iter().filter_map(|read| read.unread.as_ref()).any(is_unread);
    let calls = fixture.accounts.calls(operation);
    assert!(calls > 0, "{operation} is not called");
    match (unread, calls > REFUSALS) {
        (true, _) => "unread",
        (false, true) => "retried",
        (false, false) => "gone",
    }
    .to_owned()
}
