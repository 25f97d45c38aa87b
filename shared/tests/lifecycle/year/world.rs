//! A repository, the environments that run from it and the people who work on it, for a year.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, Repository, Tag};
use patchwave::inventory::Answer;
use patchwave::lifecycle::{KnownRepository, Listing, Reading, RepositoryImage, StorageClass};
use patchwave::time::{Span, Timestamp};
use serde_json::{Value, json};

/// The environments; the last one runs from a replica.
pub(super) const ENVIRONMENTS: [&str; 4] = ["prod", "staging", "dev", "eu"];
/// How many deployments back people roll.
pub(super) const ROLL_BACKS: usize = 3;
const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

/// Random numbers that are the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    pub(super) fn once_in(&mut self, days: usize) -> bool {
        self.below(days) == 0
    }
}

/// What one environment runs, and what it ran before.
#[derive(Default)]
pub(super) struct Environment {
    /// The deployments, the last one last.
    pub(super) deployments: Vec<Digest>,
    /// What a nightly job would run.
    pub(super) nightly: Option<Digest>,
    /// Until which day its account cannot be read.
    pub(super) unread_until: usize,
    /// Every deployment that a survey saw. What no survey has seen has nothing but its own tags: it
    /// may have run while the account could not be read.
    pub(super) surveyed: BTreeSet<Digest>,
    /// What the last survey that could read it saw, and when.
    pub(super) seen: Option<(Timestamp, Vec<Value>)>,
    /// How often a deployment comes, in days.
    pub(super) pace: usize,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) day: usize,
    pub(super) now: Timestamp,
    pub(super) hierarchy: Hierarchy,
    pub(super) listing: Listing,
    /// The text of the policy that ECR has.
    pub(super) stored: Option<String>,
    pub(super) environments: BTreeMap<&'static str, Environment>,
    /// How this world's ECR counts. Nobody in it knows.
    pub(super) reading: Reading,
    builds: usize,
    pub(super) lost: Vec<String>,
    pub(super) deleted: usize,
}

