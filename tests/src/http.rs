//! Loopback HTTP: servers for the fakes, and the one client that they need.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode};
use axum::serve::Listener;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on a free loopback port. It ends when it is dropped.
pub struct Server {
    address: String,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `router`.
    pub async fn start(router: Router) -> Self {
        Self::over(TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port"), router)
    }

    /// Serves `router` to the callers that `listener` accepts.
    pub fn over<L: Listener<Addr = SocketAddr>>(listener: L, router: Router) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the fake serves") });
        Self { address, task }
    }

    /// Returns `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the address as an endpoint URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends one request and reads the whole answer. Returns `Err` if no answer comes.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Bytes), hyper_util::client::legacy::Error> {
    let (parts, body) = fetch(method, url, headers, body).await?.into_parts();
    Ok((parts.status, body))
}

/// Does the same, and keeps the headers of the answer.
pub async fn fetch(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Response<Bytes>, hyper_util::client::legacy::Error> {
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(url), |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Full::new(body.into()))
        .expect("the harness writes valid requests");
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::from_parts(parts, body))
}
