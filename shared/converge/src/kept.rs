//! The pages that a sweep observed for its inventory, until they are planned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use patchwave::facts::{Deployments, Facts};
use patchwave::hierarchy::{Hierarchy, Line};
use patchwave::image::ImageId;
use patchwave::plan::happened;
use patchwave::predicted::Happened;
use patchwave::time::{Span, Timestamp};

use crate::agenda::Page;
use crate::observe_page::observe_page;
use crate::scans::Detail;
use crate::world::World;

/// A page that was observed longer ago is observed again: meanwhile people push and start builds.
const FRESH: Span = Span::minutes(5);

/// Pages that were observed, in the order in which the pass comes to them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pages: VecDeque<KeptPage>,
    /// The images about which something changed since then.
    changed: BTreeSet<ImageId>,
    /// What happened after predictions that are over now.
    happened: BTreeMap<ImageId, Happened>,
}

#[derive(Debug)]
struct KeptPage {
    named: BTreeSet<ImageId>,
    facts: Facts,
}

impl Kept {
    /// Observes these images page by page, as the pass comes to them, until it is `until`. If the
    /// ledger does not answer, the rest is left to the pass. `deployments` is what the ledger says
    /// of all images: the sweep has read it already.
    pub(crate) async fn observe<W: World>(
        world: &W,
        hierarchy: &Hierarchy,
        (images, deployments): (&[ImageId], &BTreeMap<ImageId, Deployments>),
        most: usize,
        until: Option<Timestamp>,
    ) -> Self {
        let mut kept = Self::default();
        for named in images.chunks(most.max(1)) {
            if until.is_some_and(|until| world.now() > until) && !kept.pages.is_empty() {
                break;
            }
            let named: BTreeSet<ImageId> = named.iter().cloned().collect();
            let Ok(slots) = world.slots(world.now()).await else { break };
            let is_first = kept.pages.is_empty();
            let page = Page { named: named.clone(), slots, is_first, ..Page::default() };
            let read = observe_page(world, hierarchy, page, most, Some(deployments), Detail::Whole);
            let Ok(facts) = read.await else { break };
            kept.pages.push_back(KeptPage { named, facts });
        }
        let known = kept.facts().flat_map(|facts| &facts.images).collect();
        kept.happened = happened(hierarchy, &known);
        kept
    }

    /// Returns the facts of all pages.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.pages.iter().map(|page| &page.facts)
    }

    /// Notes what a survey found out after the pages were observed: what runs makes rebuilds more
    /// urgent, and some lines follow it.
    pub(crate) fn survey(
        &mut self,
        hierarchy: &Hierarchy,
        before: &BTreeMap<ImageId, Deployments>,
        after: &BTreeMap<ImageId, Deployments>,
    ) {
        let followed = |of: &BTreeMap<ImageId, Deployments>, id: &ImageId| {
            let Line::Deployed { environment, workloads } = &hierarchy.image(id).ok()?.line else {
                return None;
            };
            let deployed = of.get(id)?.deployed(environment, workloads);
            Some(deployed.map(|deployed| deployed.version))
        };
        for page in &mut self.pages {
            let images = page.facts.images.keys();
            let changed = images.clone().filter(|id| followed(before, id) != followed(after, id));
            self.changed.extend(changed.cloned());
            let known = images.filter_map(|id| Some((id.clone(), after.get(id)?.clone())));
            page.facts.deployments = known.collect();
        }
    }

    /// Returns what happened after predictions that are over now.
    pub(crate) fn happened(&self) -> &BTreeMap<ImageId, Happened> {
        &self.happened
    }

    /// Returns the facts of a page, if they are as they would be read now.
    pub(crate) fn take(&mut self, page: &Page, now: Timestamp) -> Option<Facts> {
        let is_it = self.pages.front().is_some_and(|kept| kept.named == page.named);
        if !is_it || !page.scheduled.is_empty() {
            return None;
        }
        let KeptPage { facts, .. } = self.pages.pop_front()?;
        let is_fresh = now <= FRESH.after(facts.observed_at);
        let is_changed = facts.images.keys().any(|id| self.changed.contains(id));
        (is_fresh && !is_changed).then(|| Facts { slots: page.slots.clone(), ..facts })
    }

    /// Notes the images about which a page wrote something. What others write shows when this pass
    /// writes: its fences are old then.
    pub(crate) fn note(&mut self, touched: &BTreeSet<ImageId>) {
        if !self.pages.is_empty() {
            self.changed.extend(touched.iter().cloned());
        }
    }
}
