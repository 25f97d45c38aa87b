//! A base whose upstream tag moves, end to end: the compiled functions against a registry on the
//! wire that limits, lies and goes down. Each test has two registries: the fake, and Debian's
//! docker-registry behind the same faults, with images that buildah builds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::Path;

use patchwave_tests::buildah::{Recipe, Workshop};
use patchwave_tests::harness::{Harness, Setup, held};
use patchwave_tests::hierarchy;
use patchwave_tests::http::Server;
use patchwave_tests::proxy::Proxy;
use patchwave_tests::upstream::{Asks, Behaviour, Upstream};
use serde_json::{Value, json};

const TAG: &str = "os/os:1";
const FIRST: [(&str, &str); 2] = [("linux/amd64", "amd64 one"), ("linux/arm64", "arm64 one")];
const SECOND: [(&str, &str); 2] = [("linux/amd64", "amd64 two"), ("linux/arm64", "arm64 one")];

/// Who makes the images and keeps them.
enum Kept {
    Here,
    ByOthers(Box<Workshop>),
}

struct Watched {
    kept: Kept,
    upstream: Upstream,
    _server: Server,
    harness: Harness,
}

impl Watched {
    /// The sample with `base/os` on a tag of the fake, which was read once.
    async fn start(kept: Kept) -> Self {
        let upstream = match &kept {
            Kept::Here => Upstream::default(),
            Kept::ByOthers(workshop) => Upstream::before(workshop.address()),
        };
        let server = upstream.serve().await;
        push(&kept, &upstream, &FIRST, "one").await;
        upstream.behave(Behaviour { wants_token: true, ..Behaviour::default() });
        let yaml = hierarchy::SAMPLE
            .replace("public.ecr.aws/os/os:1", &format!("{}/{TAG}", server.address()))
            .replace(
                "upstreams: { watch: false }",
                "upstreams: { hosts: { public.ecr.aws: { watch: false } } }",
            )
            .replace("rebuildAt: high", "rebuildAt: high\n  quietPeriod: 0s");
        let mut harness = Harness::start(Setup { hierarchy: yaml, ..Setup::default() }).await;
        // Since when an image is enforced is known from the first time that it is looked at.
        harness.sweep().await;
        let tick = harness.tick().await;
        assert_eq!(tick["started"], json!([]), "what is read first is no change: {tick}");
        Self { kept, upstream, _server: server, harness }
    }

    /// Moves the tag to another version. Returns its digest.
    async fn push(&self, content: &[(&str, &str)], note: &str) -> String {
        push(&self.kept, &self.upstream, content, note).await
    }

    async fn delete(&self) {
        match &self.kept {
            Kept::Here => self.upstream.retag(TAG, None),
            Kept::ByOthers(workshop) => workshop.delete(TAG).await,
        }
    }

    fn asked(&self) -> Vec<Asks> {
        self.upstream.asked().into_iter().map(|(asks, ..)| asks).collect()
    }

    /// Lets the hour of every tag, and the pause of every host, pass.
    async fn let_an_hour_pass(&self) {
        for mut item in self.harness.items().await {
            if item["pk"]["S"] != "upstreams" {
                continue;
            }
            let mut state: Value = serde_json::from_str(item["state"]["S"].as_str().unwrap()).unwrap();
            for time in ["askedAt", "pausedUntil"] {
                if state.get(time).is_some() {
                    state[time] = "1970-01-01T00:00:00Z".into();
                }
            }
            item["state"] = json!({ "S": state.to_string() });
            let put = json!({ "TableName": "patchwave", "Item": item });
            self.harness.moto().call("dynamodb", "DynamoDB_20120810.PutItem", &put).await.unwrap();
        }
    }

    async fn an_hour_later(&mut self) -> Value {
        self.let_an_hour_pass().await;
        self.harness.tick().await
    }
}

async fn push(kept: &Kept, upstream: &Upstream, content: &[(&str, &str)], note: &str) -> String {
    match kept {
        Kept::Here => upstream.push(TAG, content, note),
        Kept::ByOthers(workshop) => {
            let recipe = Recipe { name: TAG, dockerfile: "FROM scratch\nCOPY own /own", ..Recipe::default() };
            workshop.make_index(&recipe, content, note).await;
            workshop.pushed(TAG)
        }
    }
}

async fn by_others(name: &str) -> Watched {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    Watched::start(Kept::ByOthers(Box::new(Workshop::start(folder).await))).await
}

