//! The story for people: at most 110 columns.

use std::collections::BTreeMap;
use std::fmt::Write;

use patchwave::hierarchy::Tier;
use patchwave::image::ImageId;
use patchwave::plan::Reason;
use patchwave::time::{Span, Timestamp};
use patchwave_sim::{Build, Workload};
use serde_json::Value;

use super::story::{Organisation, Story, Wave};
use crate::render::{
    BAD, CAREFUL, FAINT, GOOD, NAME, STRONG, column, count, exact_time, paint, some, span, tier, time,
    written,
};

/// Up to so many builds are shown one by one, of more only a few of each wave; JSON lists all.
const ALL_SHOWN: usize = 40;
const FEW_SHOWN: usize = 4;

const CHART: usize = 18;
const BAR: usize = 20;
const PATH: usize = 94;

pub(crate) fn render(story: &Story) -> String {
    written(|text| write(story, text))
}

fn write(story: &Story, text: &mut String) -> std::fmt::Result {
    organisation(story, text)?;
    incident(story, text)?;
    prediction(story, text)?;
    if !story.waves.is_empty() {
        let head = format!(
            "start  {:20}  {:>12} → {:12}  {:>7}  {}  changed",
            "image",
            "parent",
            "version",
            "took",
            scale(story)
        );
        writeln!(text, "  {}", paint(FAINT, head))?;
    }
    for wave in &story.waves {
        self::wave(story, wave, text)?;
    }
    held(story, text)?;
    proof(story, text)?;
    running(story, text)?;
    summary(story, text)
}

fn organisation(story: &Story, text: &mut String) -> std::fmt::Result {
    let Organisation { registry, images, tiers, diamonds, waves, workloads, tasks } = &story.organisation;
    let title = paint(STRONG, "Patchwave demo");
    writeln!(
        text,
        "{title} {}",
        paint(FAINT, format!("seed {}, simulated AWS, virtual time in UTC", story.seed))
    )?;
    let tiers = [Tier::Base, Tier::Platform, Tier::Application]
        .map(|of| format!("{} {}", tiers.get(&of).unwrap_or(&0), tier(of)))
        .join(", ");
    writeln!(text, "  {} in {registry}", count(*images, "image"))?;
    writeln!(text, "  {tiers}; {}, {} deep", count(*diamonds, "diamond"), count(*waves, "wave"))?;
    let workloads: Vec<String> = workloads.iter().map(|(on, number)| format!("{number} on {on}")).collect();
    writeln!(
        text,
        "  workloads: {}; {tasks} tasks",
        if workloads.is_empty() { "none".to_owned() } else { workloads.join(", ") }
    )?;
    if story.as_if_enforced {
        let note = "the hierarchy only observes, so nothing would start; played as if it said mode: enforce";
        writeln!(text, "  {}", paint(CAREFUL, note))?;
    }
    writeln!(text)
}

fn incident(story: &Story, text: &mut String) -> std::fmt::Result {
    let told = &story.incident;
    let exploited = if told.exploited { ", exploited" } else { "" };
    let what = format!("{} in {} ({}{exploited})", told.vulnerability, told.package, told.severity);
    writeln!(text, "{}  {} becomes public", exact_time(told.published_at), paint(BAD, what))?;
    let field = |name: &str| told.event.get(name).and_then(Value::as_str).unwrap_or_default();
    let event = format!("event \"{}\" from {}", field("detail-type"), field("source"));
    writeln!(text, "{}  {event} for {}\n", exact_time(told.arrived_at), paint(NAME, &told.image))
}

fn prediction(story: &Story, text: &mut String) -> std::fmt::Result {
    let prediction = &story.prediction;
    writeln!(text, "{}", paint(STRONG, "Prediction"))?;
    let Some(below) = prediction.rebuilt.len().checked_sub(1) else {
        return writeln!(text, "  nothing will be rebuilt: see what is held, and why\n");
    };
    writeln!(
        text,
        "  1 {} + {} rebuild in {}, clear {} in {}",
        tier(story.incident.tier),
        count(below, "descendant"),
        count(prediction.waves.len(), "wave"),
        count(prediction.findings, "finding"),
        count(prediction.workloads.len(), "running workload"),
    )?;
    let path = prediction.critical_path.iter().map(ImageId::as_str).collect::<Vec<_>>().join(" → ");
    let after = span(Span::between(story.incident.arrived_at, prediction.finishes_at));
    writeln!(text, "  finish {}, {after} from now", when(story, prediction.finishes_at))?;
    writeln!(text, "  critical path {}\n", column(&path, PATH).trim_end())
}

