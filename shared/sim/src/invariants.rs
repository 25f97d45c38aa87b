//! What must be true whatever goes wrong, and who looks.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::finding::{Finding, Fix, PackageKind, Scan};
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::notice::{NoticeState, RootCause};
use patchwave::plan::{Awaited, Hold, Start};
use patchwave::policy::{Limits, Mode, Rebuild};
use patchwave::time::Timestamp;
use patchwave_converge::{LEASE, Report};

use crate::build::Order;
use crate::incident::can_be_rebuilt;
use crate::pipelines::{Execution, Fate};
use crate::registry::packages;
use crate::state::State;

/// Sees whether all is as promised, and remembers what happened for the story.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness {
    pub(crate) violations: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) is_telling: bool,
    pub(crate) builds: u64,
    pub(crate) duplicates: u64,
    pub(crate) lost: u64,
    /// When a pass last found an image that waits for a scan which nobody can ask for.
    pub(crate) waited_in_vain: Option<Timestamp>,
    succeeded: BTreeMap<String, u32>,
    days: BTreeMap<String, u32>,
    last: BTreeMap<ImageId, String>,
}

/// A start that is about to be made.
pub(crate) struct Beginning<'b> {
    pub(crate) start: &'b Start,
    /// The versions that the invocation saw.
    pub(crate) seen: BTreeMap<ImageId, Digest>,
    pub(crate) ceiling: Mode,
    /// The highest limits that any edition of the hierarchy has: a claim is made under the limits of its day, and its start
    /// may come after others that a later edition allowed.
    pub(crate) limits: Limits,
    /// The time by the invocation's clock, which says what day it is.
    pub(crate) day: Timestamp,
    pub(crate) now: Timestamp,
}

impl Witness {
    pub(crate) fn tell(&mut self, now: Timestamp, line: impl FnOnce() -> String) {
        if self.is_telling {
            self.story.push(format!("{}  {}", now.strftime("%d %H:%M:%S"), line()));
        }
    }

    pub(crate) fn accuse(&mut self, now: Timestamp, violation: String) {
        self.tell(now, || format!("VIOLATION: {violation}"));
        self.violations.push(violation);
    }

    /// At most one success a key.
    pub(crate) fn ended(&mut self, execution: &Execution, now: Timestamp) {
        let Execution { start, state, fate, .. } = execution;
        self.tell(now, || format!("build of {} ended: {state:?} ({fate:?})", start.image));
        if !matches!(fate, Fate::Succeeds | Fate::FixesNothing) {
            return;
        }
        self.builds += 1;
        let successes = self.succeeded.entry(start.key.to_string()).or_default();
        *successes += 1;
        if *successes > 1 {
            self.duplicates += 1;
            self.accuse(now, format!("{} was built twice with the key {}", start.image, start.key));
        }
    }

    /// Every image of a sweep has exactly one start or hold.
    pub(crate) fn swept(&mut self, hierarchy: &Hierarchy, report: &Report, now: Timestamp) {
        for image in hierarchy.images() {
            let starts = report.started.iter().filter(|started| started.image == image.id).count();
            let holds = report.held.iter().filter(|held| held.image == image.id).count();
            if starts + holds != 1 {
                let violation = format!("{} has {starts} starts and {holds} holds in one sweep", image.id);
                self.accuse(now, violation);
            }
        }
    }

    /// Notes what changed in a report.
    pub(crate) fn passed(&mut self, report: &Report, now: Timestamp) {
        if waits_in_vain(report) {
            self.waited_in_vain = Some(now);
        }
        if !self.is_telling {
            return;
        }
        for started in &report.started {
            let codes: Vec<&str> = started.reasons.iter().map(patchwave::plan::Reason::code).collect();
            self.last.remove(&started.image);
            self.tell(now, || format!("started {}: {}", started.image, codes.join(", ")));
        }
        for held in &report.held {
            let text = hold_text(&held.hold);
            if self.last.insert(held.image.clone(), text.clone()).as_ref() != Some(&text) {
                self.tell(now, || format!("held {}: {text}", held.image));
            }
        }
        for error in &report.errors {
            self.tell(now, || format!("error: {}", error.message));
        }
    }
}

