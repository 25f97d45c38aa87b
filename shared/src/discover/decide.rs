//! Decides what each line is built on, from all evidence about its current version.
//!
//! The strongest kind of evidence that names exactly one image decides. Where it names several, a
//! weaker kind may choose among them, and can name no other. What is open in the end is unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use super::document::Step;
use super::lineage::Lineage;
use super::lines::{Lines, Target};
use super::named::Named;
use super::provenance::Base;
use super::seen::OnPlatform;
use crate::image::Platform;

/// What one kind of evidence says.
#[derive(Debug, Clone)]
struct Claim {
    kind: Kind,
    targets: BTreeSet<Target>,
    /// What it says, for people.
    words: String,
    /// Whether it may decide. What is not sure is only listed.
    sure: bool,
}

/// What is known of the parents of a line, on one platform or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) from: Option<Target>,
    pub(super) by: Option<Kind>,
    pub(super) words: String,
    /// What it may be, if it is not known.
    pub(super) candidates: BTreeSet<Target>,
    pub(super) copied: BTreeSet<Target>,
    pub(super) pinned: bool,
    /// What else a person should know.
    pub(super) notes: BTreeSet<String>,
}

/// The parents of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parents {
    pub(super) default: Decided,
    /// The bases of other platforms.
    pub(super) on: BTreeMap<Platform, Target>,
}

/// Everything that decisions look up.
pub(super) struct Evidence<'l, 'e> {
    lines: &'l Lines<'e>,
    lineage: Lineage<'l>,
    /// The version and the platform of each chain.
    chains: Vec<(usize, usize)>,
    /// The lines that have a label, and those that have a comment in their history.
    labels: BTreeMap<&'l Named, BTreeSet<Option<usize>>>,
    comments: BTreeMap<&'l Step, BTreeSet<Option<usize>>>,
}

impl<'l, 'e> Evidence<'l, 'e> {
    pub(super) fn new(lines: &'l Lines<'e>) -> Self {
        let (mut chains, mut digests) = (Vec::new(), Vec::new());
        let (mut labels, mut comments) = (BTreeMap::new(), BTreeMap::new());
        for (number, seen) in lines.catalog.seen.iter().enumerate() {
            for (at, on) in seen.platforms.iter().enumerate() {
                for chain in [on.diff_ids(), on.layers] {
                    chains.push((number, at));
                    digests.push(chain);
                }
                let Some(config) = on.config else { continue };
                let of = lines.of[number];
                if let Some(label) = &config.base {
                    labels.entry(label).or_insert_with(BTreeSet::new).insert(of);
                }
                for step in config.history.iter().filter(|step| step.parent().is_some()) {
                    comments.entry(step).or_insert_with(BTreeSet::new).insert(of);
                }
            }
        }
        Self { lines, lineage: Lineage::new(digests), chains, labels, comments }
    }

    /// Decides what a line is built on.
    pub(super) fn parents(&self, line: usize) -> Parents {
        let current = &self.lines.catalog.seen[self.lines.all[line].current];
        let each: Vec<(&Platform, Decided)> =
            current.platforms.iter().map(|on| (&on.platform, self.decide(line, on))).collect();
        merge(each)
    }

    fn decide(&self, line: usize, on: &OnPlatform<'_>) -> Decided {
        let mut decided = Decided::default();
        let layers = self.layers(line, on);
        let mut claims: Vec<Claim> =
            on.provenance.iter().filter_map(|p| self.provenance(p, &mut decided)).collect();
        claims.extend(self.annotation(on, layers.as_ref(), &mut decided));
        claims.extend(self.history(line, on));
        claims.extend(self.materials(on));
        claims.extend(self.label(line, on));
        claims.extend(self.dockerfile(on, &mut decided));
        claims.extend(layers);
        claims.sort_by_key(|claim| claim.kind);
        for claim in &mut claims {
            claim.targets.remove(&Target::Line(line));
        }
        decided.choose(&claims);
        decided
            .copied
            .retain(|copied| Some(copied) != decided.from.as_ref() && *copied != Target::Line(line));
        decided
    }

    fn claim(&self, kind: Kind, named: &Named, words: impl FnOnce(&str) -> String) -> Option<Claim> {
        let targets: BTreeSet<Target> = self.lines.resolve(named).into_iter().collect();
        let words = words(&named.words());
        (!targets.is_empty()).then_some(Claim { kind, targets, words, sure: true })
    }

