//! What a person may type.

use patchwave::image::{ImageId, Repository};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;

use crate::examples;

/// The longest line of help, however wide the terminal is.
const WIDTH: usize = 80;

const COMMON: &str = "Common options";

/// Keeps every container image of an AWS organisation patched.
#[derive(Debug, Parser)]
#[command(name = "patchwave", version, max_term_width = WIDTH, after_help = examples::PATCHWAVE)]
pub(crate) struct Args {
    /// The hierarchy file; `-` is standard input, here and for every FILE
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PATCHWAVE_HIERARCHY",
        hide_env_values = true,
        help_heading = COMMON
    )]
    pub(crate) hierarchy: Option<PathBuf>,
    /// How to print: `text` for people, `json` for programs. `inventory` also prints `csv`;
    /// `graph` also prints `dot`, `mermaid` and `svg`; `registry` also prints `cloudformation` and
    /// `terraform`
    #[arg(long, global = true, value_enum, default_value_t, hide_possible_values = true, help_heading = COMMON)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: stable.
    Json,
    /// For spreadsheets.
    Csv,
    /// For Graphviz.
    Dot,
    /// For Markdown that draws Mermaid diagrams.
    Mermaid,
    /// A picture.
    Svg,
    /// For AWS's own deployments.
    Cloudformation,
    /// For Terraform.
    Terraform,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Simulate a critical CVE in a base image
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Check a hierarchy file
    #[command(after_help = examples::VALIDATE)]
    Validate(Validate),
    /// Draft the hierarchy file from registries and pipelines
    #[command(after_help = examples::DISCOVER)]
    Discover(Discover),
    /// Show which image is built on which
    #[command(after_help = examples::GRAPH)]
    Graph(Graph),
    /// List what a rebuild rebuilds, or who has a vulnerability
    #[command(after_help = examples::IMPACT)]
    Impact(Impact),
    /// Check whether the accounts are set up for Patchwave
    #[command(after_help = examples::DOCTOR)]
    Doctor(Doctor),
    /// Show what runs where, and whether it is patched
    #[command(after_help = examples::INVENTORY)]
    Inventory(Inventory),
    /// Check whether an ECR lifecycle policy would delete images in use
    #[command(after_help = examples::LIFECYCLE)]
    Lifecycle(Lifecycle),
    /// Show upstream images, and where copies of them are
    #[command(after_help = examples::MIRROR)]
    Mirror(Mirror),
    /// Print policies that admit only known images to clusters
    #[command(after_help = examples::ADMISSION)]
    Admission(Admission),
    /// Check tags, and keep what runs by a tag
    #[command(after_help = examples::TAGS)]
    Tags(Tags),
    /// Give the version of one environment the tag of another
    #[command(after_help = examples::PROMOTE)]
    Promote(Promote),
    /// Show which builds would start now, and what holds the others
    #[command(after_help = examples::PLAN)]
    Plan(Plan),
    /// Explain an image, a vulnerability, a digest or a reference
    #[command(after_help = examples::WHY)]
    Why(Why),
    /// Print what to change in a registry's configuration
    #[command(after_help = examples::REGISTRY)]
    Registry(Registry),
    /// Count the AWS calls of a simulated month
    #[command(after_help = examples::REQUESTS)]
    Requests(Requests),
    /// Test Patchwave in random small fleets with injected faults
    #[command(after_help = examples::SIMULATE)]
    Simulate(Simulate),
    /// Print the input of DynamoDB's `CreateTable` as JSON
    #[command(after_help = examples::TABLE)]
    Table(Table),
    /// Print what AWS has now, for `plan` and `why`
    #[command(visible_alias = "facts", after_help = examples::OBSERVE)]
    Observe,
    /// Approve one rebuild or promotion, where policy asks for approval
    #[command(after_help = examples::APPROVE)]
    Approve(Approve),
    /// Request a rebuild of IMAGE
    #[command(after_help = examples::REBUILD)]
    Rebuild(Decide),
    /// Release IMAGE from what holds it, or list the slots that are stuck
    #[command(after_help = examples::RELEASE)]
    Release(Release),
    /// Stop all rebuilds of IMAGE until it is released
    #[command(after_help = examples::FREEZE)]
    Freeze(Decide),
}

