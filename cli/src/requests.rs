//! `requests`: counts the calls to AWS while the functions' own code runs in a simulation without
//! faults.

use std::fmt::{self, Write};

use patchwave_sim::{Ordinary, Requests as Counts, UpstreamMonth, Watched};
use serde::{Deserialize, Serialize};

use crate::args::{Args, Requests};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{STRONG, paint, written};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    images: usize,
    days: u32,
    commits_a_day: u32,
    vulnerabilities_a_month: u32,
    seed: u64,
    requests: Counts,
    /// What watching the upstream tags of the hierarchy adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Watched>,
}

/// The list prices that `infra/costs.py` takes too.
const PRICES: &str = include_str!("../../infra/prices.json");
/// As `infra/costs.py` assumes: how long a registry takes to answer, and the memory of a function.
const ANSWER_SECONDS: f64 = 0.2;
const MEMORY_GB: f64 = 0.25;
const DAYS: f64 = 30.0;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    as_of: String,
    region: String,
    prices: Prices,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prices {
    lambda_gb_second_arm: f64,
    dynamodb_read_unit: f64,
    dynamodb_write_unit: f64,
}

/// Returns what a month of the watch costs.
fn usd_a_month(of: &Watched, prices: &Prices) -> f64 {
    let asked = of.requests;
    let seconds = number(asked.heads + asked.gets + asked.tokens) * ANSWER_SECONDS;
    let usd = seconds * MEMORY_GB * prices.lambda_gb_second_arm
        + number(of.half_read_units) / 2.0 * prices.dynamodb_read_unit
        + number(of.write_units) * prices.dynamodb_write_unit;
    usd * DAYS / f64::from(of.days.max(1))
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn run(args: &Args, options: &Requests) -> Result<Answer, BadInput> {
    let written_file = input::file_to_play(args)?;
    let (hierarchy, _) = input::to_play(&written_file)?;
    let Requests { days, commits_a_day, vulnerabilities_a_month, seed, .. } = *options;
    let images = hierarchy.len();
    if images == 0 {
        return Err(BadInput::new(format!(
            "{}: nothing to simulate: the hierarchy names no image",
            written_file.name
        )));
    }
    let tags = match options.upstream_tags {
        Some(count) => UpstreamMonth::usual_tags(count as usize),
        None => UpstreamMonth::tags_of(&hierarchy),
    };
    let upstream = UpstreamMonth { tags, days, most_gets: None, seed };
    let upstream = if upstream.tags.is_empty() { None } else { Some(upstream.run()?) };
    let requests = Ordinary { days, commits_a_day, vulnerabilities_a_month, seed }.run(hierarchy)?;
    let counted = Counted { images, days, commits_a_day, vulnerabilities_a_month, seed, requests, upstream };
    Ok(Answer::render(args.format, &counted, text))
}

fn text(counted: &Counted) -> String {
    let Counted { images, days, requests, .. } = counted;
    written(|out| {
        writeln!(out, "{}", paint(STRONG, format!("{images} images, {days} days")))?;
        writeln!(
            out,
            "\n  {:<18}{:>12}{:>12}{:>12}{:>12}",
            "", "messages", "invocations", "images", "log lines"
        )?;
        let Counts { scan_complete, rebuild_fanout, inventory, .. } = requests;
        for (name, of) in
            [("scan-complete", scan_complete), ("rebuild-fanout", rebuild_fanout), ("inventory", inventory)]
        {
            let (messages, invocations) = (of.messages, of.invocations);
            writeln!(
                out,
                "  {name:<18}{messages:>12}{invocations:>12}{:>12}{:>12}",
                of.images, of.log_lines
            )?;
        }
        writeln!(out, "\n  {:<18}{:>12}{:>12}", "", "calls", "items")?;
        for (name, asked) in [
            ("schedule", requests.schedule),
            ("records", requests.records),
            ("deployments", requests.deployments),
            ("slots", requests.slots),
            ("current versions", requests.currents),
            ("other versions", requests.versions),
            ("histories", requests.histories),
            ("scans", requests.scans),
            ("pipelines", requests.pipelines),
            ("notices", requests.notices),
        ] {
            writeln!(out, "  {name:<18}{:>12}{:>12}", asked.calls, asked.items)?;
        }
        let calls = [
            ("executions", requests.executions),
            ("saves", requests.saves),
            ("claims", requests.claims),
            ("slots freed", requests.frees),
            ("starts", requests.starts),
            ("scans asked for", requests.scan_requests),
            ("rechecks scheduled", requests.rechecks_requested),
            ("rechecks", requests.rechecks),
            ("ticks", requests.ticks),
        ];
        let amounts = [
            ("half read units", requests.half_read_units),
            ("write units", requests.write_units),
            ("record bytes", requests.record_bytes),
            ("audit bytes", requests.audit_bytes),
            ("builds", requests.builds),
            ("build minutes", requests.build_minutes),
            ("rollouts", requests.rollouts),
        ];
        numbers(out, &calls)?;
        writeln!(out)?;
        numbers(out, &amounts)?;
        counted.upstream.as_ref().map_or(Ok(()), |upstream| watched(out, upstream))
    })
}

/// Writes what the watch of upstream tags asks, and what two simpler watches ask.
fn watched(out: &mut String, of: &Watched) -> fmt::Result {
    let asked = of.requests;
    let tags = if of.tags == 1 { "1 upstream tag".to_owned() } else { format!("{} upstream tags", of.tags) };
    writeln!(out, "\n{}", paint(STRONG, format!("{tags}, {} days, beside the above", of.days)))?;
    numbers(
        out,
        &[
            ("heads", asked.heads),
            ("gets by digest", asked.gets),
            ("tokens", asked.tokens),
            ("changes seen", of.changes),
            ("half read units", of.half_read_units),
            ("write units", of.write_units),
        ],
    )?;
    let Listed { as_of, region, prices } = serde_json::from_str(PRICES).map_err(|_| fmt::Error)?;
    let usd = usd_a_month(of, &prices);
    writeln!(out, "  {:<18}{usd:>12.2}  list prices of {region} as of {as_of}", "USD a month")?;
    let (polling, listing) = (of.polling, of.listing);
    writeln!(
        out,
        "  getting each manifest at each tick: {} requests, {} of them pulls, and Docker Hub refuses {}",
        polling.requests, polling.pulls, polling.refused
    )?;
    writeln!(out, "  listing all tags at each tick: {} requests", listing.requests)
}

fn numbers(out: &mut String, numbers: &[(&str, u64)]) -> fmt::Result {
    numbers.iter().try_for_each(|(name, number)| writeln!(out, "  {name:<18}{number:>12}"))
}
