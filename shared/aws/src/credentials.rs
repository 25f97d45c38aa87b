//! The SDK's own credentials, made when they are needed.

use aws_config::SdkConfig;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::OnceCell;

/// Gives a configuration that has none the credentials that the SDK finds by default: in the environment, where Lambda puts
/// them, else wherever its default chain looks.
pub(crate) fn with_default_credentials(config: &SdkConfig) -> SdkConfig {
    let elsewhere = Elsewhere { config: config.clone(), chain: OnceCell::new() };
    let chain =
        CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("Elsewhere", elsewhere);
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(chain)).build()
}

/// The default chain, once the environment has turned out to have no credentials. Making it makes clients of STS and of the
/// instance's metadata as well, which was two thirds of what a function's main thread computed until its first event.
#[derive(Debug)]
struct Elsewhere {
    config: SdkConfig,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl Elsewhere {
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

impl ProvideCredentials for Elsewhere {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(async { self.chain.get_or_init(|| self.chain()).await.provide_credentials().await })
    }
}
