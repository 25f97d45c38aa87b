//! What may be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;

/// Keeps every container image of an AWS organisation patched.
#[derive(Debug, Parser)]
#[command(name = "patchwave", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The hierarchy file
    #[arg(long, global = true, value_name = "FILE", env = "PATCHWAVE_HIERARCHY")]
    pub(crate) hierarchy: Option<PathBuf>,
    /// How to print: text for people, JSON for programs
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 findings of the kind asked about, 2 bad input.";

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: stable.
    Json,
    /// For spreadsheets: `inventory` only.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Play a bad day: a critical CVE lands in a base image of a simulated organisation
    Demo(Demo),
    /// Check a hierarchy file; every error with its line and column
    Validate(Validate),
    /// Show which image is built on which
    Graph,
    /// List every image that would be rebuilt if IMAGE were
    Impact(Impact),
    /// Show what runs where, whether it is patched, since when it is not, and what is not known
    Inventory(Inventory),
    /// Check a lifecycle policy of ECR, and say whether it would delete what is in use
    Lifecycle(Lifecycle),
    /// Show what would start for a snapshot of facts, and what keeps everything else
    Plan(Plan),
    /// Count what Patchwave asks of AWS while a simulated organisation leads an ordinary life
    Requests(Requests),
    /// Play random small worlds in which everything goes wrong, and see whether the promises hold
    Simulate(Simulate),
    /// Print the input of `CreateTable` as JSON
    Table(Table),
    /// Say why an image is or is not rebuilt, for a snapshot of facts
    Why(Why),
    /// Print what the deployment's plan is made from, for `plan` and `why`
    #[cfg(feature = "aws")]
    Facts,
    /// Let the current version of IMAGE be replaced, where policy asks for approval
    #[cfg(feature = "aws")]
    Approve(Decide),
    /// Rebuild IMAGE whether or not there is another reason
    #[cfg(feature = "aws")]
    Rebuild(Decide),
    /// End quarantine, back-off and freeze of IMAGE, or follow its roll-back
    #[cfg(feature = "aws")]
    Release(Decide),
    /// Leave IMAGE alone until it is released
    #[cfg(feature = "aws")]
    Freeze(Decide),
}

/// A decision about one image of the deployment that the environment names, as it names it to the functions.
#[cfg(feature = "aws")]
#[derive(Debug, clap::Args)]
pub(crate) struct Decide {
    /// An id of the hierarchy, or a declared `repository:tag`
    pub(crate) image: String,
    /// Who decides: stands in the record and in the build's reasons
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// The seed: the same one plays the same day
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(crate) seed: u64,
    /// Write the hierarchy that is played to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_hierarchy: Option<PathBuf>,
    /// Write the facts at the first scan event to this file, for `plan` and `why`
    #[arg(long, value_name = "FILE")]
    pub(crate) save_facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Simulate {
    /// How many worlds
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first world's seed; the others follow it
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) first: u64,
    /// Play in worlds of up to eight images for hours, instead of up to four for less than half an hour
    #[arg(long)]
    pub(crate) large: bool,
    /// How much goes wrong
    #[arg(long, value_enum, default_value_t)]
    pub(crate) faults: Faults,
    /// Leave out the two simpler handlers that play the same worlds
    #[arg(long)]
    pub(crate) alone: bool,
    /// Tell what happened: the last page of it, or all as JSON
    #[arg(long)]
    pub(crate) story: bool,
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Faults {
    /// Nothing.
    None,
    /// As on a bad day.
    Some,
    /// Hardly anything works.
    #[default]
    Many,
    /// All works, and no event is ever delivered: it must be done in time all the same.
    Silence,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// The file, if not the one that --hierarchy names
    pub(crate) file: Option<PathBuf>,
    /// Print the JSON Schema of hierarchy files instead
    #[arg(long, conflicts_with = "file")]
    pub(crate) schema: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Impact {
    /// An id of the hierarchy, or a declared `repository:tag`
    pub(crate) image: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    /// The snapshot of facts, as `facts` prints it and `demo --save-facts` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: PathBuf,
    /// The ceiling: policy can stay below it, never above
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Ceiling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inventory {
    /// Only what runs in this environment
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Only this image: an id of the hierarchy, or a declared `repository:tag`
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Only what has this vulnerability, at any severity, or may have it
    #[arg(long)]
    pub(crate) cve: Option<String>,
    /// A survey to understand, instead of what the deployment's table holds
    #[arg(long, value_name = "FILE", requires = "facts")]
    pub(crate) survey: Option<PathBuf>,
    /// The snapshot of facts to understand it by
    #[arg(long, value_name = "FILE", requires = "survey")]
    pub(crate) facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Lifecycle {
    /// The policy: its JSON, or what `aws ecr get-lifecycle-policy` prints
    pub(crate) policy: PathBuf,
    /// The images of the repository, as `aws ecr describe-images --filter imageStatus=ANY` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Option<PathBuf>,
    /// What runs, as `patchwave inventory --format json` prints it
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) running: Option<PathBuf>,
    /// As of when, instead of now
    #[arg(long, value_name = "TIME", requires = "images")]
    pub(crate) at: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) snapshot: Snapshot,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// An id of the hierarchy, or a declared `repository:tag`
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) snapshot: Snapshot,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Requests {
    /// How long
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=400))]
    pub(crate) days: u32,
    /// How many commits of application images are built and pushed a day
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) commits_a_day: u32,
    /// How many vulnerabilities with fixes become known in base and platform images in thirty days
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) vulnerabilities_a_month: u32,
    /// The seed: the same one plays the same days
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Table {
    /// The table's name
    #[arg(long, env = "PATCHWAVE_TABLE", default_value = "patchwave")]
    pub(crate) name: String,
}

/// The ceiling of a plan that nobody applies: by default policy alone decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ceiling {
    /// Nothing would start.
    Observe,
    /// What policy enforces would start.
    #[default]
    Enforce,
}

impl From<Ceiling> for Mode {
    fn from(ceiling: Ceiling) -> Self {
        match ceiling {
            Ceiling::Observe => Self::Observe,
            Ceiling::Enforce => Self::Enforce,
        }
    }
}
