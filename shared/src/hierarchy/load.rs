//! From the text of a hierarchy file to a checked hierarchy.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_saphyr::MessageFormatter as _;
use serde_saphyr::{Error, Location, Options, UserMessageFormatter};

use super::advise::advise;
use super::declared::{self, Declared};
use super::draft::Draft;
use super::error::{HierarchyErrors, Problem, Report};
use super::extended::Extended;
use super::file::{File, HasPolicy as _, MayLoosen, PartFile};
use super::inherit::{Fleet, Suppress};
use super::inspected::Inspected;
use super::names::near;
use super::order::build_order;
use super::parents::{Lineage, Names};
use super::parts::{self, Part, PartTexts};
use super::places;
use super::registries::Registries;
use super::upstreams::Upstreams;
use super::warning::Warning;
use super::{Builder, Hierarchy, Image, Owner, claims};
use crate::time::Timestamp;

/// How much YAML one file may hold, counted in its values and keys: more than a million images.
const MOST_NODES: usize = 16 * 1024 * 1024;

impl Hierarchy {
    /// The largest file that is read, in bytes: hundreds of thousands of images.
    pub const LARGEST_FILE: usize = 64 * 1024 * 1024;

    /// Reads and checks a hierarchy file. `file` is its name, for messages only.
    ///
    /// If the text is YAML with known keys, the error holds all errors, in the order of the file.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, HierarchyErrors> {
        read_all(file, yaml, &PartTexts::new(), &LeftOut::new()).map(|(hierarchy, _)| hierarchy)
    }

    /// Reads and checks a hierarchy file with its [parts](super::part_files).
    pub fn parse_with_parts(file: &str, yaml: &str, parts: &PartTexts) -> Result<Self, HierarchyErrors> {
        read_all(file, yaml, parts, &LeftOut::new()).map(|(hierarchy, _)| hierarchy)
    }

    /// Reads a hierarchy file without the parts that cannot be used, so that one team's mistake
    /// does not stop the others. [`unread_parts`](Self::unread_parts) names them. What is built on
    /// their images has an unknown parent.
    ///
    /// # Errors
    ///
    /// If the main file itself cannot be used.
    pub fn parse_without_bad_parts(
        file: &str,
        yaml: &str,
        parts: &PartTexts,
    ) -> Result<Self, HierarchyErrors> {
        let unread = |(name, text): (&String, &Result<String, String>)| {
            text.as_ref().err().map(|because| (name.clone(), because.clone()))
        };
        let mut left_out: LeftOut = parts.iter().filter_map(unread).collect();
        loop {
            let errors = match read_all(file, yaml, parts, &left_out) {
                Ok((hierarchy, _)) => return Ok(hierarchy),
                Err(errors) => errors,
            };
            let of_parts =
                errors.iter().filter(|e| parts.contains_key(&e.file) && !left_out.contains_key(&e.file));
            let bad: LeftOut = of_parts.map(|error| (error.file.clone(), error.to_string())).collect();
            if bad.is_empty() {
                return Err(errors);
            }
            left_out.extend(bad);
        }
    }

    /// Reads and checks a hierarchy file with its parts, and returns warnings beside it, in the
    /// order of the file. `now` decides which suppressions have ended.
    pub fn parse_with_warnings(
        file: &str,
        yaml: &str,
        parts: &PartTexts,
        now: Timestamp,
    ) -> Result<(Self, Vec<Warning>), HierarchyErrors> {
        let (hierarchy, mut warnings) = read_all(file, yaml, parts, &LeftOut::new())?;
        warnings.retain(|warning| warning.advice.applies(now));
        Ok((hierarchy, warnings))
    }
}

/// The parts to leave out, by the name that the main file gives them, and why.
type LeftOut = BTreeMap<String, String>;

fn read_all(
    file: &str,
    yaml: &str,
    parts: &PartTexts,
    left_out: &LeftOut,
) -> Result<(Hierarchy, Vec<Warning>), HierarchyErrors> {
    let mut report = Report::new(file);
    let hierarchy = load(yaml, parts, left_out, &mut report);
    report.finish(hierarchy)
}

