//! `why`: why is this image rebuilt, or why not?

use std::fmt::{self, Write};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::{Hold, Plan, Reason, Start, Unknown, plan};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Why};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, GOOD, STRONG, paint, reason, written};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    image: ImageId,
    observed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Digest>,
    reasons: Vec<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Kept>,
    unknown: Vec<Unknown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    #[serde(flatten)]
    hold: Hold,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    lifted_by: String,
}

pub(crate) fn run(args: &Args, options: &Why) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let facts = input::facts(&options.snapshot)?;
    let image = hierarchy.resolve(&options.image)?;
    let explained = explain(&hierarchy, &facts, image, options.snapshot.mode.into())?;
    Ok(Answer::render(args.format, &explained, text))
}

fn explain(hierarchy: &Hierarchy, facts: &Facts, image: &Image, mode: Mode) -> Result<Explained, BadInput> {
    let id = &image.id;
    let Some(known) = facts.images.get(id) else {
        return Err(BadInput(format!(
            "the facts say nothing about {id}; take a snapshot that has it in scope"
        )));
    };
    let Plan { starts, mut holds, mut reasons, unknown, .. } =
        plan(hierarchy, facts, mode, facts.observed_at);
    let kept = |hold: Hold| Kept { ends_at: hold.until(), lifted_by: hold.lifted_by(), hold };
    Ok(Explained {
        image: id.clone(),
        observed_at: facts.observed_at,
        current: known.current_version().map(|version| version.digest.clone()),
        reasons: reasons.remove(id).unwrap_or_default(),
        start: starts.into_iter().find(|start| start.image == *id),
        hold: holds.remove(id).map(kept),
        unknown: unknown.into_iter().filter(|unknown| unknown.image == *id).collect(),
    })
}

fn text(explained: &Explained) -> String {
    written(|text| write(explained, text))
}

fn write(explained: &Explained, text: &mut String) -> fmt::Result {
    let current = explained.current.as_ref().map_or("no version", Digest::short);
    writeln!(text, "{} is {current}, as of {}", paint(STRONG, &explained.image), explained.observed_at)?;
    if explained.reasons.is_empty() {
        writeln!(text, "  no reason to rebuild it")?;
    }
    for why in &explained.reasons {
        writeln!(text, "  {} {}", reason(why), paint(FAINT, format!("since {}", why.since())))?;
    }
    if let Some(start) = &explained.start {
        let line = format!("starts now, by pipeline {}, build key {}", start.pipeline, start.key);
        writeln!(text, "  {}", paint(GOOD, line))?;
    }
    if let Some(kept) = &explained.hold {
        let until = kept.ends_at.map(|at| format!(" until {at}")).unwrap_or_default();
        writeln!(text, "  {}{until}{}", paint(CAREFUL, kept.hold.name()), details(&kept.hold))?;
        writeln!(text, "    {}", paint(FAINT, format!("ended by {}", kept.lifted_by)))?;
    }
    for unknown in &explained.unknown {
        let platform = unknown.platform.as_ref().map(|platform| format!("{platform}: ")).unwrap_or_default();
        writeln!(text, "  {} {platform}{}", paint(CAREFUL, "unknown"), unknown.because)?;
    }
    Ok(())
}

/// What a hold is about, where its name does not say it.
fn details(hold: &Hold) -> String {
    match hold {
        Hold::WaitingOn { on, .. } => format!(" {on}"),
        Hold::Unknown { because } | Hold::Unresolved { because } => format!(": {because}"),
        Hold::CannotHelp { findings, .. }
        | Hold::Suppressed { findings, .. }
        | Hold::Quarantined { findings } => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            format!(": {}", findings.join(", "))
        }
        _ => String::new(),
    }
}
