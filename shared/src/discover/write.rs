//! Writes the drafted file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::entry::{Builds, Draft, Drafted, Pattern, UNKNOWN};
use super::lines::{Lines, registry_name};
use super::seen::Role;
use super::yaml::{comment, mapping, quoted, scalar, sequence};
use super::{Estate, Pipeline};
use crate::hierarchy::{Tier, Variable};

/// Names the account and Region of a pipeline in the file.
pub(super) fn builder_name(pipeline: &Pipeline) -> String {
    format!("b{}-{}", pipeline.account, pipeline.region)
}

impl Drafted {
    /// Writes the file. It validates.
    #[must_use]
    pub fn text(&self) -> String {
        let entries: Vec<String> = self.images.iter().map(Draft::text).collect();
        format!(
            "{}images:\n{}",
            self.head,
            if entries.is_empty() { "  []\n".to_owned() } else { entries.join("") }
        )
    }

    /// Writes the main file, and beside it a file for each owner with that owner's images.
    #[must_use]
    pub fn by_owner(&self) -> (String, Vec<DraftedPart>) {
        let mut of: BTreeMap<&String, Vec<&Draft>> = BTreeMap::new();
        for draft in &self.images {
            if let Some(owner) = &draft.owner {
                of.entry(owner).or_default().push(draft);
            }
        }
        let mut head = self.head.clone();
        let (mut parts, mut files) = (Vec::new(), BTreeSet::new());
        for (owner, drafts) in of {
            let file = file_of(owner, &mut files);
            head += if parts.is_empty() { "parts:\n" } else { "" };
            let names = |names: BTreeSet<&String>| sequence(names.into_iter().map(|name| quoted(name)));
            let repositories = names(drafts.iter().map(|draft| &draft.repository).collect());
            let pipelines =
                names(drafts.iter().filter_map(|draft| Some(&draft.pipeline.as_ref()?.name)).collect());
            let keys = [("file", scalar(&file)), ("repositories", repositories), ("pipelines", pipelines)];
            head += &row(format_args!("  {}:", scalar(owner)));
            for (key, value) in keys {
                head += &row(format_args!("    {key}: {value}"));
            }
            // The part says whose they are.
            let entries = drafts.into_iter().map(|draft| Draft { owner: None, ..draft.clone() }.text());
            let text = format!("version: 1\nimages:\n{}", entries.collect::<String>());
            parts.push(DraftedPart { owner: owner.clone(), file, text });
        }
        let others: String =
            self.images.iter().filter(|draft| draft.owner.is_none()).map(Draft::text).collect();
        let others = if others.is_empty() { "  []\n".to_owned() } else { others };
        (format!("{head}images:\n{others}"), parts)
    }

    /// Returns the images whose base is not known.
    pub fn unknown(&self) -> impl Iterator<Item = &Draft> {
        self.images.iter().filter(|draft| draft.from == UNKNOWN)
    }
}

/// A drafted file of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftedPart {
    pub owner: String,
    /// From the folder of the main file.
    pub file: String,
    pub text: String,
}

/// Names the file of an owner: by the letters and digits of the name, and by a number if others
/// have the same.
fn file_of(owner: &str, taken: &mut BTreeSet<String>) -> String {
    let words = owner.to_ascii_lowercase();
    let words: Vec<&str> =
        words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "owner".to_owned() } else { words.join("-") };
    let numbered = |number: usize| match number {
        1 => format!("teams/{name}.yaml"),
        number => format!("teams/{name}-{number}.yaml"),
    };
    let mut number = 1;
    while !taken.insert(numbered(number)) {
        number += 1;
    }
    numbered(number)
}

fn row(text: fmt::Arguments<'_>) -> String {
    format!("{text}\n")
}

/// Writes everything before the images.
pub(super) fn head(estate: &Estate, lines: &Lines<'_>, images: &[Draft], unread: &[String]) -> String {
    let unknown = images.iter().filter(|draft| draft.from == UNKNOWN).count();
    let mut head = comment(
        "",
        format!(
            "Drafted by `patchwave discover`: {} images, {unknown} of them on an unknown base.",
            images.len()
        ),
    );
    head += &comment("", "Each entry has its evidence above it. What most images are built on comes first.");
    for unread in unread {
        head += &comment("", format!("NOT READ: {unread}"));
    }
    head += "version: 1\n";
    head += &registries(estate, lines);
    head += "policy: { mode: observe }\n";
    let used = |pipeline: &&Pipeline| {
        let name = builder_name(pipeline);
        images
            .iter()
            .any(|draft| draft.pipeline.as_ref().is_some_and(|builds| builds.builder.as_ref() == Some(&name)))
    };
    let builders: BTreeMap<String, String> = estate
        .pipelines
        .iter()
        .filter(used)
        .map(|pipeline| {
            let place = [
                ("account".to_owned(), quoted(&pipeline.account)),
                ("region".to_owned(), scalar(&pipeline.region)),
            ];
            (builder_name(pipeline), mapping(place))
        })
        .collect();
    for (at, (name, place)) in builders.into_iter().enumerate() {
        head += if at == 0 { "builders:\n" } else { "" };
        head += &row(format_args!("  {}: {place}", scalar(&name)));
    }
    let owners: BTreeSet<&String> = images.iter().filter_map(|draft| draft.owner.as_ref()).collect();
    if !owners.is_empty() {
        head += &row(format_args!(
            "owners: {}",
            mapping(owners.into_iter().map(|owner| (scalar(owner), "{}".to_owned())))
        ));
    }
    head
}

