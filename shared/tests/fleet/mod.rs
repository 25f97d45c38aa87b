//! A fleet: hierarchy, facts and time in memory, with which a test plans, applies plans and ends
//! builds.
//!
//! Builds stack layers, layers carry findings, and scans list them. Events and faults are the
//! simulator's.

mod file;
mod scanning;

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{
    Current, Declaration, Execution, ExecutionMode, ExecutionState, Facts, ImageFacts, Manifest,
    PipelineFacts, Version,
};
use patchwave::finding::{Coverage, Finding, FindingKey};
use patchwave::hierarchy::{Hierarchy, Parent, Variable};
use patchwave::image::{Digest, ImageId, Platform};
use patchwave::intervention::Intervention;
use patchwave::plan::{Hold, Limit, Plan, Reason, Start, plan};
use patchwave::policy::Mode;
use patchwave::record::{Claim, Decided, Record};
use patchwave::time::{Span, Timestamp};

pub(crate) use file::{family, pinned};
pub(crate) use scanning::{finding, finding_in, high};

pub(crate) const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

pub(crate) struct Fleet {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) facts: Facts,
    pub(crate) now: Timestamp,
    /// Which findings each layer carries.
    pub(crate) layers: BTreeMap<Digest, Vec<Finding>>,
    /// Findings that stay when the image that introduced them is rebuilt.
    pub(crate) unfixable: BTreeSet<FindingKey>,
    pub(crate) coverage: Coverage,
    /// All builds that were started, in order.
    pub(crate) builds: Vec<Start>,
    digests: u64,
}

pub(crate) fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}

/// So many seconds after the test begins.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn digest(n: u64) -> Digest {
    format!("sha256:{n:064x}").parse().unwrap()
}