fn load<'f>(
    yaml: &str,
    texts: &'f PartTexts,
    left_out: &LeftOut,
    report: &mut Report<'f>,
) -> Option<Hierarchy> {
    let Extended(file) = read::<Extended<File>>(yaml, report)?;
    if file.version.value != 1 {
        report.add(file.version.referenced, Problem::Version(file.version.value));
    }
    let registries = places::registries(file.registry, file.registries, file.approved, report);
    let upstreams = Upstreams::read(file.upstreams, report);
    let mut keys = file.policy.unwrap_or_default();
    let mode_at = keys.mode.as_ref().map_or(Location::UNKNOWN, |mode| mode.at);
    let fleet = Fleet::new(&mut keys, file.tiers.unwrap_or_default(), report);
    let Some(images) = file.images else {
        report.add(Location::UNKNOWN, Problem::MissingKey { key: "images".to_owned() });
        return None;
    };
    let home = registries.as_ref().map(Registries::home);
    let inspected = file.inventory.map(|keys| Inspected::read(keys, home, report));
    let builders = declared::builders(file.builders, report);
    let owners = declared::owners(file.owners, report);
    let declared = (registries.as_ref(), &builders, &owners);
    let mut drafts: Vec<Draft> = Vec::with_capacity(images.len());
    let mut complete = true;
    for (entry, image) in images.into_iter().enumerate() {
        match Draft::read(entry, image, &fleet, declared, report) {
            Some(lines) => drafts.extend(lines),
            None => complete = false,
        }
    }
    let (mut suppressed, mut unread) = (Vec::new(), Vec::new());
    for part in parts::parts(file.parts, report) {
        if let Some(because) = left_out.get(&part.file) {
            unread.push(part.unread(because.clone()));
            continue;
        }
        let Some((read, suppress)) = read_part(&part, texts, &fleet, declared, report) else {
            complete = false;
            continue;
        };
        complete &= read.iter().all(Option::is_some);
        drafts.extend(read.into_iter().flatten().flatten());
        suppressed.push(suppress);
    }
    report.enter(0);
    // What only a part that is left out has is no mistake of another file.
    complete &= unread.is_empty();
    for written in keys.suppress {
        if let Some(suppress) = Suppress::read(written, report) {
            suppress.apply(&mut drafts, complete, report);
        }
    }
    for (file, suppress) in suppressed {
        report.enter(file);
        for suppress in &suppress {
            suppress.apply(&mut drafts, complete, report);
        }
    }
    claims::check(&drafts, report);
    report.enter(0);
    advise(&drafts, mode_at, inspected.is_some(), report);
    let inspected = inspected.unwrap_or_default();
    for draft in &drafts {
        report.enter(draft.file);
        draft.check_deployed(&inspected, report);
    }
    let registries = registries?;
    let names = Names::new(&drafts, &registries, complete, !unread.is_empty());
    let lineages: Vec<Lineage> = (0..drafts.len()).map(|index| names.lineage(index, report)).collect();
    let order = build_order(&drafts, &lineages, report);
    let images = assemble(drafts, lineages, &order)?;
    let hierarchy = Hierarchy::new((registries, upstreams), fleet.limits, images, inspected);
    Some(hierarchy.with_unread_parts(unread))
}

/// The images of a part, and what it suppresses of them.
type ReadPart = (Vec<Option<Vec<Draft>>>, (usize, Vec<Suppress>));

