//! Large hierarchies: that of Docker's official images, generated ones, and ones that attack the
//! loader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use patchwave::hierarchy::{Direction, Hierarchy, ImageSet, Line, Parent};
use patchwave::image::ImageId;
use serde::Deserialize;

const HEAD: &str = "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages:\n";

#[derive(Deserialize)]
struct Official {
    images: Vec<OfficialImage>,
}

#[derive(Deserialize)]
struct OfficialImage {
    id: String,
    tags: Vec<String>,
    /// The base of the final stage, or nothing for scratch.
    from: Vec<String>,
    copy_from: BTreeSet<String>,
}

fn official() -> Official {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/official-images.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Official {
    /// Writes the hierarchy file. Parents that are not in it come from Docker Hub.
    fn yaml(&self) -> String {
        let ids: BTreeSet<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        let parent = |name: &String| match name.as_str() {
            id if ids.contains(id) => id.to_owned(),
            upstream if upstream.contains(':') => format!("docker.io/library/{upstream}"),
            upstream => format!("docker.io/library/{upstream}:latest"),
        };
        let mut yaml = HEAD.to_owned();
        for image in &self.images {
            let (repository, _) = image.id.split_once(':').unwrap();
            let tags: Vec<&str> = image.tags.iter().map(|tag| tag.rsplit_once(':').unwrap().1).collect();
            let from = image.from.first().map_or("scratch".to_owned(), parent);
            let copied: Vec<String> = image.copy_from.iter().map(parent).collect();
            writeln!(yaml, "  - {{ tier: platform, repository: {repository}, tags: {tags:?}, from: {from:?}, copyFrom: {copied:?} }}").unwrap();
        }
        yaml
    }

    /// Each image's parents in the file.
    fn parents(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let ids: BTreeSet<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        let inside = |image: &'_ OfficialImage| -> BTreeSet<&str> {
            let named = image.from.iter().chain(&image.copy_from);
            named.filter_map(|name| ids.get(name.as_str()).copied()).collect()
        };
        self.images.iter().map(|image| (image.id.as_str(), inside(image))).collect()
    }
}

fn load(yaml: &str) -> Hierarchy {
    Hierarchy::parse("real.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

fn names<'h>(set: &ImageSet<'h>) -> BTreeSet<&'h str> {
    set.ids().map(ImageId::as_str).collect()
}

/// `start` and everything built on it. Goes over all edges until nothing is added.
fn built_on<'o>(parents: &BTreeMap<&'o str, BTreeSet<&'o str>>, start: &'o str) -> BTreeSet<&'o str> {
    let mut found = BTreeSet::from([start]);
    loop {
        let before = found.len();
        let more: Vec<&str> =
            parents.iter().filter(|(_, above)| !above.is_disjoint(&found)).map(|(id, _)| *id).collect();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}

/// Groups images into waves: each round builds the images without an unbuilt parent.
fn rounds<'o>(
    parents: &BTreeMap<&'o str, BTreeSet<&'o str>>,
    of: &BTreeSet<&'o str>,
) -> Vec<BTreeSet<&'o str>> {
    let mut left = of.clone();
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let round: BTreeSet<&str> =
            left.iter().filter(|id| parents[*id].is_disjoint(&left)).copied().collect();
        left.retain(|id| !round.contains(id));
        rounds.push(round);
    }
    rounds
}

#[test]
fn queries_of_dockers_official_images_agree_with_plain_loops() {
    let official = official();
    let hierarchy = load(&official.yaml());
    let parents = official.parents();
    assert_eq!(hierarchy.len(), 1808);

    let mut built = BTreeSet::new();
    for image in hierarchy.images() {
        assert!(parents[image.id.as_str()].is_subset(&built), "{} is after its parents", image.id);
        built.insert(image.id.as_str());
    }
    for image in hierarchy.images() {
        let below = hierarchy.query([&image.id], Direction::Descendants).unwrap().resolve();
        let expected = built_on(&parents, image.id.as_str());
        assert_eq!(names(&below), expected, "below {}", image.id);
        let waves: Vec<BTreeSet<&str>> =
            below.waves().iter().map(|wave| wave.iter().map(|image| image.id.as_str()).collect()).collect();
        assert_eq!(waves, rounds(&parents, &expected), "waves below {}", image.id);
    }
}

