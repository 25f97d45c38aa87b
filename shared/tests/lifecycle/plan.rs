//! Policies made from the hierarchy, their previews, and when they are written.

use std::collections::BTreeMap;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::Repository;
use patchwave::inventory::Answer;
use patchwave::lifecycle::{
    Action, Going, Intent, KnownRepository, LifecyclePolicy, PlanInput, PlannedPolicy, PolicyChange,
    PolicyPlan, Step, Stop, Undo, compare, hash_of, is_same, make, may_write, plan_policies, undo,
};
use patchwave::time::Span;
use serde_json::{Value, json};

use super::fixture::*;

fn hierarchy(images: &[Value]) -> Hierarchy {
    let host = format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com");
    let file = json!({
        "version": 1,
        "registries": {"home": {"host": host, "keepTags": true, "caches": {"hub": "docker.io"}}},
        "inventory": {"regions": ["us-east-1"], "accounts": [
            {"id": "444455556666", "role": "reader", "environment": "dev"},
            {"id": "555566667777", "role": "reader", "environment": "prod"},
        ]},
        "images": images,
    });
    Hierarchy::parse("h", &file.to_string()).unwrap()
}

fn application() -> Value {
    json!({"tier": "application", "repository": "apps/checkout", "tagPattern": "main-*", "from": "scratch", "pipeline": "c"})
}

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

/// The rules of a policy: priority, status or pattern, what is counted, and how much.
fn rules(text: &str) -> Vec<String> {
    let policy: Value = serde_json::from_str(text).unwrap();
    let rule = |rule: &Value| {
        let selection = &rule["selection"];
        let which = match selection["tagPatternList"][0].as_str() {
            Some(pattern) => pattern.to_owned(),
            None => selection["tagStatus"].as_str().unwrap().to_owned(),
        };
        let kind = if selection["countType"] == "sinceImagePushed" { "d" } else { "" };
        format!("{} {which} {}{kind}", rule["rulePriority"], selection["countNumber"])
    };
    policy["rules"].as_array().unwrap().iter().map(rule).collect()
}

fn made(images: &[Value], name: &str) -> Vec<String> {
    rules(&make(&hierarchy(images), &repository(name), true, &Intent::default()).unwrap().text)
}

#[test]
fn an_application_keeps_the_newest_of_each_environment_production_first() {
    let expected = [
        "1 patchwave.keep.* 1000000",
        "100 prod-* 10",
        "110 dev-* 10",
        "500 main-* 10",
        "600 dev 1000000",
        "601 prod 1000000",
        "900 patchwave.gone.* 7d",
        "910 untagged 7d",
        "1000 any 90d",
    ];
    assert_eq!(made(&[application()], "apps/checkout"), expected);
}

#[test]
fn stable_tags_never_expire_and_a_cache_has_no_rule_for_untagged_images() {
    let base = json!({"tier": "base", "repository": "base/os", "tags": ["12", "12.1"], "from": "scratch", "pipeline": "b"});
    let expected = [
        "1 patchwave.keep.* 1000000",
        "600 12 1000000",
        "601 12.1 1000000",
        "900 patchwave.gone.* 7d",
        "910 untagged 7d",
        "1000 any 90d",
    ];
    assert_eq!(made(std::slice::from_ref(&base), "base/os"), expected);
    assert_eq!(
        made(&[base], "hub/library/debian"),
        ["1 patchwave.keep.* 1000000", "1000 * 90d"],
        "a pull by digest leaves an image without a tag"
    );
    let other = make(&hierarchy(&[application()]), &repository("other"), true, &Intent::default());
    assert_eq!(other.unwrap_err(), "no image of the hierarchy is in it");
}

#[test]
fn what_no_rule_can_express_never_expires() {
    let by_version = json!({"tier": "application", "repository": "apps/checkout", "from": "scratch", "pipeline": "c",
        "tagPattern": {"match": "v*", "order": "version"}});
    let made =
        make(&hierarchy(&[by_version]), &repository("apps/checkout"), false, &Intent::default()).unwrap();
    assert!(rules(&made.text).contains(&"602 v* 1000000".to_owned()), "{:?}", rules(&made.text));
    assert_eq!(
        made.notes,
        ["no image with a tag `v*` expires: rules of ECR count pushes, and the line counts versions"]
    );
    let tags: Vec<String> = (0..60).map(|n| format!("{n}")).collect();
    let many =
        json!({"tier": "base", "repository": "base/os", "tags": tags, "from": "scratch", "pipeline": "b"});
    let made = make(&hierarchy(&[many]), &repository("base/os"), false, &Intent::default()).unwrap();
    assert_eq!(rules(&made.text), ["600 * 1000000", "910 untagged 7d"], "and no catch-all");
}

