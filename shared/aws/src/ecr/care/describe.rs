//! Reads a repository as lifecycle policies and tags need it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageStatus, ImageStatusFilter, ImageTagMutability, ReplicationRule,
    Repository as Described, RepositoryFilter,
};
use patchwave::image::{Digest, Repository, is_index};
use patchwave::lifecycle::{Listing, RepositoryImage, StorageClass};
use patchwave::tags::Mutability;
use patchwave_converge::Fault;

use super::super::Ecr;
use super::super::read::{MOST_PAGES, PAGE};
use crate::fault::{fault, invalid};
use crate::manifest::Document;
use crate::time::timestamp;

impl Ecr {
    /// Lists all images of a repository, archived ones too, and what each index lists.
    ///
    /// ECR counts reading an index as a pull, unless the caller's role is excluded:
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>.
    pub(crate) async fn listing(&self, repository: &Repository) -> Result<Listing, Fault> {
        let operation = || format!("list the images of {repository}");
        let filter = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let call =
            self.client.describe_images().registry_id(&self.account).repository_name(repository.name());
        let mut pages = call.filter(filter).into_paginator().page_size(PAGE).send();
        let mut listing = Listing::default();
        let name = repository.name().parse().map_err(|_| invalid(operation(), "its name is malformed"))?;
        listing.of = Some((self.account.clone(), name));
        for _ in 0..MOST_PAGES {
            match pages.next().await {
                None => {
                    listing.note_all(&self.lists(repository, &listing).await?);
                    return Ok(listing);
                }
                Some(page) => {
                    for detail in page.map_err(|error| fault(operation(), &error))?.image_details() {
                        let (digest, image) =
                            image(detail).map_err(|problem| invalid(operation(), problem))?;
                        listing.images.insert(digest, image);
                    }
                }
            }
        }
        Err(invalid(operation(), format!("the list does not end after {MOST_PAGES} pages")))
    }

    /// Reads what each index lists.
    async fn lists(
        &self,
        repository: &Repository,
        listing: &Listing,
    ) -> Result<BTreeMap<Digest, BTreeSet<Digest>>, Fault> {
        let can_be_read = |image: &RepositoryImage| image.is_index && image.storage == StorageClass::Standard;
        let indexes = listing.images.iter().filter(|(_, image)| can_be_read(image));
        let indexes: BTreeSet<Digest> = indexes.map(|(digest, _)| digest.clone()).collect();
        let mut lists = BTreeMap::new();
        for (digest, document) in self.documents(repository, &indexes).await {
            if let Some(Document::Index { platforms, others, .. }) = document? {
                lists.insert(digest, platforms.into_values().chain(others).collect());
            }
        }
        Ok(lists)
    }

    /// Reads whether the tags of a repository may be moved.
    pub(crate) async fn mutability(&self, repository: &Repository) -> Result<Mutability, Fault> {
        let operation = || format!("describe {repository}");
        let call = self.client.describe_repositories().registry_id(&self.account);
        let output = call.repository_names(repository.name()).send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        let described =
            output.repositories().first().ok_or_else(|| invalid(operation(), "the answer is empty"))?;
        mutability(described).map_err(|problem| invalid(operation(), problem))
    }

    /// Lists the repositories of the registry.
    pub(crate) async fn repositories(&self) -> Result<BTreeSet<String>, Fault> {
        let operation = "list the repositories";
        let call = self.client.describe_repositories().registry_id(&self.account);
        let mut pages = call.into_paginator().page_size(PAGE).send();
        let mut names = BTreeSet::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { return Ok(names) };
            let page = page.map_err(|error| fault(operation, &error))?;
            names.extend(page.repositories().iter().filter_map(|r| r.repository_name().map(str::to_owned)));
        }
        Err(invalid(operation, format!("the list does not end after {MOST_PAGES} pages")))
    }

    /// Reads what the registry replicates, and where to.
    pub(crate) async fn replication(&self) -> Result<Replication, Fault> {
        let operation = "read the replication configuration";
        let output = self.client.describe_registry().send().await;
        let output = output.map_err(|error| fault(operation, &error))?;
        Ok(Replication(output.replication_configuration().map(|c| c.rules().to_vec()).unwrap_or_default()))
    }
}

/// What a registry replicates, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Replication(Vec<ReplicationRule>);

impl Replication {
    /// Returns the accounts and Regions that a repository is replicated to. The SDK does not say
    /// whether deletions are replicated, so each may lose what is deleted here.
    pub(crate) fn replicas(&self, repository: &Repository) -> BTreeSet<(String, String)> {
        let applies = |filters: &[RepositoryFilter]| {
            filters.is_empty() || filters.iter().any(|f| repository.name().starts_with(f.filter()))
        };
        let rules = self.0.iter().filter(|rule| applies(rule.repository_filters()));
        let destinations = rules.flat_map(ReplicationRule::destinations);
        destinations.map(|to| (to.registry_id().to_owned(), to.region().to_owned())).collect()
    }
}

fn mutability(described: &Described) -> Result<Mutability, String> {
    let except =
        described.image_tag_mutability_exclusion_filters().iter().map(|filter| filter.filter().to_owned());
    let moves = match described.image_tag_mutability() {
        Some(ImageTagMutability::Mutable | ImageTagMutability::MutableWithExclusion) => true,
        Some(ImageTagMutability::Immutable | ImageTagMutability::ImmutableWithExclusion) => false,
        other => return Err(format!("its imageTagMutability is {other:?}")),
    };
    Ok(Mutability { moves, except: except.collect() })
}

fn image(detail: &ImageDetail) -> Result<(Digest, RepositoryImage), String> {
    let digest: Digest = detail
        .image_digest()
        .ok_or("imageDigest is missing")?
        .parse()
        .map_err(|error| format!("imageDigest: {error}"))?;
    let at = |time: Option<&aws_sdk_ecr::primitives::DateTime>| time.and_then(timestamp);
    let pushed_at =
        at(detail.image_pushed_at()).ok_or_else(|| format!("imagePushedAt of {digest} is missing"))?;
    let counts = detail.image_scan_findings_summary().and_then(|summary| summary.finding_severity_counts());
    let findings = counts.map(|counts| counts.values().filter_map(|count| u64::try_from(*count).ok()).sum());
    let image = RepositoryImage {
        tags: detail.image_tags().iter().filter_map(|tag| tag.parse().ok()).collect(),
        pushed_at,
        pulled_at: at(detail.last_recorded_pull_time()),
        archived_at: at(detail.last_archived_at()),
        restored_at: at(detail.last_activated_at()),
        storage: match detail.image_status() {
            Some(ImageStatus::Archived) => StorageClass::Archive,
            _ => StorageClass::Standard,
        },
        is_index: is_index(detail.image_manifest_media_type().unwrap_or_default()),
        children: BTreeSet::new(),
        is_part: false,
        artifact_type: detail.artifact_media_type().map(str::to_owned),
        subject: detail.subject_manifest_digest().and_then(|digest| digest.parse().ok()),
        bytes: detail.image_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        findings,
    };
    Ok((digest, image))
}