fn read_part<'f>(
    part: &Part,
    texts: &'f PartTexts,
    fleet: &Fleet,
    (registries, builders, owners): (Option<&Registries>, &Declared<Builder>, &Declared<Owner>),
    report: &mut Report<'f>,
) -> Option<ReadPart> {
    report.enter(0);
    let owner = owners.find(part.file_at, &part.owner, report);
    let unread = |because: &str| Problem::UnreadPart { file: part.file.clone(), because: because.to_owned() };
    let (name, text) = match texts.get_key_value(&part.file) {
        Some((name, Ok(text))) => (name, text),
        Some((_, Err(because))) => {
            report.add(part.file_at, unread(because));
            return None;
        }
        None => {
            report.add(part.file_at, unread("it was not read"));
            return None;
        }
    };
    let number = report.begin(name);
    let Extended(file) = read::<Extended<PartFile>>(text, report)?;
    if file.version.value != 1 {
        report.add(file.version.referenced, Problem::Version(file.version.value));
    }
    let mut policy = file.policy.unwrap_or_default();
    let suppress = std::mem::take(&mut policy.suppress);
    if let Some(first) = suppress.first().filter(|_| !part.may(MayLoosen::Suppress)) {
        let what = MayLoosen::Suppress.name();
        report.add(first.referenced, Problem::MayNotLoosen { part: part.owner.clone(), what });
    }
    let policy = policy.policy_keys();
    let own = fleet.of_part(&mut || policy.clone(), file.tiers.unwrap_or_default(), report);
    let Some(images) = file.images else {
        report.add(Location::UNKNOWN, Problem::MissingKey { key: "images".to_owned() });
        return None;
    };
    let mut drafts_of: Vec<Option<Vec<Draft>>> = Vec::new();
    for (entry, image) in images.into_iter().enumerate() {
        let drafts = Draft::read(entry, image, &own, (registries, builders, owners), report);
        drafts_of.push(drafts.map(|mut drafts| {
            for draft in &mut drafts {
                part.check(draft, &fleet.of(draft.tier).policy, report);
                draft.owner.clone_from(&owner);
            }
            drafts
        }));
    }
    let suppress = suppress.into_iter().filter_map(|written| Suppress::read(written, report)).collect();
    Some((drafts_of, (number, suppress)))
}

/// Puts the images in build order; nothing if one has no known base.
fn assemble(drafts: Vec<Draft>, lineages: Vec<Lineage>, order: &[usize]) -> Option<Vec<Image>> {
    if order.len() != drafts.len() {
        return None;
    }
    let images = drafts.into_iter().zip(lineages).map(|(draft, lineage)| image(draft, lineage));
    let mut images: Vec<Image> = images.collect::<Option<_>>()?;
    let mut place_of = vec![0; order.len()];
    for (place, index) in order.iter().enumerate() {
        place_of[*index] = place;
    }
    // In place: a large hierarchy does not fit into the memory twice.
    for index in 0..images.len() {
        while place_of[index] != index {
            let place = place_of[index];
            images.swap(index, place);
            place_of.swap(index, place);
        }
    }
    Some(images)
}

fn image(draft: Draft, lineage: Lineage) -> Option<Image> {
    let Draft { id, tier, repository, line, owner, policy, pinned, .. } = draft;
    let pipeline = draft.pipeline.map(|(_, pipeline)| pipeline);
    Some(Image {
        id,
        tier,
        repository,
        line,
        from: lineage.from?,
        from_on: lineage.from_on,
        pinned: pinned || lineage.pinned,
        copy_from: lineage.copy_from,
        caches: lineage.caches,
        pipeline,
        owner,
        policy,
    })
}

fn read<T: DeserializeOwned>(yaml: &str, report: &mut Report<'_>) -> Option<T> {
    if yaml.len() > Hierarchy::LARGEST_FILE {
        report.add(Location::UNKNOWN, Problem::TooLarge { limit: Hierarchy::LARGEST_FILE });
        return None;
    }
    serde_saphyr::from_str_with_options(yaml, options())
        .map_err(|error| report_unreadable(yaml, &error, report))
        .ok()
}

