//! The diamond: its hierarchy, its versions, and small numbers for the large values that a state
//! refers to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchwave::facts::{Manifest, Version};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Start;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::model::Defect;

/// The images, parents first. A state refers to an image by its index here.
pub(crate) const IMAGES: [&str; 4] = ["b", "p1", "p2", "a"];

/// When the finding appeared, in seconds. All older versions are vulnerable.
pub(crate) const FOUND: i64 = 1_800_000_000;

/// What a search is about, beside its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// How many builds may run at once.
    pub(crate) builds_at_once: u32,
    /// Most images that one page of a pass names.
    pub(crate) images_of_a_page: usize,
    /// How often a pass looks again at images whose records others wrote first.
    pub(crate) retries: u32,
    /// Whether ticks see an index that does not show what was written last.
    pub(crate) index_lags: bool,
    /// Whether the scan of a version of the base comes later than its push.
    pub(crate) scans_are_late: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            builds_at_once: 20,
            images_of_a_page: IMAGES.len(),
            retries: 0,
            index_lags: false,
            scans_are_late: false,
        }
    }
}

impl Setting {
    /// Returns whether a pass may read after its first write.
    pub(crate) fn reads_again(self) -> bool {
        self.images_of_a_page < IMAGES.len() || self.retries > 0
    }
}

/// Everything that does not change during a search.
pub(crate) struct Diamond {
    pub(crate) setting: Setting,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) defect: Defect,
    pub(crate) records: Numbered<Record>,
    /// The number of each record once it is stored, by the number of the record to be written.
    pub(crate) stored: RefCell<BTreeMap<u32, u32>>,
    pub(crate) claims: Numbered<Claim>,
    pub(crate) starts: Numbered<Start>,
    pub(crate) versions: Versions,
}

impl Diamond {
    pub(crate) fn new(setting: Setting, defect: Defect) -> Self {
        let Setting { builds_at_once, .. } = setting;
        let image = |id: &str, tier: &str, parents: &str| {
            format!(
                "  - {{ id: {id}, tier: {tier}, repository: {id}, tags: [\"1\"], {parents}, pipeline: {id} }}\n"
            )
        };
        let head = "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\n";
        let policy = format!(
            "policy: {{ mode: enforce, quietPeriod: 0s, maxConcurrentBuilds: {builds_at_once} }}\nimages:\n"
        );
        let images = image("b", "base", "from: scratch")
            + &image("p1", "platform", "from: b")
            + &image("p2", "platform", "from: b")
            + &image("a", "application", "from: p1, copyFrom: [p2]");
        Self {
            hierarchy: Hierarchy::parse("diamond.yaml", &format!("{head}{policy}{images}")).unwrap(),
            setting,
            defect,
            records: Numbered::default(),
            stored: RefCell::default(),
            claims: Numbered::default(),
            starts: Numbered::default(),
            versions: Versions::default(),
        }
    }
}

/// Values by number. Equal values have the same number, so states can be compared by number.
pub(crate) struct Numbered<T>(RefCell<Table<T>>);

/// The numbers by the JSON of the values, and the values by their numbers.
type Table<T> = (BTreeMap<String, u32>, Vec<Rc<T>>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(RefCell::new((BTreeMap::new(), Vec::new())))
    }
}

impl<T: Serialize + Clone> Numbered<T> {
    pub(crate) fn number(&self, value: &T) -> u32 {
        let (numbers, values) = &mut *self.0.borrow_mut();
        *numbers.entry(serde_json::to_string(value).unwrap()).or_insert_with(|| {
            values.push(Rc::new(value.clone()));
            u32::try_from(values.len() - 1).unwrap()
        })
    }

    pub(crate) fn get(&self, number: u32) -> Rc<T> {
        Rc::clone(&self.0.borrow().1[number as usize])
    }
}

/// A version, and whether it carries the finding.
pub(crate) struct Pushed {
    pub(crate) version: Version,
    pub(crate) is_vulnerable: bool,
}

/// The versions of all orders that the search explores. A version never changes, so reading one by
/// digest commutes with every other step.
#[derive(Default)]
pub(crate) struct Versions(RefCell<Vec<Rc<Pushed>>>);

impl Versions {
    /// Pushes a version of `image` on its first parent, unless another order has pushed it already.
    pub(crate) fn push(&self, image: u8, base: Option<&Digest>, at: Timestamp, is_new_base: bool) -> u32 {
        let name = IMAGES[usize::from(image)];
        let base = base.map(|digest| self.by_digest(digest).unwrap());
        let below = base.as_ref().map_or_else(Vec::new, |base| layers(&base.version));
        let mut versions = self.0.borrow_mut();
        let own = digest("layer", &format!("{name} {at} {below:?}"));
        let layers: Vec<Digest> = below.into_iter().chain([own]).collect();
        let manifest = digest("manifest", &format!("{layers:?}"));
        let version = digest("index", manifest.as_str());
        if let Some(known) = versions.iter().position(|pushed| pushed.version.digest == version) {
            return u32::try_from(known).unwrap();
        }
        let manifest = Manifest::new(manifest, layers.into());
        let is_vulnerable = base.as_ref().map_or(!is_new_base, |base| base.is_vulnerable);
        let version = Version {
            digest: version,
            pushed_at: at,
            built_at: None,
            revision: None,
            build_key: None,
            tags: BTreeSet::new(),
            base: base.map(|base| base.version.digest.clone()),
            platforms: BTreeMap::from([("linux/amd64".parse().unwrap(), manifest)]),
        };
        versions.push(Rc::new(Pushed { version, is_vulnerable }));
        u32::try_from(versions.len() - 1).unwrap()
    }

    pub(crate) fn get(&self, number: u32) -> Rc<Pushed> {
        Rc::clone(&self.0.borrow()[number as usize])
    }

    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<Rc<Pushed>> {
        self.0.borrow().iter().find(|pushed| pushed.version.is_named_by(digest)).cloned()
    }
}

impl Pushed {
    /// Returns the scan of the version, once it is complete.
    pub(crate) fn scan(&self) -> Scan {
        let finding = Finding {
            key: FindingKey { vulnerability: "CVE-2026-0001".into(), package: "openssl".into() },
            severity: Severity::Critical,
            installed: Some("3.0.1".into()),
            kind: PackageKind::Os,
            fix: Fix::Version("3.0.2".into()),
            layer: layers(&self.version).first().cloned(),
            first_observed: None,
            exploited: false,
        };
        let findings: Vec<Finding> = self.is_vulnerable.then_some(finding).into_iter().collect();
        Scan::complete(self.version.pushed_at.max(time(FOUND)), Coverage::Os, findings)
    }
}

fn layers(version: &Version) -> Vec<Digest> {
    version.platforms.values().flat_map(|manifest| manifest.layers.to_vec()).collect()
}

fn digest(kind: &str, content: &str) -> Digest {
    format!("sha256:{:064x}", crate::search::fingerprint(&(kind, content))).parse().unwrap()
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(crate) fn id(image: u8) -> ImageId {
    IMAGES[usize::from(image)].parse().unwrap()
}

pub(crate) fn place(id: &ImageId) -> u8 {
    u8::try_from(IMAGES.iter().position(|name| *name == id.as_str()).unwrap()).unwrap()
}
