//! Kubernetes: many clusters behind one TLS listener, each under a path with its name, with one
//! certificate authority.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::http::Server;
use crate::tls;

/// The certificate authority that EKS names for a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The one of the server.
    Ours,
    /// Another one, so that callers refuse the connection.
    Others,
}

/// The API servers of the clusters.
pub struct Kubernetes {
    server: Server,
    authority: String,
    state: Arc<Mutex<State>>,
    asked_in_vain: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// Objects by cluster and the path of their list.
    objects: BTreeMap<(String, String), Vec<Value>>,
    /// The groups of custom resources, beside Kubernetes' own.
    groups: Vec<String>,
    /// Paths that every caller is forbidden to list.
    forbidden: Vec<String>,
    /// How many of the next requests are answered as if their token had expired.
    unauthorized: u32,
    /// How many of the next requests are throttled.
    busy: u32,
    /// How many of the next continued lists are answered as if their position had expired.
    expired: u32,
    /// The most objects on a page.
    page: Option<usize>,
    /// How many bytes of `metadata.managedFields` each object has, beside what was put.
    padding: usize,
    /// Answers in place of lists, by cluster.
    answers: BTreeMap<String, String>,
    /// Clusters that never answer.
    silent: BTreeSet<String>,
    calls: u32,
    tokens: Vec<String>,
}