impl Verb {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Validate(_) => "validate",
            Self::Discover(_) => "discover",
            Self::Graph(_) => "graph",
            Self::Impact(_) => "impact",
            Self::Doctor(_) => "doctor",
            Self::Inventory(_) => "inventory",
            Self::Lifecycle(_) => "lifecycle",
            Self::Mirror(_) => "mirror",
            Self::Admission(_) => "admission",
            Self::Tags(_) => "tags",
            Self::Promote(_) => "promote",
            Self::Plan(_) => "plan",
            Self::Why(_) => "why",
            Self::Registry(_) => "registry",
            Self::Requests(_) => "requests",
            Self::Simulate(_) => "simulate",
            Self::Table(_) => "table",
            Self::Observe => "observe",
            Self::Approve(_) => "approve",
            Self::Rebuild(_) => "rebuild",
            Self::Release(_) => "release",
            Self::Freeze(_) => "freeze",
        }
    }

    /// Returns what `--format` may be.
    pub(crate) const fn formats(&self) -> &'static [Format] {
        match self {
            Self::Inventory(_) => &[Format::Text, Format::Json, Format::Csv],
            Self::Graph(options) if options.audit => &[Format::Text, Format::Json],
            Self::Graph(_) => &[Format::Text, Format::Json, Format::Dot, Format::Mermaid, Format::Svg],
            Self::Registry(_) => &[Format::Text, Format::Json, Format::Cloudformation, Format::Terraform],
            _ => &[Format::Text, Format::Json],
        }
    }

    /// Tells whether the verb reads the hierarchy that `--hierarchy` names.
    pub(crate) const fn reads_hierarchy(&self) -> bool {
        match self {
            Self::Validate(options) => options.file.is_none() && !options.schema,
            Self::Lifecycle(options) => options.work.is_some(),
            Self::Simulate(_) | Self::Table(_) => false,
            _ => true,
        }
    }
}

/// A decision about one image of a deployment.
#[derive(Debug, clap::Args)]
pub(crate) struct Decide {
    /// An id of the hierarchy file, or a declared `repository:tag`
    pub(crate) image: String,
    /// Who decides; Patchwave records this name
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    pub(crate) decide: Decide,
    /// Approve the promotion of this environment's version, and no rebuild
    #[arg(long, value_name = "ENV", requires = "to")]
    pub(crate) from: Option<String>,
    /// The environment that may have it
    #[arg(long, value_name = "ENV", requires = "from")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// An id of the hierarchy file, or a declared `repository:tag`; without it, list the stuck
    /// slots
    #[arg(conflicts_with = "slot")]
    pub(crate) image: Option<String>,
    /// Give the stuck slot of this image back
    #[arg(long, value_name = "IMAGE")]
    pub(crate) slot: Option<ImageId>,
    /// Give it back without asking
    #[arg(long, requires = "slot")]
    pub(crate) yes: bool,
    /// Who decides; Patchwave records this name
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME", default_value = "")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// The random seed; the same seed gives the same day
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(crate) seed: u64,
    /// Write the simulated hierarchy to this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_hierarchy: Option<PathBuf>,
    /// Write the facts at the first scan event to this new file, for `plan` and `why`
    #[arg(long, value_name = "FILE")]
    pub(crate) save_facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Simulate {
    /// How many fleets to simulate
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first fleet's seed; the others follow it
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) first: u64,
    /// Simulate up to eight images for hours, instead of up to four for less than half an hour
    #[arg(long)]
    pub(crate) large: bool,
    /// Simulate families of 1,000 to 10,000 images, without the two simpler handlers
    #[arg(long, conflicts_with = "large")]
    pub(crate) huge: bool,
    /// How much fails
    #[arg(long, value_enum, default_value_t)]
    pub(crate) faults: Faults,
    /// Leave out the two simpler handlers that Patchwave is compared with
    #[arg(long)]
    pub(crate) alone: bool,
    /// Simulate one wave through N images that are built on one base instead, and print what it
    /// costs
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "first", "large", "huge", "faults", "alone", "story"])]
    pub(crate) wave: Option<u32>,
    /// How many builds of the wave run at once
    #[arg(long, default_value_t = 160, value_name = "N", requires = "wave")]
    pub(crate) slots: u32,
    /// Show what happened: the last 60 lines, or everything with `--format json`
    #[arg(long)]
    pub(crate) story: bool,
}

