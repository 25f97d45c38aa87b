//! The findings of a scan that no policy can count: how many there are, and whether one is listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Finding, FindingKey, Severity};

/// What is kept of findings that were dropped. A finding takes some 200 bytes, and here it takes
/// eight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Uncounted {
    /// How many the scan lists of each severity.
    pub by_severity: BTreeMap<Severity, u32>,
    /// Eight bytes of the hash of each key, sorted: a scanner may rate a finding otherwise in two
    /// images, or tomorrow, and then a proof must know that it is still listed.
    keys: Arc<[u64]>,
}

impl Uncounted {
    /// Makes it of the findings that are dropped.
    pub(super) fn of<'f>(dropped: impl Iterator<Item = &'f Finding>) -> Self {
        let (mut by_severity, mut keys) = (BTreeMap::new(), Vec::new());
        for finding in dropped {
            *by_severity.entry(finding.severity).or_default() += 1;
            keys.push(hash(&finding.key));
        }
        keys.sort_unstable();
        Self { by_severity, keys: keys.into() }
    }

    /// Returns whether the scan lists this finding among them.
    pub(super) fn lists(&self, key: &FindingKey) -> bool {
        !self.keys.is_empty() && self.keys.binary_search(&hash(key)).is_ok()
    }
}

fn hash(key: &FindingKey) -> u64 {
    let mut sha = Sha256::new();
    sha.update(key.vulnerability.as_bytes());
    // No word contains it.
    sha.update([0]);
    sha.update(key.package.as_bytes());
    sha.finalize().iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use crate::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};

    fn finding(number: u32, severity: Severity) -> Finding {
        Finding {
            key: FindingKey {
                vulnerability: format!("CVE-{number}").into(),
                package: format!("p{number}").into(),
            },
            severity,
            installed: None,
            kind: PackageKind::Os,
            fix: Fix::Unknown,
            layer: None,
            first_observed: None,
            exploited: false,
        }
    }

    #[test]
    fn what_no_policy_can_count_is_a_number_and_still_listed() {
        let low = (0..200).map(|number| finding(number, Severity::Low));
        let medium = (200..230).map(|number| finding(number, Severity::Medium));
        let high = (300..303).map(|number| finding(number, Severity::High));
        let scan = Scan::complete(
            jiff::Timestamp::UNIX_EPOCH,
            Coverage::OsAndLanguages,
            low.chain(medium).chain(high).collect::<Vec<_>>(),
        );
        let kept = scan.clone().without_uncounted(Severity::High);
        assert_eq!(kept.findings().len(), 3, "of 233");
        let Scan::Complete { uncounted, .. } = &kept else { panic!("it is complete") };
        assert_eq!(uncounted.by_severity, [(Severity::Low, 200), (Severity::Medium, 30)].into());
        for number in 0..400 {
            let key = finding(number, Severity::Low).key;
            assert_eq!(kept.lists(&key), scan.lists(&key), "{key}");
        }
        assert_eq!(scan.clone().without_uncounted(Severity::Low), scan, "all may count");
        assert_eq!(kept.clone().without_uncounted(Severity::High), kept, "nothing is dropped twice");
        let written = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Scan>(&written).unwrap(), kept);
    }

    #[test]
    fn an_unrated_finding_that_may_be_serious_is_kept_for_people() {
        let unrated = [
            Finding { exploited: true, ..finding(1, Severity::Unrated) },
            Finding { fix: Fix::Version("2".into()), ..finding(2, Severity::Unrated) },
            finding(3, Severity::Unrated),
        ];
        let scan = Scan::complete(jiff::Timestamp::UNIX_EPOCH, Coverage::Os, unrated);
        assert_eq!(scan.without_uncounted(Severity::Critical).findings().len(), 2);
    }
}
