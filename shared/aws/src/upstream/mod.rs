//! Upstream registries, by the OCI distribution protocol:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>.
//!
//! It is a small reader of its own on the SDK's HTTP client. The client crates that exist hide what
//! a watch must obey: they give their caller no header, so neither `Retry-After` nor what is left
//! of a rate limit. One of them answers any HEAD without a digest, a 429 too, with a GET, which
//! Docker Hub counts as a pull. They also bring a second HTTP stack. What is needed here is a HEAD,
//! a GET by digest, and a token.

mod challenge;
pub(crate) mod described;
pub(crate) mod secret;
mod token;
pub(crate) mod wire;

use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::StatusCode;
use patchwave::hierarchy::Upstreams as Declared;
use patchwave::image::{Digest, Reference, Registry};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::Described;
use patchwave_converge::{Asked, Fault, FaultKind};

use crate::clients::Clients;
use crate::fault::{invalid, kind_of_code};
use crate::manifest::MEDIA_TYPES;
#[cfg(test)]
pub(crate) use challenge::Challenge;
use secret::Secrets;
use token::Tokens;
use wire::{Method, Origin, Request, Response};

/// How long to wait for an answer, with all its redirects.
const ANSWER: Duration = Duration::from_secs(10);
/// The largest manifest that is read, in bytes: what registries must accept.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// Where Docker Hub's registry is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// The upstream registries, as long as an invocation lasts.
#[derive(Debug, Clone)]
pub(crate) struct Upstreams {
    http: SharedHttpClient,
    secrets: Secrets,
    tokens: Tokens,
}

/// An answer that counts.
type Heard<T> = Result<T, Refused>;

/// An answer that does not count, with how long the host asks to wait.
struct Refused {
    fault: Fault,
    retry_after: Option<Span>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, retry_after: None }
    }
}

impl Upstreams {
    pub(crate) fn new(http: SharedHttpClient, clients: &Clients, declared: &Declared) -> Self {
        let secrets = Secrets::new(clients.clone(), declared.clone());
        Self { http, secrets, tokens: Tokens::default() }
    }

    /// Asks which digest a tag names.
    pub(crate) async fn digest(&self, tag: &Reference, now: Timestamp) -> Asked<Option<Digest>> {
        let name = tag.tag.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut left = None;
        let heard = async {
            let Some(head) = self.manifest(Method::Head, tag, &name, now).await? else { return Ok(None) };
            left = head.left();
            if let Some(digest) = head.header("docker-content-digest") {
                let digest = digest.parse().map_err(|error| invalid(operation(tag), format!("{error}")))?;
                return Ok(Some(digest));
            }
            // Old registries answer a HEAD without the digest.
            let Some(read) = self.manifest(Method::Get, tag, &name, now).await? else { return Ok(None) };
            left = read.left();
            Ok(Some(Digest::of(&read.body)))
        };
        answer(heard.await, left)
    }

    /// Reads what the manifest or index of a digest describes.
    pub(crate) async fn describe(
        &self,
        tag: &Reference,
        digest: &Digest,
        now: Timestamp,
    ) -> Asked<Option<Described>> {
        let mut left = None;
        let heard = async {
            let read = self.manifest(Method::Get, tag, digest.as_str(), now).await?;
            let Some(read) = read else { return Ok(None) };
            left = read.left();
            let found = Digest::of(&read.body);
            if found != *digest {
                let message = format!("the registry sent {found} where it was asked for {digest}");
                return Err(invalid(operation(tag), message).into());
            }
            let described = described::read(&String::from_utf8_lossy(&read.body), digest);
            Ok(Some(described.map_err(|problem| invalid(operation(tag), problem))?))
        };
        answer(heard.await, left)
    }

    /// Reads a manifest; `None` if the registry has none of that name.
    async fn manifest(
        &self,
        method: Method,
        tag: &Reference,
        name: &str,
        now: Timestamp,
    ) -> Heard<Option<Response>> {
        let path = format!("/v2/{}/manifests/{name}", tag.repository);
        let request = Request {
            method,
            origin: origin(&tag.registry),
            path,
            accept: Some(MEDIA_TYPES.join(", ")),
            authorization: None,
            most: LARGEST_MANIFEST,
        };
        let operation = operation(tag);
        let response = tokio::time::timeout(3 * ANSWER, self.authorized(&operation, tag, request, now)).await;
        let response = response.map_err(|_| silent(&operation, "it did not answer in time"))??;
        match response.status {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(&operation, &response, now)),
        }
    }

    /// Sends a request, and once more with a token or credentials if the registry asks for them.
    async fn authorized(
        &self,
        operation: &str,
        tag: &Reference,
        request: Request,
        now: Timestamp,
    ) -> Heard<Response> {
        let known = self.tokens.known(tag, now);
        let authorization = known.clone();
        let response = self.send(operation, Request { authorization, ..request.clone() }).await?;
        if response.status != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let credentials = self.secrets.of(&tag.registry).await?;
        let authorization = self.authorization(operation, tag, &response, credentials, now).await?;
        let response =
            self.send(operation, Request { authorization: Some(authorization), ..request }).await?;
        Ok(response)
    }

    async fn send(&self, operation: &str, request: Request) -> Heard<Response> {
        let sent = tokio::time::timeout(ANSWER, wire::send(&self.http, request)).await;
        let sent = sent.map_err(|_| silent(operation, "it did not answer in time"))?;
        sent.map_err(|error| Refused::from(error.fault(operation)))
    }
}

/// Returns where a registry answers. Only what is on this machine answers without TLS.
fn origin(registry: &Registry) -> Origin {
    let host = if registry.is_docker_hub() { DOCKER_HUB } else { registry.as_str() };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = name == "localhost" || name.starts_with("127.");
    Origin { scheme: if is_local { "http" } else { "https" }, authority: host.to_owned() }
}

fn operation(tag: &Reference) -> String {
    format!("read {tag}")
}

fn answer<T>(heard: Heard<T>, left: Option<u32>) -> Asked<T> {
    match heard {
        Ok(answer) => Asked { answer: Ok(answer), retry_after: None, left },
        Err(Refused { fault, retry_after }) => Asked { answer: Err(fault), retry_after, left },
    }
}

fn silent(operation: &str, message: &str) -> Refused {
    Fault { kind: FaultKind::Unavailable, ..invalid(operation, message) }.into()
}

/// Makes a fault of a status that is no answer.
fn refused(operation: &str, response: &Response, now: Timestamp) -> Refused {
    let status = response.status.as_u16();
    let message = format!("the registry answers {status}{}", response.reason());
    let kind = if response.status.is_redirection() { FaultKind::Invalid } else { kind_of_code("", status) };
    Refused { fault: Fault { kind, ..invalid(operation, message) }, retry_after: response.retry_after(now) }
}

#[cfg(test)]
mod tests;
