//! Whether an installation will do its work, before or after it is deployed: what was seen of the
//! accounts goes in, and findings come out. Each says what breaks, and what mends it.
//!
//! What could not be read is a finding of its own, because it may hide another.

mod deployed;
mod finding;
mod pipelines;
mod registries;
mod rights;
mod seen;

pub use finding::{Finding, Level};
pub use rights::WRITES;
pub use seen::{
    CallerSeen, DeniedSeen, DeploymentSeen, FunctionSeen, Look, PipelineSeen, PipelineType, RegistrySeen,
    RepositorySeen, Seen,
};

use crate::hierarchy::Hierarchy;
use crate::time::Timestamp;

/// Judges what was seen, the worst first.
pub fn judge(hierarchy: &Hierarchy, seen: &Seen, now: Timestamp) -> Vec<Finding> {
    let mut findings = registries::judge(hierarchy, seen);
    findings.extend(pipelines::judge(hierarchy, seen));
    findings.extend(deployed::judge(hierarchy, seen, now));
    findings.sort();
    findings.dedup();
    findings
}
