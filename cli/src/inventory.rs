//! `inventory`: what runs where, is it patched, since when, and what is not known?

mod silence;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::inventory::{
    self, Catalog, Entry, FoldInput, Inventory, NoDigest, NotInspected, Question, RanRow, Resolution, Row,
    Standing, Survey, Totals,
};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::{Tracked, all_silent};
use serde::Serialize;

use crate::args::{Args, Format, Inventory as Options};
use crate::deployment;
use crate::escape::cell;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{BAD, CAREFUL, FAINT, GOOD, NAME, STRONG, column, paint, some, span, value, written};
use crate::vulnerability;

/// How many findings of one row the text names; JSON lists all.
const SHOWN: usize = 3;
/// How many characters wide the columns are: image, version, workload.
const WIDTHS: [usize; 3] = [30, 12, 34];
/// The columns of the CSV.
const HEAD: [&str; 20] = [
    "environment",
    "account",
    "region",
    "service",
    "cluster",
    "workload",
    "units",
    "use",
    "image",
    "version",
    "digest",
    "asked",
    "is",
    "current",
    "ageDays",
    "stale",
    "severity",
    "vulnerableSince",
    "findings",
    "unknown",
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    totals: Totals,
    #[serde(flatten)]
    answer: inventory::Answer,
    /// Accounts that the question includes and no sweep has surveyed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
    /// Upstream tags that have not moved for as long as `upstreamSilence`, each with since when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    silent_upstreams: BTreeMap<ImageId, Timestamp>,
}

/// What is known, and as of when.
pub(crate) struct Known {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) inventory: Inventory,
    /// What is known of upstream tags.
    pub(crate) upstreams: BTreeMap<ImageId, Tracked>,
    pub(crate) now: Timestamp,
    /// Whether this command surveyed it, so that nothing is known of earlier days.
    pub(crate) is_surveyed_now: bool,
}

const SURVEYED_NOW: &str =
    "Surveyed now, because PATCHWAVE_TABLE does not name a table. What ran before is not known.\n";

pub(crate) fn run(args: &Args, options: &Options) -> Result<Answer, BadInput> {
    let known = match (&options.survey, &options.facts) {
        (Some(survey), Some(facts)) => from_files(args, survey, facts)?,
        _ => deployment::inventory(args)?,
    };
    if let Some(environment) = &options.env {
        silence::check_environment(&known, environment)?;
    }
    let image = options.image.as_deref().map(|name| known.hierarchy.resolve(name)).transpose()?;
    let question = Question {
        environment: options.env.clone(),
        image: image.map(|image| image.id.clone()),
        vulnerability: options.cve.as_deref().map(vulnerability::id),
    };
    let answer = known.inventory.answer(&known.hierarchy, &question, known.now);
    let unknown = silence::unknown(&known.hierarchy, &answer);
    // What may have the vulnerability that was asked for is no "no".
    let may_be = question.vulnerability.is_some() && answer.running.iter().any(|row| !row.unknown.is_empty());
    let unseen = question.vulnerability.is_some() && !answer.not_inspected.is_empty();
    let found = answer.is_vulnerable() || may_be || unseen || !unknown.is_empty();
    // They are about no environment and no vulnerability.
    let silent =
        answer.question.is_everything().then(|| all_silent(&known.hierarchy, &known.upstreams, known.now));
    let silent_upstreams = silent.unwrap_or_default();
    let answered = Answered { totals: answer.totals(), answer, unknown, silent_upstreams };
    let note = if known.is_surveyed_now { SURVEYED_NOW } else { "" };
    let answer = match args.format {
        // A spreadsheet has no place for what is not in its rows.
        Format::Csv => {
            let unknown = written(|note| write_unknown(&answered, note));
            Answer::csv(csv(&answered)).with_note(format!("{note}{unknown}"))
        }
        format => Answer::render(format, &answered, text).with_note(note.to_owned()),
    };
    Ok(answer.with_findings(found))
}

/// Makes an inventory of one survey and one snapshot of facts, without earlier sweeps.
fn from_files(args: &Args, survey: &Path, facts: &Path) -> Result<Known, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let facts: Facts = input::json(facts, "a snapshot of facts")?;
    explained(hierarchy, &facts, survey)
}

/// Makes an inventory of a survey in a file and of facts.
pub(crate) fn explained(hierarchy: Hierarchy, facts: &Facts, survey: &Path) -> Result<Known, BadInput> {
    let survey: Survey = input::json(survey, "a survey")?;
    let catalog = Catalog::new(&hierarchy, facts);
    let now = survey.places.iter().map(|read| read.at).max().unwrap_or(facts.observed_at);
    let input =
        FoldInput { survey: &survey, began: now, ended: true, hierarchy: &hierarchy, catalog: &catalog, now };
    let inventory = inventory::fold(&Inventory::default(), &input).inventory;
    let upstreams = facts.upstreams.clone();
    Ok(Known { hierarchy, inventory, upstreams, now, is_surveyed_now: false })
}

