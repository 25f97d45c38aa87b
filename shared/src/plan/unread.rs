//! What a decision about an image needs and could not be read.

use std::collections::BTreeSet;

use super::built_on::built_on;
use super::context::Context;
use super::pipeline;
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::unread::Unread;

/// Says why it is not known which version of a parent the image was built on.
pub(super) fn unread_base(context: &Context<'_>, image: &Image) -> Option<Unread> {
    context.hierarchy.parents(&image.id).find_map(|parent| {
        let unread = built_on(context, image, parent).err()?;
        let because = format!("which version of {} it was built on is not known: {unread}", parent.image.id);
        Some(Unread { because, ..unread.clone() })
    })
}

/// Says why a parent whose scan the image needs could not be read.
pub(super) fn unread_parent(context: &Context<'_>, parents: &BTreeSet<&ImageId>) -> Option<Unread> {
    parents.iter().find_map(|parent| {
        let unread = context.unread_content(parent).next()?;
        let because = format!("whether {parent} still has its findings is not known: {unread}");
        Some(Unread { because, ..unread.clone() })
    })
}

/// Returns everything that a decision about the image needs and that could not be read.
/// `awaited` are the ancestors whose scans it needs, or for which it waits.
pub(super) fn all_unread(context: &Context<'_>, image: &Image, awaited: &BTreeSet<&ImageId>) -> Vec<Unread> {
    let own = context.unread(&image.id).chain(pipeline::unread(context, image)).cloned();
    own.chain(unread_base(context, image)).chain(unread_parent(context, awaited)).collect()
}
