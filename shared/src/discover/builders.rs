//! Which pipeline pushes to which repository.
//!
//! The strongest evidence that names one pipeline decides: what the action `ECRBuildAndPublish`
//! pushes to, then what CodeBuild's environment and inline buildspec name, then where the service
//! role may push, then who pushed. Two pipelines of equal rank: neither. A pipeline that pushes to
//! several repositories cannot be described yet, because nothing would tell it which to build.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::lines::Lines;
use super::seen::Role;
use super::{Action, Estate, Pipeline, Project};

/// What is known of the builder of a repository's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// The number of the pipeline.
    pub(super) by: Option<usize>,
    /// The evidence, or why there is no builder.
    pub(super) words: Vec<String>,
}

/// A pipeline that seems to push to a place, the strongest evidence first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    rank: u8,
    pipeline: usize,
    words: String,
}

/// Variables with these words in their names name what is pushed, but for those of bases and
/// caches.
const PUSHED: [&str; 3] = ["REPO", "IMAGE", "ECR"];
const PULLED: [&str; 5] = ["BASE", "FROM", "PARENT", "CACHE", "BUILDER"];

/// Finds the builder of each place.
pub(super) fn builders(estate: &Estate, known: &Lines<'_>) -> BTreeMap<usize, Built> {
    let places = Places::new(estate, known);
    let mut links: BTreeMap<usize, BTreeSet<Link>> = BTreeMap::new();
    for (number, pipeline) in estate.pipelines.iter().enumerate() {
        for action in &pipeline.actions {
            for (place, rank, words) in places.pushed_by(estate, pipeline, action) {
                links.entry(place).or_default().insert(Link { rank, pipeline: number, words });
            }
        }
    }
    let mut best: BTreeMap<usize, Vec<Link>> = BTreeMap::new();
    for (place, links) in links {
        let rank = links.first().map(|link| link.rank);
        let mut links: Vec<Link> = links.into_iter().filter(|link| Some(link.rank) == rank).collect();
        links.dedup_by_key(|link| link.pipeline);
        best.insert(place, links);
    }
    let mut pushes: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (place, links) in &best {
        for link in links {
            pushes.entry(link.pipeline).or_default().insert(*place);
        }
    }
    let name = |pipeline: usize| estate.pipelines[pipeline].name.as_str();
    let built = |(place, links): (usize, Vec<Link>)| {
        let built = match links.as_slice() {
            [link] if pushes.get(&link.pipeline).is_some_and(|places| places.len() > 1) => Built {
                by: None,
                words: vec![format!(
                    "no builder: the pipeline {} pushes {} repositories, and no variable says which to build",
                    name(link.pipeline),
                    pushes.get(&link.pipeline).map_or(0, BTreeSet::len)
                )],
            },
            [link] => Built {
                by: Some(link.pipeline),
                words: vec![format!("built by {}: {}", name(link.pipeline), link.words)],
            },
            links => {
                let names: Vec<&str> = links.iter().map(|link| name(link.pipeline)).collect();
                Built {
                    by: None,
                    words: vec![format!("no builder: {} push it alike; name one", names.join(" and "))],
                }
            }
        };
        (place, built)
    };
    best.into_iter().map(built).collect()
}

/// Says what a pipeline needs before it can take a base image. Nothing if it can.
pub(super) fn missing(pipeline: &Pipeline) -> Option<String> {
    let publishes = pipeline.actions.iter().any(|action| action.provider == "ECRBuildAndPublish");
    if publishes {
        return Some(
            "ECRBuildAndPublish passes no build argument: let the Dockerfile name its base by a stable tag"
                .to_owned(),
        );
    }
    if pipeline.pipeline_type != "V2" {
        return Some(format!(
            "the pipeline is of type {}: make it V2, and declare variables",
            pipeline.pipeline_type
        ));
    }
    let takes = pipeline.variables.contains("PATCHWAVE_BASE_IMAGE")
        || pipeline.variables.contains("PATCHWAVE_BASE_REFERENCE");
    (!takes).then(|| {
        "the pipeline does not declare PATCHWAVE_BASE_IMAGE: it builds on what its Dockerfile names"
            .to_owned()
    })
}

