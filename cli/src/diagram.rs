//! Draws the graph for other programs: Graphviz's DOT and Mermaid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use patchwave::hierarchy::{Hierarchy, Image, Parent, ParentKind, Tier};

use crate::render::written;

/// An arrow from a parent to its child.
pub(crate) struct Arrow {
    pub(crate) parent: String,
    pub(crate) child: String,
    pub(crate) kind: ParentKind,
}

/// Writes DOT, as `dot -Tsvg` reads it.
pub(crate) fn dot(hierarchy: &Hierarchy) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    written(|out| {
        writeln!(out, "digraph patchwave {{\n  rankdir=LR;\n  node [shape=box];")?;
        for image in hierarchy.images() {
            let style = if image.tier == Tier::Application { "" } else { " [style=bold]" };
            writeln!(out, "  {}{style};", quoted(image.id.as_str()))?;
        }
        for upstream in upstreams(hierarchy) {
            writeln!(out, "  {} [style=dashed];", quoted(&upstream))?;
        }
        for Arrow { parent, child, kind } in arrows(hierarchy) {
            let label = match kind {
                ParentKind::From => "",
                ParentKind::CopyFrom => " [style=dashed, label=\"copyFrom\"]",
            };
            writeln!(out, "  {} -> {}{label};", quoted(&parent), quoted(&child))?;
        }
        writeln!(out, "}}")
    })
}

/// Writes a Mermaid flowchart, for a Markdown code block with the language `mermaid`.
pub(crate) fn mermaid(hierarchy: &Hierarchy) -> String {
    let images = hierarchy.images().map(|image| image.id.to_string());
    let names: Vec<String> = images.chain(upstreams(hierarchy)).collect();
    let ids: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let id = |name: &str| ids.get(name).copied().unwrap_or_default();
    written(|out| {
        writeln!(out, "flowchart LR")?;
        for (number, name) in names.iter().enumerate() {
            let (open, close) = if number < hierarchy.len() { ("[", "]") } else { ("([", "])") };
            writeln!(out, "  n{number}{open}\"{}\"{close}", name.replace('"', "#quot;"))?;
        }
        for Arrow { parent, child, kind } in arrows(hierarchy) {
            let line = match kind {
                ParentKind::From => "-->",
                ParentKind::CopyFrom => "-.->|copyFrom|",
            };
            writeln!(out, "  n{} {line} n{}", id(&parent), id(&child))?;
        }
        Ok(())
    })
}

/// Returns all edges, those from upstream images too.
pub(crate) fn arrows(hierarchy: &Hierarchy) -> Vec<Arrow> {
    let of = |child: &Image| {
        let copied = child.copy_from.iter().map(|parent| (parent, ParentKind::CopyFrom));
        let parents = std::iter::once((&child.from, ParentKind::From)).chain(copied);
        let arrow = |(parent, kind)| Some(Arrow { parent: name(parent)?, child: child.id.to_string(), kind });
        parents.filter_map(arrow).collect::<Vec<_>>()
    };
    hierarchy.images().flat_map(of).collect()
}

/// Returns the images of other registries.
pub(crate) fn upstreams(hierarchy: &Hierarchy) -> BTreeSet<String> {
    let parents = hierarchy.images().flat_map(|image| std::iter::once(&image.from).chain(&image.copy_from));
    parents.filter(|parent| matches!(parent, Parent::Upstream(_))).filter_map(name).collect()
}

fn name(parent: &Parent) -> Option<String> {
    match parent {
        Parent::Image(id) => Some(id.to_string()),
        Parent::Upstream(reference) => Some(reference.to_string()),
        Parent::Scratch | Parent::Unknown => None,
    }
}
