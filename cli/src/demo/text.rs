//! The report for people: at most 80 columns.

use std::fmt::Write;

use patchwave::hierarchy::Tier;
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Reason;
use patchwave::time::{Span, Timestamp};
use patchwave_sim::{Build, Workload};
use serde_json::Value;

use super::report::{DemoHierarchy, DemoReport, Wave};
use crate::holds;
use crate::render::{
    BAD, CAREFUL, FAINT, GOOD, NAME, STRONG, column, count, exact_time, paint, some, span, tier, time,
    wrapped, written,
};

/// Up to this many builds are shown one by one; of more, only a few of each wave. JSON lists all.
const ALL_SHOWN: usize = 40;
const FEW_SHOWN: usize = 4;

const CHART: usize = 12;
const BAR: usize = 20;
/// How many digits of a digest a row shows: as Git shows a commit.
const DIGITS: usize = 7;

pub(crate) fn render(report: &DemoReport) -> String {
    written(|text| write(report, text))
}

fn write(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    organisation(report, text)?;
    incident(report, text)?;
    prediction(report, text)?;
    if !report.waves.is_empty() {
        let head = format!(
            "start {:20} {:>DIGITS$} → {:DIGITS$} {:>6} {} changed",
            "image",
            "parent",
            "version",
            "took",
            scale(report)
        );
        writeln!(text, "  {}", paint(FAINT, head))?;
    }
    for wave in &report.waves {
        self::wave(report, wave, text)?;
    }
    held(report, text)?;
    proof(report, text)?;
    running(report, text)?;
    summary(report, text)
}

fn organisation(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let DemoHierarchy { registry, images, tiers, diamonds, waves, workloads, tasks } = &report.organisation;
    let title = paint(STRONG, "Patchwave demo");
    writeln!(
        text,
        "{title} {}",
        paint(FAINT, format!("seed {}, simulated AWS, simulated time in UTC", report.seed))
    )?;
    let tiers = [Tier::Base, Tier::Platform, Tier::Application]
        .map(|of| format!("{} {}", tiers.get(&of).unwrap_or(&0), tier(of)))
        .join(", ");
    writeln!(text, "  {} in {registry}", count(*images, "image"))?;
    writeln!(text, "  {tiers}; {}, {} deep", count(*diamonds, "diamond"), count(*waves, "wave"))?;
    let workloads: Vec<String> = workloads.iter().map(|(on, number)| format!("{number} on {on}")).collect();
    let workloads = if workloads.is_empty() { "none".to_owned() } else { workloads.join(", ") };
    writeln!(text, "  workloads: {workloads}; {tasks} tasks")?;
    if report.as_if_enforced {
        let note =
            "the hierarchy only observes, so nothing would start; simulated as if it said `mode: enforce`";
        writeln!(text, "{}", paint(CAREFUL, wrapped(2, note)))?;
    }
    writeln!(text)
}

fn incident(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let incident = &report.incident;
    let exploited = if incident.exploited { ", exploited" } else { "" };
    let what =
        format!("{} in {} ({}{exploited})", incident.vulnerability, incident.package, incident.severity);
    writeln!(text, "{}  {} becomes public", exact_time(incident.published_at), paint(BAD, what))?;
    let field = |name: &str| incident.event.get(name).and_then(Value::as_str).unwrap_or_default();
    let event = format!("event \"{}\" from {}", field("detail-type"), field("source"));
    writeln!(text, "{}  {event}", exact_time(incident.arrived_at))?;
    writeln!(text, "          for {}\n", paint(NAME, &incident.image))
}

fn prediction(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let prediction = &report.prediction;
    writeln!(text, "{}", paint(STRONG, "Prediction"))?;
    let Some(below) = prediction.rebuilt.len().checked_sub(1) else {
        return writeln!(text, "  nothing will be rebuilt: see below what is held, and why\n");
    };
    let line = format!(
        "1 {} + {} rebuild in {}, clear {} in {}",
        tier(report.incident.tier),
        count(below, "descendant"),
        count(prediction.waves.len(), "wave"),
        count(prediction.findings, "finding"),
        count(prediction.workloads.len(), "running workload"),
    );
    writeln!(text, "{}", wrapped(2, &line))?;
    let path = prediction.critical_path.iter().map(ImageId::as_str).collect::<Vec<_>>().join(" → ");
    let after = span(Span::between(report.incident.arrived_at, prediction.finishes_at));
    writeln!(text, "  finish {}, {after} from now", when(report, prediction.finishes_at))?;
    writeln!(text, "{}\n", wrapped(2, &format!("critical path {path}")))
}

