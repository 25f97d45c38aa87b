//! Fake accounts and what runs in them, on the wires of ECS, EKS, Lambda, Batch, EventBridge,
//! Scheduler, STS and Inspector.
//!
//! All services listen on one address, because no two of their operations look alike. The signature
//! of a request says which account and Region it is for: the access key of an account is
//! [`access_key`].

mod containers;
mod functions;
mod inspector;
mod kubernetes;
mod roles;
mod schedules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub use containers::EcsCluster;
pub use kubernetes::{Kubernetes, Trust};

use crate::awsjson::{Answer, Refusal};
use crate::http::Server;

/// What one Region of an account contains. Entries are as the services write them.
#[derive(Debug, Clone, Default)]
pub struct Region {
    pub ecs: Vec<EcsCluster>,
    pub eks: Vec<Value>,
    /// The answers of `GetFunction`: `$LATEST` and all other versions.
    pub functions: Vec<Value>,
    /// The aliases of each function.
    pub aliases: BTreeMap<String, Vec<Value>>,
    pub job_definitions: Vec<Value>,
    /// The rules of the default bus of EventBridge, with their `Targets`.
    pub rules: Vec<Value>,
    /// The answers of `GetSchedule`.
    pub schedules: Vec<Value>,
    /// The resources that Inspector covers.
    pub coverage: Vec<Value>,
    /// The clusters in which Inspector saw an image, by the ARN of the image.
    pub clusters_of: BTreeMap<String, Vec<Value>>,
}

/// All accounts, behind one server.
#[derive(Debug, Default)]
pub struct FakeAccounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    regions: BTreeMap<(String, String), Region>,
    /// The external id that the trust policy of each role requires.
    roles: BTreeMap<String, Option<String>>,
    /// How each operation refuses its next calls, and how many of them.
    refusals: BTreeMap<String, (Refusal, u32)>,
    /// The most entries on a page, whatever the caller asks for.
    page: Option<usize>,
    calls: BTreeMap<String, u32>,
    sessions: Vec<String>,
}

/// Returns an account's access key.
pub fn access_key(account: &str) -> String {
    format!("ASIA{account}")
}

/// A request, as every service reads it.
struct Request<'r> {
    account: String,
    region: String,
    method: &'r Method,
    uri: &'r Uri,
    body: &'r [u8],
}

impl Request<'_> {
    fn path(&self) -> Vec<&str> {
        self.uri.path().split('/').filter(|part| !part.is_empty()).collect()
    }

    fn query(&self, name: &str) -> Option<String> {
        let pairs = self.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.replace("%24", "$"))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

impl FakeAccounts {
    /// Sets what a Region of an account contains.
    pub fn set(&self, account: &str, region: &str, content: Region) {
        self.state().regions.insert((account.to_owned(), region.to_owned()), content);
    }

    /// Lets callers that know the external id assume a role.
    pub fn trust(&self, role: &str, external_id: Option<&str>) {
        self.state().roles.insert(role.to_owned(), external_id.map(str::to_owned));
    }

    /// Lets the next `times` calls of an operation fail.
    pub fn refuse(&self, operation: &str, code: &str, times: u32) {
        self.refuse_saying(operation, code, &format!("{code}, says the fake"), times);
    }

    /// The same, with this message.
    pub fn refuse_saying(&self, operation: &str, code: &str, message: &str, times: u32) {
        let refusal = Refusal::new(code, message);
        self.state().refusals.insert(operation.to_owned(), (refusal, times));
    }

    /// The same, with the HTTP status that the service's model gives the error.
    pub fn refuse_with(&self, operation: &str, code: &str, status: u16, times: u32) {
        let refusal = Refusal { status, ..Refusal::new(code, format!("{code}, says the fake")) };
        self.state().refusals.insert(operation.to_owned(), (refusal, times));
    }

    /// Sets the most entries on a page.
    pub fn page(&self, size: usize) {
        self.state().page = Some(size);
    }

