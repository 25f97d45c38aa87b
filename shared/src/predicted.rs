//! What the rebuilds that one start leads to were predicted to be, and what happened.
//!
//! The record of the image that starts first holds both. No pass sees when the last image below is
//! done, so the daily sweep decides that: it observes all images anyway.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

/// What was predicted when an image that others follow started a rebuild for findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicted {
    /// When the rebuild started.
    pub since: Timestamp,
    /// How many images are rebuilt: this one and those below that follow it.
    pub images: u32,
    /// How long it takes until the last of them is built.
    pub takes: Span,
    /// How many findings of this image the rebuilds are made for.
    pub findings: u32,
    /// Nothing until the findings are gone from all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<Happened>,
}

/// What happened until the findings were gone from all images that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    /// How many of the images were rebuilt.
    pub images: u32,
    /// How long it took until Patchwave saw the last of these builds succeed.
    pub took: Span,
}

impl Predicted {
    /// Returns the predicted time divided by the time that it took: below 1 if it took longer.
    /// Nothing while it is not over.
    pub fn ratio(&self) -> Option<f64> {
        let took = self.happened.as_ref()?.took.as_seconds().max(1);
        Some(f64::from(self.takes.as_seconds()) / f64::from(took))
    }
}
