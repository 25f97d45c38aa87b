//! The hierarchy file as it is written: its keys, before any check of their values.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::repository::RepositoryName;
use super::written::{LongForm, ShortOr, WholeNumber, Written};
use super::{RevisionType, Tier, Variable};
use crate::finding::Severity;
use crate::image::{EcrRegistry, ImageId, Order, Registry, Repository, Tag, TagPattern};
use crate::policy::{Mode, Promoting, Rebuild, UnknownFix};
use crate::time::{Span, Timestamp};

/// A key that most images do not have. On its own, so that an image without it stays small: half of
/// the time to load a large file was the memory for what it does not say.
pub(super) type Rare<T> = Option<Box<T>>;

/// Patchwave's hierarchy file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Patchwave hierarchy", extend(
    "oneOf" = [{ "required": ["registry"] }, { "required": ["registries"] }],
    // What other keys repeat by anchor and alias.
    "patternProperties" = { "^x-": {} }
))]
pub(super) struct File {
    /// The version of this format: 1.
    #[schemars(with = "WholeNumber", extend("enum" = [1, "1"]))]
    pub(super) version: Spanned<u64>,
    /// The host of the private ECR registry that all images are pushed to. It declares `home`.
    pub(super) registry: Option<Written<EcrRegistry>>,
    /// Instead of `registry`: the private ECR registries of the organisation, by name. One of them
    /// is `home`, where Patchwave runs.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, RegistryKeys>>")]
    pub(super) registries: BTreeMap<String, Spanned<RegistryKeys>>,
    /// The images of others that may run.
    #[serde(default)]
    #[schemars(with = "Option<Vec<ApprovedKeys>>")]
    pub(super) approved: Vec<Spanned<ApprovedKeys>>,
    /// The policy of every image, and the limits of the fleet.
    pub(super) policy: Option<FleetKeys>,
    /// The policy of all images of a tier, and defaults of their keys.
    pub(super) tiers: Option<TiersKeys>,
    /// The files of teams, beside this one, by the owner of their images.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, PartKeys>>")]
    pub(super) parts: BTreeMap<String, Spanned<PartKeys>>,
    /// The images, in any order.
    // Not `default`: a file that was cut off after `images:` must not pass for one without images.
    #[schemars(with = "Vec<ImageKeys>")]
    pub(super) images: Option<Vec<Spanned<ImageKeys>>>,
    /// The accounts and Regions of pipelines that are not in the registry's, by name.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, BuilderKeys>>")]
    pub(super) builders: BTreeMap<String, Spanned<BuilderKeys>>,
    /// The teams that images belong to, by name.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, Option<OwnerKeys>>>")]
    pub(super) owners: BTreeMap<String, Spanned<OwnerKeys>>,
    /// The accounts and Regions whose containers Patchwave surveys.
    pub(super) inventory: Option<InventoryKeys>,
    /// The registries of others, whose tags Patchwave watches.
    pub(super) upstreams: Option<UpstreamsKeys>,
}

/// A mapping that has the policy's keys beside its own.
pub(super) trait HasPolicy {
    /// Takes the policy's keys out.
    fn policy_keys(&mut self) -> PolicyKeys;
}

