//! Which version a container runs, and how sure that is.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::Digest;
use patchwave::inventory::{Catalog, Missing, NoDigest, Resolution, Sighting, Standing, Use};

use super::fixture::*;

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
    assert_eq!(
        resolved(&catalog, &sighting),
        known("apps/checkout", 10),
        "the current version, although it is older"
    );
}

#[test]
fn the_same_content_under_another_index_is_not_behind() {
    let old = version(10, at(1, 0), &clean());
    let mut again = version(30, at(1, 9), &clean());
    again.platforms.clone_from(&old.platforms);
    let catalog = catalog(&[("apps/checkout", &again, &[&old])]);
    let folded = first_survey(&catalog, &[checkout("web", 10)]);
    let assessment = folded.inventory.versions.values().next().unwrap();
    assert_eq!((&assessment.version, &assessment.standing), (&digest(10), &Standing::Current));
}

#[test]
fn an_old_version_resolves_to_its_image_and_is_behind() {
    let catalog = two_versions();
    let folded = first_survey(&catalog, &[checkout("web", 10)]);
    let entry = folded.inventory.entries.values().next().unwrap();
    assert_eq!(entry.resolution, known("apps/checkout", 10));
    let assessment = folded.inventory.versions.values().next().unwrap();
    assert_eq!(assessment.standing, Standing::Behind { current: digest(20) }, "built, and not deployed");
}

#[test]
fn a_version_whose_tag_moved_on_stays_the_version_that_runs() {
    // Tag `22` is on version 20 now. The container that was started from `22` runs version 10.
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
        "a digest on two lines belongs to the one whose tag the container names"
    );
    assert_eq!(
        pinned("nightly"),
        Resolution::NotInHierarchy { repository: "platform/node".parse().unwrap() },
        "a tag on no line is not guessed"
    );
}

#[test]
fn a_version_that_lost_its_tags_resolves_as_before() {
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    let before = catalog(&[("platform/node:22", &old, &[])]);
    let by_digest = sighting(&ecs(), "web", &format!("platform/node@{}", digest(10)), None);
    let sightings = [by_digest];
    let first = first_survey(&before, &sightings);
    let after = catalog(&[("platform/node:22", &new, &[&old])]);
    let second = survey(&first.inventory, &after, &[read(&ecs(), at(3, 0))], &sightings, at(3, 0));
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
        "the digest in a reference is what runs"
    );
}

#[test]
fn kubernetes_image_ids_of_every_form_are_read() {
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
        "although a version has that digest"
    );
    assert_eq!(of(&format!("docker://{configuration}")), unresolvable(NoDigest::OnlyConfiguration));
    assert_eq!(of(""), unresolvable(NoDigest::NotReported));
    assert_eq!(of(&format!("{OWN}/apps/checkout:main-1")), unresolvable(NoDigest::OnlyTag));
    assert_eq!(of("sha256:short"), unresolvable(NoDigest::Malformed("sha256:short".to_owned())));
}

#[test]
fn images_outside_the_hierarchy_are_told_apart() {
    let catalog = two_versions();
    let of_digest = |image: &str, n: u8| {
        let sighting = Sighting { image: image.to_owned(), ..checkout("web", n) };
        resolved(&catalog, &sighting)
    };
    let of = |image: &str| of_digest(image, 99);
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
        of_digest(&format!("{OWN}/apps/checkout:dev-7"), 10),
        Resolution::NotInHierarchy { repository: "apps/checkout".parse().unwrap() },
        "a push of another branch is on no line"
    );
    let replica = OWN.replace("us-east-1", "eu-west-1");
    assert_eq!(of_digest(&format!("{replica}/apps/checkout:main-1"), 10), known("apps/checkout", 10));
    assert_eq!(
        of("999900001111.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-1"),
        Resolution::Unapproved { registry: "999900001111.dkr.ecr.us-east-1.amazonaws.com".to_owned() }
    );
}

#[test]
fn sidecars_of_ecs_are_not_unknown_with_or_without_a_digest() {
    let catalog = two_versions();
    for (container, image) in [
        ("ecs-service-connect-abc", "ecs-service-connect-agent:interface-v1"),
        (
            "aws-guardduty-agent-xyz",
            "593207742271.dkr.ecr.us-east-1.amazonaws.com/aws-guardduty-agent-fargate:v1",
        ),
    ] {
        for reported in [None, Some(digest(77).to_string())] {
            let sidecar = Sighting {
                container: container.to_owned(),
                image: image.to_owned(),
                ..sighting(&ecs(), "web", "", reported)
            };
            let of = resolved(&catalog, &sidecar);
            assert_eq!(
                of,
                Resolution::Unresolvable { image: None, repository: None, because: NoDigest::Sidecar }
            );
            assert!(!of.is_unknown());
        }
    }
}

