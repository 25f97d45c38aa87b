//! The examples at the end of every `--help`.

pub(crate) const PATCHWAVE: &str = "\
Examples:
  patchwave demo
  patchwave validate hierarchy.yaml
  patchwave impact base/al2023 --hierarchy hierarchy.yaml

Exit codes: 0 done; 1 the answer has findings, or something is not known;
2 bad input.";

pub(crate) const DEMO: &str = "\
Examples:
  patchwave demo
  patchwave demo --seed 42 --format json
  patchwave demo --hierarchy hierarchy.yaml
  patchwave demo --save-hierarchy demo.yaml --save-facts facts.json";

pub(crate) const VALIDATE: &str = "\
Examples:
  patchwave validate hierarchy.yaml
  patchwave validate --schema > hierarchy.schema.json";

pub(crate) const GRAPH: &str = "\
Examples:
  patchwave graph --hierarchy hierarchy.yaml
  patchwave graph --hierarchy hierarchy.yaml --format mermaid
  patchwave graph --hierarchy hierarchy.yaml --format svg > graph.svg
  patchwave graph --hierarchy hierarchy.yaml --audit --facts facts.json";

pub(crate) const DISCOVER: &str = "\
Reading AWS needs the feature `aws`. To install it:
cargo install --path cli --features aws. Everything here only reads. What is
uncertain is written `from: unknown`, with its candidates.

Examples:
  patchwave discover --profile reader --cache .patchwave > hierarchy.yaml
  patchwave discover --region us-east-1 --region eu-west-1
  patchwave discover --role arn:aws:iam::222233334444:role/reader
  patchwave discover --hierarchy hierarchy.yaml
  patchwave discover --hierarchy hierarchy.yaml --write";

pub(crate) const IMPACT: &str = "\
Examples:
  patchwave impact base/al2023 --hierarchy hierarchy.yaml
  patchwave impact platform/node:22 --hierarchy hierarchy.yaml --format json
  patchwave impact CVE-2024-6119 --hierarchy hierarchy.yaml --facts facts.json";

pub(crate) const DOCTOR: &str = "\
Every call only reads. What would need a write is not checked, and its finding
has the command that checks it. With PATCHWAVE_TABLE the deployment is checked
too. This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave doctor --hierarchy hierarchy.yaml
  AWS_PROFILE=audit patchwave doctor --format json";

pub(crate) const INVENTORY: &str = "\
Without --survey, this verb reads the table that PATCHWAVE_TABLE names. Without
that it surveys now. Both need the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave inventory --env prod
  patchwave inventory --cve CVE-2024-3094
  patchwave inventory --format csv > running.csv
  patchwave inventory --survey survey.json --facts facts.json";

pub(crate) const LIFECYCLE: &str = "\
With a POLICY, this verb does not read a hierarchy file and does not call AWS.

Examples:
  patchwave lifecycle policy.json
  aws ecr describe-images --repository-name apps/web \\
      --filter imageStatus=ANY > images.json
  patchwave inventory --format json > running.json
  patchwave lifecycle policy.json --images images.json --running running.json";

pub(crate) const MIRROR: &str = "\
This verb copies nothing. It exits with 1 if a cache lags.

Examples:
  patchwave mirror --plan --hierarchy hierarchy.yaml
  patchwave facts | patchwave mirror --plan --facts -";

pub(crate) const LIFECYCLE_PLAN: &str = "\
This verb writes nothing. A repository is refused if something in use would be
deleted, or if it is not known what runs.

Examples:
  patchwave lifecycle plan --format json > plan.json
  patchwave lifecycle plan --images images.json --running running.json";

pub(crate) const LIFECYCLE_PREVIEW: &str = "\
A preview changes nothing in a repository. ECR has one preview a repository.

Examples:
  patchwave lifecycle preview plan.json --save previewed.json
  patchwave lifecycle preview plan.json --report disagreement.json";

pub(crate) const LIFECYCLE_APPLY: &str = "\
It stops at the first repository where ECR and Patchwave do not agree, or where
the stored policy changed. It also stops if it is not known what runs, or if more
would be deleted than was previewed. The table keeps the old text.

Examples:
  patchwave lifecycle apply previewed.json
  patchwave lifecycle apply previewed.json --yes --by ada";

pub(crate) const LIFECYCLE_UNDO: &str = "\
What ECR deleted meanwhile does not come back.

Examples:
  patchwave lifecycle undo apps/web
  patchwave lifecycle undo apps/web --yes --by ada";

pub(crate) const TAGS: &str = "\
Examples:
  patchwave tags check
  patchwave tags keep --yes";

pub(crate) const TAGS_CHECK: &str = "\
This verb writes nothing.

Examples:
  patchwave tags check
  aws ecr describe-repositories > repositories.json
  aws ecr describe-images --repository-name apps/web > images.json
  patchwave tags check --images images.json --repositories repositories.json";

pub(crate) const TAGS_KEEP: &str = "\
It works on the registries whose entry in the hierarchy file says keepTags: true.
Run it after each sweep.

