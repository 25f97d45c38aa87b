//! `demo`: a critical CVE in a base image, handled by the functions' own code in a simulated world.

mod collect;
mod prediction;
mod progress;
mod report;
mod schedule;
mod text;
mod watcher;

use patchwave::hierarchy::Hierarchy;
use patchwave::time::Span;
use patchwave_sim::{Observation, Simulation};

use crate::args::{Args, Demo};
use crate::input::{self, BadInput};
use crate::output::Answer;
use collect::FirstEvent;
use prediction::predict;
use progress::Progress;
use report::DemoReport;
use watcher::Watcher;

/// When the vulnerability becomes public: after the day's first sweep.
const QUIET_MORNING: Span = Span::hours(1);

/// Longer than any simulation: a limit of starts a day can spread the builds over many days.
const LONGEST_STORY: Span = Span::days(60);

pub(crate) fn run(args: &Args, options: &Demo) -> Result<Answer, BadInput> {
    for file in options.save_hierarchy.iter().chain(&options.save_facts) {
        input::check_is_new(file)?;
    }
    let written = input::file_to_play(args)?;
    let (hierarchy, as_if_enforced) = input::to_play(&written)?;
    if let Some(file) = &options.save_hierarchy {
        if !written.parts.is_empty() {
            let name = &written.name;
            return Err(BadInput::new(format!(
                "{name} has parts, which are not saved; copy the files instead"
            )));
        }
        input::save(file, &written.yaml)?;
    }
    let story = play(hierarchy, as_if_enforced, options)?;
    let clean = story.is_clean();
    Ok(Answer::render(args.format, &story, text::render).with_findings(!clean))
}

fn play(hierarchy: Hierarchy, as_if_enforced: bool, options: &Demo) -> Result<DemoReport, BadInput> {
    let mut simulation = Simulation::new(hierarchy, options.seed);
    let mut watcher = Watcher::default();
    let strikes_at = QUIET_MORNING.after(simulation.now());
    simulation.run_until(strikes_at, &mut |_, observation| watcher.see(observation))?;
    let Some(incident) = simulation.publish_incident() else {
        return Err(BadInput::new(
            "nothing to simulate: no image installs a package that could be vulnerable; add one that is not built on scratch",
        ));
    };

    let mut watcher = Watcher::default();
    while watcher.first_scan.is_none() {
        simulation.step(&mut |_, observation| watcher.see(observation))?;
    }
    let facts = simulation.facts()?;
    if let Some(file) = &options.save_facts {
        let json = serde_json::to_string_pretty(&facts).map_err(|error| BadInput::because(&error))?;
        input::save(file, &json)?;
    }
    let prediction = predict(&simulation, &incident, &facts);
    let first = FirstEvent {
        seed: options.seed,
        as_if_enforced,
        published_at: strikes_at,
        arrived_at: simulation.now(),
        workloads: simulation.workloads(),
        incident,
    };
    let mut progress = Progress::new(prediction.rebuilt.len());
    let mut watch = |simulation: &Simulation, observation: &Observation| {
        watcher.see(observation);
        progress.show(simulation.now(), watcher.builds.len());
    };
    let is_quiet = simulation.run_until_quiet(LONGEST_STORY, &mut watch)?;
    crate::progress::show("");
    Ok(DemoReport::collect(&simulation, &first, prediction, watcher, is_quiet)?)
}
