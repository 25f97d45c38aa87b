//! What each sample event means, and what happens to events that are not like the samples.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers belong to the tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use patchwave::trigger::{AccountRegion, Event, InvalidEvent, ScheduleKind, Trigger, parse};
use proptest::prelude::*;
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
        // What a function answers, not what it gets.
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

/// All events of all fixtures, named by their file.
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

#[track_caller]
fn assert_invalid(event: &Value, path: &str, problem: &str) {
    let invalid = sweep(event).expect_err("the event should be invalid");
    assert_eq!(invalid.path, path, "{invalid}");
    assert!(invalid.problem.contains(problem), "{invalid}");
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
fn a_missing_field_is_tolerated_or_named() {
    for (name, event) in samples() {
        for (parent, prefix) in [("", ""), ("/detail", "detail.")] {
            let Some(fields) = event.pointer(parent).and_then(Value::as_object) else { continue };
            for field in fields.keys() {
                for gone in [None, Some(Value::Null), Some(json!(""))] {
                    let mut without = event.clone();
                    let object = without.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                    match &gone {
                        None => object.remove(field),
                        Some(empty) => object.insert(field.clone(), empty.clone()),
                    };
                    let path = format!("{prefix}{field}");
                    if let Err(invalid) = sweep(&without) {
                        assert!(
                            invalid.path.starts_with(&path),
                            "{name} without {path} ({gone:?}): {invalid}"
                        );
                    }
                }
            }
        }
    }
}

/// These decide what an event means; without the others a function still knows where to look.
#[test]
fn only_what_decides_is_required() {
    let required = |name: &str| -> Vec<String> {
        let event = fixture(name);
        let missing = |parent: &str, field: &String| {
            let mut without = event.clone();
            without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
            sweep(&without).is_err().then(|| field.clone())
        };
        let top = event.as_object().unwrap().keys().filter_map(|field| missing("", field));
        let detail =
            event["detail"].as_object().unwrap().keys().filter_map(|field| missing("/detail", field));
        top.chain(detail).collect()
    };
    let envelope = ["account", "detail", "detail-type", "region", "source"];
    let check = |name: &str, detail: &[&str]| {
        let expected: Vec<&str> = envelope.iter().chain(detail).copied().collect();
        assert_eq!(required(name), expected, "{name}");
    };
    check("ecr-image-scan-complete.json", &["repository-name"]);
    check("ecr-image-action-push.json", &["action-type", "repository-name", "result"]);
    check("ecr-replication-action-success.json", &["repository-name", "result"]);
    check("ecr-pull-through-cache-action-success.json", &["repository-name", "sync-status"]);
    check("codepipeline-pipeline-started.json", &["execution-id", "pipeline", "state"]);
    assert_eq!(
        required("inspector2-scan-ecr.json"),
        ["detail-type", "source"],
        "resource and name stand for each other"
    );
    assert_eq!(required("inspector2-finding-ecr-package.json"), ["detail-type", "resources", "source"]);
    assert_eq!(required("scheduled-event-rule.json"), ["detail-type", "source"]);
}

#[test]
fn a_wrong_type_names_the_field() {
    let string = "expected a string";
    let push = "ecr-image-action-push.json";
    assert_invalid(&with(push, "/detail/repository-name", json!(5)), "detail.repository-name", string);
    assert_invalid(&with(push, "/detail/image-tag", json!(["1"])), "detail.image-tag", string);
    assert_invalid(&with(push, "/detail", json!("{}")), "detail", "not a JSON object");
    assert_invalid(&with(push, "/detail", json!(["PUSH", "SUCCESS"])), "detail", "not a JSON object");
    assert_invalid(&with(push, "/account", json!(111_122_223_333_u64)), "account", string);
    assert_invalid(&with(push, "/source", json!({})), "source", string);
    assert_invalid(&with(push, "/detail-type", json!(true)), "detail-type", string);
    let scan = "ecr-image-scan-complete.json";
    assert_invalid(
        &with(scan, "/detail/image-tags", json!("latest")),
        "detail.image-tags",
        "expected a sequence",
    );
    assert_invalid(&with(scan, "/detail/image-tags", json!(["1", 2])), "detail.image-tags[1]", string);
    assert_invalid(&with("inspector2-scan-ecr.json", "/resources", json!([{}])), "resources[0]", string);
}

#[test]
fn a_word_that_is_none_names_the_field() {
    let push = "ecr-image-action-push.json";
    assert_invalid(
        &with(push, "/detail/image-digest", json!("sha256:2b")),
        "detail.image-digest",
        "is not a digest",
    );
    assert_invalid(&with(push, "/detail/image-tag", json!("-rc")), "detail.image-tag", "is not a tag");
    assert_invalid(
        &with(push, "/detail/repository-name", json!("Base")),
        "detail.repository-name",
        "repository name",
    );
    assert_invalid(&with(push, "/account", json!("1111")), "account", "12 digits");
    assert_invalid(&with(push, "/region", json!("us east 1")), "region", "a region");
    let build = "codepipeline-pipeline-failed.json";
    for bad in ["a b".to_owned(), "p".repeat(101), "../x".into()] {
        assert_invalid(&with(build, "/detail/pipeline", json!(bad)), "detail.pipeline", "a pipeline name");
    }
    for bad in ["1_2".to_owned(), "1".repeat(101)] {
        assert_invalid(
            &with(build, "/detail/execution-id", json!(bad)),
            "detail.execution-id",
            "an execution id",
        );
    }
    assert_invalid(&with(build, "/detail/state", json!("S".repeat(51))), "detail.state", "a state");
    for bad in [
        "arn:aws:ecr:us-east-1:111122223333:repository/apps/checkout/sha256:12",
        "arn:aws:ecr:us-east-1:111122223333:registry/apps",
        "arn:aws:ecr:us-east-1:1111:repository/apps",
        "arn:aws:ecr:us-east-1",
    ] {
        assert_invalid(
            &with("inspector2-scan-ecr.json", "/resources", json!([bad])),
            "resources[0]",
            "is not",
        );
    }
}

#[test]
fn no_tag_is_written_in_many_ways() {
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
            assert_eq!(sweep(&event), Ok(Event::Trigger(expected)), "told to the administrator's account");
        }
    }
}

