//! The reader against a registry on the wire.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, Reference};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Asked, FaultKind};
use patchwave_tests::http::Server;
use patchwave_tests::upstream::{Asks, Behaviour, Upstream};
use serde_json::json;

use super::{Upstreams, described, origin};
use crate::clients::Clients;
use crate::fake;

const TAG: &str = "library/debian:12";

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

struct Wired {
    upstream: Upstream,
    server: Server,
    digest: Digest,
    reader: Upstreams,
}

impl Wired {
    async fn new() -> Self {
        Self::with("", |_, _| (200, json!({}))).await
    }

    /// `keys` are those of the registry's host under `upstreams`.
    async fn with(
        keys: &str,
        aws: impl Fn(&str, &serde_json::Value) -> fake::Answer + Send + Sync + 'static,
    ) -> Self {
        let upstream = Upstream::default();
        let server = upstream.serve().await;
        let layers = [("linux/amd64", "amd64"), ("linux/arm64", "arm64")];
        let digest = upstream.push(TAG, &layers, "statement").parse().unwrap();
        let hosts = format!("upstreams: {{ hosts: {{ \"{}\": {{ {keys} }} }} }}", server.address());
        let yaml = format!(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages: []\n{hosts}\n"
        );
        let hierarchy = Hierarchy::parse("h.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"));
        let (config, _) = fake::config(1, aws);
        let clients = Clients::of(config);
        let reader = Upstreams::new(clients.of_others(), &clients, hierarchy.upstreams());
        Self { upstream, server, digest, reader }
    }

    fn reference(&self) -> Reference {
        format!("{}/{TAG}", self.server.address()).parse().unwrap()
    }

    async fn head(&self) -> Asked<Option<Digest>> {
        self.reader.digest(&self.reference(), now()).await
    }

    async fn describe(&self) -> Asked<Option<patchwave::upstream::Described>> {
        self.reader.describe(&self.reference(), &self.digest, now()).await
    }

    fn asked(&self) -> Vec<Asks> {
        self.upstream.asked().into_iter().map(|(asks, ..)| asks).collect()
    }
}

fn limits(asks: Asks) -> BTreeSet<Asks> {
    BTreeSet::from([asks])
}

fn kind<T: std::fmt::Debug>(asked: &Asked<T>) -> FaultKind {
    asked.answer.as_ref().unwrap_err().kind
}

#[tokio::test]
async fn a_tag_costs_one_head_and_what_it_names_one_get_by_digest() {
    let wired = Wired::new().await;
    assert_eq!(wired.head().await.answer, Ok(Some(wired.digest.clone())));
    assert_eq!(wired.asked(), [Asks::Head]);
    let described = wired.describe().await.answer.unwrap().unwrap();
    let platforms: Vec<&str> = described.platforms.keys().map(patchwave::image::Platform::as_str).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"], "without the attestation");
    let paths: Vec<String> = wired.upstream.asked().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, [format!("/v2/library/debian/manifests/{}", wired.digest)]);
    wired.upstream.retag(TAG, None);
    assert_eq!(wired.head().await.answer, Ok(None), "the registry has no such tag");
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_serves_again() {
    let wired = Wired::new().await;
    wired.upstream.behave(Behaviour { wants_token: true, ..Behaviour::default() });
    assert_eq!(wired.head().await.answer, Ok(Some(wired.digest.clone())));
    let asked = wired.upstream.asked();
    assert_eq!(
        asked.iter().map(|(asks, ..)| *asks).collect::<Vec<_>>(),
        [Asks::Head, Asks::Token, Asks::Head]
    );
    assert_eq!(asked[1].1, "/token?service=upstream&scope=repository:library/debian:pull");
    wired.describe().await.answer.unwrap();
    assert_eq!(wired.asked(), [Asks::Get], "with the token that it has");
    let later = Span::minutes(5).after(now());
    wired.reader.digest(&wired.reference(), later).await.answer.unwrap();
    assert_eq!(wired.asked(), [Asks::Head, Asks::Token, Asks::Head], "it has expired");
}

