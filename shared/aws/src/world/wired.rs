//! The world on fakes of the wire. Only its pauses between attempts are shorter than the
//! functions'.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use patchwave::image::EcrRegistry;

use super::AwsWorld;
use crate::clients::{self, Clients};
use crate::codepipeline::Pipelines;
use crate::dynamodb::Ledger;
use crate::ecr::{Cache, Ecr};
use crate::inspector::Inspector;
use crate::registries::{Connected, Registries};
use crate::upstream::Upstreams;

/// Connects to each service where `url` says: `ECR`, `CODEPIPELINE` and `DYNAMODB`.
pub(crate) fn world(url: impl Fn(&str) -> String, registry: &EcrRegistry, table: &str) -> AwsWorld {
    AwsWorld {
        clients: Clients::of(config(url("ECR"))),
        bus: None,
        ticks: None,
        sweeps: None,
        continuation: None,
        registries: registries(&url, registry),
        pipelines: Pipelines::new(Clients::of(config(url("CODEPIPELINE"))), Vec::new()),
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&config(url("DYNAMODB"))), table.to_owned()),
        upstreams: upstreams(&url),
    }
}

/// No test here asks a registry of others.
fn upstreams(url: &impl Fn(&str) -> String) -> Upstreams {
    let clients = Clients::of(config(url("DYNAMODB")));
    Upstreams::new(clients.of_others(), &clients, &patchwave::hierarchy::Upstreams::default())
}

fn registries(url: impl Fn(&str) -> String, registry: &EcrRegistry) -> Registries {
    let home = Connected {
        images: Ecr::new(aws_sdk_ecr::Client::new(&config(url("ECR"))), registry, &Cache::default()),
        // No test here asks it.
        scanner: Inspector::new(aws_sdk_inspector2::Client::new(&config(url("ECR"))), registry),
    };
    Registries::only(home, Clients::of(config(url("ECR"))))
}

/// The configuration of a client whose service is at `url`.
pub(crate) fn config(url: String) -> SdkConfig {
    let retries = clients::retries().with_initial_backoff(Duration::from_millis(1));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "key", "secret", None, None, "test",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_mins(1)).build())
        .retry_config(retries.with_max_backoff(Duration::from_millis(2)))
        .endpoint_url(url)
        .build()
}