fn waits_in_vain(report: &Report) -> bool {
    report.held.iter().any(|held| match &held.hold {
        Hold::WaitingOn { on, awaits: Awaited::Scan } => {
            report.scans_requested.iter().all(|scan| scan.image != *on)
        }
        _ => false,
    })
}

fn hold_text(hold: &Hold) -> String {
    match hold {
        Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } => format!("WaitingOn {on}, {}", hold_text(hold)),
        Hold::WaitingOn { on, awaits } => format!("WaitingOn {on}, {awaits:?}"),
        Hold::Quarantined { findings } | Hold::CannotHelp { findings, .. } => {
            let findings: Vec<&str> = findings.iter().map(|key| &*key.vulnerability).collect();
            format!("{} {}", hold.name(), findings.join(" "))
        }
        Hold::Unknown { because } | Hold::Unresolved { because } => format!("{}: {because}", hold.name()),
        _ => hold.name().to_owned(),
    }
}

impl State {
    /// Looks at a start that is about to be made.
    pub(crate) fn witness_start(&mut self, hierarchy: &Hierarchy, beginning: &Beginning<'_>) {
        let Ok(image) = hierarchy.image(&beginning.start.image) else { return };
        let mut violations = self.forbidden(image, beginning);
        violations.extend(self.over_limit(hierarchy, beginning));
        violations.extend(self.stale_parents(hierarchy, beginning));
        let already = self.pipelines.running().find(|execution| execution.start.image == image.id);
        if let Some(already) = already {
            violations.push(format!("{} runs already, since {}", image.id, already.started_at));
            self.witness.duplicates += 1;
        }
        for violation in violations {
            self.witness.accuse(beginning.now, violation);
        }
    }

    /// No start in observe mode, nor where policy leaves it to people.
    fn forbidden(&self, image: &Image, beginning: &Beginning<'_>) -> Vec<String> {
        let mut violations = Vec::new();
        if image.policy.mode.min(beginning.ceiling) == Mode::Observe {
            violations.push(format!("{} is started and only observed", image.id));
        }
        let approved = self.ledger.record(&image.id).and_then(|record| record.approval.as_ref());
        let record = self.ledger.record(&image.id);
        let claimed_at = record.and_then(|record| record.claim.as_ref()).map(|claim| claim.claimed_at);
        let frozen = record.and_then(|record| record.frozen.as_ref());
        if frozen.is_some_and(|frozen| claimed_at.is_some_and(|claimed_at| frozen.at < claimed_at)) {
            violations.push(format!("{} is started and frozen", image.id));
        }
        match image.policy.rebuild {
            Rebuild::Auto => {}
            Rebuild::Approval if approved.is_some_and(|a| a.replaces == beginning.start.replaces) => {}
            other => violations.push(format!("{} is started and left to people: {other:?}", image.id)),
        }
        violations
    }

    /// No start above the limits.
    fn over_limit(&mut self, hierarchy: &Hierarchy, beginning: &Beginning<'_>) -> Vec<String> {
        let limits = beginning.limits;
        let holds_slot = |execution: &&Execution| {
            let Ok(image) = hierarchy.image(&execution.start.image) else { return false };
            // The slot is taken with the claim, which may come before the start as long as its lease lasts, and ends with
            // the next push, whoever makes it.
            let claimed_at = LEASE.before(execution.started_at);
            let pushed = self.registry.current(&image.repository, &image.line);
            image.policy.max_build_time.after(claimed_at) > beginning.now
                && pushed.is_none_or(|pushed| pushed.version.pushed_at <= claimed_at)
        };
        let running = self.pipelines.running().filter(holds_slot).count();
        let mut violations = Vec::new();
        if running >= limits.max_concurrent_builds as usize {
            violations.push(format!("{} starts beside {running} others", beginning.start.image));
        }
        let day: String = beginning.day.to_string().chars().take(10).collect();
        let today = self.witness.days.entry(day).or_default();
        *today += 1;
        if *today > limits.max_starts_per_day {
            violations.push(format!("{} is start {today} of its day", beginning.start.image));
        }
        violations
    }