/// How much fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Faults {
    /// Nothing fails
    None,
    /// Some calls and builds fail
    Some,
    /// Almost everything fails
    #[default]
    Many,
    /// Everything works, but no event arrives; ticks alone must find the work in time
    Silence,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// The file, in place of --hierarchy
    pub(crate) file: Option<PathBuf>,
    /// Print the JSON Schema of hierarchy files instead
    #[arg(long, conflicts_with = "file")]
    pub(crate) schema: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    /// A profile of your AWS configuration, also one of single sign-on
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The ARN of a role that reads another account; may be repeated
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Vec<String>,
    /// A Region to read; may be repeated. By default the one of your AWS configuration
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// Keep documents that never change in this folder, so that a second run asks only for lists
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Download no config and no attestation: faster, and with less evidence
    #[arg(long)]
    pub(crate) metadata_only: bool,
    /// Read although that moves the time of the last pull of every image
    #[arg(long)]
    pub(crate) move_pull_times: bool,
    /// Write the file that --hierarchy names, instead of showing what would change
    #[arg(long)]
    pub(crate) write: bool,
    /// With --write, write the images of each owner into a file of their own, below `teams`
    #[arg(long, value_name = "WHAT", requires = "write")]
    pub(crate) parts_by: Option<PartsBy>,
    /// Read what registries and pipelines say from this file instead of AWS
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "role", "region", "cache"])]
    pub(crate) documents: Option<PathBuf>,
}

