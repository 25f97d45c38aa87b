//! The SDK's clients: one configuration and one HTTP client for all of them.

use std::thread::Builder;
use std::time::Duration;

#[cfg(feature = "discover")]
use aws_config::profile::ProfileFileCredentialsProvider;
#[cfg(feature = "discover")]
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::config::ConfigBag;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use http_body_util::Limited;
use patchwave::hierarchy::Role;
use patchwave::image::{EcrRegistry, Partition};
use patchwave_converge::Fault;

use crate::credentials::with_default_credentials;
use crate::fault::denied;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for an answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a call may take with all its retries.
const OPERATION: Duration = Duration::from_secs(30);
/// The largest answer of another account that is read, in bytes. A page of a hundred tasks or job
/// definitions takes at most a few megabytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// The first attempt and its retries.
const ATTEMPTS: u32 = 4;

/// Configures the SDK's retries. Only one layer may retry: each further one would multiply the
/// calls of the layers below it.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// What all clients share. Region, credentials and endpoints are the SDK's own settings.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    config: SdkConfig,
    of_others: SharedHttpClient,
    own_s3: bool,
}

impl Clients {
    /// Reads the SDK's settings. It opens no connection and fetches no credentials yet.
    pub(crate) async fn load(own_s3: bool) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(crypto()))
            .build_https();
        let http = OnDemand::new(http);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(retries())
            .no_credentials()
            .load()
            .await;
        Self { config: with_default_credentials(&config), of_others: of_others(), own_s3 }
    }

    /// Reads the SDK's settings for a person, who may name a profile.
    #[cfg(feature = "discover")]
    pub(crate) async fn of_profile(profile: Option<&str>) -> Self {
        let Self { config, own_s3, of_others } = Self::load(false).await;
        let Some(name) = profile else { return Self { config, of_others, own_s3 } };
        let of_profile = aws_config::defaults(BehaviorVersion::v2026_01_12()).profile_name(name);
        let of_profile = match config.http_client() {
            Some(http) => of_profile.http_client(http),
            None => of_profile,
        };
        let of_profile = of_profile.no_credentials().load().await;
        let settings = ProviderConfig::default().with_region(of_profile.region().cloned());
        let settings = match config.http_client() {
            Some(http) => settings.with_http_client(http),
            None => settings,
        };
        // A profile that a person names comes before credentials of the environment.
        let credentials =
            ProfileFileCredentialsProvider::builder().profile_name(name).configure(&settings).build();
        let config = config.to_builder().region(of_profile.region().cloned());
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        Self { config, of_others, own_s3 }
    }

    /// Returns the Region of the SDK's settings.
    #[cfg(feature = "discover")]
    pub(crate) fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    #[cfg(feature = "discover")]
    pub(crate) fn cloudtrail(&self) -> aws_sdk_cloudtrail::Client {
        aws_sdk_cloudtrail::Client::new(&self.config)
    }

    #[cfg(feature = "discover")]
    pub(crate) fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config)
    }

    #[cfg(feature = "discover")]
    pub(crate) fn codebuild(&self) -> aws_sdk_codebuild::Client {
        aws_sdk_codebuild::Client::new(&self.config)
    }

    #[cfg(test)]
    pub(crate) fn of(config: SdkConfig) -> Self {
        Self { config, of_others: of_others(), own_s3: false }
    }

    /// Returns the clients of another region, and of another account if the caller passes its
    /// credentials. They try each call once, because the survey retries at its own pace, and read
    /// no answer that is larger than [`LARGEST_ANSWER`].
    pub(crate) fn in_region(&self, region: &str, credentials: Option<SharedCredentialsProvider>) -> Self {
        let Self { config, own_s3, .. } = self.elsewhere(region, credentials);
        let http = config.http_client().map(|http| Bounded { http, most: LARGEST_ANSWER });
        let config = config.to_builder().retry_config(RetryConfig::disabled());
        let config = match http {
            Some(http) => config.http_client(http),
            None => config,
        };
        Self { config: config.build(), of_others: self.of_others(), own_s3 }
    }

    /// Returns the clients of another region, and of another account if the caller passes its
    /// credentials.
    pub(crate) fn elsewhere(&self, region: &str, credentials: Option<SharedCredentialsProvider>) -> Self {
        let config = self.config.to_builder().region(Region::new(region.to_owned()));
        let config = match credentials {
            Some(credentials) => config.credentials_provider(credentials),
            None => config,
        };
        Self { config: config.build(), of_others: self.of_others(), own_s3: self.own_s3 }
    }

    /// Assumes a role of another account for the time of an invocation. `session` is the session's
    /// name in that account's audit trail.
    pub(crate) async fn assume(
        &self,
        account: &str,
        role: &Role,
        session: &str,
    ) -> Result<SharedCredentialsProvider, Fault> {
        let arn = role_arn(account, &role.name, self.config.region().map_or("", Region::as_ref));
        let provider = AssumeRoleProvider::builder(&arn).session_name(session).configure(&self.config);
        let provider = match &role.external_id {
            Some(id) => provider.external_id(id),
            None => provider,
        };
        let assumed = provider.build().await.provide_credentials().await;
        let credentials = assumed.map_err(|error| denied(format!("assume {arn}"), &error))?;
        Ok(SharedCredentialsProvider::new(credentials))
    }

    /// Returns a client of the registry's own region.
    pub(crate) fn ecr(&self, registry: &EcrRegistry) -> aws_sdk_ecr::Client {
        let config = aws_sdk_ecr::config::Builder::from(&self.config);
        aws_sdk_ecr::Client::from_conf(config.region(Region::new(registry.region().to_owned())).build())
    }

    /// Returns a client of the region whose registry Inspector scans.
    pub(crate) fn inspector(&self, registry: &EcrRegistry) -> aws_sdk_inspector2::Client {
        let config = aws_sdk_inspector2::config::Builder::from(&self.config);
        let config = config.region(Region::new(registry.region().to_owned()));
        aws_sdk_inspector2::Client::from_conf(config.build())
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

    pub(crate) fn scheduler(&self) -> aws_sdk_scheduler::Client {
        aws_sdk_scheduler::Client::new(&self.config)
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    pub(crate) fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.config)
    }

    /// Returns a client of a Region's secrets.
    pub(crate) fn secrets(&self, region: &str) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.config);
        aws_sdk_secretsmanager::Client::from_conf(config.region(Region::new(region.to_owned())).build())
    }

    /// Returns the HTTP client for registries of others.
    pub(crate) fn of_others(&self) -> SharedHttpClient {
        self.of_others.clone()
    }

    pub(crate) fn eks(&self) -> aws_sdk_eks::Client {
        aws_sdk_eks::Client::new(&self.config)
    }

    pub(crate) fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config)
    }

    pub(crate) fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }

    pub(crate) fn batch(&self) -> aws_sdk_batch::Client {
        aws_sdk_batch::Client::new(&self.config)
    }

    pub(crate) fn organizations(&self) -> aws_sdk_organizations::Client {
        aws_sdk_organizations::Client::new(&self.config)
    }

    /// Returns the credentials that all clients sign with.
    pub(crate) fn credentials(&self) -> Option<SharedCredentialsProvider> {
        self.config.credentials_provider()
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(self.own_s3);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// Makes the HTTP client for registries of others. It reads the usual variables: those that name a
/// proxy (`HTTPS_PROXY`, `NO_PROXY`), and the one that names the authorities (`SSL_CERT_FILE`).
fn of_others() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, _| {
        let mut connector = aws_smithy_http_client::Connector::builder();
        if let Some(settings) = settings {
            connector = connector.connector_settings(settings.clone());
        }
        let connector = connector.proxy_config(ProxyConfig::from_env());
        connector.tls_provider(tls::Provider::Rustls(crypto())).build()
    })
}

