//! Scans, and the vulnerabilities that become known.

use patchwave::finding::{Finding, Scan};
use patchwave::image::Tag;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::ManifestAt;

use super::{Scheduled, State};
use crate::events::Delivery;
use crate::faults::InjectedFault;
use crate::packages::Vulnerability;
use crate::scanner::Scanning;

impl State {
    pub(super) fn scan(&mut self, at: &ManifestAt, now: Timestamp) {
        let Some((layers, _)) = self.registry.manifest(at).cloned() else { return };
        self.changed(&at.0, now);
        if let Some(lost) = self.faults.scan_result(now) {
            self.lose_scan(at, lost, now);
            return;
        }
        let first = self.scanner.scan(at).completed_at().is_none();
        let new = self.scanner.complete(at, &layers, now);
        let tags: Vec<Tag> = self.registry.pushed(&at.0, &at.1).map(|p| p.tags.clone()).unwrap_or_default();
        for event in self.scan_events(at, &tags, first, &new, now) {
            self.emit(&event, now);
        }
    }

    /// The scan fails or expires. In most cases the scanner scans again hours later.
    fn lose_scan(&mut self, at: &ManifestAt, lost: Scan, now: Timestamp) {
        let again = self.faults.span(Span::hours(1), Span::hours(20));
        if self.faults.percent(60) {
            self.schedule(again.after(now), Scheduled::Scan(at.clone()));
        }
        self.scanner.lose(at, lost);
    }

    fn scan_events(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        first: bool,
        new: &[Finding],
        now: Timestamp,
    ) -> Vec<Delivery> {
        let scan = self.scanner.scan(at);
        let Scan::Complete { findings, .. } = &scan else { return Vec::new() };
        match (self.scanner.scanning(&at.0), first) {
            (Scanning::Basic, _) => vec![self.event_writer.basic_scan(at, tags, findings, now)],
            (Scanning::Enhanced, true) => vec![self.event_writer.enhanced_scan(at, tags, findings, now)],
            (Scanning::Enhanced, false) => {
                new.iter().map(|finding| self.event_writer.finding(at, tags, finding, now)).collect()
            }
        }
    }

    /// Makes a vulnerability known, with the scan of `first` before all others. Enhanced scanning
    /// scans everything again within minutes; for basic scanning a nightly job does.
    pub(crate) fn publish(
        &mut self,
        vulnerability: Vulnerability,
        first: Option<&ManifestAt>,
        now: Timestamp,
    ) {
        self.releases.announce(&vulnerability);
        if let Some((_, fixed_at)) = vulnerability.fixed
            && fixed_at > now
        {
            self.schedule(Span::minutes(10).after(fixed_at), Scheduled::Rescan);
        }
        self.rescan(first, &vulnerability.id, now);
        self.scanner.known.push(vulnerability);
    }

    pub(super) fn rescan(&mut self, first: Option<&ManifestAt>, why: &str, now: Timestamp) {
        let manifests: Vec<ManifestAt> = self.registry.manifests().cloned().collect();
        for at in manifests {
            let (soonest, latest) = match self.scanner.scanning(&at.0) {
                Scanning::Basic => (Span::minutes(20), Span::minutes(60)),
                Scanning::Enhanced => (Span::minutes(5), Span::minutes(15)),
            };
            if first != Some(&at) && self.faults.injects(InjectedFault::NotRescanned, now) {
                continue;
            }
            let subject = format!("{} {}", why, at.1);
            let delay = match first {
                Some(first) if *first == at => Span::minutes(4),
                _ => self.seed.draws("rescan", &subject).span(soonest, latest),
            };
            self.schedule(delay.after(now), Scheduled::Scan(at));
        }
    }
}
