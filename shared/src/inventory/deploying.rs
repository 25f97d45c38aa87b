//! How a workload gets another version of its image: the edit where it is declared, and the
//! command.
//!
//! A workload that asks for a tag which names the new version needs only a new start. One that asks
//! for a digest, or for a tag that stays, needs another reference.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::state::Entry;
use super::survey::ConsumerKind;
use crate::facts::Version;
use crate::hierarchy::{Image, Line, Promotion};
use crate::image::{Partition, Reference};

/// What deploys a version to a workload.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) edit: Option<String>,
    pub(super) command: Option<String>,
    pub(super) notes: Vec<String>,
}

/// The reference that a workload is to have.
struct Wanted<'w> {
    entry: &'w Entry,
    /// By digest; by its own tag if that names the new version.
    reference: String,
    /// Whether its own tag names the new version, or will once people have moved it.
    follows: bool,
}

/// Says how a workload gets a version of an image.
pub(super) fn step(entry: &Entry, image: &Image, new: &Version) -> Step {
    let Some(asked) = Reference::read(&entry.asked) else {
        return Step { edit: Some(format!("let it run {}", new.digest)), ..Step::default() };
    };
    let tag = asked.tag.as_ref().filter(|_| asked.digest.is_none());
    let promoted = match &image.line {
        Line::Promoted { by: Promotion::Tag(promoted), .. } => Some(promoted).filter(|it| Some(*it) == tag),
        _ => None,
    };
    let by_tag = tag.filter(|tag| new.tags.contains(*tag)).or(promoted);
    let reference = match by_tag {
        Some(tag) => format!("{}:{tag}", asked.name()),
        None => format!("{}@{}", asked.name(), digest(entry, new)),
    };
    let wanted = Wanted { entry, reference, follows: by_tag.is_some() };
    let mut step = match entry.place.kind {
        ConsumerKind::Ecs => wanted.on_ecs(),
        ConsumerKind::Eks => wanted.on_eks(),
        ConsumerKind::Lambda => wanted.on_lambda(),
        _ => wanted.elsewhere(),
    };
    if let Some(tag) = promoted.filter(|tag| !new.tags.contains(*tag)) {
        let first = format!("let the tag {tag} of {} name {}", asked.name(), new.digest);
        step.edit = Some(step.edit.map_or_else(|| first.clone(), |edit| format!("{first}; {edit}")));
    }
    if entry.reported {
        step.notes.push("only Inspector saw it, because its cluster could not be read".to_owned());
    }
    step
}

/// Returns the digest to ask for: of the whole version, or of the platform that runs if the
/// workload names that.
fn digest<'v>(entry: &Entry, new: &'v Version) -> &'v crate::image::Digest {
    let manifest = entry.platform.as_ref().and_then(|platform| new.platforms.get(platform));
    let alone = entry.place.kind == ConsumerKind::Lambda || names_its_digest(entry);
    manifest.filter(|_| alone).map_or(&new.digest, |manifest| &manifest.digest)
}

/// Whether the digest that runs stands in the workload's declaration.
fn names_its_digest(entry: &Entry) -> bool {
    entry.digest.as_ref().is_some_and(|digest| entry.asked.ends_with(&digest.to_string()))
}