/// Declares mappings that have the policy's keys beside their own. Serde's `flatten` would lose the
/// places of unknown keys.
macro_rules! with_policy_keys {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$own_meta:meta])* $own:ident: $own_type:ty,)* })*) => { $(
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        $(#[$meta])*
        pub(super) struct $name {
            $($(#[$own_meta])* pub(super) $own: $own_type,)*
            /// `observe` plans and reports rebuilds; `enforce` starts them.
            pub(super) mode: Rare<Written<Mode>>,
            /// The lowest severity that counts.
            pub(super) rebuild_at: Rare<Written<Threshold>>,
            /// What to do about findings without a known fix.
            pub(super) unknown_fix: Rare<Written<UnknownFix>>,
            /// Patchwave rebuilds a version when it is this old.
            pub(super) max_age: Rare<Written<Span>>,
            /// How long a parent's tag must not have moved, if Patchwave did not push it.
            pub(super) quiet_period: Rare<ShortOr<Span, PatienceKeys>>,
            /// How long a rebuild waits for the scan that proves its fix.
            pub(super) proof_wait: Rare<ShortOr<Span, PatienceKeys>>,
            /// How long a scan that was made once counts as clean.
            pub(super) scan_max_age: Rare<Written<Span>>,
            /// The longest that quiet periods may delay a start.
            pub(super) max_wait: Rare<Written<Span>>,
            /// How long a build may hold its slot.
            pub(super) max_build_time: Rare<Written<Span>>,
            /// When the fix of a finding is due, counted from its appearance.
            pub(super) deadlines: Rare<DeadlinesKeys>,
            /// How long an upstream tag may stay unchanged before people should check its support.
            pub(super) upstream_silence: Rare<Written<Span>>,
            /// Who decides that an image may be rebuilt.
            pub(super) rebuild: Rare<Written<Rebuild>>,
            /// Who decides that `patchwave promote` may promote a version.
            pub(super) promotion: Rare<Written<Promoting>>,
        }

        impl HasPolicy for $name {
            fn policy_keys(&mut self) -> PolicyKeys {
                PolicyKeys {
                    mode: self.mode.take(),
                    rebuild_at: self.rebuild_at.take(),
                    unknown_fix: self.unknown_fix.take(),
                    max_age: self.max_age.take(),
                    quiet_period: self.quiet_period.take(),
                    proof_wait: self.proof_wait.take(),
                    scan_max_age: self.scan_max_age.take(),
                    max_wait: self.max_wait.take(),
                    max_build_time: self.max_build_time.take(),
                    deadlines: self.deadlines.take(),
                    upstream_silence: self.upstream_silence.take(),
                    rebuild: self.rebuild.take(),
                    promotion: self.promotion.take(),
                }
            }
        }
    )* };
}

with_policy_keys! {
    /// The keys that say what may be rebuilt, and when.
    struct PolicyKeys {}

    /// Policy for all images of a tier, and defaults of their keys.
    struct TierKeys {
        /// The pipeline of each image, with `{repository}` for the repository's name: a `/` becomes
        /// `-`.
        pipeline: Option<Written<String>>,
        /// The tags of the versions of images without `tags`, `tagPattern` and `lines`.
        tag_pattern: Option<ShortOr<TagPattern, FamilyKeys>>,
        /// The team that owns the images: a name under `owners`.
        owner: Option<Written<String>>,
    }

    /// Policy of the images of a part.
    struct PartPolicyKeys {
        /// The vulnerabilities that cause no rebuild, each with its images.
        #[serde(default)]
        #[schemars(with = "Option<Vec<SuppressKeys>>")]
        suppress: Vec<Spanned<SuppressKeys>>,
    }

    /// Policy of every image, and the limits of the fleet.
    struct FleetKeys {
        /// How many builds may run at once.
        #[schemars(with = "Option<WholeNumber>")]
        max_concurrent_builds: Option<Spanned<u32>>,
        /// How many builds may start on one day (UTC).
        #[schemars(with = "Option<WholeNumber>")]
        max_starts_per_day: Option<Spanned<u32>>,
        /// The vulnerabilities that cause no rebuild, each with its images.
        #[serde(default)]
        #[schemars(with = "Option<Vec<SuppressKeys>>")]
        suppress: Vec<Spanned<SuppressKeys>>,
    }

    /// An image: a repository and the versions in it that count.
    #[schemars(extend("oneOf" = one_of_three()))]
    struct ImageKeys {
        /// Its name. By default `<repository>:<first tag>`, or `<repository>` with `tagPattern`.
        id: Rare<Written<ImageId>>,
        /// Its tier. A parent is never of a later tier than its child.
        #[schemars(required)]
        tier: Option<Written<Tier>>,
        /// The repository that its versions are pushed to: the name alone, without the registry's
        /// host.
        #[schemars(required)]
        repository: Option<Written<RepositoryName>>,
        /// The registry that its versions are pushed to: a name under `registries`. By default
        /// `home`.
        registry: Rare<Written<String>>,
        /// Its stable tags. Patchwave tracks the first; the others must name the same version.
        #[schemars(with = "Option<Vec<Written<Tag>>>", extend("minItems" = 1))]
        tags: Option<Spanned<Vec<Written<Tag>>>>,
        /// The tags of its versions, with `*` for any characters. The newest version is current.
        tag_pattern: Rare<ShortOr<TagPattern, FamilyKeys>>,
        /// Instead of `tags` and `tagPattern`: several lines of versions. Patchwave rebuilds each
        /// by itself.
        #[schemars(with = "Option<Vec<LineKeys>>", extend("minItems" = 1))]
        lines: Rare<Spanned<Vec<Spanned<LineKeys>>>>,
        /// The base of its final stage: an id or `repository:tag` of this file, `scratch`,
        /// `unknown`, or an image with its registry's host, such as `docker.io/library/debian:12`.
        /// Or a base for each platform, and `default` for the others.
        #[schemars(required)]
        from: Option<ShortOr<String, BTreeMap<String, Written<String>>>>,
        /// Whether its source names its parents by digest, so that only a commit moves them.
        #[schemars(with = "Option<bool>")]
        pinned: Rare<Spanned<bool>>,
        /// The images that its other stages are built on.
        #[serde(default)]
        #[schemars(with = "Option<Vec<Written<String>>>")]
        copy_from: Vec<Written<String>>,
        /// The pipeline that builds it.
        pipeline: Rare<ShortOr<CodePipelineName, PipelineKeys>>,
        /// The team that owns it: a name under `owners`.
        owner: Rare<Written<String>>,
    }
}

impl LongForm for PatienceKeys {}
impl LongForm for PipelineKeys {}
impl LongForm for FamilyKeys {}
/// A parent for each platform.
impl LongForm for BTreeMap<String, Written<String>> {
    const TAKES_NUMBERS: bool = true;
    const LIKE: &'static str =
        "a parent for each platform, such as { default: base/os, linux/arm64: base/os-arm }";
}

/// The schema's rule for an image: at most one of three keys says which version is current.
fn one_of_three() -> serde_json::Value {
    let keys = [("tags", "array"), ("tagPattern", ""), ("lines", "array")];
    let form = |(key, kind): (&str, &str)| {
        let kind = if kind.is_empty() { serde_json::json!(["string", "object"]) } else { kind.into() };
        serde_json::json!({ "required": [key], "properties": { key: { "type": kind } } })
    };
    let mut forms: Vec<_> = keys.map(form).into();
    // A tier may say it for its images.
    let any = keys.map(|(key, _)| serde_json::json!({ "required": [key] }));
    forms.push(serde_json::json!({ "not": { "anyOf": any } }));
    forms.into()
}

/// A line of versions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LineKeys {
    /// The environment: with `current: deployed` what runs there is current, with `tag` or
    /// `tagPattern` what people promote there.
    pub(super) environment: Option<Written<EnvironmentName>>,
    /// The tag that people move when they promote a version to the environment.
    pub(super) tag: Option<Written<Tag>>,
    /// Whose version counts, as `cluster/namespace/kind/name` with `*` for any characters; with
    /// `current: deployed`. By default all services and workloads count, and must agree.
    #[schemars(with = "Option<Vec<Written<WorkloadGlob>>>", extend("minItems" = 1))]
    pub(super) workloads: Option<Spanned<Vec<Written<WorkloadGlob>>>>,
    /// The tags of the line's versions.
    pub(super) tag_pattern: Option<ShortOr<TagPattern, FamilyKeys>>,
    /// Which version is current. With `tagPattern` alone it is the newest.
    pub(super) current: Option<Written<Which>>,
}

/// The tags of a line's versions, where one pattern cannot tell them from others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FamilyKeys {
    /// The tags, with `*` for any characters.
    #[serde(rename = "match")]
    pub(super) pattern: Written<TagPattern>,
    /// Tags that belong to other lines.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Written<TagPattern>>>")]
    pub(super) except: Vec<Written<TagPattern>>,
    /// Which version is the newest: the one pushed last, or the one with the highest version.
    pub(super) order: Option<Written<Order>>,
}

