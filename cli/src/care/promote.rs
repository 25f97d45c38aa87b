//! `promote`: gives the version of one environment the tag of another.

use patchwave::finding::Scan;
use patchwave::image::keep_tag;
use patchwave::tags::{Evidence, Promote as Promotion, Target, Unfit, fitness, promotion};
use serde::Serialize;

use super::with_aws::Opened;
use crate::args::{Args, Promote};
use crate::confirm::agrees;
use crate::input::BadInput;
use crate::output::Answer;
use crate::render::{BAD, GOOD, paint, value};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Promoted {
    #[serde(flatten)]
    promotion: Promotion,
    /// Why the version may not be promoted.
    unfit: Vec<Unfit>,
    #[serde(rename = "promoted")]
    is_done: bool,
}

/// Promotes the version of one environment to another, if nothing speaks against it.
pub(crate) fn promote(args: &Args, options: &Promote) -> Result<Answer, BadInput> {
    let opened = Opened::open(args)?;
    let hierarchy = opened.care.hierarchy();
    let image = hierarchy.resolve(&options.image)?;
    let listing = opened.read(opened.care.listing(&image.repository))?;
    let target = Target { image, from: &options.from, to: &options.to };
    let promotion = promotion(hierarchy, target, &listing).map_err(|problem| BadInput::new(&problem))?;
    let mut evidence = Evidence::default();
    let now = opened.care.now();
    for (platform, scan) in opened.read(opened.care.scans(&image.repository, &promotion.digest))? {
        match scan {
            Scan::Complete { findings, .. } => {
                let counting = findings.iter().filter(|finding| image.policy.counts(finding, now));
                evidence.findings.extend(counting.map(|finding| finding.key.clone()));
            }
            other => evidence.unscanned.push(format!("{platform}: {}", because(&other))),
        }
    }
    evidence.signed = opened.read(opened.care.signed(&image.repository, &promotion.digest))?;
    let mut promoted = Promoted { unfit: fitness(&evidence), promotion, is_done: false };
    if promoted.unfit.is_empty() && !promoted.promotion.already {
        let Promotion { repository, digest, tag, .. } = &promoted.promotion;
        let question = format!("Tag {repository}@{} as {tag}?", digest.short());
        if agrees(options.yes, &question)? {
            let keep = keep_tag(&options.to, digest)
                .filter(|_| patchwave::lifecycle::keeps_tags(hierarchy, repository));
            opened.read(opened.care.promote(&promoted.promotion, keep.as_ref(), &options.by))?;
            promoted.is_done = true;
        }
    }
    let found = !promoted.unfit.is_empty();
    Ok(Answer::render(args.format, &promoted, text).with_findings(found))
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
    format!("{name}: {what}\n{reasons}")
}
