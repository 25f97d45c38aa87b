//! What builds leave behind: the source that an image names, and the time at which it was pushed.

use std::collections::{BTreeMap, BTreeSet};

use super::rank::{Link, Rank};
use crate::discover::lines::Lines;
use crate::discover::seen::{Place, Role};
use crate::discover::{Estate, Execution, Pipeline, Version};
use crate::time::Timestamp;

/// So many pushes must lie within executions before their times say anything.
const FEWEST: usize = 3;
/// The fewest characters of a commit that a tag may have.
const COMMIT: usize = 7;

/// Returns which pipelines seem to push to which places.
pub(super) fn links(estate: &Estate, lines: &Lines<'_>) -> Vec<(usize, Link)> {
    let own = || {
        let places = lines.catalog.places.iter().enumerate();
        places.filter(|(number, place)| place.role == Role::Own && !lines.lines_of(*number).is_empty())
    };
    let sources = sources(lines);
    let mut found = Vec::new();
    for (pipeline, of) in estate.pipelines.iter().enumerate() {
        let builds = built_from(of);
        for (number, place) in own() {
            if let Some(source) = sources.get(&number).filter(|source| builds.contains(*source)) {
                let words = format!("both name the source {source}");
                found.push((number, Link { rank: Rank::Source, pipeline, words }));
            }
            if let Some(words) = within(&of.executions, &versions(lines, place)) {
                found.push((number, Link { rank: Rank::Time, pipeline, words }));
            }
        }
    }
    found
}

fn versions<'e>(lines: &Lines<'e>, place: &Place<'e>) -> Vec<&'e Version> {
    place.versions.iter().map(|seen| lines.catalog.seen[*seen].version).collect()
}

/// Reads the source of each place's images: from provenance, or from a label that the images of no
/// other place have. Children inherit labels.
fn sources(lines: &Lines<'_>) -> BTreeMap<usize, String> {
    let (mut proved, mut labelled) = (BTreeMap::new(), BTreeMap::new());
    let mut having: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for seen in &lines.catalog.seen {
        for on in &seen.platforms {
            let proof = on.provenance.iter().find_map(|read| path_of(read.source.as_deref()?));
            proved.extend(proof.map(|source| (seen.place, source)));
            let Some(label) = on.config.and_then(|config| path_of(config.source.as_deref()?)) else {
                continue;
            };
            having.entry(label.clone()).or_default().insert(seen.place);
            labelled.insert(seen.place, label);
        }
    }
    labelled.retain(|_, label| having.get(label).is_some_and(|places| places.len() == 1));
    labelled.extend(proved);
    labelled
}

/// Returns the source repositories that start a pipeline.
fn built_from(pipeline: &Pipeline) -> BTreeSet<String> {
    let sources = pipeline.actions.iter().filter(|action| action.category == "Source");
    let names = sources.filter_map(|action| {
        let get = |key: &str| action.configuration.get(key);
        match (get("FullRepositoryId"), get("Owner"), get("Repo")) {
            (Some(name), ..) => path_of(name),
            (None, Some(owner), Some(name)) => path_of(&format!("{owner}/{name}")),
            _ => None,
        }
    });
    names.collect()
}

/// Reads the owner and the name of a repository out of its URL, such as
/// `git+https://github.com/bank/web.git@refs/heads/main`.
fn path_of(source: &str) -> Option<String> {
    let source = source.split('#').next().unwrap_or_default();
    let path = match source.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => source.rsplit_once(':').map_or(source, |(_, path)| path),
    };
    let path = path.split('@').next()?.trim_end_matches('/').trim_end_matches(".git");
    path.contains('/').then(|| path.to_ascii_lowercase())
}

