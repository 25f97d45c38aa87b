//! Which version of an image an environment has deployed, given everything that says so.
//!
//! Whoever may start a pod in an account of the environment says something about it. So what the
//! places say is a set. If they do not agree, the answer is unknown.

use crate::facts::{DeployedVersion, Deployments, RunningVersion};
use crate::image::glob;

impl RunningVersion {
    /// Returns whether a workload that counts runs it. `globs` name those; without any, all count.
    fn counts(&self, globs: &[String]) -> bool {
        let names = |workload: &str| {
            let without_account = workload.split_once('/').map_or(workload, |(_, rest)| rest);
            globs.iter().any(|pattern| glob(pattern, workload) || glob(pattern, without_account))
        };
        globs.is_empty() || self.workloads.iter().any(|workload| names(workload))
    }
}

impl Deployments {
    /// Returns the version that an environment has deployed. Of several versions of one commit it
    /// is the one that began to run last.
    ///
    /// # Errors
    ///
    /// Says why it is unknown, and what to do.
    pub fn deployed(&self, environment: &str, workloads: &[String]) -> Result<DeployedVersion, String> {
        let running = self.running.get(environment).ok_or("the inventory has not seen the image there")?;
        if !workloads.is_empty() && running.iter().any(|version| version.left_out > 0) {
            return Err("too many workloads run it to find those that `workloads` names".to_owned());
        }
        let counting: Vec<&RunningVersion> =
            running.iter().filter(|version| version.counts(workloads)).collect();
        let last = counting.iter().max_by_key(|version| (version.since, &version.version));
        let last =
            last.ok_or("no workload that counts runs it; correct `workloads` in the hierarchy file")?;
        let agree = |version: &&RunningVersion| {
            version.version == last.version || version.revision.is_some() && version.revision == last.revision
        };
        if !counting.iter().all(agree) {
            return Err(disagreement(&counting));
        }
        let RunningVersion { version, since, last_seen, .. } = (*last).clone();
        Ok(DeployedVersion { version, since, last_seen })
    }
}

fn disagreement(running: &[&RunningVersion]) -> String {
    let says = |version: &&RunningVersion| {
        let mut workloads: Vec<&str> = version.workloads.iter().map(String::as_str).collect();
        let more = format!("{} more", version.left_out);
        if version.left_out > 0 {
            workloads.push(&more);
        }
        format!("{} in {}", version.version.short(), workloads.join(", "))
    };
    let versions: Vec<String> = running.iter().map(says).collect();
    format!(
        "services run several versions: {}; deploy one, or name under `workloads` whose version counts",
        versions.join("; ")
    )
}
