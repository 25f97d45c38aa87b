//! The SDK's clients: one configuration and one HTTP client for all of them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use patchwave::image::EcrRegistry;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for an answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a call may take with all its retries.
const OPERATION: Duration = Duration::from_secs(30);
/// The first attempt and its retries.
const ATTEMPTS: u32 = 4;

/// Says how calls are made again: here alone. Whatever is above them makes none again by itself, for each layer that does
/// multiplies the calls of those below.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// The clients' common ground. Region, credentials and endpoints are the SDK's own settings.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    config: SdkConfig,
    own_s3: bool,
}

impl Clients {
    /// Reads the SDK's settings. Nothing is connected and no credentials are fetched yet.
    pub(crate) async fn load(own_s3: bool) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(retries())
            .load()
            .await;
        Self { config, own_s3 }
    }

    /// Returns a client of the registry's own region.
    pub(crate) fn ecr(&self, registry: &EcrRegistry) -> aws_sdk_ecr::Client {
        let config = aws_sdk_ecr::config::Builder::from(&self.config);
        aws_sdk_ecr::Client::from_conf(config.region(Region::new(registry.region().to_owned())).build())
    }

    pub(crate) fn codepipeline(&self) -> aws_sdk_codepipeline::Client {
        aws_sdk_codepipeline::Client::new(&self.config)
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    pub(crate) fn eventbridge(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.config)
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(self.own_s3);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}
