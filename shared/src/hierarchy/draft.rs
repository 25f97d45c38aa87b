//! One image of the file, as far as it can be checked without the others.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::{Location, Spanned};

use super::declared::Declared;
use super::error::{Problem, Report};
use super::file::{
    CodePipelineName, FamilyKeys, HasPolicy as _, ImageKeys, LineKeys, PipelineKeys, SourceKeys, Which,
    WorkloadGlob,
};
use super::inherit::Fleet;
use super::inspected::Inspected;
use super::registries::Registries;
use super::repository::{RepositoryName, host_like};
use super::warning::Advice;
use super::written::{ShortOr, Written, required};
use super::{Builder, Line, Owner, Pipeline, Promotion, Source, Tier, Variable};
use crate::image::{ImageId, Order, Platform, Repository, Tag, TagFamily, TagPattern};
use crate::policy::Policy;

/// An image whose own keys are valid. Its parents are still names.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// The entry's number in the file. All lines of one entry have the same number.
    pub(super) entry: usize,
    /// The number of its file: 0 is the main one.
    pub(super) file: usize,
    pub(super) id: ImageId,
    pub(super) id_at: Location,
    pub(super) tier: Tier,
    pub(super) repository: Repository,
    pub(super) line: Line,
    /// The places of the tags, or of the pattern.
    pub(super) line_at: Vec<Location>,
    /// Nothing if the file has none, which is an error.
    pub(super) from: Option<(Location, String)>,
    /// The bases of other platforms.
    pub(super) from_on: Vec<(Platform, (Location, String))>,
    pub(super) pinned: bool,
    /// Whether the image has a line of newest versions before this one.
    pub(super) further: bool,
    pub(super) copy_from: Vec<(Location, String)>,
    pub(super) pipeline: Option<(Location, Pipeline)>,
    pub(super) owner: Option<Owner>,
    pub(super) policy: Policy,
}

impl Draft {
    /// Reads one image, once for each of its lines; nothing if it has no id, repository or line.
    pub(super) fn read(
        entry: usize,
        written: Spanned<ImageKeys>,
        fleet: &Fleet,
        (registries, builders, owners): (Option<&Registries>, &Declared<Builder>, &Declared<Owner>),
        report: &mut Report<'_>,
    ) -> Option<Vec<Self>> {
        let at = written.referenced;
        let mut keys = written.value;
        let policy_keys = keys.policy_keys();
        let tier = required("tier", at, keys.tier, report).and_then(|tier| tier.read(report));
        let policy = fleet.policy(tier.unwrap_or(Tier::Base), policy_keys, report);
        let repository = required("repository", at, keys.repository, report);
        let repository_at = repository.as_ref().map_or(at, |repository| repository.at);
        let repository = repository.and_then(|repository| read_repository(repository, report));
        let registry = keys.registry.map(|registry| *registry);
        let registry =
            registries.and_then(|registries| Some((registries, registries.of_image(registry, report)?)));
        let lines = if let Some(lines) = keys.lines {
            if keys.tags.is_some() || keys.tag_pattern.is_some() {
                report.add(lines.referenced, Problem::LinesAndTags);
            }
            read_lines(*lines, report)
        } else {
            let inherited = tier.and_then(|tier| fleet.of(tier).family.as_ref());
            let pattern = keys.tag_pattern.map(|pattern| *pattern);
            read_line(at, (keys.tags, pattern), inherited, report).map(|line| vec![line])
        };
        let id_at = keys.id.as_ref().map_or(repository_at, |id| id.at);
        let given_id = keys.id.map(|id| id.read(report));
        let pinned = keys.pinned.is_some_and(|pinned| pinned.value);
        let from = required("from", at, keys.from, report);
        let (from, from_on) = from.map_or((None, Vec::new()), |from| read_from(at, from, report));
        let copy_from: Vec<_> =
            keys.copy_from.into_iter().filter_map(|parent| place(parent, report)).collect();
        let pipeline = keys.pipeline.and_then(|pipeline| read_pipeline(*pipeline, builders, report));
        let inherited = tier.map(|tier| fleet.of(tier));
        let owner = match (keys.owner, inherited.and_then(|tier| tier.owner.as_ref())) {
            (None, Some((_, owner))) => owners.find(id_at, owner, report),
            (owner, _) => owners.named(owner.map(|owner| *owner), report),
        };
        let template = inherited.and_then(|tier| tier.pipeline.as_ref());

        let (name, lines, tier) = (repository?, lines?, tier?);
        // Without a known registry there is an error already.
        let repository =
            registry.map_or_else(|| name.clone(), |(all, registry)| all.repository(registry, &name));
        let file = report.file();
        let of_line = |(line, line_at): (Line, Vec<Location>)| {
            let id = match &given_id {
                Some(id) => of_environment(id.as_ref()?, &line)?,
                None => default_id(&name, &line)?,
            };
            let (repository, from, copy_from) = (repository.clone(), from.clone(), copy_from.clone());
            let from_on = from_on.clone();
            let (owner, policy) = (owner.clone(), policy.clone());
            Some(Self {
                entry,
                file,
                id,
                id_at,
                tier,
                repository,
                line,
                line_at,
                from,
                from_on,
                pinned,
                further: false,
                copy_from,
                pipeline: None,
                owner,
                policy,
            })
        };
        let pipeline = pipeline.or_else(|| inherited_pipeline(template?, id_at, &name, report));
        let mut drafts: Vec<Self> = lines.into_iter().map(of_line).collect::<Option<_>>()?;
        for draft in &mut drafts {
            draft.pipeline.clone_from(&pipeline);
        }
        name_further_lines(&mut drafts);
        for draft in &drafts {
            draft.check_pinned(drafts.len() > 1, report);
        }
        Some(drafts)
    }