/// Says that everything which was pushed since the first execution was pushed during one. An image
/// whose pushes are many, or have the commit that was built as a tag, was hardly pushed by chance.
fn within(executions: &[Execution], versions: &[&Version]) -> Option<String> {
    let first = executions.iter().map(|execution| execution.from).min()?;
    let last = executions.iter().map(|execution| execution.to).max()?;
    let pushes: Vec<&&Version> = versions.iter().filter(|version| version.pushed_at >= first).collect();
    if pushes.is_empty() || runs_always(executions, first, last) {
        return None;
    }
    let mut commits = 0;
    for push in &pushes {
        let during: Vec<&Execution> =
            executions.iter().filter(|run| run.from <= push.pushed_at && push.pushed_at <= run.to).collect();
        if during.is_empty() {
            return None;
        }
        let is_tag = |commit: &String| push.tags.iter().any(|tag| names_commit(tag.as_str(), commit));
        commits += usize::from(during.iter().flat_map(|run| &run.commits).any(is_tag));
    }
    match (pushes.len(), commits) {
        (_, 1..) => {
            Some("it was pushed during its executions, with the commit that they built as a tag".to_owned())
        }
        (FEWEST.., _) => Some(format!("all {} pushes lie within its executions", pushes.len())),
        _ => None,
    }
}

/// Of a pipeline that runs most of the time, the times say nothing.
fn runs_always(executions: &[Execution], first: Timestamp, last: Timestamp) -> bool {
    let seconds = |from: Timestamp, to: Timestamp| (to.as_second() - from.as_second()).max(0);
    let busy: i64 = executions.iter().map(|execution| seconds(execution.from, execution.to)).sum();
    executions.len() > 1 && busy * 2 > seconds(first, last)
}

fn names_commit(tag: &str, commit: &str) -> bool {
    let words = tag.split(|c: char| !c.is_ascii_hexdigit());
    words.into_iter().any(|word| word.len() >= COMMIT && commit.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(at: &str, tags: &[&str]) -> Version {
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        Version { digest: crate::image::Digest::of(at.as_bytes()), tags, pushed_at: time(at) }
    }

    fn time(at: &str) -> Timestamp {
        format!("2026-11-01T{at}:00Z").parse().unwrap()
    }

    fn run(from: &str, to: &str, commit: &str) -> Execution {
        Execution { from: time(from), to: time(to), commits: [commit.to_owned()].into() }
    }

    fn says(executions: &[Execution], versions: &[Version]) -> Option<String> {
        within(executions, &versions.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_owner_and_the_name_are_read_from_every_form_of_a_source() {
        for source in [
            "bank/Web",
            "https://github.com/bank/web",
            "https://github.com/bank/web.git#refs/heads/main:deploy",
            "git+https://github.com/bank/web@refs/heads/main",
            "git@github.com:bank/web.git",
            "ssh://git@github.com/bank/web/",
        ] {
            assert_eq!(path_of(source).as_deref(), Some("bank/web"), "{source}");
        }
        assert_eq!(path_of("web"), None);
    }

    #[test]
    fn times_count_if_all_pushes_fit_and_are_many_or_name_the_commit() {
        let runs = [
            run("01:00", "01:10", "abcdef0123"),
            run("05:00", "05:10", "1234567890"),
            run("09:00", "09:10", "0"),
        ];
        let three = [version("01:05", &["a"]), version("05:05", &["b"]), version("09:05", &["c"])];
        assert!(says(&runs, &three).unwrap().contains("all 3 pushes"));
        assert_eq!(says(&runs, &three[..2]), None, "two may be chance");
        let tagged = [version("01:05", &["main-abcdef0"])];
        assert!(says(&runs, &tagged).unwrap().contains("the commit"));
        assert_eq!(says(&runs, &[version("01:05", &["main-abcdef9"])]), None);
        let outside = [version("01:05", &["main-abcdef0"]), version("03:00", &["x"])];
        assert_eq!(says(&runs, &outside), None, "somebody else pushes too");
        let earlier = [version("00:05", &["x"]), version("01:05", &["main-abcdef0"])];
        assert!(says(&runs, &earlier).is_some(), "what is older than the first execution says nothing");
        let always = [run("01:00", "05:00", "0"), run("05:00", "09:10", "0")];
        assert_eq!(says(&always, &three), None, "it runs always");
    }
}
