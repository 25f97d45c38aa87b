//! The tags that Patchwave itself sets. No line has them.

use super::{Digest, Tag};

/// How a keep tag begins: `patchwave.keep.<environment>.<first 12 digits of the digest>`.
pub const KEEP: &str = "patchwave.keep.";
/// How the tag begins that takes the place of an image's last keep tag. A lifecycle rule expires
/// what has it.
pub const GONE: &str = "patchwave.gone.";
/// The most characters of an environment's name in a tag.
const LONGEST: usize = 64;

/// Returns the keep tag of a digest in an environment. What may not stand in a tag becomes `_`.
pub fn keep_tag(environment: &str, digest: &Digest) -> Option<Tag> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    let environment: String = environment.chars().take(LONGEST).map(legal).collect();
    format!("{KEEP}{environment}.{}", digest.short()).parse().ok()
}

/// Returns the tag that takes the place of an image's last keep tag.
pub fn gone_tag(digest: &Digest) -> Option<Tag> {
    format!("{GONE}{}", digest.short()).parse().ok()
}

/// Returns whether Patchwave sets such tags. They say nothing about versions, so no line has them.
pub fn is_reserved(tag: &Tag) -> bool {
    [KEEP, GONE].iter().any(|prefix| tag.as_str().starts_with(prefix))
}
