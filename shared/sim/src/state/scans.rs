//! Scans, and the vulnerabilities that become known.

use patchwave::finding::{Finding, Scan};
use patchwave::image::Tag;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::ManifestAt;

use super::{Scheduled, State};
use crate::events::Delivery;
use crate::faults::InjectedFault;
use crate::packages::Vulnerability;
use crate::pipelines::BuildResult;
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
        let mut new = self.scanner.complete(at, &layers, now);
        if self.do_people_suppress(at, now)
            && let Some(suppressed) = self.scanner.suppress(at)
        {
            self.faults.note(InjectedFault::FindingSuppressed);
            new.retain(|finding| finding.key != suppressed);
            self.scan_again(at, now);
        }
        let tags: Vec<Tag> = self.registry.pushed(&at.0, &at.1).map(|p| p.tags.clone()).unwrap_or_default();
        for event in self.scan_events(at, &tags, first, &new, now) {
            self.emit(&event, now);
        }
    }

    /// Returns whether people suppress a finding in Inspector: now and then any, and often one that
    /// a rebuild did not fix.
    fn do_people_suppress(&mut self, at: &ManifestAt, now: Timestamp) -> bool {
        let pushed = self.registry.pushed(&at.0, &at.1);
        let execution = pushed.and_then(|pushed| self.pipelines.execution(pushed.execution.as_ref()?));
        let fixed_nothing = execution.is_some_and(|execution| execution.result == BuildResult::FixesNothing);
        self.scanner.scanning(&at.0) == Scanning::Enhanced
            && (self.faults.would_inject(InjectedFault::FindingSuppressed, now)
                || fixed_nothing && self.faults.percent(30))
    }

    /// The scan fails or expires.
    fn lose_scan(&mut self, at: &ManifestAt, lost: Scan, now: Timestamp) {
        self.scan_again(at, now);
        self.scanner.lose(at, lost);
    }

    /// In most cases the scanner scans again hours later.
    fn scan_again(&mut self, at: &ManifestAt, now: Timestamp) {
        let again = self.faults.span(Span::hours(1), Span::hours(20));
        if self.faults.percent(60) {
            self.schedule(again.after(now), Scheduled::Scan(at.clone()));
        }
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