pub(super) fn repository() -> Repository {
    "apps/shop".parse().unwrap()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let accounts: Vec<Value> = ENVIRONMENTS
            .iter()
            .zip(1..)
            .map(|(name, n)| json!({"id": account(n), "role": "reader", "environment": name}))
            .collect();
        let file = json!({
            "version": 1,
            "registries": {"home": {"host": HOST, "keepTags": true}},
            "inventory": {"regions": ["us-east-1"], "accounts": accounts},
            "images": [{"tier": "application", "repository": "apps/shop", "tagPattern": "main-*", "from": "scratch", "pipeline": "shop"}],
        });
        let mut random = Random::new(seed);
        let pace = |random: &mut Random| [1, 3, 10, 60, 150][random.below(5)];
        let environments = ENVIRONMENTS
            .map(|name| (name, Environment { pace: pace(&mut random), ..Environment::default() }))
            .into();
        let reading = if random.once_in(4) { Reading::WithParts } else { Reading::WithoutParts };
        Self {
            random,
            day: 0,
            now: "2026-01-01T03:00:00Z".parse().unwrap(),
            hierarchy: Hierarchy::parse("h", &file.to_string()).unwrap(),
            listing: Listing { of: Some(("111122223333".to_owned(), repository())), ..Listing::default() },
            stored: None,
            environments,
            reading,
            builds: 0,
            lost: Vec::new(),
            deleted: 0,
        }
    }

    pub(super) fn next_day(&mut self) {
        self.day += 1;
        self.now = Span::days(1).after(self.now);
    }

    /// Commits, deployments, roll-backs, tags that people move, and accounts that cannot be read.
    pub(super) fn people(&mut self) {
        for _ in 0..self.random.below(3) {
            self.push();
        }
        for name in ENVIRONMENTS {
            let environment = self.environments.get_mut(name).unwrap();
            if self.random.once_in(40) && environment.unread_until < self.day {
                environment.unread_until = self.day + self.random.below(8);
            }
            if self.random.once_in(environment.pace) {
                self.deploy(name);
            }
            if self.random.once_in(25) {
                self.roll_back(name);
            }
            if self.random.once_in(30) {
                let environment = self.environments.get_mut(name).unwrap();
                environment.nightly = environment.deployments.last().cloned();
            }
        }
        if self.random.once_in(10) {
            self.overwrite_a_tag();
        }
    }

    fn push(&mut self) {
        self.builds += 1;
        let number = self.builds;
        let at = Span::minutes(u32::try_from(60 + self.random.below(600)).unwrap()).after(self.now);
        let index = digest(number * 10);
        let parts = if self.random.once_in(2) {
            BTreeSet::from([1, 2].map(|part| digest(number * 10 + part)))
        } else {
            BTreeSet::new()
        };
        for part in &parts {
            let image = RepositoryImage { is_part: true, ..image(at, BTreeSet::new()) };
            self.listing.images.insert(part.clone(), image);
        }
        let mut whole = image(at, parts);
        whole.tags.insert(format!("main-{number}").parse().unwrap());
        self.listing.images.insert(index, whole);
    }

    /// Deploys one of the newest builds, or what another environment runs.
    fn deploy(&mut self, name: &'static str) {
        let mut builds: Vec<(Timestamp, Digest)> = self
            .listing
            .images
            .iter()
            .filter(|(_, image)| {
                !image.is_part && image.tags.iter().any(|tag| tag.as_str().starts_with("main-"))
            })
            .map(|(digest, image)| (image.pushed_at, digest.clone()))
            .collect();
        builds.sort();
        let newest: Vec<Digest> = builds.into_iter().rev().take(4).map(|(_, digest)| digest).collect();
        let before = ENVIRONMENTS[self.random.below(4)];
        let elsewhere = self.environments[before].deployments.last().cloned();
        let choice = if self.random.once_in(2) { elsewhere } else { None };
        let Some(digest) = choice.or_else(|| newest.get(self.random.below(4)).cloned()) else { return };
        if !self.listing.images.contains_key(&digest) {
            return;
        }
        let unique: Tag = format!("{name}-{}", self.day).parse().unwrap();
        self.move_tag(&unique, &digest);
        self.move_tag(&name.parse().unwrap(), &digest);
        self.environments.get_mut(name).unwrap().deployments.push(digest);
    }

    fn roll_back(&mut self, name: &'static str) {
        let back = 1 + self.random.below(ROLL_BACKS);
        let environment = self.environments.get_mut(name).unwrap();
        let to = environment.deployments.iter().rev().nth(back).cloned();
        let Some(digest) = to else { return };
        environment.deployments.push(digest.clone());
        if self.random.once_in(2) {
            self.move_tag(&name.parse().unwrap(), &digest);
        }
    }

    fn move_tag(&mut self, tag: &Tag, digest: &Digest) {
        for image in self.listing.images.values_mut() {
            image.tags.remove(tag);
        }
        if let Some(image) = self.listing.images.get_mut(digest) {
            image.tags.insert(tag.clone());
        }
    }

    /// A person moves a tag of a line or of an environment from one image to another. No image loses
    /// a tag while it is in a use that no survey has seen yet: such an image has only its own tags.
    fn overwrite_a_tag(&mut self) {
        let is_unseen = |digest: &Digest, image: &RepositoryImage| {
            self.environments.iter().any(|(name, environment)| {
                let keep = format!("patchwave.keep.{name}.");
                let last = environment.deployments.iter().rev().take(ROLL_BACKS + 1);
                last.chain(&environment.nightly).any(|used| used == digest)
                    && !image.tags.iter().any(|tag| tag.as_str().starts_with(&keep))
            })
        };
        let from = self.listing.images.iter().filter(|(digest, image)| !is_unseen(digest, image));
        let tags: Vec<Tag> = from
            .flat_map(|(_, image)| image.tags.iter().cloned())
            .filter(|tag| !tag.as_str().starts_with("patchwave."))
            .collect();
        let to: Vec<Digest> =
            self.listing.images.iter().filter(|(_, image)| !image.is_part).map(|(d, _)| d.clone()).collect();
        if !tags.is_empty() && !to.is_empty() {
            let (tag, to) = (&tags[self.random.below(tags.len())], &to[self.random.below(to.len())]);
            self.move_tag(tag, to);
        }
    }

    /// The daily survey. What cannot be read is as it was.
    pub(super) fn survey(&mut self) -> Answer {
        let (mut running, mut referenced, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (name, number) in ENVIRONMENTS.into_iter().zip(1..) {
            let (now, day) = (self.now, self.day);
            let environment = self.environments.get_mut(name).unwrap();
            let unread = environment.unread_until > day;
            if !unread {
                let rows = |digest: &Digest, runs: bool| row(name, number, digest, runs, now);
                let runs = environment.deployments.last().map(|digest| rows(digest, true));
                let would = environment.nightly.as_ref().map(|digest| rows(digest, false));
                environment.surveyed.extend(environment.deployments.last().cloned());
                environment.seen = Some((now, runs.into_iter().chain(would).collect()));
            }
            let (read_at, rows) = environment.seen.clone().unzip();
            for row in rows.into_iter().flatten() {
                if row["runs"] == true { running.push(row) } else { referenced.push(row) }
            }
            let mut place = place(name, number);
            place["id"] = json!(format!("{}/us-east-1/ecs/{name}", account(number)));
            place["readAt"] = json!(read_at);
            if unread {
                place["unread"] = json!("access is denied");
            }
            places.push(place);
        }
        let answer = json!({"at": self.now, "running": running, "referenced": referenced, "places": places, "notInspected": []});
        serde_json::from_value(answer).unwrap()
    }

    pub(super) fn known(&self) -> KnownRepository {
        let replica = (account(4), "us-east-1".to_owned());
        KnownRepository {
            listing: self.listing.clone(),
            stored: self.stored.clone(),
            replicas: [replica].into(),
        }
    }

    /// Deletes images here and in the replica, and says which of them somebody needs.
    pub(super) fn delete(&mut self, digests: &BTreeSet<Digest>, why: &str) {
        let day = self.day;
        for digest in digests {
            let Some(image) = self.listing.images.remove(digest) else { continue };
            self.deleted += 1;
            let is_it = |other: &Digest| {
                other == digest
                    || self.listing.images.get(other).is_some_and(|index| index.children.contains(digest))
            };
            for (name, environment) in &self.environments {
                let last = environment.deployments.iter().rev().take(ROLL_BACKS + 1);
                let mut needed = last.filter(|digest| environment.surveyed.contains(digest));
                if environment.deployments.last().is_some_and(is_it) {
                    self.lost.push(format!("day {day}: {name} runs {}, deleted by {why}", digest.short()));
                } else if environment.nightly.as_ref().is_some_and(is_it) {
                    self.lost
                        .push(format!("day {day}: {name} would run {}, deleted by {why}", digest.short()));
                } else if needed.any(is_it) {
                    self.lost.push(format!(
                        "day {day}: {name} may roll back to {}, deleted by {why}",
                        digest.short()
                    ));
                }
            }
            if image.tags.iter().any(|tag| tag.as_str().starts_with("patchwave.keep.")) {
                self.lost.push(format!("day {day}: {} carries a keep tag, deleted by {why}", digest.short()));
            }
        }
    }

    /// Removes a tag as ECR does: with its last tag an image is deleted.
    pub(super) fn untag(&mut self, digest: &Digest, tag: &Tag) {
        let Some(image) = self.listing.images.get_mut(digest) else { return };
        if image.tags.remove(tag) && image.tags.is_empty() {
            self.lost.push(format!("day {}: {} lost its last tag", self.day, digest.short()));
            let gone = BTreeSet::from([digest.clone()]);
            self.delete(&gone, "the removal of its last tag");
        }
    }

    pub(super) fn set_tag(&mut self, digest: &Digest, tag: &Tag) {
        if let Some(image) = self.listing.images.get_mut(digest) {
            image.tags.insert(tag.clone());
        }
    }
}