/// Which version of a line is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Which {
    Newest,
    /// The one that runs.
    Deployed,
}

/// The policies of the tiers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TiersKeys {
    /// For operating systems and the like.
    pub(super) base: Option<TierKeys>,
    /// For runtimes and frameworks.
    pub(super) platform: Option<TierKeys>,
    /// For what the organisation sells.
    pub(super) application: Option<TierKeys>,
}

/// What the file of a team may say.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PartKeys {
    /// The file's name, from the folder of this file.
    pub(super) file: Written<String>,
    /// The repositories of its images, with `*` for any characters.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Written<String>>>")]
    pub(super) repositories: Vec<Written<String>>,
    /// The pipelines of its images, with `*` for any characters.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Written<String>>>")]
    pub(super) pipelines: Vec<Written<String>>,
    /// How it may be less strict than this file. By default it may not.
    #[serde(default)]
    #[schemars(with = "Option<Vec<MayLoosen>>")]
    pub(super) may_loosen: Vec<Written<MayLoosen>>,
}

/// A way to be less strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum MayLoosen {
    /// `mode: observe` where this file enforces.
    Observe,
    /// Another `rebuild` than `auto`, or another `unknownFix`.
    Rebuild,
    /// A higher `rebuildAt`.
    RebuildAt,
    /// A longer `maxAge` or `scanMaxAge`.
    Ages,
    /// A longer `quietPeriod`, `proofWait`, `maxWait` or `maxBuildTime`.
    Waits,
    /// Longer `deadlines`.
    Deadlines,
    /// `promotion: auto` where this file asks for approval.
    Promotion,
    /// `suppress`.
    Suppress,
}

