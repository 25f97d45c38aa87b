//! Laws of the planner, on random villages.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Execution, ExecutionState};
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::{Direction, Hierarchy};
use patchwave::image::ImageId;
use patchwave::plan::{Hold, Plan, plan};
use patchwave::policy::{Mode, Rebuild};
use proptest::prelude::*;
use proptest::sample::Index;
use village::{Village, finding, id};

/// A random village: every image is built on some earlier ones.
#[derive(Debug, Clone)]
struct Sketch {
    lines: Vec<String>,
    /// Which image carries which finding in its own layer, and which of them no rebuild removes.
    findings: Vec<(usize, Finding, bool)>,
}

fn sketch(policies: &'static [&'static str]) -> impl Strategy<Value = Sketch> {
    let image =
        (any::<Index>(), proptest::collection::vec(any::<Index>(), 0..3), any::<bool>(), any::<Index>());
    let severity = prop_oneof![Just(Severity::Medium), Just(Severity::High), Just(Severity::Critical)];
    let fix = prop_oneof![
        4 => Just(Fix::Version("2".to_owned())),
        1 => Just(Fix::NotPublished),
        1 => Just(Fix::Unknown)
    ];
    let kind = prop_oneof![4 => Just(PackageKind::Os), 1 => Just(PackageKind::Language)];
    let found = (any::<Index>(), severity, fix, kind, prop::bool::weighted(0.2), prop::bool::weighted(0.5));
    (proptest::collection::vec(image, 2..8), proptest::collection::vec(found, 0..4)).prop_map(
        move |(images, found)| {
            let name = |n: usize| format!("p{n}");
            let lines = images.iter().enumerate().map(|(n, (from, copies, rooted, policy))| {
                let mut parents = vec![];
                if n == 0 || (*rooted && from.index(3) == 0) {
                    parents.push("scratch".to_owned());
                } else {
                    parents.push(name(from.index(n)));
                }
                let copies: BTreeSet<String> =
                    copies.iter().filter(|_| n > 0).map(|copy| name(copy.index(n))).collect();
                parents.extend(copies);
                format!("{}: {} | {}", name(n), parents.join(" + "), policies[policy.index(policies.len())])
            });
            let findings = found
                .into_iter()
                .enumerate()
                .map(|(n, (image, severity, fix, kind, stubborn, _))| {
                    let key = FindingKey {
                        vulnerability: format!("CVE-{n}").into(),
                        package: format!("package-{n}").into(),
                    };
                    (
                        image.index(images.len()),
                        Finding { key, severity, fix, kind, ..finding("CVE") },
                        stubborn,
                    )
                })
                .collect();
            Sketch {
                lines: lines.map(|line| line.trim_end_matches([' ', '|']).to_owned()).collect(),
                findings,
            }
        },
    )
}

/// Policies under which an image can be built, and those under which it cannot.
const ABLE: &[&str] = &[""];
const MIXED: &[&str] = &[
    "",
    "",
    "",
    "",
    "rebuild: never",
    "rebuild: approval",
    "mode: observe",
    "pipeline: none",
    "unknownFix: tryOnce",
];

fn build(sketch: &Sketch) -> Village {
    let mut village = Village::of(&sketch.lines.join("\n"));
    for (image, finding, stubborn) in &sketch.findings {
        village.infect(&format!("p{image}"), finding);
        if *stubborn {
            village.stubborn.insert(finding.key.clone());
        }
    }
    village.scan_all();
    village
}

/// Every image in scope has exactly one of a start and a hold, and a reason is never met with a shrug.
fn check_completeness(village: &Village, plan: &Plan) {
    for id in village.facts.images.keys() {
        let starts = plan.starts.iter().filter(|start| start.image == *id).count();
        let holds = usize::from(plan.holds.contains_key(id));
        assert_eq!(starts + holds, 1, "{id}");
        if plan.reasons.contains_key(id) {
            assert_ne!(plan.holds.get(id), Some(&Hold::Fresh), "{id} has a reason");
        }
    }
}

