//! `why`: why is this image rebuilt, or why not? It also explains a vulnerability, a digest and a
//! reference.

mod reference;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use patchwave::facts::{DeployedVersion, Facts};
use patchwave::finding::FindingKey;
use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::{Digest, ImageId, Tag};
use patchwave::plan::{Due, Hold, Plan, Reason, Start, Unknown, inherited, plan};
use patchwave::policy::Mode;
use patchwave::predicted::Predicted;
use patchwave::time::Timestamp;
use patchwave::upstream::silent;
use patchwave_converge::Held;
use serde::Serialize;

use crate::args::{Args, Format, Why};
use crate::input::{self, BadInput, Observed};
use crate::output::Answer;
use crate::render::{
    CAREFUL, FAINT, GOOD, STRONG, count, due, paint, reason, some, span, value, wrapped, written,
};
use crate::vulnerability;

/// How many images the text names; JSON lists all.
const SHOWN: usize = 6;

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
    hold: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Due>,
    /// Stable tags that do not name the current version.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    lagging_tags: BTreeSet<Tag>,
    /// Findings that count here and belong to an ancestor, each with that ancestor.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    inherited: BTreeMap<FindingKey, ImageId>,
    /// Upstream tags that have not moved for as long as `upstreamSilence`, each with since when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    silent_upstreams: BTreeMap<ImageId, Timestamp>,
    /// What each environment ran before and does not run now, the last one first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ran: BTreeMap<String, Vec<DeployedVersion>>,
    /// What was predicted when its last rebuild for findings started, and what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<Predicted>,
    unknown: Vec<Unknown>,
    /// The image and those that it is built on, where the facts do not describe them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_in_facts: Vec<ImageId>,
}

pub(crate) fn run(args: &Args, options: &Why) -> Result<Answer, BadInput> {
    let observed = input::observed(args, options.snapshot.facts.as_deref())?;
    let Observed { hierarchy, facts, note, is_partial } = &observed;
    let (what, mode) = (options.what.trim(), options.snapshot.mode.into());
    let unknown = match hierarchy.resolve(what) {
        Ok(image) => return of_image(args.format, &observed, image, mode),
        Err(unknown) => unknown,
    };
    if vulnerability::is_id(what) || vulnerability::is_listed(facts, what) {
        return Ok(vulnerability::why(args.format, &observed, what, mode));
    }
    if let Some(image) = reference::image(hierarchy, what) {
        return of_image(args.format, &observed, image, mode);
    }
    if let Some(found) = version::found(hierarchy, facts, what) {
        let answer = Answer::render(args.format, &found, version::text);
        return Ok(answer.with_note(note.clone()).with_findings(*is_partial));
    }
    // Without a host it may be an id with a spelling mistake.
    let is_reference = reference::has_host(what) || unknown.near.is_empty();
    let foreign = is_reference.then(|| reference::foreign(hierarchy, what)).flatten().ok_or(unknown)?;
    Ok(Answer::render(args.format, &foreign, reference::text).with_findings(foreign.is_stranger()))
}

fn of_image(format: Format, observed: &Observed, image: &Image, mode: Mode) -> Result<Answer, BadInput> {
    let explained = explain(&observed.hierarchy, &observed.facts, image, mode)?;
    let is_partial = !explained.not_in_facts.is_empty();
    Ok(Answer::render(format, &explained, text).with_note(observed.note.clone()).with_findings(is_partial))
}

fn explain(hierarchy: &Hierarchy, facts: &Facts, image: &Image, mode: Mode) -> Result<Explained, BadInput> {
    let id = &image.id;
    let Plan { starts, mut holds, mut reasons, mut due, unknown, .. } =
        plan(hierarchy, facts, mode, facts.observed_at);
    let reasons = reasons.remove(id).unwrap_or_default();
    let needed = hierarchy.query([id], Direction::Ancestors)?.resolve();
    let is_missing = |id: &&ImageId| !facts.images.contains_key(*id) && !facts.unreadable.contains_key(*id);
    Ok(Explained {
        image: id.clone(),
        observed_at: facts.observed_at,
        current: facts
            .images
            .get(id)
            .and_then(|known| known.current_version().map(|version| version.digest.clone())),
        start: starts.into_iter().find(|start| start.image == *id),
        hold: holds.remove(id).map(|hold| Held::new(id.clone(), hold, reasons.clone())),
        due: due.remove(id),
        lagging_tags: facts
            .images
            .get(id)
            .map(|known| known.lagging_tags(&image.line))
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        silent_upstreams: silent(hierarchy, facts, image, facts.observed_at),
        inherited: inherited(hierarchy, facts, image, facts.observed_at),
        ran: facts.deployments.get(id).map(|deployments| deployments.ran.clone()).unwrap_or_default(),
        predicted: facts.images.get(id).and_then(|known| known.record.predicted.clone()),
        reasons,
        unknown: unknown.into_iter().filter(|unknown| unknown.image == *id).collect(),
        not_in_facts: needed.ids().filter(is_missing).cloned().collect(),
    })
}