/// A world in which nothing speaks against the policy: one old image goes, another runs.
struct Quiet {
    hierarchy: Hierarchy,
    known: KnownRepository,
    inventory: Answer,
    intent: Intent,
}

fn inventory(read_at: Span, running: &[Value]) -> Answer {
    let place = json!({"account": "555566667777", "region": "us-east-1", "kind": "ecs", "cluster": "shop", "environment": "prod"});
    let row = |digest: &Value| {
        json!({"place": place, "workload": "service/web", "runs": true, "asked": "x", "digest": digest,
            "resolution": {"is": "known", "image": "apps/checkout", "version": digest}, "containers": ["main"], "units": 1,
            "since": days_ago(1), "lastSeen": now(), "stale": false, "findings": []})
    };
    let mut whole = place.clone();
    whole["id"] = json!("555566667777/us-east-1/ecs/shop");
    whole["readAt"] = json!(read_at.before(now()));
    let running: Vec<Value> = running.iter().map(row).collect();
    serde_json::from_value(
        json!({"at": now(), "running": running, "referenced": [], "notInspected": [], "places": [whole]}),
    )
    .unwrap()
}

impl Quiet {
    fn new() -> Self {
        let images = [described('A', &["old"], 200), described('B', &["main-2"], 1)];
        Self {
            hierarchy: hierarchy(&[application()]),
            known: KnownRepository { listing: listing(&images), stored: None, replicas: [].into() },
            inventory: inventory(Span::hours(1), &[json!(digest('B'))]),
            intent: Intent::default(),
        }
    }

    fn input(&self) -> PlanInput<'_> {
        PlanInput {
            hierarchy: &self.hierarchy,
            intent: &self.intent,
            inventory: Some(&self.inventory),
            roll_backs: 0,
            now: now(),
        }
    }

    fn plan(&self) -> PolicyPlan {
        let known = BTreeMap::from([(repository("apps/checkout"), Ok(self.known.clone()))]);
        plan_policies(self.input(), &known)
    }

    /// Plans, and takes ECR's preview to say the same.
    fn previewed(&self) -> PlannedPolicy {
        let mut planned = self.plan().policies.remove(0);
        let text = planned.text.clone().unwrap();
        let policy = LifecyclePolicy::parse(&text).unwrap();
        let ecr = planned
            .going
            .iter()
            .map(|l| (l.digest.clone(), Going { rule: l.rule, action: l.action }))
            .collect();
        planned.preview = Some(compare(&text, &policy, &self.known.listing, &ecr, now()));
        planned
    }
}

#[test]
fn a_policy_is_written_only_while_nothing_speaks_against_it() {
    let quiet = Quiet::new();
    let planned = quiet.previewed();
    assert_eq!(planned.going.len(), 1);
    let text = planned.text.clone().unwrap();
    assert_eq!(may_write(&planned, &quiet.known, quiet.input()), Ok(Step::Write(text.clone())));

    let stop = |change: &dyn Fn(&mut PlannedPolicy, &mut Quiet)| {
        let (mut planned, mut quiet) = (planned.clone(), Quiet::new());
        change(&mut planned, &mut quiet);
        may_write(&planned, &quiet.known, quiet.input())
    };
    assert_eq!(stop(&|_, world| world.known.stored = Some(format!(" {text} "))), Ok(Step::Already));
    assert_eq!(stop(&|planned, _| planned.preview = None), Err(Stop::NotPreviewed));
    assert_eq!(
        stop(&|planned, _| planned.text = Some(text.replace("90", "30"))),
        Err(Stop::AnotherText),
        "only what was previewed is written"
    );
    let old = Span::hours(27);
    let late = stop(&|planned, _| planned.preview.as_mut().unwrap().at = old.before(now()));
    assert_eq!(late, Err(Stop::OldPreview(old)));
    assert_eq!(
        stop(&|_, world| world.known.stored = Some(text.replace("90", "80"))),
        Err(Stop::ChangedMeanwhile),
        "somebody wrote another policy since the plan"
    );
    assert!(matches!(
        stop(&|_, world| world.inventory = inventory(Span::hours(27), &[])),
        Err(Stop::Unread(_))
    ));
    assert!(matches!(
        stop(&|_, world| world.known.replicas = [("1".to_owned(), "eu-west-1".to_owned())].into()),
        Err(Stop::Unread(_))
    ));
    assert_eq!(
        stop(&|_, world| world.inventory = inventory(Span::hours(1), &[json!(digest('A'))])),
        Err(Stop::InUse(vec![digest('A').to_string()])),
        "it was deployed since the plan"
    );
    assert_eq!(
        stop(&|_, world| world.known.listing =
            listing(&[described('A', &["old"], 200), described('C', &[], 50)])),
        Err(Stop::MoreGoing(1))
    );
    assert!(matches!(stop(&|planned, _| planned.refused = vec!["no".to_owned()]), Err(Stop::Refused(_))));
}

