//! What a container that was seen is, and when what runs stops being vulnerable.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod estate;

use std::sync::Arc;

use estate::*;
use patchwave::finding::{Scan, Severity};
use patchwave::image::Digest;
use patchwave::inventory::{
    Catalog, Change, ConsumerKind, Inventory, Missing, NoDigest, Question, Resolution, Sighting, Standing,
    Use,
};
use patchwave::time::Span;

fn clean() -> Scan {
    complete(at(1, 1), &[])
}

/// `apps/checkout` is at version 20, and was at 10 before.
fn two_versions() -> Catalog {
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    catalog(&[("apps/checkout", &new, &[&old])])
}

fn unresolvable(because: NoDigest) -> Resolution {
    Resolution::Unresolvable { image: Some(id("apps/checkout")), because }
}

#[test]
fn an_index_digest_and_a_platform_digest_are_the_same_version() {
    let catalog = two_versions();
    assert_eq!(resolved(&catalog, &checkout("web", 20)), known("apps/checkout", 20));
    assert_eq!(
        resolved(&catalog, &checkout("web", 22)),
        known("apps/checkout", 20),
        "arm64's manifest names the index"
    );
}

#[test]
fn one_manifest_under_two_indexes_is_the_current_version() {
    let old = version(10, at(1, 0), &clean());
    let mut again = version(30, at(1, 9), &clean());
    again.platforms.clone_from(&old.platforms);
    let bare = Digest::clone(&amd64(10));
    let catalog = catalog(&[("apps/checkout", &old, &[&again])]);
    let sighting = sighting(&ecs(), "web", "apps/checkout:main-1", Some(bare.to_string()));
    assert_eq!(resolved(&catalog, &sighting), known("apps/checkout", 10), "current, though it is older");
}

#[test]
fn the_same_content_under_another_index_is_not_behind() {
    let old = version(10, at(1, 0), &clean());
    let mut again = version(30, at(1, 9), &clean());
    again.platforms.clone_from(&old.platforms);
    let catalog = catalog(&[("apps/checkout", &again, &[&old])]);
    let folded =
        look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &[checkout("web", 10)], at(2, 0));
    let assessment = folded.inventory.versions.values().next().unwrap();
    assert_eq!((&assessment.version, &assessment.standing), (&digest(10), &Standing::Current));
}

#[test]
fn an_old_version_is_still_its_images() {
    let catalog = two_versions();
    let folded =
        look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &[checkout("web", 10)], at(2, 0));
    let entry = folded.inventory.entries.values().next().unwrap();
    assert_eq!(entry.resolution, known("apps/checkout", 10));
    let assessment = folded.inventory.versions.values().next().unwrap();
    assert_eq!(assessment.standing, Standing::Behind { current: digest(20) }, "built, and not deployed");
}

#[test]
fn a_version_whose_tag_moved_on_stays_the_version_that_runs() {
    // `22` names version 20 now; the container that asked for `22` runs version 10.
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    let catalog = catalog(&[("platform/node:22", &new, &[&old])]);
    let pinned = |tag: &str| {
        let image = format!("platform/node:{tag}");
        resolved(
            &catalog,
            &sighting(&eks(), "shop/Deployment/web", &image, Some(format!("x/y@{}", digest(10)))),
        )
    };
    assert_eq!(pinned("22.9"), known("platform/node:22", 10));
    assert_eq!(
        pinned("20"),
        known("platform/node:20", 10),
        "a retagged digest is of the line that it was asked for by"
    );
    assert_eq!(
        pinned("nightly"),
        Resolution::NotInHierarchy { repository: "platform/node".parse().unwrap() },
        "on no line: nobody guesses which"
    );
}

#[test]
fn a_version_that_lost_its_tags_is_what_it_was() {
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    let before = catalog(&[("platform/node:22", &old, &[])]);
    let by_digest = sighting(&ecs(), "web", &format!("platform/node@{}", digest(10)), None);
    let sightings = [by_digest];
    let first = look(&Inventory::default(), &before, &[read(&ecs(), at(2, 0))], &sightings, at(2, 0));
    let after = catalog(&[("platform/node:22", &new, &[&old])]);
    let second = look(&first.inventory, &after, &[read(&ecs(), at(3, 0))], &sightings, at(3, 0));
    let entry = second.inventory.entries.values().next().unwrap();
    assert_eq!(entry.resolution, known("platform/node:22", 10), "two lines share the repository");
}