fn account(number: usize) -> String {
    format!("{number:012}")
}

pub(super) fn digest(number: usize) -> Digest {
    // The first digits differ: keep tags have twelve of them.
    format!("sha256:{number:012x}{}", "0".repeat(52)).parse().unwrap()
}

fn image(pushed_at: Timestamp, children: BTreeSet<Digest>) -> RepositoryImage {
    RepositoryImage {
        tags: BTreeSet::new(),
        pushed_at,
        pulled_at: None,
        archived_at: None,
        restored_at: None,
        storage: StorageClass::Standard,
        is_index: !children.is_empty(),
        children,
        is_part: false,
        artifact_type: None,
        subject: None,
        bytes: 1,
        findings: None,
    }
}

fn place(name: &str, number: usize) -> Value {
    json!({"account": account(number), "region": "us-east-1", "kind": "ecs", "cluster": name, "environment": name})
}

/// A row of the inventory. The task of the last environment pulls from the replica.
fn row(name: &str, number: usize, digest: &Digest, runs: bool, now: Timestamp) -> Value {
    let host = if name == "eu" { HOST.replace("111122223333", &account(4)) } else { HOST.to_owned() };
    json!({
        "place": place(name, number), "workload": if runs { "service/shop" } else { "rule/nightly" }, "runs": runs,
        "asked": format!("{host}/apps/shop:{name}"), "digest": digest,
        "resolution": {"is": "known", "image": "apps/shop", "version": digest},
        "containers": ["main"], "units": 1, "since": now, "lastSeen": now, "stale": false, "findings": [],
    })
}
