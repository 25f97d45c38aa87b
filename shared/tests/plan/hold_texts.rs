//! What a hold says of itself: until when it lasts, and what to do about it.

use std::collections::BTreeSet;

use patchwave::finding::FindingKey;
use patchwave::image::Digest;
use patchwave::plan::{Awaited, Hold, Limit};
use patchwave::time::Timestamp;

fn end() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn digest() -> Digest {
    format!("sha256:{}", "01".repeat(32)).parse().unwrap()
}

fn findings() -> BTreeSet<FindingKey> {
    [FindingKey { vulnerability: "CVE-1".into(), package: "openssl".into() }].into()
}

fn waiting_on(awaits: Awaited) -> Hold {
    Hold::WaitingOn { on: "base".parse().unwrap(), awaits }
}

/// Every kind of hold of `app`, whether its end is known, and words of what to do about it.
fn all() -> Vec<(Hold, bool, &'static str)> {
    let (until, because, parent) = (end(), || "because of this".to_owned(), "base".parse().unwrap());
    vec![
        (Hold::InFlight { pipeline: "build-it".into(), execution: None, until }, true, "build-it"),
        (Hold::Unresolved { because: because() }, false, "asks CodePipeline again"),
        (Hold::Unknown { because: because() }, false, "repair what could not be read"),
        (Hold::Unknown { because: "linux/arm64: never scanned".into() }, false, "turn on scan on push"),
        (Hold::RolledBack, false, "patchwave release app"),
        (Hold::UnknownRevision, false, "org.opencontainers.image.revision"),
        (Hold::NoPipeline { because: because() }, false, "because of this"),
        (
            Hold::NoPipeline { because: "the hierarchy does not name a pipeline".into() },
            false,
            "add `pipeline:` to app in the hierarchy file",
        ),
        (
            Hold::Unknown { because: "the hierarchy file does not say what it is built on".into() },
            false,
            "as `from`",
        ),
        (Hold::Pinned { parents: [].into() }, false, "patchwave rebuild app"),
        (
            Hold::Pinned { parents: [("base".parse().unwrap(), digest())].into() },
            false,
            "commit the digests of its parents to the source of app: base@sha256:0101",
        ),
        (
            Hold::NotPromoted { environment: "uat".into(), version: digest() },
            false,
            "promote app to uat: let its tag name sha256:0101",
        ),
        (Hold::CannotHelp { findings: findings(), because: because() }, false, "because of this"),
        (Hold::Suppressed { findings: findings(), until }, true, "remove the suppression of app"),
        (Hold::Quarantined { findings: findings() }, false, "patchwave release app"),
        (waiting_on(Awaited::Start), false, "wait for the build of base"),
        (waiting_on(Awaited::Scan), false, "a scan of base"),
        (
            waiting_on(Awaited::Hold(Box::new(Hold::NeedsApproval))),
            false,
            "base comes first: to approve it: patchwave approve base",
        ),
        (Hold::AwaitingProof { until }, true, "wait for a scan of the new version of app"),
        (Hold::QuietPeriod { parent, until }, true, "the tags of base"),
        (Hold::BackOff { failures: 2, until, because: because() }, true, "patchwave release app"),
        (Hold::NextTry { until }, true, "the scanner does not name a fix"),
        (Hold::NeedsApproval, false, "patchwave approve app"),
        (Hold::NextCommit, false, "commit to the source of app"),
        (Hold::Frozen, false, "patchwave release app"),
        (Hold::AtLimit { limit: Limit::ConcurrentBuilds, until }, true, "another build to end"),
        (Hold::AtLimit { limit: Limit::OwnersBuilds, until }, true, "another build of its owner"),
        (Hold::AtLimit { limit: Limit::StartsPerDay, until }, true, "the next day"),
        (Hold::AtLimit { limit: Limit::Pipeline, until }, true, "its pipeline"),
        (Hold::Observing, false, "PATCHWAVE_MODE=enforce"),
        (Hold::Fresh, false, "nothing to do"),
    ]
}

#[test]
fn a_hold_until_the_next_try_says_when_it_is_and_how_to_try_now() {
    let text = Hold::NextTry { until: end() }.lifted_by(&"app".parse().unwrap());
    assert_eq!(
        text,
        "wait until 2023-11-14T22:13:20Z: the scanner does not name a fix, so the next sweep from then on tries a \
         rebuild; to try now: patchwave rebuild app"
    );
}

#[test]
fn every_hold_says_what_to_do_about_it() {
    for (hold, _, words) in all() {
        let text = hold.lifted_by(&"app".parse().unwrap());
        assert!(text.contains(words), "{}: {text}", hold.name());
        let longest = text.split(['.', ';']).map(|sentence| sentence.split_whitespace().count()).max();
        assert!(longest <= Some(30), "{}: {text}", hold.name());
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
