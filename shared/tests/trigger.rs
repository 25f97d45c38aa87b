//! What each sample event means.

mod invalid;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use patchwave::trigger::{AccountRegion, Event, InvalidEvent, ScheduleKind, Trigger, parse};
use serde_json::{Value, json};

const CHECKOUT: &str = "sha256:1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a";
const BASE: &str = "sha256:2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b";
const INDEX: &str = "sha256:3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c";

/// What each file of `tests/fixtures/events` means to a function that sweeps on schedule.
fn expectations() -> BTreeMap<&'static str, Vec<Event>> {
    let one = |event: Event| vec![event];
    BTreeMap::from([
        ("codepipeline-pipeline-failed.json", one(execution("FAILED"))),
        ("codepipeline-pipeline-started.json", one(execution("STARTED"))),
        ("codepipeline-pipeline-stopping.json", one(execution("STOPPING"))),
        ("codepipeline-pipeline-succeeded.json", one(execution("SUCCEEDED"))),
        ("codepipeline-pipeline-superseded.json", one(execution("SUPERSEDED"))),
        ("ecr-image-action-delete.json", one(changed("base/al2023", BASE, &["2023.9"]))),
        ("ecr-image-action-push-index-constructed.json", one(changed("base/al2023", INDEX, &["2023.9"]))),
        ("ecr-image-action-push-no-tag-field.json", one(changed("base/al2023", BASE, &[]))),
        (
            "ecr-image-action-push-tagged-with-media-types.json",
            one(changed("apps/checkout", CHECKOUT, &["1.4.2"])),
        ),
        ("ecr-image-action-push.json", one(changed("base/al2023", BASE, &["2023.9"]))),
        ("ecr-image-action-restore.json", one(changed("base/al2023", BASE, &[]))),
        ("ecr-image-scan-complete.json", one(scanned(&["1.4.2", "latest"]))),
        ("ecr-image-scan-failed.json", one(scanned(&[]))),
        (
            "ecr-pull-through-cache-action-failure-constructed.json",
            one(ignored(
                "nothing was cached: \"FAILURE: UPSTREAM_UNAVAILABLE: the upstream did not answer\"",
            )),
        ),
        (
            "ecr-pull-through-cache-action-success.json",
            one(changed("docker-hub/library/alpine", INDEX, &["3.22"])),
        ),
        ("ecr-replication-action-success.json", one(changed("base/al2023", INDEX, &["2023.9"]))),
        ("ecr-scan-resource-change.json", one(ignored("only configuration; the next sweep reads it"))),
        ("ecs-task-state-change-running.json", one(ignored("the inventory finds what runs"))),
        ("inspector2-coverage-ecr-constructed.json", one(scanned(&[]))),
        ("inspector2-finding-ecr-package-closed.json", one(scanned(&[]))),
        ("inspector2-finding-ecr-package.json", one(scanned(&[]))),
        ("inspector2-scan-ecr-clean.json", one(scanned(&[]))),
        ("inspector2-scan-ecr.json", one(scanned(&["1.4.2"]))),
        ("scheduled-event-rule.json", one(Event::Trigger(Trigger::Sweep))),
        ("scheduler-universal-input.json", one(Event::Trigger(Trigger::Sweep))),
        // This is the answer of a function, not an event.
        ("sqs-batch-response.json", vec![]),
        (
            "sqs-eventbridge-batch.json",
            vec![scanned(&["1.4.2"]), scanned(&["1.4.2", "latest"]), scanned(&[])],
        ),
        ("sqs-fifo-eventbridge.json", one(changed("base/al2023", BASE, &["2023.9"]))),
    ])
}

fn here() -> AccountRegion {
    AccountRegion { account: "111122223333".into(), region: "us-east-1".into() }
}

fn tags(tags: &[&str]) -> Vec<patchwave::image::Tag> {
    tags.iter().map(|tag| tag.parse().unwrap()).collect()
}

fn scanned(with_tags: &[&str]) -> Event {
    Event::Trigger(Trigger::Scanned {
        at: here(),
        repository: "apps/checkout".parse().unwrap(),
        digest: Some(CHECKOUT.parse().unwrap()),
        tags: tags(with_tags),
    })
}

fn changed(repository: &str, digest: &str, with_tags: &[&str]) -> Event {
    Event::Trigger(Trigger::RepositoryChanged {
        at: here(),
        repository: repository.parse().unwrap(),
        digest: Some(digest.parse().unwrap()),
        tags: tags(with_tags),
    })
}

