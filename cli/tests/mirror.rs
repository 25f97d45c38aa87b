//! `mirror`, and what `why` and `requests` say about upstream images.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Scratch, patchwave};

const HIERARCHY: &str = r#"
version: 1
registries:
  home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, caches: { docker-hub: docker.io } }
upstreams:
  hosts:
    ghcr.io: { credentials: "arn:aws:secretsmanager:us-east-1:111122223333:secret:ecr-pullthroughcache/gh-AbCdEf" }
images:
  - { id: os, tier: base, repository: os, tags: ["1"], from: "111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub/library/debian:12" }
  - { id: old, tier: base, repository: old, tags: ["1"], from: "docker.io/library/debian:12" }
  - { id: py, tier: platform, repository: py, tags: ["3"], from: os, copyFrom: ["ghcr.io/astral-sh/uv:0.9"] }
  - { id: ubi, tier: base, repository: ubi, tags: ["9"], from: "registry.access.redhat.com/ubi9/ubi:9" }
  - { id: al, tier: base, repository: al, tags: ["1"], from: "public.ecr.aws/amazonlinux/amazonlinux:2023" }
"#;

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

/// Debian 12 moved, and the cache holds `cached`.
fn facts(cached: &str) -> String {
    let content = |index: u8, manifest: u8, since: &str| json!({ "digests": [digest(index)], "platforms": { "linux/amd64": digest(manifest) }, "since": since });
    let debian = json!({ "contents": [content(1, 11, "2026-01-01T00:00:00Z"), content(2, 12, "2026-02-01T00:00:00Z")] });
    json!({
        "observedAt": "2026-03-01T00:00:00Z", "images": {},
        "upstreams": { "docker.io/library/debian:12": debian },
        "caches": { "docker-hub/library/debian:12":
            { "holds": { "digest": cached, "syncedAt": "2026-02-28T00:00:00Z" } } },
    })
    .to_string()
}

#[test]
fn each_upstream_image_has_a_cache_a_rule_or_a_copy_with_its_commands() {
    let scratch = Scratch::new("mirror");
    let file = scratch.write("hierarchy.yaml", HIERARCHY);
    let ran = patchwave(&["--hierarchy", &file, "mirror", "--plan", "--format", "json"]);
    assert_eq!(ran.code, 0);
    let planned = ran.json();
    let of = |name: &str| {
        let upstreams = planned["upstreams"].as_array().unwrap();
        upstreams.iter().find(|of| of["upstream"] == name).unwrap_or_else(|| panic!("{planned:#}")).clone()
    };
    let debian = of("docker.io/library/debian:12");
    assert_eq!(debian["place"], json!({ "cache": { "repository": "docker-hub/library/debian" } }));
    assert_eq!(debian["images"], json!(["old", "os"]));
    let home = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
    assert_eq!(debian["write"], format!("{home}/docker-hub/library/debian:12"), "for `old`");
    assert_eq!(
        of("registry.access.redhat.com/ubi9/ubi:9")["place"],
        json!({ "copy": { "repository": "mirror/registry.access.redhat.com/ubi9/ubi" } })
    );
    let commands: Vec<&str> =
        planned["commands"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let rule = "aws ecr create-pull-through-cache-rule --region us-east-1 --ecr-repository-prefix";
    let secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ecr-pullthroughcache/gh-AbCdEf";
    assert_eq!(commands, [
        format!("{rule} github --upstream-registry-url ghcr.io --credential-arn {secret}"),
        format!("{rule} ecr-public --upstream-registry-url public.ecr.aws"),
        "aws ecr create-repository --region us-east-1 --repository-name mirror/registry.access.redhat.com/ubi9/ubi".to_owned(),
        format!("skopeo copy --all --preserve-digests docker://registry.access.redhat.com/ubi9/ubi:9 \
                 docker://{home}/mirror/registry.access.redhat.com/ubi9/ubi:9"),
    ]);
    assert_eq!(planned["caches"], json!(["ecr-public: public.ecr.aws", "github: ghcr.io"]));
    let text = patchwave(&["--hierarchy", &file, "mirror", "--plan"]).stdout;
    assert!(text.starts_with("4 upstream images of 4 registries\n"), "{text}");
    assert_eq!(patchwave(&["--hierarchy", &file, "mirror"]).code, 2, "it only plans");
}

#[test]
fn a_cache_that_serves_what_upstream_replaced_is_named() {
    let scratch = Scratch::new("lagging");
    let file = scratch.write("hierarchy.yaml", HIERARCHY);
    for (cached, code) in [(digest(1), 1), (digest(2), 0), (digest(12), 0)] {
        let facts = scratch.write("facts.json", &facts(&cached));
        let ran = patchwave(&["--hierarchy", &file, "mirror", "--plan", "--facts", &facts]);
        assert_eq!(ran.code, code, "{}", ran.stdout);
        assert_eq!(ran.stdout.contains("lags: docker-hub/library/debian:12 serves 010101010101"), code == 1);
    }
}

#[test]
fn why_and_the_inventory_name_an_upstream_tag_that_has_not_moved_for_long() {
    let scratch = Scratch::new("silent");
    let facts = scratch.write("facts.json", &facts(&digest(2)));
    for (silence, named) in [("20d", true), ("40d", false)] {
        let yaml =
            HIERARCHY.replace("images:", &format!("policy: {{ upstreamSilence: {silence} }}\nimages:"));
        let file = scratch.write("hierarchy.yaml", &yaml);
        let text = patchwave(&["--hierarchy", &file, "why", "old", "--facts", &facts]).stdout;
        assert_eq!(
            text.contains("docker.io/library/debian:12 has not moved since 2026-02-01"),
            named,
            "{text}"
        );
        let survey = scratch.write("survey.json", r#"{ "places": [], "sightings": [] }"#);
        let asked = ["--hierarchy", &file, "inventory", "--survey", &survey, "--facts", &facts];
        let text = patchwave(&asked).stdout;
        assert_eq!(
            text.contains("silent docker.io/library/debian:12 has not moved since 2026-02-01"),
            named,
            "{text}"
        );
        let one = patchwave(&[&asked[..], &["--cve", "CVE-2026-0001"]].concat()).stdout;
        assert!(!one.contains("silent"), "{one}");
    }
}

#[test]
fn requests_count_what_a_watch_of_upstream_tags_asks() {
    let ran = patchwave(&["requests", "--days", "2", "--upstream-tags", "4", "--format", "json"]);
    let upstream = &ran.json()["upstream"];
    assert_eq!(upstream["tags"], 4);
    let heads = upstream["requests"]["heads"].as_u64().unwrap();
    assert!((4 * 48..4 * 60).contains(&heads), "{upstream}");
    assert!(upstream["polling"]["requests"].as_u64().unwrap() > 6 * heads, "{upstream}");
    let text = patchwave(&["requests", "--upstream-tags", "60"]).stdout;
    let usd = text.lines().find(|line| line.trim().starts_with("USD a month")).unwrap();
    let cents: f64 = usd.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((0.05..0.3).contains(&cents), "{usd}");
}
