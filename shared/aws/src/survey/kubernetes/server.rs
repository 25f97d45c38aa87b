//! A cluster's own API server. The client trusts the cluster's certificate authority and reads
//! lists page by page.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use patchwave_converge::Fault;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::objects::{PAGE, Page};
use super::token::Token;
use crate::fault::{denied, invalid, kind_of_code, unavailable};
use crate::survey::budget::LARGEST_ANSWER;
use crate::survey::pace::{Meter, Missed, Pace};
use crate::survey::reading::Reading;

/// How long to wait for a connection: private endpoints do not answer at all.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for a whole page.
const READ: Duration = Duration::from_secs(20);
/// Most pages to read. More pages mean an endless loop.
const MOST_PAGES: usize = 20_000;
/// How much is read of an answer that is an error, in bytes.
const LARGEST_ERROR: usize = 64 * 1024;

/// Where a cluster is, and how Patchwave authenticates to it.
pub(in crate::survey) struct Address {
    pub(in crate::survey) region: String,
    pub(in crate::survey) cluster: String,
    pub(in crate::survey) endpoint: String,
    /// The certificate authority as base64 of PEM.
    pub(in crate::survey) authority: String,
    pub(in crate::survey) credentials: SharedCredentialsProvider,
}

/// A cluster's API server.
pub(super) struct Server {
    address: Address,
    client: Client,
    token: Mutex<Option<Token>>,
    /// How many objects a page has: fewer after one was too large.
    page: AtomicUsize,
}

/// Why a page was not read.
enum NoPage {
    /// The position in the list is too old: the list must be read again from its start.
    Expired,
    /// The cluster no longer accepts the token.
    Unauthorized(Fault),
    /// The answer is larger than what is read of one.
    TooLarge,
    Missed(Missed),
}

/// What Kubernetes says about a request that it refuses.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    reason: String,
    message: String,
}

impl Server {
    /// Prepares a client. It opens no connection yet.
    pub(super) fn new(address: Address) -> Result<Self, Fault> {
        let client = connect(&address).map_err(|problem| {
            invalid(format!("prepare a connection to the cluster {}", address.cluster), problem)
        })?;
        Ok(Self { address, client, token: Mutex::default(), page: AtomicUsize::new(PAGE) })
    }

    /// Reads the list at `path`, as far as possible, and passes each object to `note` with what was
    /// made of those before. If the position expires meanwhile, the list is read once more from its
    /// start.
    pub(super) async fn list<T: DeserializeOwned, A: Default>(
        &self,
        pace: &Pace,
        path: &str,
        reading: &mut Reading,
        note: impl Fn(&mut A, T, &mut Reading),
    ) -> (A, Result<(), Missed>) {
        let before = reading.sightings().len();
        let mut read = self.pages(pace, path, reading, &note).await;
        if let Err(NoPage::Expired) = read.1 {
            reading.back_to(before);
            read = self.pages(pace, path, reading, &note).await;
        }
        let (made, end) = read;
        (made, end.map_err(|end| self.missed(path, end)))
    }

    /// Says why a list was not read to its end.
    fn missed(&self, path: &str, end: NoPage) -> Missed {
        match end {
            NoPage::Missed(missed) => missed,
            NoPage::Unauthorized(fault) => Missed::Failed(fault),
            NoPage::Expired => {
                Missed::Failed(invalid(self.operation(path), "its pages expire faster than they are read"))
            }
            NoPage::TooLarge => Missed::Failed(invalid(
                self.operation(path),
                format!("one object is larger than {LARGEST_ANSWER} bytes"),
            )),
        }
    }

    async fn pages<T: DeserializeOwned, A: Default>(
        &self,
        pace: &Pace,
        path: &str,
        reading: &mut Reading,
        note: &impl Fn(&mut A, T, &mut Reading),
    ) -> (A, Result<(), NoPage>) {
        let mut made = A::default();
        let mut from = String::new();
        for _ in 0..MOST_PAGES {
            let read: Page<T> = match self.page(pace, path, &from).await {
                Ok(read) => read,
                Err(end) => return (made, Err(end)),
            };
            for object in read.items {
                note(&mut made, object, reading);
            }
            match read.metadata.next.filter(|next| !next.is_empty()) {
                // Why it is full is already noted.
                Some(_) if reading.is_full() => return (made, Ok(())),
                Some(next) => from = format!("&continue={}", escape(&next)),
                None => return (made, Ok(())),
            }
        }
        let endless =
            invalid(self.operation(path), format!("the list does not end after {MOST_PAGES} pages"));
        (made, Err(NoPage::Missed(Missed::Failed(endless))))
    }

