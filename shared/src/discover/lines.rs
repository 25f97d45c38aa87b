//! The lines of all repositories, and which line each version belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::named::{Named, without_digest};
use super::seen::{Catalog, Place, Role};
use super::tags::{self, Form, Grouped, Tags};
use super::{Estate, Version};
use crate::image::{Reference, Tag, TagPattern};

/// What an image may be built on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A line, by its number.
    Line(usize),
    /// Somebody else's image.
    Upstream(String),
    Scratch,
}

/// A line of versions: what one entry of the hierarchy file describes.
#[derive(Debug)]
pub(super) struct Line {
    /// The image's id.
    pub(super) id: String,
    /// Whether the id is not what the repository and the tags say.
    pub(super) is_named: bool,
    pub(super) place: usize,
    pub(super) form: Form,
    /// The current version.
    pub(super) current: usize,
}

/// The lines of all repositories.
#[derive(Debug)]
pub(super) struct Lines<'e> {
    pub(super) catalog: Catalog<'e>,
    pub(super) all: Vec<Line>,
    /// The other tags of each place.
    pub(super) tags: BTreeMap<usize, Tags>,
    /// The line of each version, if it is known.
    pub(super) of: Vec<Option<usize>>,
    hosts: Vec<&'e str>,
    by_name: BTreeMap<(usize, &'e str), usize>,
    /// The lines of each place.
    of_place: Vec<Vec<usize>>,
}

impl<'e> Lines<'e> {
    pub(super) fn new(estate: &'e Estate) -> Self {
        let catalog = Catalog::new(estate);
        let hosts = estate.registries.iter().map(|registry| registry.host.host()).collect();
        let names = catalog.places.iter().enumerate();
        let by_name =
            names.map(|(number, place)| ((place.registry, place.repository.name.name()), number)).collect();
        let of = vec![None; catalog.seen.len()];
        let of_place = vec![Vec::new(); catalog.places.len()];
        let (all, tags) = (Vec::new(), BTreeMap::new());
        let mut lines = Self { catalog, all, tags, of, hosts, by_name, of_place };
        for place in 0..lines.catalog.places.len() {
            if lines.catalog.places[place].role == Role::Own {
                lines.group(place, estate);
            }
        }
        for place in 0..lines.catalog.places.len() {
            lines.complete(place);
        }
        lines
    }

    fn group(&mut self, place: usize, estate: &Estate) {
        let numbers = self.catalog.places[place].versions.clone();
        let versions: Vec<Version> =
            numbers.iter().map(|seen| self.catalog.seen[*seen].version.clone()).collect();
        let mut tags = tags::group(&versions, |_| true);
        for Grouped { form, versions } in std::mem::take(&mut tags.lines) {
            let members: Vec<usize> = versions.iter().filter_map(|at| numbers.get(*at).copied()).collect();
            let Some(current) = members.first().copied() else { continue };
            let (id, is_named) = self.id(place, &form, estate);
            for member in members {
                self.of[member] = Some(self.all.len());
            }
            self.of_place[place].push(self.all.len());
            self.all.push(Line { id, is_named, place, form, current });
        }
        self.tags.insert(place, tags);
    }

    /// Names a line as the loader would, but for the registry: two may hold the same names.
    fn id(&self, place: usize, form: &Form, estate: &Estate) -> (String, bool) {
        let Place { registry, repository, .. } = &self.catalog.places[place];
        let name = repository.name.name();
        let own = match form {
            Form::Stable(tags) => format!("{name}:{}", tags.first().map_or("", Tag::as_str)),
            Form::Pattern { .. } => name.to_owned(),
        };
        let earlier = estate.registries.iter().take(*registry).flat_map(|registry| &registry.repositories);
        let is_taken = earlier.into_iter().any(|other| other.name.name() == name);
        if is_taken { (format!("{}/{own}", registry_name(estate, *registry)), true) } else { (own, false) }
    }

