//! `promote`: gives the version of one environment the tag of another, and copies it to that one's
//! repository if it has one. `approve` with `--to` lets it.

use patchwave::finding::Scan;
use patchwave::hierarchy::{Image, Stage};
use patchwave::image::{Digest, keep_tag};
use patchwave::lifecycle::Listing;
use patchwave::policy::Promoting;
use patchwave::tags::{Evidence, Places, Promote as Promotion, Target, Unfit, fitness, promotion};
use patchwave_aws::care::Amount;
use serde::Serialize;

use super::with_aws::Opened;
use crate::args::{Approve, Args, Promote};
use crate::confirm::agrees;
use crate::input::BadInput;
use crate::output::Answer;
use crate::progress;
use crate::render::{BAD, FAINT, GOOD, paint, value};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Promoted {
    #[serde(flatten)]
    promotion: Promotion,
    /// Why the version may not be promoted.
    unfit: Vec<Unfit>,
    /// Whether a signature was asked for. The registry's own signing is the only one that is known.
    signature_checked: bool,
    #[serde(rename = "promoted")]
    is_done: bool,
    /// What was copied; what was there already is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    copied: Option<Copied>,
}

#[derive(Debug, Serialize)]
struct Copied {
    manifests: u64,
    blobs: u64,
    bytes: u64,
    mounted: u64,
}

impl From<Amount> for Copied {
    fn from(Amount { manifests, blobs, bytes, mounted }: Amount) -> Self {
        Self { manifests, blobs, bytes, mounted }
    }
}

/// What is promoted where.
struct Found<'f> {
    image: &'f Image,
    /// Where it lies now.
    source: Stage,
    /// Where it is to lie.
    stage: Stage,
    promotion: Promotion,
}

fn find<'f>(opened: &'f Opened, image: &str, (from, to): (&str, &str)) -> Result<Found<'f>, BadInput> {
    let hierarchy = opened.care.hierarchy();
    let image = hierarchy.resolve(image)?;
    let [source, stage] = [from, to].map(|environment| hierarchy.stage(&image.repository, environment));
    progress::show(&format!("reading {}", source.repository));
    let listing = opened.read(opened.care.listing(&source.repository))?;
    let is_copied = source.repository != stage.repository;
    let there = if is_copied { opened.read(opened.care.listing_at(&stage))? } else { Listing::default() };
    progress::show("");
    let held = if is_copied { &there } else { &listing };
    let places = Places { from: (&source.repository, &listing), to: (&stage.repository, held) };
    let promotion = promotion(hierarchy, Target { image, from, to }, places);
    let promotion = promotion.map_err(|problem| BadInput::new(&problem))?;
    Ok(Found { image, source, stage, promotion })
}

/// Promotes the version of one environment to another, if nothing speaks against it.
pub(crate) fn promote(args: &Args, options: &Promote) -> Result<Answer, BadInput> {
    let opened = Opened::open(args)?;
    let found = find(&opened, &options.image, (&options.from, &options.to))?;
    let evidence = evidence(&opened, &found, &options.to)?;
    let mut promoted = Promoted {
        unfit: fitness(&evidence),
        signature_checked: evidence.signed.is_some(),
        promotion: found.promotion,
        is_done: false,
        copied: None,
    };
    let Promotion { repository, digest, tag, copy, already, .. } = &promoted.promotion;
    if promoted.unfit.is_empty() && !already {
        let question = match copy {
            None => format!("Tag {repository}@{} as {tag}?", digest.short()),
            Some(copy) => {
                let (short, from) = (digest.short(), &copy.from);
                format!("Copy {from}@{short} to {repository} and tag it {tag}?")
            }
        };
        if agrees(options.yes, &question)? {
            let keeps = patchwave::lifecycle::keeps_tags(opened.care.hierarchy(), repository);
            let keep = keep_tag(&options.to, digest).filter(|_| keeps);
            progress::show(&format!("promoting to {repository}"));
            let done = opened.care.promote(&promoted.promotion, &found.stage, keep.as_ref(), &options.by);
            let copied = opened.read(done);
            progress::show("");
            promoted.copied = Some(copied?.into()).filter(|_| copy.is_some());
            promoted.is_done = true;
        }
    }
    let unfit = !promoted.unfit.is_empty();
    Ok(Answer::render(args.format, &promoted, text).with_findings(unfit))
}