    /// Reads one page. While it is too large, it is halved.
    async fn page<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
        from: &str,
    ) -> Result<Page<T>, NoPage> {
        loop {
            let limit = self.page.load(Ordering::Relaxed);
            let query = format!("?limit={limit}{from}");
            match self.answered(pace, path, &query).await {
                Err(NoPage::TooLarge) if limit > 1 => self.page.store(limit / 2, Ordering::Relaxed),
                read => return read,
            }
        }
    }

    /// Reads the document at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, pace: &Pace, path: &str) -> Result<T, Missed> {
        self.answered(pace, path, "").await.map_err(|end| self.missed(path, end))
    }

    /// Asks, with a new token if the cluster no longer accepts the current one.
    async fn answered<T: DeserializeOwned>(&self, pace: &Pace, path: &str, query: &str) -> Result<T, NoPage> {
        let ask = || self.ask(pace, path, query);
        match pace.retry(Meter::Kubernetes, ask).await {
            Ok(Err(NoPage::Unauthorized(_))) => {
                self.forget_token();
                pace.retry(Meter::Kubernetes, ask).await.unwrap_or_else(|missed| Err(NoPage::Missed(missed)))
            }
            Ok(answer) => answer,
            Err(missed) => Err(NoPage::Missed(missed)),
        }
    }

    /// Makes one request. Another attempt may help against the outer error, not against the inner
    /// one.
    async fn ask<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
        query: &str,
    ) -> Result<Result<T, NoPage>, Missed> {
        let token = self.token(pace).await?;
        let request = http::Request::builder()
            .uri(format!("{path}{query}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json")
            .body(Body::empty())
            .map_err(|error| invalid(self.operation(path), error.to_string()))?;
        let silent = |error: &dyn std::error::Error| Missed::Silent(unavailable(self.operation(path), error));
        let _room = pace.budget().room().await;
        let (status, answer) = match tokio::time::timeout(READ, self.answer(request)).await {
            Err(elapsed) => return Err(silent(&elapsed)),
            Ok(Err(error)) => return Err(silent(&error)),
            Ok(Ok(answer)) => answer,
        };
        match answer {
            Some(answer) if status.is_success() => {
                let read = serde_json::from_slice(&answer);
                Ok(Ok(read.map_err(|error| invalid(self.operation(path), error.to_string()))?))
            }
            None if status.is_success() => Ok(Err(NoPage::TooLarge)),
            answer => self.refused(path, status, &answer.unwrap_or_default()),
        }
    }

    /// Sends a request, and reads the answer as far as there is room for it. `None` if it is
    /// larger.
    async fn answer(
        &self,
        request: http::Request<Body>,
    ) -> Result<(http::StatusCode, Option<Vec<u8>>), kube::Error> {
        let (head, mut body) = self.client.send(request).await?.into_parts();
        let most = if head.status.is_success() { LARGEST_ANSWER } else { LARGEST_ERROR };
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame?.into_data().unwrap_or_default();
            if read.len() + frame.len() > most {
                return Ok((head.status, None));
            }
            read.extend_from_slice(&frame);
        }
        Ok((head.status, Some(read)))
    }

    fn refused<T>(
        &self,
        path: &str,
        status: http::StatusCode,
        answer: &[u8],
    ) -> Result<Result<T, NoPage>, Missed> {
        let refusal: Refusal = serde_json::from_slice(answer).unwrap_or_default();
        let message = format!("{} {}: {}", status.as_u16(), refusal.reason, refusal.message);
        let fault =
            Fault { kind: kind_of_code("", status.as_u16()), ..invalid(self.operation(path), message) };
        match status.as_u16() {
            410 => Ok(Err(NoPage::Expired)),
            401 => Ok(Err(NoPage::Unauthorized(fault))),
            _ => Err(Missed::Failed(fault)),
        }
    }

    /// Returns a token that the cluster still accepts.
    async fn token(&self, pace: &Pace) -> Result<String, Fault> {
        let now = pace.now();
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = known.filter(|token| token.is_fresh(now)) {
            return Ok(token.text);
        }
        let Address { region, cluster, credentials, .. } = &self.address;
        let credentials = credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| denied("find credentials", &error))?;
        let token = Token::sign(&credentials, region, cluster, now)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token.text)
    }

    fn forget_token(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn operation(&self, path: &str) -> String {
        let objects = path.rsplit('/').next().unwrap_or(path);
        format!("list the {objects} of the cluster {}", self.address.cluster)
    }
}

/// Builds a client that trusts this cluster's authority alone.
///
/// It does not use kube's own constructor. What that needs to find credentials (other programs,
/// paths into their output) would be in every function's package.
fn connect(address: &Address) -> Result<Client, String> {
    let endpoint =
        address.endpoint.parse().map_err(|e| format!("its endpoint is {}: {e}", address.endpoint))?;
    let mut config = Config::new(endpoint);
    config.root_cert = Some(authority(&address.authority)?);
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    let connector = config.rustls_https_connector_with_connector(connector).map_err(|e| e.to_string())?;
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector);
    Ok(ClientBuilder::new(http, "default").with_layer(&config.base_uri_layer()).build())
}

/// Reads the certificates of an authority.
fn authority(base64_of_pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let pem = STANDARD
        .decode(base64_of_pem)
        .map_err(|e| format!("its certificate authority is not base64: {e}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => {
            Ok(certificates.into_iter().map(|c| c.to_vec()).collect())
        }
        _ => Err("its certificate authority is not a certificate".to_owned()),
    }
}

/// Escapes a text for a query.
fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
