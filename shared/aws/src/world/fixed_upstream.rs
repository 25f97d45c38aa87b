//! Scans of a pull-through cache, which may show that upstream fixed a finding of a base.

use patchwave::facts::Facts;
use patchwave::finding::Scan;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::EcrRegistry;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Detail, World, observe};
use serde_json::{Value, json};

use super::{AwsWorld, wired};
use crate::clients::Clients;
use crate::dynamodb::Ledger;
use crate::ecr::{Cache, Ecr};
use crate::fake::{self, Answer, digest};
use crate::inspector::Inspector;
use crate::registries::{Connected, Registries};

const YAML: &str = "{ version: 1, registries: { home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, \
    caches: { docker-hub: docker.io } } }, images: [{ id: base, tier: base, repository: base, tags: ['1'], \
    from: '111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub/library/debian:12' }] }";
const CACHE: &str = "docker-hub/library/debian";
const BASE: usize = 1;
const OF_BASE: usize = 2;
/// What upstream named before, and names now; each with its manifest.
const BEFORE: [usize; 2] = [10, 11];
const NOW: [usize; 2] = [20, 21];

fn tracked(now: Timestamp) -> String {
    let content = |[index, manifest]: [usize; 2], since: Span| json!({"digests": [digest(index)], "platforms": {"linux/amd64": digest(manifest)}, "since": since.before(now)});
    json!({"contents": [content(BEFORE, Span::days(9)), content(NOW, Span::minutes(1))], "askedAt": now})
        .to_string()
}

fn scan(now: Timestamp, findings: &[&str]) -> Value {
    let finding = |name: &&str| json!({"name": name, "severity": "CRITICAL", "attributes": [{"key": "package_name", "value": "openssl"}]});
    json!({"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {
        "imageScanCompletedAt": now.as_second(), "findings": findings.iter().map(finding).collect::<Vec<_>>()}})
}

/// The base was built a day ago and has a finding. Upstream moved a minute ago, and the cache has
/// it.
fn answer(now: Timestamp, operation: &str, input: &Value) -> Answer {
    let is_cache = input["repositoryName"] == CACHE;
    let of = |n: usize| input["imageId"]["imageDigest"] == digest(n);
    match operation {
        "BatchGetItem" => {
            let keys = input["RequestItems"]["patchwave"]["Keys"].as_array().unwrap();
            let is_tag = |key: &&Value| key["sk"]["S"] == "tag#docker.io/library/debian:12";
            let item = |key: &Value| json!({"pk": key["pk"], "sk": key["sk"], "state": {"S": tracked(now)}});
            let items: Vec<Value> = keys.iter().filter(is_tag).map(item).collect();
            (200, json!({"Responses": {"patchwave": items}}))
        }
        "Query" => (200, json!({"Items": []})),
        "DescribeImages" => {
            let (n, age) = if is_cache { (NOW[0], Span::minutes(1)) } else { (BASE, Span::days(1)) };
            let pushed_at = age.before(now).as_second();
            (
                200,
                json!({"imageDetails": [{"imageDigest": digest(n), "imageTags": ["1"], "imagePushedAt": pushed_at}]}),
            )
        }
        "BatchGetImage" => {
            let platform =
                json!({"digest": digest(OF_BASE), "platform": {"os": "linux", "architecture": "amd64"}});
            let index =
                json!({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [platform]});
            let manifest = json!({"config": {"digest": digest(3), "mediaType": "application/vnd.oci.image.config.v1+json"},
                "layers": [{"digest": digest(4)}]});
            let text =
                |id: &Value| if id["imageDigest"] == digest(BASE) { &index } else { &manifest }.to_string();
            let image = |id: &Value| json!({"imageId": id, "imageManifest": text(id)});
            (
                200,
                json!({"images": input["imageIds"].as_array().unwrap().iter().map(image).collect::<Vec<_>>()}),
            )
        }
        "DescribeImageScanFindings" if is_cache && of(NOW[1]) => (200, scan(now, &[])),
        "DescribeImageScanFindings" if is_cache && of(BEFORE[1]) => (200, scan(now, &["CVE-1"])),
        "DescribeImageScanFindings" if of(OF_BASE) => (200, scan(now, &["CVE-1", "CVE-2"])),
        other => panic!("{other}: {input}"),
    }
}

async fn observed(refused: bool) -> (Facts, usize) {
    let registry: EcrRegistry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    let hierarchy = Hierarchy::parse("h.yaml", YAML).unwrap();
    let wired = wired::world(|_| "http://127.0.0.1:1".to_owned(), &registry, "patchwave");
    let now = wired.now();
    let (config, asked) = fake::config(1, move |operation, input| {
        if refused && operation == "DescribeImageScanFindings" && input["repositoryName"] == CACHE {
            return fake::error("AccessDeniedException");
        }
        answer(now, operation, input)
    });
    let home = Connected {
        images: Ecr::new(aws_sdk_ecr::Client::new(&config), &registry, &Cache::default()),
        scanner: Inspector::new(aws_sdk_inspector2::Client::new(&config), &registry),
    };
    let world = AwsWorld {
        registries: Registries::only(home, Clients::of(config.clone())),
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&config), "patchwave".to_owned()),
        ..wired
    };
    let facts = Box::pin(observe(&world, &hierarchy, &["base".parse().unwrap()].into(), Detail::Whole))
        .await
        .unwrap();
    (facts, fake::count(&asked, "DescribeImageScanFindings"))
}

#[tokio::test]
async fn the_scans_of_the_old_and_the_new_content_are_read_from_the_cache() {
    let (facts, scans) = observed(false).await;
    assert_eq!(scans, 3, "one of the base, and two of the cache");
    let scan = |n: usize| &facts.upstream_scans[&digest(n).parse().unwrap()];
    let listed = |n| scan(n).findings().iter().map(|f| f.key.vulnerability.to_string()).collect::<Vec<_>>();
    assert_eq!((listed(BEFORE[1]), listed(NOW[1])), (vec!["CVE-1".to_owned()], vec![]));
    assert!(scan(NOW[1]).shows_absence());
    let (facts, _) = observed(true).await;
    assert!(facts.upstream_scans.values().all(|scan| matches!(scan, Scan::Unread(_))));
    assert_eq!(facts.upstream_scans.len(), 2, "what is not read shows nothing");
}