#[test]
fn the_name_of_a_container_makes_no_sidecar_of_it() {
    let catalog = two_versions();
    for (container, image) in [
        ("ecs-service-connect-abc", format!("{OWN}/apps/checkout:main-1")),
        ("aws-guardduty-agent-xyz", format!("{OWN}/apps/checkout:main-1")),
        ("aws-guardduty-agent-xyz", format!("{}/aws-guardduty-agent:1", OWN.replace("1111", "9999"))),
        ("ecs-service-connect-abc", "evil.example/ecs-service-connect-agent:interface-v1".to_owned()),
    ] {
        let named = Sighting {
            container: container.to_owned(),
            image: image.clone(),
            ..sighting(&ecs(), "web", "", None)
        };
        let of = resolved(&catalog, &named);
        assert!(
            !matches!(of, Resolution::Unresolvable { because: NoDigest::Sidecar, .. }),
            "{image}: {of:?}"
        );
    }
}

#[test]
fn gone_from_the_registry_is_not_the_same_as_unread() {
    let mut catalog = two_versions();
    let repository = "apps/checkout".parse().unwrap();
    assert!(
        matches!(resolved(&catalog, &checkout("web", 50)), Resolution::Unread { .. }),
        "the registry was not asked"
    );
    catalog.miss(&repository, &digest(50), Missing::Gone);
    let gone = Resolution::Gone { repository: repository.clone(), image: None, version: None };
    assert_eq!(resolved(&catalog, &checkout("web", 50)), gone);
}

#[test]
fn every_host_of_the_registry_is_the_registry() {
    let catalog = two_versions();
    for host in [
        "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com",
        "111122223333.dkr-ecr.us-east-1.on.aws",
        "111122223333.dkr-ecr-fips.us-east-1.on.aws",
        "111122223333.DKR.ECR.us-east-1.amazonaws.com:443",
    ] {
        let named = Sighting { image: format!("{host}/apps/checkout:main-1"), ..checkout("web", 20) };
        assert_eq!(resolved(&catalog, &named), known("apps/checkout", 20), "{host}");
    }
}

#[test]
fn a_reference_without_a_tag_is_of_the_line_of_latest() {
    let hierarchy = HIERARCHY.replace("tags: [\"20\"]", "tags: [latest]");
    let hierarchy = Hierarchy::parse("h.yaml", &hierarchy).unwrap();
    let old = version(10, at(1, 0), &clean());
    let mut catalog = Catalog::default();
    catalog.add(&"platform/node".parse().unwrap(), &old);
    let implied = sighting(&ecs(), "web", "platform/node", Some(digest(10).to_string()));
    let folded = resolved_in(&hierarchy, &catalog, &implied);
    assert_eq!(folded, known("platform/node:latest", 10));
}

#[test]
fn every_spelling_of_a_parent_on_docker_hub_is_upstreams() {
    let hierarchy = HIERARCHY.replace("public.ecr.aws/debian/debian:12", "docker.io/debian:12");
    let hierarchy = Hierarchy::parse("h.yaml", &hierarchy).unwrap();
    let catalog = Catalog::default();
    for image in [
        "debian:12",
        "library/debian:12",
        "docker.io/debian:12",
        "index.docker.io/library/debian:12",
        "registry-1.docker.io/library/debian:12",
    ] {
        let running = Sighting { image: image.to_owned(), ..checkout("web", 20) };
        let upstream = Resolution::Upstream { repository: "docker.io/library/debian".to_owned() };
        assert_eq!(resolved_in(&hierarchy, &catalog, &running), upstream, "{image}");
    }
}

#[test]
fn the_same_digest_is_the_same_version_wherever_it_lies() {
    let catalog = two_versions();
    for image in [
        "999900001111.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-1",
        "registry.example.com/apps/checkout:main-1",
        "public.ecr.aws/a1b2c3d4/released:7",
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/prod/checkout:2026-03-01",
    ] {
        let sighting = Sighting { image: image.to_owned(), ..checkout("web", 10) };
        assert_eq!(resolved(&catalog, &sighting), known("apps/checkout", 10), "{image}");
    }
}

/// Four registries: a replica of the home, one with an image of its own, and one that promotes by
/// copy.
const REGISTRIES: &str = r#"
version: 1
registries:
  home:
    host: 111122223333.dkr.ecr.us-east-1.amazonaws.com
    aliases: [registry.example.com]
    caches: { docker-hub: docker.io }
    copies: [{ from: "apps/*", to: "prod/*" }]
  eu: { host: 111122223333.dkr.ecr.eu-west-1.amazonaws.com, replicaOf: home }
  products: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com }
  live: { host: 333344445555.dkr.ecr.us-east-1.amazonaws.com, copies: [{ of: products, from: "apps/*", to: "live/*" }] }
