//! Takes the place of `with_aws.rs` in a build without the AWS SDK.

use patchwave::image::Repository;
use patchwave::tags::KnownTags;
use std::collections::BTreeMap;

use crate::args::{Approve, Args, LifecycleApply, LifecyclePreview, LifecycleUndo, Promote, TagsKeep};
use crate::deployment::needs_aws;
use crate::input::BadInput;
use crate::lifecycle::plan::Known;
use crate::output::Answer;

const FILES: Option<&str> = Some("Or name what the AWS command line prints: --images FILE");

pub(crate) fn known(args: &Args) -> Result<Known, BadInput> {
    Err(needs_aws(args, FILES))
}

pub(crate) fn tags(args: &Args) -> Result<BTreeMap<Repository, Result<KnownTags, String>>, BadInput> {
    Err(needs_aws(args, FILES))
}

pub(crate) fn preview(args: &Args, _: &LifecyclePreview) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn apply(args: &Args, _: &LifecycleApply) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn undo(args: &Args, _: &LifecycleUndo) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn keep(args: &Args, _: &TagsKeep) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn approve(args: &Args, _: &Approve, _: (&str, &str)) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}

pub(crate) fn promote(args: &Args, _: &Promote) -> Result<Answer, BadInput> {
    Err(needs_aws(args, None))
}
