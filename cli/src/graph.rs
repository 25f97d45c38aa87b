//! `graph`: which image is built on which.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::hierarchy::{Hierarchy, Image, Line, Parent, ParentKind, Tier};
use patchwave::image::{ImageId, Reference, Repository, Tag, TagPattern};
use serde::Serialize;

use crate::args::{Args, Format, Graph as Options};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{FAINT, NAME, STRONG, count, paint, some, written};
use crate::{audit, diagram, svg};

#[derive(Debug, Serialize)]
struct Graph<'h> {
    /// In build order.
    nodes: Vec<Node<'h>>,
    edges: Vec<Edge<'h>>,
    /// Images that can be built at the same time, when everything is rebuilt.
    waves: Vec<Vec<&'h ImageId>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'h> {
    id: &'h ImageId,
    tier: Tier,
    repository: &'h Repository,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'h [Tag]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_pattern: Option<&'h TagPattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'h str>,
    /// Parents of other registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstream: Vec<&'h Reference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Edge<'h> {
    parent: &'h ImageId,
    child: &'h ImageId,
    kind: ParentKind,
}

pub(crate) fn run(args: &Args, options: &Options) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    if let Some(facts) = options.facts.as_deref().filter(|_| options.audit) {
        return audit::run(args, &hierarchy, facts);
    }
    Ok(match args.format {
        Format::Dot => Answer::new(diagram::dot(&hierarchy)),
        Format::Mermaid => Answer::new(diagram::mermaid(&hierarchy)),
        Format::Svg => Answer::new(svg::svg(&hierarchy)),
        format => Answer::render(format, &graph(&hierarchy), |_| text(&hierarchy)),
    })
}

fn graph(hierarchy: &Hierarchy) -> Graph<'_> {
    let edges = hierarchy.images().flat_map(|child| {
        let parents = hierarchy.parents(&child.id);
        parents.map(|edge| Edge { parent: &edge.image.id, child: &child.id, kind: edge.kind })
    });
    let waves = hierarchy.all().waves();
    Graph {
        nodes: hierarchy.images().map(node).collect(),
        edges: edges.collect(),
        waves: waves.into_iter().map(|wave| wave.into_iter().map(|image| &image.id).collect()).collect(),
    }
}

fn node<'i>(image: &'i Image) -> Node<'i> {
    let upstream = |parent: &'i Parent| match parent {
        Parent::Upstream(reference) => Some(reference),
        Parent::Image(_) | Parent::Scratch | Parent::Unknown => None,
    };
    let (tags, tag_pattern) = match &image.line {
        Line::Stable(tags) => (Some(tags.as_slice()), None),
        Line::Newest(family) => (None, Some(&family.pattern)),
        Line::Deployed { .. } | Line::Promoted { .. } => (None, None),
    };
    Node {
        id: &image.id,
        tier: image.tier,
        repository: &image.repository,
        tags,
        tag_pattern,
        pipeline: image.pipeline.as_ref().map(|pipeline| pipeline.name.as_str()),
        upstream: std::iter::once(&image.from).chain(&image.copy_from).filter_map(upstream).collect(),
    }
}

/// Draws a tree: each image once, under its base, with the images that it copies from beside it.
fn text(hierarchy: &Hierarchy) -> String {
    let mut roots: BTreeMap<String, Vec<&Image>> = BTreeMap::new();
    for image in hierarchy.images() {
        match &image.from {
            Parent::Upstream(reference) => roots.entry(reference.to_string()).or_default().push(image),
            Parent::Scratch => roots.entry("scratch".to_owned()).or_default().push(image),
            Parent::Unknown => roots.entry("unknown".to_owned()).or_default().push(image),
            Parent::Image(_) => {}
        }
    }
    written(|tree| {
        for (upstream, images) in &roots {
            writeln!(tree, "{}", paint(FAINT, upstream))?;
            draw(hierarchy, images, "", tree)?;
        }
        let waves = hierarchy.all().waves().len();
        writeln!(tree, "{} in {}", count(hierarchy.len(), "image"), count(waves, "wave"))
    })
}

fn draw(hierarchy: &Hierarchy, images: &[&Image], indent: &str, tree: &mut String) -> fmt::Result {
    for (index, image) in images.iter().enumerate() {
        let is_last = index + 1 == images.len();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        writeln!(tree, "{indent}{branch}{}{}", name(image), copies(image))?;
        let children = hierarchy.children(&image.id).filter(|edge| edge.kind == ParentKind::From);
        let children: Vec<&Image> = children.map(|edge| edge.image).collect();
        draw(hierarchy, &children, &format!("{indent}{below}"), tree)?;
    }
    Ok(())
}

fn name(image: &Image) -> String {
    let style = if image.tier == Tier::Application { NAME } else { STRONG };
    paint(style, &image.id)
}

fn copies(image: &Image) -> String {
    if image.copy_from.is_empty() {
        return String::new();
    }
    let parents = image.copy_from.iter().map(|parent| match parent {
        Parent::Image(id) => id.to_string(),
        Parent::Upstream(reference) => reference.to_string(),
        Parent::Scratch => "scratch".to_owned(),
        Parent::Unknown => "unknown".to_owned(),
    });
    paint(FAINT, format!("  copies from {}", some(parents, 4)))
}