    /// Gives versions without a line one, where there is no doubt.
    fn complete(&mut self, place: usize) {
        let lines = self.of_place[place].clone();
        let discriminators = self.discriminators(&lines);
        for seen in self.catalog.places[place].versions.clone() {
            if self.of[seen].is_some() {
                continue;
            }
            self.of[seen] = match (&self.catalog.places[place].role, lines.as_slice()) {
                (Role::Copy(of), _) => self.line_of_origin(seen, *of),
                (_, [line]) => Some(*line),
                _ => self.by_version(seen, &lines, &discriminators),
            };
        }
    }

    fn line_of_origin(&self, seen: usize, origin: usize) -> Option<usize> {
        let same = self.catalog.by_digest.get(&self.catalog.seen[seen].version.digest)?;
        same.iter()
            .filter(|other| self.catalog.seen[**other].place == origin)
            .find_map(|other| self.of[*other])
    }

    /// Returns the lines of a place.
    pub(super) fn lines_of(&self, place: usize) -> &[usize] {
        &self.of_place[place]
    }

    /// Finds the variables and labels that tell the lines of a repository apart: each line's
    /// current version has a value that its own tracked tag begins, and no other line's does.
    fn discriminators(&self, lines: &[usize]) -> BTreeSet<String> {
        let Some(first) = lines.first().filter(|_| lines.len() > 1) else { return BTreeSet::new() };
        let keys = self.versions_of(self.all[*first].current).into_keys();
        let tells = |key: &String| {
            lines.iter().all(|line| {
                let value = self.versions_of(self.all[*line].current).remove(key);
                value.is_some_and(|value| self.begun_by(&value, lines) == [*line])
            })
        };
        keys.filter(tells).collect()
    }

    fn versions_of(&self, seen: usize) -> BTreeMap<String, String> {
        let first = self.catalog.seen[seen].platforms.first();
        first.and_then(|on| on.config).map(|config| config.versions.clone()).unwrap_or_default()
    }

    /// Finds the lines whose tracked tag says most of a version: `22.9` of `22.9.1`, and not `22`.
    fn begun_by(&self, value: &str, lines: &[usize]) -> Vec<usize> {
        let head = |line: usize| match &self.all[line].form {
            Form::Stable(tags) => tags.first().map(Tag::as_str).filter(|tag| is_of(value, tag)),
            Form::Pattern { .. } => None,
        };
        let begun = lines.iter().filter_map(|line| Some((head(*line)?.len(), *line)));
        let begun: Vec<(usize, usize)> = begun.collect();
        let longest = begun.iter().map(|(length, _)| *length).max();
        begun.into_iter().filter(|(length, _)| Some(*length) == longest).map(|(_, line)| line).collect()
    }

    fn by_version(&self, seen: usize, lines: &[usize], keys: &BTreeSet<String>) -> Option<usize> {
        let values = self.versions_of(seen);
        let found: BTreeSet<Vec<usize>> =
            keys.iter().filter_map(|key| values.get(key)).map(|value| self.begun_by(value, lines)).collect();
        let mut found = found.into_iter();
        match (found.next()?.as_slice(), found.next()) {
            ([line], None) => Some(*line),
            _ => None,
        }
    }

    /// Returns what a version is to those that are built on it: its line, or all lines of its
    /// repository if that is not known.
    pub(super) fn targets(&self, seen: usize) -> Vec<Target> {
        let version = &self.catalog.seen[seen];
        let place = &self.catalog.places[version.place];
        match &place.role {
            Role::Cache(upstream) => self.cached(seen, upstream),
            _ => match self.of[seen] {
                Some(line) => vec![Target::Line(line)],
                None => self.of_place[version.place].iter().copied().map(Target::Line).collect(),
            },
        }
    }

    fn cached(&self, seen: usize, upstream: &str) -> Vec<Target> {
        let version = &self.catalog.seen[seen];
        let all = || {
            self.catalog.places[version.place]
                .versions
                .iter()
                .flat_map(|seen| &self.catalog.seen[*seen].version.tags)
        };
        let own: Vec<&Tag> = version.version.tags.iter().collect();
        let tags = if own.is_empty() { all().collect() } else { own };
        let least = tags.iter().min_by_key(|tag| (tag.as_str().len(), (**tag).clone()));
        let named = |tag: &&&Tag| version.version.tags.is_empty() || Some(*tag) == least;
        tags.iter().filter(named).filter_map(|tag| upstream_name(&format!("{upstream}:{tag}"))).collect()
    }

