use aws_lambda_events::event::sqs::SqsMessage;
use patchwave::trigger::ScheduleKind;
use patchwave_converge::{Failure, FailureKind};
use serde_json::{Value, json};

use super::*;

fn message(id: &str, body: &str) -> SqsMessage {
    serde_json::from_value(json!({"messageId": id, "body": body})).unwrap()
}

fn tick() -> String {
    json!({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}).to_string()
}

fn function() -> Function {
    Function {
        role: Role::REBUILD_FANOUT,
        installation: Err(InvalidSettings::Missing(crate::settings::TABLE)),
    }
}

fn event(payload: Value) -> LambdaEvent<Value> {
    LambdaEvent::new(payload, lambda_runtime::Context::default())
}

#[test]
fn one_bad_body_fails_alone_and_equal_triggers_count_once() {
    let ignored = json!({"detail-type": "Anything", "source": "someone", "detail": {}}).to_string();
    let records = vec![
        message("a", &tick()),
        message("b", "{"),
        message("c", &tick()),
        message("d", &ignored),
        message("e", "{}"),
    ];
    let batch = Batch::read(records, ScheduleKind::Tick);
    assert_eq!(batch.triggers(), [Trigger::Tick]);
    let answer = serde_json::to_value(batch.response(Ok(()))).unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "e"}]}));
}

#[test]
fn a_batch_continues_the_longest_chain_of_its_messages() {
    let number = |n: u32| json!({"schedule_arn": "a", "scheduled_time": "t", "continues": n}).to_string();
    let batch = |bodies: &[String]| {
        let records = bodies.iter().map(|body| message("a", body)).collect();
        Batch::read(records, ScheduleKind::Tick).continues
    };
    assert_eq!(batch(&[tick(), number(2), number(7), number(3)]), 7);
    assert_eq!(batch(&[tick()]), 0);
}

#[tokio::test]
async fn a_failed_pass_asks_for_all_its_messages_again() {
    let records =
        json!({"Records": [{"messageId": "a", "body": tick()}, {"messageId": "b", "body": tick()}]});
    let answer = function().handle(event(records)).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}));
}

#[tokio::test]
async fn callers_receive_what_is_wrong() {
    let diagnosed =
        |payload| async { Diagnostic::from(Box::pin(function().handle(event(payload))).await.unwrap_err()) };
    let settings = diagnosed(serde_json::from_str(&tick()).unwrap()).await;
    assert_eq!(settings.error_type, "InvalidSettings");
    assert!(settings.error_message.contains("PATCHWAVE_TABLE"));
    assert_eq!(diagnosed(json!({"detail": {}})).await.error_type, "InvalidEvent");
}

#[tokio::test]
async fn an_ignored_event_is_an_empty_report_that_says_why() {
    let other = json!({"detail-type": "Anything", "source": "someone", "detail": {}});
    let answer = function().handle(event(other)).await.unwrap();
    assert_eq!(answer["started"], json!([]));
    assert!(answer["ignored"].as_str().unwrap().contains("someone"));
}

#[test]
fn what_was_not_written_fails_the_invocation_and_nothing_else_does() {
    let with = |kind| {
        let failure = Failure { kind, image: None, message: "the table is full".to_owned() };
        answer_of(&Report { errors: vec![failure], ..Report::default() })
    };
    assert!(with(FailureKind::Scan).is_ok(), "the next sweep asks again");
    let failed = Diagnostic::from(with(FailureKind::Write).unwrap_err());
    assert_eq!(failed.error_type, "NotWhole");
    assert!(failed.error_message.contains("the table is full"));
}

#[test]
fn a_lost_race_is_told_from_a_write_that_failed() {
    let raced = Report { raced: ["apps/web".parse().unwrap()].into(), ..Report::default() };
    assert!(matches!(whole(&raced), Err(Failed::Raced)));
    let failure = Failure { kind: FailureKind::Write, image: None, message: String::new() };
    let both = Report { errors: vec![failure], ..raced };
    assert!(matches!(whole(&both), Err(Failed::NotWhole)));
    assert!(whole(&Report { is_whole: true, ..Report::default() }).is_ok());
}
