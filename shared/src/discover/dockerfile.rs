//! What the stages of a Dockerfile are built on.
//!
//! <https://docs.docker.com/reference/dockerfile/#understand-how-arg-and-from-interact>: `FROM`
//! sees only the `ARG`s before the first stage, with the build's arguments in place of defaults.

use std::collections::{BTreeMap, BTreeSet};

use parse_dockerfile::{Dockerfile, Flag, Instruction, Stage};

use super::named::Named;

/// More stages than any Dockerfile has.
const MOST_STAGES: usize = 500;

/// What the target stage is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stages {
    /// Nothing if it is `scratch`.
    pub(super) base: Option<Named>,
    /// The images of the stages that it copies from.
    pub(super) copied: BTreeSet<Named>,
}

impl Stages {
    /// Returns what is built on, the base first.
    pub(super) fn into_names(self) -> Vec<String> {
        self.base.into_iter().chain(self.copied).map(|named| named.words()).collect()
    }

    /// Returns whether the base is written with its digest, so that only a commit moves it.
    pub(super) fn is_pinned(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.digest.is_some())
    }
}

/// Reads a Dockerfile with the arguments of its build (`build-arg:NAME`, `target`). Nothing if
/// anything that decides is not known: an argument without a value, a stage that is missing.
pub(super) fn read(text: &str, arguments: &BTreeMap<String, String>) -> Option<Stages> {
    let file = parse_dockerfile::parse(text).ok()?;
    let globals = globals(&file, arguments);
    let stages: Vec<Stage<'_, '_>> = file.stages().take(MOST_STAGES).collect();
    let target = match arguments.get("target").map(String::as_str).filter(|target| !target.is_empty()) {
        None => stages.len().checked_sub(1)?,
        Some(name) => position(&stages, name, stages.len())?,
    };
    let base = base(&stages, target, &globals)?.image();
    let mut copied = BTreeSet::new();
    let (mut open, mut seen) = (vec![target], BTreeSet::new());
    while let Some(at) = open.pop() {
        if !seen.insert(at) {
            continue;
        }
        let image = expand(&stages[at].from.image.value, &globals)?;
        if let Some(parent) = position(&stages, &image, at) {
            open.push(parent);
        }
        for name in sources(&stages[at]) {
            let name = expand(&name, &globals)?;
            match position(&stages, &name, at).or_else(|| number(&name, at)) {
                Some(stage) => {
                    copied.extend(self::base(&stages, stage, &globals)?.image());
                    open.push(stage);
                }
                None if name == "scratch" => {}
                None => copied.extend(Named::of_reference(&name)),
            }
        }
    }
    copied.retain(|image| Some(image) != base.as_ref());
    Some(Stages { base, copied })
}

fn globals(file: &Dockerfile<'_>, arguments: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    // Every ARG before the first FROM, in order: a later default may use an earlier one.
    let mut globals = BTreeMap::new();
    let before =
        file.instructions.iter().take_while(|instruction| !matches!(instruction, Instruction::From(_)));
    for instruction in before {
        let Instruction::Arg(arg) = instruction else { continue };
        for word in arg.arguments.value.split_whitespace() {
            let (name, default) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let given = arguments.get(&format!("build-arg:{name}")).cloned();
            let default = || expand(unquoted(default?), &globals);
            if let Some(value) = given.or_else(default) {
                globals.insert(name.to_owned(), value);
            }
        }
    }
    globals
}

fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// Finds an earlier stage by its name, whose case does not matter.
fn position(stages: &[Stage<'_, '_>], name: &str, before: usize) -> Option<usize> {
    let is_named = |stage: &Stage<'_, '_>| {
        stage.from.as_.as_ref().is_some_and(|(_, own)| own.value.eq_ignore_ascii_case(name))
    };
    stages.iter().take(before).rposition(is_named)
}

fn number(name: &str, before: usize) -> Option<usize> {
    name.parse().ok().filter(|number| *number < before)
}

/// What a stage begins with.
enum Begins {
    With(Named),
    Scratch,
}

impl Begins {
    fn image(self) -> Option<Named> {
        match self {
            Self::With(named) => Some(named),
            Self::Scratch => None,
        }
    }
}

