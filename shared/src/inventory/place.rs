//! The names of places, and what kind they are.

use std::fmt;

use super::survey::{ConsumerKind, Place, Use};

impl ConsumerKind {
    /// All services that run or start containers, in the order of the variants.
    pub const ALL: [Self; 12] = [
        Self::Ecs,
        Self::Eks,
        Self::Lambda,
        Self::Batch,
        Self::SageMaker,
        Self::Schedules,
        Self::AppRunner,
        Self::CodeBuild,
        Self::Emr,
        Self::MicroVms,
        Self::Pipes,
        Self::StateMachines,
    ];

    /// Returns the name that JSON has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Eks => "eks",
            Self::Lambda => "lambda",
            Self::Batch => "batch",
            Self::SageMaker => "sageMaker",
            Self::Schedules => "schedules",
            Self::Organization => "organization",
            Self::AppRunner => "appRunner",
            Self::CodeBuild => "codeBuild",
            Self::Emr => "emr",
            Self::MicroVms => "microVms",
            Self::Pipes => "pipes",
            Self::StateMachines => "stateMachines",
        }
    }
}

impl fmt::Display for ConsumerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Place {
    /// Returns a unique name of the place: `444455556666/us-east-1/ecs/shop`. The environment is
    /// not in it, because people can rename it.
    pub fn id(&self) -> String {
        let list = format!("{}/{}/{}", self.account, self.region, self.kind);
        match &self.cluster {
            Some(cluster) => format!("{list}/{cluster}"),
            None => list,
        }
    }

    /// Returns the place that represents the list of clusters which has this one; `None` if this is
    /// not a cluster.
    pub fn list(&self) -> Option<Self> {
        self.cluster.as_ref()?;
        Some(Self { cluster: None, ..self.clone() })
    }

    /// Returns whether it represents the list of a service's clusters, and not something that runs.
    pub fn is_list(&self) -> bool {
        self.cluster.is_none() && matches!(self.kind, ConsumerKind::Ecs | ConsumerKind::Eks)
    }
}

impl Use {
    /// Returns whether only a scanner reports it.
    pub const fn is_report(&self) -> bool {
        matches!(self, Self::Reported { .. })
    }

    /// Returns whether it only refers to the image, and does not run it.
    pub const fn is_reference(&self) -> bool {
        matches!(self, Self::Referenced)
    }
}
