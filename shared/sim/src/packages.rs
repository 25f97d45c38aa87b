//! Packages, their releases and their vulnerabilities.

use std::collections::BTreeMap;

use patchwave::finding::{FindingKey, PackageKind, Severity};
use patchwave::image::ImageId;
use patchwave::time::Timestamp;

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) kind: PackageKind,
    /// The image whose build installed it.
    pub(crate) installed_by: ImageId,
    /// Counts releases from 1.
    pub(crate) revision: u32,
}

impl Package {
    /// Returns the version as a scanner writes it.
    pub(crate) fn version(&self) -> String {
        version(self.name, self.revision)
    }
}

/// Returns the version of a release as a scanner writes it.
pub(crate) fn version(name: &str, revision: u32) -> String {
    let upstream = UPSTREAM_VERSIONS.iter().find(|(known, _)| *known == name).map_or("1.0.0", |(_, v)| v);
    format!("{upstream}-{revision}")
}

/// The packages of every distribution.
pub(crate) const OF_THE_SYSTEM: [&str; 8] =
    ["glibc", "openssl", "zlib", "curl", "xz", "expat", "ca-certificates", "ncurses"];

/// The packages that runtimes add to their distribution.
pub(crate) const OF_RUNTIMES: [&str; 8] =
    ["libxml2", "icu", "krb5", "libffi", "readline", "gdbm", "libuv", "tzdata"];

/// The packages that applications install from their distribution.
pub(crate) const OF_APPLICATIONS: [&str; 6] = ["libpq", "imagemagick", "libwebp", "fontconfig", "jq", "tini"];

/// The packages that applications pin in their lock files.
pub(crate) const PINNED: [&str; 8] = [
    "protobuf",
    "grpc",
    "opentelemetry",
    "jackson-databind",
    "urllib3",
    "express",
    "golang.org/x/net",
    "lodash",
];

const UPSTREAM_VERSIONS: [(&str, &str); 30] = [
    ("glibc", "2.34"),
    ("openssl", "3.0.13"),
    ("zlib", "1.3.1"),
    ("curl", "8.9.1"),
    ("xz", "5.4.6"),
    ("expat", "2.6.3"),
    ("ca-certificates", "2026.2"),
    ("ncurses", "6.4"),
    ("libxml2", "2.12.9"),
    ("icu", "74.2"),
    ("krb5", "1.21.3"),
    ("libffi", "3.4.6"),
    ("readline", "8.2"),
    ("gdbm", "1.23"),
    ("libuv", "1.48.0"),
    ("tzdata", "2026a"),
    ("libpq", "16.4"),
    ("imagemagick", "7.1.1"),
    ("libwebp", "1.4.0"),
    ("fontconfig", "2.15.0"),
    ("jq", "1.7.1"),
    ("tini", "0.19.0"),
    ("protobuf", "4.25.3"),
    ("grpc", "1.65.1"),
    ("opentelemetry", "1.27.0"),
    ("jackson-databind", "2.17.2"),
    ("urllib3", "2.2.2"),
    ("express", "4.19.2"),
    ("golang.org/x/net", "0.28.0"),
    ("lodash", "4.17.21"),
];

/// A vulnerability of a package, as in the scanner's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerability {
    /// Such as `CVE-2026-31337`.
    pub id: String,
    pub package: String,
    /// Limits the vulnerability to the package that this image installs, as if other images
    /// installed it from another vendor.
    pub installed_by: Option<ImageId>,
    pub severity: Severity,
    pub exploited: bool,
    /// When the scanner learns of it.
    pub known_from: Timestamp,
    /// The release that fixes it and when that is published, if it ever is.
    pub fixed: Option<(u32, Timestamp)>,
}

impl Vulnerability {
    /// Returns the key of its findings.
    pub fn key(&self) -> FindingKey {
        FindingKey { vulnerability: self.id.as_str().into(), package: self.package.as_str().into() }
    }

    pub(crate) fn is_in(&self, package: &Package) -> bool {
        let same_vendor = self.installed_by.as_ref().is_none_or(|image| *image == package.installed_by);
        let not_fixed = self.fixed.is_none_or(|(revision, _)| package.revision < revision);
        package.name == self.package && same_vendor && not_fixed
    }
}

/// The releases of packages, and when each is published.
#[derive(Debug, Clone, Default)]
pub(crate) struct Releases(BTreeMap<Offer, Vec<(Timestamp, u32)>>);

/// A package, and the image that is offered the release. Without an image, all are.
type Offer = (String, Option<ImageId>);

impl Releases {
    /// Adds the release that fixes `vulnerability`, if there is one.
    pub(crate) fn announce(&mut self, vulnerability: &Vulnerability) {
        if let Some((revision, at)) = vulnerability.fixed {
            let key = (vulnerability.package.clone(), vulnerability.installed_by.clone());
            self.0.entry(key).or_default().push((at, revision));
        }
    }

    /// Returns the newest release that a build of an image finds at a time.
    pub(crate) fn newest(&self, name: &str, installed_by: &ImageId, now: Timestamp) -> u32 {
        [Some(installed_by.clone()), None]
            .into_iter()
            .filter_map(|offered_to| self.0.get(&(name.to_owned(), offered_to)))
            .flatten()
            .filter(|(at, _)| *at <= now)
            .map(|(_, revision)| *revision)
            .max()
            .unwrap_or(1)
    }
}
