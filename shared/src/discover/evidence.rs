//! The kinds of evidence for what an image is built on.

use std::fmt;

use serde::Serialize;

/// A kind of evidence, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The steps of the build, from provenance with `mode=max`.
    Provenance,
    /// `org.opencontainers.image.base.name` and `.digest`, which the layers do not contradict.
    Annotation,
    /// The image starts with all layers of the other.
    Layers,
    /// buildah's comment `FROM` in the history of the config.
    History,
    /// The one of the images that the build used whose layers the image starts with: provenance
    /// with `mode=min`.
    Materials,
    /// A label `org.opencontainers.image.base.name` that no other image has.
    Label,
    /// The text of the Dockerfile that provenance carries.
    Dockerfile,
}

impl Kind {
    /// All kinds, the strongest first.
    pub const ALL: [Self; 7] = [
        Self::Provenance,
        Self::Annotation,
        Self::Layers,
        Self::History,
        Self::Materials,
        Self::Label,
        Self::Dockerfile,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provenance => "provenance",
            Self::Annotation => "annotation",
            Self::Layers => "layers",
            Self::History => "history",
            Self::Materials => "materials",
            Self::Label => "label",
            Self::Dockerfile => "dockerfile",
        })
    }
}