/// What the parts of a drafted file are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PartsBy {
    Owner,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Graph {
    /// Compare the file with what images and pipelines say, and list what is wrong
    #[arg(long, requires = "facts")]
    pub(crate) audit: bool,
    /// The snapshot of facts: what `facts` prints, or `demo --save-facts` writes
    #[arg(long, value_name = "FILE", requires = "audit")]
    pub(crate) facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Impact {
    /// An id of the hierarchy file, a declared `repository:tag`, an upstream image, or a
    /// vulnerability
    #[arg(value_name = "IMAGE|CVE")]
    pub(crate) what: String,
    /// For a vulnerability: a snapshot, instead of what AWS has now
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    /// A snapshot, instead of what AWS has now: what `observe` prints, or `demo --save-facts`
    /// writes
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,
    /// The highest mode; policy can stay below it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Ceiling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Judge what an earlier run saw (the key `seen` of its JSON), instead of the accounts now
    #[arg(long, value_name = "FILE", requires = "at")]
    pub(crate) seen: Option<PathBuf>,
    /// The time of that run
    #[arg(long, value_name = "TIME", requires = "seen")]
    pub(crate) at: Option<Timestamp>,
    /// With `--format json`, also print what was seen
    #[arg(long)]
    pub(crate) show_seen: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inventory {
    /// Only what runs in this environment
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Only this image: an id of the hierarchy file, or a declared `repository:tag`
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Only what has this vulnerability, at any severity, or may have it
    #[arg(long, value_name = "ID")]
    pub(crate) cve: Option<String>,
    /// Read what runs from this survey, instead of the deployment's table
    #[arg(long, value_name = "FILE", requires = "facts")]
    pub(crate) survey: Option<PathBuf>,
    /// The snapshot of facts that belongs to the survey
    #[arg(long, value_name = "FILE", requires = "survey")]
    pub(crate) facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Admission {
    /// Print these manifests as YAML, instead of what would be refused
    #[arg(long, value_enum)]
    pub(crate) print: Option<Manifests>,
    /// Refuse instead of warning, if nothing that runs would be refused
    #[arg(long, requires = "print")]
    pub(crate) deny: bool,
    /// Leave out this namespace, besides those of the system; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) exempt: Vec<String>,
    /// Also make a list of digests of every image for this namespace; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Vec<String>,
    /// The namespace of the list of repositories
    #[arg(long, value_name = "NAMESPACE", default_value = "patchwave")]
    pub(crate) home: String,
    /// Read what runs from this survey, instead of the deployment's table
    #[arg(long, value_name = "FILE", requires = "facts")]
    pub(crate) survey: Option<PathBuf>,
    /// The snapshot of facts that belongs to the survey
    #[arg(long, value_name = "FILE", requires = "survey")]
    pub(crate) facts: Option<PathBuf>,
}

/// Which manifests to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manifests {
    /// The policy on repositories, for Kubernetes
    Policy,
    /// The policy on digests, and a list for each namespace
    Digests,
    /// The policy on repositories, for OPA Gatekeeper
    Gatekeeper,
    /// The policy on digests for OPA Gatekeeper, with the list of each namespace
    GatekeeperDigests,
    /// A CloudFormation template with a rule that notices other images on ECS
    Ecs,
}

impl Manifests {
    /// Returns whether they refuse by digests.
    pub(crate) fn is_about_digests(self) -> bool {
        matches!(self, Self::Digests | Self::GatekeeperDigests)
    }
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Lifecycle {
    #[command(subcommand)]
    pub(crate) work: Option<LifecycleWork>,
    /// The policy: its JSON, what `aws ecr get-lifecycle-policy` prints, or a template in JSON that
    /// has it
    #[arg(required = true)]
    pub(crate) policy: Option<PathBuf>,
    /// The repository's images: what `aws ecr describe-images --filter imageStatus=ANY` prints
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Option<PathBuf>,
    /// What runs: what `patchwave inventory --format json` prints
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) running: Option<PathBuf>,
    /// How many pushes before what runs a roll-back may start
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) roll_backs: usize,
    /// Look at this time, such as 2026-12-31T12:00:00Z, instead of now
    #[arg(long, value_name = "TIME", requires = "images")]
    pub(crate) at: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LifecycleWork {
    /// Make a policy for each repository of the hierarchy, and say what it would delete
    #[command(after_help = examples::LIFECYCLE_PLAN)]
    Plan(LifecyclePlan),
    /// Let ECR preview a plan, and compare image by image (not tried on AWS yet)
    #[command(after_help = examples::LIFECYCLE_PREVIEW)]
    Preview(LifecyclePreview),
    /// Write the policies of a previewed plan
    #[command(after_help = examples::LIFECYCLE_APPLY)]
    Apply(LifecycleApply),
    /// Put the policy back that `apply` replaced
    #[command(after_help = examples::LIFECYCLE_UNDO)]
    Undo(LifecycleUndo),
}

#[derive(Debug, clap::Args)]
pub(crate) struct LifecyclePlan {
    /// The images of a repository: what `aws ecr describe-images --filter imageStatus=ANY` prints;
    /// may be repeated. Without it, the deployment's registries are read
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// The policy of a repository: what `aws ecr get-lifecycle-policy` prints; may be repeated
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) stored: Vec<PathBuf>,
    /// What runs: what `patchwave inventory --format json` prints
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) running: Option<PathBuf>,
    /// After how many days untagged images go
    #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) untagged: u32,
    /// How many of the newest images of each environment and line stay
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: u32,
    /// After how many days everything else goes
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) catch_all: u32,
    /// How many pushes before what runs a roll-back may start
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) roll_backs: usize,
    /// Look at this time, such as 2026-12-31T12:00:00Z, instead of now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LifecyclePreview {
    /// The plan: what `patchwave lifecycle plan --format json` prints
    pub(crate) plan: PathBuf,
    /// Write the previewed plan to this new file, for `apply`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Write what ECR and Patchwave do not agree about to this new file, for a bug report
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LifecycleApply {
    /// The previewed plan: what `patchwave lifecycle preview --save` wrote
    pub(crate) plan: PathBuf,
    /// How many pushes before what runs a roll-back may start
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) roll_backs: usize,
    /// Write without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Who decides; Patchwave records this name
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LifecycleUndo {
    /// The repository, with the registry's host before it if it is not the home
    pub(crate) repository: Repository,
    /// Write without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Who decides; Patchwave records this name
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tags {
    #[command(subcommand)]
    pub(crate) work: TagsWork,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TagsWork {
    /// Find tags that break the rules of their tier, and print the command that fixes each
    #[command(after_help = examples::TAGS_CHECK)]
    Check(TagsCheck),
    /// Set a keep tag on what runs, would run or ran last, and remove those that ended
    #[command(after_help = examples::TAGS_KEEP)]
    Keep(TagsKeep),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TagsCheck {
    /// The images of a repository: what `aws ecr describe-images` prints; may be repeated. Without
    /// it, the deployment's registries are read
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// What `aws ecr describe-repositories` prints; may be repeated
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) repositories: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TagsKeep {
    /// How many deployments of each environment before what runs stay
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) deployments: usize,
    /// Write without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Promote {
    /// An id of the hierarchy file, or a declared `repository:tag`
    pub(crate) image: String,
    /// The environment whose version is promoted
    #[arg(long, value_name = "ENV")]
    pub(crate) from: String,
    /// The environment that is to have it
    #[arg(long, value_name = "ENV")]
    pub(crate) to: String,
    /// Write without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Who decides; Patchwave records this name
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Mirror {
    /// Print the plan; Patchwave copies nothing itself
    #[arg(long, required = true)]
    pub(crate) plan: bool,
    /// A snapshot of facts, to name the caches that lag: what `facts` prints
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) snapshot: Snapshot,
    /// Also show what starts on which day if every image is enforced from now on
    #[arg(long)]
    pub(crate) first_enforcement: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// An id of the hierarchy file, a declared `repository:tag`, a vulnerability, a digest, or a
    /// reference as a workload asks for it
    #[arg(value_name = "IMAGE|CVE|DIGEST|REFERENCE")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) snapshot: Snapshot,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Registry {
    /// Its name under `registries` in the hierarchy file
    #[arg(long = "registry", value_name = "NAME", default_value = "home")]
    pub(crate) name: String,
    /// Let every principal of this organisation pull
    #[arg(long, value_name = "ID")]
    pub(crate) organization: Option<String>,
    /// Let functions of Lambda pull, in the accounts of the hierarchy file
    #[arg(long)]
    pub(crate) lambda: bool,
    /// Let this role push; may be repeated
    #[arg(long, value_name = "ARN")]
    pub(crate) push: Vec<String>,
    /// Do not count the pulls of this principal; may be repeated
    #[arg(long, value_name = "ARN")]
    pub(crate) exclude: Vec<String>,
    /// Compare with this configuration (what `--show-configured` prints), instead of what AWS has
    #[arg(long, value_name = "FILE")]
    pub(crate) configured: Option<PathBuf>,
    /// Print what the registry is now, as JSON
    #[arg(long, conflicts_with = "configured")]
    pub(crate) show_configured: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Requests {
    /// How many days to simulate
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=400))]
    pub(crate) days: u32,
    /// How many builds of application images people push a day
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) commits_a_day: u32,
    /// How many upstream tags are watched, instead of those of the hierarchy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) upstream_tags: Option<u32>,
    /// How many fixable vulnerabilities are found in base and platform images in thirty days
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) vulnerabilities_a_month: u32,
    /// The random seed; the same seed gives the same days
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Table {
    /// The table's name
    #[arg(long, env = "PATCHWAVE_TABLE", hide_env_values = true, default_value = "patchwave")]
    pub(crate) name: String,
}

/// The highest mode of a plan that is only shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ceiling {
    /// Nothing starts
    Observe,
    /// What policy enforces starts
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
