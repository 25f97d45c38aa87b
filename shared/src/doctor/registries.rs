//! Registries: scanning, tags, pull times and replicas.

use std::collections::BTreeSet;

use super::finding::{Finding, Level};
use super::seen::{Look, RegistrySeen, Seen};
use crate::hierarchy::{DeclaredRegistry, Hierarchy, Image, Line};
use crate::image::glob;
use crate::inventory::{Frequency, Scanner, Scanning, UseIs, Windows};

pub(super) fn judge(hierarchy: &Hierarchy, seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for registry in hierarchy.registries().iter() {
        let Some(of) = seen.registries.get(&registry.name) else { continue };
        let images: Vec<&Image> = hierarchy
            .images()
            .filter(|image| hierarchy.address(&image.repository).0 == registry.host)
            .collect();
        findings.extend(scanning(registry, of, &images));
        findings.extend(windows(registry, of, &images));
        findings.extend(tags(registry, of, &images));
        findings.extend(pulls(registry, of, seen));
        findings.extend(replicas(registry, &of.deletes_replicas));
    }
    findings
}

fn scanning(registry: &DeclaredRegistry, of: &RegistrySeen, images: &[&Image]) -> Vec<Finding> {
    let about = format!("scanning of {}", registry.host);
    let scanning = match &of.scanning {
        Ok(scanning) => scanning,
        Err(because) => return vec![Finding::not_checked(about, because)],
    };
    let mut findings = Vec::new();
    let unscanned = of_frequency(scanning, images, Frequency::Manual);
    if let Some(first) = unscanned.iter().next() {
        findings.push(Finding::new(
            Level::Broken,
            &about,
            format!(
                "{} repositories are never scanned, {first} first: their images stay Unknown",
                unscanned.len()
            ),
            "patchwave registry --format cloudformation prints the scanning configuration",
        ));
    }
    let once = of_frequency(scanning, images, Frequency::OnPush);
    if scanning.scanner == Scanner::Enhanced && !once.is_empty() {
        findings.push(Finding::new(
            Level::Warning,
            &about,
            format!(
                "{} repositories are scanned once, after the push: later vulnerabilities are not seen",
                once.len()
            ),
            "set their scan frequency to CONTINUOUS_SCAN",
        ));
    }
    if scanning.scanner == Scanner::Basic {
        findings.push(Finding::new(
            Level::Warning,
            &about,
            "basic scanning does not name fixed versions and sees no language package: Patchwave can only try rebuilds",
            "aws ecr put-registry-scanning-configuration --scan-type ENHANCED",
        ));
    }
    findings
}

fn of_frequency<'i>(scanning: &Scanning, images: &[&'i Image], wanted: Frequency) -> BTreeSet<&'i str> {
    let is_so = |image: &&&Image| {
        // A filter is about the name in the registry, without its host.
        image.repository.name().parse().is_ok_and(|name| scanning.frequency(&name) == wanted)
    };
    images.iter().filter(is_so).map(|image| image.repository.name()).collect()
}

fn windows(registry: &DeclaredRegistry, of: &RegistrySeen, images: &[&Image]) -> Vec<Finding> {
    let about = format!("Inspector's windows for {}", registry.host);
    let windows: &Windows = match &of.windows {
        Some(Ok(windows)) => windows,
        Some(Err(because)) => return vec![Finding::not_checked(about, because)],
        None => return Vec::new(),
    };
    let mut findings = Vec::new();
    let longest = images.iter().map(|image| image.policy.max_age).max();
    if let Some((window, age)) = longest.and_then(|age| Some((windows.too_short_for(age)?, age))) {
        findings.push(Finding::new(
            Level::Warning,
            &about,
            format!("an unused image is scanned for {window} and may live {age}: then it is Unknown"),
            "aws inspector2 update-configuration --ecr-configuration rescanDuration=LIFETIME",
        ));
    }
    if windows.use_is == UseIs::Pulled && windows.after_use.is_some() {
        findings.push(Finding::new(
            Level::Warning,
            &about,
            "a pull counts as use, and every reader of a manifest pulls: unused images are scanned for ever",
            "aws inspector2 update-configuration --ecr-configuration \
             rescanDuration=LIFETIME,pullDateRescanMode=LAST_IN_USE_AT",
        ));
    }
    findings
}

