//! What an invocation still has to look at.

use std::collections::{BTreeSet, VecDeque};

use patchwave::facts::Slots;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::first_of_each_share;
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;

use crate::Budget;
use crate::apply::Applied;
use crate::scope;
use crate::world::{Fault, World};

/// How many images of a queue are read to find those of each share: 1,000 keys take 100 KB and 13
/// read units of DynamoDB. Only keys are read, and only where slots are free.
const READ_AHEAD: usize = 1_000;

/// The images that one page names.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Those that a trigger names, or an earlier look of this invocation.
    pub(crate) named: BTreeSet<ImageId>,
    /// Those of them of which nothing is known but that an event of this invocation names them.
    pub(crate) told: BTreeSet<ImageId>,
    /// Those that are due by the schedule, or in the queue for a free slot. Their records confirm
    /// it: an index lags.
    pub(crate) scheduled: BTreeSet<ImageId>,
    pub(crate) slots: Slots,
    /// The first page of an invocation gives back the slots of images that left the hierarchy.
    pub(crate) is_first: bool,
}

impl Page {
    fn len(&self) -> usize {
        self.named.len() + self.scheduled.len()
    }
}

/// A sweep, as far as this invocation is with it.
#[derive(Debug, Default)]
struct Sweep {
    /// The last image that a page named.
    named_to: Option<ImageId>,
    /// The last image of a page that was seen to its end.
    seen_to: Option<ImageId>,
    /// Whether the ledger says that it was cut off.
    was_cut_off: bool,
}

/// What to write about a sweep.
#[derive(Debug, PartialEq, Eq)]
enum Cursor<'a> {
    /// It was seen up to this image: the last one of its pages that were read.
    After(&'a ImageId),
    /// One that was cut off before has ended.
    Ended,
    AsItWas,
}

/// What is left to look at. An event is about the images that it names. A tick is about what is
/// due. Either starts what is ready, where slots are free.
pub(crate) struct Agenda<'h> {
    hierarchy: &'h Hierarchy,
    budget: Budget,
    /// A tick reads what is due.
    reads_due: bool,
    /// A sweep names all images, so it need not read the queues.
    is_sweep: bool,
    named: VecDeque<ImageId>,
    /// Whether only events name images, and no tick with what it found out.
    is_told: bool,
    /// The images of a sweep. Ticks go on with one that was cut off.
    swept: VecDeque<ImageId>,
    sweep: Option<Sweep>,
    /// Images whose children are walked over.
    rolling: BTreeSet<ImageId>,
    /// Those whose children this invocation began to walk over.
    walked: BTreeSet<ImageId>,
    /// Images whose records others wrote first.
    again: BTreeSet<ImageId>,
    retries: u32,
    /// What came from the schedule already. The index may still show it as it was.
    taken_due: BTreeSet<ImageId>,
    taken_ready: BTreeSet<ImageId>,
    /// Queues that were read to their end. Who came later found no slot free.
    ended: BTreeSet<Option<&'h str>>,
    pages: u32,
    /// The first time in the schedule that lies ahead.
    pub(crate) next_due: Option<Timestamp>,
}

impl<'h> Agenda<'h> {
    pub(crate) fn new(hierarchy: &'h Hierarchy, triggers: &[Trigger], budget: Budget) -> Self {
        let is_sweep = triggers.contains(&Trigger::Sweep);
        let named: VecDeque<ImageId> = scope::named(hierarchy, triggers).into();
        let (named, swept) = if is_sweep { (VecDeque::new(), named) } else { (named, VecDeque::new()) };
        Self {
            hierarchy,
            budget: Budget { images: budget.images.max(1), ..budget },
            reads_due: triggers.contains(&Trigger::Tick),
            is_sweep,
            named,
            is_told: !is_sweep && !triggers.contains(&Trigger::Tick),
            swept,
            sweep: is_sweep.then(Sweep::default),
            rolling: BTreeSet::new(),
            walked: BTreeSet::new(),
            again: BTreeSet::new(),
            retries: 0,
            taken_due: BTreeSet::new(),
            taken_ready: BTreeSet::new(),
            ended: BTreeSet::new(),
            pages: 0,
            next_due: None,
        }
    }

    /// Adds images to look at first.
    pub(crate) fn name(&mut self, images: &BTreeSet<ImageId>) {
        for image in images.iter().rev().filter(|image| !self.named.contains(image)).collect::<Vec<_>>() {
            self.named.push_front(image.clone());
        }
    }

