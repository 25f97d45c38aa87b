//! The draft of a hierarchy file.

use std::collections::{BTreeMap, BTreeSet};

use super::builders::{self, Built};
use super::circles::{break_circles, own};
use super::decide::{Evidence, Parents};
use super::entry::{Builds, Draft, Drafted, Pattern, UNKNOWN};
use super::lines::{Lines, Target, registry_name};
use super::tags::Form;
use super::write::{self, builder_name};
use super::{Estate, tiers};
use crate::hierarchy::{Tier, Variable};
use crate::image::Tag;

/// Drafts the hierarchy of an estate.
#[must_use]
pub fn discover(estate: &Estate) -> Drafted {
    let lines = Lines::new(estate);
    let evidence = Evidence::new(&lines);
    let mut parents: Vec<Parents> = (0..lines.all.len()).map(|line| evidence.parents(line)).collect();
    break_circles(&lines, &mut parents);
    let tiers = tiers::tiers(&lines, &parents);
    let below = below(&parents);
    let built = builders::builders(estate, &lines);
    let mut images = Vec::new();
    for (line, parents) in parents.iter().enumerate() {
        images.push(entry(estate, &lines, line, parents, &built, tiers[line], below[line]));
    }
    images.sort_by(|a, b| {
        let leaf = |draft: &Draft| draft.owner.clone().filter(|_| draft.below == 0);
        (b.below, leaf(a), &a.id).cmp(&(a.below, leaf(b), &b.id))
    });
    let unread = unread(estate);
    let head = write::head(estate, &lines, &images, &unread);
    Drafted { images, unread, head }
}

fn entry(
    estate: &Estate,
    lines: &Lines<'_>,
    number: usize,
    parents: &Parents,
    built: &BTreeMap<usize, Built>,
    tier: Tier,
    below: usize,
) -> Draft {
    let line = &lines.all[number];
    let place = &lines.catalog.places[line.place];
    let name = |target: &Target| lines.name(target);
    let decided = &parents.default;
    let (tags, tag_pattern) = match &line.form {
        Form::Stable(tags) => (tags.iter().map(ToString::to_string).collect(), None),
        Form::Pattern { pattern, except, by_version } => {
            let (pattern, except) = (pattern.clone(), except.clone());
            (Vec::new(), Some(Pattern { pattern, except, by_version: *by_version }))
        }
    };
    let mut evidence = said(lines, number, parents);
    let pipeline = pipeline(estate, lines, line.place, built, &mut evidence);
    Draft {
        id: line.id.clone(),
        writes_id: line.is_named,
        host: estate.registries[place.registry].host.to_string(),
        registry: (place.registry > 0).then(|| registry_name(estate, place.registry)),
        repository: place.repository.name.name().to_owned(),
        tags,
        tag_pattern,
        tier,
        from: decided.from.as_ref().map_or(UNKNOWN.to_owned(), name),
        from_on: parents.on.iter().map(|(platform, target)| (platform.to_string(), name(target))).collect(),
        copy_from: decided.copied.iter().map(name).collect(),
        pinned: decided.pinned && decided.from.is_some(),
        pipeline,
        owner: owner(&place.repository.tags),
        by: decided.by,
        candidates: decided.candidates.iter().map(name).collect(),
        evidence,
        below,
    }
}

/// Says why the parents are what they are.
fn said(lines: &Lines<'_>, number: usize, parents: &Parents) -> Vec<String> {
    let decided = &parents.default;
    let mut said = Vec::new();
    let candidates: Vec<String> = decided.candidates.iter().map(|target| lines.name(target)).collect();
    said.push(match (decided.by, candidates.is_empty()) {
        (Some(kind), _) => format!("{kind}: {}", decided.words),
        (None, true) => "unknown: there is no evidence".to_owned(),
        (None, false) => format!("unknown: {}; it may be {}", decided.words, candidates.join(" or ")),
    });
    said.extend(decided.notes.iter().cloned());
    let tags = lines.tags.get(&lines.all[number].place);
    let words = |tags: Vec<String>| tags.join(", ");
    if let Some(tags) = tags.filter(|tags| !tags.environments.is_empty()) {
        let environments = words(tags.environments.iter().map(Tag::to_string).collect());
        said.push(format!("tags of environments: {environments}; to patch what is promoted, add `lines`"));
    }
    if let Some(tags) = tags.filter(|tags| !tags.others.is_empty()) {
        said.push(format!(
            "other tags, which are no line here: {}",
            words(tags.others.iter().cloned().collect())
        ));
    }
    said
}

