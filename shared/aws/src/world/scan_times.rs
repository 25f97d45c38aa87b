//! A clean image that Inspector watches: the registry names no time, and Inspector's coverage does.

use std::sync::Arc;

use patchwave::finding::Scan;
use patchwave::image::EcrRegistry;
use patchwave_converge::World;
use patchwave_tests::accounts::{FakeAccounts, Region};
use serde_json::json;

use super::{AwsWorld, wired};
use crate::clients::Clients;
use crate::ecr::{Cache, Ecr};
use crate::fake::{self, digest};
use crate::inspector::Inspector;
use crate::registries::{Connected, Registries};

async fn scans(accounts: &Arc<FakeAccounts>, images: &[usize]) -> Vec<Scan> {
    let registry: EcrRegistry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    let server = accounts.serve().await;
    let (ecr, _) = fake::config(1, |operation, _| {
        assert_eq!(operation, "DescribeImageScanFindings");
        (200, json!({"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": {}}))
    });
    let inspector = crate::survey::tests::config(&server.url()).await;
    let home = Connected {
        images: Ecr::new(aws_sdk_ecr::Client::new(&ecr), &registry, &Cache::default()),
        scanner: Inspector::new(aws_sdk_inspector2::Client::new(&inspector), &registry),
    };
    let world = AwsWorld {
        registries: Registries::only(home, Clients::of(inspector)),
        ..wired::world(|_| server.url(), &registry, "patchwave")
    };
    let at = |n: usize| ("apps/web".parse().unwrap(), digest(n).parse().unwrap());
    world.scans(&images.iter().map(|n| at(*n)).collect()).await.into_values().collect()
}

#[tokio::test]
async fn inspector_says_when_it_scanned_a_clean_image_last() {
    let accounts = Arc::new(FakeAccounts::default());
    let coverage = vec![json!({
        "resourceType": "AWS_ECR_CONTAINER_IMAGE", "accountId": "111122223333", "scanType": "PACKAGE",
        "resourceId": format!("arn:aws:ecr:us-east-1:111122223333:repository/apps/web/{}", digest(1)),
        "scanStatus": { "statusCode": "ACTIVE", "reason": "SUCCESSFUL" }, "lastScannedAt": 1_767_225_600.0,
        "resourceMetadata": { "ecrRepository": { "name": "apps/web", "scanFrequency": "CONTINUOUS_SCAN" } },
    })];
    accounts.set("111122223333", "us-east-1", Region { coverage, ..Region::default() });
    let [clean, uncovered] = &Box::pin(scans(&accounts, &[1, 2])).await[..] else { panic!("two scans") };
    assert_eq!(clean.completed_at(), Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert!(matches!(uncovered, Scan::Unread(_)), "a scan of unknown age proves nothing");
    accounts.refuse("ListCoverage", "AccessDeniedException", 1);
    for scan in Box::pin(scans(&accounts, &[1, 2])).await {
        assert!(matches!(&scan, Scan::Unread(unread) if unread.needs_person), "{scan:?}");
    }
}

/// A repository may hold 100,000 images, and one of them may have a name that makes no sense.
#[tokio::test]
async fn only_the_images_in_question_are_asked_for_and_a_fault_is_that_of_one_call() {
    let accounts = Arc::new(FakeAccounts::default());
    let covered = |id: String| {
        json!({
            "resourceType": "AWS_ECR_CONTAINER_IMAGE", "accountId": "111122223333", "scanType": "PACKAGE",
            "resourceId": id, "scanStatus": { "statusCode": "ACTIVE", "reason": "SUCCESSFUL" },
            "lastScannedAt": 1_767_225_600.0,
            "resourceMetadata": { "ecrRepository": { "name": "apps/web", "scanFrequency": "CONTINUOUS_SCAN" } },
        })
    };
    let arn = |n: usize| format!("arn:aws:ecr:us-east-1:111122223333:repository/apps/web/{}", digest(n));
    let coverage = (1..1_000).map(|n| covered(arn(n))).chain([covered("odd".into())]).collect();
    accounts.set("111122223333", "us-east-1", Region { coverage, ..Region::default() });
    let images: Vec<usize> = (1..=25).collect();
    assert!(Box::pin(scans(&accounts, &images)).await.iter().all(|scan| scan.completed_at().is_some()));
    assert_eq!(accounts.calls("ListCoverage"), 3, "ten images a call, and no other image");
    accounts.refuse("ListCoverage", "AccessDeniedException", 1);
    let unread =
        Box::pin(scans(&accounts, &images)).await.iter().filter(|scan| scan.unread().is_some()).count();
    assert!((1..=10).contains(&unread), "{unread} of 25");
}
