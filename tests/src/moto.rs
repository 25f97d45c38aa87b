//! moto, the Python fake of AWS, which holds tables, buckets, queues and the images of the
//! registry; and ministack, another one, which shows where moto is alone.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::awsjson::{self, Answer, Refusal};
use crate::http::{self, Server};
use crate::traffic::Traffic;

/// The account of moto.
pub const ACCOUNT: &str = "123456789012";
/// The Region of all fakes.
pub const REGION: &str = "us-east-1";

/// A running `moto_server`, or ministack in its place. It ends when it is dropped.
pub struct Moto {
    url: String,
    _child: Child,
}

impl Moto {
    /// Starts a server and waits until it prints its address.
    pub async fn start() -> Self {
        let mut child = python_program("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let url = address(child.stderr.take().expect("stderr is piped")).await;
        Self { url, _child: child }
    }

    /// Starts ministack and waits until it prints its address.
    pub async fn ministack() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let mut child = python_program("ministack")
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.expect("a port is free").port().to_string())
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ministack starts");
        let url = address(child.stderr.take().expect("stderr is piped")).await;
        Self { url, _child: child }
    }

    /// Returns the endpoint of all its services.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls an awsJson operation, `target` being what `x-amz-target` names, such as
    /// `DynamoDB_20120810.CreateTable`.
    pub async fn call(&self, service: &str, target: &str, input: &Value) -> Answer {
        call(&self.url, service, target, input).await
    }

    /// Serves one of its services, one call after the other. The transactions of DynamoDB are
    /// atomic, but those of moto are not when calls run in parallel. Each call is counted first,
    /// and may be refused.
    pub async fn front(&self, service: &'static str, traffic: Arc<Traffic>) -> Server {
        let url = self.url.clone();
        let one_by_one = Arc::new(Mutex::new(()));
        Server::start(Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let (url, traffic, one_by_one) = (url.clone(), Arc::clone(&traffic), Arc::clone(&one_by_one));
            async move {
                let _turn = one_by_one.lock().await;
                pass(&url, service, &traffic, &headers, body).await
            }
        }))
        .await
    }

    /// Posts to a REST service.
    pub async fn post(&self, service: &str, path: &str, input: &Value) {
        let authorization = authorization(service);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let url = format!("{}/{path}", self.url);
        let (status, body) =
            http::send("POST", &url, &headers, input.to_string()).await.expect("moto answers");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    }

    /// Reads from a REST service.
    pub async fn get(&self, service: &str, path: &str) -> Value {
        let authorization = authorization(service);
        let headers = [("authorization", authorization.as_str())];
        let url = format!("{}/{path}", self.url);
        let (status, body) = http::send("GET", &url, &headers, "").await.expect("moto answers");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("a REST service answers in JSON")
    }

    /// Makes a bucket keep the earlier versions of its objects.
    pub async fn keep_versions(&self, bucket: &str) {
        let authorization = authorization("s3");
        let headers = [("authorization", authorization.as_str())];
        let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let url = format!("{}/{bucket}?versioning", self.url);
        let (status, body) = http::send("PUT", &url, &headers, enabled).await.expect("moto answers");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    }

    /// Makes a bucket with one object.
    pub async fn put_object(&self, bucket: &str, key: &str, content: &str) {
        for (path, content) in [(bucket.to_owned(), ""), (format!("{bucket}/{key}"), content)] {
            let url = format!("{}/{path}", self.url);
            let authorization = authorization("s3");
            let headers = [("authorization", authorization.as_str())];
            let (status, body) =
                http::send("PUT", &url, &headers, content.to_owned()).await.expect("moto answers");
            assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        }
    }
}

/// Returns a program that `tests/run` installed. It is killed when it is dropped.
fn python_program(name: &str) -> Command {
    let program = venv().join("bin").join(name);
    assert!(program.exists(), "{} is missing: run tests/run once, it installs it there", program.display());
    let mut command = Command::new(program);
    command.env("PYTHONUNBUFFERED", "1").kill_on_drop(true);
    command
}

/// Reads the address that a server prints when it listens.
async fn address(output: impl AsyncRead + Unpin + Send + 'static) -> String {
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.expect("a server writes text") {
        if let Some((_, url)) = line.split_once("Running on ") {
            let url = url.split_whitespace().next().unwrap_or_default().to_owned();
            // The request log must be read although it is not used: a full pipe would stop the
            // server.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return url;
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("the server ended before it listened:\n{said}");
}

/// Passes one call on unchanged, because the answer of a cancelled transaction says more than a
/// [`Refusal`] holds.
async fn pass(url: &str, service: &str, traffic: &Traffic, headers: &HeaderMap, body: Bytes) -> Response {
    if let Err(refusal) = traffic.admit(&awsjson::operation(headers), &String::from_utf8_lossy(&body)) {
        return awsjson::respond(Err(refusal));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = authorization(service);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", header("content-type")),
        ("x-amz-target", header("x-amz-target")),
    ];
    match http::send("POST", url, &headers, body).await {
        Ok((status, body)) => {
            (status, [("content-type", "application/x-amz-json-1.0")], body).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Calls an awsJson operation of the moto at `url`.
pub(crate) async fn call(url: &str, service: &str, target: &str, input: &Value) -> Answer {
    let authorization = authorization(service);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
    ];
    let (status, body) = http::send("POST", url, &headers, input.to_string()).await.map_err(|error| {
        Refusal { code: "ServiceUnavailable".into(), message: error.to_string(), status: 500 }
    })?;
    let output: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(output);
    }
    let code = output["__type"].as_str().unwrap_or("InternalFailure").rsplit('#').next().unwrap_or_default();
    let message = output["message"].as_str().or(output["Message"].as_str()).unwrap_or_default();
    Err(Refusal { code: code.to_owned(), message: message.to_owned(), status: status.as_u16() })
}

/// moto reads service and Region from the scope of the signature, and checks no signature.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=harness/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// Returns where `tests/run` installed the Python packages.
pub fn venv() -> PathBuf {
    match setting("PATCHWAVE_VENV") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/venv"),
    }
}

/// Reads a setting of the test run.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
