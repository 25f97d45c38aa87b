//! The promises of every world: what registry, scanner, pipelines, bus and schedules answer after a
//! push, a moved tag, a deletion, a scan, a refusal, a start, a notice or a request for a tick.
//!
//! The same checks run on the simulator, on the fakes of the wire and on moto. What a world does
//! otherwise than AWS is listed where it is checked, with the reason.

use std::collections::BTreeSet;

use patchwave::facts::{Execution, PipelineFacts, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Image, Variable};
use patchwave::image::Digest;
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::record::Claim;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Found, ManifestAt, NotStarted, World};
use serde_json::json;

const KEY: &str = "00112233445566778899aabbccddeeff00112233";

/// A world, and what others do in it.
pub trait TestBed {
    /// The world whose answers are checked.
    type World: World;

    /// Returns the world.
    fn world(&self) -> &Self::World;

    /// Returns an image with stable tags and a pipeline. Its repository exists.
    fn image(&self) -> &Image;

    /// Returns an image that has neither a repository nor a pipeline.
    fn stranger(&self) -> &Image;

    /// Pushes the `n`th version of the image with its tags.
    fn push(&self, n: u32) -> impl Future<Output = Digest>;

    /// Moves the tags of the image back to a version.
    fn put_back(&self, version: &Digest) -> impl Future<Output = ()>;

    /// Deletes a version of the image.
    fn delete(&self, version: &Digest) -> impl Future<Output = ()>;

    /// Completes the scans of a version of the image.
    fn scan(&self, version: &Digest) -> impl Future<Output = ()>;

    /// Refuses to read the registry and to take notices from now on.
    fn refuse(&self) -> impl Future<Output = ()>;

    /// Returns the ids of the notices that reached the bus, in any order.
    fn notices(&self) -> impl Future<Output = Vec<String>>;

    /// Returns how many extra ticks are scheduled.
    fn rechecks(&self) -> impl Future<Output = usize>;
}

/// Something that AWS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    APushIsCurrent,
    AMovedTagIsCurrent,
    ADeletedVersionIsGone,
    HistoryIsNewestFirst,
    AnUnknownDigestHidesNoOther,
    APlatformNamesItsVersion,
    AnUnknownRepositoryIsNamed,
    ARefusedReadIsNoAnswer,
    AScanCompletes,
    WhatIsNotThereIsNotClean,
    ADeclarationNamesTheVariables,
    AnUnknownPipelineIsNotFound,
    AnExecutionIsFoundByIdAndByKey,
    ATokenStartsOneExecution,
    AnUnknownExecutionIsNotFound,
    ANoticeArrivesOnce,
    ARefusedNoticeIsNotSent,
    RechecksOfOneMinuteAreOne,
}

