//! A registry of others on the wire, by the OCI distribution protocol. It limits, lies, redirects
//! and goes down when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::content::{self, Document};
use crate::http::Server;

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
    behaviour: Behaviour,
    asked: Vec<(Asks, String, Option<String>)>,
    tokens: usize,
    url: String,
}

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Upstream(Arc<Mutex<Stored>>);

impl Upstream {
    /// Serves the registry.
    pub async fn serve(&self) -> Server {
        let server = Server::start(Router::new().fallback(answer).with_state(self.clone())).await;
        self.lock().url = server.url();
        server
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
    let stored = &mut *upstream.lock();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let asks = match (path.starts_with("/token"), request.method()) {
        (true, _) => Asks::Token,
        (_, &Method::HEAD) => Asks::Head,
        _ => Asks::Get,
    };
    stored.asked.push((asks, path.clone(), authorization.clone()));
    let behaviour = stored.behaviour.clone();
    if let Some(status) = behaviour.down {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    if behaviour.limits.contains(&asks) {
        let retry_after = behaviour.retry_after.unwrap_or_default();
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after)], "toomanyrequests")
            .into_response();
    }
    match asks {
        Asks::Token => token(stored, behaviour.password.as_deref(), authorization.as_deref()),
        Asks::Head | Asks::Get => manifest(stored, &path, &behaviour, (asks, authorization.as_deref())),
    }
}

fn token(stored: &mut Stored, password: Option<&str>, authorization: Option<&str>) -> Response {
    if password != authorization && password.is_some() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    stored.tokens += 1;
    json!({ "token": format!("t{}", stored.tokens), "expires_in": 300 }).to_string().into_response()
}

fn manifest(
    stored: &Stored,
    path: &str,
    behaviour: &Behaviour,
    (asks, authorization): (Asks, Option<&str>),
) -> Response {
    let is_ours = authorization.is_some_and(|text| text.starts_with("Bearer t"));
    if behaviour.wants_token && !is_ours {
        let realm = format!("Bearer realm=\"{}/token\",service=\"upstream\"", stored.url);
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", realm)]).into_response();
    }
    if let Some(to) = &behaviour.redirects_to {
        return (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{to}{path}"))]).into_response();
    }
    let Some((repository, name)) = path.trim_start_matches("/v2/").split_once("/manifests/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tagged = stored.tags.get(&format!("{repository}:{name}")).map_or(name, String::as_str);
    let Some(document) = stored.manifests.get(tagged) else {
        let errors = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
        return (StatusCode::NOT_FOUND, errors.to_string()).into_response();
    };
    let mut response = match asks {
        Asks::Head => StatusCode::OK.into_response(),
        _ => Bytes::from(behaviour.sends.clone().unwrap_or_else(|| document.text.clone())).into_response(),
    };
    let mut set = |name: &'static str, value: &str| {
        let value = value.parse().expect("a header");
        response.headers_mut().insert(header::HeaderName::from_static(name), value);
    };
    set("content-type", document.media_type);
    if !behaviour.without_digest {
        set("docker-content-digest", &document.digest);
    }
    if let Some(remaining) = &behaviour.remaining {
        set("ratelimit-limit", "100;w=21600");
        set("ratelimit-remaining", remaining);
    }
    response
}