#[test]
fn a_tag_never_resolves_to_the_current_version() {
    let catalog = two_versions();
    let running = sighting(&ecs(), "web", "apps/checkout:main-1", None);
    assert_eq!(resolved(&catalog, &running), unresolvable(NoDigest::NotReported));
    let reference = Sighting { used: Use::Referenced, ..running };
    assert_eq!(resolved(&catalog, &reference), unresolvable(NoDigest::OnlyTag));
    let pinned = Sighting { image: format!("{OWN}/apps/checkout:main-1@{}", digest(10)), ..reference };
    assert_eq!(
        resolved(&catalog, &pinned),
        known("apps/checkout", 10),
        "a digest that is asked for is what runs"
    );
}

#[test]
fn kubernetes_image_ids_of_every_form() {
    let catalog = two_versions();
    let of = |id: &str| {
        resolved(
            &catalog,
            &sighting(&eks(), "shop/Deployment/web", "apps/checkout:main-1", Some(id.to_owned())),
        )
    };
    let repository = format!("{OWN}/apps/checkout@{}", digest(10));
    assert_eq!(of(&repository), known("apps/checkout", 10));
    assert_eq!(of(&format!("docker-pullable://{repository}")), known("apps/checkout", 10));
    let configuration = digest(10).to_string();
    assert_eq!(
        of(&configuration),
        unresolvable(NoDigest::OnlyConfiguration),
        "though a version has that digest"
    );
    assert_eq!(of(&format!("docker://{configuration}")), unresolvable(NoDigest::OnlyConfiguration));
    assert_eq!(of(""), unresolvable(NoDigest::NotReported));
    assert_eq!(of(&format!("{OWN}/apps/checkout:main-1")), unresolvable(NoDigest::OnlyTag));
    assert_eq!(of("sha256:short"), unresolvable(NoDigest::Malformed("sha256:short".to_owned())));
}

#[test]
fn what_is_not_ours_is_told_apart() {
    let catalog = two_versions();
    let of = |image: &str| {
        let sighting = Sighting { image: image.to_owned(), ..checkout("web", 10) };
        resolved(&catalog, &sighting)
    };
    assert_eq!(of("nginx:1.27"), Resolution::Unapproved { registry: "docker.io".to_owned() });
    assert_eq!(
        of("public.ecr.aws/debian/debian:11"),
        Resolution::Upstream { repository: "public.ecr.aws/debian/debian".to_owned() }
    );
    assert_eq!(
        of("public.ecr.aws/debian/debian-evil:12"),
        Resolution::Unapproved { registry: "public.ecr.aws".to_owned() }
    );
    assert_eq!(
        of(&format!("{OWN}/tools/backup:1")),
        Resolution::NotInHierarchy { repository: "tools/backup".parse().unwrap() }
    );
    assert_eq!(
        of(&format!("{OWN}/apps/checkout:dev-7")),
        Resolution::NotInHierarchy { repository: "apps/checkout".parse().unwrap() },
        "a branch's push runs: it is on no line"
    );
    let replica = OWN.replace("us-east-1", "eu-west-1");
    assert_eq!(of(&format!("{replica}/apps/checkout:main-1")), known("apps/checkout", 10));
    assert_eq!(
        of("999900001111.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-1"),
        Resolution::Unapproved { registry: "999900001111.dkr.ecr.us-east-1.amazonaws.com".to_owned() }
    );
}

