//! `simulate`: runs Patchwave in random small fleets with injected faults, and checks its promises.

use std::fmt::{self, Write};
use std::num::NonZero;
use std::{mem, thread};

use clap::ValueEnum;
use patchwave_sim::{
    Baseline, Coverage, Handler, InjectedFault, Level, Run, Scenario, Size, Tally, Wave, Waved,
};
use serde::Serialize;

use crate::args::{Args, Faults, Simulate};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::progress;
use crate::render::{BAD, GOOD, STRONG, count, paint, some, wrapped, written};

/// From this many seeds on every kind of fault must strike: otherwise the run tests less than it
/// seems to.
const ENOUGH: u64 = 200;

/// How many lines of a story the text shows: a page.
const PAGE: usize = 60;

/// How many failing seeds the text names.
const NAMED: usize = 10;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    first: u64,
    /// The options that choose these fleets, beside the seed.
    #[serde(skip)]
    worlds: String,
    #[serde(flatten)]
    tally: Tally,
    /// Kinds that should have struck and did not.
    never_struck: Vec<InjectedFault>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    story: Vec<String>,
}

pub(crate) fn run(args: &Args, options: &Simulate) -> Result<Answer, BadInput> {
    if let Some(images) = options.wave {
        let wave = Wave { images, slots: options.slots, page_size: 200, seed: 7 };
        let (hierarchy, _) = input::to_play(&input::built_in("the family", &wave.file()))?;
        return Ok(Answer::render(args.format, &wave.run(hierarchy)?, wave_text));
    }
    let level = level(options.faults);
    let (tally, story) = if options.story {
        narrated(options, level)?
    } else {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let (first, seeds, size) = (options.first, options.seeds, size(options));
        // The simpler handlers never end in a large family.
        let baselines = !options.alone && !options.huge && level != Level::NoEvents;
        let run = Run { first, seeds, size, level, baselines, threads };
        (run.run(&|done| show(done, options.seeds)).map_err(|error| BadInput::because(&error))?, Vec::new())
    };
    let struck = |fault: &InjectedFault| tally.faults.contains_key(fault);
    let must_strike = options.seeds >= ENOUGH && matches!(options.faults, Faults::Some | Faults::Many);
    let never_struck = InjectedFault::ALL.into_iter().filter(|fault| must_strike && !struck(fault)).collect();
    let totals = Totals { first: options.first, worlds: worlds(options), tally, never_struck, story };
    let found = totals.tally.violations > 0 || !totals.never_struck.is_empty();
    Ok(Answer::render(args.format, &totals, text).with_findings(found))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn wave_text(waved: &Waved) -> String {
    written(|out| {
        let Waved { images, slots, .. } = waved;
        writeln!(
            out,
            "{}",
            paint(STRONG, format!("A wave through {images} images, {slots} builds at once"))
        )?;
        let per_build = waved.builds as f64 / f64::from(*images);
        writeln!(out, "  {:<40}{:>12}", "builds", waved.builds)?;
        writeln!(out, "  {:<40}{per_build:>12.2}", "builds of each image")?;
        writeln!(out, "  {:<40}{:>12}", "invocations", waved.invocations)?;
        writeln!(out, "  {:<40}{:>12}", "images observed", waved.observed)?;
        writeln!(out, "  {:<40}{:>12.1}", "observations of each image", waved.observed_per_image)?;
        writeln!(out, "  {:<40}{:>12.1}", "ECR calls for each image", waved.ecr_calls_per_image)?;
        writeln!(out, "  {:<40}{:>12}", "most images in one page", waved.largest_page)?;
        writeln!(out, "  {:<40}{:>12}", "records written", waved.saves)?;
        writeln!(out, "  {:<40}{:>12}", "makespan", waved.makespan.to_string())?;
        writeln!(out, "  {:<40}{:>12.2}", "makespan / shortest possible", waved.makespan_per_bound)
    })
}

/// Simulates one seed after another, and returns what happened in the last one; if one failed, in
/// the last that failed.
fn narrated(options: &Simulate, level: Level) -> Result<(Tally, Vec<String>), BadInput> {
    let (mut tally, mut shown) = (Tally::default(), Vec::new());
    for seed in (options.first..).take(usize::try_from(options.seeds).unwrap_or(usize::MAX)) {
        let (size, handler) = (size(options), Handler::Patchwave);
        let scenario = Scenario { seed, size, level, handler, planted: None, with_log: true };
        let mut outcome = scenario.run().map_err(|error| BadInput::because(&error))?;
        let story = mem::take(&mut outcome.log);
        if tally.failing.is_empty() || !outcome.violations.is_empty() {
            shown = story;
        }
        tally.add(outcome);
    }
    Ok((tally, shown))
}

fn size(options: &Simulate) -> Size {
    match options {
        Simulate { huge: true, .. } => Size::Huge,
        Simulate { large: true, .. } => Size::Large,
        _ => Size::Small,
    }
}

fn worlds(options: &Simulate) -> String {
    let faults =
        options.faults.to_possible_value().map_or_else(String::new, |faults| faults.get_name().to_owned());
    let size = match size(options) {
        Size::Small => "",
        Size::Large => " --large",
        Size::Huge => " --huge",
    };
    format!(" --faults {faults}{size}")
}

fn level(faults: Faults) -> Level {
    match faults {
        Faults::None => Level::None,
        Faults::Some => Level::Some,
        Faults::Many => Level::Many,
        Faults::Silence => Level::NoEvents,
    }
}

/// Shows the progress at a terminal.
fn show(done: u64, of: u64) {
    let line = if done == of { String::new() } else { format!("{done} of {of} seeds") };
    progress::show(&line);
}

fn text(totals: &Totals) -> String {
    let tally = &totals.tally;
    written(|out| {
        writeln!(
            out,
            "{}",
            paint(STRONG, format!("{} from {} on", plural(tally.seeds, "seed"), totals.first))
        )?;
        let counts = [
            ("passes", tally.passes),
            ("events", tally.events),
            ("builds", tally.builds),
            ("distinct states", tally.states.estimate()),
            ("lost", tally.lost),
            ("duplicates", tally.duplicates),
            ("violations", tally.violations),
        ];
        for (name, number) in counts {
            writeln!(out, "  {name:<18}{number:>10}")?;
        }
        baselines(out, tally)?;
        coverage(out, &tally.coverage)?;
        writeln!(out, "\n{}", paint(STRONG, "faults that struck"))?;
        for (fault, times) in &tally.faults {
            writeln!(out, "  {:<18}{times:>10}", words(fault))?;
        }
        for fault in &totals.never_struck {
            writeln!(out, "  {:<18}{}", words(fault), paint(BAD, format!("{:>10}", "never")))?;
        }
        failing(out, totals)?;
        writeln!(out, "\n{}", verdict(totals))
    })
}

/// Says in the last line whether the run passed, and if not, why.
fn verdict(totals: &Totals) -> String {
    let mut because = Vec::new();
    let violations = totals.tally.violations;
    if violations > 0 {
        because.push(plural(violations, "violation"));
    }
    if !totals.never_struck.is_empty() {
        let kinds = totals.never_struck.iter().map(words);
        let kinds = some(kinds, totals.never_struck.len());
        because.push(format!("simulate more seeds, because these kinds of fault never struck: {kinds}"));
    }
    if because.is_empty() {
        return paint(GOOD, "Passed: no violation.");
    }
    paint(BAD, wrapped(0, &format!("Failed: {}.", because.join("; "))))
}

/// Names a kind of fault as people write it: `event dropped`.
fn words(kind: &impl Serialize) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    let mut words = String::new();
    for character in name.as_str().unwrap_or_default().chars() {
        if character.is_uppercase() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

/// The same worlds with handlers that keep no ledger.
fn baselines(out: &mut String, tally: &Tally) -> fmt::Result {
    if tally.baselines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint(STRONG, "handlers in the same fleets"))?;
    writeln!(out, "  {:<18}{:>10}{:>10}{:>12}", "", "builds", "lost", "duplicates")?;
    let ours = Baseline { builds: tally.builds, lost: tally.lost, duplicates: tally.duplicates };
    let baselines = tally.baselines.iter().map(|(handler, baseline)| (*handler, *baseline));
    for (handler, Baseline { builds, lost, duplicates }) in
        [(Handler::Patchwave, ours)].into_iter().chain(baselines)
    {
        let name = match handler {
            Handler::Patchwave => "patchwave",
            Handler::Naive => "naive",
            Handler::ByEventId => "by event id",
        };
        writeln!(out, "  {name:<18}{builds:>10}{lost:>10}{duplicates:>12}")?;
    }
    Ok(())
}

/// What the run tested: what met the builds, and which holds, reasons and verdicts occurred.
fn coverage(out: &mut String, coverage: &Coverage) -> fmt::Result {
    let Coverage { executions, executions_met, actions, actions_in_builds, .. } = coverage;
    writeln!(out, "\n{}", paint(STRONG, "what met the builds"))?;
    for (name, part, of) in [
        ("builds that met a fault", executions_met, executions),
        ("actions in builds", actions_in_builds, actions),
    ] {
        let percent = (100 * part).checked_div(*of).unwrap_or(0);
        writeln!(out, "  {name:<20}{part:>8} of {of} ({percent} %)")?;
    }
    let Coverage { holds, awaited, reasons, verdicts, .. } = coverage;
    for (name, worlds) in
        [("holds", holds), ("awaited", awaited), ("reasons", reasons), ("verdicts", verdicts)]
    {
        let worlds: Vec<String> = worlds.iter().map(|(name, worlds)| format!("{name} {worlds}")).collect();
        writeln!(out, "{}", wrapped(2, &format!("{name}, and in how many fleets: {}", worlds.join(", "))))?;
    }
    for (not_yet, times) in &coverage.not_yet {
        writeln!(out, "  not yet: {} {times}", words(not_yet))?;
    }
    Ok(())
}

fn failing(out: &mut String, totals: &Totals) -> fmt::Result {
    for (seed, violations) in totals.tally.failing.iter().take(NAMED) {
        writeln!(out, "\n{}", paint(BAD, format!("seed {seed}")))?;
        for violation in violations {
            writeln!(out, "  {violation}")?;
        }
        if totals.story.is_empty() {
            writeln!(
                out,
                "  what happened: patchwave simulate --seeds 1 --first {seed}{} --story",
                totals.worlds
            )?;
        }
    }
    let skipped = totals.story.len().saturating_sub(PAGE);
    if skipped > 0 {
        writeln!(out, "\n… {} before", plural(skipped as u64, "line"))?;
    }
    totals.story.iter().skip(skipped).try_for_each(|line| writeln!(out, "{line}"))
}

fn plural(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}
