//! Puts a draft beside what people wrote.
//!
//! What people wrote stays to the byte, comments too. Where the evidence names another base than
//! the file, that is drift: one value is replaced. New images are added at the end of the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::entry::{Draft, Drafted, UNKNOWN};
use crate::hierarchy::{Hierarchy, Image, Line, Parent, PartTexts};
use crate::image::{Reference, Tag};

/// A value that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    pub image: String,
    pub line: usize,
    pub was: String,
    pub is: String,
    pub evidence: String,
}

/// A file with what was found since it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    #[serde(skip)]
    pub text: String,
    pub drift: Vec<Drift>,
    /// The ids of the images that are added.
    pub added: Vec<String>,
    /// What a person must write: no rule says where it belongs.
    pub advice: Vec<String>,
    #[serde(skip)]
    appended: String,
}

/// Why a draft cannot be put into a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMerged {
    #[error("{0}")]
    Invalid(String),
    #[error("the list under `images` is in brackets; write it with one `- ` for each image, and try again")]
    InBrackets,
    #[error(
        "with the drafted images the file would not be valid: {0}\nWrite them yourself: `patchwave discover` without --hierarchy prints them"
    )]
    WouldBeInvalid(String),
}

/// The names under a key, whatever stands there.
#[derive(Default, Deserialize)]
#[serde(from = "BTreeMap<String, serde_json::Value>")]
struct Names(BTreeSet<String>);

impl From<BTreeMap<String, serde_json::Value>> for Names {
    fn from(map: BTreeMap<String, serde_json::Value>) -> Self {
        Self(map.into_keys().collect())
    }
}

/// The parts of a file whose places are needed.
#[derive(Deserialize)]
struct Places {
    images: Vec<Spanned<Entry>>,
    #[serde(default)]
    owners: Names,
    #[serde(default)]
    builders: Names,
    #[serde(default)]
    registries: Names,
}

#[derive(Deserialize)]
struct Entry {
    id: Option<String>,
    repository: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    from: Option<Spanned<IgnoredAny>>,
}

/// Puts a draft into the file `text`, which is called `name` in errors. What stands in its parts is
/// known, and advised about.
///
/// # Errors
///
/// The file is not valid, or would not be.
pub fn merge(name: &str, text: &str, parts: &PartTexts, drafted: &Drafted) -> Result<Merged, NotMerged> {
    let parse = |text: &str| Hierarchy::parse_with_parts(name, text, parts);
    let hierarchy = parse(text).map_err(|errors| NotMerged::Invalid(errors.to_string()))?;
    let places: Places =
        serde_saphyr::from_str(text).map_err(|error| NotMerged::Invalid(error.to_string()))?;
    let known: BTreeMap<&str, &Image> = drafted
        .images
        .iter()
        .filter_map(|draft| Some((draft.id.as_str(), find(&hierarchy, draft)?)))
        .collect();
    let mut merged = Merged {
        text: text.to_owned(),
        drift: Vec::new(),
        added: Vec::new(),
        advice: Vec::new(),
        appended: String::new(),
    };
    for draft in &drafted.images {
        match known.get(draft.id.as_str()) {
            Some(image) => merged.compare(&hierarchy, &places, draft, image, &known),
            None => merged.add(&places, draft, &known),
        }
    }
    merged.replace();
    merged.append()?;
    match parse(&merged.text) {
        Ok(_) => Ok(merged),
        Err(errors) => Err(NotMerged::WouldBeInvalid(errors.to_string())),
    }
}

/// Finds the image of the file that a draft is about: of the same repository, and with one of its
/// tags.
fn find<'h>(hierarchy: &'h Hierarchy, draft: &Draft) -> Option<&'h Image> {
    let is_here = |image: &&Image| {
        let (host, name) = hierarchy.address(&image.repository);
        name == draft.repository && host.host() == draft.host
    };
    let tags: Vec<Tag> = draft.tags.iter().filter_map(|tag| tag.parse().ok()).collect();
    let has = |image: &&Image| match (&image.line, &draft.tag_pattern) {
        (Line::Newest(family), Some(pattern)) => family.as_str() == pattern.pattern,
        (line, _) => tags.iter().any(|tag| line.has(tag)),
    };
    let here: Vec<&Image> = hierarchy.images().filter(is_here).collect();
    let same = here.iter().find(|image| has(image)).copied();
    // A person may have written another pattern for the only line.
    same.or_else(|| match here.as_slice() {
        [one] if matches!(one.line, Line::Newest(_)) && draft.tag_pattern.is_some() => Some(*one),
        _ => None,
    })
}

