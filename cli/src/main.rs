//! Patchwave's command line.
//!
//! Each verb reads its input, computes an answer and renders it; only this file prints.

mod args;
mod demo;
#[cfg(feature = "aws")]
mod deployment;
#[cfg(feature = "aws")]
mod facts;
mod graph;
mod impact;
mod input;
#[cfg(feature = "aws")]
mod intervene;
mod inventory;
mod lifecycle;
mod output;
mod plan;
mod progress;
mod render;
mod requests;
mod simulate;
mod table;
mod validate;
mod why;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
#[cfg(feature = "aws")]
use patchwave::intervention::Intervention;

use crate::args::{Args, Format, Verb};
use crate::input::BadInput;
use crate::output::Answer;

/// Plans and simulations allocate little and often.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    match answer(&args) {
        Ok(answer) => output::print(&answer),
        Err(bad) => output::refuse(&bad),
    }
}

fn answer(args: &Args) -> Result<Answer, BadInput> {
    if args.format == Format::Csv && !matches!(args.verb, Verb::Inventory(_)) {
        return Err(BadInput("only `inventory` writes CSV; ask for --format json".to_owned()));
    }
    match &args.verb {
        Verb::Demo(options) => demo::run(args, options),
        Verb::Validate(options) => validate::run(args, options),
        Verb::Graph => graph::run(args),
        Verb::Impact(options) => impact::run(args, options),
        Verb::Inventory(options) => inventory::run(args, options),
        Verb::Lifecycle(options) => lifecycle::run(args, options),
        Verb::Plan(options) => plan::run(args, options),
        Verb::Requests(options) => requests::run(args, options),
        Verb::Simulate(options) => simulate::run(args, options),
        Verb::Table(options) => Ok(table::run(options)),
        Verb::Why(options) => why::run(args, options),
        #[cfg(feature = "aws")]
        Verb::Facts => facts::run(),
        #[cfg(feature = "aws")]
        Verb::Approve(options) => intervene::run(args, options, Intervention::Approve),
        #[cfg(feature = "aws")]
        Verb::Rebuild(options) => intervene::run(args, options, Intervention::Rebuild),
        #[cfg(feature = "aws")]
        Verb::Release(options) => intervene::run(args, options, Intervention::Release),
        #[cfg(feature = "aws")]
        Verb::Freeze(options) => intervene::run(args, options, Intervention::Freeze),
    }
}
