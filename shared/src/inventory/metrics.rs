//! Prints the inventory as metrics, in the format that CloudWatch reads from log lines.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde_json::{Value, json};

use super::answer::Answer;
use super::state::Inventory;
use crate::finding::Severity;
use crate::time::{Span, Timestamp};

/// The CloudWatch namespace of the metrics.
pub const NAMESPACE: &str = "Patchwave";
/// The severities that have metrics of their own. Unrated findings are in none of them.
const SEVERITIES: [Severity; 4] = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];

/// Returns the log lines that CloudWatch reads metrics from: one for everything, and one for each
/// severity.
///
/// While no exposure has stopped, there is no mean time: zero would look like a very good one.
pub fn metrics(inventory: &Inventory, answer: &Answer, now: Timestamp) -> Vec<Value> {
    let totals = answer.totals();
    let days = |span: Span| f64::from(span.as_seconds()) / 86_400.0;
    let oldest = answer.running.iter().filter_map(|row| row.age).max().map_or(0.0, days);
    let mut all = vec![
        ("RunningImages", json!(totals.running), "Count"),
        ("OldestRunningImageDays", json!(oldest), "None"),
        ("Unknowns", json!(answer.unexpected()), "Count"),
        ("RebuiltNotDeployed", json!(totals.behind), "Count"),
        ("UnapprovedRunningImages", json!(totals.strangers), "Count"),
    ];
    let mean = |severity| inventory.mean_time_to_patched(severity).map(|mean| json!(mean.as_seconds()));
    all.extend(mean(None).map(|mean| ("MeanTimeToPatched", mean, "Seconds")));
    let mut lines = vec![metric_line(now, None, &all)];
    for severity in SEVERITIES {
        let rows = answer.running.iter().filter(|row| row.severity == Some(severity)).count();
        let mut of_it = vec![("VulnerableRunningImages", json!(rows), "Count")];
        of_it.extend(mean(Some(severity)).map(|mean| ("MeanTimeToPatched", mean, "Seconds")));
        lines.push(metric_line(now, Some(("Severity", severity.to_string())), &of_it));
    }
    lines
}

/// Returns a log line that CloudWatch reads metrics from. Each has a name, a value and a unit, and
/// all have the one dimension, by name and value.
pub fn metric_line(
    now: Timestamp,
    dimension: Option<(&str, String)>,
    figures: &[(&str, Value, &str)],
) -> Value {
    let definitions: Vec<Value> =
        figures.iter().map(|(name, _, unit)| json!({ "Name": name, "Unit": unit })).collect();
    let dimensions: Vec<&str> = dimension.iter().map(|(name, _)| *name).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": definitions }],
        },
    });
    if let Some((name, value)) = dimension {
        line[name] = json!(value);
    }
    for (name, value, _) in figures {
        line[*name] = value.clone();
    }
    line
}
