//! Laws of every hierarchy, on random ones, against a model of plain sets and loops.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use patchwave::hierarchy::{Direction, Hierarchy, Image, ImageSet};
use patchwave::image::ImageId;
use proptest::prelude::*;

use super::id;

/// An image of the model: its tier, and its parents by position.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    tier: usize,
    from: Option<usize>,
    copy_from: BTreeSet<usize>,
}

impl Node {
    fn parents(&self) -> BTreeSet<usize> {
        self.from.into_iter().chain(self.copy_from.iter().copied()).collect()
    }
}

/// Images whose parents come before them in the list; names are in no particular order.
fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node = (
        0_usize..3,
        prop::option::of(any::<prop::sample::Index>()),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    let names: Vec<usize> = (0..24).collect();
    (prop::collection::vec(node, 0..24), Just(names).prop_shuffle()).prop_map(|(drawn, names)| {
        let mut nodes: Vec<Node> = Vec::new();
        for ((tier, from, copied), name) in drawn.into_iter().zip(names) {
            let above = nodes.len();
            let pick = |index: prop::sample::Index| (above > 0).then(|| index.index(above));
            let from = from.and_then(pick);
            let copy_from: BTreeSet<usize> = copied.into_iter().filter_map(pick).collect();
            let highest = from.iter().chain(&copy_from).map(|parent| nodes[*parent].tier).max().unwrap_or(0);
            nodes.push(Node { name: format!("image-{name:02}"), tier: tier.max(highest), from, copy_from });
        }
        nodes
    })
}

const HEAD: &str = "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\n\
                    builders: { b0: { account: '444455556666', region: us-east-1 }, b1: { account: '444455556666', region: \
                    us-east-2 }, b2: { account: '444455556666', region: us-west-1 } }\nimages: [\n";

/// Pipelines of three accounts share names, some images have none, and policies differ.
fn keys(index: usize) -> String {
    if index.is_multiple_of(5) {
        return String::new();
    }
    let lowest = ["low", "medium", "high", "critical"][index % 4];
    let (name, builder, minutes) = (index % 8, index / 8, 7 * index);
    format!(
        ", pipeline: {{ name: pipeline-{name}, builder: b{builder} }}, rebuildAt: {lowest}, maxBuildTime: {minutes}m"
    )
}

fn build_time(image: &Image) -> u64 {
    image.policy.max_build_time.as_seconds().into()
}

fn load(nodes: &[Node], order: impl Iterator<Item = usize>) -> Hierarchy {
    let mut yaml = HEAD.to_owned();
    for index in order {
        let Node { name, tier, from, copy_from } = &nodes[index];
        let tier = ["base", "platform", "application"][*tier];
        let from = from.map_or("scratch", |parent| &nodes[parent].name);
        let copied: Vec<&str> = copy_from.iter().map(|parent| nodes[*parent].name.as_str()).collect();
        writeln!(
            yaml,
            "{{ id: {name}, tier: {tier}, repository: repository-{}, tags: [t{index}], from: {from}, copyFrom: [{}]{} }},",
            index % 7,
            copied.join(", "),
            keys(index)
        )
        .unwrap();
    }
    yaml.push_str("]\n");
    Hierarchy::parse("random.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"))
}

fn in_order(nodes: &[Node]) -> Hierarchy {
    load(nodes, 0..nodes.len())
}

fn names(set: &ImageSet<'_>) -> BTreeSet<String> {
    set.ids().map(ToString::to_string).collect()
}

/// Each image's ancestors and itself, by name.
fn ancestors(nodes: &[Node]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in nodes {
        let mut above = BTreeSet::from([node.name.clone()]);
        for parent in node.parents() {
            above.extend(all[&nodes[parent].name].iter().cloned());
        }
        all.insert(node.name.clone(), above);
    }
    all
}