approved:
  - { account: "602401143452", repositories: ["eks/*"] }
  - { host: public.ecr.aws, repositories: ["eks-distro/*"] }
images:
  - { id: base/os, tier: base, repository: base/os, tags: ["1"], from: "docker.io/library/debian:12" }
  - { id: home, tier: application, repository: apps/checkout, tagPattern: "main-*", from: base/os }
  - { id: theirs, registry: products, tier: application, repository: apps/checkout, tagPattern: "main-*", from: base/os }
"#;

#[test]
fn replicas_copies_aliases_and_caches_are_found_by_their_registry() {
    let hierarchy = Hierarchy::parse("h.yaml", REGISTRIES).unwrap_or_else(|errors| panic!("{errors}"));
    let mut catalog = Catalog::default();
    let theirs = &hierarchy.image(&id("theirs")).unwrap().repository;
    let (home, copy) = (version(10, at(1, 0), &clean()), version(20, at(1, 0), &clean()));
    catalog.add(&"apps/checkout".parse().unwrap(), &home);
    catalog.add(theirs, &copy);
    let of = |image: &str, n: u8| {
        let sighting = Sighting { image: image.to_owned(), ..checkout("web", n) };
        resolved_in(&hierarchy, &catalog, &sighting)
    };
    assert_eq!(of("registry.example.com/apps/checkout:main-1", 10), known("home", 10));
    assert_eq!(of("111122223333.dkr-ecr.eu-west-1.on.aws/apps/checkout:main-1", 10), known("home", 10));
    assert_eq!(
        of("222233334444.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-1", 20),
        known("theirs", 20)
    );
    // Only the key `copies` tells whose copy a digest is that the registry has not named yet.
    let unread = |image: &str| match of(image, 30) {
        Resolution::Unread { repository, .. } => repository.to_string(),
        other => panic!("{image} is {other:?}"),
    };
    assert_eq!(unread(&format!("{OWN}/prod/checkout:7")), "apps/checkout");
    assert_eq!(unread("333344445555.dkr.ecr.us-east-1.amazonaws.com/live/checkout:7"), theirs.as_str());
    assert_eq!(theirs.as_str(), "222233334444.dkr.ecr.us-east-1.amazonaws.com/apps/checkout");
    let upstream = Resolution::Upstream { repository: "docker.io/library/debian".to_owned() };
    assert_eq!(of(&format!("{OWN}/docker-hub/library/debian:12"), 30), upstream);
    let hub = Resolution::Unapproved { registry: "docker.io".to_owned() };
    assert_eq!(of(&format!("{OWN}/docker-hub/library/redis:7"), 30), hub);
    let own = Resolution::NotInHierarchy { repository: "apps/other".parse().unwrap() };
    assert_eq!(of(&format!("{OWN}/apps/other:1"), 30), own);
}

#[test]
fn what_the_file_approves_is_not_foreign() {
    let hierarchy = Hierarchy::parse("h.yaml", REGISTRIES).unwrap();
    let catalog = Catalog::default();
    let is_approved = |image: &str| {
        let sighting = Sighting { image: image.to_owned(), ..checkout("web", 30) };
        matches!(resolved_in(&hierarchy, &catalog, &sighting), Resolution::Approved { .. })
    };
    assert!(is_approved("602401143452.dkr.ecr-fips.us-gov-west-1.amazonaws.com/eks/coredns:v1"));
    assert!(is_approved("public.ecr.aws/eks-distro/pause:3"));
    assert!(!is_approved("602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1"));
    assert!(!is_approved("public.ecr.aws/nginx/nginx:1"));
    assert!(!is_approved("602401143453.dkr.ecr.us-east-1.amazonaws.com/eks/coredns:v1"));
}

#[test]
fn a_platform_digest_says_which_platform_runs() {
    let mut version = version(10, at(1, 0), &vulnerable());
    let amd = "linux/amd64".parse().unwrap();
    version.platforms.get_mut(&amd).unwrap().scan = clean();
    let catalog = catalog(&[("apps/checkout", &version, &[])]);
    let platform_of = |digest: &Digest| {
        let image = format!("{OWN}/apps/checkout@{digest}");
        let sighting = sighting(&eks(), "web", "apps/checkout:main-1", Some(image));
        let folded = first_survey(&catalog, &[sighting]);
        let answer =
            folded.inventory.answer(&hierarchy(), &patchwave::inventory::Question::default(), at(2, 0));
        answer.is_vulnerable()
    };
    assert!(!platform_of(&amd64(10)), "only the other platform has the finding");
    assert!(platform_of(&arm64(10)));
    assert!(platform_of(&digest(10)), "any platform of the index may run");
}
