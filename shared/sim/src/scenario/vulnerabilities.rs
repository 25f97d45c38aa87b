//! The random vulnerabilities of a scenario.

use std::collections::BTreeMap;

use patchwave::finding::Severity;
use patchwave::time::{Span, Timestamp};

use super::Scenario;
use crate::draw::{Draws, Seed};
use crate::faults::Level;
use crate::packages::{OF_APPLICATIONS, OF_RUNTIMES, OF_THE_SYSTEM, Vulnerability};
use crate::size::Size;

impl Scenario {
    /// Draws the vulnerabilities that become known between `begins` and `ends`.
    pub(super) fn vulnerabilities(self, begins: Timestamp, ends: Timestamp) -> Vec<Vulnerability> {
        let mut draws = Seed(self.seed).draws("vulnerabilities", "");
        let packages: Vec<&str> =
            OF_THE_SYSTEM.into_iter().chain(OF_RUNTIMES).chain(OF_APPLICATIONS).collect();
        let mut revisions: BTreeMap<&str, u32> = BTreeMap::new();
        let latest = Span::between(begins, ends).share(5, 6);
        let [fewest, most] = self.size.vulnerabilities();
        let mut vulnerability = |number: u32, draws: &mut Draws| {
            let package = draws.pick(&packages).copied().unwrap_or("openssl");
            let severity = severity(draws);
            let known_from = self.known_from(draws, latest).after(begins);
            let fixed_at = self.fixed_at(draws, known_from);
            let revision = revisions.entry(package).or_insert(1);
            *revision += 1;
            Vulnerability {
                id: format!("CVE-2026-{}", 40_000 + number),
                package: package.to_owned(),
                installed_by: None,
                severity,
                exploited: draws.percent(15),
                known_from,
                fixed: fixed_at.map(|at| (*revision, at)),
            }
        };
        let count = draws.between(fewest, most);
        (0..count).map(|number| vulnerability(number, &mut draws)).collect()
    }

    /// Many become known at once, so that their builds meet the faults.
    fn known_from(self, draws: &mut Draws, latest: Span) -> Span {
        let is_early = self.level.has_faults() && (self.size == Size::Small || draws.percent(40));
        if is_early {
            draws.span(Span::ZERO, Span::minutes(3))
        } else {
            draws.span(Span::minutes(10), latest)
        }
    }

    /// One in ten is never fixed. Where events arrive, three in ten are fixed hours later.
    fn fixed_at(self, draws: &mut Draws, known_from: Timestamp) -> Option<Timestamp> {
        match draws.between(1, 10) {
            1 => None,
            2..=4 if self.level != Level::NoEvents => {
                Some(draws.span(Span::hours(1), Span::hours(30)).after(known_from))
            }
            _ => Some(Span::hours(1).before(known_from)),
        }
    }
}

fn severity(draws: &mut Draws) -> Severity {
    let severities = [Severity::Medium, Severity::High, Severity::Critical];
    draws.pick(&severities).copied().unwrap_or(Severity::High)
}
