//! What only people ask of a registry, and only people change: lifecycle policies, previews and
//! tags. The functions call none of this.

mod copy;
mod describe;
mod mount;
mod policy;
mod signing;
mod tag;

use std::time::Duration;

pub use copy::Amount;
pub(crate) use copy::End;
pub(crate) use describe::Replication;
pub(crate) use tag::Expect;

/// How often an unfinished preview is asked for, and how often in all.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetLifecyclePolicyPreview.html>
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) pause: Duration,
    pub(crate) times: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: Duration::from_secs(5), times: 60 }
    }
}

#[cfg(test)]
mod tests;