/// Returns the parser's limits. [`Hierarchy::LARGEST_FILE`] bounds the text itself, so these limits
/// mostly bound what aliases multiply.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * MOST_NODES,
            max_nodes: MOST_NODES,
            max_depth: 16,
            max_merge_keys: 50_000,
            // A hierarchy has one set of defaults and thousands of images that repeat it.
            enforce_alias_anchor_ratio: false,
        },
        with_snippet: false,
        // `on` and `y` are names of images.
        strict_booleans: true,
    }
}

fn report_unreadable(yaml: &str, error: &Error, report: &mut Report<'_>) {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    match problem(error) {
        Problem::Yaml(_) if let Some((line, column)) = tab(yaml, at) => {
            report.add_at(line, column, Problem::Tab);
        }
        problem => report.add(at, problem),
    }
}

/// Returns line and column of a tab that indents a line. It is the line at which the parser
/// stopped, or the next one: the parser reports the beginning of the text that it was reading.
fn tab(yaml: &str, at: Location) -> Option<(u64, u64)> {
    let skipped = usize::try_from(at.line()).ok()?.saturating_sub(1);
    let lines = (1_u64..).zip(yaml.lines()).skip(skipped).take(2);
    let mut tabs = lines.filter_map(|(number, line)| {
        let column = line.chars().take_while(|c| matches!(c, ' ' | '\t')).position(|c| c == '\t')?;
        Some((number, u64::try_from(column).ok()? + 1))
    });
    tabs.next()
}

fn problem(error: &Error) -> Problem {
    match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = near(field, expected.iter().copied());
            Problem::UnknownKey { key: field.clone(), near, known: expected.clone() }
        }
        Error::SerdeMissingField { field, .. } => Problem::MissingKey { key: (*field).to_owned() },
        Error::DuplicateMappingKey { key: Some(key), .. } => Problem::DuplicateKey(key.clone()),
        // Numbers are the only scalars that are not read as text.
        Error::InvalidScalar { .. } => Problem::Shape("a whole number", "20"),
        Error::Unexpected { expected, .. } => shape(expected),
        Error::SerdeInvalidType { expected, .. } => Problem::Yaml(format!("write {expected} here")),
        Error::Eof { .. } => Problem::Yaml("the file ends too early; write at least `version: 1`".to_owned()),
        Error::NullIntoString { .. } => {
            Problem::Yaml("there is no value; write one, or remove the key".to_owned())
        }
        Error::MultipleDocuments { .. } => {
            Problem::Yaml("the file holds a second YAML document; remove it and its line `---`".to_owned())
        }
        Error::AliasError { error, .. } => problem(error),
        other => Problem::Yaml(UserMessageFormatter.format_message(other).into_owned()),
    }
}

/// Returns what to write where the parser expected this YAML event.
fn shape(event: &'static str) -> Problem {
    match event {
        "mapping start" => Problem::Shape("keys and values", "{ key: value }"),
        "sequence start" => Problem::Shape("a list", "[one, two]"),
        "string scalar" => Problem::Yaml("write a single text here".to_owned()),
        other => Problem::Yaml(format!("write {other} here")),
    }
}

/// The names of a file's parts, and nothing else of it.
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(default)]
    parts: BTreeMap<String, NamedPart>,
}

#[derive(Debug, Deserialize)]
struct NamedPart {
    file: String,
}

/// Returns the files that the parts of a hierarchy file are in, as it names them: beside itself.
/// None if the text is no hierarchy file, which loading it says better.
pub fn part_files(yaml: &str) -> Vec<String> {
    if !yaml.contains("parts") {
        return Vec::new();
    }
    let named: Result<Named, _> = serde_saphyr::from_str_with_options(yaml, options());
    named.map(|named| named.parts.into_values().map(|part| part.file).collect()).unwrap_or_default()
}

/// Reads the parts of a hierarchy file with `read`, which gets each file's name from the folder of
/// the main one. What cannot be read says why in its place.
pub fn read_parts(yaml: &str, mut read: impl FnMut(&str) -> Result<String, String>) -> PartTexts {
    let read = |file: String| {
        let text = read(&file);
        (file, text)
    };
    part_files(yaml).into_iter().map(read).collect()
}
