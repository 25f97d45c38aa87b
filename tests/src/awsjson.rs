//! The wire protocol of ECR, `CodePipeline` and `DynamoDB`: awsJson1.1.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::accounts::signer;
use crate::http::Server;
use crate::traffic::Traffic;

/// An exception with which a service refuses a call, with its HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the exception.
    pub code: String,
    pub message: String,
    /// 400 for a mistake of the caller, 500 for one of the service.
    pub status: u16,
}

impl Refusal {
    /// Makes a refusal for a mistake of the caller.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: 400 }
    }
}

/// The output of a call, or its refusal.
pub type Answer = Result<Value, Refusal>;

/// A fake of one AWS service.
pub trait Service: Send + Sync + 'static {
    /// Answers one operation, or the request of a presigned URL by its path and the range that it
    /// asks for. A text is answered as it is.
    fn call(&self, operation: &str, input: Value) -> impl Future<Output = Answer> + Send;
}

/// Serves `service` on loopback.
pub async fn serve<S: Service>(service: Arc<S>, traffic: Arc<Traffic>) -> Server {
    Server::start(Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let (service, traffic) = (Arc::clone(&service), Arc::clone(&traffic));
        async move {
            respond(match operation(&headers) {
                // A presigned URL, which names no operation.
                operation if operation.is_empty() => {
                    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
                    service.call(uri.path(), json!({ "range": range })).await
                }
                _ => answer(&*service, &traffic, &headers, &body).await,
            })
        }
    }))
    .await
}

async fn answer<S: Service>(service: &S, traffic: &Traffic, headers: &HeaderMap, body: &Bytes) -> Answer {
    let operation = operation(headers);
    traffic.admit(&operation, &String::from_utf8_lossy(body))?;
    let input: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new("SerializationException", error.to_string()))?;
    let signature = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(repository) = Value::as_str(&input["repositoryName"]) {
        traffic.note_caller(repository, &signer(signature).0);
    }
    service.call(&operation, input).await
}

/// Returns the operation that a request names.
pub(crate) fn operation(headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

pub(crate) fn respond(answer: Answer) -> Response {
    let (status, body) = match answer {
        Ok(Value::String(text)) => return (StatusCode::PARTIAL_CONTENT, text).into_response(),
        Ok(output) => (StatusCode::OK, output),
        Err(refusal) => (
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            json!({ "__type": refusal.code, "message": refusal.message }),
        ),
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string()).into_response()
}

/// Reads one page of `items`: `size` of them from `token` on, and the token of the next page.
///
/// The token is the position in the list. Callers must not rely on that.
pub fn page<T: Clone>(
    items: &[T],
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), Refusal> {
    let from: usize = match token {
        None => 0,
        Some(token) => {
            token.parse().map_err(|_| Refusal::new("InvalidParameterException", "invalid nextToken"))?
        }
    };
    let to = items.len().min(from + size);
    let next = (to < items.len()).then(|| to.to_string());
    Ok((items.get(from..to).unwrap_or_default().to_vec(), next))
}

/// Returns a field as text, or empty text where it is missing.
pub fn text<'v>(input: &'v Value, field: &str) -> &'v str {
    input[field].as_str().unwrap_or_default()
}
