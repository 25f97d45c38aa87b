//! Groups the tags of a repository into lines.
//!
//! Three uses of tags are told apart. *Stable* tags move from version to version: `14`, `14.9`.
//! *Unique* tags name one version each: `main-3f2a1bc`, `20261101-01`. Tags of *environments* are
//! moved by people who promote a version: `prod`.

use std::collections::{BTreeMap, BTreeSet};

use super::Version;
use crate::image::{Tag, TagPattern};
use crate::time::Timestamp;

/// Names of environments.
const ENVIRONMENTS: [&str; 16] = [
    "prod",
    "production",
    "prd",
    "live-prod",
    "preprod",
    "staging",
    "stage",
    "stg",
    "uat",
    "dev",
    "development",
    "test",
    "qa",
    "int",
    "sandbox",
    "demo",
];
/// Tags that move from line to line, so that none may count on them.
const WANDERING: [&str; 6] = ["latest", "stable", "lts", "current", "edge", "newest"];
/// The branches that are built for people to use.
const MAINLINES: [&str; 6] = ["main-", "master-", "release-", "trunk-", "rel-", "develop-"];
/// A version that was pushed longer before the newest of its family is one of the past.
const LIVE_SECONDS: i64 = 45 * 86_400;

/// Which tags a line has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// The first is tracked.
    Stable(Vec<Tag>),
    Pattern {
        pattern: String,
        except: Vec<String>,
        by_version: bool,
    },
}

/// A line of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grouped {
    pub(super) form: Form,
    /// Its versions, by their number in the repository; the current one first.
    pub(super) versions: Vec<usize>,
}

impl Grouped {
    /// Returns its pattern; nothing for stable tags and for patterns with exceptions, which keep
    /// others out.
    fn pattern(&self) -> Option<TagPattern> {
        match &self.form {
            Form::Pattern { pattern, except, .. } if except.is_empty() => pattern.parse().ok(),
            _ => None,
        }
    }
}

/// What the tags of a repository are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags {
    pub(super) lines: Vec<Grouped>,
    /// Tags of environments, which a person may want to write as lines.
    pub(super) environments: BTreeSet<Tag>,
    /// Patterns of unique tags that are no line here, such as those of other branches.
    pub(super) others: BTreeSet<String>,
}

/// Groups tags. `is_image` tells versions from signatures and other artefacts.
pub(super) fn group(versions: &[Version], is_image: impl Fn(usize) -> bool) -> Tags {
    let mut tags = Tags::default();
    let numbered = numbered(versions);
    let mut unique: BTreeMap<Around, BTreeSet<usize>> = BTreeMap::new();
    let mut stable: BTreeMap<usize, Vec<&Tag>> = BTreeMap::new();
    for (at, version) in versions.iter().enumerate().filter(|(at, _)| is_image(*at)) {
        for tag in &version.tags {
            if ENVIRONMENTS.contains(&tag.as_str()) {
                tags.environments.insert(tag.clone());
            } else if let Some((head, tail)) = around(tag.as_str(), &numbered) {
                unique.entry((head.to_owned(), tail.to_owned())).or_default().insert(at);
            } else {
                stable.entry(at).or_default().push(tag);
            }
        }
    }
    let aliases = aliases(&mut unique, &stable);
    let mut by_head: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for ((head, _), of) in unique {
        by_head.entry(head).or_default().extend(of);
    }
    tags.add_unique(versions, by_head);
    // Tags that move leave versions without a tag behind; those of releases never do.
    let moves = versions.iter().enumerate().any(|(at, version)| version.tags.is_empty() && is_image(at));
    tags.add_stable(versions, stable, moves);
    for (named, past) in aliases {
        let line = tags.lines.iter_mut().find(|line| line.versions.first() == Some(&named));
        if let Some(line) = line {
            line.versions.extend(past.into_iter().filter(|at| !versions[*at].tags.is_empty()));
        }
    }
    tags.keep_apart();
    tags
}

