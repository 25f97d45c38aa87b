//! `mirror`: which upstream images are built on, where a copy of each lies or could, and which
//! cache lags.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use patchwave::facts::Facts;
use patchwave::image::{Partition, Registry};
use patchwave::upstream::{Lagging, Mirrored, Place, mirrored};
use serde::Serialize;

use crate::args::{Args, Mirror};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, NAME, STRONG, count, paint, some, wrapped, written};

/// How many images the text names; JSON lists all.
const SHOWN: usize = 4;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    upstreams: Vec<Mirrored>,
    /// What creates the rules and copies, in order.
    commands: Vec<String>,
    /// The keys of the home registry in the hierarchy file, for the rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caches: Vec<String>,
}

pub(crate) fn run(args: &Args, options: &Mirror) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let facts: Option<Facts> = match &options.facts {
        Some(file) => Some(input::json(file, "a snapshot of facts")?),
        None => None,
    };
    let upstreams = mirrored(&hierarchy, facts.as_ref());
    let home = hierarchy.registry();
    let mut commands: Vec<String> = Vec::new();
    let mut caches: BTreeSet<String> = BTreeSet::new();
    for of in &upstreams {
        let secret = hierarchy.upstreams().credentials(&of.upstream.registry);
        let region = home.region();
        let command = match &of.place {
            Place::Cache { .. } => continue,
            Place::Rule { prefix, url, needs_secret, .. } => {
                caches.insert(format!("{prefix}: {}", of.upstream.registry));
                let secret = needs_secret
                    .then(|| secret.map_or_else(|| a_secret(region, home.account(), prefix), str::to_owned));
                let secret = secret.map(|arn| format!(" --credential-arn {arn}")).unwrap_or_default();
                format!(
                    "aws ecr create-pull-through-cache-rule --region {region} --ecr-repository-prefix {prefix} \
                     --upstream-registry-url {url}{secret}"
                )
            }
            Place::Copy { repository } => {
                let create =
                    format!("aws ecr create-repository --region {region} --repository-name {repository}");
                if !commands.contains(&create) {
                    commands.push(create);
                }
                copy(of, &format!("{home}/{repository}"))
            }
        };
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let lags = upstreams.iter().any(|of| !of.lagging.is_empty());
    let planned = Planned { upstreams, commands, caches: caches.into_iter().collect() };
    Ok(Answer::render(args.format, &planned, text).with_findings(lags))
}

/// Returns what to fill in for a secret that the hierarchy does not name.
fn a_secret(region: &str, account: &str, prefix: &str) -> String {
    let partition = Partition::of(region).name;
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:ecr-pullthroughcache/{prefix}")
}

/// Copies all platforms and attestations, with the digests that they have.
fn copy(of: &Mirrored, to: &str) -> String {
    let upstream = &of.upstream;
    let named = match (&upstream.tag, &upstream.digest) {
        (Some(tag), _) => format!(":{tag}"),
        (None, Some(digest)) => format!("@{digest}"),
        (None, None) => String::new(),
    };
    let from = upstream.digest.as_ref().map_or_else(|| named.clone(), |digest| format!("@{digest}"));
    format!("skopeo copy --all --preserve-digests docker://{}{from} docker://{to}{named}", upstream.name())
}

fn text(planned: &Planned) -> String {
    written(|out| {
        let hosts: BTreeSet<&Registry> = planned.upstreams.iter().map(|of| &of.upstream.registry).collect();
        let of = count(planned.upstreams.len(), "upstream image");
        writeln!(
            out,
            "{} of {}",
            paint(STRONG, of),
            count(hosts.len(), "registry").replace("registrys", "registries")
        )?;
        planned.upstreams.iter().try_for_each(|of| one(out, of))?;
        if !planned.commands.is_empty() {
            writeln!(out, "\n{}", paint(STRONG, "To create what is missing:"))?;
            planned.commands.iter().try_for_each(|command| writeln!(out, "  {command}"))?;
        }
        if !planned.caches.is_empty() {
            writeln!(
                out,
                "\n{}",
                paint(STRONG, "Then name the rules at the home registry in the hierarchy file:")
            )?;
            writeln!(out, "  caches: {{ {} }}", planned.caches.join(", "))?;
        }
        Ok(())
    })
}

fn one(out: &mut String, of: &Mirrored) -> fmt::Result {
    writeln!(out, "\n  {}", paint(NAME, &of.upstream))?;
    writeln!(out, "{}", wrapped(4, &format!("for {}", some(of.images.iter(), SHOWN))))?;
    let place = match &of.place {
        Place::Cache { repository } => format!("the cache {repository} holds it"),
        Place::Rule { repository, needs_secret: true, .. } => {
            format!("a pull-through rule, which needs a secret, would hold it as {repository}")
        }
        Place::Rule { repository, .. } => format!("a pull-through rule would hold it as {repository}"),
        Place::Copy { repository } => format!("ECR caches no such registry; a copy would be {repository}"),
    };
    writeln!(out, "{}", wrapped(4, &place))?;
    if let Some(write) = &of.write {
        writeln!(out, "{}", paint(FAINT, wrapped(4, &format!("write in its place: {write}"))))?;
    }
    for lagging in &of.lagging {
        writeln!(out, "{}", wrapped(4, &lag(lagging)))?;
    }
    Ok(())
}

fn lag(of: &Lagging) -> String {
    let Lagging { cache, serves, upstream, since, unread } = of;
    match (serves, unread) {
        (Some(serves), _) => {
            let (serves, upstream) = (serves.short(), upstream.short());
            let lags = paint(CAREFUL, "lags:");
            format!("{lags} {cache} serves {serves}, and upstream names {upstream} since {since:.0}")
        }
        (None, unread) => {
            let why = unread.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("{} what {cache} serves{why}", paint(CAREFUL, "unknown"))
        }
    }
}
