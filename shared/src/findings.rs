//! The findings of one scan, in an order in which one is found without reading the others.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKey};

/// The findings of one scan, sorted by key. Copies share them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Finding>")]
pub struct Findings(Arc<[Finding]>);

impl Findings {
    /// Returns the finding `key`, if the scan lists it. If it lists it more than once, the first
    /// that was listed counts.
    pub fn get(&self, key: &FindingKey) -> Option<&Finding> {
        let at = self.0.partition_point(|finding| finding.key < *key);
        self.0.get(at).filter(|finding| finding.key == *key)
    }
}

impl Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.0
    }
}

impl From<Vec<Finding>> for Findings {
    fn from(mut listed: Vec<Finding>) -> Self {
        // Stable: what was listed first stays first.
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Self(listed.into())
    }
}

impl From<Arc<[Finding]>> for Findings {
    fn from(listed: Arc<[Finding]>) -> Self {
        if listed.is_sorted_by(|a, b| a.key <= b.key) { Self(listed) } else { listed.to_vec().into() }
    }
}

impl From<&[Finding]> for Findings {
    fn from(listed: &[Finding]) -> Self {
        listed.to_vec().into()
    }
}

impl<const N: usize> From<[Finding; N]> for Findings {
    fn from(listed: [Finding; N]) -> Self {
        Vec::from(listed).into()
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<T: IntoIterator<Item = Finding>>(listed: T) -> Self {
        listed.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finding::{Fix, PackageKind, Severity};

    fn key(number: u8) -> FindingKey {
        FindingKey {
            vulnerability: format!("CVE-{}", number / 3).into(),
            package: format!("p{}", number % 3).into(),
        }
    }

    fn listed(numbers: &[u8]) -> Vec<Finding> {
        let numbers = numbers.iter().zip(0..);
        let finding = |(number, place): (&u8, usize)| Finding {
            key: key(*number),
            severity: Severity::High,
            installed: Some(place.to_string()),
            kind: PackageKind::Os,
            fix: Fix::Unknown,
            layer: None,
            first_observed: None,
            exploited: false,
        };
        numbers.map(finding).collect()
    }

    proptest! {
        #[test]
        fn a_finding_is_the_first_that_a_search_of_the_list_finds(numbers in prop::collection::vec(0_u8..12, 0..20)) {
            let listed = listed(&numbers);
            let json = serde_json::to_string(&listed).unwrap();
            let read: Findings = serde_json::from_str(&json).unwrap();
            for findings in [listed.clone().into(), Arc::<[Finding]>::from(listed.clone()).into(), read] {
                for number in 0..13 {
                    let searched = listed.iter().find(|finding| finding.key == key(number));
                    prop_assert_eq!(Findings::get(&findings, &key(number)), searched);
                }
                prop_assert_eq!(findings.len(), listed.len());
            }
        }
    }
}