    /// Returns what to look at next, or nothing if all is done. The first look is always made: it
    /// gives back the slots of images that left the hierarchy.
    ///
    /// The pages of a sweep are those that it observed before. A tick goes on with a sweep after
    /// what is due.
    pub(crate) async fn next<W: World>(&mut self, world: &W) -> Result<Option<Page>, Fault> {
        if self.is_over() {
            return Ok(None);
        }
        let slots = world.slots(world.now()).await?;
        let mut page = Page { slots, is_first: self.pages == 0, ..Page::default() };
        if page.is_first {
            self.go_on_with_a_sweep(page.slots.swept_to.as_ref());
        }
        if !self.is_sweep || self.swept.is_empty() {
            self.add_known(&mut page);
            if self.reads_due && page.len() < self.budget.images {
                self.add_due(world, &mut page).await?;
            }
        }
        self.add_swept(&mut page);
        if !self.is_sweep {
            self.add_ready(world, &mut page).await?;
        }
        self.pages += 1;
        Ok((page.len() > 0 || self.pages == 1).then_some(page))
    }

    /// Adds what this invocation knows of: what others wrote first, what its events are about, and
    /// parents whose children are walked over.
    fn add_known(&mut self, page: &mut Page) {
        page.named.append(&mut self.again);
        while page.len() < self.budget.images
            && let Some(id) = self.named.pop_front()
        {
            if self.is_told && !page.named.contains(&id) {
                page.told.insert(id.clone());
            }
            page.named.insert(id);
        }
        while page.len() < self.budget.images
            && let Some(id) = self.rolling.pop_first()
        {
            page.named.insert(id);
        }
    }

    fn add_swept(&mut self, page: &mut Page) {
        while page.len() < self.budget.images
            && let Some(id) = self.swept.pop_front()
        {
            if let Some(sweep) = &mut self.sweep {
                sweep.named_to = Some(id.clone());
            }
            page.named.insert(id);
        }
    }

    fn go_on_with_a_sweep(&mut self, cut_off_after: Option<&ImageId>) {
        let Some(after) = cut_off_after else { return };
        if self.reads_due {
            let all = scope::named(self.hierarchy, &[Trigger::Sweep]);
            self.swept.extend(all.into_iter().skip_while(|id| id != after).skip(1));
            self.sweep = Some(Sweep::default());
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.was_cut_off = true;
        }
    }

    /// Writes where a sweep is cut off now, or that one which was cut off has ended.
    pub(crate) async fn keep_sweep<W: World>(&self, world: &W) -> Result<(), Fault> {
        match self.cursor() {
            Cursor::After(image) => world.keep_sweep(Some(image)).await,
            Cursor::Ended => world.keep_sweep(None).await,
            Cursor::AsItWas => Ok(()),
        }
    }

