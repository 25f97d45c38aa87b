use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{DeployedVersion, Deployments};
use patchwave::finding::{Coverage, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::inventory::{Frequency, Scanner};
use patchwave_converge::{FaultKind, Found, ScanRequest};
use serde_json::{Value, json};

use super::{Cache, Ecr, ScanRead};
use crate::fake::{self, Answer, Asked, count, digest, error};

/// A registry on the wire: what each repository holds, by digest.
#[derive(Default, Clone)]
struct Registry(BTreeMap<&'static str, BTreeMap<String, Stored>>);

#[derive(Clone)]
struct Stored {
    tags: Vec<String>,
    pushed_at: u64,
    manifest: Value,
}

impl Registry {
    fn push(mut self, repository: &'static str, n: usize, tags: &[&str], manifest: Value) -> Self {
        let stored = Stored {
            tags: tags.iter().map(|&t| t.to_owned()).collect(),
            pushed_at: 1_700_000_000 + n as u64,
            manifest,
        };
        self.0.entry(repository).or_default().insert(digest(n), stored);
        self
    }

    fn answer(&self, operation: &str, input: &Value) -> Answer {
        let Some(images) = self.0.get(input["repositoryName"].as_str().unwrap()) else {
            return error("RepositoryNotFoundException");
        };
        match operation {
            "DescribeImages" => describe(images, input),
            "BatchGetImage" => batch_get(images, input),
            other => panic!("unexpected operation {other}"),
        }
    }

    fn connect(self) -> (Ecr, Asked) {
        ecr(move |operation, input| self.answer(operation, input))
    }
}

fn describe(images: &BTreeMap<String, Stored>, input: &Value) -> Answer {
    let detail = |(digest, stored): (&String, &Stored)| json!({"imageDigest": digest, "imageTags": stored.tags, "imagePushedAt": stored.pushed_at});
    let Some(ids) = input["imageIds"].as_array() else {
        // One image a page, so that the client must follow pages.
        let at: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let page: Vec<Value> = images.iter().skip(at).take(1).map(detail).collect();
        let next = (at + 1 < images.len()).then(|| (at + 1).to_string());
        return (200, json!({"imageDetails": page, "nextToken": next}));
    };
    let named = |id: &Value| {
        images.iter().find(|(digest, stored)| {
            id["imageDigest"] == **digest || stored.tags.iter().any(|tag| id["imageTag"] == **tag)
        })
    };
    match ids.iter().map(named).collect::<Option<Vec<_>>>() {
        Some(found) => (200, json!({"imageDetails": found.into_iter().map(detail).collect::<Vec<_>>()})),
        None => error("ImageNotFoundException"),
    }
}

fn batch_get(images: &BTreeMap<String, Stored>, input: &Value) -> Answer {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for id in input["imageIds"].as_array().unwrap() {
        match images.get(id["imageDigest"].as_str().unwrap()) {
            Some(stored) => found.push(json!({"imageId": id, "imageManifest": stored.manifest.to_string()})),
            None => {
                failures
                    .push(json!({"imageId": id, "failureCode": "ImageNotFound", "failureReason": "gone"}));
            }
        }
    }
    (200, json!({"images": found, "failures": failures}))
}

fn ecr(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> (Ecr, Asked) {
    let (config, asked) = fake::config(1, answer);
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    (Ecr::new(aws_sdk_ecr::Client::new(&config), &registry, &Cache::default()), asked)
}

fn manifest(layer: usize, annotations: &Value) -> Value {
    json!({"config": {"digest": digest(layer), "mediaType": "application/vnd.oci.image.config.v1+json"},
           "layers": [{"digest": digest(layer), "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}],
           "annotations": annotations})
}

fn index(amd64: usize, attestation: usize) -> Value {
    json!({"manifests": [
        {"digest": digest(amd64), "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": digest(attestation), "platform": {"os": "unknown", "architecture": "unknown"}}]})
}

fn hierarchy(images: &[Value]) -> Hierarchy {
    let file =
        json!({"version": 1, "registry": "111122223333.dkr.ecr.us-east-1.amazonaws.com", "images": images});
    Hierarchy::parse("test", &file.to_string()).unwrap()
}

fn stable(repository: &str, tag: &str) -> Value {
    json!({"tier": "base", "repository": repository, "tags": [tag], "from": "scratch"})
}

fn images(hierarchy: &Hierarchy) -> Vec<&Image> {
    hierarchy.images().collect()
}

fn at(repository: &str, n: usize) -> (Repository, Digest) {
    (repository.parse().unwrap(), digest(n).parse().unwrap())
}

fn revision(text: &str) -> Value {
    json!({"org.opencontainers.image.revision": text})
}

/// An image with a line of its own for production, beside the newest push.
fn with_a_deployed_line() -> Hierarchy {
    let lines = json!([{"environment": "prod", "current": "deployed"}, {"tagPattern": "main-*", "current": "newest"}]);
    let pipeline = json!({"name": "web", "sources": [{"action": "Source", "type": "COMMIT_ID"}]});
    let image = json!({"tier": "application", "repository": "apps/web", "lines": lines, "from": "scratch", "pipeline": pipeline});
    let inventory =
        json!({"regions": ["us-east-1"], "accounts": [{"id": "444455556666", "environment": "prod"}]});
    let file = json!({"version": 1, "registry": "111122223333.dkr.ecr.us-east-1.amazonaws.com", "images": [image],
        "inventory": inventory});
    Hierarchy::parse("test", &file.to_string()).unwrap()
}

/// Commit `a` was pushed, then `b`, then a rebuild of `a`. Commit `c` has an old push without a
/// tag.
fn two_commits() -> Registry {
    let of = |commit: &str| manifest(900, &revision(commit));
    Registry::default()
        .push("apps/web", 1, &["main-a"], of("a"))
        .push("apps/web", 2, &["main-b"], of("b"))
        .push("apps/web", 3, &["main-a-2"], of("a"))
        .push("apps/web", 4, &[], of("c"))
}

/// Returns what counts on production's line while production runs `running`, and what counts on the
/// other line.
async fn deployed(running: Option<usize>) -> [Result<Option<String>, String>; 2] {
    let hierarchy = with_a_deployed_line();
    let (ecr, _) = two_commits().connect();
    let at = "2026-01-01T12:00:00Z".parse().unwrap();
    let runs = |n| DeployedVersion { version: digest(n).parse().unwrap(), since: at, last_seen: at };
    let runs = |n| Deployments {
        environments: BTreeMap::from([("prod".to_owned(), runs(n))]),
        ..Deployments::default()
    };
    let id: ImageId = "apps/web@prod".parse().unwrap();
    let running = Ok(running.map(|n| (id.clone(), runs(n))).into_iter().collect());
    let mut currents = ecr.currents(&images(&hierarchy), &running).await;
    [id, "apps/web".parse().unwrap()].map(|id| {
        let version = currents.remove(&id).unwrap().map_err(|fault| fault.message)?;
        Ok(version.version().map(|version| version.digest.to_string()))
    })
}

#[tokio::test]
async fn what_counts_on_a_deployed_line_is_the_newest_build_of_the_commit_that_runs() {
    let newest = Ok(Some(digest(2)));
    assert_eq!(
        deployed(Some(1)).await,
        [Ok(Some(digest(3))), newest.clone()],
        "its rebuild, which is not deployed yet"
    );
    assert_eq!(deployed(Some(3)).await, [Ok(Some(digest(3))), newest.clone()]);
    assert_eq!(
        deployed(Some(2)).await,
        [Ok(Some(digest(2))), newest.clone()],
        "a rebuild of an older commit does not count"
    );
    assert_eq!(
        deployed(Some(4)).await,
        [Ok(Some(digest(4))), newest.clone()],
        "what runs counts without a tag"
    );

    // What the inventory did not see, and what is gone, is unknown. The newest push does not
    // replace it.
    let because = |why: &str| Err(why.to_owned());
    assert_eq!(deployed(None).await, [because("the inventory has not seen the image there"), newest.clone()]);
    assert_eq!(deployed(Some(9)).await, [because("it is no longer in the registry"), newest]);
}

#[tokio::test]
async fn a_table_that_does_not_say_what_runs_leaves_a_deployed_line_unknown() {
    let hierarchy = with_a_deployed_line();
    let (ecr, _) = two_commits().connect();
    let running = Err(crate::fault::invalid("read where images run", "no answer"));
    let currents = ecr.currents(&images(&hierarchy), &running).await;
    let [production, newest] =
        ["apps/web@prod", "apps/web"].map(|id| &currents[&id.parse::<ImageId>().unwrap()]);
    assert_eq!(production.as_ref().unwrap_err().message, "no answer");
    assert!(newest.clone().unwrap().version().is_some(), "the other line does not depend on the table");
}

#[tokio::test]
async fn one_missing_tag_among_many_costs_a_few_calls_and_affects_no_other() {
    let tags: Vec<String> = (0..64).map(|n| format!("t{n}")).collect();
    let registry =
        tags.iter().enumerate().filter(|(n, _)| *n != 37).fold(Registry::default(), |registry, (n, tag)| {
            registry.push("base/os", n, &[tag], manifest(900, &Value::Null))
        });
    let hierarchy = hierarchy(&tags.iter().map(|tag| stable("base/os", tag)).collect::<Vec<_>>());
    let (ecr, asked) = registry.connect();
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    for (id, current) in &currents {
        let missing = id.as_str() == "base/os:t37";
        assert_eq!(current.clone().unwrap().version().is_none(), missing, "{id}");
    }
    assert_eq!(currents.len(), 64);
    assert!(count(&asked, "DescribeImages") <= 13, "{}", count(&asked, "DescribeImages"));
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_not_one_without_images_and_each_image_gets_the_fault() {
    let hierarchy = hierarchy(&[stable("base/os", "1"), stable("base/os", "2")]);
    let (none, _) = Registry::default().connect();
    assert!(
        none.currents(&images(&hierarchy), &Ok(BTreeMap::new()))
            .await
            .into_values()
            .all(|current| matches!(current, Ok(Found::NoRepository(_))))
    );
    let (denied, _) = ecr(|_, _| error("AccessDeniedException"));
    let currents = denied.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    assert_eq!(currents.len(), 2);
    assert!(currents.into_values().all(|current| current.unwrap_err().kind == FaultKind::Denied));
}

#[tokio::test]
async fn what_an_answer_leaves_out_is_not_gone() {
    let registry = Registry::default().push("base/os", 1, &["1"], manifest(901, &Value::Null));
    let (ecr, _) = ecr(move |operation, input| match operation {
        "BatchGetImage" => (200, json!({"images": [], "failures": []})),
        _ => registry.answer(operation, input),
    });
    let hierarchy = hierarchy(&[stable("base/os", "1")]);
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    let faults: Vec<_> = currents.into_values().map(|current| current.unwrap_err().to_string()).collect();
    assert!(faults.len() == 1 && faults[0].contains("leaves it out"), "{faults:?}");
}

#[tokio::test]
async fn an_index_is_read_by_its_platforms_and_the_first_platforms_notes_count() {
    let registry = Registry::default()
        .push("base/os", 1, &[], manifest(901, &revision("abc")))
        .push("base/os", 2, &[], attestation())
        .push("base/os", 3, &["1"], index(1, 2));
    let hierarchy = hierarchy(&[stable("base/os", "1")]);
    let (ecr, _) = registry.connect();
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    let version = currents.into_values().next().unwrap().unwrap().version().unwrap();
    assert_eq!(version.digest.as_str(), digest(3));
    assert_eq!(version.revision.as_deref(), Some("abc"));
    let platforms: Vec<_> = version.platforms.iter().map(|(p, m)| (p.as_str(), m.digest.as_str())).collect();
    assert_eq!(platforms, [("linux/amd64", digest(1).as_str())]);
}

#[tokio::test]
async fn a_pattern_line_follows_all_pages_and_keeps_its_commits_in_order() {
    let registry = Registry::default()
        .push("apps/shop", 1, &["main-a"], manifest(901, &revision("a")))
        .push("apps/shop", 2, &["main-b"], manifest(902, &revision("b")))
        .push("apps/shop", 3, &["main-a-2"], manifest(903, &revision("a")))
        .push("apps/shop", 4, &["dev-c"], manifest(904, &revision("c")));
    let application =
        json!({"tier": "application", "repository": "apps/shop", "tagPattern": "main-*", "from": "scratch"});
    let hierarchy = hierarchy(&[application]);
    let (ecr, asked) = registry.connect();
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    let version = currents.into_values().next().unwrap().unwrap().version().unwrap();
    assert_eq!(version.digest.as_str(), digest(2), "the rebuild of a keeps a's place");
    assert_eq!(count(&asked, "DescribeImages"), 4);
}

#[tokio::test]
async fn more_than_a_hundred_ids_are_split() {
    let registry = (0..250).fold(Registry::default(), |registry, n| {
        registry.push("base/os", n, &[], manifest(900, &Value::Null))
    });
    let (ecr, asked) = registry.connect();
    let wanted: BTreeSet<_> = (0..250).map(|n| at("base/os", n)).collect();
    let versions = ecr.versions(&wanted).await;
    assert_eq!(versions.values().filter(|found| matches!(found, Ok(Some(_)))).count(), 250);
    assert_eq!(count(&asked, "BatchGetImage"), 3);
}

#[tokio::test]
async fn a_history_holds_versions_and_not_their_parts() {
    let signature = json!({"layers": [{"digest": digest(9), "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json"}]});
    let registry = Registry::default()
        .push("base/os", 1, &[], manifest(901, &Value::Null))
        .push("base/os", 2, &[], manifest(902, &Value::Null))
        .push("base/os", 3, &[], index(1, 2))
        .push("base/os", 4, &["1"], manifest(904, &Value::Null))
        .push("base/os", 5, &["sha256-3.sig"], signature);
    let (ecr, _) = registry.connect();
    let history = ecr.history(&BTreeSet::from(["base/os".parse().unwrap()])).await;
    let versions = history.into_values().next().unwrap().unwrap();
    let digests: Vec<_> = versions.iter().map(|version| version.digest.as_str()).collect();
    assert_eq!(digests, [digest(3), digest(4)]);
}

/// The index that a registry without a referrers API keeps for signatures: tag `sha256-<hex>`.
fn of_signatures(signature: usize) -> Value {
    json!({"manifests": [{"digest": digest(signature), "artifactType": "application/vnd.cncf.notary.signature"}]})
}

fn attestation() -> Value {
    json!({"config": {"digest": digest(8), "mediaType": "application/vnd.oci.image.config.v1+json"},
           "layers": [{"digest": digest(9), "mediaType": "application/vnd.in-toto+json"}]})
}

fn signature() -> Value {
    json!({"artifactType": "application/vnd.cncf.notary.signature",
           "config": {"digest": digest(8), "mediaType": "application/vnd.oci.empty.v1+json"},
           "layers": [{"digest": digest(9), "mediaType": "application/jose+json"}]})
}

#[tokio::test]
async fn signatures_are_no_version_of_a_line_and_no_history() {
    let registry = Registry::default()
        .push("apps/shop", 1, &["main-1"], manifest(901, &revision("a")))
        .push("apps/shop", 2, &[], signature())
        .push("apps/shop", 3, &["sha256-0001"], of_signatures(2));
    let line =
        json!({"tier": "application", "repository": "apps/shop", "tagPattern": "*", "from": "scratch"});
    let hierarchy = hierarchy(&[line]);
    let (ecr, _) = registry.connect();
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    let version = currents.into_values().next().unwrap().unwrap().version().unwrap();
    assert_eq!(version.digest.as_str(), digest(1));
    let history = ecr.history(&BTreeSet::from(["apps/shop".parse().unwrap()])).await;
    let versions = history.into_values().next().unwrap().unwrap();
    assert_eq!(versions.iter().map(|version| version.digest.as_str()).collect::<Vec<_>>(), [digest(1)]);
}

#[tokio::test]
async fn a_platform_that_the_registry_does_not_hold_is_unknown_and_spoils_no_other() {
    let registry = Registry::default().push("base/os", 1, &[], manifest(901, &Value::Null)).push(
        "base/os",
        3,
        &["1"],
        json!({"manifests": [
            {"digest": digest(1), "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": digest(2), "platform": {"os": "linux", "architecture": "arm64"}}]}),
    );
    let (ecr, _) = registry.connect();
    let hierarchy = hierarchy(&[stable("base/os", "1")]);
    let currents = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await;
    let version = currents.into_values().next().unwrap().unwrap().version().unwrap();
    let layers: Vec<_> = version.platforms.iter().map(|(p, m)| (p.as_str(), m.layers.len())).collect();
    assert_eq!(layers, [("linux/amd64", 1), ("linux/arm64", 0)]);
}

/// Reads one scan from the given pages.
async fn scan(pages: Vec<Answer>) -> Scan {
    let (ecr, _) = ecr(move |_, input| {
        let at: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        pages[at].clone()
    });
    match ecr.scans(&BTreeSet::from([at("base/os", 1)])).await.into_values().next().unwrap() {
        ScanRead::Whole(scan) => scan,
        ScanRead::WithoutTime(answer) => answer.completed_at(None),
    }
}

#[tokio::test]
async fn a_scan_that_was_made_once_grows_old_and_one_of_a_watched_image_does_not() {
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let found = json!({"imageScanCompletedAt": now.as_second() - 8 * 86_400, "enhancedFindings": [{
        "status": "ACTIVE", "type": "PACKAGE_VULNERABILITY", "severity": "HIGH",
        "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-1", "vulnerablePackages": [
            {"name": "zlib", "version": "1", "packageManager": "OS", "fixedInVersion": "2"}]}}]});
    let [listed, other] = ["CVE-1 in zlib", "CVE-2 in zlib"].map(|key| key.to_owned().try_into().unwrap());
    for (status, days, not_listed) in
        [("COMPLETE", 7, None), ("COMPLETE", 9, Some(false)), ("ACTIVE", 7, Some(false))]
    {
        let scan = scan(vec![page(status, None, &found)]).await.as_of(now, patchwave::time::Span::days(days));
        assert_eq!((scan.lists(&listed), scan.lists(&other)), (Some(true), not_listed), "{status} {days}");
        assert_eq!(scan.unknown_because().is_some(), not_listed.is_none());
    }
}

#[tokio::test]
async fn a_clean_image_that_is_watched_may_carry_no_time() {
    let read = async |status: &'static str| {
        let (ecr, _) = ecr(move |_, _| page(status, None, &json!({})));
        ecr.scans(&BTreeSet::from([at("base/os", 1)])).await.into_values().next().unwrap()
    };
    let ScanRead::WithoutTime(answer) = read("ACTIVE").await else { panic!("Inspector knows the time") };
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let scan = answer.completed_at(Some(now));
    assert_eq!((scan.completed_at(), scan.findings().len()), (Some(now), 0));
    let ScanRead::WithoutTime(answer) = read("ACTIVE").await else { panic!("Inspector knows the time") };
    assert!(matches!(answer.completed_at(None), Scan::Unread(_)), "a scan of unknown age proves nothing");
    assert!(
        matches!(read("COMPLETE").await, ScanRead::Whole(Scan::Unread(_))),
        "seconds after a push, before the findings arrive"
    );
}

fn page(status: &str, next: Option<&str>, findings: &Value) -> Answer {
    let mut body = json!({"imageScanStatus": {"status": status}, "imageScanFindings": findings});
    if let Some(next) = next {
        body["nextToken"] = next.into();
    }
    (200, body)
}

fn basic(name: &str, package: &str) -> Value {
    json!({"imageScanCompletedAt": 1_700_000_000, "findings": [
        {"name": name, "severity": "HIGH", "attributes": [{"key": "package_name", "value": package}]}]})
}

#[tokio::test]
async fn all_pages_of_findings_are_read_or_the_scan_is_unread() {
    let first = page("COMPLETE", Some("1"), &basic("CVE-1", "openssl"));
    let Scan::Complete { findings, coverage, .. } =
        scan(vec![first.clone(), page("COMPLETE", None, &basic("CVE-2", "zlib"))]).await
    else {
        panic!("both pages were answered")
    };
    assert_eq!((findings.len(), coverage), (2, Coverage::Os));
    assert_eq!((&findings[0].fix, findings[0].severity), (&Fix::Unknown, Severity::High));
    let Scan::Unread(throttled) = scan(vec![first.clone(), error("ThrottlingException")]).await else {
        panic!("half a list is no scan")
    };
    assert!(throttled.because.contains("ThrottlingException") && !throttled.needs_person, "{throttled}");
    let Scan::Unread(denied) = scan(vec![first, error("AccessDeniedException")]).await else {
        panic!("half a list is no scan")
    };
    assert!(denied.needs_person, "{denied}");
}

#[tokio::test]
async fn only_a_finished_scan_that_says_when_is_evidence() {
    let status = |word: &str| scan(vec![page(word, None, &json!({}))]);
    assert_eq!(status("PENDING").await, Scan::Pending);
    assert_eq!(status("SCAN_ELIGIBILITY_EXPIRED").await, Scan::Expired);
    assert_eq!(status("UNSUPPORTED_IMAGE").await, Scan::Unsupported("UNSUPPORTED_IMAGE".into()));
    assert_eq!(status("IMAGE_SIZE_EXCEEDED").await, Scan::Unsupported("IMAGE_SIZE_EXCEEDED".into()));
    assert!(matches!(status("COMPLETE").await, Scan::Unread(_)), "of unknown age");
    assert!(matches!(status("BRAND_NEW").await, Scan::Unread(_)), "a status of later");
    assert_eq!(scan(vec![error("ScanNotFoundException")]).await, Scan::Missing);
    assert!(matches!(scan(vec![error("ImageNotFoundException")]).await, Scan::Unread(_)));
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_or_uses_unknown_words_proves_nothing() {
    let counted = json!({"imageScanCompletedAt": 1_700_000_000, "findings": [],
        "findingSeverityCounts": {"CRITICAL": 5}});
    let Scan::Unread(why) = scan(vec![page("COMPLETE", None, &counted)]).await else {
        panic!("five findings that are not listed are not none")
    };
    assert!(why.because.contains("counts 5"), "{why}");
    let mut strange = basic("CVE-1", "openssl");
    strange["findings"][0]["severity"] = "SEVERE".into();
    let scan = scan(vec![page("COMPLETE", None, &strange)]).await;
    let unclear: Vec<String> = scan.unclear().map(|(key, unclear)| format!("{key}: {unclear}")).collect();
    assert_eq!(unclear, ["CVE-1 in openssl: the scanner rates it with the unknown word \"SEVERE\""]);
}

#[tokio::test]
async fn a_suppressed_or_closed_finding_is_neither_there_nor_gone() {
    for status in ["SUPPRESSED", "CLOSED"] {
        let found = json!({"imageScanCompletedAt": 1_700_000_000, "enhancedFindings": [{
            "status": status, "type": "PACKAGE_VULNERABILITY", "severity": "HIGH",
            "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-1", "vulnerablePackages": [
                {"name": "zlib", "version": "1", "packageManager": "OS", "fixedInVersion": "2"}]}}]});
        let scan = scan(vec![page("COMPLETE", None, &found)]).await;
        let [zlib, other] = ["CVE-1 in zlib", "CVE-2 in zlib"].map(|key| key.to_owned().try_into().unwrap());
        assert_eq!((scan.lists(&zlib), scan.lists(&other)), (None, Some(false)), "{status}");
        let Scan::Complete { coverage, .. } = scan else { panic!("it is complete") };
        assert_eq!(coverage, Coverage::OsAndLanguages, "Inspector made it, although it is COMPLETE");
    }
}

#[tokio::test]
async fn inspectors_findings_become_one_for_each_package() {
    let package = |name: &str, manager: &str, fixed: Value| {
        json!({"name": name, "version": "1.0", "release": "2", "packageManager": manager,
               "fixedInVersion": fixed, "sourceLayerHash": digest(7)})
    };
    let found = |status: &str, severity: &str, packages: Value| {
        json!({"status": status, "type": "PACKAGE_VULNERABILITY", "severity": severity, "fixAvailable": "NO",
               "exploitAvailable": "YES", "firstObservedAt": 1_690_000_000,
               "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-1", "vulnerablePackages": packages}})
    };
    let findings = json!({"imageScanCompletedAt": 1_700_000_000, "enhancedFindings": [
        found("ACTIVE", "MEDIUM", json!([package("openssl", "OS", json!("1.1")), package("glibc", "OS", Value::Null)])),
        found("ACTIVE", "CRITICAL", json!([package("openssl", "OS", json!("NotAvailable"))])),
        found("ACTIVE", "UNTRIAGED", json!([package("lodash", "NPM", json!("4.0"))])),
        found("SUPPRESSED", "HIGH", json!([package("zlib", "OS", json!("2"))])),
    ]});
    let Scan::Complete { findings, coverage, .. } = scan(vec![page("ACTIVE", None, &findings)]).await else {
        panic!("ACTIVE is a finished scan")
    };
    assert_eq!(coverage, Coverage::OsAndLanguages);
    let read: Vec<_> = findings.iter().map(|f| (&*f.key.package, f.severity, f.kind, &f.fix)).collect();
    assert_eq!(
        read,
        [
            ("glibc", Severity::Medium, PackageKind::Os, &Fix::NotPublished),
            ("lodash", Severity::Unrated, PackageKind::Language, &Fix::Version("4.0".into())),
            ("openssl", Severity::Critical, PackageKind::Os, &Fix::Version("1.1".into())),
        ]
    );
    assert_eq!(findings[0].installed.as_deref(), Some("1.0-2"));
    assert_eq!(findings[0].layer.as_ref().map(Digest::as_str), Some(digest(7).as_str()));
    assert!(findings[0].exploited && findings[0].first_observed.is_some());
}

#[tokio::test]
async fn a_scan_that_cannot_be_requested_is_not_an_error() {
    let (repository, manifest) = at("base/os", 1);
    let quota = "The scan quota per image has been exceeded. Wait and try again.";
    for (code, message, expected) in [
        ("LimitExceededException", quota, ScanRequest::Refused),
        ("LimitExceededException", "You have exceeded a quota of your account", ScanRequest::AtLimit),
        ("ValidationException", "no", ScanRequest::Refused),
    ] {
        let (config, asked) = fake::config(4, move |_, _| (400, json!({"__type": code, "message": message})));
        let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
        let ecr = Ecr::new(aws_sdk_ecr::Client::new(&config), &registry, &Cache::default());
        assert_eq!(ecr.request_scan(&repository, &manifest).await, Ok(expected), "{code}: {message}");
        assert_eq!(count(&asked, "StartImageScan"), 1, "{code} is not repeated");
    }
    let (ecr, _) = ecr(|_, _| error("AccessDeniedException"));
    assert_eq!(ecr.request_scan(&repository, &manifest).await.unwrap_err().kind, FaultKind::Denied);
}

#[tokio::test]
async fn the_scanning_configuration_is_read() {
    let configured = json!({ "registryId": "111122223333", "scanningConfiguration": { "scanType": "ENHANCED", "rules": [
        { "scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{ "filter": "apps/*", "filterType": "WILDCARD" }] },
        { "scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{ "filter": "base/*", "filterType": "WILDCARD" }] }] } });
    let (ecr, _) = ecr(move |_, _| (200, configured.clone()));
    let scanning = ecr.scanning().await.unwrap();
    let frequency = |name: &str| scanning.frequency(&name.parse().unwrap());
    assert_eq!(scanning.scanner, Scanner::Enhanced);
    assert_eq!(frequency("apps/web"), Frequency::Continuous);
    assert_eq!(frequency("base/os"), Frequency::OnPush);
    assert_eq!(frequency("platform/node"), Frequency::Manual);
}

/// The manifests `1` and `2` with configs that list `diff_ids`, and `3` with a config that does not
/// exist.
fn with_configs(diff_ids: usize, padding: usize) -> impl Fn(&str, &Value) -> Answer {
    move |operation, input| match operation {
        "BatchGetImage" => {
            let images = (1..=3).map(|n| {
                (digest(n), Stored { tags: Vec::new(), pushed_at: 0, manifest: manifest(n, &json!({})) })
            });
            batch_get(&images.collect(), input)
        }
        "GetDownloadUrlForLayer" => match input["layerDigest"].as_str().unwrap() {
            layer if layer == digest(3) => error("LayersNotFoundException"),
            layer => {
                assert_eq!(input["repositoryName"], "apps/web");
                let url = format!("https://layers.example:8443/{layer}?X-Amz-Signature=a%2Fb");
                (200, json!({"downloadUrl": url, "layerDigest": layer}))
            }
        },
        path => {
            assert!(path.starts_with("/sha256:"), "{path}");
            let ids: Vec<String> = (0..diff_ids).map(|n| digest(100 + n)).collect();
            (200, json!({"rootfs": {"type": "layers", "diff_ids": ids}, "padding": "x".repeat(padding)}))
        }
    }
}

#[tokio::test]
async fn configs_are_read_once_a_process_and_say_nothing_if_they_make_no_sense() {
    let (ecr, asked) = ecr(with_configs(2, 0));
    let wanted = BTreeSet::from([at("apps/web", 1), at("apps/web", 2), at("apps/web", 3), at("apps/web", 9)]);
    for _ in 0..2 {
        let read = ecr.diff_ids(&wanted).await;
        let of = |n: usize| read[&at("apps/web", n)].clone().unwrap();
        assert_eq!(of(1).iter().map(Digest::as_str).collect::<Vec<_>>(), [digest(100), digest(101)]);
        assert_eq!((of(2).len(), of(3), of(9)), (2, Vec::new(), Vec::new()));
    }
    assert_eq!(count(&asked, "GetDownloadUrlForLayer"), 3);
    assert_eq!(count(&asked, &format!("/{}", digest(1))), 1);

    let (ecr, _) = self::ecr(with_configs(1, 2_000_000));
    let read = ecr.diff_ids(&[at("apps/web", 1)].into()).await;
    assert_eq!(read[&at("apps/web", 1)], Ok(Vec::new()), "no more than a megabyte is read");
}

#[tokio::test]
async fn a_config_that_may_not_be_read_is_a_fault() {
    for (code, kind) in [
        ("AccessDeniedException", FaultKind::Denied),
        ("LayerInaccessibleException", FaultKind::Denied),
        ("ThrottlingException", FaultKind::Throttled),
    ] {
        let answer = with_configs(1, 0);
        let (ecr, _) = ecr(move |operation, input| match operation {
            "GetDownloadUrlForLayer" => error(code),
            _ => answer(operation, input),
        });
        let read = ecr.diff_ids(&[at("apps/web", 1)].into()).await;
        assert_eq!(read[&at("apps/web", 1)].as_ref().unwrap_err().kind, kind, "{code}");
    }
    let answer = with_configs(1, 0);
    let (ecr, _) = ecr(move |operation, input| match operation {
        path if path.starts_with('/') => (503, Value::Null),
        _ => answer(operation, input),
    });
    let read = ecr.diff_ids(&[at("apps/web", 1)].into()).await;
    assert_eq!(read[&at("apps/web", 1)].as_ref().unwrap_err().kind, FaultKind::Unavailable);
}

#[tokio::test]
async fn the_stable_tags_that_name_the_current_version_are_told_with_it() {
    let image =
        json!({"tier": "base", "repository": "base/os", "tags": ["1", "1.0", "1.0.3"], "from": "scratch"});
    let hierarchy = hierarchy(&[image]);
    let registry = Registry::default().push("base/os", 1, &["1.0.3"], manifest(1, &json!({}))).push(
        "base/os",
        2,
        &["1", "1.0", "edge"],
        manifest(2, &json!({})),
    );
    let (ecr, _) = registry.connect();
    let current = ecr.currents(&images(&hierarchy), &Ok(BTreeMap::new())).await.into_values().next().unwrap();
    let tags = current.unwrap().version().unwrap().tags;
    assert_eq!(tags.iter().map(patchwave::image::Tag::as_str).collect::<Vec<_>>(), ["1", "1.0"]);
}
