//! A cluster's own API server. The client trusts the cluster's certificate authority and reads
//! lists page by page.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::core::Status;
use kube::{Client, Config};
use patchwave_converge::Fault;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::de::DeserializeOwned;

use super::objects::Page;
use super::token::Token;
use crate::fault::{denied, invalid, kind_of_code, unavailable};
use crate::survey::pace::{Meter, Missed, Pace};

/// How long to wait for a connection: private endpoints do not answer at all.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for a whole page.
const READ: Duration = Duration::from_secs(20);
/// Objects on a page, the number that `kubectl` asks for.
const PAGE: usize = 500;
/// Most pages to read. More pages mean an endless loop.
const MOST_PAGES: usize = 2_000;

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
}

/// Why a page was not read.
enum NoPage {
    /// The position in the list is too old: the list must be read again from its start.
    Expired,
    /// The cluster no longer accepts the token.
    Unauthorized(Fault),
    Missed(Missed),
}

impl Server {
    /// Prepares a client. It opens no connection yet.
    pub(super) fn new(address: Address) -> Result<Self, Fault> {
        let client = connect(&address).map_err(|problem| {
            invalid(format!("prepare a connection to the cluster {}", address.cluster), problem)
        })?;
        Ok(Self { address, client, token: Mutex::default() })
    }

    /// Reads the list at `path`, as far as possible. If the position expires meanwhile, the list is
    /// read once more from its start.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
    ) -> (Vec<T>, Result<(), Missed>) {
        let mut read = self.pages(pace, path).await;
        if let Err(NoPage::Expired) = read.1 {
            read = self.pages(pace, path).await;
        }
        let (items, end) = read;
        let end = end.map_err(|end| match end {
            NoPage::Missed(missed) => missed,
            NoPage::Unauthorized(fault) => Missed::Failed(fault),
            NoPage::Expired => {
                Missed::Failed(invalid(self.operation(path), "its pages expire faster than they are read"))
            }
        });
        (items, end)
    }

    async fn pages<T: DeserializeOwned>(&self, pace: &Pace, path: &str) -> (Vec<T>, Result<(), NoPage>) {
        let mut items = Vec::new();
        let mut from = String::new();
        for _ in 0..MOST_PAGES {
            let read: Page<T> = match self.page(pace, path, &from).await {
                Ok(read) => read,
                Err(end) => return (items, Err(end)),
            };
            items.extend(read.items.unwrap_or_default());
            match read.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => from = format!("&continue={}", escape(&next)),
                None => return (items, Ok(())),
            }
        }
        let endless =
            invalid(self.operation(path), format!("the list does not end after {MOST_PAGES} pages"));
        (items, Err(NoPage::Missed(Missed::Failed(endless))))
    }

    /// Reads one page, with a new token if the cluster no longer accepts the current one.
    async fn page<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
        from: &str,
    ) -> Result<Page<T>, NoPage> {
        let ask = || self.ask(pace, path, from);
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
        from: &str,
    ) -> Result<Result<Page<T>, NoPage>, Missed> {
        let token = self.token(pace).await?;
        let request = http::Request::builder()
            .uri(format!("{path}?limit={PAGE}{from}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|error| invalid(self.operation(path), error.to_string()))?;
        let silent = |error: &dyn std::error::Error| Missed::Silent(unavailable(self.operation(path), error));
        match tokio::time::timeout(READ, self.client.request_text(request)).await {
            Err(elapsed) => Err(silent(&elapsed)),
            Ok(Err(kube::Error::Api(status))) => self.refused(path, &status),
            Ok(Err(error)) => Err(silent(&error)),
            // Parsed here, because kube's own client would log a page that it cannot parse.
            Ok(Ok(text)) => {
                let read = serde_json::from_str(&text);
                Ok(Ok(read.map_err(|error| invalid(self.operation(path), error.to_string()))?))
            }
        }
    }

    fn refused<T>(&self, path: &str, status: &Status) -> Result<Result<T, NoPage>, Missed> {
        let kind = kind_of_code("", status.code);
        let message = format!("{} {}: {}", status.code, status.reason, status.message);
        let fault = Fault { kind, ..invalid(self.operation(path), message) };
        match status.code {
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
