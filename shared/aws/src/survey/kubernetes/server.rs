//! A cluster's own API server: connected with its certificate authority, asked page by page.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use patchwave_converge::Fault;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::de::DeserializeOwned;

use super::objects::{Page, Status};
use super::token::Token;
use crate::fault::{denied, invalid, kind_of_code, unavailable};
use crate::survey::pace::{Meter, Missed, Pace};

/// How long to wait for a connection: private endpoints do not answer at all.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for a whole page.
const READ: Duration = Duration::from_secs(20);
/// Objects on a page, as `kubectl` asks for.
const PAGE: usize = 500;
/// More pages than these are an endless loop.
const MOST_PAGES: usize = 2_000;

/// Where a cluster is, and who wants in.
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
    client: Client<HttpsConnector<HttpConnector>, String>,
    token: Mutex<Option<Token>>,
}

/// Why a page was not read.
enum NoPage {
    /// The position in the list is too old: the list must be begun again.
    Expired,
    /// The token is no longer taken.
    Unauthorized(Fault),
    Missed(Missed),
}

impl Server {
    /// Prepares to ask. Nothing is connected yet.
    pub(super) fn new(address: Address) -> Result<Self, Fault> {
        let client = connect(&address).map_err(|problem| {
            invalid(format!("prepare a connection to the cluster {}", address.cluster), problem)
        })?;
        Ok(Self { address, client, token: Mutex::default() })
    }

    /// Reads a list, of which `path` is the address, as far as that goes. A list whose position expired while it was read is
    /// begun again, once.
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

    /// Reads one page, with a new token if the one at hand is no longer taken.
    async fn page<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
        from: &str,
    ) -> Result<Page<T>, NoPage> {
        let ask = || self.ask(pace, path, from);
        match pace.patiently(Meter::Kubernetes, ask).await {
            Ok(Err(NoPage::Unauthorized(_))) => {
                self.forget_token();
                pace.patiently(Meter::Kubernetes, ask)
                    .await
                    .unwrap_or_else(|missed| Err(NoPage::Missed(missed)))
            }
            Ok(answer) => answer,
            Err(missed) => Err(NoPage::Missed(missed)),
        }
    }

    /// Asks once. Of the two errors, the outer one may be worth another attempt.
    async fn ask<T: DeserializeOwned>(
        &self,
        pace: &Pace,
        path: &str,
        from: &str,
    ) -> Result<Result<Page<T>, NoPage>, Missed> {
        let token = self.token(pace).await?;
        let request = http::Request::builder()
            .uri(format!("{}{path}?limit={PAGE}{from}", self.address.endpoint.trim_end_matches('/')))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json")
            .body(String::new())
            .map_err(|error| invalid(self.operation(path), error.to_string()))?;
        let silent = |error: &dyn Error| Missed::Silent(unavailable(self.operation(path), error));
        let answer = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            Ok::<_, Box<dyn Error + Send + Sync>>((head.status, body.collect().await?.to_bytes()))
        };
        let (status, body) = match tokio::time::timeout(READ, answer).await {
            Err(elapsed) => return Err(silent(&elapsed)),
            Ok(Err(error)) => return Err(silent(&*error)),
            Ok(Ok(answer)) => answer,
        };
        if status.is_client_error() || status.is_server_error() {
            return self.refused(path, status, &body);
        }
        let read = serde_json::from_slice(&body);
        Ok(Ok(read.map_err(|error| invalid(self.operation(path), error.to_string()))?))
    }

    fn refused<T>(&self, path: &str, status: StatusCode, body: &[u8]) -> Result<Result<T, NoPage>, Missed> {
        let code = status.as_u16();
        // What stands between us and the server may answer with a page for people.
        let said = serde_json::from_slice(body).unwrap_or_else(|_| Status {
            reason: status.canonical_reason().unwrap_or_default().to_owned(),
            message: String::from_utf8_lossy(body).trim().to_owned(),
        });
        let fault = Fault {
            kind: kind_of_code("", code),
            ..invalid(self.operation(path), format!("{code} {}: {}", said.reason, said.message))
        };
        match code {
            410 => Ok(Err(NoPage::Expired)),
            401 => Ok(Err(NoPage::Unauthorized(fault))),
            _ => Err(Missed::Failed(fault)),
        }
    }

    /// Returns a token that the cluster still takes.
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
/// Not kube's: the ways in which that finds credentials (other programs, paths into what they print) would be in the package.
fn connect(address: &Address) -> Result<Client<HttpsConnector<HttpConnector>, String>, String> {
    let _: http::Uri =
        address.endpoint.parse().map_err(|e| format!("its endpoint is {}: {e}", address.endpoint))?;
    let mut roots = RootCertStore::empty();
    for certificate in authority(&address.authority)? {
        roots.add(certificate).map_err(|e| format!("its certificate authority is of no use: {e}"))?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp)))
}

/// Reads the certificates of an authority.
fn authority(base64_of_pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = STANDARD
        .decode(base64_of_pem)
        .map_err(|e| format!("its certificate authority is not base64: {e}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("its certificate authority is not a certificate".to_owned()),
    }
}

/// Writes a text so that it can be part of a query.
fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