/// Returns the module that encrypts.
#[cfg(not(feature = "fips"))]
fn crypto() -> CryptoMode {
    CryptoMode::Ring
}

/// Returns the validated module that encrypts, and makes it that of connections to clusters too.
#[cfg(feature = "fips")]
fn crypto() -> CryptoMode {
    // An error says that it was installed already.
    let _ = rustls::crypto::default_fips_provider().install_default();
    CryptoMode::AwsLcFips
}

/// The HTTP client that connects for all service clients, without its validation. The SDK validates
/// it for each service client: it would parse all of the system's root certificates and discard
/// them.
#[derive(Debug)]
struct OnDemand(SharedHttpClient);

impl OnDemand {
    /// Another thread reads the certificates from the disk meanwhile. The first call waits only for
    /// the rest of that.
    fn new(http: SharedHttpClient) -> Self {
        let prepared = http.clone();
        // If no thread can be started, the first call reads them.
        let _ = Builder::new().name("roots".to_owned()).spawn(move || {
            let (components, config) = (RuntimeComponentsBuilder::new("roots"), ConfigBag::base());
            prepared.validate_base_client_config(&components, &config)
        });
        Self(http)
    }
}

impl HttpClient for OnDemand {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

/// An HTTP client that reads a large answer no further than this many bytes.
#[derive(Debug)]
pub(crate) struct Bounded {
    pub(crate) http: SharedHttpClient,
    pub(crate) most: usize,
}

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.http.http_connector(settings, components);
        SharedHttpConnector::new(BoundedConnector { connector, most: self.most })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http.connector_metadata()
    }
}