#[test]
fn sidecars_of_ecs_have_no_digest_and_are_nobodys_unknown() {
    let catalog = two_versions();
    for (container, image) in [
        ("ecs-service-connect-abc", "ecs-service-connect-agent:interface-v1"),
        (
            "aws-guardduty-agent-xyz",
            "593207742271.dkr.ecr.us-east-1.amazonaws.com/aws-guardduty-agent-fargate:v1",
        ),
    ] {
        let sidecar = Sighting {
            container: container.to_owned(),
            image: image.to_owned(),
            ..sighting(&ecs(), "web", "", None)
        };
        let of = resolved(&catalog, &sidecar);
        assert_eq!(of, Resolution::Unresolvable { image: None, because: NoDigest::Sidecar });
        assert!(!of.is_unknown());
    }
}

#[test]
fn gone_from_the_registry_is_not_the_same_as_unread() {
    let mut catalog = two_versions();
    let repository = "apps/checkout".parse().unwrap();
    assert!(matches!(resolved(&catalog, &checkout("web", 50)), Resolution::Unread { .. }), "nobody asked");
    catalog.miss(&repository, &digest(50), Missing::Gone);
    let gone = Resolution::Gone { repository: repository.clone(), image: None, version: None };
    assert_eq!(resolved(&catalog, &checkout("web", 50)), gone);
}

#[test]
fn what_was_known_stays_known_when_the_registry_loses_it_or_is_silent() {
    let vulnerable = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    let old = version(10, at(1, 0), &vulnerable);
    let with = catalog(&[("apps/checkout", &old, &[])]);
    let sightings = [checkout("web", 10)];
    let first = look(&Inventory::default(), &with, &[read(&ecs(), at(2, 0))], &sightings, at(2, 0));

    let silent = look(&first.inventory, &Catalog::default(), &[read(&ecs(), at(3, 0))], &sightings, at(3, 0));
    let entry = silent.inventory.entries.values().next().unwrap();
    assert_eq!(entry.resolution, known("apps/checkout", 10));

    let mut without = catalog(&[]);
    without.miss(&"apps/checkout".parse().unwrap(), &digest(10), Missing::Gone);
    let gone = look(&silent.inventory, &without, &[read(&ecs(), at(4, 0))], &sightings, at(4, 0));
    let entry = gone.inventory.entries.values().next().unwrap();
    assert_eq!(
        (entry.resolution.image(), entry.resolution.version()),
        (Some(&id("apps/checkout")), Some(&digest(10)))
    );
    assert!(matches!(entry.resolution, Resolution::Gone { .. }));
    let exposures = &gone.inventory.exposures[&id("apps/checkout")];
    assert_eq!(exposures.running[&key("CVE-2026-1")].last_seen, at(4, 0), "it still runs");
}

/// `apps/checkout`: version 10 has a finding, version 20 has none and is current.
fn patched() -> Catalog {
    let vulnerable = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    let (old, new) = (version(10, at(1, 0), &vulnerable), version(20, at(3, 0), &clean()));
    catalog(&[("apps/checkout", &new, &[&old])])
}

#[test]
fn a_clock_stops_when_the_last_container_was_last_seen_and_not_at_the_push() {
    let vulnerable = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    let before_the_push = catalog(&[("apps/checkout", &version(10, at(1, 0), &vulnerable), &[])]);
    let both = [checkout("web", 10), checkout("worker", 10)];
    let first = look(&Inventory::default(), &before_the_push, &[read(&ecs(), at(2, 0))], &both, at(2, 0));
    let image = id("apps/checkout");
    let cve = key("CVE-2026-1");
    assert_eq!(
        first.inventory.exposures[&image].running[&cve].since,
        at(2, 0),
        "known since the first, running since the second"
    );

    let after = patched();
    let half = [checkout("web", 20), checkout("worker", 10)];
    let second = look(&first.inventory, &after, &[read(&ecs(), at(4, 0))], &half, at(4, 0));
    assert!(second.inventory.exposures[&image].stopped.is_empty(), "pushed, deployed in part");
    assert_eq!(second.inventory.mean_time_to_patched(None), None);

    let done = [checkout("web", 20), checkout("worker", 20)];
    let third = look(&second.inventory, &after, &[read(&ecs(), at(5, 0))], &done, at(5, 0));
    let exposures = &third.inventory.exposures[&image];
    assert!(exposures.running.is_empty());
    assert_eq!(exposures.stopped[0].vulnerable_until, at(4, 0), "when it was last seen");
    assert_eq!(third.inventory.mean_time_to_patched(None), Some(Span::days(2)));
    assert_eq!(third.inventory.mean_time_to_patched(Some(Severity::Critical)), None);
    assert!(third.changes.contains(&Change::Patched {
        image,
        finding: cve,
        since: at(2, 0),
        vulnerable_until: at(4, 0)
    }));
}

