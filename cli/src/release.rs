//! `release`: a person releases an image, lists the slots that are stuck, or gives one back.

use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave_converge::StuckSlot;
use serde::Serialize;

use crate::args::{Args, Decide, Release};
use crate::confirm::agrees;
use crate::deployment;
use crate::input::BadInput;
use crate::intervene;
use crate::output::Answer;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Slots {
    stuck: Vec<StuckSlot>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Freed {
    freed: StuckSlot,
}

pub(crate) fn run(args: &Args, release: &Release) -> Result<Answer, BadInput> {
    match (&release.image, &release.slot) {
        (Some(image), _) if release.by.is_empty() => {
            Err(BadInput::new(format!("say who releases {image}: --by NAME")))
        }
        (Some(image), _) => {
            let decide = Decide { image: image.clone(), by: release.by.clone() };
            intervene::run(args, &decide, Intervention::Release)
        }
        (None, Some(image)) => free(args, image, release.yes),
        (None, None) => list(args),
    }
}

fn list(args: &Args) -> Result<Answer, BadInput> {
    let slots = Slots { stuck: deployment::stuck_slots(args)? };
    let found = !slots.stuck.is_empty();
    Ok(Answer::render(args.format, &slots, text).with_findings(found))
}

fn text(slots: &Slots) -> String {
    let Some(first) = slots.stuck.first() else { return "No slot is stuck.\n".to_owned() };
    let lines = slots.stuck.iter().map(|slot| format!("  {}: {}\n", slot.image, slot.because));
    let lines: String = lines.collect();
    format!(
        "No pass gives these slots back:\n{lines}To give one back: patchwave release --slot {}\n",
        first.image
    )
}

fn free(args: &Args, image: &ImageId, yes: bool) -> Result<Answer, BadInput> {
    if !agrees(yes, &format!("Give the slot of {image} back? No build of it may run."))? {
        return Ok(Answer::new(format!("The slot of {image} stays as it is.\n")));
    }
    let freed = Freed { freed: deployment::free_stuck_slot(args, image)? };
    Ok(Answer::render(args.format, &freed, |freed| format!("The slot of {} is free.\n", freed.freed.image)))
}