    /// Returns how often an operation was called.
    pub fn calls(&self, operation: &str) -> u32 {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// Returns how often any operation was called, by name.
    pub fn all_calls(&self) -> BTreeMap<String, u32> {
        self.state().calls.clone()
    }

    /// Returns the names of the sessions in which roles were assumed.
    pub fn sessions(&self) -> Vec<String> {
        self.state().sessions.clone()
    }

    /// Serves all accounts on loopback.
    pub async fn serve(self: &Arc<Self>) -> Server {
        let accounts = Arc::clone(self);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let accounts = Arc::clone(&accounts);
            async move { accounts.respond(&method, &uri, &headers, &body) }
        };
        Server::start(Router::new().fallback(answer)).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (account, region) = signer(header("authorization"));
        let request = Request { account, region, method, uri, body };
        let target = header("x-amz-target").rsplit('.').next().unwrap_or_default();
        let operation = operation(target, &request);
        let mut state = self.state();
        *state.calls.entry(operation.clone()).or_default() += 1;
        if let Some((refusal, times)) = state.refusals.get_mut(&operation)
            && *times > 0
        {
            *times -= 1;
            return refused(refusal);
        }
        if operation == "AssumeRole" {
            return roles::assume(&mut state, &String::from_utf8_lossy(body));
        }
        let size = state.page;
        let key = (request.account.clone(), request.region.clone());
        let nothing = Region::default();
        let region = state.regions.get(&key).unwrap_or(&nothing);
        let answer = match operation.as_str() {
            "ListFunctions" | "GetFunction" | "ListAliases" | "ListVersionsByFunction" => {
                functions::answer(&operation, region, &request, size)
            }
            "DescribeJobDefinitions" => functions::job_definitions(region, &request.json(), size),
            "ListEksClusters" | "DescribeCluster" => containers::eks(&operation, region, &request, size),
            "ListRules" | "ListTargetsByRule" => schedules::rules(&operation, region, &request.json(), size),
            "ListSchedules" | "GetSchedule" => schedules::schedules(&operation, region, &request, size),
            "ListCoverage" | "GetConfiguration" | "GetClustersForImage" => {
                inspector::answer(&operation, region, &request.json(), size)
            }
            _ => containers::ecs(&operation, region, &request.json(), size),
        };
        match answer {
            Ok(output) => json_response(StatusCode::OK, &output),
            Err(refusal) => refused(&refusal),
        }
    }
}

/// Reads account and Region from the scope of a signature.
pub(crate) fn signer(authorization: &str) -> (String, String) {
    let scope = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    let mut parts = scope.split('/');
    let account = parts.next().unwrap_or_default().trim_start_matches("ASIA").to_owned();
    (account, parts.nth(1).unwrap_or_default().to_owned())
}

/// The operation that a request calls.
fn operation(target: &str, request: &Request<'_>) -> String {
    let name = match (request.method.as_str(), &request.path()[..]) {
        ("GET", ["clusters"]) => "ListEksClusters",
        ("GET", ["clusters", _]) => "DescribeCluster",
        ("GET", ["2015-03-31", "functions"]) => "ListFunctions",
        ("GET", ["2015-03-31", "functions", _]) => "GetFunction",
        ("GET", ["2015-03-31", "functions", _, "aliases"]) => "ListAliases",
        ("GET", ["2015-03-31", "functions", _, "versions"]) => "ListVersionsByFunction",
        ("GET", ["schedules"]) => "ListSchedules",
        ("GET", ["schedules", _]) => "GetSchedule",
        ("POST", ["v1", "describejobdefinitions"]) => "DescribeJobDefinitions",
        ("POST", ["coverage", "list"]) => "ListCoverage",
        ("POST", ["configuration", "get"]) => "GetConfiguration",
        ("POST", ["cluster", "get"]) => "GetClustersForImage",
        ("POST", []) if target.is_empty() => "AssumeRole",
        _ => target,
    };
    name.to_owned()
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({ "__type": refusal.code, "message": refusal.message });
    let mut response = json_response(status, &body);
    if let Ok(code) = refusal.code.parse() {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Reads one page as `crate::awsjson::page` does, with no more entries than `size` and the caller
/// allow.
fn page(
    items: &[Value],
    token: Option<&str>,
    asked: usize,
    size: Option<usize>,
) -> Result<(Vec<Value>, Option<String>), Refusal> {
    crate::awsjson::page(items, token, size.unwrap_or(asked).min(asked))
}

fn not_found(what: &str) -> Answer {
    Err(Refusal { status: 404, ..Refusal::new("ResourceNotFoundException", format!("No {what}")) })
}
