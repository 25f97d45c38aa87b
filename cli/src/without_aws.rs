//! Takes the place of `deployment.rs` in a build without the AWS SDK: says how to get one with it.

use patchwave::facts::Facts;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave_converge::StuckSlot;

use crate::args::{Args, Decide, Discover};
use crate::discover::Read;
use crate::input::BadInput;
use crate::intervene::Decided;
use crate::inventory::Known;

pub(crate) fn snapshot(args: &Args) -> Result<Facts, BadInput> {
    Err(needs_aws(args, ""))
}

pub(crate) fn intervene<'a>(args: &Args, _: &'a Decide, _: Intervention) -> Result<Decided<'a>, BadInput> {
    Err(needs_aws(args, ""))
}

pub(crate) fn stuck_slots(args: &Args) -> Result<Vec<StuckSlot>, BadInput> {
    Err(needs_aws(args, ""))
}

pub(crate) fn free_stuck_slot(args: &Args, _: &ImageId) -> Result<StuckSlot, BadInput> {
    Err(needs_aws(args, ""))
}

pub(crate) fn inventory(args: &Args) -> Result<Known, BadInput> {
    Err(needs_aws(args, "\nOr name a survey and a snapshot of facts: --survey FILE --facts FILE"))
}

pub(crate) fn discover(args: &Args, _: &Discover) -> Result<Read, BadInput> {
    Err(lacks_sdk(args, "reads AWS", "\nOr name a file with what was read: --documents FILE"))
}

fn needs_aws(args: &Args, or: &str) -> BadInput {
    lacks_sdk(args, "works on a deployment", or)
}

fn lacks_sdk(args: &Args, does: &str, or: &str) -> BadInput {
    BadInput::because(&format!(
        "`patchwave {}` {does}, and this build has no AWS SDK. Install one that has:\n  \
         cargo install --path cli --features aws{or}",
        args.verb.name()
    ))
}