#[tokio::test]
async fn a_limit_on_a_token_a_head_or_a_get_is_no_answer_and_is_followed_by_nothing() {
    let wired = Wired::new().await;
    for (asks, retry_after, wait) in [
        (Asks::Token, "120", Some(Span::seconds(120))),
        (Asks::Head, "Sun, 01 Mar 2026 13:00:00 GMT", Some(Span::hours(1))),
        (Asks::Get, "soon", None),
    ] {
        wired.upstream.behave(Behaviour {
            wants_token: true,
            limits: limits(asks),
            retry_after: Some(retry_after.to_owned()),
            ..Behaviour::default()
        });
        let (kind, waits) = if asks == Asks::Get {
            let asked = wired.describe().await;
            (kind(&asked), asked.retry_after)
        } else {
            let asked = wired.head().await;
            (kind(&asked), asked.retry_after)
        };
        assert_eq!((kind, waits), (FaultKind::Throttled, wait), "{asks:?}");
        let got = wired.asked().iter().filter(|asked| **asked == Asks::Get).count();
        assert_eq!(got, if asks == Asks::Get { 2 } else { 0 }, "no GET stands in for a HEAD");
    }
}

#[tokio::test]
async fn what_is_left_of_a_limit_is_read_from_any_answer() {
    let wired = Wired::new().await;
    wired.upstream.behave(Behaviour { remaining: Some("20;w=21600".to_owned()), ..Behaviour::default() });
    assert_eq!(wired.head().await.left, Some(20));
    assert_eq!(wired.describe().await.left, Some(20));
}

#[tokio::test]
async fn a_head_without_a_digest_is_followed_by_a_get_whose_digest_is_computed() {
    let wired = Wired::new().await;
    wired.upstream.behave(Behaviour { without_digest: true, ..Behaviour::default() });
    assert_eq!(wired.head().await.answer, Ok(Some(wired.digest.clone())));
    assert_eq!(wired.asked(), [Asks::Head, Asks::Get]);
}

#[tokio::test]
async fn what_has_another_digest_than_was_asked_for_is_no_answer() {
    let wired = Wired::new().await;
    let other = json!({ "manifests": [{ "digest": fake::digest(1) }] }).to_string();
    for lie in [other, "<html>a login page</html>".to_owned(), String::new(), "x".repeat(5 * 1024 * 1024)] {
        wired.upstream.behave(Behaviour { sends: Some(lie), ..Behaviour::default() });
        assert_eq!(kind(&wired.describe().await), FaultKind::Invalid);
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_credentials() {
    let wired = Wired::new().await;
    let elsewhere = Upstream::default();
    let server = elsewhere.serve().await;
    let layers = [("linux/amd64", "amd64"), ("linux/arm64", "arm64")];
    elsewhere.push(TAG, &layers, "statement");
    let other = server.url().replace("127.0.0.1", "localhost");
    let redirects_to = Some(other);
    wired.upstream.behave(Behaviour { wants_token: true, redirects_to, ..Behaviour::default() });
    assert_eq!(wired.head().await.answer, Ok(Some(wired.digest.clone())));
    let asked = elsewhere.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|(.., authorization)| authorization.is_none()),
        "{asked:?}"
    );

    let itself = Some(wired.server.url());
    wired.upstream.behave(Behaviour { redirects_to: itself, ..Behaviour::default() });
    assert_eq!(kind(&wired.head().await), FaultKind::Invalid, "without an end");
    let nowhere = Some("ftp://example.com".to_owned());
    wired.upstream.behave(Behaviour { redirects_to: nowhere, ..Behaviour::default() });
    assert_eq!(kind(&wired.head().await), FaultKind::Invalid);
}

#[tokio::test]
async fn a_registry_that_is_down_or_refuses_is_no_registry_without_the_tag() {
    let wired = Wired::new().await;
    for (status, expected) in [
        (500, FaultKind::Unavailable),
        (503, FaultKind::Unavailable),
        (403, FaultKind::Denied),
        (401, FaultKind::Denied),
        (418, FaultKind::Invalid),
    ] {
        wired.upstream.behave(Behaviour { down: Some(status), ..Behaviour::default() });
        assert_eq!(kind(&wired.head().await), expected, "{status}");
    }
    let (reference, reader) = (wired.reference(), wired.reader.clone());
    drop(wired);
    let asked = reader.digest(&reference, now()).await;
    assert_eq!(kind(&asked), FaultKind::Unavailable, "{asked:?}");
}