impl Kubernetes {
    /// Starts a server without clusters.
    pub async fn start() -> Self {
        let (authority, listener) = tls::listen("127.0.0.1").await;
        let authority = STANDARD.encode(authority);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let asked_in_vain = Arc::new(Notify::new());
        let notify = Arc::clone(&asked_in_vain);
        let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
            let shared = Arc::clone(&shared);
            let asked_in_vain = Arc::clone(&notify);
            async move {
                if lock(&shared).silent.contains(cluster_of(&uri).0) {
                    asked_in_vain.notify_one();
                    std::future::pending::<()>().await;
                }
                respond(&mut lock(&shared), &uri, &headers)
            }
        });
        Self { server: Server::over(listener, router), authority, state, asked_in_vain }
    }

    /// Returns a cluster as EKS describes it.
    pub fn described(&self, name: &str, trust: Trust) -> Value {
        let authority = match trust {
            Trust::Ours => self.authority.clone(),
            Trust::Others => STANDARD.encode(tls::certificates("127.0.0.1").0),
        };
        json!({
            "name": name, "status": "ACTIVE", "endpoint": format!("https://{}/{name}", self.server.address()),
            "certificateAuthority": { "data": authority },
            "resourcesVpcConfig": { "endpointPublicAccess": true, "endpointPrivateAccess": false },
        })
    }

    /// Puts objects into a cluster, under the path of their list.
    pub fn put(&self, cluster: &str, path: &str, objects: Vec<Value>) {
        lock(&self.state).objects.insert((cluster.to_owned(), path.to_owned()), objects);
    }

    /// Says which groups of custom resources every cluster serves.
    pub fn serve(&self, groups: &[&str]) {
        lock(&self.state).groups = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// Forbids a list.
    pub fn forbid(&self, path: &str) {
        lock(&self.state).forbidden.push(path.to_owned());
    }

    /// Refuses the tokens of the next `times` requests.
    pub fn expire_tokens(&self, times: u32) {
        lock(&self.state).unauthorized = times;
    }

    /// Throttles the next `times` requests.
    pub fn be_busy(&self, times: u32) {
        lock(&self.state).busy = times;
    }

    /// Refuses to continue the next `times` lists.
    pub fn expire_lists(&self, times: u32) {
        lock(&self.state).expired = times;
    }

    /// Sets the most objects on a page.
    pub fn page(&self, size: usize) {
        lock(&self.state).page = Some(size);
    }

    /// Gives every object this many bytes more, in a field that nobody needs.
    pub fn pad(&self, bytes: usize) {
        lock(&self.state).padding = bytes;
    }

    /// Answers every list of a cluster with this text.
    pub fn answer(&self, cluster: &str, text: String) {
        lock(&self.state).answers.insert(cluster.to_owned(), text);
    }

    /// Never answers requests to a cluster.
    pub fn be_silent(&self, cluster: &str) {
        lock(&self.state).silent.insert(cluster.to_owned());
    }

    /// Waits for a request to a cluster that never answers.
    pub async fn asked_in_vain(&self) {
        self.asked_in_vain.notified().await;
    }

    /// Returns the number of requests so far.
    pub fn calls(&self) -> u32 {
        lock(&self.state).calls
    }

    /// Returns the decoded tokens of the requests: signed URLs of STS.
    pub fn tokens(&self) -> Vec<String> {
        lock(&self.state).tokens.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Splits a path into the cluster and the path of a list.
fn cluster_of(uri: &Uri) -> (&str, &str) {
    uri.path().trim_start_matches('/').split_once('/').unwrap_or_default()
}

fn respond(state: &mut State, uri: &Uri, headers: &HeaderMap) -> Response {
    state.calls += 1;
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match token(bearer) {
        Some(token) if state.unauthorized == 0 => {
            if state.tokens.last() != Some(&token) {
                state.tokens.push(token);
            }
        }
        _ => {
            state.unauthorized = state.unauthorized.saturating_sub(1);
            return failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
        }
    }
    if state.busy > 0 {
        state.busy -= 1;
        return failure(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "try again later");
    }
    let (cluster, path) = cluster_of(uri);
    if let Some(text) = state.answers.get(cluster) {
        return (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text.clone()).into_response();
    }
    let path = format!("/{path}");
    if state.forbidden.contains(&path) {
        return failure(StatusCode::FORBIDDEN, "Forbidden", "cannot list resource at the cluster scope");
    }
    if path == "/apis" {
        let groups =
            ["apps", "batch", "metrics.k8s.io"].into_iter().chain(state.groups.iter().map(String::as_str));
        let groups: Vec<Value> = groups.map(|name| json!({ "name": name, "versions": [] })).collect();
        let list = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups });
        return (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], list.to_string())
            .into_response();
    }
    let query: BTreeMap<&str, &str> =
        uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let from: usize = query.get("continue").and_then(|from| from.parse().ok()).unwrap_or_default();
    if from > 0 && state.expired > 0 {
        state.expired -= 1;
        return failure(StatusCode::GONE, "Expired", "The provided continue parameter is too old");
    }
    let asked: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let none = Vec::new();
    let all = state.objects.get(&(cluster.to_owned(), path)).unwrap_or(&none);
    let to = all.len().min(from + state.page.unwrap_or(asked).min(asked));
    let next = if to < all.len() { to.to_string() } else { String::new() };
    let items = all[from.min(to)..to].to_vec();
    let list = json!({ "kind": "List", "metadata": { "continue": next }, "items": [] }).to_string();
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body(list, items, state.padding))
        .into_response()
}

/// Writes a list object by object, so that the fake never holds a large page.
fn body(list: String, items: Vec<Value>, padding: usize) -> Body {
    let (head, tail) = list.split_once("[]").unwrap_or_default();
    let (head, tail) = (format!("{head}["), format!("]{tail}"));
    let objects = items.into_iter().enumerate().map(move |(index, mut item)| {
        if padding > 0 {
            item["metadata"]["managedFields"] = json!([{ "manager": "x".repeat(padding) }]);
        }
        if index == 0 { item.to_string() } else { format!(",{item}") }
    });
    let parts = std::iter::once(head).chain(objects).chain(std::iter::once(tail));
    Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)))
}

/// Reads a token as the webhook of EKS does: a presigned request to STS that is bound to a cluster.
fn token(bearer: &str) -> Option<String> {
    let encoded = bearer.strip_prefix("Bearer k8s-aws-v1.")?;
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    let signed = url.contains("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id") && url.contains("X-Amz-Signature=");
    (url.starts_with("https://sts.") && signed).then_some(url)
}

fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code.as_u16(),
    });
    (code, [(header::CONTENT_TYPE, "application/json")], status.to_string()).into_response()
}
