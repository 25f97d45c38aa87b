//! What `discover` reads: whole registries, and what builds.

use serde_json::{Value, json};

use super::{again, check, failing, kind};
use crate::clients::Clients;
use crate::discover::{Discovery, NotDiscovered, read};

const CALLER: &str = "arn:aws:iam::111122223333:role/reader";

fn usual(operation: &str) -> Value {
    match operation {
        "GetCallerIdentity" => json!(format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account><Arn>{CALLER}</Arn>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        )),
        "ListPullTimeUpdateExclusions" => json!({"pullTimeUpdateExclusions": [CALLER]}),
        "DescribeRepositories" => json!({"repositories": [
            {"repositoryName": "base/os", "repositoryArn": "arn:aws:ecr:us-east-1:111122223333:repository/base/os"}]}),
        "ListPipelines" => json!({"pipelines": [{"name": "base-os"}]}),
        "GetPipeline" => {
            json!({"pipeline": {"name": "base-os", "roleArn": "r", "stages": [{"name": "Build", "actions": [
            {"name": "Build", "configuration": {"ProjectName": "base-os"},
             "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}}]}]}})
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn answers_about_an_estate() {
    check("answers_about_an_estate", async |row| {
        let clients = Clients::of(failing(row, usual));
        let discovery = Discovery { regions: vec!["us-east-1".into()], ..Discovery::default() };
        match read(&clients, &discovery, &mut |_| {}).await {
            Ok(discovered) => discovered.estate.unread.first().map_or("read".to_owned(), again),
            // An endpoint that does not list exclusions excludes none.
            Err(NotDiscovered::MovesPullTimes { .. }) => "excludesNone".to_owned(),
            Err(NotDiscovered::Fault(fault)) => kind(fault.kind).to_owned(),
            Err(other) => panic!("{other}"),
        }
    })
    .await;
}