impl Wanted<'_> {
    fn on_ecs(&self) -> Step {
        let Some(service) = self.entry.workload.strip_prefix("service:") else {
            if self.follows {
                return Step::edit("start its tasks again: they get what the tag names now");
            }
            return Step::edit(&format!(
                "register a revision of its task definition with {}, and start its tasks from that",
                self.assignments()
            ));
        };
        let region = quoted(&self.entry.place.region);
        let cluster = quoted(self.entry.place.cluster.as_deref().unwrap_or("default"));
        let service = quoted(service);
        let update =
            format!("aws ecs update-service --region {region} --cluster {cluster} --service {service}");
        if self.follows {
            return Step::command(&format!("{update} --force-new-deployment"));
        }
        let edit = format!(
            "register a revision of its task definition with {}, then let the service use it",
            self.assignments()
        );
        // The ARN without the revision names the newest one.
        let newest = format!(
            "aws ecs describe-services --region {region} --cluster {cluster} --services {service} \
             --query 'services[0].taskDefinition' --output text | sed 's/:[0-9]*$//'"
        );
        let command = format!("{update} --task-definition \"$({newest})\"");
        Step { edit: Some(edit), ..Step::command(&command) }
    }

    fn on_eks(&self) -> Step {
        let mut parts = self.entry.workload.splitn(3, '/');
        let (Some(namespace), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return self.elsewhere();
        };
        let place = &self.entry.place;
        let partition = Partition::of(&place.region).name;
        let cluster = place.cluster.as_deref().unwrap_or_default();
        let context = format!("arn:{partition}:eks:{}:{}:cluster/{cluster}", place.region, place.account);
        let flags = format!("--context {} -n {}", quoted(&context), quoted(namespace));
        let edit = Some(self.edit());
        if self.follows {
            let command = match kind {
                "Deployment" | "StatefulSet" | "DaemonSet" => {
                    let object = format!("{}/{name}", kind.to_lowercase());
                    format!("kubectl {flags} rollout restart {}", quoted(&object))
                }
                "Rollout" => format!("kubectl argo rollouts {flags} restart {}", quoted(name)),
                _ => {
                    let edit = "start it again: it gets what the tag names now";
                    return Step { notes: pulls(), ..Step::edit(edit) };
                }
            };
            return Step { notes: pulls(), ..Step::command(&command) };
        }
        let images: Vec<String> = self.assigned().collect();
        let images = images.join(" ");
        let command = match kind {
            "Deployment"
            | "StatefulSet"
            | "DaemonSet"
            | "CronJob"
            | "ReplicaSet"
            | "ReplicationController"
            | "Pod" => {
                let object = format!("{}/{name}", kind.to_lowercase());
                format!("kubectl {flags} set image {} {images}", quoted(&object))
            }
            "Rollout" => format!("kubectl argo rollouts {flags} set image {} {images}", quoted(name)),
            _ => return Step { edit, ..Step::default() },
        };
        Step { edit, ..Step::command(&command) }
    }

    fn on_lambda(&self) -> Step {
        let (region, name) = (quoted(&self.entry.place.region), quoted(&self.entry.workload));
        let uri = quoted(&self.reference);
        let command = format!(
            "aws lambda update-function-code --region {region} --function-name {name} --image-uri {uri}"
        );
        let aliases =
            "an alias that names a version calls it until you publish one and move the alias".to_owned();
        let edit = (!self.follows).then(|| self.edit());
        Step { edit, notes: vec![aliases], ..Step::command(&command) }
    }

    fn elsewhere(&self) -> Step {
        let again = "start it again: it gets what the tag names now".to_owned();
        Step { edit: Some(if self.follows { again } else { self.edit() }), ..Step::default() }
    }

    fn edit(&self) -> String {
        format!("replace {} by {}", self.entry.asked, self.reference)
    }

    /// Assigns the new reference to each container, for a person.
    fn assignments(&self) -> String {
        let names: Vec<&str> = self.entry.containers.iter().map(String::as_str).collect();
        format!("the image of {} set to {}", names.join(", "), self.reference)
    }

    /// Assigns the new reference to each container, for a command.
    fn assigned(&self) -> impl Iterator<Item = String> {
        let names: &BTreeSet<String> = &self.entry.containers;
        names.iter().map(|name| quoted(&format!("{name}={}", self.reference)).into_owned())
    }
}

impl Step {
    /// Others chose some of the names. A command with a control character in it is not shown.
    fn command(command: &str) -> Self {
        let is_safe = !command.chars().any(char::is_control);
        Self { command: Some(command.to_owned()).filter(|_| is_safe), ..Self::default() }
    }

    fn edit(text: &str) -> Self {
        Self { edit: Some(text.to_owned()), ..Self::default() }
    }
}

/// <https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy>
fn pulls() -> Vec<String> {
    vec!["a node that has the old image runs it again unless imagePullPolicy is Always".to_owned()]
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_that_others_chose_stays_one_word_of_a_shell() {
        assert_eq!(quoted("deployment/web"), "deployment/web");
        assert_eq!(quoted("$(reboot)"), "'$(reboot)'");
        assert_eq!(quoted("it's; x"), r"'it'\''s; x'");
        assert_eq!(quoted(""), "''");
    }
}
