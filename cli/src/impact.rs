//! `impact`: what a rebuild of this image, or a new version of this upstream image, would rebuild;
//! or who has a vulnerability.

use std::fmt::{self, Write};

use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::policy::{Mode, Rebuild};
use serde::Serialize;

use crate::args::{Args, Format, Impact};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, NAME, STRONG, count, hanging, paint, some, written};
use crate::vulnerability;

/// How many ids of a wave the text shows; JSON lists all.
const SHOWN: usize = 12;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'h> {
    /// The image, or the upstream image as it was asked for.
    image: &'h str,
    #[serde(skip)]
    is_upstream: bool,
    /// The image itself, if it is not upstream's, and everything that is built on it, in build
    /// order.
    rebuilt: Vec<&'h ImageId>,
    waves: Vec<Vec<&'h ImageId>>,
    /// Those that Patchwave does not rebuild by itself.
    held: Vec<HeldBack<'h>>,
}

#[derive(Debug, Serialize)]
struct HeldBack<'h> {
    image: &'h ImageId,
    why: &'static str,
}

pub(crate) fn run(args: &Args, options: &Impact) -> Result<Answer, BadInput> {
    let what = &options.what;
    if vulnerability::is_id(what) || options.facts.is_some() {
        let observed = input::observed(args, options.facts.as_deref())?;
        if vulnerability::is_id(what) || vulnerability::is_listed(&observed.facts, what) {
            return Ok(vulnerability::impact(args.format, &observed, what));
        }
        return of_image(args.format, &observed.hierarchy, what);
    }
    of_image(args.format, &input::hierarchy(args)?, what)
}

/// Answers for an image of the hierarchy, or an upstream image.
fn of_image(format: Format, hierarchy: &Hierarchy, what: &str) -> Result<Answer, BadInput> {
    let answered = match hierarchy.resolve(what) {
        Ok(image) => impact(hierarchy, (image.id.as_str(), false), &[image])?,
        Err(unknown) => {
            let built_on = hierarchy.built_on_upstream(what);
            if built_on.is_empty() {
                return Err(unknown.into());
            }
            impact(hierarchy, (what, true), &built_on)?
        }
    };
    Ok(Answer::render(format, &answered, text))
}

fn impact<'h>(
    hierarchy: &'h Hierarchy,
    (image, is_upstream): (&'h str, bool),
    starts: &[&'h Image],
) -> Result<Answered<'h>, BadInput> {
    let below = hierarchy.query(starts.iter().map(|image| &image.id), Direction::Descendants)?.resolve();
    let waves = below.waves();
    Ok(Answered {
        image,
        is_upstream,
        rebuilt: below.ids().collect(),
        waves: waves.into_iter().map(|wave| wave.into_iter().map(|image| &image.id).collect()).collect(),
        held: below
            .iter()
            .filter_map(|image| Some(HeldBack { image: &image.id, why: held(image)? }))
            .collect(),
    })
}

/// Why Patchwave would not rebuild an image by itself, as far as the hierarchy says: in the order
/// and words of a plan.
fn held(image: &Image) -> Option<&'static str> {
    match (&image.pipeline, image.policy.rebuild, image.policy.mode) {
        (None, ..) => Some("NoPipeline"),
        (_, Rebuild::Approval, _) => Some("NeedsApproval"),
        (_, Rebuild::NextCommit, _) => Some("NextCommit"),
        (_, Rebuild::Never, _) => Some("Frozen"),
        (_, Rebuild::Auto, Mode::Observe) => Some("Observing"),
        (_, Rebuild::Auto, Mode::Enforce) => None,
    }
}

fn text(answered: &Answered<'_>) -> String {
    written(|text| write(answered, text))
}

fn write(answered: &Answered<'_>, text: &mut String) -> fmt::Result {
    let image = paint(STRONG, answered.image);
    let below = answered.rebuilt.len().saturating_sub(usize::from(!answered.is_upstream));
    if answered.is_upstream {
        let (below, waves) = (count(below, "image"), count(answered.waves.len(), "wave"));
        writeln!(text, "On {image} are built {below}, rebuilt in {waves}:")?;
        write_waves(answered, text)?;
    } else if below == 0 {
        writeln!(text, "A rebuild of {image} rebuilds nothing else: no image is built on it.")?;
    } else {
        let (below, waves) = (count(below, "image"), count(answered.waves.len(), "wave"));
        writeln!(text, "A rebuild of {image} rebuilds {below} below it, in {waves}:")?;
        write_waves(answered, text)?;
    }
    if !answered.held.is_empty() {
        let held = answered.held.iter().map(|held| format!("{} ({})", held.image, held.why));
        let held = format!("Patchwave does not start these by itself: {}", some(held, SHOWN));
        writeln!(text, "{}", paint(CAREFUL, hanging(2, 4, &held)))?;
    }
    Ok(())
}

fn write_waves(answered: &Answered<'_>, text: &mut String) -> fmt::Result {
    for (number, wave) in (1..).zip(&answered.waves) {
        let label = format!("wave {number}");
        let line = format!("{}  {}", paint(FAINT, label), paint(NAME, some(wave.iter(), SHOWN)));
        writeln!(text, "{}", hanging(2, 10, &line))?;
    }
    Ok(())
}