/// No start has an ancestor that is being built or starts beside it, unless a parked image stands between them.
fn check_order(village: &Village, plan: &Plan) {
    let moving = |id: &ImageId| {
        let building = Some(ExecutionState::InProgress);
        let state = match &village.facts.images[id].execution {
            Some(Execution::Found { state, .. }) => Some(*state),
            _ => None,
        };
        plan.starts.iter().any(|start| start.image == *id) || state == building
    };
    for start in &plan.starts {
        let mut above: Vec<ImageId> = vec![start.image.clone()];
        while let Some(id) = above.pop() {
            for parent in village.hierarchy.parents(&id).map(|edge| edge.image) {
                assert!(!moving(&parent.id), "{} starts while {} moves", start.image, parent.id);
                if parent.policy.rebuild == Rebuild::Auto
                    && parent.policy.mode == Mode::Enforce
                    && parent.pipeline.is_some()
                {
                    above.push(parent.id.clone());
                }
            }
        }
    }
}

/// Plays to the end; builds end in the order that `picks` says, and some of them fail.
fn play(village: &mut Village, picks: &[(Index, bool)]) {
    let mut picks = picks.iter();
    for _ in 0..300 {
        let planned = village.plan();
        check_completeness(village, &planned);
        check_order(village, &planned);
        village.apply(&planned);
        assert!(village.plan().starts.is_empty(), "planning again after apply starts something");
        let running: Vec<String> = village
            .facts
            .images
            .iter()
            .filter(|(_, facts)| facts.record.claim.is_some())
            .map(|(id, _)| id.to_string())
            .collect();
        if running.is_empty() {
            let later = village.facts.images.values().any(|facts| facts.record.unsettled);
            if !later {
                return;
            }
            village.wait("33h");
            village.facts.slots.started_today = 0;
            continue;
        }
        // When the picks are used up, nothing fails any more.
        let (pick, fails) =
            picks.next().map_or((0, false), |(pick, fails)| (pick.index(running.len()), *fails));
        let ended = &running[pick];
        village.wait("1m");
        if fails { village.end(ended, ExecutionState::Failed) } else { village.finish(ended) }
    }
    panic!("never settles");
}

