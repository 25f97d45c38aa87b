//! Several spellings of one name, in the hierarchy file.

use patchwave::hierarchy::{Hierarchy, Parent};

use super::id;

/// The parent of the second image of a file whose registry and whose second `from` are these.
fn parent(registry: &str, from: &str) -> Parent {
    let yaml = format!(
        "{{ version: 1, registry: {registry}, images: [\
           {{ id: os, tier: base, repository: base/os, tags: [\"1\"], from: scratch }},\
           {{ id: web, tier: application, repository: web, tags: [live], from: {from:?} }}] }}"
    );
    let hierarchy = Hierarchy::parse("h.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"));
    hierarchy.image(&id("web")).unwrap().from.clone()
}

#[test]
fn every_host_of_the_registry_names_its_images() {
    let hosts = [
        "111122223333.dkr.ecr.us-east-1.amazonaws.com",
        "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com",
        "111122223333.dkr-ecr.us-east-1.on.aws",
        "111122223333.DKR-ECR-fips.us-east-1.on.aws:443",
    ];
    for registry in hosts {
        for host in hosts {
            assert_eq!(
                parent(registry, &format!("{host}/base/os:1")),
                Parent::Image(id("os")),
                "{registry} {host}"
            );
        }
    }
}

#[test]
fn a_parent_on_docker_hub_is_one_name_however_it_is_written() {
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
    let full = parent(registry, "docker.io/library/debian:13");
    assert_eq!(parent(registry, "docker.io/debian:13"), full);
    assert_eq!(parent(registry, "registry-1.docker.io/library/debian:13"), full);
}
