//! The deployment that the environment variables name; the functions read the same variables.

use patchwave::facts::Facts;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave_aws::settings::Source;
use patchwave_aws::{ActedOn, Intervened, Inventoried, NotDone};
use patchwave_converge::StuckSlot;

use crate::args::{Args, Decide};
use crate::input::{self, BadInput};
use crate::intervene::Decided;
use crate::inventory::Known;
use crate::progress;

/// Reads everything that a plan needs.
pub(crate) fn snapshot(args: &Args) -> Result<Facts, BadInput> {
    ask(patchwave_aws::snapshot(hierarchy(args)?))
}

/// Writes a person's decision.
pub(crate) fn intervene<'a>(
    args: &Args,
    decide: &'a Decide,
    decision: Intervention,
) -> Result<Decided<'a>, BadInput> {
    let intervened = patchwave_aws::intervene(hierarchy(args)?, &decide.image, decision, &decide.by);
    let Intervened { image, acted_on, accepted_revision } = ask(intervened)?;
    let (recheck, no_recheck) = match acted_on {
        ActedOn::AtRecheck => (true, None),
        ActedOn::AtNextTick(because) => (false, because.map(|fault| fault.to_string())),
    };
    let image = image.to_string();
    Ok(Decided { image, decision, by: &decide.by, accepted_revision, recheck, no_recheck })
}

/// Lists the slots that are stuck.
pub(crate) fn stuck_slots(args: &Args) -> Result<Vec<StuckSlot>, BadInput> {
    ask(patchwave_aws::stuck_slots(hierarchy(args)?))
}

/// Gives a stuck slot back.
pub(crate) fn free_stuck_slot(args: &Args, image: &ImageId) -> Result<StuckSlot, BadInput> {
    ask(patchwave_aws::free_stuck_slot(hierarchy(args)?, image))
}

/// Reads the inventory from the table.
pub(crate) fn inventory(args: &Args) -> Result<Known, BadInput> {
    let show = |entries| progress::show(&format!("{entries} entries read"));
    let read = ask(patchwave_aws::inventory(hierarchy(args)?, show));
    progress::show("");
    let Inventoried { hierarchy, inventory, now } = read?;
    Ok(Known { hierarchy: (*hierarchy).clone(), inventory, now })
}

/// Reads and checks a file here, so that its errors read as those of every other verb.
pub(crate) fn hierarchy(args: &Args) -> Result<Option<Source>, BadInput> {
    match &args.hierarchy {
        None => Ok(None),
        Some(file) if input::is_on_s3(file) => {
            let source = Source::named(file.to_string_lossy().into_owned());
            source.map(Some).map_err(|error| BadInput::because(&error))
        }
        Some(file) => {
            let (name, yaml) = (input::name(file), input::text(file)?);
            input::parse(&name, &yaml)?;
            Ok(Some(Source::Text { name, yaml }))
        }
    }
}

/// Asks AWS, and waits for the answer.
fn ask<T>(question: impl Future<Output = Result<T, NotDone>>) -> Result<T, BadInput> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BadInput::because(&error))?;
    runtime.block_on(question).map_err(|not_done| BadInput::because(&not_done))
}