impl Merged {
    fn compare(
        &mut self,
        hierarchy: &Hierarchy,
        places: &Places,
        draft: &Draft,
        image: &Image,
        known: &BTreeMap<&str, &Image>,
    ) {
        let missing: Vec<&String> =
            draft.copy_from.iter().filter(|parent| !copies(image, &rename(parent, known))).collect();
        for parent in missing {
            self.advice.push(format!("{}: its build copies from {parent}; add it under copyFrom", image.id));
        }
        if let Some(builds) = draft.pipeline.as_ref().filter(|_| image.pipeline.is_none()) {
            self.advice.push(format!("{}: it has no pipeline, and {} builds it", image.id, builds.name));
        }
        let is = rename(&draft.from, known);
        if draft.from == UNKNOWN || !draft.from_on.is_empty() || is_same(&image.from, &is) {
            return;
        }
        let was = words(&image.from);
        let evidence = draft.evidence.first().cloned().unwrap_or_default();
        let place = places.images.iter().map(|entry| &entry.value).find(|entry| entry.is(hierarchy, image));
        let line = place.and_then(|entry| entry.from.as_ref()).map(|from| from.referenced);
        let line =
            line.and_then(|at| Some((usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?)));
        match line
            .filter(|at| value_at(&self.text, *at).is_some_and(|value| value == was || named(value) == was))
        {
            Some((line, _)) => {
                self.drift.push(Drift { image: image.id.to_string(), line, was, is, evidence });
            }
            None => self
                .advice
                .push(format!("{}: it is built on {is}, and the file says {was} ({evidence})", image.id)),
        }
    }

    fn add(&mut self, places: &Places, draft: &Draft, known: &BTreeMap<&str, &Image>) {
        let mut draft = draft.clone();
        draft.from = rename(&draft.from, known);
        for parent in draft.copy_from.iter_mut().chain(draft.from_on.values_mut()) {
            *parent = rename(parent, known);
        }
        let unknown =
            |name: &Option<String>, names: &Names| name.as_ref().is_some_and(|name| !names.0.contains(name));
        if unknown(&draft.registry, &places.registries) {
            self.advice.push(format!("{}: its registry {} is not in the file", draft.id, draft.host));
            return;
        }
        if unknown(&draft.owner, &places.owners) {
            let owner = draft.owner.take().unwrap_or_default();
            draft.evidence.push(format!("its owner is {owner}: declare it under owners"));
        }
        if draft.pipeline.as_ref().is_some_and(|builds| unknown(&builds.builder, &places.builders)) {
            let builds = draft.pipeline.take().map(|builds| builds.text()).unwrap_or_default();
            draft.evidence.push(format!("its pipeline is {builds}: declare the builder"));
        }
        self.added.push(draft.id.clone());
        self.appended += &draft.text();
    }

    /// Replaces the values that drifted, from the end of the file, so that no place moves.
    fn replace(&mut self) {
        self.drift.sort_by_key(|drift| drift.line);
        let mut lines: Vec<String> = self.text.split_inclusive('\n').map(str::to_owned).collect();
        for drift in &self.drift {
            let Some(line) = drift.line.checked_sub(1).and_then(|at| lines.get_mut(at)) else { continue };
            *line = replaced(line, &drift.was, &drift.is);
        }
        self.text = lines.concat();
    }

    fn append(&mut self) -> Result<(), NotMerged> {
        if self.appended.is_empty() {
            return Ok(());
        }
        let lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let head = lines.iter().position(|line| line.starts_with("images:")).ok_or(NotMerged::InBrackets)?;
        let indent = lines[head + 1..]
            .iter()
            .find_map(|line| line.find("- ").filter(|at| line[..*at].trim().is_empty()));
        let indent = indent.ok_or(NotMerged::InBrackets)?;
        let is_end = |line: &&&str| line.starts_with(|c: char| !c.is_whitespace() && c != '#' && c != '-');
        let mut end =
            lines[head + 1..].iter().position(|line| is_end(&line)).map_or(lines.len(), |at| head + 1 + at);
        // Comments and empty lines before the next key belong to that key.
        while end > head + 1 && (lines[end - 1].trim().is_empty() || lines[end - 1].starts_with('#')) {
            end -= 1;
        }
        let pad = " ".repeat(indent);
        let shifted =
            self.appended.lines().map(|line| format!("{pad}{}\n", line.strip_prefix("  ").unwrap_or(line)));
        self.appended = shifted.collect();
        let (before, after) = (lines[..end].concat(), lines[end..].concat());
        let newline = if before.ends_with('\n') { "" } else { "\n" };
        self.text = format!("{before}{newline}{}{after}", self.appended);
        Ok(())
    }

