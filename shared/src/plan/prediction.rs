//! What the builds that a plan leads to will change, in numbers.
//!
//! It is as good as what is known: how long the last builds took, what the scans of today list,
//! and what ran at the last survey. A parent whose rebuild fixes nothing leaves its children alone,
//! which nobody knows before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attribution::{Attributions, origins};
use super::context::Context;
use super::decide::Decisions;
use super::origin::Origin;
use super::timetable::Timetable;
use super::to_come::{Which, to_come};
use super::vulnerability::is_expected;
use super::{Goal, Hold, build_time, decided, pipeline};
use crate::facts::Facts;
use crate::finding::{Finding, FindingKey};
use crate::hierarchy::{Hierarchy, Image};
use crate::image::{Digest, ImageId};
use crate::policy::Mode;
use crate::time::{Span, Timestamp};

/// What the builds that a plan leads to will change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// The images that are built for reasons of their own.
    pub first: BTreeSet<ImageId>,
    /// The images that follow a parent.
    pub children: BTreeSet<ImageId>,
    /// Findings that count and that these builds fix, counted on each image that has them. An image
    /// with the layer of the package has it, even if no scan has listed it there yet.
    pub cleared: usize,
    /// Findings that they try to fix, because the scanner names no fix.
    pub tried: usize,
    /// How many of the images on which findings are cleared run somewhere; nothing if it is not
    /// known what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<usize>,
    /// When the last build ends.
    pub ends: Timestamp,
    /// How many builds run at once at most.
    pub at_once: u32,
    /// How long all builds take together.
    pub build_time: Span,
    /// How many builds take as long as the average or `maxBuildTime`, because none was seen yet.
    pub without_time: usize,
    /// Images that keep findings which these builds fix above them, by the name of the hold that
    /// keeps them from following.
    pub stay: BTreeMap<String, BTreeSet<ImageId>>,
}

impl Prediction {
    /// Returns how many builds there are.
    pub fn builds(&self) -> usize {
        self.first.len() + self.children.len()
    }
}

/// Predicts what the builds will change that a plan of `facts` leads to.
pub fn predict(hierarchy: &Hierarchy, facts: &Facts, ceiling: Mode, now: Timestamp) -> Prediction {
    let (context, _) = Context::resolved(hierarchy, facts, ceiling, now);
    let (attributions, decisions) = decided(&context);
    let (timetable, images) = to_come(&context, &attributions, &decisions, Which::All);
    let limits = hierarchy.limits();
    let mut prediction = Prediction {
        first: BTreeSet::new(),
        children: BTreeSet::new(),
        cleared: 0,
        tried: 0,
        running: None,
        stay: BTreeMap::new(),
        ends: timetable.ends(limits).into_iter().max().unwrap_or(now),
        at_once: limits.max_concurrent_builds,
        build_time: together(&timetable),
        without_time: images.iter().filter(|image| build_time::last(&context, &image.id).is_none()).count(),
    };
    for (image, build) in images.iter().zip(&timetable.builds) {
        let of = if build.parents == 0 { &mut prediction.first } else { &mut prediction.children };
        of.insert(image.id.clone());
    }
    let built = images.iter().map(|image| &image.id).collect();
    count(
        &Wave { context: &context, attributions: &attributions, decisions: &decisions, built },
        &mut prediction,
    );
    prediction
}