proptest! {
    #![proptest_config(crate::remembering())]

    #[test]
    fn ancestors_and_descendants_are_each_others_inverse(nodes in nodes()) {
        let hierarchy = in_order(&nodes);
        let model = ancestors(&nodes);
        for (name, above) in &model {
            let up = hierarchy.query([&id(name)], Direction::Ancestors).unwrap().resolve();
            prop_assert_eq!(&names(&up), above);
            let down = hierarchy.query([&id(name)], Direction::Descendants).unwrap().resolve();
            let below: BTreeSet<String> =
                model.iter().filter(|(_, above)| above.contains(name)).map(|(below, _)| below.clone()).collect();
            prop_assert_eq!(names(&down), below);
        }
    }

    #[test]
    fn sets_behave_as_sets(nodes in nodes(), left in any::<prop::sample::Index>(), right in any::<prop::sample::Index>()) {
        prop_assume!(!nodes.is_empty());
        let hierarchy = in_order(&nodes);
        let below = |index: prop::sample::Index| {
            let start = id(&nodes[index.index(nodes.len())].name);
            hierarchy.query([&start], Direction::Descendants).unwrap().resolve()
        };
        let (left, right) = (below(left), below(right));
        let (a, b) = (names(&left), names(&right));
        prop_assert_eq!(names(&left.union(&right)), &a | &b);
        prop_assert_eq!(names(&left.intersection(&right)), &a & &b);
        prop_assert_eq!(names(&left.difference(&right)), &a - &b);
        prop_assert_eq!(left.difference(&left).is_empty(), true);
        prop_assert_eq!(hierarchy.all().difference(&left).len(), nodes.len() - a.len());
        for node in &nodes {
            prop_assert_eq!(left.contains(&id(&node.name)), a.contains(&node.name));
        }
    }

    #[test]
    fn the_build_order_follows_the_edges_and_not_the_file(
        (nodes, order) in nodes().prop_flat_map(|nodes| {
            let order: Vec<usize> = (0..nodes.len()).collect();
            (Just(nodes), Just(order).prop_shuffle())
        })
    ) {
        let hierarchy = in_order(&nodes);
        prop_assert_eq!(&hierarchy, &load(&nodes, order.into_iter()));
        let ids: Vec<String> = hierarchy.images().map(|image| image.id.to_string()).collect();
        let place = |node: &Node| ids.iter().position(|id| *id == node.name).unwrap();
        for node in &nodes {
            prop_assert!(node.parents().iter().all(|parent| place(&nodes[*parent]) < place(node)));
        }
        prop_assert!(hierarchy.images().map(|image| image.tier).is_sorted());
    }

    #[test]
    fn children_mirror_parents(nodes in nodes()) {
        let hierarchy = in_order(&nodes);
        let mut up = BTreeSet::new();
        let mut down = BTreeSet::new();
        for image in hierarchy.images() {
            up.extend(hierarchy.parents(&image.id).map(|edge| (edge.kind, edge.image.id.clone(), image.id.clone())));
            down.extend(hierarchy.children(&image.id).map(|edge| (edge.kind, image.id.clone(), edge.image.id.clone())));
        }
        prop_assert_eq!(&up, &down);
        prop_assert_eq!(up.len(), nodes.iter().map(|node| node.copy_from.len() + usize::from(node.from.is_some())).sum::<usize>());
    }

    #[test]
    fn a_wave_is_one_after_its_last_parent_in_the_set(nodes in nodes(), start in any::<prop::sample::Index>()) {
        prop_assume!(!nodes.is_empty());
        let hierarchy = in_order(&nodes);
        let start = id(&nodes[start.index(nodes.len())].name);
        let set = hierarchy.query([&start], Direction::Descendants).unwrap().resolve();
        let members = names(&set);
        let mut model: BTreeMap<String, usize> = BTreeMap::new();
        for node in nodes.iter().filter(|node| members.contains(&node.name)) {
            let last = node.parents().iter().filter_map(|parent| model.get(&nodes[*parent].name)).max().copied();
            model.insert(node.name.clone(), last.map_or(0, |last| last + 1));
        }
        let mut waves = BTreeMap::new();
        for (wave, images) in set.waves().into_iter().enumerate() {
            prop_assert!(!images.is_empty());
            waves.extend(images.into_iter().map(|image| (image.id.to_string(), wave)));
        }
        prop_assert_eq!(waves, model);
    }

    #[test]
    fn the_longest_chain_below_is_what_recursion_finds(nodes in nodes()) {
        fn below(nodes: &[Node], index: usize) -> u64 {
            let children = (0..nodes.len()).filter(|child| nodes[*child].parents().contains(&index));
            children.map(|child| cost(&nodes[child].name) + below(nodes, child)).max().unwrap_or(0)
        }
        fn cost(name: &str) -> u64 {
            u64::from(name.bytes().last().unwrap())
        }
        let hierarchy = in_order(&nodes);
        let longest = hierarchy.longest_chain_below(|image| cost(image.id.as_str()));
        for (index, node) in nodes.iter().enumerate() {
            prop_assert_eq!(longest[&id(&node.name)], below(&nodes, index));
        }
    }

    #[test]
    fn what_is_known_of_everything_below_is_what_a_query_finds(nodes in nodes()) {
        let hierarchy = in_order(&nodes);
        let (count, time) = (hierarchy.longest_chain_below(|_| 1), hierarchy.longest_chain_below(build_time));
        for image in hierarchy.images() {
            let below = hierarchy.query([&image.id], Direction::Descendants).unwrap();
            let lowest = below.resolve().iter().map(|image| image.policy.rebuild_at).min();
            prop_assert_eq!(hierarchy.lowest_counted(&image.id), lowest);
            prop_assert_eq!(hierarchy.builds_below(&image.id).map(u64::from), count.get(&image.id));
            let longest = hierarchy.time_to_build(&image.id).unwrap();
            prop_assert_eq!(u64::from(longest.as_seconds()), time[&image.id] + build_time(image));
        }
    }

    #[test]
    fn a_selection_is_what_a_search_of_all_images_finds(nodes in nodes(), asked in prop::collection::vec(0_usize..30, 0..9)) {
        let hierarchy = in_order(&nodes);
        let asked: Vec<ImageId> = asked.iter().map(|number| id(&format!("image-{number:02}"))).collect();
        let found: Vec<&ImageId> = hierarchy.images().map(|image| &image.id).filter(|id| asked.contains(id)).collect();
        prop_assert_eq!(hierarchy.select(&asked).ids().collect::<Vec<_>>(), found);
        for name in ["pipeline-0", "pipeline-1", "pipeline"] {
            let is_named = |image: &&Image| image.pipeline.as_ref().is_some_and(|pipeline| pipeline.name == name);
            let found: Vec<&Image> = hierarchy.images().filter(is_named).collect();
            prop_assert_eq!(hierarchy.with_pipeline(name).collect::<Vec<_>>(), found);
        }
        for repository in ["repository-3", "repository-4", "repository"].map(|name| name.parse().unwrap()) {
            let found: Vec<&Image> = hierarchy.images().filter(|image| image.repository == repository).collect();
            prop_assert_eq!(hierarchy.in_repository(&repository).collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn the_root_is_the_top_of_the_from_chain(nodes in nodes()) {
        let hierarchy = in_order(&nodes);
        for node in &nodes {
            let mut top = node;
            while let Some(parent) = top.from {
                top = &nodes[parent];
            }
            prop_assert_eq!(hierarchy.root_of(&id(&node.name)).unwrap().id.as_str(), &top.name);
        }
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "(version|images|registry|[a-z\"'{}\\[\\]&*<:,\\- \n]){0,40}") {
        let _ = Hierarchy::parse("noise.yaml", &text);
    }
}
