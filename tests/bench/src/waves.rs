//! Waves through hierarchies in the simulator: what Patchwave builds and reads, and what others build
//! in the same worlds. Nothing here is timed: all times are virtual.

use patchwave::hierarchy::Hierarchy;
use patchwave::time::Span;
use patchwave_sim::{Contest, Contested, Policy, Rolled, Wave};

use crate::graph::whole;
use crate::table::Row;

/// Builds at once in hierarchies of four levels.
const SLOTS: u32 = 60;
/// Builds at once in one large family.
const FAMILY_SLOTS: u32 = 160;
const SEED: u64 = 7;
/// How many of a hundred builds change nothing.
const UNCHANGED: u32 = 30;

/// Measures waves through so many images.
pub(crate) fn measure(images: u32) -> Result<Vec<Row>, String> {
    let mut rows = contest(images)?;
    rows.extend(family(images)?);
    Ok(rows)
}

fn contest(images: u32) -> Result<Vec<Row>, String> {
    let contest = Contest { images, slots: SLOTS, seed: SEED };
    let hierarchy = parse(&contest.file())?;
    let contested = contest.run(&hierarchy).map_err(|error| error.to_string())?;
    let Contested { affected, bound, patchwave, rivals } = &contested;
    if *affected != u64::from(images) {
        return Err(format!("{affected} of {images} images were built"));
    }
    let rival = |policy: Policy| rivals.get(&policy).ok_or_else(|| "a rival is missing".to_owned());
    let (edge, barrier, rounds) =
        (rival(Policy::EdgeTriggered)?, rival(Policy::LevelBarrier)?, rival(Policy::HourlyRounds)?);
    let of_each = |rolled: &Rolled| ratio(rolled.builds, *affected);
    let what = format!("builds of each affected image, {images} images in four levels, {SLOTS} at once");
    let all = contest.builds_after_a_push(&hierarchy, 0).map_err(|error| error.to_string())?;
    let fewer = contest.builds_after_a_push(&hierarchy, UNCHANGED).map_err(|error| error.to_string())?;
    Ok(vec![
        Row::at_most(&what, of_each(patchwave), 1.0, "builds"),
        Row::at_most("… wasted builds", number(patchwave.wasted), 0.0, "builds"),
        Row::at_most("… makespan ÷ bound", over(patchwave.makespan, *bound), 1.1, "×"),
        Row::at_least(
            "… builds of an edge-triggered handler ÷ ours",
            of_each(edge) / of_each(patchwave),
            2.0,
            "×",
        ),
        Row::at_least("… its makespan ÷ ours", over(edge.makespan, patchwave.makespan), 1.0, "×"),
        Row::at_least(
            "… makespan with a barrier between levels ÷ ours",
            over(barrier.makespan, patchwave.makespan),
            1.0,
            "×",
        ),
        Row::at_least(
            "… makespan in hourly rounds, as of Docker's official images ÷ ours",
            over(rounds.makespan, patchwave.makespan),
            2.0,
            "×",
        ),
        Row::at_most(
            &format!("builds after a push of the base, {UNCHANGED} % without a change ÷ all change"),
            ratio(fewer, all),
            0.6,
            "×",
        ),
    ])
}

fn family(images: u32) -> Result<Vec<Row>, String> {
    let wave = Wave { images, slots: FAMILY_SLOTS, page_size: 200, seed: SEED };
    let waved = wave.run(parse(&wave.file())?).map_err(|error| error.to_string())?;
    let what = format!("observations of each image, one family of {images}, {FAMILY_SLOTS} at once");
    Ok(vec![
        Row::at_most(&what, waved.observed_per_image, 8.0, "observations"),
        Row::at_most("… ECR calls, two pages a scan", waved.ecr_calls_per_image, 40.0, "calls"),
        Row::at_most("… most images in one page", number(waved.largest_page), 500.0, "images"),
        Row::at_most("… builds", ratio(waved.builds, u64::from(images)), 1.0, "builds"),
        Row::at_most("… makespan ÷ shortest possible", waved.makespan_per_bound, 1.1, "×"),
    ])
}

fn parse(yaml: &str) -> Result<Hierarchy, String> {
    Hierarchy::parse("waves.yaml", yaml).map_err(|errors| errors.to_string())
}

fn ratio(part: u64, of: u64) -> f64 {
    number(part) / number(of.max(1))
}

fn over(one: Span, other: Span) -> f64 {
    f64::from(one.as_seconds()) / f64::from(other.as_seconds().max(1))
}

fn number(count: u64) -> f64 {
    whole(usize::try_from(count).unwrap_or(usize::MAX))
}