fn successes(village: &Village) -> BTreeMap<&ImageId, usize> {
    let mut built = BTreeMap::new();
    for start in &village.builds {
        *built.entry(&start.image).or_insert(0) += 1;
    }
    built
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_affected_image_is_built_once_and_no_other(
        sketch in sketch(ABLE),
        picks in proptest::collection::vec((any::<Index>(), Just(false)), 1..20),
    ) {
        let mut sketch = sketch;
        for (_, finding, stubborn) in &mut sketch.findings {
            (finding.fix, finding.kind, *stubborn) = (Fix::Version("2".into()), PackageKind::Os, false);
        }
        let mut village = build(&sketch);
        let introducing: Vec<ImageId> = sketch
            .findings
            .iter()
            .filter(|(_, finding, _)| finding.severity >= Severity::High)
            .map(|(image, ..)| id(&format!("p{image}")))
            .collect();
        play(&mut village, &picks);
        let affected: BTreeSet<ImageId> =
            village.hierarchy.query(&introducing, Direction::Descendants).unwrap().resolve().iter().map(|i| i.id.clone()).collect();
        let built = successes(&village);
        prop_assert_eq!(built.keys().copied().cloned().collect::<BTreeSet<_>>(), affected);
        prop_assert!(built.values().all(|count| *count == 1), "{:?}", built);
        for facts in village.facts.images.values() {
            let version = facts.current_version().unwrap();
            let counted = version.platforms.values().flat_map(|m| m.scan.findings()).filter(|f| f.severity >= Severity::High);
            prop_assert_eq!(counted.count(), 0);
        }
    }

    #[test]
    fn whatever_helps_or_not_it_settles(
        sketch in sketch(MIXED),
        picks in proptest::collection::vec((any::<Index>(), prop::bool::weighted(0.2)), 1..20),
    ) {
        let mut village = build(&sketch);
        play(&mut village, &picks);
        // What is left has a hold that says so.
        let plan = village.plan();
        for (id, facts) in &village.facts.images {
            let carries = facts.current_version().unwrap().platforms.values().flat_map(|m| m.scan.findings())
                .any(|f| f.severity >= Severity::High);
            if carries {
                prop_assert!(plan.holds[id] != Hold::Fresh, "{} carries a finding and is called fresh", id);
            }
        }
    }

    #[test]
    fn a_parked_or_failed_parent_strands_no_child_with_reasons_of_its_own(
        sketch in sketch(MIXED),
        picks in proptest::collection::vec((any::<Index>(), prop::bool::weighted(0.2)), 1..20),
    ) {
        let mut village = build(&sketch);
        play(&mut village, &picks);
        let plan = village.plan();
        for (id, hold) in &plan.holds {
            // After everything settled only policy, quarantine and the like keep an image that has reasons.
            if plan.reasons.contains_key(id) {
                prop_assert!(
                    matches!(hold, Hold::NoPipeline { .. } | Hold::NeedsApproval | Hold::Frozen | Hold::Observing),
                    "{} with reasons is held by {:?}", id, hold
                );
            }
        }
    }

    #[test]
    fn the_order_of_the_file_does_not_matter(sketch in sketch(MIXED), seed in any::<u64>()) {
        let village = build(&sketch);
        let mut lines = sketch.lines.clone();
        let mut state = seed;
        for n in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            lines.swap(n, usize::try_from(state >> 33).unwrap() % (n + 1));
        }
        let shuffled = Hierarchy::parse("shuffled.yaml", &village::family(&lines.join("\n"))).unwrap();
        let replanned = plan(&shuffled, &village.facts, Mode::Enforce, village.now);
        prop_assert_eq!(village.plan(), replanned);
    }

    #[test]
    fn without_a_complete_scan_nothing_is_called_fresh(
        sketch in sketch(MIXED),
        broken in proptest::collection::vec((any::<Index>(), 0..4_u8), 1..6),
    ) {
        let mut village = build(&sketch);
        let mut unscanned = BTreeSet::new();
        for (pick, how) in broken {
            let name = format!("p{}", pick.index(sketch.lines.len()));
            let digest = village.current(&name).digest.clone();
            let version = village.image(&name).versions.get_mut(&digest).unwrap();
            let manifest = version.platforms.values_mut().nth(usize::from(how % 2)).unwrap();
            manifest.scan = [Scan::Missing, Scan::Pending, Scan::Expired, Scan::Failed("x".into())][usize::from(how)].clone();
            unscanned.insert(id(&name));
        }
        let plan = village.plan();
        check_completeness(&village, &plan);
        for id in &unscanned {
            prop_assert_ne!(plan.holds.get(id), Some(&Hold::Fresh));
            prop_assert!(plan.unknown.iter().any(|unknown| unknown.image == *id));
        }
    }

    #[test]
    fn no_start_is_made_in_observe_mode_or_above_the_limit(sketch in sketch(MIXED), most in 1..4_u32) {
        let village = build(&sketch);
        let observed = plan(&village.hierarchy, &village.facts, Mode::Observe, village.now);
        prop_assert!(observed.starts.is_empty());
        let yaml = village::family(&sketch.lines.join("\n")).replace("mode: enforce }\nimages", &format!("mode: enforce, maxConcurrentBuilds: {most} }}\nimages"));
        let limited = Hierarchy::parse("limited.yaml", &yaml).unwrap();
        let plan = plan(&limited, &village.facts, Mode::Enforce, village.now);
        prop_assert!(plan.starts.len() <= most as usize);
        let unlimited = village.plan();
        prop_assert_eq!(plan.starts.len(), unlimited.starts.len().min(most as usize), "a free slot is used");
    }
}