    /// No build on a parent that was known not to be the current one.
    fn stale_parents(&self, hierarchy: &Hierarchy, beginning: &Beginning<'_>) -> Vec<String> {
        let stale = |(parent, told): (&ImageId, &Digest)| {
            let image = hierarchy.image(parent).ok()?;
            let current = &self.registry.current(&image.repository, &image.line)?.version.digest;
            // What changed after the invocation looked is not its fault.
            (told != current && beginning.seen.get(parent) != Some(told))
                .then(|| format!("{} is built on an old {parent}", beginning.start.image))
        };
        beginning.start.parents.iter().filter_map(stale).collect()
    }

    /// Looks at the world when all is quiet, with the last sweep's report.
    pub(crate) fn witness_end(
        &mut self,
        hierarchy: &Hierarchy,
        facts: &Facts,
        report: &Report,
        now: Timestamp,
    ) {
        let mut violations = self.disagreements(hierarchy);
        let holds: BTreeMap<&ImageId, &Hold> =
            report.held.iter().map(|held| (&held.image, &held.hold)).collect();
        let started = report.started.iter().map(|started| &started.image).collect();
        let case = AtEnd { hierarchy, facts, holds, started };
        let forgotten: Vec<String> = hierarchy.images().flat_map(|image| case.forgotten(image)).collect();
        self.witness.lost += forgotten.len() as u64;
        violations.extend(forgotten);
        for violation in violations {
            self.witness.accuse(now, violation);
        }
    }

    /// How many findings the scanner lists on an image that policy would rebuild for, and that a build now would not have.
    pub(crate) fn curable(&self, hierarchy: &Hierarchy, image: &Image, now: Timestamp) -> u64 {
        let current = self.registry.current(&image.repository, &image.line);
        let Some(current) = current.filter(|_| can_be_rebuilt(image)) else { return 0 };
        let mut version = current.version.clone();
        for manifest in version.platforms.values_mut() {
            manifest.scan = self.scanner.scan(&(image.repository.clone(), manifest.digest.clone()));
        }
        let parents = self.current_parents(hierarchy, image);
        let order = Order { parents, revision: None, cached: false, stuck: false, number: 0, now };
        let rebuilt = self.build(hierarchy, image, &order);
        let would_have = |finding: &Finding| {
            let vulnerability = self.scanner.known.iter().find(|known| known.key() == finding.key);
            let mut installed = rebuilt.layers.values().flat_map(packages);
            vulnerability.is_none_or(|known| installed.any(|(_, (package, _))| known.is_in(package)))
        };
        counted(image, &version).iter().filter(|finding| !would_have(finding)).count() as u64
    }

    /// The ledger agrees with the world.
    fn disagreements(&self, hierarchy: &Hierarchy) -> Vec<String> {
        let running: BTreeSet<&ImageId> =
            self.pipelines.running().map(|execution| &execution.start.image).collect();
        let slots = self.ledger.held_by();
        let mut violations = Vec::new();
        for image in hierarchy.images() {
            let claimed = self.ledger.record(&image.id).is_some_and(|record| record.claim.is_some());
            if claimed != running.contains(&image.id) {
                violations.push(format!("{}: claim {claimed}, execution {}", image.id, !claimed));
            }
            if slots.contains(&image.id) && !running.contains(&image.id) {
                violations.push(format!("{} holds a slot, and nothing runs", image.id));
            }
            violations.extend(self.untold(image));
        }
        violations
    }

    /// Every story that was opened is still true, or was closed.
    fn untold(&self, image: &Image) -> Vec<String> {
        let told = self.ledger.record(&image.id).map(|record| record.notified.clone()).unwrap_or_default();
        let mut violations = Vec::new();
        for cause in [RootCause::Vulnerable, RootCause::Failing] {
            let words = self.told.iter().filter(|n| n.image == image.id && n.root_cause == cause);
            let last = words.max_by_key(|notice| notice.revision);
            let is_open = last.is_some_and(|notice| notice.state != NoticeState::Closed);
            match told.get(&cause) {
                Some(told) if !told.sent => violations.push(format!("{}: {cause:?} is not told", image.id)),
                told if told.is_some_and(|told| !told.closed) != is_open => {
                    violations.push(format!("{}: {cause:?} was told otherwise than is recorded", image.id));
                }
                _ => {}
            }
        }
        violations
    }
}