fn text(explained: &Explained) -> String {
    written(|text| write(explained, text))
}

fn write(explained: &Explained, text: &mut String) -> fmt::Result {
    let current = explained.current.as_ref().map_or("no version", Digest::short);
    let at = explained.observed_at;
    writeln!(text, "{} is {current}, as of {at:.0}", paint(STRONG, &explained.image))?;
    if explained.reasons.is_empty() && !explained.not_in_facts.contains(&explained.image) {
        writeln!(text, "  no reason of its own to rebuild it")?;
    }
    for why in &explained.reasons {
        let line = format!("{} {}", reason(why), paint(FAINT, format!("since {:.0}", why.since())));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if let Some(start) = &explained.start {
        writeln!(text, "  {}", paint(GOOD, format!("starts now, by pipeline {}", start.pipeline)))?;
        writeln!(text, "  build key {}", start.key)?;
    }
    if let Some(of_image) = &explained.due {
        writeln!(text, "{}", wrapped(2, &due(of_image)))?;
    }
    if let Some(Held { hold, lifted_by, .. }) = &explained.hold {
        let until = hold.until().map(|at| format!(" until {at:.0}")).unwrap_or_default();
        let line = format!("{}{until}{}", paint(CAREFUL, hold.name()), details(hold));
        writeln!(text, "{}", wrapped(2, &line))?;
        writeln!(text, "{}", paint(FAINT, wrapped(4, lifted_by)))?;
    }
    if !explained.lagging_tags.is_empty() {
        let tags = some(explained.lagging_tags.iter(), SHOWN);
        let line =
            format!("{} of the stable tags, {tags} do not name this version", paint(CAREFUL, "lagging"));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    let owners: BTreeSet<&ImageId> = explained.inherited.values().collect();
    for owner in owners {
        let of_owner = explained.inherited.iter().filter(|(_, of)| *of == owner);
        let findings: Vec<&FindingKey> = of_owner.map(|(finding, _)| finding).collect();
        let line = format!("from {owner}: {}", some(findings.into_iter(), SHOWN));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    for (tag, since) in &explained.silent_upstreams {
        let line = format!(
            "{} {tag} has not moved since {since:.0}: check whether it is supported",
            paint(CAREFUL, "silent")
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if let Some(predicted) = &explained.predicted {
        writeln!(text, "{}", wrapped(2, &prediction(predicted)))?;
    }
    write_ran(&explained.ran, text)?;
    for unknown in &explained.unknown {
        let platform = unknown.platform.as_ref().map(|platform| format!("{platform}: ")).unwrap_or_default();
        let line = format!("{} {platform}{}", paint(CAREFUL, "unknown"), unknown.because);
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if !explained.not_in_facts.is_empty() {
        let names = some(explained.not_in_facts.iter(), SHOWN);
        let unknown = paint(CAREFUL, "unknown");
        let line = format!(
            "{unknown} the facts do not describe {names}. Take a snapshot of this hierarchy: patchwave observe"
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    Ok(())
}

/// Says what was predicted, and what happened.
fn prediction(predicted: &Predicted) -> String {
    let (images, findings) = (predicted.images as usize, predicted.findings as usize);
    let takes = span(predicted.takes);
    let head = format!(
        "predicted {:.0}: {} rebuilt in {takes} for {}",
        predicted.since,
        count(images, "image"),
        count(findings, "finding")
    );
    let happened = match &predicted.happened {
        Some(happened) => {
            let images = count(happened.images as usize, "image");
            format!("it was {images} in {}", span(happened.took))
        }
        None => "no sweep found yet that the findings are gone from all of them".to_owned(),
    };
    format!("{head}; {happened}")
}

/// Writes what environments ran before: a roll-back starts one of these versions.
fn write_ran(ran: &BTreeMap<String, Vec<DeployedVersion>>, text: &mut String) -> fmt::Result {
    for (environment, versions) in ran {
        writeln!(text, "  {} ran before, and a roll-back may start:", paint(STRONG, value(environment)))?;
        for DeployedVersion { version, since, last_seen } in versions {
            writeln!(text, "    {} from {since:.0} until {last_seen:.0}", version.short())?;
        }
    }
    Ok(())
}

/// Says what a hold is about, where its name does not.
fn details(hold: &Hold) -> String {
    match hold {
        Hold::WaitingOn { on, .. } => format!(" {on}"),
        Hold::Unknown { because } | Hold::Unresolved { because } | Hold::BackOff { because, .. } => {
            format!(": {because}")
        }
        Hold::CannotHelp { findings, .. }
        | Hold::Suppressed { findings, .. }
        | Hold::Quarantined { findings } => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            format!(": {}", findings.join(", "))
        }
        _ => String::new(),
    }
}