/// The file of a team.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PartFile {
    /// The version of this format: 1.
    #[schemars(with = "WholeNumber", extend("enum" = [1, "1"]))]
    pub(super) version: Spanned<u64>,
    /// The policy of its images.
    pub(super) policy: Option<PartPolicyKeys>,
    /// The policy of its images of a tier, and defaults of their keys.
    pub(super) tiers: Option<TiersKeys>,
    /// Its images, in any order.
    #[schemars(with = "Vec<ImageKeys>")]
    pub(super) images: Option<Vec<Spanned<ImageKeys>>>,
}

/// A span that may be shorter for critical findings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PatienceKeys {
    /// With a critical finding.
    pub(super) critical: Rare<Written<Span>>,
    pub(super) default: Rare<Written<Span>>,
}

/// When the fix of a finding is due, counted from its appearance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeadlinesKeys {
    /// For critical findings.
    pub(super) critical: Rare<Written<Span>>,
    /// For high findings.
    pub(super) high: Rare<Written<Span>>,
    /// For medium findings and everything below.
    pub(super) medium: Rare<Written<Span>>,
}

/// A vulnerability that causes no rebuild.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SuppressKeys {
    /// Its id, such as `CVE-2024-0727`.
    #[schemars(extend("pattern" = "\\S"))]
    pub(super) vulnerability: Written<String>,
    /// The images: ids or repositories, with `*` for any characters.
    pub(super) images: Vec<Written<String>>,
    /// The last day (UTC) on which it applies.
    pub(super) until: Written<LastDay>,
    /// Why, for the people who read the file later.
    #[schemars(extend("pattern" = "\\S"))]
    pub(super) reason: Written<String>,
}

/// A pipeline and what Patchwave may send to it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PipelineKeys {
    /// Its name in CodePipeline.
    pub(super) name: Written<CodePipelineName>,
    /// Where it is: a name under `builders`. By default the registry's account and Region.
    pub(super) builder: Option<Written<String>>,
    /// The variables that it declares. By default all six.
    pub(super) variables: Option<Vec<Written<Variable>>>,
    /// The source actions that Patchwave pins to the line's commit.
    #[serde(default)]
    #[schemars(with = "Option<Vec<SourceKeys>>")]
    pub(super) sources: Vec<SourceKeys>,
}

/// A source action that is pinned.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SourceKeys {
    /// The action's name in the pipeline.
    pub(super) action: Written<CodePipelineName>,
    /// The form of its revision.
    #[serde(rename = "type")]
    pub(super) revision_type: Written<RevisionType>,
}