/// Follows a stage to what it begins with; nothing if that is not known.
fn base(stages: &[Stage<'_, '_>], at: usize, globals: &BTreeMap<String, String>) -> Option<Begins> {
    let mut at = at;
    loop {
        let image = expand(&stages.get(at)?.from.image.value, globals)?;
        match position(stages, &image, at) {
            Some(earlier) => at = earlier,
            None if image == "scratch" => return Some(Begins::Scratch),
            None => return Named::of_reference(&image).map(Begins::With),
        }
    }
}

/// What a stage copies from: `COPY --from` and the mounts of `RUN`.
fn sources(stage: &Stage<'_, '_>) -> Vec<String> {
    let mut found = Vec::new();
    for instruction in stage.instructions {
        match instruction {
            Instruction::Copy(copy) => {
                found.extend(copy.options.iter().filter_map(|flag| value(flag, "from")));
            }
            Instruction::Run(run) => {
                let mounts = run.options.iter().filter_map(|flag| value(flag, "mount"));
                found.extend(mounts.filter_map(|mount| {
                    mount.split(',').find_map(|part| part.strip_prefix("from=").map(str::to_owned))
                }));
            }
            _ => {}
        }
    }
    found
}

fn value(flag: &Flag<'_>, name: &str) -> Option<String> {
    (flag.name.value == name).then(|| flag.value.as_ref().map(|value| value.value.to_string()))?
}

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`. Nothing if a variable has
/// no value.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = unquoted(text);
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, end) = if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}')?;
            (&inner[..end], end + 2)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], end)
        };
        expanded.push_str(&substitute(name, variables)?);
        rest = &after[end..];
    }
    expanded.push_str(rest);
    (!expanded.is_empty() && expanded.len() <= 1_000).then_some(expanded)
}

fn substitute(name: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let known = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    if let Some((name, default)) = name.split_once(":-").or_else(|| name.split_once('-')) {
        return known(name).or_else(|| Some(default.to_owned()));
    }
    if let Some((name, other)) = name.split_once(":+").or_else(|| name.split_once('+')) {
        return Some(known(name).map(|_| other.to_owned()).unwrap_or_default());
    }
    known(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str, arguments: &[(&str, &str)]) -> Option<(String, Vec<String>)> {
        let arguments =
            arguments.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let stages = read(text, &arguments)?;
        let base = stages.base.map_or("scratch".to_owned(), |named| named.words());
        Some((base, stages.copied.iter().map(Named::words).collect()))
    }

    #[test]
    fn arguments_of_the_build_replace_defaults_and_only_those_before_the_first_stage_count() {
        let text = "ARG VERSION=12\nARG IMAGE=\"debian:${VERSION}\"\nFROM $IMAGE\nARG VERSION=9\nRUN x\n";
        let base = |arguments: &[(&str, &str)]| images(text, arguments).unwrap().0;
        assert_eq!(base(&[]), "docker.io/library/debian:12");
        assert_eq!(base(&[("build-arg:VERSION", "13")]), "docker.io/library/debian:13");
        assert_eq!(images("ARG BASE\nFROM $BASE\n", &[]), None, "an argument without a value");
        assert_eq!(
            images("ARG BASE\nFROM ${BASE:-alpine}:3\n", &[]).unwrap().0,
            "docker.io/library/alpine:3"
        );
    }

    #[test]
    fn stages_lead_to_images_and_only_what_the_target_needs_counts() {
        let text = "FROM golang:1 AS Build\nRUN make\nFROM rust:1 AS unused\nFROM debian:13 AS base\n\
                    FROM base\nCOPY --from=build /out /\nCOPY --from=0 /out /\nRUN --mount=type=bind,from=node:22,target=/n x\n\
                    FROM scratch AS tiny\nCOPY --from=build /out /\n";
        let copied = vec!["docker.io/library/golang:1".to_owned(), "docker.io/library/node:22".to_owned()];
        assert_eq!(images(text, &[]).unwrap(), ("scratch".to_owned(), copied[..1].to_vec()));
        let last = text.split("FROM scratch").next().unwrap();
        assert_eq!(images(last, &[]).unwrap(), ("docker.io/library/debian:13".to_owned(), copied));
        assert_eq!(images(text, &[("target", "unused")]).unwrap().0, "docker.io/library/rust:1");
        assert_eq!(images(text, &[("target", "none")]), None);
    }

    #[test]
    fn a_digest_in_from_pins_the_base() {
        let text = format!("FROM debian:13@sha256:{}\n", "ab".repeat(32));
        assert!(read(&text, &BTreeMap::new()).unwrap().is_pinned());
    }
}