#[tokio::test]
async fn credentials_come_from_the_secret_and_go_to_the_token_service_alone() {
    let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:ecr-pullthroughcache/hub-AbCdEf";
    let secret = json!({ "username": "jo", "accessToken": "s3cret" }).to_string();
    let asked_aws: Arc<Mutex<Vec<String>>> = Arc::default();
    let remember = Arc::clone(&asked_aws);
    let wired = Wired::with(&format!("credentials: \"{arn}\""), move |operation, input| {
        remember.lock().unwrap().push(format!("{operation} {}", input["SecretId"]));
        (200, json!({ "SecretString": secret }))
    })
    .await;
    let password = Some("Basic am86czNjcmV0".to_owned());
    wired.upstream.behave(Behaviour {
        wants_token: true,
        password: password.clone(),
        ..Behaviour::default()
    });
    assert_eq!(wired.head().await.answer, Ok(Some(wired.digest.clone())));
    assert_eq!(*asked_aws.lock().unwrap(), [format!("GetSecretValue \"{arn}\"")]);
    for (asks, path, authorization) in wired.upstream.asked() {
        assert_eq!(authorization == password, asks == Asks::Token, "{path}");
    }
}

#[tokio::test]
async fn a_secret_that_is_not_readable_is_named_and_not_shown() {
    let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hub-AbCdEf";
    let wired =
        Wired::with(&format!("credentials: \"{arn}\""), |_, _| (200, json!({ "SecretString": "jo:s3cret" })))
            .await;
    wired.upstream.behave(Behaviour { wants_token: true, ..Behaviour::default() });
    let fault = wired.head().await.answer.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    let text = fault.to_string();
    assert!(text.contains(arn) && text.contains("accessToken") && !text.contains("s3cret"), "{text}");
}

#[test]
fn docker_hub_has_its_registry_elsewhere_and_only_this_machine_answers_without_tls() {
    let at = |reference: &str| {
        let origin = origin(&reference.parse::<Reference>().unwrap().registry);
        format!("{}://{}", origin.scheme, origin.authority)
    };
    for (reference, url) in [
        ("docker.io/debian:12", "https://registry-1.docker.io"),
        ("index.docker.io/library/debian:12", "https://registry-1.docker.io"),
        ("public.ecr.aws/a/b:1", "https://public.ecr.aws"),
        ("ghcr.io/a/b:1", "https://ghcr.io"),
        ("registry.example.com:5000/a:1", "https://registry.example.com:5000"),
        ("localhost:5000/a:1", "http://localhost:5000"),
        ("127.0.0.1:5000/a:1", "http://127.0.0.1:5000"),
        ("localhost.example.com/a:1", "https://localhost.example.com"),
    ] {
        assert_eq!(at(reference), url);
    }
}

#[test]
fn the_latest_date_of_an_index_is_when_it_was_built() {
    let digest: Digest = fake::digest(9).parse().unwrap();
    let dated = |text: &str| json!({ "org.opencontainers.image.created": text });
    let entry = |n, notes| {
        json!({ "digest": fake::digest(n), "platform": { "os": "linux", "architecture": format!("a{n}") },
                "annotations": notes })
    };
    let index = json!({
        "manifests": [entry(1, dated("2026-02-03T04:05:06Z")), entry(2, dated("2026-02-01T00:00:00Z")),
                      entry(3, json!({}))],
        "annotations": dated("1970-01-01T00:00:00Z"),
    });
    let read = described::read(&index.to_string(), &digest).unwrap();
    assert_eq!(read.built_at, Some("2026-02-03T04:05:06Z".parse().unwrap()));
    assert_eq!(read.platforms.len(), 3);
    let single = json!({ "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": fake::digest(1) },
                         "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": fake::digest(2) }] });
    let read = described::read(&single.to_string(), &digest).unwrap();
    assert_eq!(
        read.platforms.values().collect::<Vec<_>>(),
        [&digest],
        "a single manifest is its own platform"
    );
}
