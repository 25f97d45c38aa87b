//! What each kind of hold says of itself.

use std::collections::BTreeSet;

use patchwave::finding::FindingKey;
use patchwave::plan::{Awaited, Hold, Limit};
use patchwave::time::Timestamp;

fn end() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn findings() -> BTreeSet<FindingKey> {
    [FindingKey { vulnerability: "CVE-1".into(), package: "openssl".into() }].into()
}

fn waiting_on(awaits: Awaited) -> Hold {
    Hold::WaitingOn { on: "base".parse().unwrap(), awaits }
}

/// Every kind of hold, whether its end is known, and words about who or what ends it.
fn all() -> Vec<(Hold, bool, &'static str)> {
    let (until, because, parent) = (end(), || "because of this".to_owned(), "base".parse().unwrap());
    vec![
        (Hold::InFlight { pipeline: "build-it".into(), execution: None, until }, true, "build-it"),
        (Hold::Unresolved { because: because() }, false, "CodePipeline"),
        (Hold::Unknown { because: because() }, false, "the next look that succeeds"),
        (Hold::RolledBack, false, "patchwave release"),
        (Hold::UnknownRevision, false, "org.opencontainers.image.revision"),
        (Hold::NoPipeline { because: because() }, false, "because of this"),
        (Hold::CannotHelp { findings: findings(), because: because() }, false, "because of this"),
        (Hold::Suppressed { findings: findings(), until }, true, "the suppression's end"),
        (Hold::Quarantined { findings: findings() }, false, "patchwave release"),
        (waiting_on(Awaited::Start), false, "the end of the build of base"),
        (waiting_on(Awaited::Scan), false, "a scan of base"),
        (waiting_on(Awaited::Hold(Box::new(Hold::NeedsApproval))), false, "base: the image's owner"),
        (Hold::AwaitingProof { until }, true, "a completed scan"),
        (Hold::QuietPeriod { parent, until }, true, "base having been still"),
        (Hold::BackOff { failures: 2, until, because: because() }, true, "a new commit"),
        (Hold::NeedsApproval, false, "patchwave approve"),
        (Hold::NextCommit, false, "the next commit"),
        (Hold::Frozen, false, "patchwave release"),
        (Hold::AtLimit { limit: Limit::ConcurrentBuilds }, false, "the next build that ends"),
        (Hold::AtLimit { limit: Limit::OwnersBuilds }, false, "the same owner's"),
        (Hold::AtLimit { limit: Limit::StartsPerDay }, false, "the next day"),
        (Hold::AtLimit { limit: Limit::Pipeline }, false, "its pipeline"),
        (Hold::Observing, false, "PATCHWAVE_MODE=enforce"),
        (Hold::Fresh, false, "nobody"),
    ]
}

#[test]
fn every_hold_says_who_or_what_ends_it() {
    for (hold, _, words) in all() {
        assert!(hold.lifted_by().contains(words), "{}: {}", hold.name(), hold.lifted_by());
    }
}

#[test]
fn a_hold_says_when_it_ends_where_that_is_known() {
    for (hold, is_known, _) in all() {
        assert_eq!(hold.until(), is_known.then(end), "{}", hold.name());
    }
}

#[test]
fn the_name_of_a_hold_is_the_one_in_its_json() {
    for (hold, ..) in all() {
        assert_eq!(serde_json::to_value(&hold).unwrap()["why"], hold.name());
    }
}