/// Reads everything that may speak against a version.
fn evidence(opened: &Opened, found: &Found<'_>, to: &str) -> Result<Evidence, BadInput> {
    let (care, image, digest) = (&opened.care, found.image, &found.promotion.digest);
    let mut evidence = Evidence::default();
    let now = care.now();
    for (platform, scan) in opened.read(care.scans(&found.source.repository, digest))? {
        match scan {
            Scan::Complete { findings, .. } => {
                let counting = findings.iter().filter(|finding| image.policy.counts(finding, now));
                evidence.findings.extend(counting.map(|finding| finding.key.clone()));
            }
            other => evidence.unscanned.push(format!("{platform}: {}", because(&other))),
        }
    }
    let decided = opened.wait(care.decided(image, (to, digest)));
    let (is_approved, unproved) = decided.map_err(|problem| BadInput::because(&problem))?;
    evidence.unproved = unproved.into_iter().collect();
    evidence.approved = Some(is_approved).filter(|_| image.policy.promotion == Promoting::Approval);
    evidence.signed = opened.read(care.signed(&found.source.repository, digest))?;
    Ok(evidence)
}

fn because(scan: &Scan) -> String {
    match scan {
        Scan::Pending => "the scan is under way".to_owned(),
        Scan::Failed(because) => format!("the scan failed: {because}"),
        Scan::Unsupported(because) => format!("the scanner cannot scan it: {because}"),
        Scan::Expired => "the scanner no longer watches it".to_owned(),
        Scan::Unread(unread) => format!("the scan was not read: {unread}"),
        _ => "it was never scanned".to_owned(),
    }
}

fn text(promoted: &Promoted) -> String {
    let Promotion { repository, digest, tag, already, .. } = &promoted.promotion;
    let name = format!("{}@{} as {tag}", value(repository.as_str()), digest.short());
    let reason = |Unfit(because): &Unfit| format!("  {} {}\n", paint(BAD, "not fit"), value(because));
    let reasons = promoted.unfit.iter().fold(String::new(), |reasons, unfit| reasons + &reason(unfit));
    let what = match (promoted.is_done, already, promoted.unfit.is_empty()) {
        (true, ..) => paint(GOOD, "promoted"),
        (_, true, true) => paint(GOOD, "already so"),
        _ => "not promoted".to_owned(),
    };
    let copied = promoted.copied.as_ref().map_or_else(String::new, |copied| {
        let Copied { manifests, blobs, bytes, mounted } = copied;
        let shared = if *mounted == 0 { String::new() } else { format!("; {mounted} blobs mounted") };
        format!("  copied: {manifests} manifests, {blobs} blobs, {bytes} bytes{shared}\n")
    });
    let unsigned = "  signature: not checked, because the registry signs nothing here\n";
    let unsigned = if promoted.signature_checked { "" } else { unsigned };
    format!("{name}: {what}\n{reasons}{copied}{}", paint(FAINT, unsigned))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Approved<'a> {
    image: String,
    digest: Digest,
    environment: &'a str,
    by: &'a str,
}

/// Records that a person approves the version of one environment for another.
pub(crate) fn approve(
    args: &Args,
    options: &Approve,
    environments: (&str, &str),
) -> Result<Answer, BadInput> {
    let opened = Opened::open(args)?;
    let found = find(&opened, &options.decide.image, environments)?;
    let digest = found.promotion.digest;
    let (environment, by) = (environments.1, options.decide.by.as_str());
    let written = opened.wait(opened.care.approve(found.image, (environment, &digest), by));
    written.map_err(|problem| BadInput::because(&problem))?;
    let approved = Approved { image: found.image.id.to_string(), digest, environment, by };
    Ok(Answer::render(args.format, &approved, |approved| {
        let Approved { image, digest, environment, .. } = approved;
        format!("Recorded: {image} {} may be promoted to {}.\n", digest.short(), value(environment))
    }))
}