fn registries(estate: &Estate, lines: &Lines<'_>) -> String {
    let copies = copies(lines);
    let is_simple =
        estate.registries.len() == 1 && copies.is_empty() && estate.registries[0].caches.is_empty();
    if let Some(home) = estate.registries.first().filter(|_| is_simple) {
        return format!("registry: {}\n", home.host);
    }
    let mut text = "registries:\n".to_owned();
    for (number, registry) in estate.registries.iter().enumerate() {
        text += &row(format_args!("  {}:\n    host: {}", registry_name(estate, number), registry.host));
        if !registry.caches.is_empty() {
            let caches = registry.caches.iter().map(|(prefix, upstream)| (scalar(prefix), scalar(upstream)));
            text += &row(format_args!("    caches: {}", mapping(caches)));
        }
        let here: Vec<String> = copies
            .iter()
            .filter(|copy| copy.to.0 == number)
            .map(|copy| {
                let of =
                    (copy.from.0 != number).then(|| ("of".to_owned(), registry_name(estate, copy.from.0)));
                let names =
                    [("from".to_owned(), scalar(&copy.from.1)), ("to".to_owned(), scalar(&copy.to.1))];
                mapping(of.into_iter().chain(names))
            })
            .collect();
        if !here.is_empty() {
            text += &row(format_args!("    copies: {}", sequence(here)));
        }
    }
    text
}

/// Repositories that hold copies of others: the registry and the name of both.
struct Copied {
    from: (usize, String),
    to: (usize, String),
}

fn copies(lines: &Lines<'_>) -> Vec<Copied> {
    let name = |place: usize| {
        let place = &lines.catalog.places[place];
        (place.registry, place.repository.name.name().to_owned())
    };
    let places = lines.catalog.places.iter().enumerate();
    let of = places.filter_map(|(number, place)| match place.role {
        Role::Copy(of) => Some(Copied { from: name(of), to: name(number) }),
        _ => None,
    });
    of.collect()
}

impl Draft {
    /// Writes the entry with its evidence above it.
    pub(super) fn text(&self) -> String {
        let mut text: String = self.evidence.iter().map(|said| comment("  ", said)).collect();
        for (at, (key, value)) in self.pairs().into_iter().enumerate() {
            text += &row(format_args!("  {} {key}: {value}", if at == 0 { "-" } else { " " }));
        }
        text
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if self.writes_id {
            pairs.push(("id", scalar(&self.id)));
        }
        pairs.push(("tier", word(self.tier).to_owned()));
        pairs.extend(self.registry.iter().map(|registry| ("registry", scalar(registry))));
        pairs.push(("repository", scalar(&self.repository)));
        if !self.tags.is_empty() {
            pairs.push(("tags", sequence(self.tags.iter().map(|tag| quoted(tag)))));
        }
        pairs.extend(self.tag_pattern.iter().map(|pattern| ("tagPattern", pattern.text())));
        pairs.push(("from", self.base_text()));
        if self.pinned {
            pairs.push(("pinned", "true".to_owned()));
        }
        if !self.copy_from.is_empty() {
            pairs.push(("copyFrom", sequence(self.copy_from.iter().map(|parent| scalar(parent)))));
        }
        pairs.extend(self.pipeline.iter().map(|pipeline| ("pipeline", pipeline.text())));
        pairs.extend(self.owner.iter().map(|owner| ("owner", scalar(owner))));
        pairs
    }

    /// Writes the value of `from`.
    pub(super) fn base_text(&self) -> String {
        if self.from_on.is_empty() {
            return scalar(&self.from);
        }
        let default = ("default".to_owned(), scalar(&self.from));
        let others = self.from_on.iter().map(|(platform, parent)| (scalar(platform), scalar(parent)));
        mapping(std::iter::once(default).chain(others))
    }
}

impl Pattern {
    fn text(&self) -> String {
        if self.except.is_empty() && !self.by_version {
            return quoted(&self.pattern);
        }
        let mut pairs = vec![("match".to_owned(), quoted(&self.pattern))];
        if !self.except.is_empty() {
            pairs.push(("except".to_owned(), sequence(self.except.iter().map(|pattern| quoted(pattern)))));
        }
        if self.by_version {
            pairs.push(("order".to_owned(), "version".to_owned()));
        }
        mapping(pairs)
    }
}

impl Builds {
    /// Writes the value of `pipeline`.
    pub(super) fn text(&self) -> String {
        if self.builder.is_none() && self.variables.len() == Variable::ALL.len() {
            return scalar(&self.name);
        }
        let mut pairs = vec![("name".to_owned(), scalar(&self.name))];
        pairs.extend(self.builder.iter().map(|builder| ("builder".to_owned(), scalar(builder))));
        if self.variables.len() < Variable::ALL.len() {
            pairs.push(("variables".to_owned(), sequence(self.variables.iter().cloned())));
        }
        mapping(pairs)
    }
}

const fn word(tier: Tier) -> &'static str {
    match tier {
        Tier::Base => "base",
        Tier::Platform => "platform",
        Tier::Application => "application",
    }
}