/// A stable tag must move, or a rebuild cannot be pushed.
fn tags(registry: &DeclaredRegistry, of: &RegistrySeen, images: &[&Image]) -> Vec<Finding> {
    let repositories = match &of.repositories {
        Ok(repositories) => repositories,
        Err(because) => {
            return vec![Finding::not_checked(format!("repositories of {}", registry.host), because)];
        }
    };
    let mut findings = Vec::new();
    for image in images {
        let name = image.repository.name();
        let Some(repository) = repositories.get(name) else {
            findings.push(Finding::new(
                Level::Broken,
                image.id.as_str(),
                format!("{} has no repository {name}", registry.host),
                format!("aws ecr create-repository --repository-name {name}, or correct `repository`"),
            ));
            continue;
        };
        let Line::Stable(tags) = &image.line else { continue };
        let stuck = tags.iter().find(|tag| {
            let is_excluded = repository.excluded_tags.iter().any(|filter| glob(filter, tag.as_str()));
            match repository.mutability.as_str() {
                "IMMUTABLE" => true,
                "IMMUTABLE_WITH_EXCLUSION" => !is_excluded,
                "MUTABLE_WITH_EXCLUSION" => is_excluded,
                _ => false,
            }
        });
        if let Some(tag) = stuck {
            findings.push(Finding::new(
                Level::Broken,
                image.id.as_str(),
                format!("the stable tag {tag} of {name} is immutable: a rebuild cannot move it"),
                format!(
                    "aws ecr put-image-tag-mutability --repository-name {name} --image-tag-mutability \
                     IMMUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters \
                     filterType=WILDCARD,filter={tag}"
                ),
            ));
        }
    }
    findings
}

/// Who reads manifests moves the images' last-pull time.
fn pulls(registry: &DeclaredRegistry, of: &RegistrySeen, seen: &Seen) -> Vec<Finding> {
    let about = format!("pull times in {}", registry.host);
    let excluded = match &of.exclusions {
        Ok(excluded) => excluded,
        Err(because) => return vec![Finding::not_checked(about, because)],
    };
    let functions = seen.deployment.iter().filter_map(|deployment| deployment.functions.as_ref().ok());
    let roles = functions.flatten().map(|function| function.role.clone());
    let caller = seen.caller.iter().filter_map(|caller| caller.as_ref().ok()).map(|of| of.principal.clone());
    let readers: BTreeSet<String> = roles.chain(caller).collect();
    // A session names its role without the role's path.
    let name = |arn: &str| arn.rsplit('/').next().map(str::to_owned);
    let names: BTreeSet<Option<String>> = excluded.iter().map(|arn| name(arn)).collect();
    let unexcluded = readers.into_iter().filter(|reader| !names.contains(&name(reader)));
    let finding = |reader: String| {
        Finding::new(
            Level::Warning,
            &about,
            format!(
                "{reader} moves last-pull times: rules by sinceImagePulled and windows by pulls do not end"
            ),
            format!("aws ecr register-pull-time-update-exclusion --principal-arn {reader}"),
        )
    };
    unexcluded.map(finding).collect()
}

fn replicas(registry: &DeclaredRegistry, deletes: &Look<bool>) -> Vec<Finding> {
    let about = format!("replication of {}", registry.host);
    match deletes {
        Err(because) => vec![Finding::not_checked(about, because)],
        Ok(false) => Vec::new(),
        Ok(true) => vec![Finding::new(
            Level::Warning,
            about,
            "a deletion here deletes in the replicas too, so what runs there must be surveyed before anything expires",
            "name the accounts of the replicas' Regions under `inventory:`, or turn delete replication off",
        )],
    }
}