#[tokio::test]
async fn a_base_is_rebuilt_when_its_upstream_tag_names_another_content() {
    rebuilds(Watched::start(Kept::Here).await).await;
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own, with buildah and docker-registry"]
async fn a_base_is_rebuilt_when_buildah_pushes_another_content() {
    rebuilds(by_others("rebuilds-buildah").await).await;
}

#[tokio::test]
async fn what_the_registry_does_not_answer_starts_nothing_and_ends_nothing() {
    outlives_troubles(Watched::start(Kept::Here).await).await;
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own, with buildah and docker-registry"]
async fn what_a_real_registry_does_not_answer_starts_nothing_with_buildah() {
    outlives_troubles(by_others("troubles-buildah").await).await;
}

#[tokio::test]
async fn a_tag_that_is_deleted_upstream_is_named() {
    names_a_deleted_tag(Watched::start(Kept::Here).await).await;
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own, with buildah and docker-registry"]
async fn a_tag_that_is_deleted_from_a_real_registry_is_named_with_buildah() {
    names_a_deleted_tag(by_others("deleted-buildah").await).await;
}

#[tokio::test]
async fn a_registry_with_a_private_authority_is_read_through_a_proxy() {
    let upstream = Upstream::default();
    let (server, authority) = upstream.serve_tls("registry.example.com").await;
    let proxy = Proxy::before(server.address()).await;
    upstream.push(TAG, &FIRST, "one");
    let yaml = hierarchy::SAMPLE
        .replace("public.ecr.aws/os/os:1", &format!("registry.example.com/{TAG}"))
        .replace("upstreams: { watch: false }", "upstreams: { hosts: { public.ecr.aws: { watch: false } } }");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    for trusts in [false, true] {
        let mut harness = Harness::start(Setup { hierarchy: yaml.clone(), ..Setup::default() }).await;
        harness.set("HTTPS_PROXY", proxy.url());
        if trusts {
            harness.set("SSL_CERT_FILE", file.to_str().unwrap());
        }
        harness.sweep().await;
        harness.tick().await;
        assert_eq!(proxy.asked().first().map(String::as_str), Some("registry.example.com:443"));
        let asked: Vec<Asks> = upstream.asked().into_iter().map(|(asks, ..)| asks).collect();
        let items = harness.items().await;
        let item = items.iter().find(|item| item["sk"]["S"].as_str().is_some_and(|sk| sk.contains(TAG)));
        let state: Value = serde_json::from_str(item.unwrap()["state"]["S"].as_str().unwrap()).unwrap();
        if trusts {
            assert_eq!((asked, &state["unread"]), (vec![Asks::Head, Asks::Get], &Value::Null));
        } else {
            assert_eq!(asked, [], "an authority that is not known is not believed");
            assert!(state["unread"].is_object(), "{state}");
        }
    }
}

async fn rebuilds(mut watched: Watched) {
    assert_eq!(watched.asked(), [Asks::Head, Asks::Token, Asks::Head, Asks::Get]);
    watched.harness.tick().await;
    assert_eq!(watched.asked(), [], "its hour is not over");
    watched.push(&FIRST, "two").await;
    let tick = watched.an_hour_later().await;
    assert_eq!(tick["started"], json!([]), "only the attestation is new: {tick}");
    let digest = watched.push(&SECOND, "two").await;
    let tick = watched.an_hour_later().await;
    let started = tick["started"].as_array().unwrap();
    assert_eq!((started.len(), &started[0]["image"]), (1, &json!("base/os")), "{tick}");
    let reasons = started[0]["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{tick}");
    let reason = &reasons[0];
    assert_eq!((&reason["code"], &reason["now"]), (&json!("ParentChanged"), &json!(digest)));
    assert_eq!(watched.asked().iter().filter(|asks| **asks == Asks::Get).count(), 2, "one for each index");

    let execution = watched.harness.pipelines.executions().pop().unwrap();
    watched.harness.end_build(&execution).await;
    let tick = watched.an_hour_later().await;
    assert!(
        !tick["started"].as_array().unwrap().iter().any(|started| started["image"] == "base/os"),
        "{tick}"
    );
    assert_eq!(watched.harness.builds()["base/os"], 1, "once: {:?}", watched.harness.builds());
}

async fn outlives_troubles(mut watched: Watched) {
    watched.push(&SECOND, "two").await;
    let limits = |asks| BTreeSet::from([asks]);
    let troubles = [
        Behaviour { wants_token: true, limits: limits(Asks::Token), ..Behaviour::default() },
        Behaviour { limits: limits(Asks::Head), retry_after: Some("60".to_owned()), ..Behaviour::default() },
        Behaviour { limits: limits(Asks::Get), ..Behaviour::default() },
        Behaviour { down: Some(503), ..Behaviour::default() },
        Behaviour { sends: Some("{\"manifests\": []}".to_owned()), ..Behaviour::default() },
        Behaviour { claims: Some(format!("sha256:{}", "0".repeat(64))), ..Behaviour::default() },
        Behaviour { redirects_to: Some("http://127.0.0.1:1".to_owned()), ..Behaviour::default() },
    ];
    for trouble in troubles {
        let shown = format!("{trouble:?}");
        watched.upstream.behave(trouble);
        watched.asked();
        let tick = watched.an_hour_later().await;
        assert_eq!(tick["started"], json!([]), "{shown}: {tick}");
        let asked = watched.asked();
        assert!((1..=3).contains(&asked.len()), "{shown}: {asked:?}");
        watched.harness.tick().await;
        assert_eq!(watched.asked(), [], "it is left alone after {shown}");
    }
    watched.upstream.behave(Behaviour::default());
    let tick = watched.an_hour_later().await;
    assert_eq!(tick["started"][0]["image"], "base/os", "what moved meanwhile is seen: {tick}");
}

async fn names_a_deleted_tag(mut watched: Watched) {
    watched.delete().await;
    watched.an_hour_later().await;
    let sweep = watched.harness.sweep().await;
    assert_eq!(held(&sweep, "base/os")["why"], "Fresh");
    let unknown = sweep["unknown"].as_array().unwrap();
    let named =
        unknown.iter().any(|unknown| unknown["because"].as_str().unwrap().contains("name another tag"));
    assert!(named, "{sweep}");
}
