//! Tokens of registries. A token is for one repository, and never for more than to pull.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use patchwave::image::{Reference, Registry, Repository};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Fault, FaultKind};
use serde::Deserialize;

use super::challenge::Challenge;
use super::secret::Credentials;
use super::wire::{Method, Origin, Request, Response};
use super::{Heard, Upstreams, origin, refused};
use crate::fault::invalid;

/// How long a token lasts if it does not say so.
/// <https://distribution.github.io/distribution/spec/auth/token/>
const SHORTEST: Span = Span::seconds(60);
/// A token is not used in its last seconds.
const MARGIN: Span = Span::seconds(10);
/// The largest answer with a token, in bytes.
const LARGEST: usize = 64 * 1024;

/// The tokens that an invocation got.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Known>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// The header's value and until when it is used, by host and repository.
type Known = BTreeMap<(Registry, Repository), (String, Timestamp)>;

impl Tokens {
    /// Returns the authorization for a repository that is known and still used.
    pub(super) fn known(&self, tag: &Reference, now: Timestamp) -> Option<String> {
        let at = (tag.registry.clone(), tag.repository.clone());
        self.lock().get(&at).filter(|(_, until)| *until > now).map(|(text, _)| text.clone())
    }

    fn keep(&self, tag: &Reference, authorization: &str, until: Timestamp) {
        let at = (tag.registry.clone(), tag.repository.clone());
        self.lock().insert(at, (authorization.to_owned(), until));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u32>,
}

impl Upstreams {
    /// Gets the authorization that a registry asks for.
    pub(super) async fn authorization(
        &self,
        operation: &str,
        tag: &Reference,
        asks: &Response,
        credentials: Option<Credentials>,
        now: Timestamp,
    ) -> Heard<String> {
        let denied = |why: String| Fault { kind: FaultKind::Denied, ..invalid(operation, why) };
        let host = &tag.registry;
        let basic = credentials.as_ref().map(basic);
        match Challenge::read(asks.all("www-authenticate")) {
            Some(Challenge::Bearer { realm, service }) => {
                let request = token_request(tag, &realm, service.as_deref(), basic);
                let request = request.map_err(|why| invalid(operation, why))?;
                self.token(operation, tag, request, now).await
            }
            Some(Challenge::Basic) => basic.ok_or_else(|| {
                denied(format!(
                    "{host} asks for a password: name its secret under `upstreams` in the hierarchy file"
                ))
                .into()
            }),
            None => Err(denied(format!("{host} refuses, and does not say how to authenticate")).into()),
        }
    }

    async fn token(
        &self,
        operation: &str,
        tag: &Reference,
        request: Request,
        now: Timestamp,
    ) -> Heard<String> {
        let response = self.send(operation, request).await?;
        if !response.status.is_success() {
            return Err(refused(&format!("get a token to {operation}"), &response, now));
        }
        let read = serde_json::from_slice::<Granted>(&response.body).ok();
        let expires_in = read.as_ref().and_then(|token| token.expires_in);
        let token = read.and_then(|read| read.token.or(read.access_token)).filter(|token| is_token(token));
        let token = token.ok_or_else(|| invalid(operation, "the answer holds no token"))?;
        let authorization = format!("Bearer {token}");
        let lasts = expires_in.map_or(SHORTEST, Span::seconds);
        self.tokens.keep(tag, &authorization, MARGIN.before(lasts.after(now)));
        Ok(authorization)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.username, credentials.password)))
}

/// Makes the request for a token. The registry says where to ask. Credentials go there, so it must
/// have TLS where the registry has.
fn token_request(
    tag: &Reference,
    realm: &str,
    service: Option<&str>,
    authorization: Option<String>,
) -> Result<Request, String> {
    let uri: Uri = realm.parse().map_err(|_| "the realm of its challenge is no URL".to_owned())?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.ok_or("the realm of its challenge has no host")?;
    let scheme = match (origin(&tag.registry).scheme, uri.scheme_str()) {
        (_, Some("https")) => "https",
        ("http", Some("http")) => "http",
        _ => return Err("the realm of its challenge has no TLS".to_owned()),
    };
    let mut query = uri.query().map(|query| format!("{query}&")).unwrap_or_default();
    if let Some(service) = service {
        let _ = write!(query, "service={}&", escape(service));
    }
    let _ = write!(query, "scope={}", escape(&format!("repository:{}:pull", tag.repository)));
    Ok(Request {
        method: Method::Get,
        origin: Origin { scheme, authority: authority.to_string() },
        path: format!("{}?{query}", uri.path()),
        accept: None,
        authorization,
        most: LARGEST,
    })
}

/// Escapes a text for a query.
fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
