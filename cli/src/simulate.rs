//! `simulate`: random small worlds in which everything goes wrong, and whether the promises hold.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use patchwave_sim::{Level, Outcome, Play, Trouble};
use serde::Serialize;

use crate::args::{Args, Faults, Simulate};
use crate::input::BadInput;
use crate::output::Answer;
use crate::render::{BAD, STRONG, count, paint, written};

/// From this many seeds on every kind of fault must have struck: otherwise the run says less than it seems to.
const ENOUGH: u64 = 200;

/// How many lines of a story are shown: a page.
const PAGE: usize = 60;

/// How many failing seeds the text names.
const NAMED: usize = 10;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    first: u64,
    seeds: u64,
    passes: u64,
    events: u64,
    builds: u64,
    lost: u64,
    duplicates: u64,
    violations: u64,
    /// How often each kind of fault struck.
    faults: BTreeMap<Trouble, u64>,
    /// Kinds that should have struck and did not.
    never_struck: Vec<Trouble>,
    /// The seeds with violations, and which.
    failing: BTreeMap<u64, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    story: Vec<String>,
}

pub(crate) fn run(args: &Args, options: &Simulate) -> Result<Answer, BadInput> {
    let mut totals = Totals { first: options.first, ..Totals::default() };
    for seed in (options.first..).take(usize::try_from(options.seeds).unwrap_or(usize::MAX)) {
        let play = Play { seed, level: level(options.faults), planted: None, tell: options.story };
        totals.add(play.run().map_err(|error| BadInput::because(&error))?);
        show(totals.seeds, options.seeds);
    }
    if options.seeds >= ENOUGH && options.faults != Faults::None {
        let struck = |trouble: &Trouble| totals.faults.contains_key(trouble);
        totals.never_struck = Trouble::ALL.into_iter().filter(|trouble| !struck(trouble)).collect();
    }
    let found = totals.violations > 0 || !totals.never_struck.is_empty();
    Ok(Answer::render(args.format, &totals, text).with_findings(found))
}

fn level(faults: Faults) -> Level {
    match faults {
        Faults::None => Level::None,
        Faults::Some => Level::Some,
        Faults::Many => Level::Many,
    }
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.passes += outcome.passes;
        self.events += outcome.events;
        self.builds += outcome.builds;
        self.lost += outcome.lost;
        self.duplicates += outcome.duplicates;
        self.violations += outcome.violations.len() as u64;
        for (trouble, times) in outcome.faults {
            *self.faults.entry(trouble).or_default() += times;
        }
        // Of several stories the last is told; one that ends badly before any other.
        if !outcome.story.is_empty() && (self.failing.is_empty() || !outcome.violations.is_empty()) {
            self.story = outcome.story;
        }
        if !outcome.violations.is_empty() {
            self.failing.insert(outcome.seed, outcome.violations);
        }
    }
}

/// Shows at a terminal how far it is.
fn show(done: u64, of: u64) {
    if !io::stderr().is_terminal() || (!done.is_multiple_of(10) && done != of) {
        return;
    }
    let mut stderr = io::stderr().lock();
    let line = if done == of { String::new() } else { format!("{done} of {of} seeds") };
    // Nobody misses a line that could not be shown.
    let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
}

fn text(totals: &Totals) -> String {
    written(|out| {
        writeln!(
            out,
            "{}",
            paint(STRONG, format!("{} from {} on", plural(totals.seeds, "seed"), totals.first))
        )?;
        let counts = [
            ("passes", totals.passes),
            ("events", totals.events),
            ("builds", totals.builds),
            ("lost", totals.lost),
            ("duplicates", totals.duplicates),
            ("violations", totals.violations),
        ];
        for (name, number) in counts {
            writeln!(out, "  {name:<18}{number:>10}")?;
        }
        writeln!(out, "\n{}", paint(STRONG, "faults that struck"))?;
        for (trouble, times) in &totals.faults {
            writeln!(out, "  {:<18}{times:>10}", format!("{trouble:?}"))?;
        }
        for trouble in &totals.never_struck {
            writeln!(out, "  {:<18}{:>10}", format!("{trouble:?}"), paint(BAD, "never"))?;
        }
        failing(out, totals)
    })
}

fn failing(out: &mut String, totals: &Totals) -> fmt::Result {
    for (seed, violations) in totals.failing.iter().take(NAMED) {
        writeln!(out, "\n{}", paint(BAD, format!("seed {seed}")))?;
        for violation in violations {
            writeln!(out, "  {violation}")?;
        }
        if totals.story.is_empty() {
            writeln!(out, "  its story: patchwave simulate --seeds 1 --first {seed} --story")?;
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
