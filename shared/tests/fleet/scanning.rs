use patchwave::facts::Manifest;
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::image::{Digest, ImageId};

use super::Fleet;

pub(crate) fn finding(vulnerability: &str) -> Finding {
    finding_in(vulnerability, "openssl")
}

pub(crate) fn finding_in(vulnerability: &str, package: &str) -> Finding {
    Finding {
        key: FindingKey { vulnerability: vulnerability.into(), package: package.into() },
        severity: Severity::Critical,
        installed: Some("3.0.1".into()),
        kind: PackageKind::Os,
        fix: Fix::Version("3.0.2".into()),
        layer: None,
        first_observed: None,
        exploited: false,
    }
}

pub(crate) fn high(vulnerability: &str) -> Finding {
    Finding { severity: Severity::High, ..finding(vulnerability) }
}

impl Fleet {
    /// The layer that `name` itself adds, on its first platform.
    pub(crate) fn own_layer(&self, name: &str) -> Digest {
        self.current(name).platforms.values().next().unwrap().layers.last().unwrap().clone()
    }

    /// The layer that `name` itself adds, on every platform.
    pub(crate) fn own_layers(&self, name: &str) -> Vec<Digest> {
        self.current(name).platforms.values().map(|m| m.layers.last().unwrap().clone()).collect()
    }

    /// The findings of an image's own layer that its next build does not fix.
    pub(super) fn unfixable_findings(&self, image: &ImageId) -> Vec<Finding> {
        self.facts.images[image]
            .current_version()
            .and_then(|version| version.platforms.values().next()?.layers.last())
            .and_then(|layer| self.layers.get(layer))
            .map(|findings| findings.iter().filter(|f| self.unfixable.contains(&f.key)).cloned().collect())
            .unwrap_or_default()
    }

    /// Adds a finding to the layer that `name` itself adds, on every platform. The next scans list
    /// it.
    pub(crate) fn add_finding(&mut self, name: &str, finding: &Finding) {
        for layer in self.own_layers(name) {
            self.layers.entry(layer).or_default().push(finding.clone());
        }
    }

    /// Scans all versions of an image.
    pub(crate) fn scan(&mut self, name: &str) {
        let (layers, coverage, now) = (self.layers.clone(), self.coverage, self.now);
        for manifest in self.manifests(name) {
            let findings = manifest.layers.iter().flat_map(|layer| layers.get(layer).into_iter().flatten());
            manifest.scan = Scan::complete(now, coverage, findings.cloned().collect::<Vec<_>>());
        }
    }

    pub(crate) fn scan_all(&mut self) {
        let names: Vec<String> = self.facts.images.keys().map(ToString::to_string).collect();
        for name in names {
            self.scan(&name);
        }
    }

    /// The platform manifests of all versions of an image.
    pub(crate) fn manifests(&mut self, name: &str) -> impl Iterator<Item = &mut Manifest> {
        self.image(name).versions.values_mut().flat_map(|version| version.platforms.values_mut())
    }

    /// Changes what the scans of an image's versions list.
    pub(crate) fn change_findings(&mut self, name: &str, mut change: impl FnMut(&mut Finding)) {
        for manifest in self.manifests(name) {
            let Scan::Complete { findings, .. } = &mut manifest.scan else { panic!("{:?}", manifest.scan) };
            let mut listed = findings.to_vec();
            listed.iter_mut().for_each(&mut change);
            *findings = listed.into();
        }
    }

    /// Makes the scans of an image's versions fail, as those of an unsupported system do.
    pub(crate) fn fail_scans(&mut self, name: &str) {
        self.manifests(name).for_each(|manifest| manifest.scan = Scan::Failed("UNSUPPORTED_IMAGE".into()));
    }

    /// Removes the layers of an image's versions, so that they are no evidence.
    pub(crate) fn forget_layers(&mut self, name: &str) {
        self.manifests(name).for_each(|manifest| manifest.layers = [].into());
    }
}
