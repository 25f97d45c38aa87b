//! Waves, descendants and longest chains: ours, petgraph's and networkx's on the same edges.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use patchwave::hierarchy::{Direction, Hierarchy};
use patchwave::image::ImageId;
use petgraph::Direction::Outgoing;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;
use serde::{Deserialize, Serialize};

use crate::clock::{fastest, ms, timed};
use crate::fleet::{Tangle, name, number};
use crate::table::Row;

/// How many of the roots the descendants are asked for.
const ASKED: usize = 20;

const ROUNDS: usize = 9;

/// What all must agree on. Each sum weighs an image's answer with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// How many images each wave has.
    waves: Vec<usize>,
    wave_sum: u64,
    descendants: usize,
    descendant_sum: u64,
    longest: u64,
    chain_sum: u64,
}

/// What networkx prints.
#[derive(Debug, Deserialize)]
struct Printed {
    answer: Answer,
    seconds: f64,
    version: String,
}

/// Measures all three on `images` images.
pub(crate) fn measure(images: usize, script: &Path) -> Result<Vec<Row>, String> {
    let tangle = Tangle::new(images);
    let hierarchy = Hierarchy::parse("tangle.yaml", &tangle.yaml()).map_err(|errors| errors.to_string())?;
    let graph = petgraph(&tangle);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mine, time) = by_patchwave(&hierarchy, &tangle)?;
        ours.push(time);
        let (other, time) = by_petgraph(&graph, &tangle)?;
        theirs.push(time);
        agree("petgraph", &mine, &other)?;
    }
    let (answer, _) = by_patchwave(&hierarchy, &tangle)?;
    let (ours, theirs) = (fastest(ours), fastest(theirs));
    let printed = by_networkx(&tangle, script)?;
    agree("networkx", &answer, &printed.answer)?;
    let edges = tangle.edges.len();
    let per_edge = ms(ours) * 1e6 / whole(edges);
    let faster = |other: f64| other / ms(ours);
    let what = format!(
        "waves, descendants and longest chain of {images} images, {edges} edges, {} waves",
        answer.waves.len()
    );
    Ok(vec![
        Row::at_most(&what, per_edge, 10.0, "ns an edge"),
        Row::at_least("… against petgraph 0.8", faster(ms(theirs)), 10.0, "times as fast"),
        Row::at_least(
            &format!("… against networkx {}", printed.version),
            faster(printed.seconds * 1e3),
            300.0,
            "times as fast",
        ),
    ])
}

fn agree(who: &str, ours: &Answer, theirs: &Answer) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("Patchwave and {who} answer differently:\n{ours:?}\n{theirs:?}"))
}

fn by_patchwave(hierarchy: &Hierarchy, tangle: &Tangle) -> Result<(Answer, Duration), String> {
    let starts: Vec<ImageId> = tangle.roots[..ASKED]
        .iter()
        .map(|root| name(*root).parse().map_err(|e: patchwave::image::InvalidWord| e.to_string()))
        .collect::<Result<_, _>>()?;
    let (waves, first) = timed(|| hierarchy.all().waves());
    let (below, second) =
        timed(|| hierarchy.query(&starts, Direction::Descendants).map(patchwave::hierarchy::Query::resolve));
    let below = below.map_err(|e| e.to_string())?;
    let (chains, third) = timed(|| hierarchy.longest_chain_below(|_| 1));
    let of = |image: &patchwave::hierarchy::Image| u64::from(number(image.id.as_str())) + 1;
    let wave_sum =
        (1_u64..).zip(&waves).map(|(wave, images)| images.iter().map(|i| wave * of(i)).sum::<u64>());
    let chain_sum = hierarchy.images().zip(chains.in_build_order()).map(|(image, chain)| chain * of(image));
    let answer = Answer {
        wave_sum: wave_sum.sum(),
        waves: waves.iter().map(Vec::len).collect(),
        descendants: below.len(),
        descendant_sum: below.iter().map(of).sum(),
        longest: chains.in_build_order().iter().copied().max().unwrap_or(0),
        chain_sum: chain_sum.sum(),
    };
    Ok((answer, first + second + third))
}

fn petgraph(tangle: &Tangle) -> DiGraph<(), ()> {
    DiGraph::from_edges(&tangle.edges)
}

fn by_petgraph(graph: &DiGraph<(), ()>, tangle: &Tangle) -> Result<(Answer, Duration), String> {
    let (found, first) = timed(|| {
        let order = petgraph::algo::toposort(graph, None).map_err(|_| "petgraph sees a cycle".to_owned())?;
        let mut wave_of = vec![0_u32; graph.node_count()];
        for node in &order {
            for child in graph.neighbors_directed(*node, Outgoing) {
                wave_of[child.index()] = wave_of[child.index()].max(wave_of[node.index()] + 1);
            }
        }
        let mut waves: Vec<Vec<NodeIndex>> = Vec::new();
        for node in &order {
            let wave = wave_of[node.index()] as usize;
            if wave >= waves.len() {
                waves.resize(wave + 1, Vec::new());
            }
            waves[wave].push(*node);
        }
        Ok::<_, String>((order, waves))
    });
    let (order, waves) = found?;
    let (below, second) = timed(|| {
        let mut walk = Dfs::empty(graph);
        let mut below = Vec::new();
        for root in &tangle.roots[..ASKED] {
            walk.move_to(NodeIndex::new(*root as usize));
            while let Some(node) = walk.next(graph) {
                below.push(node);
            }
        }
        below
    });
    let (chains, third) = timed(|| {
        let mut chains = vec![0_u64; graph.node_count()];
        for node in order.iter().rev() {
            let below = graph.neighbors_directed(*node, Outgoing).map(|child| chains[child.index()] + 1);
            chains[node.index()] = below.max().unwrap_or(0);
        }
        chains
    });
    let of = |node: &NodeIndex| node.index() as u64 + 1;
    let wave_sum = (1_u64..).zip(&waves).map(|(wave, nodes)| nodes.iter().map(|n| wave * of(n)).sum::<u64>());
    let answer = Answer {
        wave_sum: wave_sum.sum(),
        waves: waves.iter().map(Vec::len).collect(),
        descendants: below.len(),
        descendant_sum: below.iter().map(of).sum(),
        longest: chains.iter().copied().max().unwrap_or(0),
        chain_sum: (1_u64..).zip(&chains).map(|(number, chain)| number * chain).sum(),
    };
    Ok((answer, first + second + third))
}

fn by_networkx(tangle: &Tangle, script: &Path) -> Result<Printed, String> {
    let file = std::env::temp_dir().join(format!("patchwave-bench-{}.edges", std::process::id()));
    let words = [u32::try_from(tangle.images).unwrap_or(0), u32::try_from(ASKED).unwrap_or(0)];
    let roots = tangle.roots[..ASKED].iter().copied();
    let edges = tangle.edges.iter().flat_map(|(parent, child)| [*parent, *child]);
    let bytes: Vec<u8> = words.into_iter().chain(roots).chain(edges).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, bytes).map_err(|e| e.to_string())?;
    let ran = Command::new("python3").arg(script).arg(&file).output().map_err(|e| e.to_string());
    let _ = std::fs::remove_file(&file);
    let ran = ran?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    serde_json::from_slice(&ran.stdout).map_err(|e| e.to_string())
}

/// Returns a count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "no count here needs more than 52 bits")]
pub(crate) fn whole(count: usize) -> f64 {
    count as f64
}
