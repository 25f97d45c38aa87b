//! The Lambda runtime API on loopback, and a compiled function that runs under it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::SignedDuration;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::clock::Clock;
use crate::http::Server;
use crate::moto::REGION;

/// The value of `Lambda-Runtime-Deadline-Ms`, by which an invocation must have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// In the far future, so that no test depends on how long anything takes.
    #[default]
    Far,
    /// Ten minutes after the epoch, as `cargo lambda watch` sends it. A function that trusted it
    /// would stop at once.
    LongPast,
    /// This long after the function takes the invocation.
    In(SignedDuration),
}

impl Deadline {
    fn milliseconds(self) -> u64 {
        match self {
            Self::Far => 4_102_444_800_000,
            Self::LongPast => 600_000,
            Self::In(time) => {
                u64::try_from((Clock::default().now() + time).as_millisecond()).unwrap_or_default()
            }
        }
    }
}

/// The error with which a function answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// `errorType`.
    pub kind: String,
    /// `errorMessage`.
    pub message: String,
}

type Outcome = Result<Value, FunctionError>;

/// An invocation that the function has not taken yet.
struct Invocation {
    id: String,
    payload: String,
}

/// The runtime API of one function.
struct Api {
    next: AsyncMutex<mpsc::Receiver<Invocation>>,
    pending: Mutex<BTreeMap<String, oneshot::Sender<Outcome>>>,
    deadline: Mutex<Deadline>,
}

impl Api {
    fn deadline(&self) -> Deadline {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete(&self, id: &str, outcome: Outcome) {
        let waiting = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(waiting) = waiting {
            // Sending fails if the test no longer waits for the invocation.
            let _ = waiting.send(outcome);
        }
    }
}

/// A compiled function under the runtime API. It ends when it is dropped.
pub struct Function {
    name: String,
    child: Child,
    invocations: mpsc::Sender<Invocation>,
    api: Arc<Api>,
    count: u32,
    log: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl Function {
    /// Starts the binary `name`. Its environment has only `settings` and what Lambda sets.
    pub async fn start(name: &str, settings: &BTreeMap<String, String>, deadline: Deadline) -> Self {
        let (invocations, next) = mpsc::channel(1);
        let api = Arc::new(Api {
            next: AsyncMutex::new(next),
            pending: Mutex::default(),
            deadline: Mutex::new(deadline),
        });
        let server = Server::start(routes(Arc::clone(&api))).await;
        let mut child = Command::new(binary(name))
            .env_clear()
            .envs(settings)
            .env("AWS_LAMBDA_RUNTIME_API", server.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the function starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take(), &log);
        keep(child.stderr.take(), &log);
        Self { name: name.to_owned(), child, invocations, api, count: 0, log, _server: server }
    }

    /// Sets the deadline of later invocations.
    pub fn set_deadline(&self, deadline: Deadline) {
        *self.api.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// Invokes the function and waits for its answer.
    ///
    /// # Panics
    ///
    /// If the function ends instead of answering.
    pub async fn invoke(&mut self, payload: &Value) -> Outcome {
        self.count += 1;
        let id = format!("{}-{}", self.name, self.count);
        let (answer, answered) = oneshot::channel();
        self.api.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), answer);
        self.invocations
            .send(Invocation { id, payload: payload.to_string() })
            .await
            .expect("the runtime API lives as long as its function");
        tokio::select! {
            outcome = answered => outcome.expect("every invocation is answered once"),
            status = self.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                panic!("{} ended instead of answering ({status}):\n{}", self.name, self.log().join("\n"))
            }
        }
    }

    /// Returns the most memory that the function's process has held, in bytes: `VmHWM` of
    /// `proc(5)`.
    pub fn peak_memory(&self) -> u64 {
        let status = self.child.id().map(|id| std::fs::read_to_string(format!("/proc/{id}/status")));
        let status = status.and_then(Result::ok).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    /// Invokes the function, and ends its process when `until` is done. Nothing answers.
    pub async fn invoke_and_kill(mut self, payload: &Value, until: impl Future<Output = ()>) {
        let id = format!("{}-killed", self.name);
        let sent = self.invocations.send(Invocation { id, payload: payload.to_string() }).await;
        sent.expect("the runtime API lives as long as its function");
        until.await;
        self.child.kill().await.expect("the function still runs");
    }

    /// Returns the lines that the function has written so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn routes(api: Arc<Api>) -> Router {
    let invocation = "/2018-06-01/runtime/invocation";
    Router::new()
        .route(&format!("{invocation}/next"), get(next))
        .route(&format!("{invocation}/{{id}}/response"), post(succeeded))
        .route(&format!("{invocation}/{{id}}/error"), post(failed))
        .route("/2018-06-01/runtime/init/error", post(could_not_start))
        .with_state(api)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let Some(invocation) = api.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", invocation.id),
        ("Lambda-Runtime-Deadline-Ms", api.deadline().milliseconds().to_string()),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            format!("arn:aws:lambda:{REGION}:123456789012:function:test"),
        ),
        ("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ];
    (headers, invocation.payload).into_response()
}

async fn succeeded(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    api.complete(&id, Ok(serde_json::from_slice(&body).expect("a function answers in JSON")));
    StatusCode::ACCEPTED
}

async fn failed(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    api.complete(&id, Err(diagnostic(&body)));
    StatusCode::ACCEPTED
}

/// A function that fails to start ends at once. [`Function::invoke`] then panics with its log.
async fn could_not_start() -> StatusCode {
    StatusCode::ACCEPTED
}

fn diagnostic(body: &Bytes) -> FunctionError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    FunctionError { kind: field("errorType"), message: field("errorMessage") }
}

/// Keeps the output of the function, so that its pipes never fill and a failed test can show it.
fn keep(output: Option<impl AsyncRead + Unpin + Send + 'static>, log: &Arc<Mutex<Vec<String>>>) {
    let Some(output) = output else { return };
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// Finds the binary of a function: in the folder that `PATCHWAVE_FUNCTIONS` names, with the output
/// of `cargo lambda build`, or else beside the test.
fn binary(name: &str) -> PathBuf {
    if let Some(packages) = std::env::var_os("PATCHWAVE_FUNCTIONS") {
        let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        return workspace.join(packages).join(name).join("bootstrap");
    }
    let test = std::env::current_exe().expect("a test knows its own file");
    let found = test.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("the binary {name} is not built: run tests/run, or cargo build --workspace --bins")
    })
}
