//! The table returns the inventory as it was written.

use std::collections::BTreeSet;
use std::future::Future;

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::inventory::{
    Catalog, ConsumerKind, FoldInput, Folded, Inventory, Place, PlaceRead, Sighting, Survey, Use, fold,
    items, notified_items,
};
use patchwave::notice::{Notified, OwnersNotified};
use patchwave::table;
use patchwave::time::Timestamp;
use patchwave_tests::moto::Moto;
use serde_json::json;

use super::Ledger;
use crate::world::wired::config;

const TABLE: &str = "patchwave";

async fn on_a_table<R: Future<Output = ()>>(check: impl FnOnce(Ledger) -> R) {
    let moto = Moto::start().await;
    moto.call("dynamodb", "DynamoDB_20120810.CreateTable", &table::create_table(TABLE)).await.unwrap();
    check(Ledger::new(aws_sdk_dynamodb::Client::new(&config(moto.url().to_owned())), TABLE.to_owned())).await;
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn tomorrow() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

const HIERARCHY: &str = "
    version: 1
    registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
    images: [{ id: app, tier: application, repository: app, tagPattern: 'main-*', from: scratch }]
";

fn place(n: usize) -> Place {
    Place {
        account: "444455556666".into(),
        region: "us-east-1".into(),
        kind: ConsumerKind::Ecs,
        cluster: Some(format!("c{n}")),
        environment: Some("prod".into()),
    }
}

fn sighting(cluster: usize, workload: usize) -> Sighting {
    let digest = format!("sha256:{}", "ab".repeat(32));
    Sighting {
        place: place(cluster),
        workload: format!("service:w{workload}"),
        unit: "task".into(),
        container: "main".into(),
        image: format!("111122223333.dkr.ecr.us-east-1.amazonaws.com/app:main-1@{digest}"),
        resolved: Some(digest),
        architecture: Some("amd64".into()),
        os: Some("linux".into()),
        used: Use::Running { since: Some(now()) },
    }
}

fn facts() -> Facts {
    let facts = json!({ "images": { "app": {
        "current": { "version": format!("sha256:{}", "ab".repeat(32)) },
        "versions": { format!("sha256:{}", "ab".repeat(32)): {
            "digest": format!("sha256:{}", "ab".repeat(32)), "pushedAt": now(),
            "platforms": { "linux/amd64": {
                "digest": format!("sha256:{}", "cd".repeat(32)), "layers": [],
                "scan": { "complete": { "completedAt": now(), "coverage": "os", "findings": [{
                    "key": "CVE-2026-1 in openssl", "severity": "critical", "kind": "os", "fix": "unknown",
                }] } },
            } },
        } },
    } } });
    serde_json::from_value(facts).unwrap()
}

fn swept(before: &Inventory, clusters: usize, workloads: usize, at: Timestamp) -> Folded {
    let hierarchy = Hierarchy::parse("h", HIERARCHY).unwrap();
    let place =
        |n| PlaceRead { place: place(n), at, unread: None, not_inspected: std::collections::BTreeSet::new() };
    let sightings = (0..clusters).flat_map(|n| (0..workloads).map(move |w| sighting(n, w))).collect();
    let survey = Survey { places: (0..3).map(place).collect(), sightings };
    let facts = facts();
    let catalog = Catalog::new(&hierarchy, &facts);
    let input = FoldInput {
        survey: &survey,
        began: at,
        ended: true,
        hierarchy: &hierarchy,
        catalog: &catalog,
        now: at,
    };
    fold(before, &input)
}

fn app() -> BTreeSet<ImageId> {
    BTreeSet::from(["app".parse().unwrap()])
}

#[tokio::test]
async fn an_inventory_is_read_back_whole() {
    on_a_table(|ledger| async move {
        assert_eq!(ledger.inventory(&app()).await.unwrap(), Inventory::default(), "an empty table is empty");
        let empty = Inventory::default();
        let folded = swept(&empty, 3, 50, now());
        assert_eq!(folded.inventory.entries.len(), 150, "six batches and more");
        ledger.write(&items(&empty, &folded, now()).unwrap()).await.unwrap();
        assert_eq!(ledger.inventory(&app()).await.unwrap(), folded.inventory);
        let running = ledger.deployments(&app()).await.unwrap();
        assert_eq!(running, folded.inventory.deployments());
        assert!(running[&"app".parse::<ImageId>().unwrap()].in_production());
    })
    .await;
}

#[tokio::test]
async fn what_is_gone_is_kept_for_people_and_is_not_read() {
    on_a_table(|ledger| async move {
        let empty = Inventory::default();
        let first = swept(&empty, 2, 2, now());
        ledger.write(&items(&empty, &first, now()).unwrap()).await.unwrap();
        let second = swept(&first.inventory, 0, 0, tomorrow());
        ledger.write(&items(&first.inventory, &second, tomorrow()).unwrap()).await.unwrap();
        let read = ledger.inventory(&app()).await.unwrap();
        assert_eq!(read, second.inventory);
        assert!(read.entries.is_empty() && read.versions.is_empty());
        assert_eq!(read.places.len(), 3);
        let image: ImageId = "app".parse().unwrap();
        assert_eq!(read.exposures[&image].stopped[0].vulnerable_until, now());
        assert!(!ledger.deployments(&app()).await.unwrap()[&image].in_production());
        assert_eq!(read.ran[&image]["prod"].len(), 1, "what ran before stays for a roll-back");
        let gone = ledger.client.scan().table_name(TABLE).filter_expression("attribute_exists(expiresAt)");
        let gone = gone.send().await.unwrap();
        let entries = gone.items().iter().filter(|item| item["pk"].as_s().unwrap().starts_with("place#"));
        assert_eq!(entries.count(), 4, "they have a time to live");
    })
    .await;
}

#[tokio::test]
async fn the_notices_of_owners_are_read_back() {
    on_a_table(|ledger| async move {
        let notified: Notified = serde_json::from_value(json!({
            "since": now(), "opened": 1, "revision": 2, "asked": { "needs": ["deploy"], "workloads": [{
                "place": place(0).id(), "workload": "service:web", "image": "app",
                "old": format!("sha256:{}", "ab".repeat(32)), "new": format!("sha256:{}", "cd".repeat(32)),
            }] },
        }))
        .unwrap();
        let told = OwnersNotified::from([(None, notified.clone()), (Some("shop team".to_owned()), notified)]);
        ledger.write(&notified_items(&told, now()).unwrap()).await.unwrap();
        assert_eq!(ledger.inventory(&app()).await.unwrap().notified, told);
    })
    .await;
}
