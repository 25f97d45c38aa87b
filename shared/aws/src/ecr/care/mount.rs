//! Mounts blobs: a registry gives one of its repositories what another of them stores.
//!
//! ECR does so within one registry, between repositories of the same encryption, if the account
//! setting `BLOB_MOUNTING` is on, and with no blob that a pull-through cache brought. Who asks must
//! be allowed to download the blob.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>
//!
//! `InitiateLayerUpload` has no parameter for it, so this one request is of the distribution API:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository>.
//! It needs the right to `ecr:GetAuthorizationToken`, which names no repository. All else of a copy
//! is ECR's own API, whose rights all name repositories. So a role without that right still copies,
//! byte by byte. The setting is not read, because the answer to the first request says the same.

use std::time::Duration;

use aws_sdk_ecr::types::AuthorizationData;
use patchwave::image::{Digest, Repository};
use patchwave_converge::Fault;

use super::super::Ecr;
use super::copy::End;
use crate::fault::{fault, invalid};
use crate::upstream::wire::{Method, Origin, Request, once};

/// How long a registry may take to mount a blob.
const ANSWER: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes. It has no content, or the reason of a refusal.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Mounts blobs from one repository, as long as the registry does so.
#[derive(Debug)]
pub(super) struct Mounts<'m> {
    from: &'m Repository,
    state: State,
}

#[derive(Debug)]
enum State {
    Unasked,
    LoggedIn(Login),
    /// It is another registry, or it mounted nothing: what was in the way is so for all blobs.
    Over,
}

/// The right to speak to a registry by the distribution API.
struct Login {
    origin: Origin,
    authorization: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<'m> Mounts<'m> {
    /// Prepares for a copy. Nothing is asked before the first blob.
    pub(super) fn between(from: End<'m>, to: End<'_>) -> Self {
        let is_one = from.registry.host == to.registry.host && from.repository != to.repository;
        Self { from: from.repository, state: if is_one { State::Unasked } else { State::Over } }
    }

    /// Mounts a blob in a repository. Returns whether it is there now: if it is not, it is to be
    /// copied.
    pub(super) async fn mount(&mut self, to: End<'_>, blob: &Digest) -> bool {
        if matches!(self.state, State::Unasked) {
            self.state = to.registry.log_in().await.map_or(State::Over, State::LoggedIn);
        }
        let State::LoggedIn(login) = &self.state else { return false };
        let is_mounted = to.registry.mount(login, (self.from, to.repository), blob).await;
        if !is_mounted {
            self.state = State::Over;
        }
        is_mounted
    }
}

impl Ecr {
    /// Gets a token. It goes to this registry and to no other.
    async fn log_in(&self) -> Result<Login, Fault> {
        let operation = || format!("log in to {}", self.host);
        let output = self.client.get_authorization_token().send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        let data = output.authorization_data().first();
        let token = data.and_then(AuthorizationData::authorization_token);
        let token = token.ok_or_else(|| invalid(operation(), "the answer has no token"))?;
        let endpoint = data.and_then(AuthorizationData::proxy_endpoint).unwrap_or_default();
        let origin = self.origin(endpoint).ok_or_else(|| {
            invalid(operation(), format!("the token is for {endpoint}, which is another registry"))
        })?;
        Ok(Login { origin, authorization: format!("Basic {token}") })
    }

    /// Returns the origin of this registry's endpoint. A stand-in on this machine has no TLS.
    fn origin(&self, endpoint: &str) -> Option<Origin> {
        let (scheme, authority) = endpoint.trim_end_matches('/').split_once("://")?;
        let scheme = match scheme {
            "https" if authority == self.host => "https",
            "http" if authority.starts_with("127.0.0.1:") => "http",
            _ => return None,
        };
        Some(Origin { scheme, authority: authority.to_owned() })
    }

    async fn mount(&self, login: &Login, (from, to): (&Repository, &Repository), blob: &Digest) -> bool {
        let Some(http) = self.client.config().http_client() else { return false };
        let path = format!("/v2/{}/blobs/uploads/?mount={blob}&from={}", to.name(), from.name());
        let request = Request {
            method: Method::Post,
            origin: login.origin.clone(),
            path,
            accept: None,
            authorization: Some(login.authorization.clone()),
            most: LARGEST_ANSWER,
        };
        let answer = tokio::time::timeout(ANSWER, once(&http, &request)).await;
        // 202 says that an upload has begun instead. It is not used, and ends by itself.
        matches!(answer, Ok(Ok(response)) if response.status == http::StatusCode::CREATED)
    }
}