    /// Shows what changes, as a diff.
    #[must_use]
    pub fn diff(&self, before: &str) -> String {
        let mut diff = String::new();
        let lines: Vec<&str> = before.lines().collect();
        for drift in &self.drift {
            let was = drift.line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
            let is = replaced(was, &drift.was, &drift.is);
            let _ =
                writeln!(diff, "@@ line {}: {} ({})\n-{was}\n+{is}", drift.line, drift.image, drift.evidence);
        }
        if !self.appended.is_empty() {
            let _ = writeln!(diff, "@@ at the end of images");
            for line in self.appended.lines() {
                let _ = writeln!(diff, "+{line}");
            }
        }
        diff
    }

    /// Returns whether the file says all that was found.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.drift.is_empty() && self.added.is_empty()
    }
}

impl Entry {
    fn is(&self, hierarchy: &Hierarchy, image: &Image) -> bool {
        let (_, name) = hierarchy.address(&image.repository);
        let by_default = match self.tags.first() {
            Some(tag) => format!("{name}:{tag}"),
            None => name.to_owned(),
        };
        self.repository.as_deref() == Some(name)
            && *image.id.as_str() == *self.id.as_ref().unwrap_or(&by_default)
    }
}

/// Names a drafted image as the file does.
fn rename(parent: &str, known: &BTreeMap<&str, &Image>) -> String {
    known.get(parent).map_or_else(|| parent.to_owned(), |image| image.id.to_string())
}

fn is_same(parent: &Parent, other: &str) -> bool {
    match parent {
        // What the file pins is the same image.
        Parent::Upstream(reference) => {
            let other: Option<Reference> = other.parse().ok();
            other.is_some_and(|other| {
                other.name() == reference.name() && (other.tag == reference.tag || reference.tag.is_none())
            })
        }
        parent => words(parent) == other,
    }
}

fn copies(image: &Image, parent: &str) -> bool {
    image.named_parents().any(|own| is_same(own, parent))
}

fn words(parent: &Parent) -> String {
    match parent {
        Parent::Image(id) => id.to_string(),
        Parent::Upstream(reference) => reference.to_string(),
        Parent::Scratch => "scratch".to_owned(),
        Parent::Unknown => UNKNOWN.to_owned(),
    }
}

/// Reads the scalar that begins at a place; nothing if it is an alias or a mapping.
fn value_at(text: &str, (line, column): (usize, usize)) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let (start, first) = line.char_indices().nth(column.checked_sub(1)?)?;
    let rest = &line[start..];
    match first {
        '"' | '\'' => rest[1..].split(first).next(),
        '*' | '&' | '{' | '[' | '|' | '>' => None,
        _ => rest.split(['\n', ',', '}', ']']).next()?.split(" #").next().map(str::trim_end),
    }
}

/// A reference that the file spells otherwise.
fn named(value: &str) -> String {
    value.parse::<Reference>().map_or_else(|_| value.to_owned(), |reference| reference.to_string())
}

/// Replaces the value of `from` in a line.
fn replaced(line: &str, was: &str, is: &str) -> String {
    let Some(at) = line.find("from:").map(|at| at + "from:".len()) else { return line.to_owned() };
    let (head, rest) = line.split_at(at);
    let value = super::yaml::scalar(is);
    let start = rest.len() - rest.trim_start().len();
    let column = head.chars().count() + rest[..start].chars().count() + 1;
    let Some(old) = value_at(line, (1, column)).filter(|old| *old == was || named(old) == was) else {
        return line.to_owned();
    };
    let is_quoted = rest[start..].starts_with(['"', '\'']);
    let end = start + old.len() + if is_quoted { 2 } else { 0 };
    format!("{head}{}{value}{}", &rest[..start], &rest[end..])
}
