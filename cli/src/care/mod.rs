//! The care of registries on AWS: what reads or changes policies and tags of a deployment.

#[cfg(feature = "aws")]
mod keep;
#[cfg(feature = "aws")]
mod policies;
#[cfg(feature = "aws")]
mod promote;
#[cfg(feature = "aws")]
mod with_aws;
#[cfg(not(feature = "aws"))]
mod without_aws;

#[cfg(feature = "aws")]
pub(crate) use keep::keep;
#[cfg(feature = "aws")]
pub(crate) use policies::{apply, preview, undo};
#[cfg(feature = "aws")]
pub(crate) use promote::{approve, promote};
#[cfg(feature = "aws")]
pub(crate) use with_aws::{known, tags};
#[cfg(not(feature = "aws"))]
pub(crate) use without_aws::{apply, approve, keep, known, preview, promote, tags, undo};
