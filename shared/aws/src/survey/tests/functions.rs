//! Lambda and Batch, and what is not surveyed.

use std::collections::BTreeMap;

use patchwave::inventory::{ConsumerKind, Use};
use patchwave_tests::accounts::Region;
use serde_json::{Value, json};

use super::{Fixture, at, digest, place, reason, seen, unread};

fn function(name: &str, version: &str, package: &str, resolved: &str) -> Value {
    json!({
        "Configuration": {
            "FunctionName": name, "Version": version, "PackageType": package, "Architectures": ["arm64"],
            "LastModified": "2026-01-01T10:00:00.000+0000",
        },
        "Code": { "ImageUri": format!("r/{name}:1"), "ResolvedImageUri": resolved },
    })
}

#[tokio::test]
async fn what_a_function_can_be_called_as_runs_and_its_other_versions_refer() {
    let resolved = |n| format!("r/pay@{}", digest(n));
    let mut functions: Vec<Value> =
        (0..3).map(|n| function(&format!("zip-{n}"), "$LATEST", "Zip", "")).collect();
    functions.push(function("pay", "$LATEST", "Image", &resolved(9)));
    functions.extend((1..4).map(|n| function("pay", &n.to_string(), "Image", &resolved(n))));
    let live = json!({ "Name": "live", "FunctionVersion": "2",
        "RoutingConfig": { "AdditionalVersionWeights": { "3": 0.1 } } });
    let aliases = BTreeMap::from([("pay".to_owned(), vec![live])]);
    let fixture = Fixture::of(Region { functions, aliases, ..Region::default() }).await;
    fixture.accounts.page(2);

    let survey = fixture.survey().await;

    assert_eq!(unread(&survey, &place(ConsumerKind::Lambda, None)), None);
    let uses: BTreeMap<Option<&str>, bool> =
        survey.sightings.iter().map(|s| (s.resolved.as_deref(), s.used != Use::Referenced)).collect();
    let expected: Vec<(String, bool)> =
        [(1, false), (2, true), (3, true), (9, true)].map(|(n, runs)| (resolved(n), runs)).to_vec();
    assert_eq!(uses, expected.iter().map(|(image, runs)| (Some(image.as_str()), *runs)).collect());
    let latest = survey.sightings.iter().find(|s| s.unit == "$LATEST").unwrap();
    assert_eq!(latest.used, Use::Running { since: Some(at("2026-01-01T10:00:00Z")) });
    assert_eq!((latest.workload.as_str(), latest.architecture.as_deref()), ("pay", Some("arm64")));
    assert_eq!(latest.image, "r/pay:1");
}

#[tokio::test]
async fn a_function_that_was_deleted_since_it_was_listed_is_left_out_and_one_that_fails_is_unread() {
    let functions =
        vec![function("a", "$LATEST", "Image", "r/a@1"), function("b", "$LATEST", "Image", "r/b@1")];
    let fixture = Fixture::of(Region { functions, ..Region::default() }).await;
    fixture.accounts.refuse("GetFunction", "ResourceNotFoundException", 1);
    let survey = fixture.survey().await;
    assert_eq!((unread(&survey, &place(ConsumerKind::Lambda, None)), survey.sightings.len()), (None, 1));

    fixture.accounts.refuse("GetFunction", "AccessDeniedException", 1);
    let survey = fixture.survey().await;
    let why = reason(&survey, &place(ConsumerKind::Lambda, None));
    assert!(why.starts_with("cannot get the Lambda function a:$LATEST: AccessDenied"), "{why}");
    assert_eq!(survey.sightings.len(), 1);
}

#[tokio::test]
async fn job_definitions_refer_in_each_of_their_forms() {
    let definition = |name: &str, status: &str, form: &str, content: Value| {
        json!({ "jobDefinitionName": name, "revision": 3, "status": status, "type": "container",
            "jobDefinitionArn": name, form: content })
    };
    let job_definitions = vec![
        definition("a", "ACTIVE", "containerProperties", json!({ "image": "one" })),
        definition(
            "b",
            "ACTIVE",
            "ecsProperties",
            json!({ "taskProperties": [{ "containers": [
            { "name": "main", "image": "two" }, { "name": "side", "image": "three" }] }] }),
        ),
        definition(
            "c",
            "ACTIVE",
            "eksProperties",
            json!({ "podProperties": {
            "containers": [{ "name": "main", "image": "four" }],
            "initContainers": [{ "name": "init", "image": "five" }] } }),
        ),
        definition(
            "d",
            "ACTIVE",
            "nodeProperties",
            json!({ "numNodes": 2, "mainNode": 0, "nodeRangeProperties": [
            { "targetNodes": "0:", "container": { "image": "six" } }] }),
        ),
        definition("e", "INACTIVE", "containerProperties", json!({ "image": "seven" })),
    ];
    let fixture = Fixture::of(Region { job_definitions, ..Region::default() }).await;
    fixture.accounts.page(2);

    let survey = fixture.survey().await;

    let mut images: Vec<&str> = survey.sightings.iter().map(|s| s.image.as_str()).collect();
    images.sort_unstable();
    assert_eq!(images, ["five", "four", "one", "six", "three", "two"]);
    assert_eq!(seen(&survey)[0], ("a:3", "", None));
    assert!(survey.sightings.iter().all(|s| s.used == Use::Referenced));
}

#[tokio::test]
async fn sagemaker_is_not_an_unread_place() {
    let survey = Fixture::of(Region::default()).await.survey().await;
    assert!(survey.places.iter().all(|read| read.place.kind != ConsumerKind::SageMaker));
    assert_eq!(survey.places.iter().filter(|read| read.unread.is_some()).count(), 0);
}
