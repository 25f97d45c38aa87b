//! The hierarchy file and what can be asked of it.

mod contract;
mod estate;
mod invalid;
mod laws;
mod names;
mod real;

use patchwave::image::ImageId;

fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}