/// A private ECR registry of the organisation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RegistryKeys {
    #[schemars(required)]
    pub(super) host: Option<Written<EcrRegistry>>,
    /// The role that reads and scans: its name or its ARN. Leave it out in Patchwave's own account.
    pub(super) role: Option<Written<RoleName>>,
    /// The external id in the role's trust policy.
    pub(super) external_id: Option<Written<ExternalId>>,
    /// Other hosts at which the registry answers. Its hosts for FIPS and IPv6 are known.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Written<Registry>>>")]
    pub(super) aliases: Vec<Written<Registry>>,
    /// ECR's pull-through caches: from the prefix of the repositories to the upstream registry's
    /// host.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, String>>")]
    pub(super) caches: BTreeMap<String, Written<UpstreamName>>,
    /// The name of the registry that ECR replicates here.
    pub(super) replica_of: Option<Written<String>>,
    /// The repositories here that hold copies of others.
    #[serde(default)]
    #[schemars(with = "Option<Vec<CopiesKeys>>")]
    pub(super) copies: Vec<CopiesKeys>,
    /// Whether `patchwave tags keep` gives what runs a keep tag, which a lifecycle rule spares. By
    /// default it does not.
    #[schemars(with = "Option<bool>")]
    pub(super) keep_tags: Option<Spanned<bool>>,
}

/// Repositories that hold copies of others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CopiesKeys {
    /// The name of the registry that is copied from. By default the same registry.
    pub(super) of: Option<Written<String>>,
    /// The repositories that are copied, with at most one `*`.
    pub(super) from: Written<RepositoryGlob>,
    /// What they are called here, with as many `*`.
    pub(super) to: Written<RepositoryGlob>,
    /// The environment whose releases they are: `patchwave promote` copies here.
    pub(super) environment: Option<Written<EnvironmentName>>,
    /// The role that copies here, by name or ARN. By default the registry's role.
    pub(super) role: Option<Written<RoleName>>,
    /// The external id in the role's trust policy.
    pub(super) external_id: Option<Written<ExternalId>>,
}

/// Images of others that may run: of a host or of an account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["host"] }, { "required": ["account"] }]))]
pub(super) struct ApprovedKeys {
    /// The registry's host, without any `*`.
    pub(super) host: Option<Written<Registry>>,
    /// An account whose private ECR registries are meant, in every Region.
    pub(super) account: Option<Written<AccountId>>,
    /// The repositories, with `*` for any characters.
    #[schemars(with = "Vec<RepositoryGlob>", extend("minItems" = 1))]
    pub(super) repositories: Spanned<Vec<Written<RepositoryGlob>>>,
}

/// The registries of others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UpstreamsKeys {
    /// Whether Patchwave asks them which digest a tag names.
    #[schemars(with = "Option<bool>")]
    pub(super) watch: Option<Spanned<bool>>,
    /// What differs for a registry, by its host.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<Registry, Option<UpstreamKeys>>>")]
    pub(super) hosts: BTreeMap<String, Spanned<UpstreamKeys>>,
}

/// A registry of others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UpstreamKeys {
    /// Whether Patchwave asks it which digest a tag names.
    #[schemars(with = "Option<bool>")]
    pub(super) watch: Option<Spanned<bool>>,
    /// The ARN of the secret with `username` and `accessToken`, as pull-through caches have it.
    pub(super) credentials: Option<Written<SecretArn>>,
}

/// A team.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OwnerKeys {
    /// The ARN of an SNS topic. It is in the notices about the team's images.
    pub(super) notify: Option<Written<TopicArn>>,
    /// How many builds of the team's images may run at once, within the fleet's limit.
    #[schemars(with = "Option<WholeNumber>")]
    pub(super) max_concurrent_builds: Option<Spanned<u32>>,
}

/// The account and Region of pipelines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BuilderKeys {
    /// The account's twelve digits, in quotes.
    #[schemars(required)]
    pub(super) account: Option<Written<AccountId>>,
    /// The Region, such as `us-east-1`.
    #[schemars(required)]
    pub(super) region: Option<Written<RegionName>>,
    /// The role that starts pipelines: its name or its ARN. Leave it out in Patchwave's own
    /// account.
    pub(super) role: Option<Written<RoleName>>,
    /// The external id in the role's trust policy.
    pub(super) external_id: Option<Written<ExternalId>>,
}

