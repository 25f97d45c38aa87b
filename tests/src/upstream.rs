//! A registry of others on the wire, by the OCI distribution protocol, or a proxy before a real
//! one. It limits, lies, redirects and goes down when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::content::{self, Document};
use crate::http::{self, Server};
use crate::tls;

/// The header with a manifest's digest.
const DIGEST: &str = "docker-content-digest";

/// What the registry was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    Token,
    Head,
    Get,
}

/// How it answers.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Whether it wants a token.
    pub wants_token: bool,
    /// Whether it gives tokens only for this authorization.
    pub password: Option<String>,
    /// What it refuses with 429, and the `Retry-After` header that it sends.
    pub limits: BTreeSet<Asks>,
    pub retry_after: Option<String>,
    /// What `ratelimit-remaining` says.
    pub remaining: Option<String>,
    /// Whether its answer to a HEAD lacks the digest.
    pub without_digest: bool,
    /// The digest that its answer to a HEAD names in the place of the right one.
    pub claims: Option<String>,
    /// What it sends in the place of any manifest that is got.
    pub sends: Option<String>,
    /// Where it redirects manifests to.
    pub redirects_to: Option<String>,
    /// The status of every answer, if it is down.
    pub down: Option<u16>,
}

#[derive(Debug, Default)]
struct Stored {
    /// By `repository:tag`.
    tags: BTreeMap<String, String>,
    /// By digest.
    manifests: BTreeMap<String, Document>,
    /// Where the manifests are, if they are in a real registry.
    behind: Option<String>,
    behaviour: Behaviour,
    asked: Vec<(Asks, String, Option<String>)>,
    tokens: usize,
    url: String,
}

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Upstream(Arc<Mutex<Stored>>);

impl Upstream {
    /// Makes a proxy before a registry at `host:port`, which holds the manifests in its place.
    pub fn before(registry: &str) -> Self {
        let upstream = Self::default();
        upstream.lock().behind = Some(format!("http://{registry}"));
        upstream
    }

    /// Serves the registry.
    pub async fn serve(&self) -> Server {
        let server = Server::start(Router::new().fallback(answer).with_state(self.clone())).await;
        self.lock().url = server.url();
        server
    }

    /// Serves the registry with TLS, as a host whose certificate a private authority signed.
    /// Returns that authority as PEM too.
    pub async fn serve_tls(&self, host: &str) -> (Server, String) {
        let (authority, listener) = tls::listen(host).await;
        let router = Router::new().fallback(answer).with_state(self.clone());
        (Server::over(listener, router), authority)
    }

    /// Pushes a version with one layer a platform, and moves a tag to it. Returns its digest.
    pub fn push(&self, tag: &str, layers: &[(&str, &str)], attestation: &str) -> String {
        let mut entries = Vec::new();
        for (platform, layer) in layers {
            let layer = content::digest(layer);
            let manifest = content::manifest(&layer, std::slice::from_ref(&layer), &BTreeMap::new());
            entries.push(entry(&manifest, platform));
            self.lock().manifests.insert(manifest.digest.clone(), manifest);
        }
        let statement = content::manifest(attestation, &[content::digest(attestation)], &BTreeMap::new());
        entries.push(entry(&statement, "unknown/unknown"));
        let index = content::index_of(&entries, &BTreeMap::new());
        let digest = index.digest.clone();
        let mut stored = self.lock();
        stored.manifests.insert(digest.clone(), index);
        stored.tags.insert(tag.to_owned(), digest.clone());
        digest
    }

    /// Moves a tag to a digest that was pushed before, or deletes it.
    pub fn retag(&self, tag: &str, digest: Option<&str>) {
        let tags = &mut self.lock().tags;
        match digest {
            Some(digest) => drop(tags.insert(tag.to_owned(), digest.to_owned())),
            None => drop(tags.remove(tag)),
        }
    }

    /// Changes how it answers.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Returns what was asked since the last call: what, the path, and the authorization.
    pub fn asked(&self) -> Vec<(Asks, String, Option<String>)> {
        std::mem::take(&mut self.lock().asked)
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().expect("no test panics with the lock")
    }
}

