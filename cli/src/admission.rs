//! `admission`: policies that admit only known images, and what they would refuse of what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use patchwave::admission::{
    Action, Allowed, Because, EcsRule, NamespaceList, Refused, Review, Scope, admitted, allowed,
    digest_manifests, ecs_rule, gatekeeper_digest_manifests, gatekeeper_manifests, lists, refused,
    repository_manifests,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Admission, Args, Format, Manifests};
use crate::deployment;
use crate::input::{self, BadInput, Observed};
use crate::inventory::{self, Known};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, GOOD, STRONG, count, paint, some, value, wrapped, written};

/// How many images of one kind the text names; JSON lists all.
const SHOWN: usize = 6;

/// What the policies would refuse, and their lists.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(flatten)]
    review: Review,
    /// How many repositories and patterns may run.
    allowed: usize,
    lists: Vec<NamespaceList>,
}

impl Answered {
    /// Whether something that runs would be refused by the policy on repositories, or by that on
    /// digests too.
    fn refuses(&self, by_digests: bool) -> bool {
        self.review.refused.iter().any(|refused| by_digests || !refused.by_digests)
    }
}

pub(crate) fn run(args: &Args, options: &Admission) -> Result<Answer, BadInput> {
    let (known, observed) = read(args, options)?;
    let Known { hierarchy, inventory, now, .. } = &known;
    let scope = Scope { exempt: options.exempt.iter().cloned().collect(), home: options.home.clone() };
    let allowed = allowed(hierarchy);
    let admitted = admitted(hierarchy, &observed.facts, inventory, *now);
    let more: BTreeSet<String> = options.namespace.iter().cloned().collect();
    let answered = Answered {
        review: refused(inventory, &allowed, Some(&admitted), &scope),
        allowed: allowed.len(),
        lists: lists(inventory, &admitted, &more, &scope),
    };
    let is_unknown = observed.is_partial || !answered.review.unread.is_empty() || answered.review.judged == 0;
    let Some(print) = options.print else {
        let found = answered.refuses(true) || is_unknown;
        let answer = Answer::render(args.format, &answered, |answered| written(|out| write(answered, out)));
        return Ok(answer.with_note(observed.note).with_findings(found));
    };
    let action = if options.deny { Action::Deny } else { Action::Warn };
    if options.deny && (is_unknown || answered.refuses(print.is_about_digests())) {
        let first = written(|out| write(&answered, out));
        let note = "Nothing is printed, because --deny would refuse what runs, or not all of it is known:\n";
        return Ok(Answer::new(String::new()).with_note(format!("{note}{first}")).with_findings(true));
    }
    let (manifests, note) = match print {
        Manifests::Policy => (repository_manifests(&allowed, &scope, action), String::new()),
        Manifests::Gatekeeper => (gatekeeper_manifests(&allowed, &scope, action), String::new()),
        Manifests::Digests => {
            let manifests =
                digest_manifests(&answered.lists, &allowed, &scope, action, observed.facts.observed_at);
            (manifests, too_large(&answered.lists))
        }
        Manifests::GatekeeperDigests => {
            let at = observed.facts.observed_at;
            (gatekeeper_digest_manifests(&answered.lists, &allowed, &scope, action, at), String::new())
        }
        Manifests::Ecs => ecs(&allowed),
    };
    print_all(args.format, &manifests).map(|answer| answer.with_note(note))
}

/// Reads what runs, and what is known of the images.
fn read(args: &Args, options: &Admission) -> Result<(Known, Observed), BadInput> {
    let observed = input::observed(args, options.facts.as_deref())?;
    let known = match &options.survey {
        Some(survey) => inventory::explained(observed.hierarchy.clone(), &observed.facts, survey)?,
        None => deployment::inventory(args)?,
    };
    Ok((known, observed))
}

fn ecs(allowed: &BTreeSet<Allowed>) -> (Vec<Value>, String) {
    let EcsRule { template, is_exact } = ecs_rule(allowed);
    let note = if is_exact {
        String::new()
    } else {
        "The repositories do not fit into one event pattern, so the rule names their hosts.\n".to_owned()
    };
    (vec![template], note)
}

fn too_large(lists: &[NamespaceList]) -> String {
    let large = lists.iter().filter(|list| list.is_too_large());
    let names: Vec<&str> = large.map(|list| list.namespace.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    let names = some(names.iter(), SHOWN);
    format!("These lists are so long that the API server may refuse a pod of many images: {names}\n")
}

/// Prints manifests: as YAML, or as one list for programs.
fn print_all(format: Format, manifests: &[Value]) -> Result<Answer, BadInput> {
    if format == Format::Json {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        let one = if manifests.len() == 1 { &manifests[0] } else { &list };
        return Ok(Answer::render(format, one, |_| String::new()));
    }
    let mut yaml = String::new();
    for manifest in manifests {
        let text = serde_saphyr::to_string(manifest).map_err(|error| BadInput::because(&error))?;
        yaml.push_str("---\n");
        yaml.push_str(&text);
    }
    Ok(Answer::new(yaml))
}

fn write(answered: &Answered, text: &mut String) -> fmt::Result {
    let Answered { review, allowed, lists } = answered;
    let head = format!(
        "{} of {} on Kubernetes would be refused; {} and patterns may run",
        review.refused.len(),
        count(review.judged, "image"),
        count(*allowed, "repository").replace("repositorys", "repositories")
    );
    writeln!(text, "{}", paint(STRONG, wrapped(0, &head)))?;
    for (because, refused) in by_reason(review) {
        let names = refused.iter().map(|refused| format!("{} in {}", refused.image, refused.workload));
        let names: Vec<String> = names.collect();
        let line = format!("{} {}: {}", paint(CAREFUL, because), refused.len(), some(names.iter(), SHOWN));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if review.exempt > 0 {
        writeln!(text, "  {} in exempt namespaces are not judged", count(review.exempt, "image"))?;
    }
    for unread in &review.unread {
        let line = format!("{} {}", paint(CAREFUL, "unread"), value(unread));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if review.judged == 0 {
        writeln!(text, "  {} no image on Kubernetes was seen", paint(CAREFUL, "unknown"))?;
    }
    for NamespaceList { namespace, digests, revision } in lists {
        let line =
            format!("list of {}: {}, revision {revision}", value(namespace), count(digests.len(), "digest"));
        writeln!(text, "{}", paint(FAINT, wrapped(2, &line)))?;
    }
    let next = if review.refused.is_empty() && review.unread.is_empty() && review.judged > 0 {
        paint(GOOD, "nothing that runs would be refused: patchwave admission --print policy --deny")
    } else {
        "first apply it with warnings: patchwave admission --print policy".to_owned()
    };
    writeln!(text, "{}", wrapped(2, &next))
}

fn by_reason(review: &Review) -> BTreeMap<String, Vec<&Refused>> {
    let mut by_reason: BTreeMap<String, Vec<&Refused>> = BTreeMap::new();
    for refused in &review.refused {
        let because = match &refused.because {
            Because::NoDigest => "not named by digest".to_owned(),
            Because::NotAllowed => "neither in the hierarchy nor approved".to_owned(),
            Because::NotAdmitted { why } => format!("not admitted, {why}"),
        };
        by_reason.entry(because).or_default().push(refused);
    }
    by_reason
}