#[test]
fn a_place_that_was_not_read_keeps_what_it_had() {
    let catalog = patched();
    let first =
        look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &[checkout("web", 10)], at(2, 0));
    let second = look(&first.inventory, &catalog, &[unread(&ecs(), at(3, 0))], &[], at(3, 0));
    assert_eq!(second.inventory.entries, first.inventory.entries);
    assert_eq!(second.inventory.exposures, first.inventory.exposures);
    let answer = second.inventory.answer(&hierarchy(), &Question::default(), at(4, 0));
    let row = &answer.running[0];
    assert_eq!(row.entry.last_seen, at(2, 0));
    assert!(row.unknown[0].contains("2026-03-02T00:00:00Z") && row.unknown[0].contains("it timed out"));
    let place = &answer.places[0];
    assert_eq!((place.read_at, place.age), (Some(at(2, 0)), Some(Span::days(2))));
    assert!(row.is_vulnerable() && answer.is_vulnerable(), "as far as anybody knows");

    let third = look(&second.inventory, &catalog, &[read(&ecs(), at(5, 0))], &[], at(5, 0));
    assert!(
        third.inventory.entries.is_empty()
            && third.inventory.exposures[&id("apps/checkout")].running.is_empty()
    );
    assert_eq!(third.inventory.exposures[&id("apps/checkout")].stopped[0].vulnerable_until, at(2, 0));
    assert!(third.changes.contains(&Change::ReadAgain { place: ecs().id() }));
}

#[test]
fn a_container_that_does_not_say_what_it_runs_ends_nothing() {
    let catalog = patched();
    let first =
        look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &[checkout("web", 10)], at(2, 0));
    let silent = sighting(&ecs(), "web", "apps/checkout:main-1", None);
    let second = look(&first.inventory, &catalog, &[read(&ecs(), at(3, 0))], &[silent], at(3, 0));
    assert_eq!(second.inventory.exposures, first.inventory.exposures);
    assert_eq!(second.inventory.entries.len(), 2, "the old one, and the one that nobody knows");
}

#[test]
fn a_cluster_is_gone_only_when_the_list_says_so_at_the_end_of_a_survey() {
    let catalog = patched();
    let places = [read(&list(), at(2, 0)), read(&ecs(), at(2, 0))];
    let first = look(&Inventory::default(), &catalog, &places, &[checkout("web", 10)], at(2, 0));
    let hierarchy = hierarchy();
    let survey =
        |places: &[_]| patchwave::inventory::Survey { places: places.to_vec(), sightings: Vec::new() };
    let then = |places: &[_], ended| {
        let survey = survey(places);
        let look = patchwave::inventory::FoldInput {
            survey: &survey,
            began: at(3, 0),
            ended,
            hierarchy: &hierarchy,
            catalog: &catalog,
            now: at(3, 0),
        };
        patchwave::inventory::fold(&first.inventory, &look)
    };
    let kept = |folded: &patchwave::inventory::Folded| !folded.inventory.entries.is_empty();
    assert!(kept(&then(&[read(&list(), at(3, 0))], false)), "more is to come");
    assert!(kept(&then(&[unread(&list(), at(3, 0))], true)), "nobody knows the list");
    assert!(kept(&then(&[], true)), "nobody read it");
    assert!(kept(&then(&[read(&list(), at(3, 0)), unread(&ecs(), at(3, 0))], true)), "it is there");
    let gone = then(&[read(&list(), at(3, 0))], true);
    assert!(!kept(&gone) && gone.gone.contains(&ecs().id()));
    assert_eq!(gone.inventory.exposures[&id("apps/checkout")].stopped[0].vulnerable_until, at(2, 0));
}

