//! Laws of the planner, on random fleets.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Execution, ExecutionState, Facts};
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::{Direction, Hierarchy};
use patchwave::image::ImageId;
use patchwave::plan::{Hold, Plan, Reason, plan};
use patchwave::policy::{Mode, Rebuild};
use patchwave::time::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::fleet::{Fleet, family, finding, id};

/// Every image is built on some earlier ones.
#[derive(Debug, Clone)]
struct RandomFleet {
    lines: Vec<String>,
    /// Which image adds which finding, and whether no rebuild fixes it.
    findings: Vec<(usize, Finding, bool)>,
}

fn random_fleet(policies: &'static [&'static str]) -> impl Strategy<Value = RandomFleet> {
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
                .map(|(n, (image, severity, fix, kind, unfixable, _))| {
                    let key = FindingKey {
                        vulnerability: format!("CVE-{n}").into(),
                        package: format!("package-{n}").into(),
                    };
                    (
                        image.index(images.len()),
                        Finding { key, severity, fix, kind, ..finding("CVE") },
                        unfixable,
                    )
                })
                .collect();
            RandomFleet {
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

/// Policies that count findings from different severities on.
const GRADED: &[&str] =
    &["", "", "", "rebuildAt: medium", "rebuildAt: critical", "rebuild: never", "unknownFix: tryOnce"];

/// Returns the facts as a pass keeps them: of findings that no policy can count only their number.
fn without_uncounted(fleet: &Fleet) -> Facts {
    let mut facts = fleet.facts.clone();
    for (id, image) in &mut facts.images {
        let lowest = fleet.hierarchy.lowest_counted(id).unwrap();
        let versions = image.versions.values_mut().flat_map(|version| version.platforms.values_mut());
        versions.for_each(|manifest| manifest.scan = manifest.scan.clone().without_uncounted(lowest));
    }
    facts
}

fn build(random: &RandomFleet) -> Fleet {
    let mut fleet = Fleet::of(&random.lines.join("\n"));
    for (image, finding, unfixable) in &random.findings {
        fleet.add_finding(&format!("p{image}"), finding);
        if *unfixable {
            fleet.unfixable.insert(finding.key.clone());
        }
    }
    fleet.scan_all();
    fleet
}

/// Every image has exactly one start or hold, and an image with a reason is never called fresh.
fn check_completeness(fleet: &Fleet, plan: &Plan) {
    for id in fleet.facts.images.keys() {
        let starts = plan.starts.iter().filter(|start| start.image == *id).count();
        let holds = usize::from(plan.holds.contains_key(id));
        assert_eq!(starts + holds, 1, "{id}");
        if plan.reasons.contains_key(id) {
            assert_ne!(plan.holds.get(id), Some(&Hold::Fresh), "{id} has a reason");
        }
    }
}

/// No start has an ancestor that is being built or starts too, unless a parked image is between
/// them.
fn check_order(fleet: &Fleet, plan: &Plan) {
    let moving = |id: &ImageId| {
        let building = Some(ExecutionState::InProgress);
        let state = match &fleet.facts.images[id].execution {
            Some(Execution::Found { state, .. }) => Some(*state),
            _ => None,
        };
        plan.starts.iter().any(|start| start.image == *id) || state == building
    };
    for start in &plan.starts {
        let mut above: Vec<ImageId> = vec![start.image.clone()];
        while let Some(id) = above.pop() {
            for parent in fleet.hierarchy.parents(&id).map(|edge| edge.image) {
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

/// Passes until nothing is left to do. Builds end in the order that `picks` says, and some of them
/// fail.
fn run(fleet: &mut Fleet, picks: &[(Index, bool)]) {
    let mut picks = picks.iter();
    for _ in 0..300 {
        let planned = fleet.plan();
        check_completeness(fleet, &planned);
        check_order(fleet, &planned);
        fleet.apply(&planned);
        assert!(fleet.plan().starts.is_empty(), "planning again after apply starts something");
        let running = fleet.claimed();
        if running.is_empty() {
            let later = fleet.facts.images.values().any(|facts| facts.record.is_scheduled());
            if !later {
                return;
            }
            fleet.wait("33h");
            fleet.facts.slots.started_today = 0;
            continue;
        }
        // When the picks are used up, nothing fails any more.
        let (pick, fails) =
            picks.next().map_or((0, false), |(pick, fails)| (pick.index(running.len()), *fails));
        let ended = &running[pick];
        fleet.wait("1m");
        if fails { fleet.end(ended, ExecutionState::Failed) } else { fleet.finish(ended) }
    }
    panic!("never idle");
}

fn builds_of_each(fleet: &Fleet) -> BTreeMap<&ImageId, usize> {
    let mut built = BTreeMap::new();
    for start in &fleet.builds {
        *built.entry(&start.image).or_insert(0) += 1;
    }
    built
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..crate::remembering() })]

    #[test]
    fn every_affected_image_is_built_once_and_no_other(
        random in random_fleet(ABLE),
        picks in proptest::collection::vec((any::<Index>(), Just(false)), 1..20),
    ) {
        let mut random = random;
        for (_, finding, unfixable) in &mut random.findings {
            (finding.fix, finding.kind, *unfixable) = (Fix::Version("2".into()), PackageKind::Os, false);
        }
        let mut fleet = build(&random);
        let introducing: Vec<ImageId> = random
            .findings
            .iter()
            .filter(|(_, finding, _)| finding.severity >= Severity::High)
            .map(|(image, ..)| id(&format!("p{image}")))
            .collect();
        run(&mut fleet, &picks);
        let affected: BTreeSet<ImageId> =
            fleet.hierarchy.query(&introducing, Direction::Descendants).unwrap().resolve().iter().map(|i| i.id.clone()).collect();
        let built = builds_of_each(&fleet);
        prop_assert_eq!(built.keys().copied().cloned().collect::<BTreeSet<_>>(), affected);
        prop_assert!(built.values().all(|count| *count == 1), "{:?}", built);
        for facts in fleet.facts.images.values() {
            let version = facts.current_version().unwrap();
            let counted = version.platforms.values().flat_map(|m| m.scan.findings()).filter(|f| f.severity >= Severity::High);
            prop_assert_eq!(counted.count(), 0);
        }
    }

    #[test]
    fn every_fleet_settles_and_no_carrier_of_a_finding_is_called_fresh(
        random in random_fleet(MIXED),
        picks in proptest::collection::vec((any::<Index>(), prop::bool::weighted(0.2)), 1..20),
    ) {
        let mut fleet = build(&random);
        run(&mut fleet, &picks);
        let plan = fleet.plan();
        for (id, facts) in &fleet.facts.images {
            let carries = facts.current_version().unwrap().platforms.values().flat_map(|m| m.scan.findings())
                .any(|f| f.severity >= Severity::High);
            if carries {
                prop_assert!(plan.holds[id] != Hold::Fresh, "{} carries a finding and is called fresh", id);
            }
        }
    }

    #[test]
    fn a_parked_or_failed_parent_strands_no_child_with_reasons_of_its_own(
        random in random_fleet(MIXED),
        picks in proptest::collection::vec((any::<Index>(), prop::bool::weighted(0.2)), 1..20),
    ) {
        let mut fleet = build(&random);
        run(&mut fleet, &picks);
        let plan = fleet.plan();
        for (id, hold) in &plan.holds {
            // After everything settled, only policy keeps an image that has reasons.
            if plan.reasons.contains_key(id) {
                prop_assert!(
                    matches!(hold, Hold::NoPipeline { .. } | Hold::NeedsApproval | Hold::Frozen | Hold::Observing),
                    "{} with reasons is held by {:?}", id, hold
                );
            }
        }
    }

    #[test]
    fn findings_that_no_policy_can_count_change_no_plan(
        random in random_fleet(GRADED),
        picks in proptest::collection::vec((any::<Index>(), prop::bool::weighted(0.2)), 1..20),
    ) {
        let mut fleet = build(&random);
        for (pick, fails) in &picks {
            let planned = fleet.plan();
            let kept = without_uncounted(&fleet);
            prop_assert_eq!(&planned, &plan(&fleet.hierarchy, &kept, Mode::Enforce, fleet.now));
            fleet.apply(&planned);
            let running = fleet.claimed();
            if running.is_empty() {
                fleet.wait("33h");
                fleet.facts.slots.started_today = 0;
                continue;
            }
            let ended = &running[pick.index(running.len())];
            fleet.wait("1m");
            if *fails { fleet.end(ended, ExecutionState::Failed) } else { fleet.finish(ended) }
        }
    }

    #[test]
    fn the_order_of_the_file_does_not_matter(random in random_fleet(MIXED), seed in any::<u64>()) {
        let fleet = build(&random);
        let mut lines = random.lines.clone();
        let mut state = seed;
        for n in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            lines.swap(n, usize::try_from(state >> 33).unwrap() % (n + 1));
        }
        let shuffled = Hierarchy::parse("shuffled.yaml", &family(&lines.join("\n"))).unwrap();
        let replanned = plan(&shuffled, &fleet.facts, Mode::Enforce, fleet.now);
        prop_assert_eq!(fleet.plan(), replanned);
    }

    #[test]
    fn no_image_without_a_complete_scan_is_called_fresh(
        random in random_fleet(MIXED),
        broken in proptest::collection::vec((any::<Index>(), 0..4_u8), 1..6),
    ) {
        let mut fleet = build(&random);
        let mut unscanned = BTreeSet::new();
        for (pick, how) in broken {
            let name = format!("p{}", pick.index(random.lines.len()));
            let manifest = fleet.current_mut(&name).platforms.values_mut().nth(usize::from(how % 2)).unwrap();
            manifest.scan = [Scan::Missing, Scan::Pending, Scan::Expired, Scan::Failed("x".into())][usize::from(how)].clone();
            unscanned.insert(id(&name));
        }
        let plan = fleet.plan();
        check_completeness(&fleet, &plan);
        for id in &unscanned {
            prop_assert_ne!(plan.holds.get(id), Some(&Hold::Fresh));
            prop_assert!(plan.unknown.iter().any(|unknown| unknown.image == *id));
        }
    }

    #[test]
    fn no_start_is_made_in_observe_mode_or_above_the_limit(random in random_fleet(MIXED), most in 1..4_u32) {
        let fleet = build(&random);
        let observed = plan(&fleet.hierarchy, &fleet.facts, Mode::Observe, fleet.now);
        prop_assert!(observed.starts.is_empty());
        let yaml = family(&random.lines.join("\n")).replace("mode: enforce }\nimages", &format!("mode: enforce, maxConcurrentBuilds: {most} }}\nimages"));
        let limited = Hierarchy::parse("limited.yaml", &yaml).unwrap();
        let plan = plan(&limited, &fleet.facts, Mode::Enforce, fleet.now);
        prop_assert!(plan.starts.len() <= most as usize);
        let unlimited = fleet.plan();
        prop_assert_eq!(plan.starts.len(), unlimited.starts.len().min(most as usize), "a free slot is used");
    }

    #[test]
    fn the_limit_of_a_day_holds_what_can_wait_until_tomorrow(
        random in random_fleet(MIXED), most in 1..4_u32, hours in 0_u32..30, longest in 1_u32..14
    ) {
        let mut fleet = build(&random);
        fleet.now = Span::hours(hours).after(fleet.now);
        let yaml = |most: u32| family(&random.lines.join("\n"))
            .replace("mode: enforce }\nimages", &format!("mode: enforce, maxBuildTime: {longest}h, maxStartsPerDay: {most} }}\nimages"));
        let limited = Hierarchy::parse("limited.yaml", &yaml(most)).unwrap();
        let free = Hierarchy::parse("free.yaml", &yaml(1_000)).unwrap();
        let all = plan(&free, &fleet.facts, Mode::Enforce, fleet.now).starts;
        let midnight = Timestamp::from_second((fleet.now.as_second().div_euclid(86_400) + 1) * 86_400).unwrap();
        for start in &all {
            let is_for = |reason: &Reason| match reason {
                Reason::Vulnerable { causes, .. } => causes.iter().any(|cause| !cause.is_retried()),
                Reason::Expired { .. } => false,
                _ => true,
            };
            let ends = limited.time_to_build(&start.image).unwrap();
            let is_last_day = ends.before(start.due) < midnight;
            prop_assert_eq!(start.keeps_deadline, start.reasons.iter().any(is_for) && is_last_day, "{:?}", start);
        }
        let mut left = most;
        let taken = all.iter().filter(|start| {
            let starts = left > 0 || start.keeps_deadline;
            left = left.saturating_sub(u32::from(starts));
            starts
        });
        let taken: Vec<&ImageId> = taken.map(|start| &start.image).collect();
        let plan = plan(&limited, &fleet.facts, Mode::Enforce, fleet.now);
        prop_assert_eq!(plan.starts.iter().map(|start| &start.image).collect::<Vec<_>>(), taken);
    }
}