/// Takes out the unique tags that are second names of stable ones: `bookworm-20260316` beside `12`.
/// Returns the version with the stable tags, and those that only have such a second name now.
fn aliases(
    unique: &mut BTreeMap<Around, BTreeSet<usize>>,
    stable: &BTreeMap<usize, Vec<&Tag>>,
) -> Vec<(usize, Vec<usize>)> {
    let is_steady = |tag: &&&Tag| !WANDERING.contains(&tag.as_str());
    let has_name = |at: &usize| stable.get(at).is_some_and(|tags| tags.iter().any(|tag| is_steady(&tag)));
    let is_alias = |head: &str, of: &BTreeSet<usize>| {
        !MAINLINES.contains(&head)
            && (of.iter().any(has_name) || head.is_empty() && stable.keys().any(has_name))
    };
    let around: Vec<Around> = unique
        .iter()
        .filter(|((head, _), of)| is_alias(head, of))
        .map(|(around, _)| around.clone())
        .collect();
    let all: Vec<BTreeSet<usize>> = around.iter().filter_map(|around| unique.remove(around)).collect();
    // A pattern of such names would claim the second names of the others.
    unique.retain(|(head, _), _| !around.iter().any(|(alias, _)| alias == head));
    let past = |of: BTreeSet<usize>| {
        let named: Vec<usize> = of.iter().copied().filter(has_name).collect();
        let past = of.iter().copied().filter(|at| !stable.contains_key(at)).collect();
        if let [named] = named.as_slice() { Some((*named, past)) } else { None }
    };
    all.into_iter().filter_map(past).collect()
}

impl Tags {
    /// Takes tags out that match the pattern of another line: two lines may not claim one tag.
    fn keep_apart(&mut self) {
        let patterns: Vec<TagPattern> = self.lines.iter().filter_map(Grouped::pattern).collect();
        for line in &mut self.lines {
            if let Form::Stable(tags) = &mut line.form {
                tags.retain(|tag| !patterns.iter().any(|pattern| pattern.matches(tag)));
            }
        }
        self.lines.retain(|line| line.form != Form::Stable(Vec::new()));
    }

    /// Adds the line of the mainline's unique tags. Those of other branches are listed.
    fn add_unique(&mut self, versions: &[Version], mut unique: BTreeMap<String, BTreeSet<usize>>) {
        let mainline =
            MAINLINES.iter().find(|main| unique.contains_key(**main)).map(|main| (*main).to_owned());
        let most = || unique.iter().max_by_key(|(head, of)| (of.len(), std::cmp::Reverse(*head)));
        let Some(head) = mainline.or_else(|| most().map(|(head, _)| head.clone())) else { return };
        let of = unique.remove(&head).unwrap_or_default();
        self.others = unique.into_keys().map(|head| format!("{head}*")).collect();
        let form = Form::Pattern { pattern: format!("{head}*"), except: Vec::new(), by_version: false };
        self.lines.push(Grouped { form, versions: newest_first(versions, of) });
    }

