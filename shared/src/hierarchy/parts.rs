//! The parts of a hierarchy file: what a team's file may claim, and what it may loosen.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::draft::Draft;
use super::error::{Problem, Report};
use super::file::{MayLoosen, PartKeys};
use super::written::Written;
use crate::image::{Repository, glob};
use crate::policy::{Mode, Policy, Promoting, Rebuild};

/// The texts of the parts, by the name that the main file gives them; or why one could not be read.
pub type PartTexts = BTreeMap<String, Result<String, String>>;

/// A part whose file cannot be used. Its images are not in the hierarchy, and they are unknown:
/// that does not make them somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPart {
    /// The owner of its images.
    pub owner: String,
    /// As the main file names it.
    pub file: String,
    pub because: String,
    pub(super) repositories: Vec<String>,
}

impl UnreadPart {
    /// Returns whether a repository may hold its images.
    pub fn may_have(&self, repository: &Repository) -> bool {
        self.repositories.iter().any(|pattern| glob(pattern, repository.name()))
    }
}

/// What the file of a team may say.
#[derive(Debug)]
pub(super) struct Part {
    /// The owner of its images.
    pub(super) owner: String,
    pub(super) file: String,
    pub(super) file_at: serde_saphyr::Location,
    repositories: Vec<String>,
    pipelines: Vec<String>,
    may_loosen: Vec<MayLoosen>,
}

/// What a part's file loosens when it writes another policy.
impl MayLoosen {
    /// Returns the word that the main file writes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Rebuild => "rebuild",
            Self::RebuildAt => "rebuildAt",
            Self::Ages => "ages",
            Self::Waits => "waits",
            Self::Deadlines => "deadlines",
            Self::Promotion => "promotion",
            Self::Suppress => "suppress",
        }
    }
}

/// Reads what the parts may do.
pub(super) fn parts(written: BTreeMap<String, Spanned<PartKeys>>, report: &mut Report<'_>) -> Vec<Part> {
    let part = |(owner, keys): (String, Spanned<PartKeys>)| {
        let keys = keys.value;
        let file_at = keys.file.at;
        let globs = |written: Vec<Written<String>>, report: &mut Report<'_>| {
            written.into_iter().filter_map(|glob| glob.read(report)).collect()
        };
        let repositories = globs(keys.repositories, report);
        let pipelines = globs(keys.pipelines, report);
        let may_loosen = keys.may_loosen.into_iter().filter_map(|may| may.read(report)).collect();
        Some(Part { owner, file: keys.file.read(report)?, file_at, repositories, pipelines, may_loosen })
    };
    written.into_iter().filter_map(part).collect()
}

impl Part {
    /// Leaves the part out, because its file cannot be used.
    pub(super) fn unread(self, because: String) -> UnreadPart {
        UnreadPart { owner: self.owner, file: self.file, because, repositories: self.repositories }
    }

    /// Returns whether the file may loosen the policy so.
    pub(super) fn may(&self, loosen: MayLoosen) -> bool {
        self.may_loosen.contains(&loosen)
    }

    /// Reports what an image of the part claims or loosens that it may not. `from` is the policy
    /// that the main file sets for its tier.
    pub(super) fn check(&self, draft: &Draft, from: &Policy, report: &mut Report<'_>) {
        let matches = |globs: &[String], name: &str| globs.iter().any(|pattern| glob(pattern, name));
        let repository = draft.repository.name();
        if !matches(&self.repositories, repository) {
            let (what, name) = ("repository", repository.to_owned());
            report.add(draft.id_at, Problem::NotOfPart { what, name, part: self.owner.clone() });
        }
        if let Some((at, pipeline)) = &draft.pipeline
            && !matches(&self.pipelines, &pipeline.name)
        {
            let (what, name) = ("pipeline", pipeline.name.clone());
            report.add(*at, Problem::NotOfPart { what, name, part: self.owner.clone() });
        }
        for loosened in loosened(from, &draft.policy).filter(|loosened| !self.may(*loosened)) {
            report
                .add(draft.id_at, Problem::MayNotLoosen { part: self.owner.clone(), what: loosened.name() });
        }
    }
}

/// Returns in which ways a policy is looser than another.
fn loosened(from: &Policy, to: &Policy) -> impl Iterator<Item = MayLoosen> {
    let waits = |policy: &Policy| {
        let (quiet, proof) = (policy.quiet_period, policy.proof_wait);
        [quiet.critical, quiet.default, proof.critical, proof.default, policy.max_wait, policy.max_build_time]
    };
    let dues = |policy: &Policy| {
        let due = &policy.deadlines;
        [due.critical, due.high, due.medium]
    };
    let longer = |from: &[crate::time::Span], to: &[crate::time::Span]| {
        from.iter().zip(to).any(|(from, to)| to.as_seconds() > from.as_seconds())
    };
    let ages = |policy: &Policy| [policy.max_age, policy.scan_max_age, policy.upstream_silence];
    [
        (MayLoosen::Observe, from.mode == Mode::Enforce && to.mode == Mode::Observe),
        (
            MayLoosen::Rebuild,
            from.unknown_fix != to.unknown_fix || (from.rebuild != to.rebuild && to.rebuild != Rebuild::Auto),
        ),
        (MayLoosen::Promotion, from.promotion == Promoting::Approval && to.promotion == Promoting::Auto),
        (MayLoosen::RebuildAt, to.rebuild_at > from.rebuild_at),
        (MayLoosen::Ages, longer(&ages(from), &ages(to))),
        (MayLoosen::Waits, longer(&waits(from), &waits(to))),
        (MayLoosen::Deadlines, longer(&dues(from), &dues(to))),
    ]
    .into_iter()
    .filter_map(|(kind, is)| is.then_some(kind))
}
