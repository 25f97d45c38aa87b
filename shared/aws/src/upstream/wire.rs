//! One request to a registry, and its redirects.
//!
//! A redirect to another host gets no credentials. It leads from TLS to TLS only.

use std::convert::Infallible;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use http::{StatusCode, Uri};
use jiff::fmt::rfc2822;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Fault;
use serde::Deserialize;

use crate::clients::Bounded;
use crate::fault::{invalid, unavailable};

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Get,
    Post,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Where a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: &'static str,
    /// Host and port.
    pub(crate) authority: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) origin: Origin,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) accept: Option<String>,
    pub(crate) authorization: Option<String>,
    /// Most bytes of the answer that are read.
    pub(crate) most: usize,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Silent(String),
    /// The answer makes no sense.
    Wrong(String),
}

impl NoAnswer {
    pub(super) fn fault(self, operation: &str) -> Fault {
        match self {
            Self::Silent(why) => unavailable(operation, &std::io::Error::other(why)),
            Self::Wrong(why) => invalid(operation, why),
        }
    }
}

/// Sends a request and follows its redirects.
pub(super) async fn send(http: &SharedHttpClient, request: Request) -> Result<Response, NoAnswer> {
    let mut request = request;
    for _ in 0..=MOST_REDIRECTS {
        let response = once(http, &request).await?;
        let is_redirect = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.header("location").filter(|_| is_redirect) else { return Ok(response) };
        request = redirected(request, location).map_err(NoAnswer::Wrong)?;
    }
    Err(NoAnswer::Wrong(format!("it redirects more than {MOST_REDIRECTS} times")))
}

fn redirected(request: Request, location: &str) -> Result<Request, String> {
    let wrong = || "it redirects to what is no URL".to_owned();
    let uri: Uri = location.parse().map_err(|_| wrong())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if !path.starts_with('/') {
        return Err(wrong());
    }
    let Some(authority) = uri.authority() else { return Ok(Request { path, ..request }) };
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let scheme = match (request.origin.scheme, uri.scheme_str()) {
        (_, Some("https")) => "https",
        ("http", Some("http")) => "http",
        _ => return Err("it redirects to where there is no TLS".to_owned()),
    };
    let origin = Origin { scheme, authority: authority.to_string() };
    let authorization = request.authorization.filter(|_| origin == request.origin);
    Ok(Request { origin, path, authorization, ..request })
}

/// Sends a request, and follows no redirect.
pub(crate) async fn once(http: &SharedHttpClient, request: &Request) -> Result<Response, NoAnswer> {
    let Request { method, origin, path, accept, authorization, most } = request.clone();
    let send = Operation::builder()
        .service_name("registry")
        .operation_name("Read")
        .http_client(Bounded { http: http.clone(), most })
        .endpoint_url(&format!("{}://{}", origin.scheme, origin.authority))
        .no_auth()
        .no_retry()
        .serializer(move |()| {
            let mut request = HttpRequest::empty();
            request.set_uri(path.as_str())?;
            request.set_method(method.name())?;
            for (name, value) in [("accept", &accept), ("authorization", &authorization)] {
                if let Some(value) = value {
                    request.headers_mut().try_insert(name, value.clone())?;
                }
            }
            Ok(request)
        })
        .deserializer(|response| Ok::<_, OrchestratorError<Infallible>>(read(response)))
        .build();
    match send.invoke(()).await {
        Ok(response) => Ok(response),
        // The body is larger than what is read of one.
        Err(SdkError::ResponseError(error)) => Err(NoAnswer::Wrong(format!("{error:?}"))),
        Err(SdkError::ConstructionFailure(error)) => Err(NoAnswer::Wrong(format!("{error:?}"))),
        Err(error) => Err(NoAnswer::Silent(chain(&error))),
    }
}

fn read(response: &HttpResponse) -> Response {
    let headers = response.headers().iter();
    Response {
        status: StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: response.body().bytes().unwrap_or_default().to_vec(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What registries answer about an error.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Response {
    /// Returns a header, of several of a name the first.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Returns all headers of a name.
    pub(super) fn all<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        let named = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Returns how many requests of the limit are left, as Docker Hub writes it: `20;w=21600`.
    pub(super) fn left(&self) -> Option<u32> {
        self.header("ratelimit-remaining")?.split(';').next()?.trim().parse().ok()
    }

    /// Returns how long the host asks to wait: seconds, or a date.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Span> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Span::between(now, date))
    }

    /// Returns what the registry says about its refusal, for people.
    pub(super) fn reason(&self) -> String {
        let errors: Option<Errors> = serde_json::from_slice(&self.body).ok();
        let first = errors.and_then(|errors| errors.errors.into_iter().next());
        first.map_or_else(String::new, |reason| format!(" {}: {}", reason.code, reason.message))
    }
}