    /// Reads the steps of the build. What they name and is not there is noted.
    fn provenance(&self, provenance: &super::Provenance, decided: &mut Decided) -> Option<Claim> {
        let (base, copied) = provenance.walked.as_ref()?;
        for named in copied {
            match self.lines.resolve(named).as_slice() {
                [Target::Scratch] => {}
                [target] => {
                    decided.copied.insert(target.clone());
                }
                _ => {
                    decided
                        .notes
                        .insert(format!("it copies from {}, which is not known here", named.words()));
                }
            }
        }
        match base {
            Base::Image(named) => {
                let claim = self
                    .claim(Kind::Provenance, named, |name| format!("the build's last step leads to {name}"));
                if claim.is_none() {
                    decided
                        .notes
                        .insert(format!("it was built on {}, which is no longer there", named.words()));
                }
                claim
            }
            Base::Scratch => Some(Claim {
                kind: Kind::Provenance,
                targets: [Target::Scratch].into(),
                words: "the build's steps begin with nothing".to_owned(),
                sure: true,
            }),
            Base::Unclear => None,
        }
    }

    /// Reads annotations: of the manifest first, then of its entry, then of the index. A claim
    /// counts if the layers confirm it, or contradict nothing.
    fn annotation(
        &self,
        on: &OnPlatform<'_>,
        layers: Option<&Claim>,
        decided: &mut Decided,
    ) -> Option<Claim> {
        let named = on.notes.first()?;
        let claim = self.claim(Kind::Annotation, named, |name| format!("the annotations name {name}"))?;
        let known = named.digest.as_ref().and_then(|digest| self.lines.catalog.by_digest.get(digest));
        let known = known.into_iter().flatten().flat_map(|seen| &self.lines.catalog.seen[*seen].platforms);
        let is_confirmed = known.into_iter().any(|base| on.starts_with(base));
        match layers.filter(|layers| layers.decides() && !is_confirmed && layers.targets != claim.targets) {
            None => Some(claim),
            Some(layers) => {
                decided
                    .notes
                    .insert(format!("{}, and the layers contradict it: {}", claim.words, layers.words));
                None
            }
        }
    }