Examples:
  patchwave tags keep
  patchwave tags keep --yes";

pub(crate) const PROMOTE: &str = "\
A version is promoted if every platform has a complete scan, no finding of it
counts, and no proof is awaited. The registry must have signed it where it signs,
and a person must have approved it where policy says `promotion: approval`. Where
the hierarchy file names copies of an environment, it is copied there first. Run
it again after an error: it goes on with what is missing.

Examples:
  patchwave promote apps/web --from staging --to production
  patchwave promote apps/web --from staging --to production --yes --by ada";

pub(crate) const ADMISSION: &str = "\
This verb changes no cluster. It prints manifests that you apply: first with
warnings, and with --deny when nothing that runs would be refused. Not tried on a
cluster: the policies are tested in two engines of CEL and against the schemas.
Without --survey it reads the table that PATCHWAVE_TABLE names, or surveys now.

Examples:
  patchwave admission
  patchwave admission --print policy --exempt monitoring > policy.yaml
  patchwave admission --print digests > digests.yaml
  patchwave admission --print gatekeeper-digests > constraints.yaml
  patchwave admission --print ecs > ecs.yaml";

pub(crate) const PLAN: &str = "\
This verb starts nothing. Without --facts it observes first, which needs the
feature `aws`.

Examples:
  patchwave plan --hierarchy hierarchy.yaml
  patchwave plan --hierarchy hierarchy.yaml --facts facts.json
  patchwave plan --hierarchy hierarchy.yaml --first-enforcement
  patchwave observe | patchwave plan --facts -";

pub(crate) const WHY: &str = "\
Without --facts this verb observes first, which needs the feature `aws`.

Examples:
  patchwave observe > facts.json
  patchwave why apps/web --facts facts.json
  patchwave why CVE-2024-6119 --facts facts.json
  patchwave why sha256:4f1c0a5be2d7 --facts facts.json
  patchwave why docker.io/library/nginx:1.29 --facts facts.json";

pub(crate) const REGISTRY: &str = "\
This verb changes nothing: apply what it prints by your own means. Statements and
rules of others stay. Not tried on AWS: the output is checked with cfn-lint and
parsed as Terraform. Without --configured it reads the registry, which needs the
feature `aws`.

Examples:
  patchwave registry
  patchwave registry --format cloudformation --organization o-exampleorg > r.json
  patchwave registry --format terraform --registry products > registry.tf";

pub(crate) const REQUESTS: &str = "\
Without --hierarchy, the demo's hierarchy is simulated.

Examples:
  patchwave requests
  patchwave requests --hierarchy hierarchy.yaml --commits-a-day 100
  patchwave requests --upstream-tags 60
  patchwave requests --days 7 --format json";

pub(crate) const SIMULATE: &str = "\
This verb makes its own hierarchies and reads none.

Examples:
  patchwave simulate
  patchwave simulate --seeds 100 --large
  patchwave simulate --seeds 1 --first 42 --story";

pub(crate) const TABLE: &str = "\
This verb reads no hierarchy file.

Examples:
  patchwave table --name patchwave > table.json
  aws dynamodb create-table --cli-input-json file://table.json";

pub(crate) const OBSERVE: &str = "\
PATCHWAVE_HIERARCHY (or --hierarchy) names the hierarchy. With PATCHWAVE_TABLE
the ledger of that deployment is read, else an empty one. Nothing is changed,
but ECR notes a pull of each manifest that is read. Exclude your role from its
pull times if a lifecycle rule goes by them.
This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave observe > facts.json
  AWS_PROFILE=audit patchwave observe --hierarchy hierarchy.yaml > facts.json";

pub(crate) const APPROVE: &str = "\
An approval of a rebuild ends when the current version is replaced. One of a
promotion is for one version and one environment.
PATCHWAVE_HIERARCHY (or --hierarchy) and PATCHWAVE_TABLE name the deployment.
This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave approve apps/web
  patchwave approve apps/web --by jo
  patchwave approve apps/web --from staging --to production --by jo";

pub(crate) const REBUILD: &str = "\
PATCHWAVE_HIERARCHY (or --hierarchy) and PATCHWAVE_TABLE name the deployment.
This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave rebuild base/al2023
  patchwave rebuild base/al2023:2023 --by jo";

pub(crate) const RELEASE: &str = "\
PATCHWAVE_HIERARCHY (or --hierarchy) and PATCHWAVE_TABLE name the deployment.
This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Without IMAGE it lists the slots that are stuck, and exits with 1 if there are any.

Examples:
  patchwave release apps/web
  patchwave release apps/web --by jo
  patchwave release
  patchwave release --slot apps/old:1 --yes";

pub(crate) const FREEZE: &str = "\
PATCHWAVE_HIERARCHY (or --hierarchy) and PATCHWAVE_TABLE name the deployment.
This verb needs the feature `aws`. To install it:
cargo install --path cli --features aws.

Examples:
  patchwave freeze apps/web
  patchwave freeze apps/web --by jo";
