//! Says what a plan leads to, in numbers.

use std::fmt::{self, Write};

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::plan::{self, FirstDays, Hold, Plan, Prediction, Shortfall};
use patchwave::policy::Mode;
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

use crate::plan::key as limit_key;
use crate::render::{CAREFUL, FAINT, STRONG, count, paint, some, wrapped, written};

/// How many images of one day the text names; JSON lists all.
const SHOWN: usize = 4;
/// Most days that the text names.
const DAYS_SHOWN: usize = 31;

/// What the builds will change, and whether policy lets them start.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Predicted {
    /// Whether it is what would happen if every image were enforced: as it is, images observe.
    if_enforced: bool,
    #[serde(flatten)]
    prediction: Prediction,
}

/// Predicts what a plan leads to. Where images only observe, it predicts what their enforcement
/// would lead to.
pub(crate) fn predict(hierarchy: &Hierarchy, facts: &Facts, mode: Mode, planned: &Plan) -> Predicted {
    let now = facts.observed_at;
    let if_enforced = planned.holds.values().any(|hold| *hold == Hold::Observing);
    let prediction = if if_enforced {
        plan::predict(&hierarchy.clone().with_mode(Mode::Enforce), facts, Mode::Enforce, now)
    } else {
        plan::predict(hierarchy, facts, mode, now)
    };
    Predicted { if_enforced, prediction }
}

pub(crate) fn write(
    predicted: &Predicted,
    shortfall: Option<&Shortfall>,
    now: Timestamp,
    text: &mut String,
) -> fmt::Result {
    if predicted.prediction.builds() == 0 {
        return Ok(());
    }
    let label = if predicted.if_enforced { "if enforced" } else { "predicted" };
    let line = format!("{} {}", paint(STRONG, label), sentence(&predicted.prediction, now));
    writeln!(text, "{}", wrapped(2, &line))?;
    for what in what_stays(&predicted.prediction, shortfall.filter(|_| !predicted.if_enforced)) {
        writeln!(text, "{}", wrapped(2, &what))?;
    }
    Ok(())
}

/// Says what is built, what that clears, and how long it takes.
fn sentence(prediction: &Prediction, now: Timestamp) -> String {
    let Prediction { first, children, cleared, tried, running, at_once, build_time, .. } = prediction;
    written(|out| {
        write!(out, "rebuild {}", count(first.len(), "image"))?;
        if !children.is_empty() {
            let these = if first.len() == 1 { "it" } else { "them" };
            write!(out, " and the {} built on {these}", children.len())?;
        }
        write!(out, ": clears {}", count(*cleared, "finding"))?;
        if let Some(running) = running {
            write!(out, " in {} that run", count(*running, "image"))?;
        }
        if *tried > 0 {
            write!(out, ", tries {} without a named fix", count(*tried, "finding"))?;
        }
        let minutes = Span::between(now, prediction.ends).as_seconds().div_ceil(60);
        write!(out, ", about {minutes} minutes at {at_once} at a time, {} build hours", hours(*build_time))
    })
}

/// Writes hours with one digit after the point.
fn hours(span: Span) -> String {
    let tenths = (u64::from(span.as_seconds()) * 10).div_ceil(3_600);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn what_stays(prediction: &Prediction, shortfall: Option<&Shortfall>) -> Vec<String> {
    let mut lines = Vec::new();
    for (hold, images) in &prediction.stay {
        let names = some(images.iter(), SHOWN);
        let line = format!("{} {} with findings: {names}", count(images.len(), "image"), kept(images.len()));
        lines.push(format!("{} {line} ({hold})", paint(CAREFUL, "vulnerable")));
    }
    if let Some(Shortfall { images, raise, .. }) = shortfall {
        let limits: Vec<&str> = raise.keys().map(|limit| limit_key(*limit)).collect();
        let deadlines = count(*images, "deadline");
        lines.push(format!(
            "{} {deadlines} cannot be kept under {}",
            paint(CAREFUL, "late"),
            limits.join(" and ")
        ));
    }
    if prediction.running.is_none() {
        lines.push(format!("{} what runs: no survey is in these facts", paint(CAREFUL, "unknown")));
    }
    if prediction.without_time > 0 {
        let builds = count(prediction.without_time, "build");
        lines.push(paint(FAINT, format!("the time of {builds} is assumed: none was seen yet")));
    }
    lines
}

fn kept(images: usize) -> &'static str {
    if images == 1 { "stays" } else { "stay" }
}

/// Says what the first enforcement of every image starts, day by day.
pub(crate) fn write_days(first: &FirstDays, text: &mut String) -> fmt::Result {
    let head = format!(
        "If every image is enforced from now on: {} on {} of the next thirty",
        count(first.builds, "first build"),
        count(first.days.len(), "day")
    );
    writeln!(text, "{}", paint(STRONG, wrapped(0, &head)))?;
    for day in first.days.iter().take(DAYS_SHOWN) {
        let limit = day.limit.map(|limit| format!(", at {}", limit_key(limit))).unwrap_or_default();
        let names = some(day.images.iter(), SHOWN);
        let line = format!("{} {}{limit}: {names}", day.day, count(day.images.len(), "build"));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if let Some(Shortfall { images, first, raise, .. }) = &first.shortfall {
        let raise: Vec<String> =
            raise.iter().map(|(limit, to)| format!("{} to {to}", limit_key(*limit))).collect();
        let line = format!(
            "{} {} cannot be kept, first that of {first}. Raise {}",
            paint(CAREFUL, "late"),
            count(*images, "deadline"),
            raise.join(" and ")
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    Ok(())
}
