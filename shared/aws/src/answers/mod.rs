//! What each documented error of each call means to Patchwave, and each value of each enumeration
//! that it reads.
//!
//! `tests/answers.txt` has a row for each; `tests/checks/answers.py` keeps it complete. Every row
//! names the test here that shows it on the wire.

mod accounts;
#[cfg(feature = "discover")]
mod estate;
mod inspector;
mod ledger;
mod others;
mod people;
mod pipelines;
mod registry;

use std::sync::LazyLock;

use aws_config::SdkConfig;
use aws_sdk_s3::primitives::SdkBody;
use patchwave::unread::Unread;
use patchwave_converge::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::fake;

/// Columns: service, operation or enumeration, error or value, HTTP status, meaning, the
/// simulator's fault, test.
///
/// It is read when the tests run, so that a changed row compiles nothing.
static TABLE: LazyLock<String> = LazyLock::new(|| {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/answers.txt")).unwrap()
});

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    service: &'static str,
    /// An operation, or an enumeration.
    operation: &'static str,
    /// An error, or a value.
    answer: &'static str,
    /// The error's HTTP status; nothing for a value.
    status: Option<u16>,
    meaning: &'static str,
}

impl Row {
    fn is_value_of(&self, enumeration: &str) -> bool {
        self.status.is_none() && self.operation == enumeration
    }
}

fn row(line: &'static str) -> (Row, &'static str) {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [service, operation, answer, status, meaning, _simulator, test] = columns[..] else {
        panic!("not seven columns: {line}");
    };
    (Row { service, operation, answer, status: status.parse().ok(), meaning }, test)
}

/// Checks the rows that name `test`. `meaning` says what an answer means to Patchwave.
async fn check(test: &str, meaning: impl AsyncFn(Row) -> String) {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let rows = lines.map(row).filter(|(_, named)| *named == test);
    let (mut checked, mut wrong) = (0, Vec::new());
    for (row, _) in rows {
        checked += 1;
        let found = meaning(row).await;
        if found != row.meaning {
            let Row { service, operation, answer, meaning, .. } = row;
            wrong.push(format!("{service} {operation} {answer} means {found}, and the table says {meaning}"));
        }
    }
    assert!(checked > 0, "no row names {test}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A configuration in which the call of `row` fails as the row says. `usual` answers all others: in
/// JSON, or with a text that is sent as it is.
fn failing(row: Row, usual: impl Fn(&str) -> Value + Send + Sync + 'static) -> SdkConfig {
    fake::raw(move |request| {
        let operation = operation(&request);
        let response = http::Response::builder();
        match row.status {
            Some(status) if operation == row.operation => {
                let response = response.status(status).header("x-amzn-errortype", row.answer);
                response.body(error_body(row)).unwrap()
            }
            _ => {
                let body = match usual(&operation) {
                    Value::String(text) => text,
                    value => value.to_string(),
                };
                response.body(body).unwrap()
            }
        }
    })
}

fn error_body(Row { service, answer, .. }: Row) -> String {
    let xml = format!("<Error><Code>{answer}</Code><Message>says the fake</Message></Error>");
    match service {
        "s3" => xml,
        "iam" | "sts" => format!("<ErrorResponse>{xml}</ErrorResponse>"),
        _ => json!({ "__type": answer, "message": "says the fake" }).to_string(),
    }
}

/// The operation that a request asks for: by its header, or where the protocol has none by its
/// path.
fn operation(request: &http::Request<SdkBody>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|name| name.to_str().ok());
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let body = request.body().bytes().unwrap_or_default();
    // The query protocol names it in the body.
    let action = std::str::from_utf8(body).ok().and_then(|body| body.strip_prefix("Action="));
    let action = action.and_then(|action| action.split('&').next());
    let by_path = || match (request.method().as_str(), &path[..]) {
        ("GET", ["schedules", _]) => "GetSchedule",
        ("POST", ["schedules", _]) => "CreateSchedule",
        ("POST", ["coverage", "list"]) => "ListCoverage",
        ("POST", ["configuration", "get"]) => "GetConfiguration",
        ("POST", ["cluster", "get"]) => "GetClustersForImage",
        ("POST", []) => action.unwrap_or_default(),
        _ if request.uri().query().unwrap_or_default().contains("versions") => "ListObjectVersions",
        _ => "GetObject",
    };
    target.and_then(|target| target.rsplit('.').next()).unwrap_or_else(by_path).to_owned()
}

fn kind(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Throttled => "throttled",
        FaultKind::Denied => "denied",
        FaultKind::Unavailable => "unavailable",
        FaultKind::Invalid => "invalid",
    }
}

/// What a call that answers or fails means.
fn of_call<T>(answer: Result<T, Fault>, usual: &str) -> String {
    answer.map_or_else(|fault| kind(fault.kind).to_owned(), |_| usual.to_owned())
}

/// When something unread is read again.
fn again(unread: &Unread) -> String {
    if unread.needs_person { "unread:person" } else { "unread:later" }.to_owned()
}
