//! The SDK's own credentials, created when they are needed.

use aws_config::SdkConfig;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::OnceCell;

/// Gives a configuration without credentials those that the SDK finds by default. It tries the
/// environment first, where Lambda puts them, and then the SDK's default chain.
pub(crate) fn with_default_credentials(config: &SdkConfig) -> SdkConfig {
    let default = DefaultChain { config: config.clone(), chain: OnceCell::new() };
    let chain =
        CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("DefaultChain", default);
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(chain)).build()
}

/// The default chain, created only if the environment has no credentials.
///
/// Creating it also creates clients of STS and of the instance's metadata. That was two thirds of
/// what a function's main thread computed until its first event.
#[derive(Debug)]
struct DefaultChain {
    config: SdkConfig,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl DefaultChain {
    async fn chain(&self) -> DefaultCredentialsChain {
        let config = &self.config;
        let mut provider = ProviderConfig::without_region()
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack())
            .with_behavior_version(config.behavior_version());
        if let Some(http) = config.http_client() {
            provider = provider.with_http_client(http);
        }
        if let Some(retries) = config.retry_config() {
            provider = provider.with_retry_config(retries.clone());
        }
        if let Some(timeouts) = config.timeout_config() {
            provider = provider.with_timeout_config(timeouts.clone());
        }
        let chain = DefaultCredentialsChain::builder().configure(provider);
        match config.region() {
            Some(region) => chain.region(region.clone()).build().await,
            None => chain.build().await,
        }
    }
}

impl ProvideCredentials for DefaultChain {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(async { self.chain.get_or_init(|| self.chain()).await.provide_credentials().await })
    }
}
