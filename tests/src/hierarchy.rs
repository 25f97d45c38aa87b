//! The hierarchy of the end-to-end tests, and what each image of it is built from.

use std::fmt::Write as _;

use patchwave::hierarchy::{Hierarchy, Image, Line, Parent};
use patchwave::image::ImageId;

use crate::codepipeline::{Base, Recipe, Tagging};

/// The sample hierarchy: fourteen images in three tiers.
pub const SAMPLE: &str = include_str!("../fixtures/sample.yaml");

/// The registry of the applications in [`in_two_registries`], and the role that reads it.
pub const PRODUCTS: &str = "222233334444";

/// The sample hierarchy, with the applications in a registry of their own, which a role reads.
pub fn in_two_registries() -> String {
    let home = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let registries = format!(
        "registries:\n  home: {{ host: {home} }}\n  products: {{ host: {PRODUCTS}.dkr.ecr.us-east-1.amazonaws.com, \
         role: reads, externalId: shop }}"
    );
    SAMPLE
        .replace(&format!("registry: {home}"), &registries)
        .replace("application, repository: apps/", "application, registry: products, repository: apps/")
        .replace("repository: apps/checkout\n", "registry: products\n    repository: apps/checkout\n")
}

/// Loads a hierarchy file as the functions do.
pub fn load(yaml: &str) -> Hierarchy {
    Hierarchy::parse("hierarchy.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Writes a hierarchy file of `images` images: `base/os` and applications. Every fourth application
/// is built on another one, and the others on `base/os`.
pub fn larger(images: usize) -> String {
    let mut yaml = SAMPLE.lines().take_while(|line| *line != "images:").collect::<Vec<_>>().join("\n");
    yaml.push_str("\nimages:\n");
    yaml.push_str("  - { id: base/os, tier: base, repository: base/os, tags: [\"1\"], from: \"public.ecr.aws/os/os:1\", pipeline: base-os }\n");
    for n in 1..images {
        let (tier, from) = match n % 4 {
            0 => ("application", format!("apps/app-{}:live", n - 1)),
            _ => ("application", "base/os".to_owned()),
        };
        let _ = writeln!(
            yaml,
            "  - {{ tier: {tier}, repository: apps/app-{n}, tags: [live], from: \"{from}\", pipeline: apps-{n} }}"
        );
    }
    yaml
}

/// Returns the recipe of each image, parents before children.
pub fn recipes(hierarchy: &Hierarchy) -> Vec<Recipe> {
    let parents_first = hierarchy.all();
    parents_first.waves().into_iter().flatten().map(|image| recipe(hierarchy, image)).collect()
}

fn recipe(hierarchy: &Hierarchy, image: &Image) -> Recipe {
    let pipeline = image.pipeline.as_ref().unwrap_or_else(|| panic!("{} has no pipeline", image.id));
    Recipe {
        image: image.id.to_string(),
        pipeline: pipeline.name.clone(),
        repository: image.repository.name().to_owned(),
        tagging: tagging(&image.line),
        base: base(hierarchy, &image.from),
        packages: packages(image),
        variables: pipeline.variables.iter().map(|variable| variable.name().to_owned()).collect(),
        sources: pipeline.sources.iter().map(|source| source.action.clone()).collect(),
        reports_digest: image.id.as_str().len().is_multiple_of(2),
    }
}

fn tagging(line: &Line) -> Tagging {
    match line {
        Line::Stable(tags) => Tagging::Stable(tags.iter().map(ToString::to_string).collect()),
        Line::Deployed { environment, .. } | Line::Promoted { environment, .. } => {
            panic!("no image here follows {environment}")
        }
        Line::Newest(pattern) => Tagging::Unique(pattern.as_str().trim_end_matches("-*").to_owned()),
    }
}

fn base(hierarchy: &Hierarchy, from: &Parent) -> Base {
    match from {
        Parent::Image(id) => {
            let parent = image(hierarchy, id);
            let tagging = tagging(&parent.line);
            let line = match tagging {
                Tagging::Stable(tags) => tags.into_iter().next().unwrap_or_default(),
                Tagging::Unique(prefix) => prefix,
            };
            Base::Image(parent.repository.name().to_owned(), line)
        }
        Parent::Upstream(reference) => Base::Upstream(reference.to_string()),
        Parent::Scratch | Parent::Unknown => Base::Upstream("scratch".to_owned()),
    }
}

fn image<'h>(hierarchy: &'h Hierarchy, id: &ImageId) -> &'h Image {
    hierarchy.image(id).unwrap_or_else(|error| panic!("{error}"))
}

/// Every image installs a package of the operating system that is named after it. `base/os`
/// installs openssl too, and each application a library that its own commit pins.
fn packages(image: &Image) -> Vec<(String, String)> {
    let name = image.repository.as_str().rsplit('/').next().unwrap_or_default();
    let mut packages = vec![(name.to_owned(), "OS".to_owned())];
    match image.repository.as_str() {
        "base/os" => packages.push(("openssl".to_owned(), "OS".to_owned())),
        repository if repository.starts_with("apps/") => {
            packages.push((format!("{name}-library"), "NODEPKG".to_owned()));
        }
        _ => {}
    }
    packages
}
