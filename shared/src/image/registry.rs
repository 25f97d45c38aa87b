//! The hosts of registries. Several spellings of one host are one name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidWord, Partition, word};

word!(
    /// A registry's host, such as `public.ecr.aws` or `localhost:5000`, as it is written first in
    /// documentation: the other names of Docker Hub and of an ECR registry are read as the first.
    ///
    /// A host has a dot or a port, or is `localhost`. The reference grammar distinguishes it from a
    /// path by that.
    Registry,
    "a registry host (a name with a dot or a port)",
    "^(localhost|[A-Za-z0-9][A-Za-z0-9.:-]*[.:][A-Za-z0-9.:-]*)$",
    |text| {
        (text.contains(['.', ':']) || text == "localhost")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    },
    canonical
);

word!(
    /// The host of a private ECR registry, such as `111122223333.dkr.ecr.us-east-1.amazonaws.com`.
    ///
    /// The registry also answers at hosts for FIPS and for IPv6. They are read as the plain one:
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html>.
    EcrRegistry,
    "an ECR registry (<12-digit account>.dkr.ecr.<region>.amazonaws.com)",
    "^[0-9]{12}\\.[dD][kK][rR][.-][eE][cC][rR](-[fF][iI][pP][sS])?\\.[A-Za-z0-9-]+\\.[A-Za-z0-9.-]+(:443)?$",
    |text| plain_ecr(text).is_some_and(|host| host == text),
    canonical
);

/// The registry of a reference that does not name one.
const DOCKER_HUB: &str = "docker.io";

/// Other hosts of Docker Hub.
const OF_DOCKER_HUB: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// The hosts of ECR between account and Region, and whether they are in the dual-stack domain.
const OF_ECR: [(&str, bool); 4] =
    [("dkr.ecr", false), ("dkr.ecr-fips", false), ("dkr-ecr", true), ("dkr-ecr-fips", true)];

impl Registry {
    /// Returns Docker Hub.
    pub fn docker_hub() -> Self {
        Self(DOCKER_HUB.into())
    }

    /// Returns whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.as_str() == DOCKER_HUB
    }

    /// Returns the private ECR registry at this host; nothing if it is another registry.
    pub fn ecr(&self) -> Option<EcrRegistry> {
        self.as_str().parse().ok()
    }
}

impl From<&EcrRegistry> for Registry {
    fn from(registry: &EcrRegistry) -> Self {
        Self(registry.0.clone())
    }
}

impl EcrRegistry {
    /// Returns the host, as image references write it.
    pub fn host(&self) -> &str {
        self.as_str()
    }

    /// Returns the account that owns the registry.
    pub fn account(&self) -> &str {
        self.part(0)
    }

    /// Returns the registry's region.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('.').nth(index).unwrap_or_default()
    }
}

/// Returns the one spelling of a host by which hosts are compared.
fn canonical(text: &str) -> Cow<'_, str> {
    let mut host = Cow::Borrowed(text);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        host = Cow::Owned(host.to_ascii_lowercase());
    }
    // The port of HTTPS says nothing, unless only it shows that this is a host.
    if let Some(name) = host.strip_suffix(":443").filter(|name| name.contains('.')) {
        host = Cow::Owned(name.to_owned());
    }
    if OF_DOCKER_HUB.contains(&host.as_ref()) {
        return Cow::Borrowed(DOCKER_HUB);
    }
    plain_ecr(&host).map_or(host, Cow::Owned)
}

/// Splits the host of an ECR registry from the name of a repository, if it begins with one.
pub(super) fn split(repository: &str) -> (Option<EcrRegistry>, &str) {
    let hosted = repository.split_once('/').and_then(|(host, name)| Some((host.parse().ok()?, name)));
    hosted.map_or((None, repository), |(host, name)| (Some(host), name))
}

/// Returns the plain spelling of a host of ECR; nothing if it is none.
fn plain_ecr(host: &str) -> Option<String> {
    let (account, rest) = host.split_once('.')?;
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    OF_ECR.iter().find_map(|(service, is_dual)| {
        let (region, domain) = rest.strip_prefix(service)?.strip_prefix('.')?.split_once('.')?;
        let partition = Partition::of(region);
        let expected = if *is_dual { partition.dual_stack } else { Some(partition.domain) };
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = expected == Some(domain) && !region.is_empty() && region.bytes().all(legal);
        fits.then(|| format!("{account}.dkr.ecr.{region}.{}", partition.domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_of_an_ecr_registry_is_one_name() {
        for (host, plain) in [
            ("dkr.ecr.us-east-1.amazonaws.com", "dkr.ecr.us-east-1.amazonaws.com"),
            ("dkr.ecr-fips.us-east-1.amazonaws.com", "dkr.ecr.us-east-1.amazonaws.com"),
            ("dkr-ecr.us-east-1.on.aws", "dkr.ecr.us-east-1.amazonaws.com"),
            ("dkr-ecr-fips.us-east-1.on.aws", "dkr.ecr.us-east-1.amazonaws.com"),
            ("DKR.ECR.US-East-1.amazonaws.com:443", "dkr.ecr.us-east-1.amazonaws.com"),
            ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "dkr.ecr.us-gov-west-1.amazonaws.com"),
            ("dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "dkr.ecr.cn-north-1.amazonaws.com.cn"),
            ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "dkr.ecr.eusc-de-east-1.amazonaws.eu"),
            ("dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu", "dkr.ecr.eusc-de-east-1.amazonaws.eu"),
            ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "dkr.ecr.us-iso-east-1.c2s.ic.gov"),
            ("dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "dkr.ecr.us-isob-east-1.sc2s.sgov.gov"),
            ("dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk"),
            ("dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "dkr.ecr.us-isof-south-1.csp.hci.ic.gov"),
        ] {
            let plain = format!("111122223333.{plain}");
            let registry: EcrRegistry = format!("111122223333.{host}").parse().unwrap();
            assert_eq!(registry.host(), plain, "{host}");
            let any: Registry = format!("111122223333.{host}").parse().unwrap();
            assert_eq!((any.as_str(), any.ecr()), (plain.as_str(), Some(registry)), "{host}");
        }
    }

    #[test]
    fn registries_are_those_of_ecr() {
        let registry: EcrRegistry = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn".parse().unwrap();
        assert_eq!((registry.account(), registry.region()), ("111122223333", "cn-north-1"));
        for bad in [
            "public.ecr.aws",
            "11112222333.dkr.ecr.us-east-1.amazonaws.com",
            "111122223333.dkr.ecr..amazonaws.com",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com.example",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/team",
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com",
            "111122223333.dkr.ecr.us-east-1.on.aws",
        ] {
            assert!(bad.parse::<EcrRegistry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_host_of_docker_hub_is_one_name_and_no_other_host_is() {
        for host in ["docker.io", "index.docker.io", "Registry-1.docker.io:443", "registry.hub.docker.com"] {
            assert_eq!(host.parse::<Registry>().unwrap(), Registry::docker_hub(), "{host}");
        }
        let other: Registry = "docker.io.example.com".parse().unwrap();
        assert!(!other.is_docker_hub());
        assert_eq!("registry:443".parse::<Registry>().unwrap().as_str(), "registry:443");
        assert_eq!(
            "registry.example.com:5000".parse::<Registry>().unwrap().as_str(),
            "registry.example.com:5000"
        );
    }
}
