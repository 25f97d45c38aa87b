//! `tags`: what is wrong with tags, and which images carry a keep tag.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::image::Repository;
use patchwave::lifecycle::Listing;
use patchwave::tags::{KnownTags, Mutability, Violation, check_tags};
use serde::{Deserialize, Serialize};

use crate::args::{Args, Tags, TagsCheck, TagsWork};
use crate::care;
use crate::input::{self, BadInput};
use crate::lifecycle::plan::own;
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, GOOD, NAME, paint, value, written};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    repositories: usize,
    violations: Vec<Violation>,
}

pub(crate) fn run(args: &Args, options: &Tags) -> Result<Answer, BadInput> {
    match &options.work {
        TagsWork::Check(options) => check(args, options),
        TagsWork::Keep(options) => care::keep(args, options),
    }
}

fn check(args: &Args, options: &TagsCheck) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let known = if options.images.is_empty() {
        care::tags(args)?
    } else {
        let mut mutabilities = mutabilities(options)?;
        let mut known = BTreeMap::new();
        for file in &options.images {
            let wrong = |problem: &str| BadInput::new(format!("{}: {problem}", input::name(file)));
            let listing = Listing::parse(&input::text(file)?).map_err(|problem| wrong(&problem))?;
            let of = listing.of.clone().ok_or_else(|| wrong("it lists no image"))?;
            let mutability = mutabilities.remove(&of.1);
            let tags =
                mutability.ok_or_else(|| "name what `aws ecr describe-repositories` prints of it".to_owned());
            known.insert(own(&hierarchy, &of), tags.map(|mutability| KnownTags { listing, mutability }));
        }
        known
    };
    let checked = Checked { repositories: known.len(), violations: check_tags(&hierarchy, &known) };
    let found = !checked.violations.is_empty();
    Ok(Answer::render(args.format, &checked, |checked| written(|text| write(checked, text)))
        .with_findings(found))
}

/// What `aws ecr describe-repositories` prints.
#[derive(Debug, Deserialize)]
struct Described {
    repositories: Vec<DescribedRepository>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedRepository {
    repository_name: Repository,
    image_tag_mutability: String,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    filter: String,
}

fn mutabilities(options: &TagsCheck) -> Result<BTreeMap<Repository, Mutability>, BadInput> {
    let mut all = BTreeMap::new();
    for file in &options.repositories {
        let described: Described = input::json(file, "what `aws ecr describe-repositories` prints")?;
        for repository in described.repositories {
            let moves = repository.image_tag_mutability.starts_with("MUTABLE");
            let except = repository.image_tag_mutability_exclusion_filters.into_iter();
            let mutability = Mutability { moves, except: except.map(|filter| filter.filter).collect() };
            all.insert(repository.repository_name, mutability);
        }
    }
    Ok(all)
}

fn write(checked: &Checked, text: &mut String) -> fmt::Result {
    for Violation { repository, kind, message, command } in &checked.violations {
        let name = paint(NAME, value(repository.as_str()));
        writeln!(text, "{name}: {} {}", paint(CAREFUL, kind), value(message))?;
        if let Some(command) = command {
            writeln!(text, "  {}", paint(FAINT, value(command)))?;
        }
    }
    if checked.violations.is_empty() {
        writeln!(
            text,
            "{}",
            paint(GOOD, format!("nothing is wrong with the tags of {} repositories", checked.repositories))
        )?;
    }
    Ok(())
}
