//! `requests`: what Patchwave asks of AWS in an ordinary time, counted while its own code runs in a simulated organisation.

use std::fmt::Write;

use patchwave::hierarchy::Hierarchy;
use patchwave::policy::Mode;
use patchwave_sim::{ORGANISATION, Ordinary, Requests as Counts};
use serde::Serialize;

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
}

pub(crate) fn run(args: &Args, options: &Requests) -> Result<Answer, BadInput> {
    let hierarchy = match &args.hierarchy {
        Some(_) => input::hierarchy(args)?,
        None => Hierarchy::parse("organisation.yaml", ORGANISATION)
            .map_err(|errors| BadInput::because(&errors))?,
    };
    // Where nothing is enforced nothing would be counted but looks.
    let observes = hierarchy.images().all(|image| image.policy.mode == Mode::Observe);
    let hierarchy = if observes { hierarchy.with_mode(Mode::Enforce) } else { hierarchy };
    let Requests { days, commits_a_day, vulnerabilities_a_month, seed } = *options;
    let images = hierarchy.len();
    let requests = Ordinary { days, commits_a_day, vulnerabilities_a_month, seed }.play(hierarchy).map_err(
        |broken| BadInput(format!("the simulation broke, which is a defect of Patchwave's: {broken}")),
    )?;
    let counted = Counted { images, days, commits_a_day, vulnerabilities_a_month, seed, requests };
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
            ("unsettled", requests.unsettled),
            ("records", requests.records),
            ("running", requests.running),
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
        for (name, number) in [
            ("executions", requests.executions),
            ("saves", requests.saves),
            ("claims", requests.claims),
            ("slots freed", requests.frees),
            ("starts", requests.starts),
            ("scans asked for", requests.scan_requests),
            ("looks asked for", requests.looks_asked),
            ("looks", requests.looks),
            ("ticks", requests.ticks),
        ] {
            writeln!(out, "  {name:<18}{number:>12}")?;
        }
        writeln!(out)?;
        for (name, number) in [
            ("half read units", requests.half_read_units),
            ("write units", requests.write_units),
            ("record bytes", requests.record_bytes),
            ("audit bytes", requests.audit_bytes),
            ("builds", requests.builds),
            ("build minutes", requests.build_minutes),
            ("deployments", requests.deployments),
        ] {
            writeln!(out, "  {name:<18}{number:>12}")?;
        }
        Ok(())
    })
}
