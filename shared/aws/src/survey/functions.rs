//! Lambda functions that are packaged as images, and their versions.

use std::collections::BTreeSet;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{AliasConfiguration, Architecture, PackageType};
use patchwave::inventory::{Sighting, Use};

use super::pace::{Meter, Missed, Pace};
use super::reading::Reading;

/// Most entries on a page of any list.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>
const PAGE: i32 = 50;
/// The version that changes in place.
const LATEST: &str = "$LATEST";

/// Reads all functions of a region.
pub(super) async fn read(client: &Client, pace: &Pace, reading: &mut Reading) {
    for name in images(client, pace, reading).await {
        match function(client, pace, &name, reading).await {
            // The function was deleted since it was listed.
            Ok(()) | Err(Missed::Gone) => {}
            Err(Missed::Interrupted) => return reading.miss(Missed::Interrupted),
            Err(missed) => reading.miss(missed),
        }
    }
}

/// Names the functions that are packaged as images.
async fn images(client: &Client, pace: &Pace, reading: &mut Reading) -> Vec<String> {
    let mut names = Vec::new();
    let mut from = None;
    loop {
        let call = client.list_functions().max_items(PAGE).set_marker(from);
        match pace.call(Meter::Lambda, "list Lambda functions", || call.clone().send()).await {
            Ok(output) => {
                let images =
                    output.functions().iter().filter(|f| f.package_type() == Some(&PackageType::Image));
                names.extend(images.filter_map(|function| function.function_name().map(str::to_owned)));
                from = output.next_marker;
            }
            Err(missed) => {
                reading.miss(missed);
                return names;
            }
        }
        if from.is_none() {
            return names;
        }
    }
}

/// Reads a function. A version that a name or an alias calls runs; the other versions refer.
async fn function(client: &Client, pace: &Pace, name: &str, reading: &mut Reading) -> Result<(), Missed> {
    let aliased = aliased(client, pace, name).await?;
    for version in versions(client, pace, name).await? {
        let call = client.get_function().function_name(name).qualifier(&version);
        let operation = format!("get the Lambda function {name}:{version}");
        let output = pace.call(Meter::LambdaFunction, &operation, || call.clone().send()).await?;
        let Some(code) = output.code() else { continue };
        let configuration = output.configuration();
        let architecture = configuration.and_then(|c| c.architectures().first()).map(Architecture::as_str);
        let since = configuration.and_then(|c| c.last_modified());
        let runs = version == LATEST || aliased.contains(&version);
        let sighting = Sighting {
            place: reading.place().clone(),
            workload: name.to_owned(),
            unit: if runs { version.clone() } else { String::new() },
            container: if runs { String::new() } else { version.clone() },
            image: code.image_uri().unwrap_or_default().to_owned(),
            resolved: code.resolved_image_uri().map(str::to_owned),
            architecture: architecture.map(|name| if name == "x86_64" { "amd64" } else { name }.to_owned()),
            // <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>
            os: Some("linux".to_owned()),
            used: if runs {
                // Lambda writes `+0000` where others write `Z`.
                Use::Running { since: since.and_then(|since| since.replace("+0000", "Z").parse().ok()) }
            } else {
                Use::Referenced
            },
        };
        reading.note(sighting);
    }
    Ok(())
}

/// Returns the versions that an alias sends all or some of its calls to.
async fn aliased(client: &Client, pace: &Pace, name: &str) -> Result<BTreeSet<String>, Missed> {
    let mut versions = BTreeSet::new();
    let mut from = None;
    loop {
        let call = client.list_aliases().function_name(name).max_items(PAGE).set_marker(from);
        let operation = format!("list the aliases of the Lambda function {name}");
        let output = pace.call(Meter::Lambda, &operation, || call.clone().send()).await?;
        for alias in output.aliases() {
            versions.extend(alias.function_version().map(str::to_owned));
            versions.extend(weighted(alias));
        }
        from = output.next_marker;
        if from.is_none() {
            return Ok(versions);
        }
    }
}

fn weighted(alias: &AliasConfiguration) -> impl Iterator<Item = String> {
    let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
    weights.into_iter().flatten().map(|(version, _)| version.clone())
}

/// Returns all versions, `$LATEST` first.
async fn versions(client: &Client, pace: &Pace, name: &str) -> Result<Vec<String>, Missed> {
    let mut versions = Vec::new();
    let mut from = None;
    loop {
        let call = client.list_versions_by_function().function_name(name).max_items(PAGE).set_marker(from);
        let operation = format!("list the versions of the Lambda function {name}");
        let output = pace.call(Meter::Lambda, &operation, || call.clone().send()).await?;
        versions.extend(output.versions().iter().filter_map(|version| version.version().map(str::to_owned)));
        from = output.next_marker;
        if from.is_none() {
            return Ok(versions);
        }
    }
}
