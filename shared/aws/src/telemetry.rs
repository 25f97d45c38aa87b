//! Logs: one JSON object a line, each with the request that it belongs to. Neither settings nor credentials are logged.

use std::io::Write;

use patchwave::plan::Reason;
use patchwave_converge::Report;
use serde_json::Value;
use tracing::{Span, error, info, info_span, warn};
use tracing_subscriber::EnvFilter;

use crate::settings;

/// Starts logging. A second start changes nothing.
pub(crate) fn init() {
    let filter = EnvFilter::builder().parse_lossy(settings::log_filter());
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    // It fails only where somebody else already logs, such as another test.
    let _ = lines.with_env_filter(filter).with_ansi(false).try_init();
}

/// Returns the span that every line of a request belongs to.
pub(crate) fn request(function: &str, request_id: &str) -> Span {
    info_span!(target: "patchwave", "request", function, request_id)
}

/// Writes a line that CloudWatch makes metrics of. It must stand alone: with anything around it, it is only a log line.
pub(crate) fn figures(line: &Value) {
    // Whoever closed the log cannot be told.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Logs what a pass did and did not do.
pub(crate) fn report(report: &Report) {
    for started in &report.started {
        let reasons: Vec<&str> = started.reasons.iter().map(Reason::code).collect();
        info!(
            target: "patchwave",
            image = %started.image, pipeline = started.pipeline, execution = started.execution_id,
            build_key = %started.build_key, reasons = reasons.join(","), "started"
        );
    }
    for held in &report.held {
        info!(target: "patchwave", image = %held.image, why = held.hold.name(), lifted_by = held.lifted_by, "held");
    }
    // Whoever delivers events or batches throws the report away: what was proved and what is not known stands here alone.
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
    for doubt in &report.doubts {
        warn!(target: "patchwave", doubt, "doubted");
    }
    for failure in &report.errors {
        let image = failure.image.as_ref().map(ToString::to_string);
        error!(target: "patchwave", image, "{}", failure.message);
    }
    info!(
        target: "patchwave",
        started = report.started.len(), held = report.held.len(), proofs = report.proofs.len(),
        unknown = report.unknown.len(), errors = report.errors.len(), "done"
    );
}