#[test]
fn a_finding_that_is_withdrawn_is_not_patched() {
    let vulnerable = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    let sightings = [checkout("web", 10)];
    let place = |day| [read(&ecs(), at(day, 0))];
    let with = |scan: &Scan| catalog(&[("apps/checkout", &version(10, at(1, 0), scan), &[])]);
    let first = look(&Inventory::default(), &with(&vulnerable), &place(2), &sightings, at(2, 0));
    for silent in [Scan::Pending, Scan::Expired, Scan::Missing, Scan::Failed("x".into())] {
        let unknown = look(&first.inventory, &with(&silent), &place(3), &sightings, at(3, 0));
        let exposure = &unknown.inventory.exposures[&id("apps/checkout")].running[&key("CVE-2026-1")];
        assert_eq!(exposure.since, at(2, 0), "{silent:?} proves nothing");
    }
    let rescanned = look(&first.inventory, &with(&clean()), &place(3), &sightings, at(3, 0));
    assert!(!rescanned.inventory.exposures.contains_key(&id("apps/checkout")));
    assert!(rescanned.changes.iter().any(|change| matches!(change, Change::Withdrawn { .. })));
}

#[test]
fn a_version_that_passes_for_something_else_is_not_patched() {
    let catalog = patched();
    let first =
        look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &[checkout("web", 10)], at(2, 0));
    let without = HIERARCHY.replace("main-*", "release-*");
    let hierarchy = patchwave::hierarchy::Hierarchy::parse("h.yaml", &without).unwrap();
    let survey = patchwave::inventory::Survey {
        places: vec![read(&ecs(), at(3, 0))],
        sightings: vec![checkout("web", 10)],
    };
    let catalog = Catalog::new(&hierarchy, &facts(&[]));
    let look = patchwave::inventory::FoldInput {
        survey: &survey,
        began: at(3, 0),
        ended: true,
        hierarchy: &hierarchy,
        catalog: &catalog,
        now: at(3, 0),
    };
    let after = patchwave::inventory::fold(&first.inventory, &look);
    assert_eq!(after.inventory.mean_time_to_patched(None), None, "{:?}", after.changes);
}

#[test]
fn only_what_policy_counts_makes_vulnerable_and_only_where_it_runs() {
    let scan = complete(
        at(1, 1),
        &[
            finding("CVE-2026-1", Severity::High),
            finding("CVE-2026-2", Severity::Medium),
            finding("CVE-2026-7", Severity::Critical),
        ],
    );
    let mut version = version(10, at(1, 0), &clean());
    version.platforms.get_mut(&"linux/arm64".parse().unwrap()).unwrap().scan = scan;
    let catalog = catalog(&[("apps/checkout", &version, &[])]);
    let on = |workload: &str, architecture: Option<&str>| Sighting {
        architecture: architecture.map(str::to_owned),
        ..checkout(workload, 10)
    };
    let sightings = [on("intel", Some("amd64")), on("arm", Some("arm64")), on("somewhere", None)];
    let folded = look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], &sightings, at(2, 0));
    let ask = |question: &Question| {
        let answer = folded.inventory.answer(&hierarchy(), question, at(2, 0));
        let rows = answer.running.iter().map(|row| {
            let found: Vec<String> =
                row.findings.iter().map(|found| found.finding.vulnerability.to_string()).collect();
            (row.entry.workload.clone(), found.join(" "))
        });
        rows.collect::<Vec<_>>()
    };
    let rows = |of: [(&str, &str); 3]| of.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(
        ask(&Question::default()),
        rows([("arm", "CVE-2026-1"), ("intel", ""), ("somewhere", "CVE-2026-1")]),
        "medium does not count, and CVE-2026-7 is suppressed"
    );
    let named = Question { vulnerability: Some("CVE-2026-2".to_owned()), ..Question::default() };
    assert_eq!(
        ask(&named),
        [("arm".to_owned(), "CVE-2026-2".to_owned()), ("somewhere".to_owned(), "CVE-2026-2".to_owned())],
        "who asks for one by name means it at any severity"
    );
    let elsewhere = Question { environment: Some("test".to_owned()), ..Question::default() };
    assert_eq!(ask(&elsewhere), []);
}