/// A promise that a world does not keep, and why that is so.
pub type Lie = (Promise, &'static str);

/// Checks all promises, each on a world of its own. Those of `lies` must be broken.
///
/// # Panics
///
/// If a promise is broken, or one of `lies` is kept.
pub async fn check<S: TestBed>(bed: impl AsyncFn() -> S, lies: &[Lie]) {
    let mut wrong = Vec::new();
    for promise in Promise::ALL {
        let known = lies.iter().find(|(lie, _)| *lie == promise);
        match (promise.check(&bed().await).await, known) {
            (Err(broken), None) => wrong.push(format!("{promise:?}: {broken}")),
            (Ok(()), Some((_, because))) => {
                wrong.push(format!("{promise:?} is kept now, and is listed as broken: {because}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

type Kept = Result<(), String>;

fn expect(holds: bool, answer: impl std::fmt::Debug) -> Kept {
    if holds { Ok(()) } else { Err(format!("the answer is {answer:?}")) }
}

impl Promise {
    /// All promises.
    pub const ALL: [Self; 18] = [
        Self::APushIsCurrent,
        Self::AMovedTagIsCurrent,
        Self::ADeletedVersionIsGone,
        Self::HistoryIsNewestFirst,
        Self::AnUnknownDigestHidesNoOther,
        Self::APlatformNamesItsVersion,
        Self::AnUnknownRepositoryIsNamed,
        Self::ARefusedReadIsNoAnswer,
        Self::AScanCompletes,
        Self::WhatIsNotThereIsNotClean,
        Self::ADeclarationNamesTheVariables,
        Self::AnUnknownPipelineIsNotFound,
        Self::AnExecutionIsFoundByIdAndByKey,
        Self::ATokenStartsOneExecution,
        Self::AnUnknownExecutionIsNotFound,
        Self::ANoticeArrivesOnce,
        Self::ARefusedNoticeIsNotSent,
        Self::RechecksOfOneMinuteAreOne,
    ];

    async fn check<S: TestBed>(self, bed: &S) -> Kept {
        match self {
            Self::APushIsCurrent => a_push_is_current(bed).await,
            Self::AMovedTagIsCurrent => a_moved_tag_is_current(bed).await,
            Self::ADeletedVersionIsGone => a_deleted_version_is_gone(bed).await,
            Self::HistoryIsNewestFirst => history_is_newest_first(bed).await,
            Self::AnUnknownDigestHidesNoOther => an_unknown_digest_hides_no_other(bed).await,
            Self::APlatformNamesItsVersion => a_platform_names_its_version(bed).await,
            Self::AnUnknownRepositoryIsNamed => an_unknown_repository_is_named(bed).await,
            Self::ARefusedReadIsNoAnswer => a_refused_read_is_no_answer(bed).await,
            Self::AScanCompletes => a_scan_completes(bed).await,
            Self::WhatIsNotThereIsNotClean => what_is_not_there_is_not_clean(bed).await,
            Self::ADeclarationNamesTheVariables => a_declaration_names_the_variables(bed).await,
            Self::AnUnknownPipelineIsNotFound => an_unknown_pipeline_is_not_found(bed).await,
            Self::AnExecutionIsFoundByIdAndByKey => an_execution_is_found_by_id_and_by_key(bed).await,
            Self::ATokenStartsOneExecution => a_token_starts_one_execution(bed).await,
            Self::AnUnknownExecutionIsNotFound => an_unknown_execution_is_not_found(bed).await,
            Self::ANoticeArrivesOnce => a_notice_arrives_once(bed).await,
            Self::ARefusedNoticeIsNotSent => a_refused_notice_is_not_sent(bed).await,
            Self::RechecksOfOneMinuteAreOne => rechecks_of_one_minute_are_one(bed).await,
        }
    }
}

/// A digest of nothing.
fn nothing() -> Digest {
    format!("sha256:{:064x}", 0xdead).parse().expect("a digest")
}

fn at<S: TestBed>(bed: &S, digest: &Digest) -> ManifestAt {
    (bed.image().repository.clone(), digest.clone())
}

async fn current<S: TestBed>(bed: &S, image: &Image) -> Result<Found, String> {
    let answer = bed.world().currents(&[image]).await.remove(&image.id);
    answer.ok_or("there is no answer")?.map_err(|fault| fault.to_string())
}

async fn version<S: TestBed>(bed: &S, digest: &Digest) -> Result<Option<Version>, String> {
    let at = at(bed, digest);
    let answer = bed.world().versions(&BTreeSet::from([at.clone()])).await.remove(&at);
    answer.ok_or("there is no answer")?.map_err(|fault| fault.to_string())
}

async fn a_push_is_current<S: TestBed>(bed: &S) -> Kept {
    bed.push(1).await;
    let second = bed.push(2).await;
    let found = current(bed, bed.image()).await?;
    let is_it = matches!(&found, Found::Version(v) if v.digest == second && !v.platforms.is_empty());
    expect(is_it, found)
}

async fn a_moved_tag_is_current<S: TestBed>(bed: &S) -> Kept {
    let first = bed.push(1).await;
    bed.push(2).await;
    bed.put_back(&first).await;
    let found = current(bed, bed.image()).await?;
    expect(matches!(&found, Found::Version(version) if version.digest == first), found)
}

async fn a_deleted_version_is_gone<S: TestBed>(bed: &S) -> Kept {
    bed.push(1).await;
    let second = bed.push(2).await;
    bed.delete(&second).await;
    let gone = version(bed, &second).await?;
    expect(gone.is_none(), gone)?;
    let found = current(bed, bed.image()).await?;
    expect(found == Found::Absent, found)
}

async fn history_is_newest_first<S: TestBed>(bed: &S) -> Kept {
    let (first, second) = (bed.push(1).await, bed.push(2).await);
    let repository = bed.image().repository.clone();
    let answer = bed.world().history(&BTreeSet::from([repository.clone()])).await.remove(&repository);
    let history = answer.ok_or("there is no answer")?.map_err(|fault| fault.to_string())?;
    let digests = history.into_iter().map(|version| version.digest);
    let pushed: Vec<Digest> = digests.filter(|digest| [&first, &second].contains(&digest)).collect();
    expect(pushed == [second, first], pushed)
}

async fn an_unknown_digest_hides_no_other<S: TestBed>(bed: &S) -> Kept {
    let first = bed.push(1).await;
    let (known, unknown) = (at(bed, &first), at(bed, &nothing()));
    let mut found = bed.world().versions(&BTreeSet::from([known.clone(), unknown.clone()])).await;
    let answers = (found.remove(&known), found.remove(&unknown));
    expect(matches!(answers, (Some(Ok(Some(_))), Some(Ok(None)))), answers)
}

async fn a_platform_names_its_version<S: TestBed>(bed: &S) -> Kept {
    let first = bed.push(1).await;
    let whole = version(bed, &first).await?.ok_or("the version is not there")?;
    let platform = whole.platforms.into_values().next().ok_or("it has no platform")?;
    let named = version(bed, &platform.digest).await?;
    expect(named.as_ref().is_some_and(|version| version.is_named_by(&platform.digest)), named)
}

async fn an_unknown_repository_is_named<S: TestBed>(bed: &S) -> Kept {
    let found = current(bed, bed.stranger()).await?;
    expect(matches!(found, Found::NoRepository(_)), found)
}

async fn a_refused_read_is_no_answer<S: TestBed>(bed: &S) -> Kept {
    let first = bed.push(1).await;
    bed.refuse().await;
    let answers = (current(bed, bed.image()).await, version(bed, &first).await);
    expect(matches!(answers, (Err(_), Err(_))), answers)
}

async fn scans<S: TestBed>(bed: &S, digests: impl IntoIterator<Item = Digest>) -> Vec<Scan> {
    let wanted = digests.into_iter().map(|digest| at(bed, &digest)).collect();
    bed.world().scans(&wanted).await.into_values().collect()
}

async fn a_scan_completes<S: TestBed>(bed: &S) -> Kept {
    let first = bed.push(1).await;
    bed.scan(&first).await;
    let whole = version(bed, &first).await?.ok_or("the version is not there")?;
    let found = scans(bed, whole.platforms.into_values().map(|manifest| manifest.digest)).await;
    let is_complete = |scan: &Scan| matches!(scan, Scan::Complete { .. });
    expect(!found.is_empty() && found.iter().all(is_complete), found)
}

async fn what_is_not_there_is_not_clean<S: TestBed>(bed: &S) -> Kept {
    bed.push(1).await;
    let found = scans(bed, [nothing()]).await;
    expect(matches!(found[..], [Scan::Missing | Scan::Unread(_)]), found)
}

/// A start of the pipeline of an image.
fn start(image: &Image) -> Start {
    let pipeline = image.pipeline.as_ref().map_or("none", |pipeline| pipeline.name.as_str());
    let now = "2026-01-01T12:00:00Z";
    let start = json!({
        "image": image.id, "pipeline": pipeline, "key": KEY, "attempt": 1, "reasons": [], "since": now,
        "variables": { Variable::BuildKey.name(): KEY }, "parents": {}, "toProve": [], "inputs": "",
        "noCache": true, "due": now,
    });
    serde_json::from_value(start).expect("a start")
}

/// The claim of the start, as it is written just before it.
fn claim<S: TestBed>(bed: &S, execution: Option<&str>) -> Claim {
    let now = bed.world().now();
    let claim = json!({
        "owner": "o", "claimedAt": now, "leaseUntil": now, "start": start(bed.image()), "execution": execution,
    });
    serde_json::from_value(claim).expect("a claim")
}

async fn declared<S: TestBed>(bed: &S, image: &Image) -> Result<PipelineFacts, String> {
    bed.world().pipelines(&[&start(image)]).await.remove(&image.id).ok_or("there is no answer".to_owned())
}

async fn a_declaration_names_the_variables<S: TestBed>(bed: &S) -> Kept {
    let facts = declared(bed, bed.image()).await?;
    let key = Variable::BuildKey.name();
    let is_it = matches!(&facts, PipelineFacts::Declared(it) if it.variables.contains_key(key));
    expect(is_it, facts)
}

async fn an_unknown_pipeline_is_not_found<S: TestBed>(bed: &S) -> Kept {
    let facts = declared(bed, bed.stranger()).await?;
    expect(facts == PipelineFacts::NotFound, facts)?;
    let started = bed.world().start(&start(bed.stranger())).await;
    expect(matches!(started, Err(NotStarted::Refused(_))), started)
}

async fn begin<S: TestBed>(bed: &S) -> Result<String, String> {
    bed.world().start(&start(bed.image())).await.map_err(|error| error.to_string())
}

async fn an_execution_is_found_by_id_and_by_key<S: TestBed>(bed: &S) -> Kept {
    let unconfirmed = claim(bed, None);
    let started = begin(bed).await?;
    for claim in [claim(bed, Some(&started)), unconfirmed] {
        let found = bed.world().execution(&claim).await;
        expect(matches!(&found, Execution::Found { id, .. } if *id == started), found)?;
    }
    Ok(())
}

async fn a_token_starts_one_execution<S: TestBed>(bed: &S) -> Kept {
    let started = [begin(bed).await?, begin(bed).await?];
    expect(started[0] == started[1], started)
}

async fn an_unknown_execution_is_not_found<S: TestBed>(bed: &S) -> Kept {
    let found = bed.world().execution(&claim(bed, Some("00000000-0000-4000-8000-00000000dead"))).await;
    expect(found == Execution::NotFound, found)
}

/// More notices than one call of EventBridge takes.
fn some_notices() -> Vec<Notice> {
    let notice = |n: u32| {
        json!({
            "id": format!("notice {n:02}"), "revision": 1, "state": "opened", "rootCause": "vulnerable",
            "image": "base/os", "tier": "base", "since": "2026-01-01T12:00:00Z", "needs": ["a commit"],
            "findingCount": 1, "affectedImages": 1,
        })
    };
    (0..12).map(|n| serde_json::from_value(notice(n)).expect("a notice")).collect()
}

async fn a_notice_arrives_once<S: TestBed>(bed: &S) -> Kept {
    let notices = some_notices();
    let answers = bed.world().notify(&notices).await;
    expect(answers.len() == notices.len() && answers.iter().all(Result::is_ok), answers)?;
    let mut arrived = bed.notices().await;
    arrived.sort();
    expect(notices.iter().map(|notice| &notice.id).eq(&arrived), arrived)
}

async fn a_refused_notice_is_not_sent<S: TestBed>(bed: &S) -> Kept {
    bed.refuse().await;
    let answers = bed.world().notify(&some_notices()).await;
    let arrived = bed.notices().await;
    expect(answers.iter().all(Result::is_err) && arrived.is_empty(), (answers, arrived))
}

async fn rechecks_of_one_minute_are_one<S: TestBed>(bed: &S) -> Kept {
    // The first second of a minute that is still ahead.
    let now = bed.world().now().as_second().div_euclid(60) * 60;
    let at = Span::minutes(10).after(Timestamp::from_second(now).map_err(|error| error.to_string())?);
    let mut scheduled = Vec::new();
    for seconds in [1, 59, 60, 61] {
        let asked = bed.world().recheck(Span::seconds(seconds).after(at)).await;
        asked.map_err(|fault| fault.to_string())?;
        scheduled.push(bed.rechecks().await);
    }
    expect(scheduled == [1, 1, 1, 2], scheduled)
}