impl Fleet {
    /// Builds every image once, on its parents, an hour before the test begins. All scans are
    /// clean.
    pub(crate) fn new(yaml: &str) -> Self {
        let hierarchy = Hierarchy::parse("fleet.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"));
        let mut fleet = Self {
            hierarchy,
            facts: Facts::default(),
            now: at(-3_600),
            layers: BTreeMap::new(),
            unfixable: BTreeSet::new(),
            coverage: Coverage::OsAndLanguages,
            builds: Vec::new(),
            digests: 0,
        };
        let ids: Vec<ImageId> = fleet.hierarchy.images().map(|image| image.id.clone()).collect();
        for id in &ids {
            let record = Record { enforced_since: Some(at(-86_400)), ..Record::default() };
            let facts = ImageFacts::new(Current::Absent, BTreeMap::new(), None, record);
            fleet.facts.images.insert(id.clone(), facts);
            fleet.now = Span::seconds(1).after(fleet.now);
            fleet.push(id);
        }
        fleet.now = at(0);
        fleet.scan_all();
        fleet
    }

    pub(crate) fn of(lines: &str) -> Self {
        Self::new(&family(lines))
    }

    /// A fleet with these keys in its policy.
    pub(crate) fn with_policy(lines: &str, keys: &str) -> Self {
        Self::new(
            &family(lines).replace("mode: enforce }\nimages", &format!("mode: enforce, {keys} }}\nimages")),
        )
    }

    /// A fleet in which `image` has the critical finding CVE-1, which a rebuild fixes, and all
    /// scans list it.
    pub(crate) fn with_finding(lines: &str, image: &str) -> Self {
        let mut fleet = Self::of(lines);
        fleet.add_finding(image, &finding("CVE-1"));
        fleet.scan_all();
        fleet
    }

    /// The same, but no rebuild fixes the finding.
    pub(crate) fn with_unfixable_finding(lines: &str, image: &str) -> Self {
        let mut fleet = Self::with_finding(lines, image);
        fleet.unfixable.insert(finding("CVE-1").key);
        fleet
    }

    fn new_digest(&mut self) -> Digest {
        self.digests += 1;
        digest(self.digests)
    }

    pub(crate) fn image(&mut self, name: &str) -> &mut ImageFacts {
        self.facts.images.get_mut(&id(name)).unwrap()
    }

    pub(crate) fn record(&self, name: &str) -> &Record {
        &self.facts.images[&id(name)].record
    }

    pub(crate) fn current(&self, name: &str) -> &Version {
        self.facts.images[&id(name)].current_version().unwrap()
    }

    pub(crate) fn current_mut(&mut self, name: &str) -> &mut Version {
        let digest = self.current(name).digest.clone();
        self.image(name).versions.get_mut(&digest).unwrap()
    }

    pub(crate) fn wait(&mut self, span: &str) {
        self.now = span.parse::<Span>().unwrap().after(self.now);
    }

    /// Pushes a new version on the current versions of the parents, as a build or a person does.
    pub(crate) fn push(&mut self, image: &ImageId) {
        let from = match &self.hierarchy.image(image).unwrap().from {
            Parent::Image(parent) => self.facts.images[parent].current_version().cloned(),
            Parent::Upstream(_) | Parent::Scratch | Parent::Unknown => None,
        };
        let kept = self.unfixable_findings(image);
        let mut platforms = BTreeMap::new();
        for platform in PLATFORMS {
            let platform: Platform = platform.parse().unwrap();
            let below =
                from.as_ref().map(|from| from.platforms[&platform].layers.clone()).unwrap_or_default();
            let layer = self.new_digest();
            self.layers.insert(layer.clone(), kept.clone());
            let layers = below.iter().cloned().chain([layer]).collect();
            platforms.insert(platform, Manifest::new(self.new_digest(), layers));
        }
        let version = Version {
            digest: self.new_digest(),
            pushed_at: self.now,
            built_at: None,
            revision: None,
            build_key: None,
            tags: BTreeSet::new(),
            base: from.map(|from| from.digest),
            platforms,
        };
        let facts = self.facts.images.get_mut(image).unwrap();
        facts.current = Current::Version(version.digest.clone());
        facts.versions.insert(version.digest.clone(), version);
    }

    /// Sets the commit that the current version names as its source.
    pub(crate) fn set_revision(&mut self, name: &str, revision: Option<&str>) {
        self.current_mut(name).revision = revision.map(str::to_owned);
    }

    /// Sets what CodePipeline says of the pipeline that builds `name`: all variables, and this
    /// mode.
    pub(crate) fn declare(&mut self, name: &str, mode: ExecutionMode) -> &mut Declaration {
        let variables = Variable::ALL.map(|variable| (variable.name().to_owned(), true)).into();
        let declared = Declaration { mode, variables, sources: BTreeSet::new(), revisions: BTreeSet::new() };
        self.facts.pipelines.insert(id(name), PipelineFacts::Declared(declared));
        match self.facts.pipelines.get_mut(&id(name)) {
            Some(PipelineFacts::Declared(declared)) => declared,
            other => panic!("{other:?}"),
        }
    }

    /// Writes down a person's decision.
    pub(crate) fn decide(&mut self, name: &str, intervention: Intervention) {
        let decided = Decided { by: "jo".into(), at: self.now };
        let image = self.hierarchy.image(&id(name)).unwrap();
        let facts = self.facts.images.get_mut(&id(name)).unwrap();
        facts.record = intervention.write(image, facts, decided).unwrap();
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.hierarchy, &self.facts, Mode::Enforce, self.now)
    }

    /// Does what the plan says, and returns what it started.
    pub(crate) fn apply(&mut self, plan: &Plan) -> Vec<String> {
        for (id, record) in &plan.records {
            self.facts.images.get_mut(id).unwrap().record = record.clone();
        }
        for id in plan.freed.iter().chain(&plan.returned) {
            self.facts.slots.held_by.remove(id);
        }
        self.facts.slots.started_today -= u32::try_from(plan.returned.len()).unwrap();
        for start in &plan.starts {
            let facts = self.facts.images.get_mut(&start.image).unwrap();
            assert!(facts.record.claim.is_none(), "{} has two claims", start.image);
            let execution = format!("execution-{}", self.builds.len());
            facts.record.claim = Some(Claim {
                owner: "fleet".into(),
                claimed_at: self.now,
                lease_until: Span::minutes(16).after(self.now),
                start: start.clone(),
                execution: Some(execution.clone()),
                previous: facts.record.last_execution.clone(),
            });
            facts.record.last_attempt = start.attempt;
            facts.record.waiting_since = None;
            facts.record.ready = None;
            facts.record.recheck_at = Some(Span::minutes(16).after(self.now));
            facts.execution = Some(Execution::found(execution, ExecutionState::InProgress));
            self.facts.slots.held_by.insert(start.image.clone());
            self.facts.slots.started_today += 1;
            self.builds.push(start.clone());
        }
        plan.starts.iter().map(|start| start.image.to_string()).collect()
    }

    /// Plans and applies once; returns what was started.
    pub(crate) fn pass(&mut self) -> Vec<String> {
        let plan = self.plan();
        self.apply(&plan)
    }

    /// Ends a build with success: it pushes on the parents that its start named, and its scans
    /// complete.
    pub(crate) fn finish(&mut self, name: &str) {
        let start = self.image(name).record.claim.clone().expect("a claim").start;
        for (parent, named) in &start.parents {
            let current = &self.facts.images[parent].current_version().unwrap().digest;
            assert_eq!(named, current, "{name} was built on a stale {parent}");
        }
        self.push(&id(name));
        self.scan(name);
        self.end(name, ExecutionState::Succeeded);
    }

    pub(crate) fn end(&mut self, name: &str, state: ExecutionState) {
        let facts = self.image(name);
        let id = facts.record.claim.as_ref().and_then(|claim| claim.execution.clone()).unwrap();
        facts.execution = Some(Execution::found(id, state));
    }

    pub(crate) fn claimed(&self) -> Vec<String> {
        let claimed = self.facts.images.iter().filter(|(_, facts)| facts.record.claim.is_some());
        claimed.map(|(id, _)| id.to_string()).collect()
    }

    /// Passes until nothing starts and nothing runs, with a minute for each build. Returns the
    /// builds in the order of their starts.
    pub(crate) fn run_until_idle(&mut self) -> Vec<String> {
        let mut started = Vec::new();
        for _ in 0..200 {
            started.extend(self.pass());
            let claimed = self.claimed();
            let Some(first) = claimed.first() else {
                assert!(self.plan().starts.is_empty(), "planning again starts something");
                return started;
            };
            self.wait("1m");
            self.finish(first);
        }
        panic!("never idle: {started:?}");
    }

    pub(crate) fn hold(&self, name: &str) -> Hold {
        let plan = self.plan();
        plan.holds.get(&id(name)).cloned().unwrap_or_else(|| panic!("{name} starts: {:?}", plan.starts))
    }

    /// The limit that holds `name`.
    pub(crate) fn limit(&self, name: &str) -> Limit {
        match self.hold(name) {
            Hold::AtLimit { limit, .. } => limit,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn only_start(&self) -> Start {
        let mut starts = self.plan().starts;
        assert_eq!(starts.len(), 1, "{starts:?}");
        starts.remove(0)
    }

    /// The reasons for which `name` would start now.
    pub(crate) fn start_codes(&self, name: &str) -> Vec<&'static str> {
        let starts = self.plan().starts;
        let start = starts.iter().find(|start| start.image == id(name));
        start.map(|start| start.reasons.iter().map(Reason::code).collect()).unwrap_or_default()
    }
}
