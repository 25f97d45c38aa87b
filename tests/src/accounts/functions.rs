//! Lambda and Batch.

use serde_json::{Value, json};

use super::{Region, Request, not_found, page};
use crate::awsjson::Answer;

pub(super) fn answer(operation: &str, region: &Region, request: &Request<'_>, size: Option<usize>) -> Answer {
    let path = request.path();
    let name = path.get(2).copied().unwrap_or_default();
    let configurations = || region.functions.iter().map(|function| &function["Configuration"]);
    let (field, items): (&str, Vec<Value>) = match operation {
        "GetFunction" => {
            let version = request.query("Qualifier").unwrap_or_else(|| "$LATEST".to_owned());
            let is_it = |function: &&Value| {
                let configuration = &function["Configuration"];
                configuration["FunctionName"] == name && configuration["Version"] == version.as_str()
            };
            return region.functions.iter().find(is_it).cloned().map_or_else(|| not_found("function"), Ok);
        }
        "ListAliases" => ("Aliases", region.aliases.get(name).cloned().unwrap_or_default()),
        "ListFunctions" => {
            ("Functions", configurations().filter(|c| c["Version"] == "$LATEST").cloned().collect())
        }
        _ => ("Versions", configurations().filter(|c| c["FunctionName"] == name).cloned().collect()),
    };
    let asked = request.query("MaxItems").and_then(|asked| asked.parse().ok()).unwrap_or(50);
    let (items, next) = page(&items, request.query("Marker").as_deref(), asked, size)?;
    Ok(json!({ field: items, "NextMarker": next }))
}

pub(super) fn job_definitions(region: &Region, input: &Value, size: Option<usize>) -> Answer {
    let matching = |definition: &&Value| definition["status"] == input["status"];
    let items: Vec<Value> = region.job_definitions.iter().filter(matching).cloned().collect();
    let (items, next) = page(&items, input["nextToken"].as_str(), 100, size)?;
    Ok(json!({ "jobDefinitions": items, "nextToken": next }))
}