    /// Reports a line beside another one, or of an environment, that is not built from its own
    /// commit: an unpinned pipeline builds its mainline.
    fn check_pinned(&self, is_one_of_several: bool, report: &mut Report<'_>) {
        let at = self.line_at.first().copied().unwrap_or(self.id_at);
        let is_pinned =
            |pipeline: &Pipeline| !pipeline.sources.is_empty() && pipeline.takes(Variable::BuildKey);
        if self.pipeline.as_ref().is_none_or(|(_, pipeline)| is_pinned(pipeline)) {
            return;
        }
        if let Some(environment) = self.line.environment() {
            report.add(at, Problem::DeployedUnpinned { environment: environment.to_owned() });
        } else if is_one_of_several && self.further {
            report.add(at, Problem::LineUnpinned);
        }
    }

    /// Reports a deployed line whose environment is not surveyed.
    pub(super) fn check_deployed(&self, inspected: &Inspected, report: &mut Report<'_>) {
        let Line::Deployed { environment, .. } = &self.line else { return };
        let at = self.line_at.first().copied().unwrap_or(self.id_at);
        if !inspected.accounts.iter().any(|account| account.environment.as_ref() == Some(environment)) {
            report.add(at, Problem::DeployedNowhere(environment.clone()));
        }
    }
}

/// Returns the id of one line of an image: a deployed line has the environment's name at its end.
fn of_environment(id: &ImageId, line: &Line) -> Option<ImageId> {
    match line {
        Line::Deployed { environment, .. } | Line::Promoted { environment, .. } => {
            format!("{id}@{environment}").parse().ok()
        }
        Line::Stable(_) | Line::Newest(_) => Some(id.clone()),
    }
}

fn read_repository(written: Written<RepositoryName>, report: &mut Report<'_>) -> Option<Repository> {
    let (at, RepositoryName(name)) = place(written, report)?;
    if let Some((host, rest)) = host_like(&name) {
        let (host, repository) = (host.to_owned(), rest.to_owned());
        report.warn(at, Advice::HostInRepository { host, repository });
    }
    Some(name)
}

pub(super) fn place<T>(written: Written<T>, report: &mut Report<'_>) -> Option<(Location, T)> {
    let at = written.at;
    written.read(report).map(|value| (at, value))
}

fn default_id(repository: &Repository, line: &Line) -> Option<ImageId> {
    match line {
        Line::Stable(tags) => format!("{repository}:{}", tags.first()?).parse().ok(),
        Line::Newest(_) => repository.as_str().parse().ok(),
        Line::Deployed { environment, .. } | Line::Promoted { environment, .. } => {
            format!("{repository}@{environment}").parse().ok()
        }
    }
}

/// Gives the second and later lines of newest versions ids of their own, after their pattern. The
/// first keeps the image's, as if it were alone.
fn name_further_lines(drafts: &mut [Draft]) {
    let newest = drafts.iter_mut().filter(|draft| matches!(draft.line, Line::Newest(_)));
    for draft in newest.skip(1) {
        let Line::Newest(family) = &draft.line else { continue };
        let name = family.as_str().trim_matches(|c: char| !c.is_ascii_alphanumeric());
        draft.further = true;
        if let Ok(id) = format!("{}@{}", draft.id, name.replace('*', "")).parse() {
            draft.id = id;
        }
    }
}

