//! `graph --audit`: the file against what images say of themselves.

use std::fmt::Write as _;
use std::path::Path;

use patchwave::audit::{Finding, Kind, audit};
use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use serde::Serialize;

use crate::args::Args;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{FAINT, STRONG, count, paint, written};

#[derive(Serialize)]
struct Audited {
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Args, hierarchy: &Hierarchy, facts: &Path) -> Result<Answer, BadInput> {
    let facts: Facts = input::json(facts, "a snapshot of facts")?;
    let audited = Audited { findings: audit(hierarchy, &facts) };
    let found = !audited.findings.is_empty();
    Ok(Answer::render(args.format, &audited, text).with_findings(found))
}

fn text(audited: &Audited) -> String {
    written(|out| {
        let mut before = None;
        for finding in &audited.findings {
            if before != Some(finding.kind) {
                writeln!(out, "{}", paint(STRONG, title(finding.kind)))?;
                before = Some(finding.kind);
            }
            writeln!(out, "  {}: {}", finding.image, finding.evidence)?;
            writeln!(out, "    {}", paint(FAINT, &finding.edit))?;
        }
        writeln!(out, "{}", count(audited.findings.len(), "finding"))
    })
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::WrongParent => "Built on another image than the file says",
        Kind::MissingParent => "Built on an image of the file, which does not say so",
        Kind::Circle => "Built on what is built on it",
        Kind::BuiltOnUnknown => "Built on an unknown version of its parent",
        Kind::DivergingTags => "Stable tags that name different versions",
        Kind::Pinned => "Pinned to a digest: only a commit moves it",
        Kind::SomebodyElses => "Built on an image of another registry",
        Kind::TierSkipped => "An application on a base image",
        Kind::NoBuilder => "Without a builder",
        Kind::NoOwner => "Without an owner",
        Kind::NotRead => "Not read",
    }
}
