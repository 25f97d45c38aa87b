//! What places are called.

use std::fmt;

use super::survey::{ConsumerKind, Place, Use};

impl ConsumerKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ecs, Self::Eks, Self::Lambda, Self::Batch, Self::SageMaker, Self::Schedules];

    /// Returns its name, as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Eks => "eks",
            Self::Lambda => "lambda",
            Self::Batch => "batch",
            Self::SageMaker => "sageMaker",
            Self::Schedules => "schedules",
        }
    }
}

impl fmt::Display for ConsumerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Place {
    /// Returns what tells it from every other place: `444455556666/us-east-1/ecs/shop`. The environment is what people call
    /// the account, and may change.
    pub fn id(&self) -> String {
        let list = format!("{}/{}/{}", self.account, self.region, self.kind);
        match &self.cluster {
            Some(cluster) => format!("{list}/{cluster}"),
            None => list,
        }
    }

    /// Returns the place that stands for the list that this cluster is on; nothing for one that is no cluster.
    pub fn list(&self) -> Option<Self> {
        self.cluster.as_ref()?;
        Some(Self { cluster: None, ..self.clone() })
    }

    /// Tells whether it stands for the list of a service's clusters, and not for something that runs.
    pub fn is_list(&self) -> bool {
        self.cluster.is_none() && matches!(self.kind, ConsumerKind::Ecs | ConsumerKind::Eks)
    }
}

impl Use {
    /// Tells whether the scanner says so, and nobody looked.
    pub const fn is_report(&self) -> bool {
        matches!(self, Self::Reported { .. })
    }

    /// Tells whether it only refers to the image, and does not run it.
    pub const fn is_reference(&self) -> bool {
        matches!(self, Self::Referenced)
    }
}