fn text(answered: &Answered) -> String {
    written(|text| write(answered, text))
}

fn write(answered: &Answered, text: &mut String) -> fmt::Result {
    let Answered { totals, answer, .. } = answered;
    writeln!(text, "As of {:.0}: {}", answer.at, paint(STRONG, format!("{} running", totals.running)))?;
    if let Some(id) = answer.question.vulnerability.as_ref().filter(|_| totals.running == 0) {
        writeln!(text, "  nothing that runs is known to have {id}")?;
    }
    let kinds = [
        (totals.vulnerable, "vulnerable", BAD),
        (totals.stale, "older than maxAge", CAREFUL),
        (totals.behind, "rebuilt and not deployed", CAREFUL),
        (totals.strangers, "not approved or not in the hierarchy", CAREFUL),
        (totals.unknown, "not known in every respect", CAREFUL),
    ];
    for (number, what, style) in kinds.into_iter().filter(|(number, ..)| *number > 0) {
        writeln!(text, "  {} {what}", paint(style, number))?;
    }
    if let Some(mean) = answer.mean_time_to_patched {
        writeln!(text, "  {} mean time to patched, over the last quarter", span(mean))?;
    }
    write_rows(&answer.running, text)?;
    if !answer.referenced.is_empty() {
        writeln!(text, "{}", paint(STRONG, "Not running, but something would start it"))?;
        write_rows(&answer.referenced, text)?;
    }
    write_ran(answer, text)?;
    for place in &answer.places {
        if let Some(because) = &place.unread {
            let read = |age: Span| format!("last read {} ago", age.in_words());
            let because = value(because);
            let age = place.age.map_or("never read".to_owned(), read);
            let by_design = if place.accepted { ", by design" } else { "" };
            let unread = paint(CAREFUL, format!("unread{by_design}"));
            writeln!(text, "{unread} {}: {age}: {because}", value(&place.id))?;
        }
    }
    write_not_inspected(&answer.not_inspected, text)?;
    for (tag, since) in &answered.silent_upstreams {
        let silent = paint(CAREFUL, "silent");
        writeln!(text, "{silent} {tag} has not moved since {since:.0}: check whether it is supported")?;
    }
    write_unknown(answered, text)
}

/// Writes what environments ran before, if one image is asked about.
fn write_ran(answer: &inventory::Answer, text: &mut String) -> fmt::Result {
    if answer.question.image.is_none() || answer.ran.is_empty() {
        return Ok(());
    }
    writeln!(text, "{}", paint(STRONG, "Ran before, and a roll-back may start it"))?;
    answer.ran.iter().try_for_each(|RanRow { image, environment, ran }| {
        let [name, version, _] = WIDTHS;
        let (image, digest) = (column(&image.to_string(), name), column(ran.version.short(), version));
        let (from, until) = (day(ran.since), day(ran.last_seen));
        writeln!(text, "  {} {digest} {} from {from} to {until}", paint(NAME, image), value(environment))
    })
}

fn write_unknown(answered: &Answered, text: &mut String) -> fmt::Result {
    answered
        .unknown
        .iter()
        .try_for_each(|unknown| writeln!(text, "{} {}", paint(CAREFUL, "unknown"), value(unknown)))
}

/// Writes which services were not surveyed.
pub(crate) fn write_not_inspected(missing: &BTreeSet<NotInspected>, text: &mut String) -> fmt::Result {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for not in missing {
        let region = format!("{}/{}", not.account, not.region);
        let (place, what) = match (&not.cluster, &not.objects) {
            (Some(cluster), Some(objects)) => (format!("{region}/{}/{cluster}", not.kind), objects.as_str()),
            _ => (region, not.kind.name()),
        };
        places.entry(place).or_default().push(what);
    }
    for (place, what) in places {
        let what = some(what.iter(), what.len());
        writeln!(text, "{} {}: {}", paint(FAINT, "not surveyed"), value(&place), value(&what))?;
    }
    Ok(())
}

/// Writes rows, those of one place together.
fn write_rows(rows: &[Row], text: &mut String) -> fmt::Result {
    let mut place = None;
    for row in rows {
        let here = row.entry.place.id();
        if place.as_ref() != Some(&here) {
            let environment = row.entry.place.environment.as_deref().unwrap_or("no environment");
            writeln!(text, "{} {}", value(&here), paint(FAINT, value(environment)))?;
            place = Some(here);
        }
        write_row(row, text)?;
    }
    Ok(())
}

