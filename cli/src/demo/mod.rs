//! `demo`: a bad day of an organisation, played by the functions' own code in a simulated world.

mod prediction;
mod progress;
mod schedule;
mod story;
mod tell;
mod text;
mod watcher;

use patchwave::hierarchy::Hierarchy;
use patchwave::time::Span;
use patchwave_sim::{Observation, Simulation};

use crate::args::{Args, Demo};
use crate::input::{self, BadInput};
use crate::output::Answer;
use prediction::predict;
use progress::Progress;
use story::Story;
use tell::Beginning;
use watcher::Watcher;

/// When the vulnerability becomes public, after the day's first sweep has found everything in order.
const QUIET_MORNING: Span = Span::hours(1);

/// Longer than any hierarchy's day: a limit of starts a day can stretch a story over many.
const LONGEST_STORY: Span = Span::days(60);

pub(crate) fn run(args: &Args, options: &Demo) -> Result<Answer, BadInput> {
    let (name, yaml) = input::file_to_play(args)?;
    if let Some(file) = &options.save_hierarchy {
        input::save(file, &yaml)?;
    }
    let (hierarchy, as_if_enforced) = input::to_play(&name, &yaml)?;
    let story = play(hierarchy, as_if_enforced, options)?;
    let clean = story.is_clean();
    Ok(Answer::render(args.format, &story, text::render).with_findings(!clean))
}

fn play(hierarchy: Hierarchy, as_if_enforced: bool, options: &Demo) -> Result<Story, BadInput> {
    let mut simulation = Simulation::new(hierarchy, options.seed);
    let mut watcher = Watcher::default();
    let strikes_at = QUIET_MORNING.after(simulation.now());
    simulation.run_until(strikes_at, &mut |_, observation| watcher.see(observation))?;
    let Some(incident) = simulation.publish_incident() else {
        return Err(BadInput(
            "nothing to play: no image installs a package that could be vulnerable; add one that is not built on scratch"
                .to_owned(),
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
    let beginning = Beginning {
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
    Ok(Story::tell(&simulation, &beginning, prediction, watcher, is_quiet)?)
}