/// What `from` names: the base, and the bases of other platforms.
type Bases = (Option<(Location, String)>, Vec<(Platform, (Location, String))>);

fn read_from(
    at: Location,
    written: ShortOr<String, BTreeMap<String, Written<String>>>,
    report: &mut Report<'_>,
) -> Bases {
    let map = match written {
        ShortOr::Short(name) => return (place(name, report), Vec::new()),
        ShortOr::Long(map) => map,
    };
    let (mut default, mut others) = (None, Vec::new());
    for (platform, name) in map {
        let name_at = name.at;
        let Some(name) = place(name, report) else { continue };
        if platform == "default" {
            default = Some(name);
        } else if let Ok(platform) = platform.parse() {
            others.push((platform, name));
        } else {
            report.add(name_at, Problem::NotAPlatform(platform));
        }
    }
    if default.is_none() {
        report.add(at, Problem::NoDefaultParent);
    }
    (default, others)
}

pub(super) fn read_family(
    written: ShortOr<TagPattern, FamilyKeys>,
    report: &mut Report<'_>,
) -> Option<(Location, TagFamily)> {
    let keys = match written {
        ShortOr::Short(pattern) => {
            return place(pattern, report).map(|(at, pattern)| (at, pattern.into()));
        }
        ShortOr::Long(keys) => keys,
    };
    let except: Vec<Option<TagPattern>> =
        keys.except.into_iter().map(|pattern| pattern.read(report)).collect();
    let order = keys.order.map_or(Some(Order::Pushed), |order| order.read(report));
    let (at, pattern) = place(keys.pattern, report)?;
    let except = except.into_iter().collect::<Option<_>>()?;
    Some((at, TagFamily { pattern, except, order: order? }))
}

fn read_lines(
    written: Spanned<Vec<Spanned<LineKeys>>>,
    report: &mut Report<'_>,
) -> Option<Vec<(Line, Vec<Location>)>> {
    if written.value.is_empty() {
        report.add(written.referenced, Problem::NoLines);
        return None;
    }
    let lines: Vec<_> = written.value.into_iter().map(|line| read_one_line(line, report)).collect();
    lines.into_iter().collect()
}

fn read_one_line(written: Spanned<LineKeys>, report: &mut Report<'_>) -> Option<(Line, Vec<Location>)> {
    let at = written.referenced;
    let LineKeys { environment, tag, workloads, tag_pattern, current } = written.value;
    let current = current.map_or(Some(Which::Newest), |current| current.read(report))?;
    match (current, environment, tag, tag_pattern) {
        (Which::Deployed, Some(environment), None, None) => {
            let (at, environment) = place(environment, report)?;
            let environment = environment.into();
            Some((Line::Deployed { environment, workloads: read_workloads(workloads, report)? }, vec![at]))
        }
        (Which::Newest, None, None, Some(pattern)) if workloads.is_none() => {
            read_family(pattern, report).map(|(at, family)| (Line::Newest(family), vec![at]))
        }
        (Which::Newest, Some(environment), Some(tag), None) if workloads.is_none() => {
            let environment = environment.read(report)?.into();
            let (at, tag) = place(tag, report)?;
            Some((Line::Promoted { environment, by: Promotion::Tag(tag) }, vec![at]))
        }
        (Which::Newest, Some(environment), None, Some(pattern)) if workloads.is_none() => {
            let environment = environment.read(report)?.into();
            let (at, family) = read_family(pattern, report)?;
            Some((Line::Promoted { environment, by: Promotion::Newest(family) }, vec![at]))
        }
        (Which::Deployed, ..) => {
            report.add(at, Problem::DeployedWhere);
            None
        }
        (Which::Newest, ..) => {
            report.add(at, Problem::NewestOfWhat);
            None
        }
    }
}

/// Reads whose version counts. An empty list would mean that nobody's does.
fn read_workloads(
    written: Option<Spanned<Vec<Written<WorkloadGlob>>>>,
    report: &mut Report<'_>,
) -> Option<Vec<String>> {
    let Some(written) = written else { return Some(Vec::new()) };
    if written.value.is_empty() {
        report.add(written.referenced, Problem::NoWorkloads);
        return None;
    }
    let read: Vec<_> = written.value.into_iter().map(|glob| glob.read(report).map(Into::into)).collect();
    read.into_iter().collect()
}