/// The accounts and Regions whose containers Patchwave surveys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InventoryKeys {
    /// The Regions, such as `us-east-1`.
    #[schemars(with = "Vec<RegionName>", extend("minItems" = 1))]
    pub(super) regions: Spanned<Vec<Written<RegionName>>>,
    /// The role that reads what runs, in accounts that name none.
    pub(super) role: Option<Written<RoleName>>,
    /// The external id in the trust policies of those roles.
    pub(super) external_id: Option<Written<ExternalId>>,
    /// The accounts of AWS Organizations.
    #[schemars(with = "Option<OrganizationKeys>")]
    pub(super) organization: Option<Spanned<OrganizationKeys>>,
    #[schemars(with = "Vec<AccountKeys>", extend("minItems" = 1))]
    pub(super) accounts: Spanned<Vec<AccountKeys>>,
    /// What may stay uninspected: a service such as `sageMaker`, or a kind of objects
    /// in clusters, as the inventory names it.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Written<KindName>>>")]
    pub(super) accept: Vec<Written<KindName>>,
}

/// The accounts of AWS Organizations.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OrganizationKeys {
    /// The ids of the organisational units, with all that is below them. By default the whole
    /// organisation.
    #[serde(default)]
    #[schemars(with = "Option<Vec<UnitId>>")]
    pub(super) units: Vec<Written<UnitId>>,
    /// The tag of accounts that names their environment.
    pub(super) environment_tag: Option<Written<String>>,
}

/// An account to survey.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AccountKeys {
    /// Its twelve digits, in quotes.
    pub(super) id: Written<AccountId>,
    /// The role that reads what runs: its name or its ARN. Leave it out in Patchwave's own account.
    pub(super) role: Option<Written<RoleName>>,
    /// The external id in the role's trust policy.
    pub(super) external_id: Option<Written<ExternalId>>,
    /// The account's environment, such as `prod`.
    pub(super) environment: Option<Written<EnvironmentName>>,
    /// What differs for some of its clusters, by their names.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, ClusterKeys>>")]
    pub(super) clusters: BTreeMap<String, ClusterKeys>,
}

/// A cluster of ECS or EKS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClusterKeys {
    /// Whether it may stay unread: the metric of the alarm does not count it.
    pub(super) unreadable: Written<Unreadable>,
}

/// What it means that a cluster cannot be read.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Unreadable {
    /// It is so by design.
    Accepted,
}

/// Declares one of AWS's texts, which is checked when it is read.
macro_rules! checked {
    ($($(#[$doc:meta])* $name:ident, $pattern:literal, $expected:literal, $valid:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub(super) struct $name(String);

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    return Ok(Self(text));
                }
                let shown: String = text.chars().take(200).collect();
                Err(format!("{shown:?} is not {}", $expected))
            }
        }
    )* };
}

