//! Prints what was measured beside the goals, as a table. `tests/bench/run` starts it.
//!
//! Ratios are of one run on one machine. Answers that differ end the run with an error, times
//! never do. What the simulator counts is the same in every run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
#![expect(clippy::expect_used, reason = "what is measured is made here")]

mod clock;
mod fleet;
mod graph;
mod lineage;
mod load;
mod plan;
mod policies;
mod table;
mod waves;

use std::path::Path;
use std::process::ExitCode;

use mimalloc::MiMalloc;

use table::Row;

/// As in the command line, whose plans are mostly small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rows = match words.as_slice() {
        ["graph", images] => images.parse().map_err(|_| "say how many images".to_owned()).and_then(graph),
        ["plan"] => plan::measure(),
        ["policies"] => policies::measure(),
        ["lineage", images] => {
            images.parse().map_err(|_| "say how many images".to_owned()).and_then(lineage::measure)
        }
        ["load", images] => {
            images.parse().map_err(|_| "say how many images".to_owned()).and_then(load::measure)
        }
        ["waves", images] => {
            images.parse().map_err(|_| "say how many images".to_owned()).and_then(waves::measure)
        }
        _ => Err("graph IMAGES, plan, policies, lineage IMAGES, load IMAGES, or waves IMAGES".to_owned()),
    };
    match rows {
        Ok(rows) => {
            for row in rows {
                println!("{row}");
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn graph(images: usize) -> Result<Vec<Row>, String> {
    graph::measure(images, &Path::new(env!("CARGO_MANIFEST_DIR")).join("networkx_plan.py"))
}