#[test]
fn a_plan_says_what_goes_and_refuses_what_is_in_use_or_unknown() {
    let mut quiet = Quiet::new();
    let planned = quiet.plan().policies.remove(0);
    assert_eq!((planned.before.images, planned.after.images), (2, 1));
    assert_eq!(planned.hash, Some(hash_of(planned.text.as_ref().unwrap())));
    assert!(planned.refused.is_empty(), "{:?}", planned.refused);
    quiet.inventory = inventory(Span::hours(1), &[json!(digest('A'))]);
    let refused = quiet.plan().policies.remove(0).refused;
    assert!(refused[0].contains("is in use by 555566667777/us-east-1/ecs/shop service/web"), "{refused:?}");
    quiet.inventory = inventory(Span::hours(30), &[]);
    assert!(quiet.plan().policies[0].refused[0].contains("was last read"));
    let unread = BTreeMap::from([(repository("apps/checkout"), Err("access is denied".to_owned()))]);
    let planned = plan_policies(quiet.input(), &unread).policies.remove(0);
    assert_eq!((planned.text, planned.refused), (None, vec!["it was not read: access is denied".to_owned()]));
}

#[test]
fn a_preview_is_compared_image_by_image() {
    let mut index = described('A', &["main-1"], 200);
    index["imageManifestMediaType"] = json!(INDEX);
    let mut listing = listing(&[index, described('B', &[], 200), described('C', &["main-2"], 1)]);
    listing.note_all(&BTreeMap::from([(digest('A'), [digest('B')].into())]));
    let text = json!({"rules": [rule(1, older("any", 90))]}).to_string();
    let policy = LifecyclePolicy::parse(&text).unwrap();
    let goes = |rule| Going { rule, action: Action::Expire };
    let compared = |ecr: &[(char, Going)]| {
        let ecr = ecr.iter().map(|(name, going)| (digest(*name), *going)).collect();
        compare(&text, &policy, &listing, &ecr, now()).differences.len()
    };
    assert_eq!(compared(&[('A', goes(1)), ('B', goes(1))]), 0);
    assert_eq!(compared(&[('A', goes(1))]), 0, "the manifest goes with its index, listed or not");
    assert_eq!(compared(&[]), 2, "both stay for ECR");
    assert_eq!(compared(&[('A', goes(2)), ('B', goes(1))]), 1, "by another rule");
    assert_eq!(compared(&[('A', goes(1)), ('C', goes(1))]), 1, "what stays for Patchwave goes");
}

#[test]
fn a_preview_that_counts_what_indexes_list_is_a_disagreement_and_says_so() {
    let mut images = Vec::new();
    for (index, part, days) in [('A', 'B', 20), ('C', 'D', 10)] {
        let mut whole = described(index, &["x"], days);
        whole["imageManifestMediaType"] = json!(INDEX);
        images.extend([whole, described(part, &[], days)]);
    }
    let listing = listing(&images);
    let keep = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 2});
    let text = json!({"rules": [rule(1, keep)]}).to_string();
    let policy = LifecyclePolicy::parse(&text).unwrap();
    let goes = Going { rule: 1, action: Action::Expire };
    let previewed =
        compare(&text, &policy, &listing, &[(digest('A'), goes), (digest('B'), goes)].into(), now());
    assert_eq!((previewed.differences.len(), previewed.counts_parts), (2, true));
}

#[test]
fn the_last_write_is_undone_unless_somebody_wrote_since() {
    let change = |old: Option<&str>, new: Option<&str>| PolicyChange {
        repository: repository("apps/checkout"),
        at: now(),
        by: "ada".to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    };
    let written = change(Some("{\"a\":1}"), Some("{\"b\":2}"));
    assert_eq!(undo(&written, Some("{\"b\": 2}")), Ok(Undo::Write("{\"a\":1}".to_owned())));
    assert_eq!(undo(&written, Some("{\"a\": 1}")), Ok(Undo::Already));
    assert_eq!(undo(&written, Some("{\"c\":3}")), Err(Stop::ChangedMeanwhile));
    assert_eq!(undo(&written, None), Err(Stop::ChangedMeanwhile));
    assert_eq!(undo(&change(None, Some("{}")), Some("{}")), Ok(Undo::Delete));
    assert!(is_same(None, None) && !is_same(None, Some("{}")));
}