checked! {
    /// An AWS account.
    AccountId, "^[0-9]{12}$", "an AWS account (12 digits, in quotes)",
        |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    /// A Region of AWS.
    RegionName, "^[a-z0-9]+(-[a-z0-9]+)+$", "a Region (such as us-east-1)",
        |text| (2..=32).contains(&text.len())
            && text.contains('-')
            && text.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
    /// A role of IAM: its name, with its path if it has one, or its ARN.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    RoleName, "^[A-Za-z0-9_+=,.@:/-]{1,600}$", "a role (its name, or its ARN)",
        |text| (1..=600).contains(&text.len())
            && (text.starts_with("arn:") || !text.contains(':'))
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b));
    /// The external id of a trust policy.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    ExternalId, "^[A-Za-z0-9_+=,.@:/-]{2,1224}$", "an external id (2 to 1224 letters, digits and _ + = , . @ : / -)",
        |text| (2..=1224).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b));
    /// An SNS topic.
    TopicArn, "^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$", "the ARN of an SNS topic",
        |text| text.len() <= 400
            && text.starts_with("arn:")
            && text.split(':').nth(2) == Some("sns")
            && text.split(':').count() == 6
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.-".contains(&b));
    /// A secret of Secrets Manager.
    SecretArn, "^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}$",
        "the ARN of a secret of Secrets Manager",
        |text| text.len() <= 600
            && text.starts_with("arn:")
            && text.split(':').nth(2) == Some("secretsmanager")
            && text.split(':').nth(5) == Some("secret")
            && text.split(':').count() == 7
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_+=.@-".contains(&b));
    /// Workloads, by what the inventory calls them.
    WorkloadGlob, r"^[A-Za-z0-9_.:*-]+(/[A-Za-z0-9_.:*-]+){1,4}$",
        "a workload (cluster/namespace/kind/name, with * for any characters, such as blue/shop/Deployment/*)",
        |text| (1..5).contains(&text.matches('/').count()) && text.split('/').all(|part| !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:*-".contains(&b)));
    /// Repositories, with `*` for any characters.
    RepositoryGlob, "^[a-z0-9*]([a-z0-9._/*-]*[a-z0-9*])?$", "repositories (a name with * for any characters, such as apps/*)",
        |text| (1..=256).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._/*-".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '*')
            && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '*');
    /// An upstream registry: its host, with a path if the cache has one.
    UpstreamName, "^[A-Za-z0-9][A-Za-z0-9.:-]*[.:][A-Za-z0-9.:-]*(/[a-z0-9._/-]+)?$",
        "an upstream registry (its host, such as docker.io)",
        |text| {
            let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
            host.parse::<Registry>().is_ok() && path.is_none_or(|path| path.parse::<Repository>().is_ok())
        };
    /// An organisational unit, or a root.
    /// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListChildren.html>
    UnitId, "^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$",
        "an organisational unit (its id, such as ou-ab12-cdefgh34)",
        |text| {
            let is_id = |part: &str, least: usize| (least..=32).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            match text.split('-').collect::<Vec<_>>()[..] {
                ["r", root] => is_id(root, 4),
                ["ou", root, unit] => is_id(root, 4) && is_id(unit, 8),
                _ => false,
            }
        };
    /// A service, or a kind of objects in clusters.
    KindName, "^[A-Za-z0-9.-]{1,253}$", "a service or a kind of objects (such as sageMaker or argoproj.io)",
        |text| (1..=253).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    /// An environment of accounts, as people name it.
    EnvironmentName, "^[A-Za-z0-9_.-]{1,64}$", "an environment (1 to 64 letters, digits and _ . -, such as prod)",
        |text| (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
}

/// A severity that a policy may name. A finding without a rating causes no rebuild.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Threshold {
    Critical,
    High,
    Medium,
    Low,
}

impl From<Threshold> for Severity {
    fn from(threshold: Threshold) -> Self {
        match threshold {
            Threshold::Critical => Self::Critical,
            Threshold::High => Self::High,
            Threshold::Medium => Self::Medium,
            Threshold::Low => Self::Low,
        }
    }
}

/// The name of a pipeline or of an action in it:
/// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineDeclaration.html>.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9.@_-]{1,100}$"))]
pub(super) struct CodePipelineName(String);

impl From<CodePipelineName> for String {
    fn from(name: CodePipelineName) -> Self {
        name.0
    }
}

impl TryFrom<String> for CodePipelineName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'@' | b'_' | b'-');
        if (1..=100).contains(&text.len()) && text.bytes().all(legal) {
            return Ok(Self(text));
        }
        let shown: String = text.chars().take(200).collect();
        Err(format!("{shown:?} is not a name of CodePipeline (1 to 100 letters, digits and . @ _ -)"))
    }
}

/// A day, kept as the first moment after it (UTC).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("format" = "date", "pattern" = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
pub(super) struct LastDay(pub(super) Timestamp);

impl TryFrom<String> for LastDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        midnight_after(&text).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(50).collect();
            format!("{shown:?} is not a day (YYYY-MM-DD, such as 2026-12-31)")
        })
    }
}

fn midnight_after(day: &str) -> Option<Timestamp> {
    let written =
        day.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if !written || day.len() != 10 {
        return None;
    }
    let day: Date = day.parse().ok()?;
    Some(day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}
