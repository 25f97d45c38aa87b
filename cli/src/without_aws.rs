//! Takes the place of `deployment.rs` in a build without the AWS SDK: says how to get one with it.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::registry::Configured;
use patchwave_converge::StuckSlot;

use crate::args::{Args, Decide, Discover, Verb};
use crate::discover::Read;
use crate::doctor::Looked;
use crate::input::{BadInput, Observed};
use crate::intervene::Decided;
use crate::inventory::Known;

pub(crate) fn observe(args: &Args) -> Result<Observed, BadInput> {
    let or = match args.verb {
        Verb::Observe => None,
        _ => Some("Or name a snapshot of facts: --facts FILE"),
    };
    Err(needs_aws(args, or))
}

pub(crate) fn look(args: &Args) -> Result<Looked, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn configured(args: &Args, _: &str) -> Result<Option<(Hierarchy, Configured)>, BadInput> {
    Err(needs_aws(args, Some("Or name what it is: --configured FILE")))
}

pub(crate) fn intervene<'a>(args: &Args, _: &'a Decide, _: Intervention) -> Result<Decided<'a>, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn stuck_slots(args: &Args) -> Result<Vec<StuckSlot>, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn free_stuck_slot(args: &Args, _: &ImageId) -> Result<StuckSlot, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn inventory(args: &Args) -> Result<Known, BadInput> {
    Err(needs_aws(args, Some("Or name a survey and a snapshot of facts: --survey FILE --facts FILE")))
}

pub(crate) fn discover(args: &Args, _: &Discover) -> Result<Read, BadInput> {
    Err(needs_aws(args, Some("Or name a file with what was read: --documents FILE")))
}

pub(crate) fn needs_aws(args: &Args, or: Option<&str>) -> BadInput {
    let verb = args.verb.name();
    let missing =
        format!("`patchwave {verb}` reads from AWS, and this build has no AWS SDK. Install one that has:");
    let install = "  cargo install --path cli --features aws";
    BadInput::all([&missing, install].into_iter().chain(or).map(str::to_owned))
}
