//! A village: the smallest world that a planner can be played in. Builds stack layers, layers carry findings, scans list
//! them. No events, no faults: those are the simulator's business.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file plays with its own part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use patchwave::facts::{
    Current, Declaration, Execution, ExecutionMode, ExecutionState, Facts, ImageFacts, Manifest,
    PipelineFacts, Version,
};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::{Hierarchy, Parent, Variable};
use patchwave::image::{Digest, ImageId, Platform};
use patchwave::intervention::Intervention;
use patchwave::plan::{Hold, Plan, Start, plan};
use patchwave::policy::Mode;
use patchwave::record::Decided;
use patchwave::record::{Attempt, Claim};
use patchwave::time::{Span, Timestamp};

pub(crate) const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

pub(crate) struct Village {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) facts: Facts,
    pub(crate) now: Timestamp,
    /// Which findings each layer carries.
    pub(crate) layers: BTreeMap<Digest, Vec<Finding>>,
    /// Findings that a rebuild of the image that owns them does not remove.
    pub(crate) stubborn: BTreeSet<FindingKey>,
    /// How the scanner scans.
    pub(crate) coverage: Coverage,
    /// All builds that ran, in order.
    pub(crate) builds: Vec<Start>,
    serial: u64,
}

pub(crate) fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn digest(n: u64) -> Digest {
    format!("sha256:{n:064x}").parse().unwrap()
}

pub(crate) fn finding(vulnerability: &str) -> Finding {
    Finding {
        key: FindingKey { vulnerability: vulnerability.into(), package: "openssl".into() },
        severity: Severity::Critical,
        installed: Some("3.0.1".into()),
        kind: PackageKind::Os,
        fix: Fix::Version("3.0.2".into()),
        layer: None,
        first_observed: None,
        exploited: false,
    }
}

/// A hierarchy of images `name: from [+ copyFrom…]`, one a line, all enforced; a name's first letter is its tier.
pub(crate) fn family(lines: &str) -> String {
    let mut yaml = String::from(
        "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: { mode: enforce }\nimages:\n",
    );
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(':').unwrap();
        let (parents, extra) = rest.split_once('|').unwrap_or((rest, ""));
        let mut parents = parents.split('+').map(str::trim);
        let from = parents.next().unwrap();
        let copy_from: Vec<&str> = parents.collect();
        let tier = match name.chars().next() {
            Some('b') => "base",
            Some('p') => "platform",
            _ => "application",
        };
        let pipeline =
            if extra.contains("pipeline:") { String::new() } else { format!(", pipeline: {name}") };
        let extra = if extra.trim().is_empty() { String::new() } else { format!(", {}", extra.trim()) };
        let extra = extra.replace(", pipeline: none", "");
        writeln!(
            yaml,
            "  - {{ id: {name}, tier: {tier}, repository: r/{name}, tags: ['1'], from: {from}, copyFrom: [{}]{pipeline}{extra} }}",
            copy_from.join(", ")
        )
        .unwrap();
    }
    yaml
}

/// A pipeline of this name whose source is pinned to the line's commit, to follow an image's parents.
pub(crate) fn pinned(name: &str) -> String {
    format!("| pipeline: {{ name: {name}, sources: [{{ action: Source, type: COMMIT_ID }}] }}")
}

