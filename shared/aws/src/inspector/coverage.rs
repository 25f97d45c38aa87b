//! Inspector's coverage: which images it scans, and when it scanned them last.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_inspector2::operation::list_coverage::ListCoverageOutput;
use aws_sdk_inspector2::types::builders::CoverageFilterCriteriaBuilder;
use aws_sdk_inspector2::types::{
    CoverageFilterCriteria, CoverageResourceType, CoverageStringComparison, CoverageStringFilter,
    CoveredResource, EcrContainerImageMetadata,
};
use futures::stream::{self, StreamExt};
use patchwave::image::{Digest, Repository};
use patchwave::inventory::{Covered, Covering};
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, ManifestAt};

use super::{AT_ONCE, Inspector, MOST_PAGES};
use crate::fault::invalid;
use crate::pages;
use crate::time::timestamp;

/// Most resources on a page, and most values of a filter.
/// <https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListCoverage.html>
const PAGE: i32 = 200;
const MOST_VALUES: usize = 10;
const OPERATION: &str = "list what Inspector covers";

impl Inspector {
    /// Lists Inspector's coverage of all images of these repositories.
    pub(crate) async fn covered(&self, repositories: &BTreeSet<Repository>) -> Result<Vec<Covered>, Fault> {
        let names: Vec<&str> = repositories.iter().map(Repository::name).collect();
        let mut covered = Vec::new();
        for names in names.chunks(MOST_VALUES) {
            let names = names.iter().map(|name| equals(name)).collect::<Result<_, _>>()?;
            covered.extend(self.list(|filter| filter.set_ecr_repository_name(Some(names))).await?);
        }
        Ok(covered)
    }

    /// Reads when Inspector scanned these images last. It asks for these images alone: a repository
    /// may hold 100,000. A call that fails leaves only its own images without an answer.
    pub(crate) async fn scanned_at(
        &self,
        images: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Timestamp>, Fault>> {
        let images: Vec<&ManifestAt> = images.iter().collect();
        let reads = images.chunks(MOST_VALUES).map(|images| self.scanned_at_of(images));
        stream::iter(reads).buffer_unordered(AT_ONCE).map(stream::iter).flatten().collect().await
    }

    async fn scanned_at_of(
        &self,
        images: &[&ManifestAt],
    ) -> Vec<(ManifestAt, Result<Option<Timestamp>, Fault>)> {
        let arns = images.iter().map(|(repository, digest)| equals(&self.arn(repository, digest)));
        let covered = match arns.collect::<Result<_, _>>() {
            Ok(arns) => self.list(|filter| filter.set_resource_id(Some(arns))).await,
            Err(fault) => Err(fault),
        };
        let time = |(repository, digest): &ManifestAt| match &covered {
            Ok(covered) => {
                let is_it = |of: &&Covered| of.repository == *repository && of.digest == *digest;
                Ok(covered.iter().find(is_it).and_then(|of| of.scanned_at))
            }
            Err(fault) => Err(fault.clone()),
        };
        images.iter().map(|at| ((*at).clone(), time(at))).collect()
    }

    /// Lists the coverage that `filter` chooses.
    async fn list(
        &self,
        filter: impl FnOnce(CoverageFilterCriteriaBuilder) -> CoverageFilterCriteriaBuilder,
    ) -> Result<Vec<Covered>, Fault> {
        let operation = OPERATION;
        let kind = CoverageResourceType::AwsEcrContainerImage;
        let criteria = CoverageFilterCriteria::builder()
            .resource_type(equals(kind.as_str())?)
            .account_id(equals(self.registry.account())?);
        let criteria = filter(criteria).build();
        let pages =
            self.client.list_coverage().filter_criteria(criteria).into_paginator().page_size(PAGE).send();
        let of = |page: ListCoverageOutput| page.covered_resources.unwrap_or_default();
        let resources = pages::at_most(MOST_PAGES, operation, pages, of).await?;
        let covered = |resource: &CoveredResource| {
            let read = read(resource).map_err(|problem| invalid(operation, problem))?;
            let name = read.repository;
            let repository = if self.is_home { name } else { name.at(&self.registry) };
            Ok(Covered { repository, ..read })
        };
        resources.iter().map(covered).collect()
    }
}

fn equals(value: &str) -> Result<CoverageStringFilter, Fault> {
    let filter = CoverageStringFilter::builder().comparison(CoverageStringComparison::Equals).value(value);
    filter.build().map_err(|error| invalid(OPERATION, error.to_string()))
}

fn read(resource: &CoveredResource) -> Result<Covered, String> {
    let id = resource.resource_id();
    let (repository, digest) = image(id).ok_or_else(|| format!("{id} is not an image's ARN"))?;
    let image = resource.resource_metadata().and_then(|metadata| metadata.ecr_image());
    Ok(Covered {
        repository,
        digest,
        covering: match resource.scan_status().map(|s| (s.status_code().as_str(), s.reason().as_str())) {
            Some(("ACTIVE", _)) => Covering::Active,
            Some((_, "SCAN_ELIGIBILITY_EXPIRED")) => Covering::Expired,
            Some((_, reason)) => Covering::Inactive(reason.to_owned()),
            None => Covering::Inactive("no status".to_owned()),
        },
        scanned_at: resource.last_scanned_at().and_then(timestamp),
        in_use: image
            .and_then(EcrContainerImageMetadata::in_use_count)
            .and_then(|count| u32::try_from(count).ok()),
        in_use_at: image.and_then(|image| image.last_in_use_at()).and_then(timestamp),
    })
}

/// Reads an ARN such as `arn:aws:ecr:us-east-1:111122223333:repository/apps/web/sha256:…`.
fn image(arn: &str) -> Option<(Repository, Digest)> {
    let (_, resource) = arn.split_once(":repository/")?;
    let (repository, digest) = resource.rsplit_once('/')?;
    Some((repository.parse().ok()?, digest.parse().ok()?))
}