    /// Adds a line for each version that stable tags name and that is no version of another line.
    fn add_stable(&mut self, versions: &[Version], stable: BTreeMap<usize, Vec<&Tag>>, moves: bool) {
        let in_line: BTreeSet<usize> = self.lines.iter().flat_map(|line| line.versions.clone()).collect();
        let mut named: BTreeMap<usize, Vec<&Tag>> =
            stable.into_iter().filter(|(at, _)| !in_line.contains(at)).collect();
        if let Some(line) = releases(versions, &named).filter(|_| !moves) {
            let of: BTreeSet<usize> = line.versions.iter().copied().collect();
            named.retain(|at, _| !of.contains(at));
            self.lines.push(line);
        }
        let mut retired: BTreeMap<Dotted<'_>, Vec<usize>> = BTreeMap::new();
        let heads: Vec<(usize, Dotted<'_>)> =
            named.iter().filter_map(|(at, tags)| Some((*at, tracked(tags)?))).collect();
        for (at, tags) in &named {
            let Some(own) = tracked(tags) else {
                self.lines.extend(of_words(*at, tags, self.lines.is_empty() && named.len() == 1));
                continue;
            };
            let above = heads.iter().find(|(other, head)| other != at && head.is_above(&own));
            match above {
                Some((other, head)) if is_past(versions, *at, *other) => {
                    retired.entry(head.clone()).or_default().push(*at);
                }
                _ => {
                    let form = Form::Stable(family(&own, tags));
                    self.lines.push(Grouped { form, versions: vec![*at] });
                }
            }
        }
        for line in &mut self.lines {
            let Form::Stable(tags) = &line.form else { continue };
            let head = tags.first().and_then(|tag| Dotted::of(tag.as_str()));
            line.versions.extend(head.and_then(|head| retired.remove(&head)).unwrap_or_default());
        }
    }
}

/// Makes the line of a version that has no tag that is a version.
fn of_words(at: usize, tags: &[&Tag], alone: bool) -> Option<Grouped> {
    let steady: Vec<Tag> =
        tags.iter().filter(|tag| !WANDERING.contains(&tag.as_str())).map(|tag| (*tag).clone()).collect();
    let tags =
        if steady.is_empty() && alone { tags.iter().map(|tag| (*tag).clone()).collect() } else { steady };
    (!tags.is_empty()).then(|| Grouped { form: Form::Stable(tags), versions: vec![at] })
}

fn newest_first(versions: &[Version], of: BTreeSet<usize>) -> Vec<usize> {
    let mut of: Vec<usize> = of.into_iter().collect();
    of.sort_by_key(|at| std::cmp::Reverse((versions[*at].pushed_at, &versions[*at].digest)));
    of
}

fn is_past(versions: &[Version], at: usize, head: usize) -> bool {
    let second = |at: usize| -> Timestamp { versions[at].pushed_at };
    second(head).as_second() - second(at).as_second() > LIVE_SECONDS
}

/// A tag with a version in it: `v1.2.3-alpine` has the parts 1, 2 and 3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Dotted<'t> {
    prefix: &'t str,
    parts: Vec<&'t str>,
    suffix: &'t str,
}

impl<'t> Dotted<'t> {
    fn of(tag: &'t str) -> Option<Self> {
        let prefix = usize::from(tag.starts_with(['v', 'V']));
        let (prefix, rest) = tag.split_at(prefix);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (core, suffix) = rest.split_at(end);
        let parts: Vec<&str> = core.split('.').collect();
        let is_whole = parts.iter().all(|part| !part.is_empty());
        (is_whole && (suffix.is_empty() || suffix.starts_with(['-', '_']))).then_some(Self {
            prefix,
            parts,
            suffix,
        })
    }

    /// Returns whether this is the same family with fewer parts: `14` is above `14.9`.
    fn is_above(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.suffix == other.suffix
            && self.parts.len() < other.parts.len()
            && other.parts.starts_with(&self.parts)
    }

    /// Returns whether this and `other` are of one family.
    fn is_beside(&self, other: &Self) -> bool {
        self == other || self.is_above(other)
    }
}

/// Returns whether a tag is `head`, or a longer version of its family.
pub(super) fn is_beside(head: &Tag, tag: &Tag) -> bool {
    let dotted = Dotted::of(head.as_str()).zip(Dotted::of(tag.as_str()));
    dotted.is_some_and(|(head, tag)| head.is_beside(&tag))
}

/// Chooses the tag that is tracked: the one that says least, so that it moves with every version.
fn tracked<'t>(tags: &[&'t Tag]) -> Option<Dotted<'t>> {
    let dotted = tags.iter().filter_map(|tag| Dotted::of(tag.as_str()));
    dotted.min_by_key(|tag| (tag.suffix.len(), tag.parts.len(), tag.clone()))
}

fn family(head: &Dotted<'_>, tags: &[&Tag]) -> Vec<Tag> {
    let of = |tag: &&&Tag| Dotted::of(tag.as_str()).is_some_and(|tag| head.is_beside(&tag));
    let mut family: Vec<Tag> = tags.iter().filter(of).map(|tag| (*tag).clone()).collect();
    family.sort_by_key(|tag| (tag.as_str().len(), tag.clone()));
    family
}