type WrittenTags = Spanned<Vec<Written<Tag>>>;
type WrittenFamily = ShortOr<TagPattern, FamilyKeys>;

fn read_line(
    at: Location,
    (tags, pattern): (Option<WrittenTags>, Option<WrittenFamily>),
    inherited: Option<&(Location, TagFamily)>,
    report: &mut Report<'_>,
) -> Option<(Line, Vec<Location>)> {
    match (tags, pattern) {
        (Some(tags), None) => read_tags(tags, report),
        (None, Some(pattern)) => {
            read_family(pattern, report).map(|(at, family)| (Line::Newest(family), vec![at]))
        }
        (None, None) => {
            if inherited.is_none() {
                report.add(at, Problem::NoLine);
            }
            inherited.map(|(_, family)| (Line::Newest(family.clone()), vec![at]))
        }
        (Some(_), Some(pattern)) => {
            let at = match &pattern {
                ShortOr::Short(pattern) => pattern.at,
                ShortOr::Long(keys) => keys.pattern.at,
            };
            report.add(at, Problem::TwoLines);
            None
        }
    }
}

fn read_tags(written: Spanned<Vec<Written<Tag>>>, report: &mut Report<'_>) -> Option<(Line, Vec<Location>)> {
    if written.value.is_empty() {
        report.add(written.referenced, Problem::NoTags);
        return None;
    }
    let tags: Vec<_> = written.value.into_iter().map(|tag| place(tag, report)).collect();
    let tags: Vec<(Location, Tag)> = tags.into_iter().collect::<Option<_>>()?;
    let (places, tags) = tags.into_iter().unzip();
    Some((Line::Stable(tags), places))
}

fn read_pipeline<T>(
    written: ShortOr<T, PipelineKeys>,
    builders: &Declared<Builder>,
    report: &mut Report<'_>,
) -> Option<(Location, Pipeline)>
where
    T: Into<String>,
{
    match written {
        ShortOr::Short(name) => {
            let (at, name) = place(name, report)?;
            let variables = Variable::ALL.to_vec();
            Some((at, Pipeline { name: name.into(), builder: None, variables, sources: Vec::new() }))
        }
        ShortOr::Long(keys) => {
            let variables = match keys.variables {
                Some(variables) => read_variables(variables, report),
                None => Variable::ALL.to_vec(),
            };
            let sources = read_sources(keys.sources, report);
            let builder = builders.named(keys.builder, report);
            let (at, name) = place(keys.name, report)?;
            Some((at, Pipeline { name: name.into(), builder, variables, sources }))
        }
    }
}

/// Returns the pipeline that the tier names for a repository. A `/` of the repository becomes `-`.
fn inherited_pipeline(
    (_, template): &(Location, String),
    at: Location,
    repository: &Repository,
    report: &mut Report<'_>,
) -> Option<(Location, Pipeline)> {
    let name = template.replace("{repository}", &repository.as_str().replace('/', "-"));
    match CodePipelineName::try_from(name) {
        Ok(name) => {
            let variables = Variable::ALL.to_vec();
            Some((at, Pipeline { name: name.into(), builder: None, variables, sources: Vec::new() }))
        }
        Err(why) => {
            report.add(at, Problem::Word(why));
            None
        }
    }
}

fn read_variables(written: Vec<Written<Variable>>, report: &mut Report<'_>) -> Vec<Variable> {
    let mut seen = BTreeSet::new();
    let mut variables = Vec::new();
    for (at, variable) in
        written.into_iter().filter_map(|variable| place(variable, report)).collect::<Vec<_>>()
    {
        if seen.insert(variable) {
            variables.push(variable);
        } else {
            report.add(at, Problem::Twice { what: "variable", name: variable.name().to_owned() });
        }
    }
    variables
}

fn read_sources(written: Vec<SourceKeys>, report: &mut Report<'_>) -> Vec<Source> {
    let mut seen = BTreeSet::new();
    let mut sources = Vec::new();
    for keys in written {
        let at = keys.action.at;
        let (action, revision_type) = (keys.action.read(report), keys.revision_type.read(report));
        let (Some(action), Some(revision_type)) = (action, revision_type) else { continue };
        let action = String::from(action);
        if !seen.insert(action.clone()) {
            report.add(at, Problem::Twice { what: "source action", name: action.clone() });
        }
        sources.push(Source { action, revision_type });
    }
    sources
}