#[test]
fn units_are_counted_and_references_stand_apart() {
    let catalog = two_versions();
    let unit = |n: u32| Sighting { unit: format!("task-{n}"), ..checkout("web", 10) };
    let reference = Sighting { used: Use::Referenced, unit: String::new(), ..checkout("nightly", 10) };
    let sightings = [unit(1), unit(2), unit(3), unit(3), reference];
    let folded = look(&Inventory::default(), &catalog, &[read(&ecs(), at(40, 0))], &sightings, at(40, 0));
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(40, 0));
    assert_eq!((answer.running.len(), answer.running[0].entry.units), (1, 3));
    assert_eq!(answer.referenced[0].entry.workload, "nightly");
    assert!(answer.running[0].stale, "39 days old, and maxAge is 30");
    let kinds: Vec<ConsumerKind> = answer.not_inspected.iter().map(|not| not.kind).collect();
    assert_eq!(kinds, ConsumerKind::ALL[1..], "only ECS was looked at");
}

#[test]
fn what_is_deployed_is_what_began_to_run_last() {
    let catalog = two_versions();
    let since = |workload: &str, n: u8, hour: u32| Sighting {
        used: Use::Running { since: Some(at(1, hour)) },
        ..checkout(workload, n)
    };
    let running = |sightings: &[Sighting]| {
        let folded = look(&Inventory::default(), &catalog, &[read(&ecs(), at(2, 0))], sightings, at(2, 0));
        folded.inventory.deployments().remove(&id("apps/checkout")).unwrap()
    };
    let rolled_back = running(&[since("web", 20, 6), since("worker", 20, 7), since("web", 10, 9)]);
    assert_eq!(rolled_back.environments["prod"].version, digest(10));
    assert!(rolled_back.in_production());
    let rolling_out = running(&[since("web", 20, 6), since("web", 10, 1), since("worker", 10, 9)]);
    assert_eq!(
        rolling_out.environments["prod"].version,
        digest(20),
        "one more task of the old one deploys nothing"
    );
}

#[test]
fn the_oldest_scans_come_first_and_of_those_what_runs() {
    let scanned = |day| complete(at(day, 1), &[]);
    let checkout_version = version(10, at(1, 0), &scanned(8));
    let node = version(30, at(1, 0), &scanned(8));
    let os = version(50, at(1, 0), &scanned(5));
    let fresh = version(70, at(1, 0), &scanned(9));
    let mut facts = facts(&[
        ("apps/checkout", &checkout_version, &[]),
        ("platform/node:22", &node, &[]),
        ("base/os", &os, &[&version(90, at(1, 0), &Scan::Missing)]),
        ("platform/node:20", &fresh, &[]),
    ]);
    let known = |folded: patchwave::inventory::Folded| folded.inventory;
    let catalog = Catalog::new(&hierarchy(), &facts);
    let inventory = known(look(
        &Inventory::default(),
        &catalog,
        &[read(&ecs(), at(9, 2))],
        &[checkout("web", 10)],
        at(9, 2),
    ));
    let chosen = |facts: &patchwave::facts::Facts, limit| {
        let rescans = patchwave::inventory::rescans(&hierarchy(), facts, &inventory, at(9, 2), limit);
        rescans.into_iter().map(|rescan| rescan.scan.digest).collect::<Vec<_>>()
    };
    let order = [amd64(50), arm64(50), amd64(10), arm64(10), amd64(30), arm64(30)];
    assert_eq!(
        chosen(&facts, 100),
        order,
        "not the fresh one, and not a version that neither runs nor counts"
    );
    assert_eq!(chosen(&facts, 3), order[..3]);
    let by_inspector = Scan::Complete {
        completed_at: at(5, 1),
        coverage: patchwave::finding::Coverage::OsAndLanguages,
        findings: Arc::default(),
    };
    let mut watched = facts.clone();
    watched
        .images
        .get_mut(&id("base/os"))
        .unwrap()
        .versions
        .insert(digest(50), version(50, at(1, 0), &by_inspector));
    assert_eq!(chosen(&watched, 100), order[2..], "Inspector scans again by itself, and refuses to be asked");
    let node = facts.images.get_mut(&id("platform/node:22")).unwrap();
    let version = node.versions.values_mut().next().unwrap();
    version.platforms.get_mut(&"linux/amd64".parse().unwrap()).unwrap().scan = Scan::Missing;
    version.platforms.get_mut(&"linux/arm64".parse().unwrap()).unwrap().scan = Scan::Pending;
    assert_eq!(
        chosen(&facts, 2),
        [amd64(30), amd64(50)],
        "never scanned before anything else; under way not at all"
    );
}