fn wave(story: &Story, wave: &Wave, text: &mut String) -> std::fmt::Result {
    let (Some(started), Some(finished)) = (wave.started_at, wave.finished_at) else {
        return writeln!(text, "{} nothing was built\n", paint(STRONG, format!("Wave {}", wave.number)));
    };
    let built = wave.builds.len();
    let bar = bar(built, wave.planned);
    let head = paint(STRONG, format!("Wave {}", wave.number));
    writeln!(
        text,
        "{head}  {}–{}  {bar} {built} of {} built",
        when(story, started),
        when(story, finished),
        wave.planned
    )?;
    let shown = if story.summary.builds > ALL_SHOWN { FEW_SHOWN } else { ALL_SHOWN };
    for build in wave.builds.iter().take(shown) {
        writeln!(text, "  {}", line(story, build))?;
    }
    if built > shown {
        writeln!(text, "  {}", paint(FAINT, format!("and {} more; --format json lists all", built - shown)))?;
    }
    Ok(())
}

fn bar(done: usize, of: usize) -> String {
    let full = (done * BAR).checked_div(of).unwrap_or(0).min(BAR);
    paint(GOOD, format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full)))
}

/// One build: when, what, from which parent to which version, how long, why.
fn line(story: &Story, build: &Build) -> String {
    let from = parent(build).map_or("outside".to_owned(), |digest| digest.short().to_owned());
    format!(
        "{}  {}  {from:>12} → {}  {:>7}  {}  {}",
        time(build.started_at),
        paint(NAME, column(build.image.as_str(), 20)),
        build.version.short(),
        span(Span::between(build.started_at, build.finished_at)),
        chart(story, build),
        paint(FAINT, column(&why(&build.reasons), 18).trim_end()),
    )
}

/// The parent that made the build necessary, as it is now; of several, the first.
fn parent(build: &Build) -> Option<&patchwave::image::Digest> {
    let changed = build.reasons.iter().find_map(|reason| match reason {
        Reason::ParentChanged { parent, .. } => build.parents.get(parent),
        _ => None,
    });
    changed.or_else(|| build.parents.values().next())
}

/// What changed, in few words: how many parents, and how many findings of its own the build is for.
fn why(reasons: &[Reason]) -> String {
    let parents = reasons.iter().filter(|reason| matches!(reason, Reason::ParentChanged { .. })).count();
    let findings = reasons.iter().flat_map(Reason::causes).count();
    let others = reasons.iter().filter(|reason| match reason {
        Reason::ParentChanged { .. } | Reason::Vulnerable { .. } => false,
        Reason::Expired { .. } | Reason::Requested { .. } | Reason::NeverBuilt { .. } => true,
    });
    let counted = [(parents, "parent"), (findings, "CVE")];
    let counted =
        counted.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun));
    counted.chain(others.map(|reason| reason.code().to_owned())).collect::<Vec<_>>().join(", ")
}

/// The ends of all charts' scale.
fn scale(story: &Story) -> String {
    let end = story.summary.finished_at.unwrap_or(story.incident.arrived_at);
    let (begin, end) = (time(story.incident.arrived_at), time(end));
    let width = CHART + 2 - begin.len();
    format!("{begin}{end:>width$}")
}

/// The time of day, and on which day after the first if not on that.
fn when(story: &Story, at: Timestamp) -> String {
    let day = |at: Timestamp| at.as_second().div_euclid(86_400);
    match day(at) - day(story.incident.arrived_at) {
        0 => time(at),
        days => format!("day {} {}", days + 1, time(at)),
    }
}

/// When a build ran, on one scale for all.
fn chart(story: &Story, build: &Build) -> String {
    let begin = story.incident.arrived_at;
    let end = story.summary.finished_at.unwrap_or(begin);
    let whole = Span::between(begin, end).as_seconds().max(1) as usize;
    let place = |at: Timestamp| (Span::between(begin, at).as_seconds() as usize * CHART / whole).min(CHART);
    let from = place(build.started_at).min(CHART - 1);
    let to = place(build.finished_at).max(from + 1);
    let (before, during, after) = (" ".repeat(from), "=".repeat(to - from), " ".repeat(CHART - to));
    format!("|{before}{}{after}|", paint(GOOD, during))
}