/// Chooses the pipeline. Two lines may not share one, so it counts only if the repository has one
/// line.
fn pipeline(
    estate: &Estate,
    lines: &Lines<'_>,
    place: usize,
    built: &BTreeMap<usize, Built>,
    evidence: &mut Vec<String>,
) -> Option<Builds> {
    let Some(built) = built.get(&place) else {
        evidence.push("no builder: no pipeline was found that pushes it".to_owned());
        evidence.extend(elsewhere(estate, lines, place));
        return None;
    };
    let several = lines.lines_of(place).len() > 1;
    let Some(pipeline) = built.by.filter(|_| !several).map(|number| &estate.pipelines[number]) else {
        evidence.extend(built.words.iter().cloned());
        if several && built.by.is_some() {
            evidence.push(
                "no builder: the repository has several lines, and two images may not share a pipeline"
                    .to_owned(),
            );
        }
        return None;
    };
    evidence.extend(built.words.iter().cloned());
    evidence.extend(builders::missing(pipeline));
    evidence.extend(builders::starts_by_itself(pipeline));
    let home = estate.registries.first().map(|registry| (registry.host.account(), registry.host.region()));
    let is_home = home == Some((&pipeline.account, &pipeline.region));
    let variables = Variable::ALL.iter().map(|variable| variable.name());
    let variables = variables.filter(|name| pipeline.variables.contains(*name)).map(str::to_owned);
    let builder = (!is_home).then(|| builder_name(pipeline));
    Some(Builds { name: pipeline.name.clone(), builder, variables: variables.collect() })
}

/// Says who else built it, by provenance, labels and `CloudTrail`.
fn elsewhere(estate: &Estate, lines: &Lines<'_>, place: usize) -> Vec<String> {
    let mut said = Vec::new();
    let current = lines.lines_of(place).first().map(|line| &lines.catalog.seen[lines.all[*line].current]);
    let platforms = current.map(|current| current.platforms.as_slice()).unwrap_or_default();
    let provenance = || platforms.iter().flat_map(|on| &on.provenance);
    let builder = provenance().find_map(|read| read.builder.as_ref());
    said.extend(builder.map(|builder| format!("its provenance names the builder {builder}")));
    let labels = platforms.iter().filter_map(|on| on.config?.source.as_ref());
    let source = provenance().filter_map(|read| read.source.as_ref()).chain(labels).next();
    said.extend(source.map(|source| format!("its source is {source}")));
    let of = &lines.catalog.places[place];
    let (host, name) = (&estate.registries[of.registry].host, of.repository.name.name());
    let pushes = estate.pushes.iter().filter(|push| {
        (push.account.as_str(), push.region.as_str(), push.repository.as_str())
            == (host.account(), host.region(), name)
    });
    let roles: BTreeSet<&str> = pushes.map(|push| push.role.as_str()).collect();
    said.extend(roles.into_iter().map(|role| format!("CloudTrail says that {role} pushed it")));
    said
}

/// Reads the team from a repository's tags.
fn owner(tags: &BTreeMap<String, String>) -> Option<String> {
    let keys = ["patchwave:owner", "owner", "team", "squad"];
    let find = |key: &&str| {
        tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.trim())
    };
    let value = keys.iter().find_map(find)?;
    (1..=100).contains(&value.len()).then(|| value.to_owned())
}

/// Counts the images below each line.
fn below(parents: &[Parents]) -> Vec<usize> {
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (child, parents) in parents.iter().enumerate() {
        for parent in own(parents) {
            children.entry(parent).or_default().push(child);
        }
    }
    let count = |line: usize| {
        let (mut open, mut seen) = (vec![line], BTreeSet::new());
        while let Some(at) = open.pop() {
            for child in children.get(&at).into_iter().flatten() {
                if seen.insert(*child) {
                    open.push(*child);
                }
            }
        }
        seen.len()
    };
    (0..parents.len()).map(count).collect()
}

fn unread(estate: &Estate) -> Vec<String> {
    let repositories = estate.registries.iter().flat_map(|registry| &registry.repositories);
    let of = repositories
        .filter_map(|repository| Some(format!("{}: {}", repository.name, repository.unread.as_ref()?)));
    of.chain(estate.unread.iter().map(ToString::to_string)).collect()
}