#[test]
fn inspector_also_looks_at_other_things() {
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
fn what_failed_changed_nothing() {
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
fn schedules_mean_what_the_function_says() {
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
fn what_it_does_not_know_is_ignored_and_says_so() {
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
fn what_is_no_event_says_what_to_send() {
    for value in [Value::Null, json!([]), json!("{}"), json!(1)] {
        assert_invalid(&value, ".", "not a JSON object");
    }
    assert_invalid(&json!({}), "detail-type", "missing");
    assert_invalid(&json!({"detail-type": "Scheduled Event"}), "source", "missing");
    for batch in ["sqs-eventbridge-batch.json", "sqs-fifo-eventbridge.json"] {
        assert_invalid(&fixture(batch), "Records", "an SQS batch");
    }
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

#[test]
fn a_message_reads_well_and_stays_short() {
    let event = with("ecr-image-action-push.json", "/detail/repository-name", Value::Null);
    assert_eq!(
        sweep(&event).unwrap_err().to_string(),
        "cannot read the event \"ECR Image Action\": detail.repository-name: missing or empty"
    );
    assert_message_is_short(&json!({"detail-type": "\n".repeat(100_000)}));
    assert_message_is_short(&json!({"detail-type": "x".repeat(100_000), "source": "\n".repeat(100_000)}));
    for field in ["/detail/image-tag", "/detail/result", "/detail/action-type", "/account", "/source"] {
        assert_message_is_short(&with("ecr-image-action-push.json", field, json!("\u{1}".repeat(100_000))));
    }
    let failure = "ecr-pull-through-cache-action-failure-constructed.json";
    assert_message_is_short(&with(failure, "/detail/failure-reason", json!("\u{1}".repeat(100_000))));
}

#[track_caller]
fn assert_message_is_short(event: &Value) {
    let message = match sweep(event) {
        Ok(Event::Trigger(_)) => return,
        Ok(Event::Ignored { because }) => because,
        Err(invalid) => invalid.to_string(),
    };
    assert!(message.len() < 5_000, "{} bytes", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(arn:[a-z]{0,3}:ecr:[a-z:/0-9]{0,20}|SUCCESS|sha256:[0-9a-f]{0,64})".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z-]{0,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Removes, or replaces by `new`, the `nth` of all values inside `value`; counts down what it passes.
fn mutate(value: &mut Value, nth: &mut usize, new: Option<&Value>) {
    let keys: Vec<String> = match value {
        Value::Object(object) => object.keys().cloned().collect(),
        Value::Array(array) => (0..array.len()).map(|index| index.to_string()).collect(),
        _ => return,
    };
    for key in keys {
        if *nth == 0 {
            match (&mut *value, new) {
                (Value::Object(object), None) => drop(object.remove(&key)),
                (Value::Array(array), None) => drop(array.remove(key.parse().unwrap())),
                (parent, Some(new)) => *parent.pointer_mut(&format!("/{key}")).unwrap() = new.clone(),
                _ => unreachable!("only objects and arrays have keys"),
            }
            *nth = usize::MAX;
            return;
        }
        *nth -= 1;
        if let Some(child) = value.pointer_mut(&format!("/{key}")) {
            mutate(child, nth, new);
        }
        if *nth == usize::MAX {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_arrives_makes_it_panic(
        sample in prop::sample::select(samples()),
        mutations in prop::collection::vec((0..40_usize, prop::option::of(anything())), 1..5),
    ) {
        let (_, mut event) = sample;
        for (mut nth, new) in mutations {
            mutate(&mut event, &mut nth, new.as_ref());
        }
        assert_message_is_short(&event);
    }

    #[test]
    fn no_json_at_all_makes_it_panic(value in anything()) {
        assert_message_is_short(&value);
    }
}
