//! Logs: one JSON object a line, each with the request that it belongs to. Neither settings nor
//! credentials are logged.

use std::collections::BTreeMap;
use std::io::Write;

use patchwave::inventory::metric_line;
use patchwave::plan::Reason;
use patchwave::time::Timestamp;
use patchwave_converge::{FailureKind, PredictionOver, Report};
use serde_json::{Value, json};
use tracing::{Span, error, info, info_span, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings;

/// Starts logging. A second call changes nothing.
pub(crate) fn init() {
    let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    let log =
        tracing_subscriber::registry().with(filter(&settings::log_filter())).with(lines.with_ansi(false));
    // It fails only if a logger is already set, such as by another test.
    let _ = log.try_init();
}

/// What the runtime logs once more about a failed invocation, without its request and in Debug
/// form. A panic is on stderr too.
const REPEATS: &str = "lambda_runtime::layers::panic";

/// Reads levels by target, such as `warn,patchwave=info`. Parts that make no sense are left out.
///
/// `EnvFilter` can do more, but every function's package would hold an engine of regular
/// expressions for it.
fn filter(directives: &str) -> Targets {
    let readable = |directive: &&str| !directive.is_empty() && directive.parse::<Targets>().is_ok();
    let readable: Vec<&str> = directives.split(',').map(str::trim).filter(readable).collect();
    let asked: Targets = readable.join(",").parse().unwrap_or_default();
    asked.with_target(REPEATS, LevelFilter::OFF)
}

/// Returns the span that every line of a request belongs to.
pub(crate) fn request(function: &str, request_id: &str) -> Span {
    info_span!(target: "patchwave", "request", function, request_id)
}

/// Writes a line that CloudWatch makes metrics of. The line must hold nothing else: otherwise it is
/// only a log line.
pub(crate) fn figures(line: &Value) {
    // If the log is closed, the failure cannot be reported.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Logs what a pass did and did not do, and counts what failed.
pub(crate) fn report(report: &Report, now: Timestamp) {
    let figures_of_report = errors(report, now).into_iter().chain(unobserved(report, now));
    figures_of_report.chain(predictions(report, now)).for_each(|line| figures(&line));
    for started in &report.started {
        let reasons: Vec<&str> = started.reasons.iter().map(Reason::code).collect();
        info!(
            target: "patchwave",
            image = %started.image, pipeline = started.pipeline, execution = started.execution_id,
            build_key = %started.build_key, reasons = reasons.join(","), "started"
        );
    }
    for held in report.waiting() {
        info!(target: "patchwave", image = %held.image, why = held.hold.name(), lifted_by = held.lifted_by, "held");
    }
    // The service that delivers events discards the report. So what was proved and what is unknown
    // is in the log only.
    for proof in &report.proofs {
        info!(
            target: "patchwave",
            image = %proof.image, version = %proof.version, platform = %proof.platform, finding = %proof.finding,
            verdict = ?proof.verdict, "proved"
        );
    }
    for unknown in &report.unknown {
        let platform = unknown.platform.as_ref().map(ToString::to_string);
        warn!(target: "patchwave", image = %unknown.image, platform, because = unknown.because, "unknown");
    }
    for PredictionOver { image, predicted } in &report.predictions {
        let happened = predicted.happened.as_ref();
        info!(
            target: "patchwave",
            %image, images = predicted.images, takes = %predicted.takes,
            rebuilt = happened.map(|happened| happened.images),
            took = happened.map(|happened| happened.took.to_string()), "predicted"
        );
    }
    for doubt in &report.doubts {
        warn!(target: "patchwave", doubt, "doubted");
    }
    for image in &report.raced {
        info!(target: "patchwave", %image, "another invocation wrote it first");
    }
    for failure in &report.errors {
        let image = failure.image.as_ref().map(ToString::to_string);
        error!(target: "patchwave", image, kind = failure.kind.name(), "{}", failure.message);
    }
    info!(
        target: "patchwave",
        started = report.started.len(), held = report.waiting().count(), proofs = report.proofs.len(),
        unknown = report.unknown.len(), errors = report.errors.len(), "done"
    );
}

/// Returns the metric `Errors`: all failures in one line, which an alarm can watch, and those of
/// each kind in another. A pass without failures writes nothing, so that it costs nothing.
fn errors(report: &Report, now: Timestamp) -> Vec<Value> {
    let mut kinds = BTreeMap::<FailureKind, usize>::new();
    for failure in &report.errors {
        *kinds.entry(failure.kind).or_default() += 1;
    }
    let all = (!kinds.is_empty()).then_some((None, report.errors.len()));
    let each = kinds.into_iter().map(|(kind, count)| (Some(("Kind", kind.name().to_owned())), count));
    let line = |(dimension, count)| metric_line(now, dimension, &[("Errors", json!(count), "Count")]);
    all.into_iter().chain(each).map(line).collect()
}

/// Returns the metric `Unobserved`, if the pass ended before it observed everything.
fn unobserved(report: &Report, now: Timestamp) -> Option<Value> {
    let count = report.unobserved;
    (count > 0).then(|| metric_line(now, None, &[("Unobserved", json!(count), "Count")]))
}

/// Returns the metric `PredictionRatio` of each prediction that is over.
fn predictions(report: &Report, now: Timestamp) -> impl Iterator<Item = Value> {
    let ratios = report.predictions.iter().filter_map(|over| over.predicted.ratio());
    ratios.map(move |ratio| metric_line(now, None, &[("PredictionRatio", json!(ratio), "None")]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use patchwave::plan::Hold;
    use patchwave::predicted::{Happened, Predicted};
    use patchwave::time::Span;
    use patchwave_converge::{Failure, Held};
    use tracing::Level;

    use super::*;

    fn logged(report: &Report) -> String {
        let (log, writer) = std::io::pipe().unwrap();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(writer));
        tracing::subscriber::with_default(lines.finish(), || super::report(report, Timestamp::UNIX_EPOCH));
        std::io::read_to_string(log).unwrap()
    }

    fn held(image: &str, hold: Hold) -> Held {
        Held { image: image.parse().unwrap(), hold, lifted_by: String::new(), reasons: Vec::new() }
    }

    #[test]
    fn an_image_without_a_reason_to_rebuild_is_not_logged() {
        let held = vec![held("apps/old:1", Hold::Frozen), held("apps/fresh:1", Hold::Fresh)];
        let log = logged(&Report { held, ..Report::default() });
        assert!(log.contains("apps/old:1") && log.contains("Frozen") && log.contains("held=1"), "{log}");
        assert!(!log.contains("apps/fresh:1"), "{log}");
    }

    #[test]
    fn failures_are_counted_together_and_by_kind() {
        let failure = |kind| Failure { kind, image: None, message: String::new() };
        let errors = [FailureKind::Notice, FailureKind::Scan, FailureKind::Notice].map(failure).to_vec();
        let lines = errors_of(Report { errors, ..Report::default() });
        assert_eq!(
            lines,
            [
                (json!([]), 3, Value::Null),
                (json!(["Kind"]), 1, json!("scan")),
                (json!(["Kind"]), 2, json!("notice"))
            ]
        );
        assert_eq!(errors_of(Report::default()), [], "an installation without failures pays for no metric");
    }

    #[test]
    fn what_a_pass_did_not_observe_is_a_metric() {
        let of = |unobserved| {
            let line = super::unobserved(&Report { unobserved, ..Report::default() }, Timestamp::UNIX_EPOCH);
            line.map(|line| line["Unobserved"].clone())
        };
        assert_eq!((of(0), of(37)), (None, Some(json!(37))));
    }

    #[test]
    fn a_prediction_that_is_over_is_a_metric_and_a_line() {
        let happened = Some(Happened { images: 14, took: Span::minutes(100) });
        let (since, takes) = (Timestamp::UNIX_EPOCH, Span::minutes(50));
        let predicted = Predicted { since, images: 15, takes, findings: 3, happened };
        let image = "base/os:1".parse().unwrap();
        let report = Report { predictions: vec![PredictionOver { image, predicted }], ..Report::default() };
        let lines: Vec<Value> = predictions(&report, Timestamp::UNIX_EPOCH).collect();
        assert_eq!(lines.iter().map(|line| &line["PredictionRatio"]).collect::<Vec<_>>(), [&json!(0.5)]);
        let log = logged(&report);
        assert!(log.contains("predicted") && log.contains("rebuilt=14") && log.contains("50m"), "{log}");
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write reports in place")]
    fn errors_of(report: Report) -> Vec<(Value, u64, Value)> {
        let lines = errors(&report, Timestamp::UNIX_EPOCH);
        let read = |line: &Value| {
            let dimensions = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0].clone();
            (dimensions, line["Errors"].as_u64().unwrap(), line["Kind"].clone())
        };
        lines.iter().map(read).collect()
    }

    #[test]
    fn the_words_of_the_report_and_of_the_metric_are_the_same() {
        use FailureKind::{Notice, Read, Scan, Schedule, Start, Write};
        for kind in [Read, Write, Start, Scan, Notice, Schedule] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn a_filter_is_read_as_far_as_it_makes_sense() {
        let asked = filter("warn, patchwave=debug,patchwave=[{,,aws_config=loud");
        assert!(asked.would_enable("patchwave", &Level::DEBUG));
        assert!(!asked.would_enable("patchwave", &Level::TRACE));
        assert!(asked.would_enable("aws_config", &Level::WARN));
        assert!(!asked.would_enable("aws_config", &Level::INFO));
        assert!(!asked.would_enable(REPEATS, &Level::ERROR));
    }
}
