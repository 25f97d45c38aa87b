//! One registry of several that refuses all reads, as after a change of its role.

use patchwave::image::Repository;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::FaultKind;

use super::reads::{Read, Refusal, kind};
use super::{FaultPlan, InjectedFault};

impl FaultPlan {
    /// Returns why the registry of a repository refuses a read, if it does: since an earlier
    /// refusal, or by a new draw. The home registry never refuses all reads.
    pub(crate) fn registry_refuses(&mut self, repository: &Repository, now: Timestamp) -> Option<FaultKind> {
        let host = elsewhere(repository)?;
        if let Some(refusal) = self.lasting(Read::Registry, &host, now) {
            return Some(kind(refusal.fault));
        }
        if !self.injects(InjectedFault::RegistryRefused, now) {
            return None;
        }
        let fault = if self.percent(50) { InjectedFault::ReadDenied } else { InjectedFault::ReadUnavailable };
        let until = self.span(Span::minutes(10), Span::hours(12)).after(now);
        self.refusals.0.insert((Read::Registry, host), Refusal { fault, since: now, until });
        Some(kind(fault))
    }

    /// Returns whether the registry of a repository refuses all reads at this time.
    pub(crate) fn is_registry_refused(&self, repository: &Repository, now: Timestamp) -> bool {
        elsewhere(repository).is_some_and(|host| self.is_refused(Read::Registry, &host, now))
    }

    /// Returns since when the registry of a repository has refused all reads, if it does now.
    pub(crate) fn registry_refused_since(
        &self,
        repository: &Repository,
        now: Timestamp,
    ) -> Option<Timestamp> {
        Some(self.lasting(Read::Registry, &elsewhere(repository)?, now)?.since)
    }
}

/// Returns the host of a registry that is not the home.
fn elsewhere(repository: &Repository) -> Option<String> {
    Some(repository.split().0?.to_string())
}
