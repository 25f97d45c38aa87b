//! A fake service on the wire, for tests. It answers operations with JSON and records what it was
//! asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// An HTTP connection that calls a function instead of a network.
struct Connection<F>(F);

impl<F> std::fmt::Debug for Connection<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl<F: Fn(Request) -> http::Response<String> + Send + Sync> HttpConnector for Connection<F> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = (self.0)(request.try_into_http1x().unwrap()).map(SdkBody::from);
        HttpConnectorFuture::ready(Ok(HttpResponse::try_from(response).unwrap()))
    }
}

fn client(answer: impl Fn(Request) -> http::Response<String> + Send + Sync + 'static) -> SharedHttpClient {
    let connection = SharedHttpConnector::new(Connection(answer));
    http_client_fn(move |_, _| connection.clone())
}

type Request = http::Request<SdkBody>;

/// What a fake answers: a status and a body.
pub(crate) type Answer = (u16, Value);

/// What was asked: an operation and its input.
pub(crate) type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Makes a configuration whose every call `answer` answers, given the operation and its input.
/// Calls are tried `attempts` times.
pub(crate) fn config(
    attempts: u32,
    answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
) -> (SdkConfig, Asked) {
    let asked = Asked::default();
    let remember = Arc::clone(&asked);
    let http = client(move |request: Request| {
        let target =
            request.headers().get("x-amz-target").and_then(|name| name.to_str().ok()).unwrap_or_default();
        // A request without an operation is asked by its path.
        let operation = match target.rsplit('.').next() {
            None | Some("") => request.uri().path().to_owned(),
            Some(operation) => operation.to_owned(),
        };
        let input = request.body().bytes().unwrap_or_default();
        let input: Value = serde_json::from_slice(input).unwrap_or(Value::Null);
        let (status, output) = answer(&operation, &input);
        remember.lock().unwrap().push((operation, input));
        let response = http::Response::builder().status(status);
        response.header("content-type", "application/x-amz-json-1.1").body(output.to_string()).unwrap()
    });
    (connected(http, attempts), asked)
}

/// Makes a configuration whose every HTTP request `answer` answers.
pub(crate) fn raw(answer: impl Fn(Request) -> http::Response<String> + Send + Sync + 'static) -> SdkConfig {
    connected(client(answer), 1)
}

fn connected(http: SharedHttpClient, attempts: u32) -> SdkConfig {
    let retries =
        RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(Duration::from_millis(1));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "id", "key", None, None, "test",
        )))
        .retry_config(retries)
        .http_client(http)
        .time_source(SystemTimeSource::new())
        .build()
}

/// Answers that an operation failed.
pub(crate) fn error(code: &str) -> Answer {
    (400, json!({"__type": code, "message": format!("the fake answers {code}")}))
}

/// Counts the calls of an operation.
pub(crate) fn count(asked: &Asked, operation: &str) -> usize {
    asked.lock().unwrap().iter().filter(|(name, _)| name == operation).count()
}

/// Writes a digest that ends in `n`.
pub(crate) fn digest(n: usize) -> String {
    format!("sha256:{n:064x}")
}

/// Checks that these calls, with what a fake answers, are those in `tests/fixtures/wire`. There,
/// `tests/checks` compares them with botocore's models.
///
/// If the file is another, this writes it: look at the difference, and run the test again.
pub(crate) fn is_on_file(name: &str, calls: &[Value]) {
    let path = format!("{}/../../tests/fixtures/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = serde_json::to_string_pretty(calls).unwrap() + "\n";
    let on_file = std::fs::read_to_string(&path).unwrap_or_default();
    if on_file != text {
        std::fs::write(&path, &text).unwrap();
        panic!("{path} was another and is written now");
    }
}