fn together(timetable: &Timetable) -> Span {
    let seconds: u64 = timetable.builds.iter().map(|build| u64::from(build.takes.as_seconds())).sum();
    Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// The images that are built, and what was decided about all.
struct Wave<'c, 'a> {
    context: &'c Context<'a>,
    attributions: &'c Attributions<'a>,
    decisions: &'c Decisions<'a>,
    built: BTreeSet<&'a ImageId>,
}

/// Counts the findings that go and those that stay.
fn count(wave: &Wave<'_, '_>, prediction: &mut Prediction) {
    let mut running = BTreeSet::new();
    let in_layers = wave.in_layers();
    for image in wave.context.images() {
        let is_built = wave.built.contains(&image.id);
        let listed = origins(wave.context, image).into_iter();
        let listed = listed.filter_map(|(key, origin)| wave.fix(key, &origin));
        for fix in listed.chain(wave.expected(image, &in_layers)) {
            if !is_built {
                prediction.stay.entry(wave.why_not(image)).or_default().insert(image.id.clone());
                continue;
            }
            match fix {
                Expected::Fixed => {
                    prediction.cleared += 1;
                    running.insert(&image.id);
                }
                Expected::Tried => prediction.tried += 1,
            }
        }
    }
    let deployments = &wave.context.facts.deployments;
    let runs = |id: &&&ImageId| deployments.get(**id).is_some_and(|of| !of.environments.is_empty());
    prediction.running = (!deployments.is_empty()).then(|| running.iter().filter(runs).count());
}

/// What the wave does about a finding.
#[derive(Clone, Copy)]
enum Expected {
    Fixed,
    Tried,
}

/// A finding that the builds fix, and the layer that its package is in.
struct InLayer<'a> {
    finding: &'a Finding,
    layer: &'a Digest,
    since: Timestamp,
    fix: Expected,
}

impl<'a> Wave<'_, 'a> {
    /// Says what the wave does about a finding, where it comes from; nothing if it does nothing.
    fn fix(&self, key: &FindingKey, origin: &Origin<'_>) -> Option<Expected> {
        match origin {
            // The parent has the fix already.
            Origin::Stale(stale) => self.built.contains(&stale.id).then_some(Expected::Fixed),
            Origin::Introduced(owner) if self.built.contains(&owner.id) => {
                let attribution = self.attributions.of.get(&owner.id)?;
                let mut causes = attribution.causes.iter().filter(|cause| cause.finding == *key);
                let is_named = |goal: &Goal| matches!(goal, Goal::Version(_));
                let first = causes.next()?;
                let named = is_named(&first.goal) || causes.any(|cause| is_named(&cause.goal));
                Some(if named { Expected::Fixed } else { Expected::Tried })
            }
            Origin::Introduced(_) | Origin::Unscanned { .. } => None,
        }
    }

    /// Returns what the builds do about the findings of their images that name a layer.
    fn in_layers(&self) -> Vec<InLayer<'a>> {
        let mut all = Vec::new();
        for owner in &self.built {
            let Some(version) = self.context.current(owner) else { continue };
            let causes = self.attributions.of.get(owner).into_iter().flat_map(|of| &of.causes);
            for cause in causes {
                let Some(finding) = version.finding(&cause.finding) else { continue };
                let Some(layer) = &finding.layer else { continue };
                let fix =
                    if matches!(cause.goal, Goal::Version(_)) { Expected::Fixed } else { Expected::Tried };
                all.push(InLayer { finding, layer, since: cause.since, fix });
            }
        }
        all
    }

    /// Returns what the builds do about findings that no scan of the image lists yet.
    fn expected<'l>(
        &self,
        image: &'l Image,
        in_layers: &'l [InLayer<'a>],
    ) -> impl Iterator<Item = Expected> + use<'l, 'a> {
        let (version, now) = (self.context.current(&image.id), self.context.now);
        in_layers.iter().filter_map(move |of| {
            let version = version.filter(|version| is_expected(version, of.layer, of.since))?;
            let is_new = !version.lists(&of.finding.key) && image.policy.counts(of.finding, now);
            is_new.then_some(of.fix)
        })
    }

    /// Names the hold that keeps an image from following its parents.
    fn why_not(&self, image: &Image) -> String {
        let hold = self.decisions.get(&image.id).and_then(|decision| decision.hold.as_ref());
        let name = if image.pinned {
            Hold::Pinned { parents: BTreeMap::new() }.name()
        } else if pipeline::unfit(self.context, image).is_some() {
            Hold::NoPipeline { because: String::new() }.name()
        } else if let Some(hold) = self.context.left_to_people(image) {
            hold.name()
        } else if self.context.mode(image) == Mode::Observe {
            Hold::Observing.name()
        } else if pipeline::lacks_revision(self.context, image) {
            Hold::UnknownRevision.name()
        } else {
            hold.map_or(Hold::Fresh.name(), Hold::name)
        };
        name.to_owned()
    }
}