fn entry(manifest: &Document, platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').expect("os/architecture");
    json!({ "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.text.len(),
            "platform": { "os": os, "architecture": architecture } })
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (authorization, accept) = (header(header::AUTHORIZATION), header(header::ACCEPT));
    let asks = match (path.starts_with("/token"), &head.method) {
        (true, _) => Asks::Token,
        (_, &Method::HEAD) => Asks::Head,
        _ => Asks::Get,
    };
    let (behaviour, behind) = {
        let stored = &mut *upstream.lock();
        stored.asked.push((asks, path.clone(), authorization.map(str::to_owned)));
        let behaviour = stored.behaviour.clone();
        if let Some(refusal) = instead(stored, &behaviour, asks, &path, authorization) {
            return refusal;
        }
        (behaviour, stored.behind.clone())
    };
    let response = match behind {
        None => manifest(&upstream.lock(), &path),
        Some(registry) => passed_on(asks, &format!("{registry}{path}"), accept).await,
    };
    if response.status().is_success() { changed(response, &behaviour, asks) } else { response }
}

/// Answers what needs no manifest.
fn instead(
    stored: &mut Stored,
    behaviour: &Behaviour,
    asks: Asks,
    path: &str,
    authorization: Option<&str>,
) -> Option<Response> {
    if let Some(status) = behaviour.down {
        return Some(StatusCode::from_u16(status).expect("a status").into_response());
    }
    if behaviour.limits.contains(&asks) {
        let retry_after = behaviour.retry_after.clone().unwrap_or_default();
        let headers = [("retry-after", retry_after)];
        return Some((StatusCode::TOO_MANY_REQUESTS, headers, "toomanyrequests").into_response());
    }
    if asks == Asks::Token {
        return Some(token(stored, behaviour.password.as_deref(), authorization));
    }
    let is_ours = authorization.is_some_and(|text| text.starts_with("Bearer t"));
    if behaviour.wants_token && !is_ours {
        let realm = format!("Bearer realm=\"{}/token\",service=\"upstream\"", stored.url);
        return Some((StatusCode::UNAUTHORIZED, [("www-authenticate", realm)]).into_response());
    }
    let to = behaviour.redirects_to.as_ref()?;
    Some((StatusCode::TEMPORARY_REDIRECT, [("location", format!("{to}{path}"))]).into_response())
}

fn token(stored: &mut Stored, password: Option<&str>, authorization: Option<&str>) -> Response {
    if password != authorization && password.is_some() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    stored.tokens += 1;
    json!({ "token": format!("t{}", stored.tokens), "expires_in": 300 }).to_string().into_response()
}

fn manifest(stored: &Stored, path: &str) -> Response {
    let Some((repository, name)) = path.trim_start_matches("/v2/").split_once("/manifests/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tagged = stored.tags.get(&format!("{repository}:{name}")).map_or(name, String::as_str);
    let Some(document) = stored.manifests.get(tagged) else {
        let errors = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
        return (StatusCode::NOT_FOUND, errors.to_string()).into_response();
    };
    let headers = [("content-type", document.media_type.to_owned()), (DIGEST, document.digest.clone())];
    (headers, document.text.clone()).into_response()
}

/// Asks the real registry. It never sees what credentials the caller has.
async fn passed_on(asks: Asks, url: &str, accept: Option<&str>) -> Response {
    let headers: Vec<(&str, &str)> = accept.into_iter().map(|accept| ("accept", accept)).collect();
    let method = if asks == Asks::Head { "HEAD" } else { "GET" };
    match http::fetch(method, url, &headers, "").await {
        Ok(response) => response.map(Body::from),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Changes a right answer into the one that a test wants.
fn changed(mut response: Response, behaviour: &Behaviour, asks: Asks) -> Response {
    if let Some(sends) = behaviour.sends.as_ref().filter(|_| asks == Asks::Get) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(sends.clone());
    }
    if behaviour.without_digest {
        response.headers_mut().remove(DIGEST);
    }
    let mut set = |name: &'static str, value: &str| {
        response.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("a header"));
    };
    if let Some(claims) = behaviour.claims.as_ref().filter(|_| asks == Asks::Head) {
        set(DIGEST, claims);
    }
    if let Some(remaining) = &behaviour.remaining {
        set("ratelimit-limit", "100;w=21600");
        set("ratelimit-remaining", remaining);
    }
    response
}
