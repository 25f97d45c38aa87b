//! A wave across two registries, each in an account of its own and read with its own role.

use std::collections::BTreeSet;

use patchwave_tests::harness::{ACCOUNT, Harness, Setup};
use patchwave_tests::hierarchy::{PRODUCTS, in_two_registries};
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};

const CVE: &str = "CVE-2026-1000";

fn role() -> String {
    format!("arn:aws:iam::{PRODUCTS}:role/reads")
}

async fn start() -> Harness {
    let harness = Harness::start(Setup { hierarchy: in_two_registries(), ..Setup::default() }).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    harness
}

/// The images that carry the vulnerability.
async fn carriers(harness: &Harness) -> BTreeSet<String> {
    let mut carriers = BTreeSet::new();
    for recipe in &harness.recipes {
        if harness.findings(&recipe.image).await.contains(CVE) {
            carriers.insert(recipe.image.clone());
        }
    }
    carriers
}

#[tokio::test]
async fn a_wave_crosses_registries_and_each_read_uses_the_role_of_its_registry() {
    let mut harness = start().await;
    harness.accounts.trust(&role(), Some("shop"));
    let affected = carriers(&harness).await;
    assert!(affected.iter().any(|image| image.starts_with("apps/")), "{affected:?}");
    run_until_idle(&mut harness, Delivery::InOrder).await;
    assert_eq!(carriers(&harness).await, BTreeSet::new());
    let builds = harness.builds();
    assert_eq!(builds.keys().cloned().collect::<BTreeSet<_>>(), affected);
    assert!(builds.values().all(|count| *count == 1), "{builds:?}");

    let callers = harness.traffic.callers();
    assert!(callers.keys().any(|repository| repository.starts_with("apps/")), "{callers:?}");
    for (repository, accounts) in callers {
        let owner = if repository.starts_with("apps/") { PRODUCTS } else { ACCOUNT };
        assert_eq!(accounts, BTreeSet::from([owner.to_owned()]), "{repository}");
    }
    assert!(harness.accounts.sessions().iter().all(|session| session == "patchwave"));
}

#[tokio::test]
async fn an_unread_registrys_images_wait_and_others_do_not() {
    let mut harness = start().await;
    harness.expected_errors.insert("role/reads");
    let sweep = harness.sweep().await;
    assert_eq!(sweep["started"][0]["image"], "base/os", "{sweep}");
    let held = sweep["held"].as_array().unwrap();
    let theirs: Vec<_> =
        held.iter().filter(|held| held["image"].as_str().unwrap().starts_with("apps/")).collect();
    assert!(!theirs.is_empty(), "{sweep}");
    for held in theirs {
        assert_eq!(held["why"], "Unknown", "nothing clean is said of it: {held}");
        assert!(held.to_string().contains(&role()), "{held}");
    }
    run_until_idle(&mut harness, Delivery::Dropped).await;
    let left = carriers(&harness).await;
    assert!(!left.is_empty() && left.iter().all(|image| image.starts_with("apps/")), "{left:?}");

    harness.accounts.trust(&role(), Some("shop"));
    harness.expected_errors.clear();
    run_until_idle(&mut harness, Delivery::Dropped).await;
    assert_eq!(carriers(&harness).await, BTreeSet::new(), "it is found again without an event");
}
