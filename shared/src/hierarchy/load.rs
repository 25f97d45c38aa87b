//! From the text of a hierarchy file to a checked hierarchy.

use serde_saphyr::MessageFormatter as _;
use serde_saphyr::{Error, Location, Options, UserMessageFormatter};

use super::declared;
use super::draft::Draft;
use super::error::{HierarchyErrors, Problem, Report};
use super::file::File;
use super::inherit::{Fleet, Suppress};
use super::inspected::Inspected;
use super::names::near;
use super::order::build_order;
use super::parents::{Lineage, Names};
use super::{Hierarchy, Image, claims};

/// The largest file that is read, in bytes: more than a hundred thousand images.
const LARGEST_FILE: usize = 16 * 1024 * 1024;

impl Hierarchy {
    /// Reads and checks a hierarchy file. `file` is its name, for messages only.
    ///
    /// Where the text is YAML with known keys, the error holds everything that is wrong, in the order of the file.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, HierarchyErrors> {
        let mut report = Report::new(file);
        let hierarchy = load(yaml, &mut report);
        report.finish(hierarchy)
    }
}

fn load(yaml: &str, report: &mut Report<'_>) -> Option<Hierarchy> {
    let file = read(yaml, report)?;
    if file.version.value != 1 {
        report.add(file.version.referenced, Problem::Version(file.version.value));
    }
    let registry = file.registry.read(report);
    let mut keys = file.policy.unwrap_or_default();
    let fleet = Fleet::new(&mut keys, file.tiers, report);
    let Some(images) = file.images else {
        report.add(Location::UNKNOWN, Problem::MissingKey("images".to_owned()));
        return None;
    };
    let inspected = file.inventory.map(|keys| Inspected::read(keys, report));
    let builders = declared::builders(file.builders, report);
    let owners = declared::owners(file.owners, report);
    let mut draft = |(n, image)| Draft::read(n, image, &fleet, (&builders, &owners), report);
    let read: Vec<Option<Vec<Draft>>> = images.into_iter().enumerate().map(&mut draft).collect();
    let complete = read.iter().all(Option::is_some);
    let mut drafts: Vec<Draft> = read.into_iter().flatten().flatten().collect();
    for written in keys.suppress {
        if let Some(suppress) = Suppress::read(written, report) {
            suppress.apply(&mut drafts, complete, report);
        }
    }
    claims::check(&drafts, report);
    let inspected = inspected.unwrap_or_default();
    for draft in &drafts {
        draft.check_deployed(&inspected, report);
    }
    let registry = registry?;
    let names = Names::new(&drafts, &registry, complete);
    let lineages: Vec<Lineage> = (0..drafts.len()).map(|index| names.lineage(index, report)).collect();
    let order = build_order(&drafts, &lineages, report);
    let images = assemble(drafts, lineages, &order)?;
    Some(Hierarchy::new(registry, fleet.limits, images, inspected))
}

/// Puts the images in build order; nothing if one has no known base.
fn assemble(drafts: Vec<Draft>, lineages: Vec<Lineage>, order: &[usize]) -> Option<Vec<Image>> {
    let images = drafts.into_iter().zip(lineages).map(|(draft, lineage)| image(draft, lineage));
    let mut images: Vec<Option<Image>> = images.collect();
    order.iter().map(|index| images[*index].take()).collect()
}

fn image(draft: Draft, lineage: Lineage) -> Option<Image> {
    let Draft { id, tier, repository, line, owner, policy, .. } = draft;
    let pipeline = draft.pipeline.map(|(_, pipeline)| pipeline);
    Some(Image {
        id,
        tier,
        repository,
        line,
        from: lineage.from?,
        copy_from: lineage.copy_from,
        pipeline,
        owner,
        policy,
    })
}

fn read(yaml: &str, report: &mut Report<'_>) -> Option<File> {
    if yaml.len() > LARGEST_FILE {
        report.add(Location::UNKNOWN, Problem::TooLarge { limit: LARGEST_FILE });
        return None;
    }
    serde_saphyr::from_str_with_options(yaml, options())
        .map_err(|error| report_unreadable(&error, report))
        .ok()
}

/// Returns the parser's limits. What the text itself can hold is bounded by [`LARGEST_FILE`], so these only keep
/// aliases from multiplying it.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * LARGEST_FILE,
            max_nodes: LARGEST_FILE,
            max_depth: 16,
            max_merge_keys: 50_000,
            // A hierarchy has one set of defaults and thousands of images that repeat it.
            enforce_alias_anchor_ratio: false,
        },
        with_snippet: false,
    }
}

fn report_unreadable(error: &Error, report: &mut Report<'_>) {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    report.add(at, problem(error));
}

fn problem(error: &Error) -> Problem {
    match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = near(field, expected.iter().copied());
            Problem::UnknownKey { key: field.clone(), near, known: expected.clone() }
        }
        Error::SerdeMissingField { field, .. } => Problem::MissingKey((*field).to_owned()),
        Error::DuplicateMappingKey { key: Some(key), .. } => Problem::DuplicateKey(key.clone()),
        // Numbers are the only scalars that are not read as text.
        Error::InvalidScalar { .. } => Problem::Yaml("not a whole number".to_owned()),
        Error::Unexpected { expected, .. } => Problem::Shape(shape(expected)),
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            Problem::Yaml(format!("expected {expected}, found {unexpected}"))
        }
        Error::AliasError { error, .. } => problem(error),
        other => Problem::Yaml(UserMessageFormatter.format_message(other).into_owned()),
    }
}

/// Puts the parser's names of YAML events in words.
fn shape(event: &'static str) -> &'static str {
    match event {
        "mapping start" => "keys and values, such as { key: value }",
        "sequence start" => "a list, such as [one, two]",
        "string scalar" => "a single text",
        other => other,
    }
}