fn wave(report: &DemoReport, wave: &Wave, text: &mut String) -> std::fmt::Result {
    let (Some(started), Some(finished)) = (wave.started_at, wave.finished_at) else {
        return writeln!(text, "{} nothing was built\n", paint(STRONG, format!("Wave {}", wave.number)));
    };
    let built = wave.builds.len();
    let bar = bar(built, wave.planned);
    let head = paint(STRONG, format!("Wave {}", wave.number));
    writeln!(
        text,
        "{head}  {}–{}  {bar} {built} of {} built",
        when(report, started),
        when(report, finished),
        wave.planned
    )?;
    let shown = if report.summary.builds > ALL_SHOWN { FEW_SHOWN } else { ALL_SHOWN };
    for build in wave.builds.iter().take(shown) {
        writeln!(text, "  {}", line(report, build))?;
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
fn line(report: &DemoReport, build: &Build) -> String {
    let from = parent(build).map_or("outside", digits);
    format!(
        "{} {} {from:>DIGITS$} → {} {:>6} {} {}",
        time(build.started_at),
        paint(NAME, column(build.image.as_str(), 20)),
        digits(&build.version),
        minutes(Span::between(build.started_at, build.finished_at)),
        chart(report, build),
        paint(FAINT, column(&why(&build.reasons), 11).trim_end()),
    )
}

fn digits(digest: &Digest) -> &str {
    let short = digest.short();
    short.get(..DIGITS).unwrap_or(short)
}

/// Writes a span in whole minutes, rounded: `8m`, `1h 07m`.
fn minutes(span: Span) -> String {
    let minutes = (span.as_seconds() + 30) / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h {minutes:02}m"),
    }
}

/// The parent that made the build necessary, as it is now; of several, the first.
fn parent(build: &Build) -> Option<&Digest> {
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
fn scale(report: &DemoReport) -> String {
    let end = report.summary.finished_at.unwrap_or(report.incident.arrived_at);
    let (begin, end) = (time(report.incident.arrived_at), time(end));
    let width = CHART + 2 - begin.len();
    format!("{begin}{end:>width$}")
}

/// The time of day, and on which day after the first if not on that.
fn when(report: &DemoReport, at: Timestamp) -> String {
    let day = |at: Timestamp| at.as_second().div_euclid(86_400);
    match day(at) - day(report.incident.arrived_at) {
        0 => time(at),
        days => format!("day {} {}", days + 1, time(at)),
    }
}

/// When a build ran, on one scale for all.
fn chart(report: &DemoReport, build: &Build) -> String {
    let begin = report.incident.arrived_at;
    let end = report.summary.finished_at.unwrap_or(begin);
    let whole = Span::between(begin, end).as_seconds().max(1) as usize;
    let place = |at: Timestamp| (Span::between(begin, at).as_seconds() as usize * CHART / whole).min(CHART);
    let from = place(build.started_at).min(CHART - 1);
    let to = place(build.finished_at).max(from + 1);
    let (before, during, after) = (" ".repeat(from), "=".repeat(to - from), " ".repeat(CHART - to));
    format!("|{before}{}{after}|", paint(GOOD, during))
}

fn held(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n{}", paint(STRONG, "Held"))?;
    let mut line = |line: String| writeln!(text, "{}", wrapped(2, &line));
    let passing: Vec<String> = report
        .waited
        .iter()
        .filter(|(name, _)| PASSING.contains(name))
        .map(|(name, images)| format!("{name} {}", images.len()))
        .collect();
    if !passing.is_empty() {
        line(format!("for a while, by number of images: {}", passing.join(", ")))?;
    }
    let more = report.incident.more_scan_events;
    if more > 0 && report.summary.builds > 0 {
        let events = count(more, "more scan event");
        line(format!(
            "{events} arrived before the fix was pushed and started nothing: each image waits for its parent"
        ))?;
    }
    if let Some(unfixable) = report.waited.get("CannotHelp") {
        let images = count(unfixable.len(), "image");
        line(format!(
            "{images} had older findings that no rebuild can fix (CannotHelp); they started no build"
        ))?;
    }
    if report.held.is_empty() {
        line("nothing is held any more".to_owned())?;
    }
    let holds = report.held.iter().map(|held| (&held.image, &held.hold));
    writeln!(text, "{}", holds::text(holds, 4))
}

/// Holds that end by themselves.
const PASSING: [&str; 6] = ["WaitingOn", "InFlight", "AwaitingProof", "QuietPeriod", "AtLimit", "Unresolved"];

fn proof(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let proof = &report.proof;
    let all = proof.fixed + proof.ineffective + proof.unscanned;
    writeln!(text, "{}", paint(STRONG, "Proof"))?;
    let style = if proof.fixed == all { GOOD } else { BAD };
    let fixed = format!("{} of {} scanned and clean", proof.fixed, count(all, "new platform manifest"));
    let rest = format!("{} ineffective, {} unscanned", proof.ineffective, proof.unscanned);
    let line = format!("{}: {}; {rest}", report.incident.vulnerability, paint(style, fixed));
    writeln!(text, "{}", wrapped(2, &line))?;
    let platforms = proof.platforms.iter().map(|(platform, fixed)| format!("{fixed} on {platform}"));
    let line = format!("{} fixed: {}", count(proof.images, "image"), some(platforms, 4));
    writeln!(text, "{}\n", wrapped(2, &line))
}

fn running(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let DemoReport { running, held, .. } = report;
    writeln!(text, "{}", paint(STRONG, "Running"))?;
    let moved = running.exposed - running.still.len();
    writeln!(text, "  {} ran a vulnerable digest; {moved} run the fix", count(running.exposed, "workload"))?;
    if let (Some(at), Some(last)) = (running.last_stopped_at, &running.last_stopped) {
        let line = format!("the last replaced task stopped at {} ({})", when(report, at), place(last));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    for workload in running.still.iter().take(6) {
        let why = held.iter().find(|held| held.image == workload.image).map_or("", |held| held.hold.name());
        let what = format!("{} still runs {}", place(workload), workload.digest.short());
        let line = format!("{} {}", paint(CAREFUL, what), paint(FAINT, why));
        writeln!(text, "{}", wrapped(2, &line))?;
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

fn summary(report: &DemoReport, text: &mut String) -> std::fmt::Result {
    let summary = &report.summary;
    writeln!(text, "{}", paint(STRONG, "Summary"))?;
    let figures = format!(
        "{} builds per affected image ({}, {}), {} lost, {} duplicated",
        summary.builds_per_image,
        count(summary.builds, "build"),
        count(summary.affected, "image"),
        summary.lost.len(),
        summary.duplicates.len(),
    );
    let style = if report.is_clean() { GOOD } else { BAD };
    writeln!(text, "{}", paint(style, wrapped(2, &figures)))?;
    if let (Some(finished), Some((error, is_late))) = (summary.finished_at, summary.error()) {
        let direction = if is_late { "later" } else { "earlier" };
        let (predicted, took) =
            (when(report, summary.predicted_finish), Span::between(report.incident.arrived_at, finished));
        let finished = when(report, finished);
        let line = format!(
            "predicted {predicted}, finished {finished} ({} {direction}) after {}",
            span(error),
            span(took)
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    let events: usize = summary.events.values().sum();
    let again = match summary.starts_again {
        0 => "nothing".to_owned(),
        more => count(more, "build"),
    };
    let passes = summary.passes;
    let line = format!("{events} events arrived, in {passes} passes; another pass starts {again}");
    writeln!(text, "{}", wrapped(2, &line))?;
    for error in summary.errors.iter().take(5) {
        writeln!(text, "{}", paint(BAD, wrapped(2, error)))?;
    }
    Ok(())
}