/// Makes one line of whole versions that were each released once, as applications tag them:
/// `v1.2.3`, `v1.3.0`. Nothing if a shorter tag moves among them.
fn releases(versions: &[Version], named: &BTreeMap<usize, Vec<&Tag>>) -> Option<Grouped> {
    let mut families: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (at, tags) in named {
        let dotted: Vec<Dotted<'_>> = tags.iter().filter_map(|tag| Dotted::of(tag.as_str())).collect();
        if dotted.iter().any(|tag| tag.suffix.is_empty() && tag.parts.len() != 3) {
            return None;
        }
        for tag in dotted.iter().filter(|tag| tag.suffix.is_empty()) {
            families.entry(tag.prefix).or_default().insert(*at);
        }
    }
    let (prefix, of) = families.into_iter().filter(|(_, of)| of.len() > 1).max_by_key(|(_, of)| of.len())?;
    let highest = |at: &usize| {
        let dotted = versions[*at].tags.iter().filter_map(|tag| Dotted::of(tag.as_str()));
        let numbers = |tag: Dotted<'_>| {
            tag.parts.iter().map(|part| part.parse().unwrap_or_default()).collect::<Vec<u64>>()
        };
        std::cmp::Reverse(dotted.filter(|tag| tag.suffix.is_empty()).map(numbers).max())
    };
    let mut of: Vec<usize> = of.into_iter().collect();
    of.sort_by_key(highest);
    let form =
        Form::Pattern { pattern: format!("{prefix}*.*.*"), except: vec!["*-*".to_owned()], by_version: true };
    Some(Grouped { form, versions: of })
}

/// Finds the words that stand before the numbers of several builds: `build-` of `build-12`. One
/// such tag alone may be a version: `alpine-3`.
fn numbered(versions: &[Version]) -> BTreeSet<&str> {
    let mut of: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (at, version) in versions.iter().enumerate() {
        for head in version.tags.iter().filter_map(|tag| numbered_head(tag.as_str())) {
            of.entry(head).or_default().insert(at);
        }
    }
    of.into_iter().filter(|(_, versions)| versions.len() > 1).map(|(head, _)| head).collect()
}

fn numbered_head(tag: &str) -> Option<&str> {
    let (head, number) = tag.rsplit_once('-')?;
    let is_word =
        head.starts_with(|c: char| c.is_ascii_alphabetic()) && !head.contains(|c: char| c.is_ascii_digit());
    let is_number = (1..8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (is_word && is_number).then(|| &tag[..=head.len()])
}

/// What stands before and after the part of a tag that names one version alone.
type Around = (String, String);

fn around<'t>(tag: &'t str, numbered: &BTreeSet<&str>) -> Option<(&'t str, &'t str)> {
    unique(tag).or_else(|| numbered_head(tag).filter(|head| numbered.contains(head)).map(|head| (head, "")))
}

/// Finds a commit or a day in a tag. Nothing for other tags.
fn unique(tag: &str) -> Option<(&str, &str)> {
    let mut start = 0;
    for part in tag.split(['-', '_', '.']) {
        if is_unique(part) {
            return Some((&tag[..start], &tag[start + part.len()..]));
        }
        start += part.len() + 1;
    }
    None
}