#[test]
fn the_metrics_are_in_the_embedded_format() {
    let vulnerable = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    let catalog = catalog(&[(
        "apps/checkout",
        &version(20, at(3, 0), &clean()),
        &[&version(10, at(1, 0), &vulnerable)],
    )]);
    let sightings = [checkout("web", 10), Sighting { image: "nginx:1".into(), ..checkout("proxy", 1) }];
    let places = [read(&ecs(), at(5, 0)), unread(&eks(), at(5, 0))];
    let folded = look(&Inventory::default(), &catalog, &places, &sightings, at(5, 0));
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(5, 0));
    let lines = patchwave::inventory::metrics(&folded.inventory, &answer, at(5, 0));
    let all = &lines[0];
    assert_eq!(all["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Patchwave");
    assert_eq!(all["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([[]]));
    assert_eq!(all["_aws"]["Timestamp"], at(5, 0).as_millisecond());
    for (name, value) in [
        ("RunningImages", 2.0),
        ("OldestRunningImageDays", 4.0),
        ("Unknowns", 1.0),
        ("RebuiltNotDeployed", 1.0),
        ("UnapprovedRunningImages", 1.0),
    ] {
        assert_eq!(all[name].as_f64(), Some(value), "{name} in {all}");
    }
    assert_eq!(all.get("MeanTimeToPatched"), None, "nothing was patched yet");
    let high = lines.iter().find(|line| line["Severity"] == "high").unwrap();
    assert_eq!(high["VulnerableRunningImages"], 1);
    for line in &lines {
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
        }
    }
}

#[test]
fn what_production_runs_is_its_own_line_whatever_the_version() {
    let hierarchy = with_a_deployed_line();
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    let facts = facts(&[("apps/checkout", &new, &[&old]), ("apps/checkout@prod", &old, &[])]);
    let catalog = Catalog::new(&hierarchy, &facts);
    let test = patchwave::inventory::Place { environment: Some("test".to_owned()), ..eks() };
    let elsewhere = sighting(&test, "web", "apps/checkout:main-2", Some(format!("x/y@{}", digest(20))));
    let survey = patchwave::inventory::Survey {
        places: vec![read(&ecs(), at(2, 0)), read(&test, at(2, 0))],
        sightings: vec![checkout("web", 10), checkout("canary", 20), elsewhere],
    };
    let look = patchwave::inventory::FoldInput {
        survey: &survey,
        began: at(2, 0),
        ended: true,
        hierarchy: &hierarchy,
        catalog: &catalog,
        now: at(2, 0),
    };
    let inventory = patchwave::inventory::fold(&Inventory::default(), &look).inventory;
    let of: Vec<(&str, &Resolution)> =
        inventory.entries.values().map(|entry| (entry.workload.as_str(), &entry.resolution)).collect();
    let prod = |n| known("apps/checkout@prod", n);
    assert_eq!(of, [("canary", &prod(20)), ("web", &prod(10)), ("web", &known("apps/checkout", 20))]);
    let standing = |image: &str, n| &inventory.versions[&(id(image), digest(n))].standing;
    assert_eq!(standing("apps/checkout@prod", 10), &Standing::Current);
    assert_eq!(standing("apps/checkout@prod", 20), &Standing::Behind { current: digest(10) });
}
