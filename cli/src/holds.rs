//! Writes holds for people.

use std::collections::BTreeMap;

use patchwave::image::ImageId;
use patchwave::plan::Hold;

use crate::render::{CAREFUL, FAINT, hanging, paint, some, wrapped};

/// Images with the same hold and the same instruction.
struct Group<'h> {
    name: &'static str,
    what_to_do: String,
    images: Vec<&'h ImageId>,
}

/// Writes holds. Images with the same hold and instruction share a line, which names at most
/// `shown`.
pub(crate) fn text<'h>(holds: impl Iterator<Item = (&'h ImageId, &'h Hold)>, shown: usize) -> String {
    let mut lines = String::new();
    for Group { name, what_to_do, images } in grouped(holds) {
        let line = format!("{} {}: {}", paint(CAREFUL, name), images.len(), some(images.iter(), shown));
        lines.push_str(&hanging(2, 6, &line));
        lines.push('\n');
        // What is fresh needs nothing.
        if name != Hold::Fresh.name() {
            lines.push_str(&paint(FAINT, wrapped(4, &what_to_do)));
            lines.push('\n');
        }
    }
    lines
}

fn grouped<'h>(holds: impl Iterator<Item = (&'h ImageId, &'h Hold)>) -> Vec<Group<'h>> {
    // Where many images share an instruction, it has a placeholder in place of an image's name.
    let placeholder: Option<ImageId> = "IMAGE".parse().ok();
    let mut groups: BTreeMap<(&'static str, String), Vec<(&ImageId, &Hold)>> = BTreeMap::new();
    for (image, hold) in holds {
        let of_any = hold.lifted_by(placeholder.as_ref().unwrap_or(image));
        groups.entry((hold.name(), of_any)).or_default().push((image, hold));
    }
    let group = |((name, of_any), held): ((&'static str, String), Vec<(&'h ImageId, &'h Hold)>)| Group {
        name,
        what_to_do: match held.as_slice() {
            [(image, hold)] => hold.lifted_by(image),
            _ => of_any,
        },
        images: held.into_iter().map(|(image, _)| image).collect(),
    };
    groups.into_iter().map(group).collect()
}
