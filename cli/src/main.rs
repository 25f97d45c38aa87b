//! Patchwave's command line.
//!
//! Each verb reads its input, computes an answer and renders it; only this file prints.

mod admission;
mod args;
mod audit;
mod care;
mod confirm;
mod demo;
#[cfg_attr(not(feature = "aws"), path = "without_aws.rs")]
mod deployment;
mod diagram;
mod discover;
mod doctor;
mod escape;
mod examples;
mod graph;
mod holds;
mod impact;
mod input;
mod intervene;
mod inventory;
mod lifecycle;
mod mirror;
mod observe;
mod output;
mod plan;
mod prediction;
mod progress;
mod registry;
mod release;
mod render;
mod requests;
mod simulate;
mod svg;
mod table;
mod tags;
mod validate;
mod vulnerability;
mod why;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, ValueEnum};
use mimalloc::MiMalloc;
use patchwave::intervention::Intervention;

use crate::args::{Args, Verb};
use crate::input::BadInput;
use crate::output::Answer;

/// Plans and simulations make many small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let matches = Args::command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let names_hierarchy = matches.value_source("hierarchy") == Some(ValueSource::CommandLine);
    match check(&args, names_hierarchy).and_then(|()| answer(&args)) {
        Ok(answer) => output::print(&answer),
        Err(bad) => output::refuse(&bad),
    }
}

/// Refuses the common options that this verb would ignore. `PATCHWAVE_HIERARCHY` is not refused: it
/// is set for other verbs too.
fn check(args: &Args, names_hierarchy: bool) -> Result<(), BadInput> {
    let verb = args.verb.name();
    if names_hierarchy && !args.verb.reads_hierarchy() {
        let message = match &args.verb {
            Verb::Validate(options) if options.file.is_some() => {
                "name the file once: as FILE or with --hierarchy".to_owned()
            }
            Verb::Validate(_) => {
                "`patchwave validate --schema` reads no file; leave out --hierarchy".to_owned()
            }
            _ => format!("`patchwave {verb}` reads no hierarchy file; leave out --hierarchy"),
        };
        return Err(BadInput::new(message));
    }
    if !args.verb.formats().contains(&args.format) {
        let names = |formats: &[args::Format]| {
            let values = formats.iter().filter_map(ValueEnum::to_possible_value);
            values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
        };
        let (asked, known) = (names(&[args.format]), names(args.verb.formats()));
        return Err(BadInput::new(format!(
            "`patchwave {verb}` does not print {asked}; its formats are {known}"
        )));
    }
    Ok(())
}

fn answer(args: &Args) -> Result<Answer, BadInput> {
    match &args.verb {
        Verb::Demo(options) => demo::run(args, options),
        Verb::Validate(options) => validate::run(args, options),
        Verb::Discover(options) => discover::run(args, options),
        Verb::Graph(options) => graph::run(args, options),
        Verb::Impact(options) => impact::run(args, options),
        Verb::Doctor(options) => doctor::run(args, options),
        Verb::Inventory(options) => inventory::run(args, options),
        Verb::Lifecycle(options) => lifecycle::run(args, options),
        Verb::Mirror(options) => mirror::run(args, options),
        Verb::Admission(options) => admission::run(args, options),
        Verb::Tags(options) => tags::run(args, options),
        Verb::Promote(options) => care::promote(args, options),
        Verb::Plan(options) => plan::run(args, options),
        Verb::Why(options) => why::run(args, options),
        Verb::Registry(options) => registry::run(args, options),
        Verb::Requests(options) => requests::run(args, options),
        Verb::Simulate(options) => simulate::run(args, options),
        Verb::Table(options) => Ok(table::run(options)),
        Verb::Observe => observe::run(args),
        Verb::Approve(options) => match (&options.from, &options.to) {
            (Some(from), Some(to)) => care::approve(args, options, (from, to)),
            _ => intervene::run(args, &options.decide, Intervention::Approve),
        },
        Verb::Rebuild(options) => intervene::run(args, options, Intervention::Rebuild),
        Verb::Release(options) => release::run(args, options),
        Verb::Freeze(options) => intervene::run(args, options, Intervention::Freeze),
    }
}
