//! Draws the graph as a picture: parents to the left of their children.
//!
//! The column of an image is one after that of its last parent. Within a column images stand beside
//! what they are built on, so that most lines are short. The same file gives the same picture.

use std::collections::BTreeMap;
use std::fmt::Write;

use patchwave::hierarchy::{Hierarchy, ParentKind, Tier};

use crate::diagram::{Arrow, arrows, upstreams};
use crate::render::written;

/// All in pixels.
const ROW: usize = 26;
const BOX: usize = 18;
const CHARACTER: usize = 7;
const GAP: usize = 70;
const MARGIN: usize = 12;

struct Node {
    name: String,
    column: usize,
    row: usize,
    is_upstream: bool,
    is_strong: bool,
}

/// Writes a picture that needs no script, no font and no network.
pub(crate) fn svg(hierarchy: &Hierarchy) -> String {
    let edges = arrows(hierarchy);
    let nodes = place(hierarchy, &edges);
    let columns = nodes.iter().map(|node| node.column).max().map_or(0, |last| last + 1);
    let widest = |column: usize| {
        let names = nodes.iter().filter(|node| node.column == column).map(|node| node.name.chars().count());
        names.max().unwrap_or_default() * CHARACTER + 2 * MARGIN
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let left = |column: usize| MARGIN + widths.iter().take(column).map(|width| width + GAP).sum::<usize>();
    let top = |row: usize| MARGIN + row * ROW;
    let rows = nodes.iter().map(|node| node.row).max().unwrap_or_default() + 1;
    let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    written(|out| {
        let (width, height) = (left(columns), top(rows) + MARGIN);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"monospace\" font-size=\"12\">"
        )?;
        writeln!(
            out,
            "<title>{} images</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            hierarchy.len()
        )?;
        for Arrow { parent, child, kind } in &edges {
            let (Some(from), Some(to)) = (by_name.get(parent.as_str()), by_name.get(child.as_str())) else {
                continue;
            };
            let (x, y) = (left(from.column) + widths[from.column], top(from.row) + BOX / 2);
            let (u, v) = (left(to.column), top(to.row) + BOX / 2);
            let middle = usize::midpoint(x, u);
            let dash = if *kind == ParentKind::CopyFrom { " stroke-dasharray=\"4 3\"" } else { "" };
            writeln!(
                out,
                "<path d=\"M{x} {y}C{middle} {y} {middle} {v} {u} {v}\" fill=\"none\" stroke=\"#777777\"{dash}/>"
            )?;
        }
        for node in &nodes {
            let (x, y, width) = (left(node.column), top(node.row), widths[node.column]);
            let dash = if node.is_upstream { " stroke-dasharray=\"4 3\"" } else { "" };
            let weight = if node.is_strong { " font-weight=\"bold\"" } else { "" };
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX}\" rx=\"3\" fill=\"#f4f6f8\" stroke=\"#444444\"{dash}/>"
            )?;
            writeln!(
                out,
                "<text x=\"{}\" y=\"{}\"{weight}>{}</text>",
                x + MARGIN,
                y + BOX - 5,
                escaped(&node.name)
            )?;
        }
        writeln!(out, "</svg>")
    })
}

/// Gives each image a column and a row. Images are in build order, so parents come first.
fn place(hierarchy: &Hierarchy, edges: &[Arrow]) -> Vec<Node> {
    let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Arrow { parent, child, .. } in edges {
        parents.entry(child).or_default().push(parent);
    }
    let upstream = upstreams(hierarchy).into_iter().map(|name| (name, true, false));
    let own = hierarchy.images().map(|image| (image.id.to_string(), false, image.tier != Tier::Application));
    let mut nodes: Vec<Node> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for (name, is_upstream, is_strong) in upstream.chain(own) {
        let above = parents.get(name.as_str()).into_iter().flatten().filter_map(|parent| at.get(*parent));
        let column = above.map(|parent| nodes[*parent].column + 1).max().unwrap_or_default();
        at.insert(name.clone(), nodes.len());
        nodes.push(Node { name, column, row: 0, is_upstream, is_strong });
    }
    let last = nodes.iter().map(|node| node.column).max().unwrap_or_default();
    for column in 0..=last {
        let mut here: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].column == column).collect();
        let beside = |node: &usize| {
            let above = parents.get(nodes[*node].name.as_str()).into_iter().flatten();
            above.filter_map(|parent| at.get(*parent)).map(|parent| nodes[*parent].row).min()
        };
        here.sort_by_cached_key(|node| (beside(node), nodes[*node].name.clone()));
        let wanted: Vec<usize> = here.iter().map(|node| beside(node).unwrap_or_default()).collect();
        let mut free = 0;
        for (node, wanted) in here.into_iter().zip(wanted) {
            nodes[node].row = free.max(wanted);
            free = nodes[node].row + 1;
        }
    }
    nodes
}

/// Names come from others: none may end its element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