/// Names the repository whose push starts a pipeline by itself: it would build twice.
pub(super) fn starts_by_itself(pipeline: &Pipeline) -> Option<String> {
    let is_ecr = |action: &&Action| action.category == "Source" && action.provider == "ECR";
    let action = pipeline.actions.iter().find(is_ecr)?;
    let name = action.configuration.get("RepositoryName")?;
    let tag = action.configuration.get("ImageTag").map_or("latest", String::as_str);
    Some(format!(
        "the action {} starts this pipeline when {name}:{tag} is pushed, so it would build twice: remove it",
        action.name
    ))
}

/// The places by the names that builds use.
struct Places<'e> {
    /// By account, Region and name.
    by_name: BTreeMap<(&'e str, &'e str, &'e str), usize>,
    hosts: BTreeMap<&'e str, (&'e str, &'e str)>,
}

impl<'e> Places<'e> {
    fn new(estate: &'e Estate, lines: &Lines<'e>) -> Self {
        let of = |number: usize| &estate.registries[number].host;
        let own = lines.catalog.places.iter().enumerate().filter(|(_, place)| place.role == Role::Own);
        let by_name = own.map(|(number, place)| {
            let host = of(place.registry);
            ((host.account(), host.region(), place.repository.name.name()), number)
        });
        let hosts = estate
            .registries
            .iter()
            .map(|read| (read.host.host(), (read.host.account(), read.host.region())));
        Self { by_name: by_name.collect(), hosts: hosts.collect() }
    }

    fn named(&self, account: &str, region: &str, name: &str) -> Option<usize> {
        self.by_name.get(&(account, region, name)).copied()
    }

