//! Inspector.

use std::collections::BTreeSet;

use patchwave::inventory::{Covering, UseIs};
use patchwave::time::Span;
use patchwave_converge::ManifestAt;
use serde_json::{Value, json};

use super::{Row, check, failing, of_call};
use crate::fake::{self, digest};
use crate::inspector::Inspector;

fn at() -> ManifestAt {
    ("apps/web".parse().unwrap(), digest(1).parse().unwrap())
}

fn inspector(config: &aws_config::SdkConfig) -> Inspector {
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    Inspector::new(aws_sdk_inspector2::Client::new(config), &registry)
}

#[tokio::test]
async fn answers_of_the_scanner() {
    check("answers_of_the_scanner", async |row| {
        let inspector = inspector(&failing(row, |_| json!({})));
        match row.operation {
            "GetConfiguration" => of_call(inspector.windows().await, "read"),
            "ListCoverage" => of_call(inspector.covered(&BTreeSet::from([at().0])).await, "read"),
            "GetClustersForImage" => {
                let seen = inspector.seen_in_use(&BTreeSet::from([at()])).await.remove(&at()).unwrap();
                of_call(seen, "read")
            }
            other => panic!("no call of {other}"),
        }
    })
    .await;
}

#[tokio::test]
async fn values_of_the_scanner() {
    check("values_of_the_scanner", async |row| {
        let (config, _) = fake::config(1, move |path, _| (200, with_value(row, path)));
        let inspector = inspector(&config);
        let is_covering = matches!(row.operation, "ScanStatusCode" | "ScanStatusReason");
        if is_covering {
            let covered = inspector.covered(&BTreeSet::from([at().0])).await.unwrap();
            return match &covered[0].covering {
                Covering::Active => "watched".to_owned(),
                Covering::Expired => "expired".to_owned(),
                Covering::Inactive(reason) if reason == row.answer => "notWatched:named".to_owned(),
                Covering::Inactive(_) => "notWatched".to_owned(),
            };
        }
        let windows = inspector.windows().await.unwrap();
        match row.operation {
            "EcrRescanDuration" => days(windows.after_push),
            "EcrPullDateRescanDuration" => days(windows.after_use),
            "EcrPullDateRescanMode" => match windows.use_is {
                UseIs::Running => "running".to_owned(),
                UseIs::Pulled => "pulled".to_owned(),
            },
            other => panic!("no value of {other}"),
        }
    })
    .await;
}

fn days(window: Option<Span>) -> String {
    window.map_or_else(|| "forEver".to_owned(), |window| format!("{}d", window.as_seconds() / 86_400))
}

fn with_value(row: Row, path: &str) -> Value {
    let or = |enumeration, usual: &'static str| {
        if row.is_value_of(enumeration) { row.answer } else { usual }
    };
    if path == "/configuration/get" {
        return json!({"ecrConfiguration": {"rescanDurationState": {
            "rescanDuration": or("EcrRescanDuration", "DAYS_30"),
            "pullDateRescanDuration": or("EcrPullDateRescanDuration", "DAYS_30"),
            "pullDateRescanMode": or("EcrPullDateRescanMode", "LAST_PULL_DATE")}}});
    }
    json!({"coveredResources": [{
        "resourceType": "AWS_ECR_CONTAINER_IMAGE", "accountId": "111122223333", "scanType": "PACKAGE",
        "resourceId": format!("arn:aws:ecr:us-east-1:111122223333:repository/apps/web/{}", digest(1)),
        "scanStatus": {"statusCode": or("ScanStatusCode", "INACTIVE"), "reason": or("ScanStatusReason", "OTHER")},
    }]})
}
