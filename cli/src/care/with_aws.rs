//! Reads the registries of a deployment.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::Repository;
use patchwave::tags::KnownTags;
use patchwave_aws::care::Care;

use crate::args::Args;
use crate::deployment;
use crate::input::BadInput;
use crate::lifecycle::plan::Known;

/// The deployment, and what waits for its answers.
pub(super) struct Opened {
    pub(super) care: Care,
    runtime: tokio::runtime::Runtime,
}

impl Opened {
    pub(super) fn open(args: &Args) -> Result<Self, BadInput> {
        let source = deployment::hierarchy(args)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BadInput::because(&error))?;
        let care = runtime.block_on(Care::open(source)).map_err(|not_done| BadInput::because(&not_done))?;
        Ok(Self { care, runtime })
    }

    /// Waits for an answer.
    pub(super) fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    /// Waits for an answer that may be a fault.
    pub(super) fn read<T>(
        &self,
        asked: impl Future<Output = Result<T, patchwave_converge::Fault>>,
    ) -> Result<T, BadInput> {
        self.runtime.block_on(asked).map_err(|fault| BadInput::because(&fault))
    }

    /// Returns the repositories of the hierarchy.
    pub(super) fn repositories(&self) -> BTreeSet<Repository> {
        self.care.hierarchy().images().map(|image| image.repository.clone()).collect()
    }
}

/// Reads what lifecycle policies are planned from.
pub(crate) fn known(args: &Args) -> Result<Known, BadInput> {
    let opened = Opened::open(args)?;
    let mut repositories = opened.repositories();
    repositories.extend(opened.read(opened.care.caches())?);
    let running = Some(opened.read(opened.care.inventory())?);
    let known = opened.wait(opened.care.known(&repositories));
    let (hierarchy, now) = (opened.care.hierarchy().clone(), opened.care.now());
    Ok(Known { hierarchy, repositories: known, running, now })
}

/// Reads the tags of the hierarchy's repositories.
pub(crate) fn tags(args: &Args) -> Result<BTreeMap<Repository, Result<KnownTags, String>>, BadInput> {
    let opened = Opened::open(args)?;
    Ok(opened.wait(opened.care.tags(&opened.repositories())))
}
