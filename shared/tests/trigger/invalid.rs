//! What happens to events that are not like the samples.

use proptest::prelude::*;
use serde_json::{Value, json};

use patchwave::trigger::Event;

use super::{fixture, samples, sweep, with};

#[track_caller]
fn assert_invalid(event: &Value, path: &str, problem: &str) {
    let invalid = sweep(event).expect_err("the event should be invalid");
    assert_eq!(invalid.path, path, "{invalid}");
    assert!(invalid.problem.contains(problem), "{invalid}");
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

/// Without the other fields a function still knows what to read.
#[test]
fn only_fields_that_decide_the_trigger_are_required() {
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
fn a_malformed_value_names_the_field() {
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
fn a_payload_that_is_no_event_says_what_to_send() {
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
fn an_error_names_its_field_and_stays_short() {
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

/// Removes the `nth` of all values inside `value`, or replaces it by `new`. Counts `nth` down on
/// the way.
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
    #![proptest_config(ProptestConfig { cases: 2_000, ..crate::remembering() })]

    #[test]
    fn no_changed_sample_makes_the_parser_panic(
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
    fn no_json_makes_the_parser_panic(value in anything()) {
        assert_message_is_short(&value);
    }
}