/// A commit of at least seven digits, or a day with or without the time.
fn is_unique(part: &str) -> bool {
    let hex = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let is_commit = hex && (7..=64).contains(&part.len()) && (digits > 0 && digits < part.len());
    let is_day = digits == part.len() && (8..=17).contains(&digits);
    is_commit || is_day
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(all: &[(&str, &str)]) -> Vec<Version> {
        let version = |(n, (day, tags)): (usize, &(&str, &str))| Version {
            digest: format!("sha256:{n:064x}").parse().unwrap(),
            tags: tags.split_whitespace().map(|tag| tag.parse().unwrap()).collect(),
            pushed_at: format!("{day}T00:00:00Z").parse().unwrap(),
        };
        all.iter().enumerate().map(version).collect()
    }

    fn lines(all: &[(&str, &str)]) -> Vec<String> {
        let form = |line: &Grouped| match &line.form {
            Form::Stable(tags) => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "),
            Form::Pattern { pattern, .. } => pattern.clone(),
        };
        let grouped = group(&pushed(all), |_| true);
        let with = |line: &Grouped| format!("{} {:?}", form(line), line.versions);
        grouped.lines.iter().map(with).collect()
    }

    #[test]
    fn tags_that_move_together_are_one_line_and_the_past_of_a_line_is_none() {
        let found = lines(&[
            ("2026-06-01", "14.8.0 14.8"),
            ("2026-11-01", "14 14.9 14.9.0 latest"),
            ("2026-11-02", "13 13.5"),
            ("2026-10-01", ""),
        ]);
        assert_eq!(found, ["14 14.9 14.9.0 [1, 0]", "13 13.5 [2]"]);
    }

    #[test]
    fn versions_that_are_kept_beside_a_newer_one_are_lines_of_their_own() {
        let found = lines(&[
            ("2026-11-01", "8 8.5 8.5.1 cli"),
            ("2026-11-01", "8.4 8.4.19"),
            ("2026-11-01", "8-alpine 8.5-alpine"),
        ]);
        assert_eq!(found, ["8 8.5 8.5.1 [0]", "8.4 8.4.19 [1]", "8-alpine 8.5-alpine [2]"]);
    }

    #[test]
    fn unique_tags_are_a_pattern_and_those_of_other_branches_are_listed() {
        let all = [
            ("2026-11-01", "main-3f2a1bc prod"),
            ("2026-11-02", "main-9d8e7f6 latest"),
            ("2026-11-03", "pr-17-abc1234"),
            ("2026-11-03", "pr-18-abc1235"),
        ];
        assert_eq!(lines(&all), ["main-* [1, 0]"]);
        let grouped = group(&pushed(&all), |_| true);
        assert_eq!(grouped.others.iter().map(String::as_str).collect::<Vec<_>>(), ["pr-17-*", "pr-18-*"]);
        assert_eq!(grouped.environments.iter().map(Tag::as_str).collect::<Vec<_>>(), ["prod"]);
        assert_eq!(
            lines(&[("2026-11-01", "20261101-01 latest"), ("2026-10-01", "20261001-01")]),
            ["* [0, 1]"]
        );
        assert_eq!(lines(&[("2026-11-01", "build-7"), ("2026-10-01", "build-6")]), ["build-* [0, 1]"]);
    }

    #[test]
    fn a_day_beside_a_stable_tag_is_its_second_name() {
        let all = [
            ("2026-10-01", "bookworm-20261001"),
            ("2026-10-01", "bookworm-20261001-slim"),
            ("2026-11-01", "bookworm bookworm-20261101 12 12.9"),
            ("2026-11-01", "trixie trixie-20261101 13"),
            ("2026-11-01", "20261101 edge"),
        ];
        assert_eq!(lines(&all), ["12 12.9 [2, 0]", "13 [3]"]);
    }

    #[test]
    fn releases_are_one_line_in_the_order_of_versions() {
        let all = [("2026-11-02", "v1.9.4"), ("2026-11-01", "v1.10.0"), ("2026-10-01", "v1.9.3")];
        assert_eq!(lines(&all), ["v*.*.* [1, 0, 2]"]);
        let moved = [&all[..2], &[("2026-10-01", "")]].concat();
        assert_eq!(lines(&moved), ["v1.9.4 [0]", "v1.10.0 [1]"], "tags that move");
        assert_eq!(lines(&[("2026-11-01", "1.4.0")]), ["1.4.0 [0]"]);
        assert_eq!(lines(&[("2026-11-01", "live")]), ["live [0]"]);
        assert_eq!(lines(&[("2026-11-01", "latest")]), ["latest [0]"]);
    }

    #[test]
    fn commits_days_and_numbers_are_told_from_versions() {
        for (tag, head) in [
            ("main-3f2a1bc", Some("main-")),
            ("3f2a1bc", Some("")),
            ("deadbeef", None),
            ("1.2.3", None),
            ("build-12", None),
            ("20261101", Some("")),
            ("3.13-slim", None),
            ("alpine-3", None),
            ("bookworm", None),
        ] {
            assert_eq!(unique(tag).map(|(head, _)| head), head, "{tag}");
        }
    }
}
