//! The registries of others, as the file declares them.

use std::collections::BTreeMap;

use super::error::{Problem, Report};
use super::file::{UpstreamKeys, UpstreamsKeys};
use crate::image::Registry;

/// The registries of others: which are watched, and with which credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstreams {
    watch: bool,
    hosts: BTreeMap<Registry, Upstream>,
}

/// A registry of others that the file names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Upstream {
    watch: Option<bool>,
    credentials: Option<String>,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { watch: true, hosts: BTreeMap::new() }
    }
}

impl Upstreams {
    pub(super) fn read(keys: Option<UpstreamsKeys>, report: &mut Report<'_>) -> Self {
        let Some(UpstreamsKeys { watch, hosts }) = keys else { return Self::default() };
        let mut read = BTreeMap::new();
        for (name, written) in hosts {
            let UpstreamKeys { watch, credentials } = written.value;
            let watch = watch.map(|watch| watch.value);
            let credentials = credentials.and_then(|arn| arn.read(report)).map(String::from);
            match name.parse::<Registry>() {
                Ok(host) => drop(read.insert(host, Upstream { watch, credentials })),
                Err(invalid) => report.add(written.referenced, Problem::Word(invalid.to_string())),
            }
        }
        Self { watch: watch.is_none_or(|watch| watch.value), hosts: read }
    }

    /// Returns whether the tags of a host are watched. A private ECR registry of others is not: it
    /// answers only those whom its owner lets in.
    pub fn watches(&self, host: &Registry) -> bool {
        let named = self.hosts.get(host).and_then(|upstream| upstream.watch);
        named.unwrap_or(self.watch && host.ecr().is_none())
    }

    /// Returns the ARN of the secret with the credentials for a host.
    pub fn credentials(&self, host: &Registry) -> Option<&str> {
        self.hosts.get(host)?.credentials.as_deref()
    }
}