/// The world when all is quiet.
struct AtEnd<'e> {
    hierarchy: &'e Hierarchy,
    facts: &'e Facts,
    holds: BTreeMap<&'e ImageId, &'e Hold>,
    started: BTreeSet<&'e ImageId>,
}

impl<'e> AtEnd<'e> {
    /// Findings of an image that a rebuild could fix and that nothing explains; and scans that say nothing.
    fn forgotten(&self, image: &'e Image) -> Vec<String> {
        let Some(facts) = self.facts.images.get(&image.id) else { return Vec::new() };
        let Some(version) = facts.current_version() else { return Vec::new() };
        let mut forgotten = Vec::new();
        let hold = self.holds.get(&image.id).map_or_else(|| "no hold".to_owned(), |hold| hold_text(hold));
        for finding in counted(image, version) {
            if !self.explains(image, facts, &finding) {
                forgotten.push(format!("{} is forgotten with {}: {hold}", image.id, finding.key));
            }
        }
        if facts.record.request.is_some() && hold == Hold::Fresh.name() {
            forgotten.push(format!("{} was asked for and is forgotten", image.id));
        }
        let unknown = version.platforms.values().any(|manifest| manifest.scan.completed_at().is_none());
        if unknown && self.holds.get(&image.id) == Some(&&Hold::Fresh) {
            forgotten.push(format!("{} is called fresh, and not scanned", image.id));
        }
        forgotten
    }

    fn explains(&self, image: &Image, facts: &ImageFacts, finding: &Finding) -> bool {
        match self.holds.get(&image.id) {
            None => self.started.contains(&image.id),
            Some(Hold::Fresh) => false,
            Some(Hold::WaitingOn { on, awaits: Awaited::Hold(hold) }) => {
                // What it waits for must have that hold, and must not wait for nothing.
                **hold != Hold::Fresh && self.holds.get(on).is_some_and(|theirs| *theirs != &Hold::Fresh)
            }
            Some(Hold::WaitingOn { on, awaits: Awaited::Start }) => self.started.contains(on),
            Some(Hold::CannotHelp { findings, .. } | Hold::Quarantined { findings }) => {
                findings.contains(&finding.key)
                    || facts.record.ineffective.get(&finding.key).is_some_and(|tried| tried.builds >= 1)
                    || self.carried_above(image, finding)
            }
            Some(_) => true,
        }
    }

    /// Whether an ancestor carries the finding or, for lack of a scan since it appeared, may: then it is that one's.
    fn carried_above(&self, image: &Image, finding: &Finding) -> bool {
        self.hierarchy.parents(&image.id).any(|edge| {
            let version = self.facts.images.get(&edge.image.id).and_then(ImageFacts::current_version);
            version.is_some_and(|version| version.platforms.values().any(|m| may_carry(&m.scan, finding)))
                || self.carried_above(edge.image, finding)
        })
    }
}

fn may_carry(scan: &Scan, finding: &Finding) -> bool {
    let is_old = |at: Timestamp| finding.first_observed.is_none_or(|appeared| at < appeared);
    scan.lists(&finding.key) != Some(false) || scan.completed_at().is_none_or(is_old)
}

/// The findings of a version that count and that a rebuild can fix.
fn counted(image: &Image, version: &Version) -> Vec<Finding> {
    let findings = version.platforms.values().flat_map(|manifest| manifest.scan.findings());
    let counts = |finding: &&Finding| {
        finding.severity >= image.policy.rebuild_at
            && finding.kind == PackageKind::Os
            && matches!(finding.fix, Fix::Version(_))
            && image.policy.suppress.iter().all(|s| *s.vulnerability != *finding.key.vulnerability)
    };
    let mut counted: Vec<Finding> = findings.filter(counts).cloned().collect();
    counted.sort_by(|a, b| a.key.cmp(&b.key));
    counted.dedup_by(|a, b| a.key == b.key);
    counted
}