    /// Finds whose layers it starts with. An image whose history is known and is not the beginning
    /// of this one's only shares its first steps.
    fn layers(&self, line: usize, on: &OnPlatform<'_>) -> Option<Claim> {
        let history = on.config.map_or(&[][..], |config| &config.history);
        let found = [on.diff_ids(), on.layers].into_iter().find_map(|chain| {
            let found = self.lineage.longest(chain, |number| {
                let (seen, at) = self.chains[number];
                let other = &self.lines.catalog.seen[seen].platforms[at];
                self.lines.of[seen] != Some(line)
                    && other.manifest != on.manifest
                    && may_begin(other, history, chain.len())
            });
            (!found.is_empty()).then_some((chain.len(), found))
        });
        let (length, found) = found?;
        let found: Vec<(usize, &OnPlatform<'_>)> = found
            .into_iter()
            .map(|number| self.chains[number])
            .map(|(seen, at)| (seen, &self.lines.catalog.seen[seen].platforms[at]))
            .collect();
        // The longest history that this one goes on from is the nearest. Without one, all are
        // equal.
        let longest = found.iter().map(|(_, other)| steps(other)).max().filter(|_| !history.is_empty());
        let targets = found.iter().filter(|(_, other)| longest.is_none_or(|longest| steps(other) == longest));
        let targets: BTreeSet<Target> = targets.flat_map(|(seen, _)| self.lines.targets(*seen)).collect();
        let (seen, base) = found.first()?;
        let version = &self.lines.catalog.seen[*seen];
        let repository = &self.lines.catalog.places[version.place].repository.name;
        let name = format!("{repository}@{}", version.version.digest.short());
        // Of two images with the same layers and without a history, either may be the parent.
        let sure = base.layers.len() < length || longest.is_some_and(|steps| steps > 0);
        let words = format!("it starts with the {} of {name}", layers_of(base.layers.len()));
        (!targets.is_empty()).then_some(Claim { kind: Kind::Layers, targets, words, sure })
    }

    /// Reads buildah's comment. One that another line has too may be inherited.
    fn history(&self, line: usize, on: &OnPlatform<'_>) -> Option<Claim> {
        let config = on.config.filter(|config| !config.by_docker)?;
        let at = config.history.iter().rposition(|step| step.parent().is_some())?;
        let (step, later) = (&config.history[at], &config.history[at + 1..]);
        let named = Named::of_annotation(step.parent()?, "")?;
        let sure =
            only_here(self.comments.get(step), line) && later.iter().all(|step| step.comment.is_empty());
        let claim =
            self.claim(Kind::History, &named, |name| format!("buildah's comment says FROM {name}"))?;
        Some(Claim { sure, ..claim })
    }

    /// Finds the one of the images that the build used whose layers this starts with: the longest.
    fn materials(&self, on: &OnPlatform<'_>) -> Option<Claim> {
        let catalog = &self.lines.catalog;
        let used = on.provenance.iter().flat_map(|provenance| &provenance.materials);
        let known = used.filter_map(|named| Some((named, catalog.by_digest.get(named.digest.as_ref()?)?)));
        let bases = known.flat_map(|(named, seen)| {
            let platforms = seen.iter().flat_map(|seen| &catalog.seen[*seen].platforms);
            platforms.filter(|base| on.starts_with(base)).map(move |base| (base.layers.len(), named))
        });
        let bases: BTreeSet<(usize, &Named)> = bases.collect();
        let (longest, named) = bases.last()?;
        let is_alone = bases.iter().filter(|(length, _)| length == longest).count() == 1;
        let words = |name: &str| format!("of what the build used, it starts with the layers of {name}");
        self.claim(Kind::Materials, named, words).filter(|_| is_alone)
    }

    /// Reads labels. Children inherit them, so one that another line has too says nothing for sure.
    fn label(&self, line: usize, on: &OnPlatform<'_>) -> Option<Claim> {
        let named = on.config?.base.as_ref()?;
        let sure = only_here(self.labels.get(named), line);
        let claim = self.claim(Kind::Label, named, |name| format!("its label names {name}"))?;
        let words = if sure { claim.words } else { format!("{}, and so does another image's", claim.words) };
        Some(Claim { words, sure, ..claim })
    }

    fn dockerfile(&self, on: &OnPlatform<'_>, decided: &mut Decided) -> Option<Claim> {
        let stages = on.provenance.iter().find_map(|provenance| provenance.stages.as_ref())?;
        decided.pinned = stages.is_pinned();
        let base = stages.base.as_ref()?;
        self.claim(Kind::Dockerfile, base, |name| format!("its Dockerfile says FROM {name}"))
    }
}

fn only_here(lines: Option<&BTreeSet<Option<usize>>>, line: usize) -> bool {
    lines.is_some_and(|lines| lines.iter().all(|other| *other == Some(line)))
}

fn steps(on: &OnPlatform<'_>) -> usize {
    on.config.map_or(0, |config| config.history.len())
}

fn layers_of(number: usize) -> String {
    if number == 1 { "one layer".to_owned() } else { format!("{number} layers") }
}

/// Returns whether an image may be one that a history goes on from. With as many layers it must be
/// known that the history does.
fn may_begin(other: &OnPlatform<'_>, history: &[Step], layers: usize) -> bool {
    let own = other.config.map_or(&[][..], |config| &config.history);
    if own.is_empty() || history.is_empty() {
        return true;
    }
    let begins = history.starts_with(own);
    if other.layers.len() < layers { begins } else { begins && own.len() < history.len() }
}

impl Step {
    /// Returns the image that buildah names where a build begins.
    fn parent(&self) -> Option<&str> {
        self.comment.strip_prefix("FROM ").map(str::trim)
    }
}

impl Claim {
    fn decides(&self) -> bool {
        self.sure && self.targets.len() == 1
    }
}

impl Decided {
    fn choose(&mut self, claims: &[Claim]) {
        let mut open: Option<BTreeSet<Target>> = None;
        for claim in claims.iter().filter(|claim| !claim.targets.is_empty()) {
            self.candidates.extend(claim.targets.iter().cloned());
            if !claim.sure {
                continue;
            }
            let left = open.as_ref().map_or(claim.targets.clone(), |open| open & &claim.targets);
            if let (1, Some(target)) = (left.len(), left.first()) {
                self.from = Some(target.clone());
                self.by = Some(claim.kind);
                self.words.clone_from(&claim.words);
                self.candidates.clear();
                return;
            }
            if open.is_none() || !left.is_empty() {
                open = Some(left);
                self.words.clone_from(&claim.words);
            }
        }
        if open.is_none() {
            // What is not sure is shown, and decides nothing.
            let unsure = claims.iter().find(|claim| !claim.targets.is_empty());
            self.words = unsure.map(|claim| claim.words.clone()).unwrap_or_default();
        }
        if let Some(open) = open {
            self.candidates = open;
        }
    }
}

/// Puts the platforms together. The base of most is the default; a platform of which nothing is
/// known has it too.
fn merge(each: Vec<(&Platform, Decided)>) -> Parents {
    let known: Vec<&Target> = each.iter().filter_map(|(_, decided)| decided.from.as_ref()).collect();
    let most = known.iter().max_by_key(|target| {
        (known.iter().filter(|other| other == target).count(), std::cmp::Reverse(**target))
    });
    let most = most.map(|target| (*target).clone());
    let on = each.iter().filter(|(_, decided)| decided.from.is_some() && decided.from != most);
    let on: BTreeMap<Platform, Target> =
        on.filter_map(|(platform, decided)| Some(((*platform).clone(), decided.from.clone()?))).collect();
    let mut default = Decided::default();
    for (_, decided) in each {
        default.copied.extend(decided.copied);
        default.notes.extend(decided.notes);
        default.pinned |= decided.pinned;
        if decided.from == most && (default.by.is_none() || decided.by < default.by) {
            (default.from, default.by, default.words) = (decided.from, decided.by, decided.words);
        }
        if most.is_none() {
            default.candidates.extend(decided.candidates);
        }
    }
    default.copied.retain(|copied| Some(copied) != default.from.as_ref());
    Parents { default, on }
}
