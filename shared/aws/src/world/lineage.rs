//! An image whose push compressed its base's layers again is compared by their content.

use std::collections::BTreeMap;

use patchwave::facts::Facts;
use patchwave::hierarchy::Direction;
use patchwave::image::ImageId;
use patchwave_converge::{Detail, observe};
use patchwave_tests::content::{self, Annotations};
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::scanner::Vulnerability;

use super::wired;

const CHILD: &str = "apps/cart:live";

async fn observed(account: &Harness, image: &ImageId) -> Facts {
    Box::pin(observed_in(account, image, Detail::Whole)).await
}

async fn observed_in(account: &Harness, image: &ImageId, detail: Detail) -> Facts {
    let settings = account.settings();
    let url = |service: &str| settings[&format!("AWS_ENDPOINT_URL_{service}")].clone();
    let world = wired::world(url, account.hierarchy.registry(), &settings["PATCHWAVE_TABLE"]);
    let scope = account.hierarchy.query([image], Direction::Ancestors).unwrap();
    let scope = scope.resolve().ids().cloned().collect();
    observe(&world, &account.hierarchy, &scope, detail).await.unwrap()
}

/// How many layers of a version of its parent the image has.
fn inherited(facts: &Facts, image: &ImageId, parent: &ImageId) -> Option<usize> {
    let current = facts.images[image].current_version().unwrap();
    facts.images[parent].versions.values().filter_map(|version| current.layers_inherited_from(version)).max()
}

#[tokio::test]
async fn configs_are_read_only_where_compressed_layers_leave_the_base_open() {
    let account = Harness::start(Setup::default()).await;
    let image: ImageId = account.hierarchy.resolve(CHILD).unwrap().id.clone();
    assert_eq!(image.as_str(), CHILD);
    let parent: ImageId = account.parent(CHILD).unwrap().parse().unwrap();
    let calls = || account.registry.calls("GetDownloadUrlForLayer");
    let before = inherited(&Box::pin(observed(&account, &image)).await, &image, &parent);
    assert_eq!((before.is_some(), calls()), (true, 0), "the layers say it");
    let base = account.manifests(parent.as_str()).await;
    let other = content::manifest("other", &[content::digest("other")], &Annotations::new());
    let from = account.recipe(parent.as_str());
    for tag in from.tags("other", "") {
        account.registry.push(&from.repository, &other, Some(&tag)).await.unwrap();
    }
    assert_eq!(inherited(&Box::pin(observed(&account, &image)).await, &image, &parent), before);
    assert_eq!(calls(), 3, "of the push, which is on no known base, and of the base's two platforms");

    let recipe = account.recipe(CHILD);
    let index = account.registry.document(&recipe.repository, &account.current(CHILD).await).unwrap();
    let mut platforms = BTreeMap::new();
    for platform in content::PLATFORMS {
        let digest = &content::platforms(&index)[platform];
        let layers = content::layers(&account.registry.document(&recipe.repository, digest).unwrap());
        let again: Vec<String> =
            layers.iter().map(|layer| content::digest(&format!("zstd {layer}"))).collect();
        let manifest = content::manifest(platform, &again, &Annotations::new());
        account.registry.set_diff_ids(&serde_json::from_str(&manifest.text).unwrap(), &layers);
        platforms.insert(platform, manifest);
    }
    for manifest in base {
        let manifest = account.registry.document(&from.repository, &manifest).unwrap();
        account.registry.set_diff_ids(&manifest, &content::layers(&manifest));
    }
    for manifest in platforms.values() {
        account.registry.push(&recipe.repository, manifest, None).await.unwrap();
    }
    let pushed = content::index(&platforms, &Annotations::new());
    for tag in recipe.tags("again", "") {
        account.registry.push(&recipe.repository, &pushed, Some(&tag)).await.unwrap();
    }
    assert_eq!(account.current(CHILD).await, pushed.digest);
    let after = Box::pin(observed(&account, &image)).await;
    assert_eq!(inherited(&after, &image, &parent), before, "the content says it");
    assert_eq!(calls() - 3, 7, "also of the child and of the version that it was built on");

    account.traffic.refuse("GetDownloadUrlForLayer", "AccessDeniedException");
    let denied = Box::pin(observed(&account, &image)).await;
    let unread = [&image, &parent].map(|id| denied.images[id].unread_configs.as_ref());
    assert!(unread.iter().flatten().all(|unread| unread.needs_person), "{unread:?}");
    assert_eq!(unread.iter().flatten().count(), 2, "no config may be read");
}

/// Whoever pushes an index chooses how many platforms it has.
#[tokio::test]
async fn an_index_with_hundreds_of_platforms_costs_a_limited_number_of_calls() {
    let account = Harness::start(Setup::default()).await;
    let image: ImageId = account.hierarchy.resolve(CHILD).unwrap().id.clone();
    let recipe = account.recipe(CHILD);
    let names: Vec<String> = (0..300).map(|n| format!("linux/a{n:03}")).collect();
    let mut platforms = BTreeMap::new();
    for name in &names {
        let manifest = content::manifest(name, &[content::digest(name)], &Annotations::new());
        account.registry.push(&recipe.repository, &manifest, None).await.unwrap();
        platforms.insert(name.as_str(), manifest);
    }
    let pushed = content::index(&platforms, &Annotations::new());
    for tag in recipe.tags("wide", "") {
        account.registry.push(&recipe.repository, &pushed, Some(&tag)).await.unwrap();
    }
    let before = account.registry.calls("DescribeImageScanFindings");
    let facts = Box::pin(observed(&account, &image)).await;
    let version = facts.images[&image].current_version().unwrap();
    let unread = version.platforms.values().filter_map(|manifest| manifest.scan.unread());
    let unread: Vec<_> = unread.filter(|unread| unread.because.contains("has 300 platforms")).collect();
    assert_eq!((version.platforms.len(), unread.len()), (300, 250));
    assert!(unread.iter().all(|unread| unread.needs_person), "it is not read at every tick");
    let calls = account.registry.calls("DescribeImageScanFindings") - before;
    assert!(calls <= 120, "{calls} calls");
}

/// Two hundred findings of each platform take 80 KB, and a page has two hundred images. The fake
/// has one finding on a page, and a hundred pages are read.
#[tokio::test]
async fn a_pass_keeps_the_findings_that_count_and_the_number_of_the_others() {
    let account = Harness::start(Setup::default()).await;
    let image: ImageId = account.hierarchy.resolve(CHILD).unwrap().id.clone();
    for number in 0..60 {
        account.registry.disclose(Vulnerability {
            id: format!("CVE-2026-{number}"),
            package: "openssl".to_owned(),
            affects: "1.0.0".to_owned(),
            fixed_in: None,
            severity: if number < 3 { "CRITICAL" } else { "LOW" }.to_owned(),
            known_since: account.clock.now(),
        });
    }
    account.scan_everything().await;
    let kept = async |detail| {
        let facts = Box::pin(observed_in(&account, &image, detail)).await;
        let version = facts.images[&image].current_version().unwrap();
        version.platforms.values().map(|manifest| manifest.scan.findings().len()).collect::<Vec<_>>()
    };
    let (whole, counted) = (kept(Detail::Whole).await, kept(Detail::Counted).await);
    assert_eq!(whole.iter().zip(&counted).map(|(all, few)| all - few).collect::<Vec<_>>(), [57, 57]);
    assert!(counted.iter().all(|findings| *findings >= 3), "{counted:?}");
}