fn execution(state: &str) -> Event {
    Event::Trigger(Trigger::Execution {
        at: here(),
        pipeline: "rebuild-platform-java".into(),
        execution: "12345678-1234-5678-abcd-12345678abcd".into(),
        state: state.to_owned().into(),
    })
}

fn ignored(because: &str) -> Event {
    Event::Ignored { because: because.into() }
}

fn fixtures() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/events");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect()
}

fn fixture(name: &str) -> Value {
    fixtures().remove(name).unwrap_or_else(|| panic!("no fixture {name}"))
}

/// The events that `payload` delivers: the bodies of a batch, or itself.
fn events(payload: &Value) -> Vec<Value> {
    if payload.get("batchItemFailures").is_some() {
        return Vec::new();
    }
    let Some(records) = payload.get("Records") else { return vec![payload.clone()] };
    let bodies = records.as_array().unwrap().iter().map(|record| record["body"].as_str().unwrap());
    bodies.map(|body| serde_json::from_str(body).unwrap()).collect()
}

/// All events of all fixtures, with the names of their files.
fn samples() -> Vec<(String, Value)> {
    let with_name = |(name, payload): (String, Value)| {
        events(&payload).into_iter().map(move |event| (name.clone(), event)).collect::<Vec<_>>()
    };
    fixtures().into_iter().flat_map(with_name).collect()
}

fn sweep(event: &Value) -> Result<Event, InvalidEvent> {
    parse(event, ScheduleKind::Sweep)
}

/// Returns `name`'s event with the value at `pointer` replaced or added.
fn with(name: &str, pointer: &str, value: Value) -> Value {
    let mut event = fixture(name);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[key] = value;
    event
}

#[test]
fn every_sample_means_what_the_table_says() {
    let expected = expectations();
    let fixtures = fixtures();
    let named: Vec<&str> = expected.keys().copied().collect();
    let found: Vec<&str> = fixtures.keys().map(String::as_str).collect();
    assert_eq!(found, named, "each file needs its line in the table, and each line its file");
    for (name, payload) in &fixtures {
        let meant: Vec<Event> = events(payload).iter().map(|event| sweep(event).unwrap()).collect();
        assert_eq!(meant, expected[name.as_str()], "{name}");
    }
}

#[test]
fn a_missing_tag_may_be_written_in_several_ways() {
    for none in [json!(""), Value::Null] {
        let event = with("ecr-image-action-push.json", "/detail/image-tag", none);
        assert_eq!(sweep(&event), Ok(changed("base/al2023", BASE, &[])));
    }
    for none in [json!([]), Value::Null, json!([""]), json!([null, ""])] {
        let event = with("ecr-image-scan-complete.json", "/detail/image-tags", none);
        assert_eq!(sweep(&event), Ok(scanned(&[])));
    }
}

#[test]
fn a_name_and_an_arn_are_the_same_repository() {
    let arn = "arn:aws:ecr:us-east-1:111122223333:repository/apps/checkout";
    for name in ["apps/checkout", arn] {
        for scan in ["ecr-image-scan-complete.json", "inspector2-scan-ecr.json"] {
            for resources in [json!([arn]), json!([]), Value::Null] {
                let mut event = with(scan, "/detail/repository-name", json!(name));
                event["resources"] = resources;
                event["detail"]["image-tags"] = json!([]);
                assert_eq!(sweep(&event), Ok(scanned(&[])), "{scan} {name}");
            }
        }
    }
}