fn held(story: &Story, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n{}", paint(STRONG, "Held"))?;
    let passing: Vec<String> = story
        .waited
        .iter()
        .filter(|(name, _)| PASSING.contains(name))
        .map(|(name, images)| format!("{name} {}", images.len()))
        .collect();
    if !passing.is_empty() {
        writeln!(text, "  for a while, by images: {}", passing.join(", "))?;
    }
    let more = story.incident.more_scan_events;
    if more > 0 && story.summary.builds > 0 {
        let told = count(more, "more scan event");
        writeln!(
            text,
            "  {told} arrived before the fix was pushed and started nothing: each image waits for its parent"
        )?;
    }
    if let Some(helpless) = story.waited.get("CannotHelp") {
        let images = count(helpless.len(), "image");
        writeln!(
            text,
            "  {images} carried older findings that no rebuild can help (CannotHelp); none was built for those"
        )?;
    }
    let mut groups: BTreeMap<(&str, &str), Vec<&ImageId>> = BTreeMap::new();
    for kept in &story.held {
        groups.entry((kept.hold.name(), &kept.lifted_by)).or_default().push(&kept.image);
    }
    if groups.is_empty() {
        writeln!(text, "  nothing is held any more")?;
    }
    for ((name, lifted_by), images) in groups {
        let images = some(images.into_iter(), 4);
        writeln!(text, "  {} {images}", paint(CAREFUL, column(name, 11)))?;
        writeln!(text, "  {:11} {}", "", paint(FAINT, format!("ended by {lifted_by}")))?;
    }
    writeln!(text)
}

/// Holds that end by themselves.
const PASSING: [&str; 6] = ["WaitingOn", "InFlight", "AwaitingProof", "QuietPeriod", "AtLimit", "Unresolved"];

fn proof(story: &Story, text: &mut String) -> std::fmt::Result {
    let proof = &story.proof;
    let all = proof.fixed + proof.ineffective + proof.unscanned;
    writeln!(text, "{}", paint(STRONG, "Proof"))?;
    let style = if proof.fixed == all { GOOD } else { BAD };
    let fixed = format!("{} of {} scanned and clean", proof.fixed, count(all, "new platform manifest"));
    let rest = format!("{} ineffective, {} unscanned", proof.ineffective, proof.unscanned);
    writeln!(text, "  {}: {}; {rest}", story.incident.vulnerability, paint(style, fixed))?;
    let platforms = proof.platforms.iter().map(|(platform, fixed)| format!("{fixed} on {platform}"));
    writeln!(text, "  {} fixed: {}\n", count(proof.images, "image"), some(platforms, 4))
}

fn running(story: &Story, text: &mut String) -> std::fmt::Result {
    let Story { running, held, .. } = story;
    writeln!(text, "{}", paint(STRONG, "Running"))?;
    let moved = running.exposed - running.still.len();
    writeln!(text, "  {} ran a vulnerable digest; {moved} run the fix", count(running.exposed, "workload"))?;
    if let (Some(at), Some(last)) = (running.last_stopped_at, &running.last_stopped) {
        writeln!(text, "  the last replaced task stopped at {} ({})", when(story, at), place(last))?;
    }
    for workload in running.still.iter().take(6) {
        let why = held.iter().find(|kept| kept.image == workload.image).map_or("", |kept| kept.hold.name());
        let what = format!("{} still runs {}", place(workload), workload.digest.short());
        writeln!(text, "  {} {}", paint(CAREFUL, what), paint(FAINT, why))?;
    }
    if running.still.len() > 6 {
        writeln!(text, "  and {} more", running.still.len() - 6)?;
    }
    writeln!(text)
}

fn place(workload: &Workload) -> String {
    let tasks = count(workload.tasks as usize, "task");
    format!("{} on {} {}, {tasks}", workload.name, workload.orchestrator, workload.cluster)
}

fn summary(story: &Story, text: &mut String) -> std::fmt::Result {
    let summary = &story.summary;
    writeln!(text, "{}", paint(STRONG, "Summary"))?;
    let figures = format!(
        "{} builds per affected image ({}, {}), {} lost, {} duplicated",
        summary.builds_per_image,
        count(summary.builds, "build"),
        count(summary.affected, "image"),
        summary.lost.len(),
        summary.duplicates.len(),
    );
    writeln!(text, "  {}", paint(if story.is_clean() { GOOD } else { BAD }, figures))?;
    if let (Some(finished), Some((error, is_late))) = (summary.finished_at, summary.error()) {
        let direction = if is_late { "later" } else { "earlier" };
        let (predicted, took) =
            (when(story, summary.predicted_finish), Span::between(story.incident.arrived_at, finished));
        writeln!(
            text,
            "  predicted {predicted}, finished {} ({} {direction}) after {}",
            when(story, finished),
            span(error),
            span(took)
        )?;
    }
    let events: usize = summary.events.values().sum();
    let again = match summary.starts_again {
        0 => "nothing".to_owned(),
        more => count(more, "build"),
    };
    writeln!(
        text,
        "  {events} events told when to look, in {} passes; planning again starts {again}",
        summary.passes
    )?;
    for error in summary.errors.iter().take(5) {
        writeln!(text, "  {}", paint(BAD, error))?;
    }
    Ok(())
}