#[test]
fn every_tag_of_dockers_official_images_finds_its_image() {
    let official = official();
    let hierarchy = load(&official.yaml());
    for image in &official.images {
        for tag in &image.tags {
            assert_eq!(hierarchy.resolve(tag).unwrap().id.as_str(), image.id, "{tag}");
        }
    }
    let upstream = hierarchy.images().filter(|image| matches!(image.from, Parent::Upstream(_))).count();
    assert!(upstream > 0);
}

/// Writes a file with a base image and chains of ten images on it, each with all keys.
fn generated(count: usize) -> String {
    let mut yaml = HEAD.to_owned();
    yaml.push_str("  - { id: base, tier: base, repository: base, tags: [x], from: scratch }\n");
    for number in 0..count {
        let parent = if number % 10 == 0 { "base".to_owned() } else { format!("image-{}", number - 1) };
        write!(
            yaml,
            "  - id: image-{number}\n    tier: application\n    repository: team/repository-{number}\n    \
             tagPattern: main-*\n    from: {parent}\n    maxAge: 14d\n    \
             deadlines: {{ critical: 12h, high: 3d, medium: 20d }}\n    pipeline:\n      name: pipeline-{number}\n      \
             variables: [PATCHWAVE_BASE_IMAGE, PATCHWAVE_BUILD_KEY, PATCHWAVE_REASON]\n      \
             sources: [{{ action: Source, type: COMMIT_ID }}]\n"
        )
        .unwrap();
    }
    yaml
}

#[test]
fn ten_thousand_images_are_loaded() {
    let hierarchy = load(&generated(10_000));
    assert_eq!(hierarchy.len(), 10_001);
    assert_eq!(hierarchy.all().waves().len(), 11);
}

#[test]
fn repeated_defaults_may_be_written_once() {
    let mut yaml = HEAD.replace(
        "images:\n",
        "images:\n  - &defaults { id: base, tier: base, repository: base, tags: [x], from: scratch, maxAge: 9d }\n",
    );
    for number in 0..5_000 {
        writeln!(yaml, "  - {{ <<: *defaults, id: image-{number}, repository: repository-{number} }}")
            .unwrap();
    }
    assert_eq!(load(&yaml).len(), 5_001);
}

#[test]
fn a_file_that_multiplies_itself_by_aliases_is_refused() {
    let long_list = vec!["scratch"; 1_000].join(", ");
    let image = format!(
        "  - &i {{ tier: base, repository: base, tags: [x], from: scratch, copyFrom: [{long_list}] }}\n"
    );
    let many_images = HEAD.to_owned() + &image + &"  - *i\n".repeat(10_000);
    let long_text =
        format!("  - {{ tier: base, repository: base, tags: [x], from: &t {}", "x".repeat(1 << 20));
    let many_texts = HEAD.to_owned() + &long_text + ", copyFrom: [" + &"*t, ".repeat(40_000) + "] }\n";
    for (bomb, message) in [(many_images, "too large or too complex"), (many_texts, "shorten it")] {
        let errors = Hierarchy::parse("bomb.yaml", &bomb).unwrap_err().to_string();
        assert!(errors.contains(message), "{errors:.300}");
        assert_eq!(errors.lines().count(), 1, "{errors:.300}");
    }
}

#[test]
fn every_mistake_of_a_large_file_is_reported_in_order() {
    let mut yaml = HEAD.to_owned();
    for number in 0..5_000 {
        writeln!(yaml, "  - {{ id: image-{number}, tier: base, repository: repository, tagPattern: \"{number}*\", from: imagee-{number} }}").unwrap();
    }
    let errors = Hierarchy::parse("mistakes.yaml", &yaml).unwrap_err();
    assert!(errors.iter().count() > 5_000, "each parent, and each pattern that begins another");
    assert!(errors.iter().is_sorted_by_key(|error| (error.line, error.column)));
}

#[test]
fn stable_tags_keep_their_order() {
    let hierarchy = load(&official().yaml());
    let image = hierarchy.resolve("adminer:latest").unwrap();
    assert!(matches!(&image.line, Line::Stable(tags) if tags[0].as_str() == "5.4.2" && tags.len() == 6));
}
