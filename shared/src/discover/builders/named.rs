//! What the configuration of pipelines and builds, and the rights of their roles, name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::rank::Rank;
use crate::discover::lines::Lines;
use crate::discover::seen::Role;
use crate::discover::{Action, Estate, Pipeline, Project};
use crate::image::{Partition, glob};

/// Variables with these words in their names name what is pushed, but for those of bases and
/// caches.
const PUSHED: [&str; 3] = ["REPO", "IMAGE", "ECR"];
const PULLED: [&str; 5] = ["BASE", "FROM", "PARENT", "CACHE", "BUILDER"];

/// A place, how strong the evidence is, and the evidence.
type Found = Vec<(usize, Rank, String)>;

/// The places by the names that builds use.
pub(super) struct Places<'e> {
    /// By account, Region and name.
    by_name: BTreeMap<(&'e str, &'e str, &'e str), usize>,
    hosts: BTreeMap<&'e str, (&'e str, &'e str)>,
}

impl<'e> Places<'e> {
    pub(super) fn new(estate: &'e Estate, lines: &Lines<'e>) -> Self {
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

    /// Returns the places to which an action pushes.
    pub(super) fn pushed_by(&self, estate: &Estate, pipeline: &Pipeline, action: &Action) -> Found {
        let here = (pipeline.account.as_str(), pipeline.region.as_str());
        let configured = |key: &str| action.configuration.get(key).map(String::as_str);
        let of_setting = |rank: Rank, verb: &str| {
            let place = configured("ECRRepositoryName").and_then(|name| self.named(here.0, here.1, name));
            place.map(|place| (place, rank, format!("its action {} {verb} it", action.name)))
        };
        match action.provider.as_str() {
            "ECRBuildAndPublish" => of_setting(Rank::Publishes, "publishes").into_iter().collect(),
            "InspectorScan" => of_setting(Rank::Scans, "scans").into_iter().collect(),
            "Commands" => {
                let text = action.commands.join("\n");
                let found = self.in_variables(here, &action.variables).chain(self.in_commands(here, &text));
                let words = format!("the commands of its action {} push it", action.name);
                let mut found: Found = found.map(|place| (place, Rank::Names, words.clone())).collect();
                // Commands run with the pipeline's own role.
                let others = estate.pipelines.iter().filter(|other| other.role == pipeline.role).count();
                let role = pipeline.role.as_ref().map(|role| (role, &pipeline.puts, others == 1));
                found.extend(self.of_role(estate, here, role, &pipeline.name));
                found
            }
            "CodeBuild" => {
                let name = configured("ProjectName").unwrap_or_default();
                let is_it = |project: &&Project| {
                    project.name == name && (project.account.as_str(), project.region.as_str()) == here
                };
                let project = estate.projects.iter().find(is_it);
                self.pushed_by_codebuild(estate, here, action, project)
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
    ) -> Found {
        let given =
            action.configuration.get("EnvironmentVariables").map(|json| variables(json)).unwrap_or_default();
        let Some(project) = project else {
            let words = format!("the environment of its action {} names it", action.name);
            let found = self.in_variables(here, &given);
            return found.map(|place| (place, Rank::Names, words.clone())).collect();
        };
        // What the action passes replaces what the project has.
        let mut environment = project.variables.clone();
        environment.extend(given);
        let buildspec = project.buildspec.as_deref().filter(|text| text.contains('\n')).unwrap_or_default();
        let named =
            |place| (place, Rank::Names, format!("the environment of the build {} names it", project.name));
        let pushed = |place| (place, Rank::Names, format!("the buildspec of {} pushes it", project.name));
        let mut found: Found = self.in_variables(here, &environment).map(named).collect();
        found.extend(self.in_commands(here, buildspec).map(pushed));
        let others = estate.projects.iter().filter(|other| other.role == project.role).count();
        let role = project.role.as_ref().map(|role| (role, &project.puts, others == 1));
        found.extend(self.of_role(estate, here, role, &project.name));
        found
    }

    /// Returns the places to which a role may push, and to which it pushed if nothing else has it.
    fn of_role(
        &self,
        estate: &Estate,
        here: (&str, &str),
        role: Option<(&String, &BTreeSet<String>, bool)>,
        name: &str,
    ) -> Found {
        let Some((role, puts, is_alone)) = role else { return Vec::new() };
        let mut found = Vec::new();
        let matched: Vec<BTreeSet<usize>> = puts.iter().map(|pattern| self.of_arn(here, pattern)).collect();
        let places: BTreeSet<usize> = matched.iter().flatten().copied().collect();
        // A pattern for many places names none of them.
        let is_exact = matched.iter().all(|places| places.len() == 1);
        for place in places.iter().filter(|_| is_exact) {
            found.push(match places.len() {
                1 => (*place, Rank::MayPush, format!("the role of {name} may push there alone")),
                _ => (*place, Rank::MayPushAmongOthers, format!("the role of {name} may push there")),
            });
        }
        let by_role = estate.pushes.iter().filter(|push| is_alone && push.role == *role);
        let by_role: BTreeSet<usize> =
            by_role.filter_map(|push| self.named(&push.account, &push.region, &push.repository)).collect();
        found.extend(
            by_role.into_iter().map(|place| (place, Rank::Pushed, format!("the role of {name} pushed it"))),
        );
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

    /// Finds the places that the ARN of a repository stands for, in which `*` stands for any
    /// characters. Where it stands for one in several Regions, the build's own counts.
    fn of_arn(&self, here: (&str, &str), pattern: &str) -> BTreeSet<usize> {
        if !pattern.contains('*') {
            return self.of_exact_arn(pattern).into_iter().collect();
        }
        let matching = self.by_name.iter().filter(|((account, region, name), _)| {
            let partition = Partition::of(region).name;
            glob(pattern, &format!("arn:{partition}:ecr:{region}:{account}:repository/{name}"))
        });
        let matching: Vec<_> = matching.collect();
        let is_here = |(account, region): (&str, &str)| (account, region) == here;
        let own: BTreeSet<usize> =
            matching.iter().filter(|((a, r, _), _)| is_here((a, r))).map(|(_, place)| **place).collect();
        if own.is_empty() { matching.iter().map(|(_, place)| **place).collect() } else { own }
    }

    fn of_exact_arn(&self, arn: &str) -> Option<usize> {
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