fn write_row(row: &Row, text: &mut String) -> fmt::Result {
    let [image, version, workload] = WIDTHS;
    let entry = &row.entry;
    let name = column(&name(row), image);
    let digest = entry.resolution.version().or(entry.digest.as_ref()).map_or("-", |digest| digest.short());
    let of =
        if entry.runs { format!("{} ×{}", entry.workload, entry.units) } else { entry.workload.clone() };
    let (digest, of) = (column(digest, version), column(&of, workload));
    let line = format!("  {} {digest} {of} {}", paint(NAME, name), state(row));
    writeln!(text, "{}", line.trim_end())?;
    for because in &row.unknown {
        writeln!(text, "    {} {}", paint(CAREFUL, "unknown"), value(because))?;
    }
    Ok(())
}

/// Names what runs: an image of the hierarchy, or the reference that the workload asks for.
fn name(row: &Row) -> String {
    row.entry.resolution.image().map_or_else(|| row.entry.asked.clone(), ToString::to_string)
}

/// Says what is wrong with a row, the worst first.
fn state(row: &Row) -> String {
    let mut words = Vec::new();
    if let Some(what) = what(&row.entry.resolution) {
        words.push(paint(CAREFUL, what));
    }
    if row.entry.reported {
        words.push(paint(CAREFUL, "seen by Inspector alone"));
    }
    if row.is_vulnerable() {
        let since = row.vulnerable_since.map(|since| format!(" since {}", day(since))).unwrap_or_default();
        let findings =
            some(row.findings.iter().map(|f| format!("{} ({})", f.finding, f.open.severity)), SHOWN);
        words.push(format!("{}: {findings}", paint(BAD, format!("vulnerable{since}"))));
    }
    if row.is_behind() {
        words.push(paint(CAREFUL, "rebuilt and not deployed"));
    }
    if let Some(age) = row.age.filter(|_| row.stale) {
        words.push(paint(CAREFUL, format!("{} old", age.in_words())));
    }
    if words.is_empty() && row.unknown.is_empty() {
        words.push(paint(GOOD, "patched"));
    }
    words.join(", ")
}

fn what(resolution: &Resolution) -> Option<&'static str> {
    match resolution {
        Resolution::Upstream { .. } => Some("upstream's"),
        Resolution::Approved { .. } => Some("approved"),
        Resolution::Unapproved { .. } => Some("not from an approved registry"),
        Resolution::NotInHierarchy { .. } => Some("not in the hierarchy"),
        Resolution::Gone { .. } => Some("no longer in the registry"),
        Resolution::Unresolvable { because: NoDigest::Sidecar, .. } => Some("AWS's sidecar"),
        Resolution::Known { .. } | Resolution::Unresolvable { .. } | Resolution::Unread { .. } => None,
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn csv(answered: &Answered) -> String {
    let rows = answered.answer.running.iter().chain(&answered.answer.referenced);
    let mut lines = vec![HEAD.join(",")];
    lines.extend(rows.map(|row| fields(row).map(|field| cell(&field)).join(",")));
    lines.join("\r\n") + "\r\n"
}

fn fields(row: &Row) -> [String; HEAD.len()] {
    let entry = &row.entry;
    let place = &entry.place;
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    let findings: Vec<String> = row.findings.iter().map(|found| found.finding.to_string()).collect();
    [
        or_empty(place.environment.clone()),
        place.account.clone(),
        place.region.clone(),
        place.kind.to_string(),
        or_empty(place.cluster.clone()),
        entry.workload.clone(),
        entry.units.to_string(),
        used(entry).to_owned(),
        or_empty(entry.resolution.image().map(ToString::to_string)),
        or_empty(entry.resolution.version().map(ToString::to_string)),
        or_empty(entry.digest.as_ref().map(ToString::to_string)),
        entry.asked.clone(),
        is(&entry.resolution).to_owned(),
        or_empty(row.standing.as_ref().and_then(current)),
        or_empty(row.age.map(|age| (age.as_seconds() / 86_400).to_string())),
        row.stale.to_string(),
        or_empty(row.severity.map(|severity| severity.to_string())),
        or_empty(row.vulnerable_since.map(|since| since.to_string())),
        findings.join("; "),
        row.unknown.join("; "),
    ]
}

const fn used(entry: &Entry) -> &'static str {
    match (entry.runs, entry.reported) {
        (true, true) => "reported",
        (true, false) => "running",
        (false, _) => "referenced",
    }
}

const fn is(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Known { .. } => "known",
        Resolution::Upstream { .. } => "upstream",
        Resolution::Approved { .. } => "approved",
        Resolution::Unapproved { .. } => "unapproved",
        Resolution::NotInHierarchy { .. } => "notInHierarchy",
        Resolution::Gone { .. } => "gone",
        Resolution::Unresolvable { .. } => "unresolvable",
        Resolution::Unread { .. } => "unread",
    }
}

fn current(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Current => Some("yes".to_owned()),
        Standing::Behind { current } => Some(current.to_string()),
        Standing::Unknown { .. } => None,
    }
}
