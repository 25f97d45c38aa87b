//! Credentials for registries, from AWS Secrets Manager. The secret of a pull-through cache serves:
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-creating-secret.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use patchwave::hierarchy::Upstreams as Declared;
use patchwave::image::Registry;
use patchwave_converge::Fault;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::clients::Clients;
use crate::fault::{fault, invalid};

/// A name and a password.
#[derive(Clone, Deserialize)]
pub(crate) struct Credentials {
    pub(super) username: String,
    #[serde(alias = "accessToken")]
    pub(super) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the credentials of {}", self.username)
    }
}

/// The secrets that the hierarchy names. Each is read when its registry asks for it, once an
/// invocation.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    clients: Clients,
    declared: Declared,
    read: Arc<Mutex<BTreeMap<Registry, Credentials>>>,
}

impl Secrets {
    pub(crate) fn new(clients: Clients, declared: Declared) -> Self {
        Self { clients, declared, read: Arc::default() }
    }

    /// Returns the credentials for a host; nothing if the hierarchy names none.
    pub(crate) async fn of(&self, host: &Registry) -> Result<Option<Credentials>, Fault> {
        let Some(arn) = self.declared.credentials(host) else { return Ok(None) };
        let mut read = self.read.lock().await;
        if let Some(known) = read.get(host) {
            return Ok(Some(known.clone()));
        }
        let operation = format!("read the secret {arn}");
        let region = arn.split(':').nth(3).unwrap_or_default();
        let client: aws_sdk_secretsmanager::Client = self.clients.secrets(region);
        let secret = client.get_secret_value().secret_id(arn).send().await;
        let secret = secret.map_err(|error| fault(&operation, &error))?;
        let credentials = secret.secret_string().and_then(|text| serde_json::from_str(text).ok());
        // The text is not shown: it is a secret.
        let credentials: Credentials = credentials.ok_or_else(|| {
            invalid(&operation, "it is not JSON with `username` and `accessToken`; write both")
        })?;
        read.insert(host.clone(), credentials.clone());
        Ok(Some(credentials))
    }
}