    /// Returns the places to which an action pushes, each with the rank of the evidence and the
    /// evidence.
    fn pushed_by(&self, estate: &Estate, pipeline: &Pipeline, action: &Action) -> Vec<(usize, u8, String)> {
        let here = (pipeline.account.as_str(), pipeline.region.as_str());
        let configured = |key: &str| action.configuration.get(key).map(String::as_str);
        match action.provider.as_str() {
            "ECRBuildAndPublish" => {
                let place = configured("ECRRepositoryName").and_then(|name| self.named(here.0, here.1, name));
                place
                    .map(|place| (place, 1, format!("its action {} publishes it", action.name)))
                    .into_iter()
                    .collect()
            }
            "Commands" => {
                let text = action.commands.join("\n");
                let found = self.in_variables(here, &action.variables).chain(self.in_commands(here, &text));
                found
                    .map(|place| (place, 2, format!("the commands of its action {} push it", action.name)))
                    .collect()
            }
            "CodeBuild" => {
                let name = configured("ProjectName").unwrap_or_default();
                let is_it = |project: &&Project| {
                    project.name == name && (project.account.as_str(), project.region.as_str()) == here
                };
                let project = estate.projects.iter().find(is_it);
                self.pushed_by_codebuild(estate, here, action, project)
            }
            "InspectorScan" => {
                let place = configured("ECRRepositoryName").and_then(|name| self.named(here.0, here.1, name));
                place
                    .map(|place| (place, 5, format!("its action {} scans it", action.name)))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn pushed_by_codebuild(
        &self,
        estate: &Estate,
        here: (&str, &str),
        action: &Action,
        project: Option<&Project>,
    ) -> Vec<(usize, u8, String)> {
        let given =
            action.configuration.get("EnvironmentVariables").map(|json| variables(json)).unwrap_or_default();
        let Some(project) = project else {
            let found = self.in_variables(here, &given);
            return found
                .map(|place| (place, 2, format!("the environment of its action {} names it", action.name)))
                .collect();
        };
        // What the action passes replaces what the project has.
        let mut environment = project.variables.clone();
        environment.extend(given);
        let buildspec = project.buildspec.as_deref().filter(|text| text.contains('\n')).unwrap_or_default();
        let named = |place| (place, 2, format!("the environment of the build {} names it", project.name));
        let pushed = |place| (place, 2, format!("the buildspec of {} pushes it", project.name));
        let mut found: Vec<_> = self.in_variables(here, &environment).map(named).collect();
        found.extend(self.in_commands(here, buildspec).map(pushed));
        let arns: BTreeSet<usize> = project.puts.iter().filter_map(|arn| self.of_arn(arn)).collect();
        if let (1, 1, Some(place)) = (project.puts.len(), arns.len(), arns.first()) {
            found.push((*place, 3, format!("the role of {} may push there alone", project.name)));
        }
        let by_role = estate.pushes.iter().filter(|push| Some(&push.role) == project.role.as_ref());
        let by_role: BTreeSet<usize> =
            by_role.filter_map(|push| self.named(&push.account, &push.region, &push.repository)).collect();
        let is_alone = estate.projects.iter().filter(|other| other.role == project.role).count() == 1;
        if is_alone {
            found.extend(
                by_role
                    .into_iter()
                    .map(|place| (place, 4, format!("the role of {} pushed it", project.name))),
            );
        }
        found
    }

    /// Finds what variables name as pushed.
    fn in_variables<'v>(
        &'v self,
        here: (&'v str, &'v str),
        variables: &'v BTreeMap<String, String>,
    ) -> impl Iterator<Item = usize> + 'v {
        let names_pushed = |(name, _): &(&String, &String)| {
            let name = name.to_ascii_uppercase();
            PUSHED.iter().any(|word| name.contains(word)) && !PULLED.iter().any(|word| name.contains(word))
        };
        variables.iter().filter(names_pushed).filter_map(move |(_, value)| self.of_word(here, value, true))
    }

    /// Finds what commands push: the words after `push`, `-t` and the like.
    fn in_commands<'v>(
        &'v self,
        here: (&'v str, &'v str),
        text: &'v str,
    ) -> impl Iterator<Item = usize> + 'v {
        let words: Vec<&str> =
            text.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';', ','])).collect();
        let mut found = BTreeSet::new();
        for (at, word) in words.iter().enumerate() {
            let after = ["--tag=", "--destination="].iter().find_map(|flag| word.strip_prefix(flag));
            let next = matches!(*word, "push" | "-t" | "--tag" | "--destination")
                .then(|| words.get(at + 1).copied())
                .flatten();
            found.extend(after.or(next).and_then(|word| self.of_word(here, word, false)));
        }
        found.into_iter()
    }

    /// Reads the name of an image in a build: with the registry's host or a variable in its place.
    /// `bare` also allows a name alone.
    fn of_word(&self, here: (&str, &str), word: &str, bare: bool) -> Option<usize> {
        let word = word.trim();
        let without_tag = match word.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => word,
        };
        let (first, rest) = without_tag.split_once('/').unwrap_or(("", without_tag));
        if let Some((account, region)) = self.hosts.get(first) {
            return self.named(account, region, rest);
        }
        let stands_for_host = first.starts_with('$');
        let name = if stands_for_host { rest } else { without_tag };
        if stands_for_host || bare { self.named(here.0, here.1, name) } else { None }
    }

    /// Reads the ARN of a repository; one with `*` names none.
    fn of_arn(&self, arn: &str) -> Option<usize> {
        let mut parts = arn.splitn(6, ':').skip(3);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        self.named(account, region, resource.strip_prefix("repository/")?)
    }
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

/// Reads the variables that an action passes to CodeBuild: JSON within its configuration.
fn variables(json: &str) -> BTreeMap<String, String> {
    let read: Vec<Variable> = serde_json::from_str(json).unwrap_or_default();
    read.into_iter().map(|variable| (variable.name, variable.value)).collect()
}
