//! What belongs to one image only: its id, its tags and its pipeline.

use std::collections::BTreeMap;

use serde_saphyr::Location;

use super::draft::Draft;
use super::error::{Problem, Report};
use super::overlap::overlap;
use super::parents::SCRATCH;
use super::{Line, Promotion};
use crate::image::{ImageId, Tag, TagFamily};

/// Reports everything that two images claim.
pub(super) fn check(drafts: &[Draft], report: &mut Report<'_>) {
    check_ids(drafts, report);
    check_pipelines(drafts, report);
    let mut repositories: BTreeMap<&str, Claims<'_>> = BTreeMap::new();
    for draft in drafts {
        repositories.entry(draft.repository.as_str()).or_default().add(draft, report);
    }
    for claims in repositories.into_values() {
        claims.check_patterns(report);
    }
}

fn check_ids(drafts: &[Draft], report: &mut Report<'_>) {
    let mut taken: BTreeMap<&str, Location> = BTreeMap::new();
    let tags = owners_of_tags(drafts);
    for Draft { id, id_at, file, .. } in drafts {
        report.enter(*file);
        if let Some(first) = taken.get(id.as_str()) {
            report.add(*id_at, Problem::DuplicateId { id: id.clone(), first: first.line() });
        } else {
            taken.insert(id.as_str(), *id_at);
        }
        if id.as_str() == SCRATCH {
            report.add(*id_at, Problem::IdIsScratch);
        }
        if let Some(owner) = tags.get(id.as_str()).filter(|owner| **owner != id) {
            report.add(*id_at, Problem::IdIsTag { id: id.clone(), owner: (*owner).clone() });
        }
    }
}

fn owners_of_tags(drafts: &[Draft]) -> BTreeMap<String, &ImageId> {
    let mut owners = BTreeMap::new();
    for draft in drafts {
        if let Line::Stable(tags) = &draft.line {
            owners.extend(tags.iter().map(|tag| (format!("{}:{tag}", draft.repository), &draft.id)));
        }
    }
    owners
}

fn check_pipelines(drafts: &[Draft], report: &mut Report<'_>) {
    let mut taken: BTreeMap<_, (Location, &Draft)> = BTreeMap::new();
    for draft in drafts {
        report.enter(draft.file);
        let Some((at, pipeline)) = &draft.pipeline else { continue };
        if let Some((first, owner)) = taken.get(&(&pipeline.builder, &pipeline.name)) {
            // Lines of one image are told apart by the commit that their builds are pinned to.
            if (owner.file, owner.entry) == (draft.file, draft.entry) {
                continue;
            }
            let same = owner.repository == draft.repository && owner.id != draft.id;
            let (name, owner) = (pipeline.name.clone(), owner.id.clone());
            report.add(*at, Problem::SharedPipeline { name, owner, line: first.line(), same });
        } else {
            taken.insert((&pipeline.builder, &pipeline.name), (*at, draft));
        }
    }
}

/// What the images of one repository claim of it.
#[derive(Default)]
struct Claims<'d> {
    tags: BTreeMap<&'d Tag, (Location, &'d Draft)>,
    patterns: Vec<(&'d TagFamily, Location, &'d Draft)>,
    deployed: BTreeMap<&'d str, (Location, &'d Draft)>,
}

impl<'d> Claims<'d> {
    fn add(&mut self, draft: &'d Draft, report: &mut Report<'_>) {
        report.enter(draft.file);
        match &draft.line {
            Line::Stable(tags) => {
                for (tag, at) in tags.iter().zip(&draft.line_at) {
                    if let Some((earlier, owner)) = self.tags.get(tag) {
                        report.add(*at, claimed(tag.as_str(), *earlier, owner));
                    } else {
                        self.tags.insert(tag, (*at, draft));
                    }
                }
            }
            Line::Newest(family) | Line::Promoted { by: Promotion::Newest(family), .. } => {
                self.patterns.extend(draft.line_at.iter().map(|at| (family, *at, draft)));
            }
            Line::Promoted { by: Promotion::Tag(tag), .. } => {
                let at = draft.line_at.first().copied().unwrap_or(draft.id_at);
                if let Some((earlier, owner)) = self.tags.get(tag) {
                    report.add(at, claimed(tag.as_str(), *earlier, owner));
                } else {
                    self.tags.insert(tag, (at, draft));
                }
            }
            Line::Deployed { environment, .. } => {
                let at = draft.line_at.first().copied().unwrap_or(draft.id_at);
                if let Some((first, owner)) = self.deployed.get(environment.as_str()) {
                    let (environment, repository) = (environment.clone(), draft.repository.to_string());
                    let (owner, line) = (owner.id.clone(), first.line());
                    report.add(at, Problem::DeployedTwice { environment, repository, owner, line });
                } else {
                    self.deployed.insert(environment, (at, draft));
                }
            }
        }
    }

    fn check_patterns(self, report: &mut Report<'_>) {
        for (index, (pattern, at, draft)) in self.patterns.iter().enumerate() {
            report.enter(draft.file);
            if let Some((tag, (earlier, owner))) = self.tags.iter().find(|(tag, _)| pattern.matches(tag)) {
                report.add(*at, claimed(tag.as_str(), *earlier, owner));
            }
            let earlier = self.patterns.iter().take(index);
            for (other, other_at, owner) in earlier.filter(|(other, ..)| may_share(pattern, other)) {
                report.add(*at, overlapping(pattern, other, *other_at, owner));
            }
        }
    }
}

/// Returns whether a tag may belong to both families.
fn may_share(one: &TagFamily, other: &TagFamily) -> bool {
    let apart = one.excludes(&other.pattern) || other.excludes(&one.pattern);
    !apart && overlap(&one.pattern, &other.pattern)
}

fn claimed(text: &str, at: Location, owner: &Draft) -> Problem {
    let repository = owner.repository.to_string();
    Problem::TagClaimed { text: text.to_owned(), repository, owner: owner.id.clone(), line: at.line() }
}

fn overlapping(pattern: &TagFamily, other: &TagFamily, at: Location, owner: &Draft) -> Problem {
    Problem::PatternsOverlap {
        pattern: pattern.to_string(),
        other: other.to_string(),
        repository: owner.repository.to_string(),
        owner: owner.id.clone(),
        line: at.line(),
    }
}