#[test]
fn an_arn_says_whose_registry_it_is_in_every_partition() {
    for (partition, region) in
        [("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
    {
        for image in [String::new(), format!("/{CHECKOUT}")] {
            let arn = format!("arn:{partition}:ecr:{region}:444455556666:repository/apps/checkout{image}");
            let event = with("inspector2-finding-ecr-package.json", "/resources", json!([arn]));
            let expected = Trigger::Scanned {
                at: AccountRegion { account: "444455556666".into(), region: region.into() },
                repository: "apps/checkout".parse().unwrap(),
                digest: (!image.is_empty()).then(|| CHECKOUT.parse().unwrap()),
                tags: vec![],
            };
            assert_eq!(
                sweep(&event),
                Ok(Event::Trigger(expected)),
                "the event was sent to the account of the administrator"
            );
        }
    }
}

#[test]
fn findings_about_other_things_than_ecr_images_are_ignored() {
    for other in [
        "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0",
        "arn:aws:lambda:us-east-1:111122223333:function:checkout:$LATEST",
        "arn:aws:ecr-public::111122223333:repository/apps",
        "i-0123456789abcdef0",
        "/subscriptions/0/providers/Microsoft.ContainerRegistry/registries/apps",
    ] {
        for name in ["inspector2-scan-ecr.json", "inspector2-finding-ecr-package.json"] {
            let event = with(name, "/resources", json!([other]));
            assert_eq!(sweep(&event), Ok(ignored("not about a container image in ECR")), "{other}");
        }
    }
}

#[test]
fn an_action_that_failed_is_ignored() {
    let ecr = |name, field, word: &str| sweep(&with(name, field, json!(word)));
    let nothing_changed = Ok(ignored("nothing changed: its result is \"FAILURE\""));
    assert_eq!(ecr("ecr-image-action-push.json", "/detail/result", "FAILURE"), nothing_changed);
    assert_eq!(ecr("ecr-replication-action-success.json", "/detail/result", "FAILURE"), nothing_changed);
    assert_eq!(
        ecr("ecr-image-action-push.json", "/detail/action-type", "ADMIRE"),
        Ok(ignored("\"ADMIRE\" is not known to change an image"))
    );
}

#[test]
fn a_schedule_means_what_its_function_says() {
    let rule = fixture("scheduled-event-rule.json");
    let mut scheduler = with("scheduled-event-rule.json", "/source", json!("aws.scheduler"));
    scheduler["detail"] = json!("{}");
    let inputs = [
        json!({"schedule_arn": "x"}),
        json!({"scheduled_time": null}),
        fixture("scheduler-universal-input.json"),
    ];
    for event in [rule, scheduler].into_iter().chain(inputs) {
        assert_eq!(parse(&event, ScheduleKind::Tick), Ok(Event::Trigger(Trigger::Tick)), "{event}");
        assert_eq!(parse(&event, ScheduleKind::Sweep), Ok(Event::Trigger(Trigger::Sweep)), "{event}");
    }
}

#[test]
fn an_unknown_event_is_ignored_with_a_reason() {
    let check = |source: &str, detail_type: &str, because: &str| {
        let event = json!({"source": source, "detail-type": detail_type, "detail": 5});
        assert_eq!(sweep(&event), Ok(ignored(because)));
    };
    check("patchwave", "ECR Image Scan", "Patchwave's own event");
    check("aws.ecr", "ECR Referrer Action", "a referrer does not change the image it refers to");
    check(
        "aws.codepipeline",
        "CodePipeline Stage Execution State Change",
        "only a whole execution's state counts",
    );
    check(
        "aws.codepipeline",
        "CodePipeline Action Execution State Change",
        "only a whole execution's state counts",
    );
    check("aws.s3", "Object Created", "Patchwave does not act on \"Object Created\" from \"aws.s3\"");
    check("example", "ECR Image Scan", "Patchwave does not act on \"ECR Image Scan\" from \"example\"");
}

#[test]
fn an_unknown_state_is_kept_and_every_state_is_written_as_it_was_read() {
    let words = "STARTED RESUMED STOPPING STOPPED SUCCEEDED FAILED SUPERSEDED CANCELED NEWLY_INVENTED";
    for word in words.split(' ') {
        let event = with("codepipeline-pipeline-failed.json", "/detail/state", json!(word));
        let Ok(Event::Trigger(trigger)) = sweep(&event) else { panic!("{word}") };
        let expected = json!({
            "kind": "execution",
            "at": { "account": "111122223333", "region": "us-east-1" },
            "pipeline": "rebuild-platform-java",
            "execution": "12345678-1234-5678-abcd-12345678abcd",
            "state": word,
        });
        assert_eq!(serde_json::to_value(trigger).unwrap(), expected);
    }
}

#[test]
fn triggers_are_written_in_camel_case() {
    let Ok(Event::Trigger(trigger)) = sweep(&fixture("ecr-image-action-push.json")) else {
        panic!("no trigger")
    };
    let expected = json!({
        "kind": "repositoryChanged",
        "at": { "account": "111122223333", "region": "us-east-1" },
        "repository": "base/al2023",
        "digest": BASE,
        "tags": ["2023.9"],
    });
    assert_eq!(serde_json::to_value(trigger).unwrap(), expected);
    assert_eq!(serde_json::to_value(Trigger::Tick).unwrap(), json!({"kind": "tick"}));
}