    /// Finds what a document names. A digest tells more than a tag, which may have moved.
    pub(super) fn resolve(&self, named: &Named) -> Vec<Target> {
        let by_reference =
            named.reference.as_ref().map(|reference| self.referred(reference)).unwrap_or_default();
        let Some(seen) = named.digest.as_ref().and_then(|digest| self.catalog.by_digest.get(digest)) else {
            return by_reference;
        };
        let here = named.reference.as_ref().and_then(|reference| self.place(reference));
        let in_place: Vec<usize> =
            seen.iter().copied().filter(|seen| Some(self.catalog.seen[*seen].place) == here).collect();
        let seen = if in_place.is_empty() { seen } else { &in_place };
        let targets: BTreeSet<Target> = seen.iter().flat_map(|seen| self.targets(*seen)).collect();
        // The tag tells which of several lines it was.
        let both: Vec<Target> =
            by_reference.iter().filter(|target| targets.contains(target)).cloned().collect();
        match (targets.len(), both.as_slice()) {
            (0, _) => by_reference,
            (1, _) | (_, []) => targets.into_iter().collect(),
            _ => both,
        }
    }

    /// Returns the place that a reference names.
    fn place(&self, reference: &Reference) -> Option<usize> {
        let registry = self.hosts.iter().position(|host| *host == reference.registry.as_str())?;
        self.by_name.get(&(registry, reference.repository.name())).copied()
    }

    fn referred(&self, reference: &Reference) -> Vec<Target> {
        if !self.hosts.contains(&reference.registry.as_str()) {
            return vec![Target::Upstream(without_digest(reference))];
        }
        let Some(place) = self.place(reference) else { return Vec::new() };
        if let Role::Cache(upstream) = &self.catalog.places[place].role {
            let tag = reference.tag.as_ref();
            return tag.and_then(|tag| upstream_name(&format!("{upstream}:{tag}"))).into_iter().collect();
        }
        let Some(tag) = &reference.tag else { return Vec::new() };
        let tagged = self.catalog.places[place].versions.iter();
        let tagged = tagged.filter(|seen| self.catalog.seen[**seen].version.tags.contains(tag));
        let now: BTreeSet<Target> = tagged.flat_map(|seen| self.targets(*seen)).collect();
        if !now.is_empty() {
            return now.into_iter().collect();
        }
        let has = |line: &usize| self.all[*line].form.had(tag);
        self.of_place[place].iter().copied().filter(has).map(Target::Line).collect()
    }

    /// Says what a target is.
    pub(super) fn name(&self, target: &Target) -> String {
        match target {
            Target::Line(line) => self.all[*line].id.clone(),
            Target::Upstream(reference) => reference.clone(),
            Target::Scratch => "scratch".to_owned(),
        }
    }
}

impl Form {
    /// Returns whether a tag that is gone was of this line: one that its pattern matches, or a
    /// version of its family.
    fn had(&self, tag: &Tag) -> bool {
        match self {
            Self::Pattern { pattern, .. } => {
                pattern.parse::<TagPattern>().is_ok_and(|pattern| pattern.matches(tag))
            }
            Self::Stable(tags) => tags.first().is_some_and(|head| tags::is_beside(head, tag)),
        }
    }
}

/// Returns whether a version is `head` or a longer one of it: `22.9.0` is of `22`.
fn is_of(version: &str, head: &str) -> bool {
    let (version, head) = (version.trim_start_matches('v'), head.trim_start_matches('v'));
    version.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        && head.starts_with(|c: char| c.is_ascii_digit())
}

fn upstream_name(text: &str) -> Option<Target> {
    Reference::read(text).map(|reference| Target::Upstream(without_digest(&reference)))
}

/// Names a registry in the file: `home`, or its account and Region.
pub(super) fn registry_name(estate: &Estate, number: usize) -> String {
    match estate.registries.get(number).filter(|_| number > 0) {
        Some(registry) => format!("r{}-{}", registry.host.account(), registry.host.region()),
        None => "home".to_owned(),
    }
}
