//! Inspector: what it scans, and for how long.

use serde_json::{Value, json};

use super::{Region, page};
use crate::awsjson::Answer;

pub(super) fn answer(operation: &str, region: &Region, input: &Value, size: Option<usize>) -> Answer {
    if operation == "GetConfiguration" {
        let state = json!({ "rescanDuration": "DAYS_14", "status": "SUCCESS", "pullDateRescanDuration": "DAYS_14",
            "pullDateRescanMode": "LAST_IN_USE_AT" });
        return Ok(json!({ "ecrConfiguration": { "rescanDurationState": state } }));
    }
    let kinds = input["filterCriteria"]["resourceType"].as_array().cloned().unwrap_or_default();
    let wanted =
        |item: &&Value| kinds.is_empty() || kinds.iter().any(|kind| kind["value"] == item["resourceType"]);
    let items: Vec<Value> = region.coverage.iter().filter(wanted).cloned().collect();
    let (items, next) = page(&items, input["nextToken"].as_str(), 200, size)?;
    Ok(json!({ "coveredResources": items, "nextToken": next }))
}