    fn cursor(&self) -> Cursor<'_> {
        match &self.sweep {
            Some(sweep) if self.swept.is_empty() && sweep.named_to == sweep.seen_to => {
                if sweep.was_cut_off {
                    Cursor::Ended
                } else {
                    Cursor::AsItWas
                }
            }
            Some(Sweep { seen_to: Some(image), .. }) => Cursor::After(image),
            _ => Cursor::AsItWas,
        }
    }

    /// Returns the images that an invocation did not observe and would have to, as far as it knows
    /// or the schedule shows.
    pub(crate) async fn unobserved<W: World>(&self, world: &W) -> Result<BTreeSet<ImageId>, Fault> {
        let known = self.again.iter().chain(&self.named).chain(&self.swept).chain(&self.rolling);
        let mut unobserved: BTreeSet<ImageId> = known.cloned().collect();
        if self.reads_due {
            let due = world.due(world.now(), self.taken_due.len() + 1).await?;
            unobserved.extend(due.images.into_iter().filter(|id| !self.taken_due.contains(id)));
        }
        if !self.is_sweep {
            for (queue, _) in self.free(&world.slots(world.now()).await?) {
                let ready = world.ready(queue, self.taken_ready.len() + 1).await?;
                unobserved.extend(ready.into_iter().filter(|id| !self.taken_ready.contains(id)));
            }
        }
        Ok(unobserved)
    }

    async fn add_due<W: World>(&mut self, world: &W, page: &mut Page) -> Result<(), Fault> {
        let asked = self.budget.images - page.len() + self.taken_due.len();
        let due = world.due(world.now(), asked).await?;
        self.next_due = due.next;
        // What pages of this invocation add is known without the index.
        self.reads_due = due.images.len() == asked;
        for id in due.images {
            if page.len() < self.budget.images
                && !page.named.contains(&id)
                && self.taken_due.insert(id.clone())
            {
                page.scheduled.insert(id);
            }
        }
        Ok(())
    }

    /// Adds images of each queue, as many as slots are free: the most urgent ones of each share.
    async fn add_ready<W: World>(&mut self, world: &W, page: &mut Page) -> Result<(), Fault> {
        for (queue, room) in self.free(&page.slots) {
            let asked = room.max(READ_AHEAD) + self.taken_ready.len();
            let mut waiting = world.ready(queue, asked).await?;
            let is_whole = waiting.len() < asked;
            waiting.retain(|id| !self.taken_ready.contains(id));
            let chosen = first_of_each_share(self.hierarchy, &page.slots, &waiting, room);
            if is_whole && chosen.len() == waiting.len() {
                self.ended.insert(queue);
            }
            page.scheduled.extend(chosen.iter().filter(|id| !page.named.contains(*id)).cloned());
            self.taken_ready.extend(chosen);
        }
        Ok(())
    }

    /// Returns how many images of each queue may start: of each owner that has a limit, and of all
    /// others.
    fn free(&self, slots: &Slots) -> Vec<(Option<&'h str>, usize)> {
        let limits = self.hierarchy.limits();
        let left = |most: u32, used: usize| (most as usize).saturating_sub(used);
        // The limit of the day is no bound: it does not hold what would miss a deadline tomorrow.
        let free = left(limits.max_concurrent_builds, slots.held_by.len()).min(self.budget.images);
        let owners = slots.held_by.iter().filter_map(|id| self.hierarchy.image(id).ok()?.owner.as_ref());
        let running = |name: &str| owners.clone().filter(|owner| owner.name == name).count();
        let of_owners =
            self.hierarchy.owner_limits().map(|(name, most)| (Some(name), left(most, running(name))));
        let queues = of_owners.chain([(None, free)]).map(|(queue, room)| (queue, room.min(free)));
        queues.filter(|(queue, room)| *room > 0 && !self.ended.contains(queue)).collect()
    }

    fn note_seen(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.seen_to.clone_from(&sweep.named_to);
        }
    }

    /// Notes what a page left to do.
    pub(crate) fn note(&mut self, applied: &Applied) {
        self.note_seen();
        for (id, rolling) in &applied.rolling {
            // A second walk over the same children is left to the next tick.
            if rolling.after.is_some() || self.walked.insert(id.clone()) {
                self.rolling.insert(id.clone());
            }
        }
        if applied.left.is_empty() {
            return;
        }
        self.retries += 1;
        if self.retries <= self.budget.retries {
            self.again.extend(applied.left.iter().cloned());
        }
    }

    /// Returns whether it names the images of a sweep: of this one, or of one that was cut off.
    pub(crate) fn names_a_sweep(&self) -> bool {
        self.sweep.is_some()
    }

    /// Returns whether the images that a page left are looked at again.
    pub(crate) fn tries_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Returns whether every event was looked into. The rest of a sweep, and of walks, is in the
    /// ledger.
    pub(crate) fn has_answered(&self) -> bool {
        self.again.is_empty() && self.named.is_empty()
    }

    /// Returns whether nothing is left to look at, and nothing to ask the schedule for.
    pub(crate) fn is_over(&self) -> bool {
        let knows_queues = self.is_sweep || self.hierarchy.owner_limits().count() < self.ended.len();
        self.pages > 0 && self.is_done() && !self.reads_due && knows_queues
    }

    /// Returns whether nothing is left that this invocation knows of.
    fn is_done(&self) -> bool {
        self.named.is_empty() && self.swept.is_empty() && self.rolling.is_empty() && self.again.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_only_for_pages_that_were_seen() {
        let image = |n: u32| {
            format!(
                "  - {{ id: base/{n}, tier: base, repository: base/{n}, tags: [\"1\"], from: \"docker.io/a/b:1\" }}\n"
            )
        };
        let head = "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages:\n".to_owned();
        let hierarchy = Hierarchy::parse("h.yaml", &(0..5).map(image).fold(head, |yaml, row| yaml + &row));
        let hierarchy = hierarchy.map_err(|errors| errors.to_string()).unwrap();
        let id = |n: u32| -> ImageId { format!("base/{n}").parse().unwrap() };
        let budget = Budget { images: 2, ..Budget::default() };
        let mut agenda = Agenda::new(&hierarchy, &[Trigger::Sweep], budget);
        assert_eq!(agenda.cursor(), Cursor::AsItWas, "nothing was seen: the same sweep is made again");
        let page = |agenda: &mut Agenda<'_>, is_seen: bool| {
            agenda.add_swept(&mut Page::default());
            if is_seen {
                agenda.note_seen();
            }
        };
        page(&mut agenda, true);
        assert_eq!(agenda.cursor(), Cursor::After(&id(1)));
        page(&mut agenda, false);
        assert_eq!(agenda.cursor(), Cursor::After(&id(1)), "this page could not be read");
        let mut whole = Agenda::new(&hierarchy, &[Trigger::Sweep], budget);
        page(&mut whole, true);
        page(&mut whole, true);
        assert_eq!(whole.cursor(), Cursor::After(&id(3)));
        page(&mut whole, true);
        assert_eq!(whole.cursor(), Cursor::AsItWas, "it has ended, and none was cut off before");
    }
}