#[derive(Debug)]
struct BoundedConnector {
    connector: SharedHttpConnector,
    most: usize,
}

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, most) = (self.connector.call(request), self.most);
        HttpConnectorFuture::new(async move {
            let bound = |body| SdkBody::from_body_1_x(Limited::new(body, most));
            answer.await.map(|answer| answer.map(bound))
        })
    }
}

/// Returns the ARN of a role that is given by name; partitions differ by region.
fn role_arn(account: &str, role: &str, region: &str) -> String {
    if role.starts_with("arn:") {
        return role.to_owned();
    }
    format!("arn:{}:iam::{account}:role/{role}", Partition::of(region).name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_runtime_api::box_error::BoxError;

    use super::*;

    /// Counts how often the SDK validates it.
    #[derive(Debug)]
    struct Counting(Arc<AtomicUsize>);

    impl HttpClient for Counting {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            unreachable!("nothing is called")
        }

        fn validate_base_client_config(
            &self,
            _: &RuntimeComponentsBuilder,
            _: &ConfigBag,
        ) -> Result<(), BoxError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn many_clients_read_the_root_certificates_once() {
        let prepared = Arc::new(AtomicUsize::new(0));
        let http = OnDemand::new(SharedHttpClient::new(Counting(prepared.clone())));
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::v2026_01_12()).http_client(http);
        let clients = Clients::of(config.build());
        let _ = (clients.dynamodb(), clients.codepipeline(), clients.s3());
        assert!(prepared.load(Ordering::SeqCst) <= 1);
    }

    #[test]
    fn a_role_name_becomes_an_arn_in_the_partition_of_its_region() {
        let arn = |role, region| role_arn("444455556666", role, region);
        assert_eq!(arn("reader", "us-east-1"), "arn:aws:iam::444455556666:role/reader");
        assert_eq!(arn("reader", "cn-north-1"), "arn:aws-cn:iam::444455556666:role/reader");
        assert_eq!(arn("reader", "eusc-de-east-1"), "arn:aws-eusc:iam::444455556666:role/reader");
        assert_eq!(arn("reader", "us-gov-west-1"), "arn:aws-us-gov:iam::444455556666:role/reader");
        assert_eq!(arn("reader", "eusc-de-east-1"), "arn:aws-eusc:iam::444455556666:role/reader");
        assert_eq!(arn("reader", "us-isob-east-1"), "arn:aws-iso-b:iam::444455556666:role/reader");
        assert_eq!(arn("arn:aws:iam::1:role/a/b", "us-east-1"), "arn:aws:iam::1:role/a/b");
    }

    /// `AWS_USE_FIPS_ENDPOINT` is the SDK's own setting. Every client and the assumed roles follow
    /// it.
    #[tokio::test]
    async fn fips_endpoints_are_used_if_the_sdks_setting_asks_for_them() {
        let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let hosts = Arc::clone(&asked);
        let config = crate::fake::raw(move |request| {
            hosts.lock().unwrap().push(request.uri().host().unwrap_or_default().to_owned());
            http::Response::builder().status(403).body("{}".to_owned()).unwrap()
        });
        let clients = Clients::of(config.to_builder().use_fips(true).build());
        let registry = "111122223333.dkr.ecr.us-west-2.amazonaws.com".parse().unwrap();
        let role = Role { name: "reader".to_owned(), external_id: None };
        let _ = clients.ecr(&registry).describe_images().repository_name("x").send().await;
        let _ = clients.codepipeline().get_pipeline().name("x").send().await;
        let _ = clients.elsewhere("us-gov-west-1", None).dynamodb().list_tables().send().await;
        let _ = clients.assume("444455556666", &role, "test").await;
        let asked = asked.lock().unwrap().clone();
        let fips = [
            "api.ecr-fips.us-west-2.amazonaws.com",
            "codepipeline-fips.us-east-1.amazonaws.com",
            "dynamodb.us-gov-west-1.amazonaws.com",
            "sts-fips.us-east-1.amazonaws.com",
        ];
        assert_eq!(asked, fips);
    }
}
