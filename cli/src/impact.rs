//! `impact`: what would be rebuilt if this image were.

use std::fmt::{self, Write};

use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::policy::{Mode, Rebuild};
use serde::Serialize;

use crate::args::{Args, Impact};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, NAME, STRONG, count, paint, some, written};

/// How many ids of a wave the text shows; JSON lists all.
const SHOWN: usize = 12;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'h> {
    image: &'h ImageId,
    /// The image itself and everything that is built on it, in build order.
    rebuilt: Vec<&'h ImageId>,
    waves: Vec<Vec<&'h ImageId>>,
    /// Those among them that their policy keeps from being rebuilt by itself.
    held: Vec<HeldBack<'h>>,
}

#[derive(Debug, Serialize)]
struct HeldBack<'h> {
    image: &'h ImageId,
    why: &'static str,
}

pub(crate) fn run(args: &Args, options: &Impact) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let image = hierarchy.resolve(&options.image)?;
    let answered = impact(&hierarchy, image)?;
    Ok(Answer::render(args.format, &answered, text))
}

fn impact<'h>(hierarchy: &'h Hierarchy, image: &'h Image) -> Result<Answered<'h>, BadInput> {
    let below = hierarchy.query([&image.id], Direction::Descendants)?.resolve();
    let waves = below.waves();
    Ok(Answered {
        image: &image.id,
        rebuilt: below.ids().collect(),
        waves: waves.into_iter().map(|wave| wave.into_iter().map(|image| &image.id).collect()).collect(),
        held: below
            .iter()
            .filter_map(|image| Some(HeldBack { image: &image.id, why: held(image)? }))
            .collect(),
    })
}

/// Why an image would not be rebuilt by itself, as far as the hierarchy alone tells: in the order and words of a plan.
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
    writeln!(
        text,
        "A rebuild of {} rebuilds {} below it, in {}:",
        paint(STRONG, answered.image),
        count(answered.rebuilt.len().saturating_sub(1), "image"),
        count(answered.waves.len(), "wave"),
    )?;
    for (number, wave) in (1..).zip(&answered.waves) {
        let label = format!("wave {number}");
        writeln!(text, "  {}  {}", paint(FAINT, label), paint(NAME, some(wave.iter(), SHOWN)))?;
    }
    if !answered.held.is_empty() {
        let held = answered.held.iter().map(|held| format!("{} ({})", held.image, held.why));
        let held = format!("held by policy: {}", some(held, SHOWN));
        writeln!(text, "  {}", paint(CAREFUL, held))?;
    }
    Ok(())
}