impl Village {
    /// Builds every image once, on its parents, an hour before the story starts; all scans are clean.
    pub(crate) fn new(yaml: &str) -> Self {
        let hierarchy = Hierarchy::parse("village.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"));
        let mut village = Self {
            hierarchy,
            facts: Facts::default(),
            now: at(-3_600),
            layers: BTreeMap::new(),
            stubborn: BTreeSet::new(),
            coverage: Coverage::OsAndLanguages,
            builds: Vec::new(),
            serial: 0,
        };
        let ids: Vec<ImageId> = village.hierarchy.images().map(|image| image.id.clone()).collect();
        for id in &ids {
            let facts = ImageFacts {
                current: Current::Absent,
                versions: BTreeMap::new(),
                execution: None,
                record: patchwave::record::Record { enforced_since: Some(at(-86_400)), ..Default::default() },
            };
            village.facts.images.insert(id.clone(), facts);
            village.now = Span::seconds(1).after(village.now);
            village.push(id);
        }
        village.now = at(0);
        village.scan_all();
        village
    }

    pub(crate) fn of(lines: &str) -> Self {
        Self::new(&family(lines))
    }

    fn serial(&mut self) -> Digest {
        self.serial += 1;
        digest(self.serial)
    }

    pub(crate) fn image(&mut self, name: &str) -> &mut ImageFacts {
        self.facts.images.get_mut(&id(name)).unwrap()
    }

    pub(crate) fn current(&self, name: &str) -> &Version {
        self.facts.images[&id(name)].current_version().unwrap()
    }

    pub(crate) fn own_layer(&self, name: &str) -> Digest {
        self.current(name).platforms.values().next().unwrap().layers.last().unwrap().clone()
    }

    /// Pushes a new version on the parents' current ones: what a build does, or a person.
    pub(crate) fn push(&mut self, image: &ImageId) {
        let from = match &self.hierarchy.image(image).unwrap().from {
            Parent::Image(parent) => self.facts.images[parent].current_version().cloned(),
            Parent::Upstream(_) | Parent::Scratch => None,
        };
        let kept: Vec<Finding> = self.facts.images[image]
            .current_version()
            .and_then(|version| version.platforms.values().next()?.layers.last())
            .and_then(|layer| self.layers.get(layer))
            .map(|findings| findings.iter().filter(|f| self.stubborn.contains(&f.key)).cloned().collect())
            .unwrap_or_default();
        let mut platforms = BTreeMap::new();
        for platform in PLATFORMS {
            let platform: Platform = platform.parse().unwrap();
            let below =
                from.as_ref().map(|from| from.platforms[&platform].layers.clone()).unwrap_or_default();
            let layer = self.serial();
            self.layers.insert(layer.clone(), kept.clone());
            let layers = below.iter().cloned().chain([layer]).collect();
            platforms.insert(platform, Manifest { digest: self.serial(), layers, scan: Scan::Missing });
        }
        let version = Version {
            digest: self.serial(),
            pushed_at: self.now,
            built_at: None,
            revision: None,
            base: from.map(|from| from.digest),
            platforms,
        };
        let facts = self.facts.images.get_mut(image).unwrap();
        facts.current = Current::Version(version.digest.clone());
        facts.versions.insert(version.digest.clone(), version);
    }

    /// From now on the current version says that it was built from this commit.
    pub(crate) fn set_revision(&mut self, name: &str, revision: Option<&str>) {
        let digest = self.current(name).digest.clone();
        self.image(name).versions.get_mut(&digest).unwrap().revision = revision.map(str::to_owned);
    }

    /// From now on the layer that `name` itself adds carries `finding`, on every platform.
    pub(crate) fn infect(&mut self, name: &str, finding: &Finding) {
        let layers: Vec<Digest> =
            self.current(name).platforms.values().map(|m| m.layers.last().unwrap().clone()).collect();
        for layer in layers {
            self.layers.entry(layer).or_default().push(finding.clone());
        }
    }

    pub(crate) fn scan(&mut self, name: &str) {
        let (layers, coverage, now) = (self.layers.clone(), self.coverage, self.now);
        for version in self.image(name).versions.values_mut() {
            for manifest in version.platforms.values_mut() {
                let findings =
                    manifest.layers.iter().flat_map(|layer| layers.get(layer).into_iter().flatten());
                manifest.scan =
                    Scan::Complete { completed_at: now, coverage, findings: findings.cloned().collect() };
            }
        }
    }

    pub(crate) fn scan_all(&mut self) {
        let names: Vec<String> = self.facts.images.keys().map(ToString::to_string).collect();
        for name in names {
            self.scan(&name);
        }
    }

    pub(crate) fn wait(&mut self, span: &str) {
        self.now = span.parse::<Span>().unwrap().after(self.now);
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.hierarchy, &self.facts, Mode::Enforce, self.now)
    }

    /// Does what the plan says, and returns what it started.
    pub(crate) fn apply(&mut self, plan: &Plan) -> Vec<String> {
        for (id, record) in &plan.records {
            self.facts.images.get_mut(id).unwrap().record = record.clone();
        }
        for id in &plan.freed {
            self.facts.slots.held_by.remove(id);
        }
        for start in &plan.starts {
            let facts = self.facts.images.get_mut(&start.image).unwrap();
            assert!(facts.record.claim.is_none(), "{} has two claims", start.image);
            let execution = format!("execution-{}", self.builds.len());
            facts.record.claim = Some(Claim {
                owner: "village".into(),
                claimed_at: self.now,
                lease_until: Span::minutes(16).after(self.now),
                start: start.clone(),
                execution: Some(execution.clone()),
            });
            facts.record.last_attempt = Some(Attempt { key: start.key.clone(), number: start.attempt });
            facts.record.waiting_since = None;
            facts.execution = Some(Execution::Found { id: execution, state: ExecutionState::InProgress });
            self.facts.slots.held_by.insert(start.image.clone());
            self.facts.slots.started_today += 1;
            self.builds.push(start.clone());
        }
        plan.starts.iter().map(|start| start.image.to_string()).collect()
    }

    /// What CodePipeline says of the pipeline that builds `name`: all five variables, and this mode.
    pub(crate) fn declare(&mut self, name: &str, mode: ExecutionMode) -> &mut Declaration {
        let variables = Variable::ALL.map(|variable| (variable.name().to_owned(), true)).into();
        let declared = Declaration { mode, variables, sources: BTreeSet::new() };
        self.facts.pipelines.insert(id(name), PipelineFacts::Declared(declared));
        match self.facts.pipelines.get_mut(&id(name)) {
            Some(PipelineFacts::Declared(declared)) => declared,
            other => panic!("{other:?}"),
        }
    }

    /// A person decides.
    pub(crate) fn decide(&mut self, name: &str, intervention: Intervention) {
        let decided = Decided { by: "jo".into(), at: self.now };
        let facts = self.image(name);
        facts.record = intervention.write(&facts.record, &facts.current, decided).unwrap();
    }

    /// Plans and applies once.
    pub(crate) fn pass(&mut self) -> Vec<String> {
        let plan = self.plan();
        self.apply(&plan)
    }

    /// Ends a build well: it pushes on the parents that it was told, and its scans complete.
    pub(crate) fn finish(&mut self, name: &str) {
        let start = self.image(name).record.claim.clone().expect("a claim").start;
        for (parent, told) in &start.parents {
            assert_eq!(
                *told,
                self.facts.images[parent].current_version().unwrap().digest,
                "{name} was built on a stale {parent}"
            );
        }
        self.push(&id(name));
        self.scan(name);
        self.end(name, ExecutionState::Succeeded);
    }

    pub(crate) fn end(&mut self, name: &str, state: ExecutionState) {
        let facts = self.image(name);
        let id = facts.record.claim.as_ref().and_then(|claim| claim.execution.clone()).unwrap();
        facts.execution = Some(Execution::Found { id, state });
    }

    /// Plays until nothing starts and nothing runs, a minute a build; returns the builds in the order of their starts.
    pub(crate) fn play(&mut self) -> Vec<String> {
        let mut story = Vec::new();
        for _ in 0..200 {
            story.extend(self.pass());
            let running: Vec<String> = self
                .facts
                .images
                .iter()
                .filter(|(_, facts)| facts.record.claim.is_some())
                .map(|(id, _)| id.to_string())
                .collect();
            let Some(first) = running.first() else {
                assert!(self.plan().starts.is_empty(), "planning again starts something");
                return story;
            };
            self.wait("1m");
            self.finish(first);
        }
        panic!("never settles: {story:?}");
    }

    pub(crate) fn hold(&self, name: &str) -> Hold {
        let plan = self.plan();
        plan.holds.get(&id(name)).cloned().unwrap_or_else(|| panic!("{name} starts: {:?}", plan.starts))
    }
}
