//! Which images a cluster may run: policies that are printed for others to apply.
//!
//! Two policies, both in the core of CEL, so that any engine of it evaluates them alike. The first
//! admits exact repositories, and asks for digests. The second admits digests that were scanned,
//! satisfy policy and are younger than `maxAge`. [`Allowed`] and [`Admitted`] are their lists;
//! [`refused`] says what runs now and would be refused. [`gatekeeper_manifests`] and
//! [`gatekeeper_digest_manifests`] have both in Rego. Nothing here writes to a cluster.
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

mod admitted;
mod allowed;
mod digests;
mod ecs;
mod gatekeeper;
mod manifests;
mod refused;

pub use admitted::{Admitted, Standing, admitted};
pub use allowed::{Allowed, allowed};
pub use digests::{MOST_DIGESTS, NamespaceList, digest_manifests, lists};
pub use ecs::{EcsRule, ecs_rule};
pub use gatekeeper::{gatekeeper_digest_manifests, gatekeeper_manifests};
pub use manifests::{Action, Scope, repository_manifests};
pub use refused::{Because, Refused, Review, judge, refused};
