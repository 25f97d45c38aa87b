//! The parsers of everything that comes from outside, each as a function of bytes. It panics if a
//! promise is broken: what can be read is read back the same, and what cannot be read gives an
//! error of limited length.
//!
//! `tests/fuzz/` runs them under libFuzzer. `tests/tests/mutated.rs` runs them on changed samples
//! with stable Rust.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::LazyLock;

use patchwave::discover::{Document, images_of_dockerfile, may_push};
use patchwave::facts::Facts;
use patchwave::finding::FindingKey;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, EcrRegistry, ImageId, Platform, Reference, Repository, Tag};
use patchwave::inventory::Answer;
use patchwave::lifecycle::{LifecyclePolicy, Listing, outlook};
use patchwave::plan::plan;
use patchwave::policy::Mode;
use patchwave::record::Record;
use patchwave::time::Span;
use patchwave::trigger::{self, ScheduleKind};
use serde_json::Value;

/// The longest text of errors. Errors quote the input, and must not repeat it without end.
const LONGEST_ERROR: usize = 1024 * 1024;

static SAMPLE: LazyLock<Hierarchy> = LazyLock::new(|| {
    let yaml = include_str!("../fixtures/sample.yaml");
    Hierarchy::parse("sample.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"))
});

/// A lifecycle policy, the images that it is about, and the deployments of those. Each is parsed
/// together with the other two.
static LIFECYCLE: LazyLock<(LifecyclePolicy, Listing, Answer)> = LazyLock::new(|| {
    let policy = LifecyclePolicy::read(include_str!("../fixtures/lifecycle/policy.json"));
    let listing = Listing::parse(include_str!("../fixtures/lifecycle/images.json"));
    let running = serde_json::from_str(include_str!("../fixtures/lifecycle/running.json"));
    (policy.expect("a policy"), listing.expect("a listing"), running.expect("an inventory"))
});

/// An event, as EventBridge writes it.
pub fn event(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(bytes) else { return };
    for schedule in [ScheduleKind::Tick, ScheduleKind::Sweep] {
        match trigger::parse(&event, schedule) {
            Ok(parsed) => assert_eq!(Ok(parsed), trigger::parse(&event, schedule)),
            Err(invalid) => assert!(invalid.to_string().len() < LONGEST_ERROR),
        }
    }
}

/// A hierarchy file.
pub fn hierarchy(bytes: &[u8]) {
    let Ok(yaml) = std::str::from_utf8(bytes) else { return };
    match Hierarchy::parse("fuzzed.yaml", yaml) {
        Ok(hierarchy) => {
            for image in hierarchy.images() {
                assert!(hierarchy.parents(&image.id).all(|parent| parent.image.id != image.id));
            }
        }
        Err(errors) => {
            let text = errors.to_string();
            assert!(!text.is_empty() && text.len() < LONGEST_ERROR, "{} bytes of errors", text.len());
        }
    }
}

/// A snapshot of facts, and a plan from it: the planner must answer whatever was observed.
pub fn facts(bytes: &[u8]) {
    let Ok(facts) = serde_json::from_slice::<Facts>(bytes) else { return };
    read_back(&facts);
    let plan = plan(&SAMPLE, &facts, Mode::Enforce, facts.observed_at);
    let observed = SAMPLE.images().filter(|image| facts.images.contains_key(&image.id)).count();
    assert_eq!(plan.starts.len() + plan.holds.len(), observed, "each image has one start or one hold");
}

/// A record of the ledger.
pub fn record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(bytes) else { return };
    read_back(&record);
}

/// A lifecycle policy of ECR, a listing of a repository, or an inventory. Whatever they contain,
/// there is an answer.
pub fn lifecycle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (policy, listing, running) = &*LIFECYCLE;
    let answers = |policy: &LifecyclePolicy, listing: &Listing, running: &Answer| {
        let outlook = outlook(policy, listing, Some(running), 1, running.at);
        for goes in &outlook.going {
            assert!(listing.images.contains_key(&goes.digest));
            assert!(policy.rules().iter().any(|rule| rule.priority == goes.going.rule));
        }
    };
    match LifecyclePolicy::read(text) {
        Ok(policy) => {
            assert!(policy.rules().windows(2).all(|two| two[0].priority < two[1].priority));
            answers(&policy, listing, running);
        }
        Err(errors) => {
            let text = errors.to_string();
            assert!(!text.is_empty() && text.len() < LONGEST_ERROR, "{} bytes of errors", text.len());
        }
    }
    match Listing::parse(text) {
        Ok(listing) => answers(policy, &listing, running),
        Err(error) => assert!(error.len() < LONGEST_ERROR),
    }
    if let Ok(running) = serde_json::from_str::<Answer>(text) {
        read_back(&running);
        answers(policy, listing, &running);
    }
}

/// A document of a registry, as `discover` reads it.
pub fn document(bytes: &[u8]) {
    assert!(Document::read(bytes).names(true).len() <= 2_000);
    // A role's policy is JSON of others too.
    assert!(may_push(&[String::from_utf8_lossy(bytes).into_owned()]).len() <= bytes.len());
}

/// A Dockerfile that provenance carries.
pub fn dockerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let arguments = [("build-arg:BASE".to_owned(), "debian:13".to_owned())].into();
    for name in images_of_dockerfile(text, &arguments) {
        assert!(name.len() < 2_000, "{} bytes of a name", name.len());
    }
}

/// Names of images, versions, tags, platforms and findings, and spans of time.
pub fn name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    word::<Reference>(text);
    word::<ImageId>(text);
    word::<Repository>(text);
    word::<Digest>(text);
    word::<Tag>(text);
    word::<Platform>(text);
    word::<EcrRegistry>(text);
    word::<Span>(text);
    if let Ok(key) = FindingKey::try_from(text.to_owned()) {
        assert_eq!(FindingKey::try_from(String::from(key.clone())), Ok(key));
    }
}

fn word<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(word) = text.parse::<T>() {
        assert_eq!(word.to_string().parse::<T>().ok().as_ref(), Some(&word), "{text:?}");
    }
}

fn read_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<T>(&json).ok().as_ref(), Some(value));
}
