//! Inspector: which resources it covers, and for how long.

use serde_json::{Value, json};

use super::{Region, page};
use crate::awsjson::{Answer, Refusal};

pub(super) fn answer(operation: &str, region: &Region, input: &Value, size: Option<usize>) -> Answer {
    if operation == "GetConfiguration" {
        let state = json!({ "rescanDuration": "DAYS_14", "status": "SUCCESS", "pullDateRescanDuration": "DAYS_14",
            "pullDateRescanMode": "LAST_IN_USE_AT" });
        return Ok(json!({ "ecrConfiguration": { "rescanDurationState": state } }));
    }
    if operation == "GetClustersForImage" {
        let clusters = region.clusters_of.get(input["filter"]["resourceId"].as_str().unwrap_or_default());
        let clusters = clusters.map(Vec::as_slice).unwrap_or_default();
        let (clusters, next) = page(clusters, input["nextToken"].as_str(), 100, size)?;
        return Ok(json!({ "cluster": clusters, "nextToken": next }));
    }
    let filter = |name: &str| input["filterCriteria"][name].as_array().cloned().unwrap_or_default();
    if ["resourceType", "accountId", "ecrRepositoryName", "resourceId"]
        .iter()
        .any(|name| filter(name).len() > 10)
    {
        return Err(Refusal::new("ValidationException", "a filter has at most 10 values"));
    }
    let named = |name: &str, value: &Value| {
        let values = filter(name);
        values.is_empty() || values.iter().any(|wanted| wanted["value"] == *value)
    };
    let wanted = |item: &&Value| {
        named("resourceType", &item["resourceType"])
            && named("accountId", &item["accountId"])
            && named("ecrRepositoryName", &item["resourceMetadata"]["ecrRepository"]["name"])
            && named("resourceId", &item["resourceId"])
    };
    let items: Vec<Value> = region.coverage.iter().filter(wanted).cloned().collect();
    let (items, next) = page(&items, input["nextToken"].as_str(), 200, size)?;
    Ok(json!({ "coveredResources": items, "nextToken": next }))
}
