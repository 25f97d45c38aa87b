//! Makes a repository's policy from what the hierarchy says of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::policy::LifecyclePolicy;
use crate::hierarchy::{Hierarchy, Image, Line, Promotion, Registries, Tier, is_production};
use crate::image::{GONE, KEEP, Order, Repository, TagFamily};

/// A count that no repository reaches: ECR stores at most 100,000 images in one unless AWS raises
/// the quota. A rule with it never acts, and no later rule acts on what it sees.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const NEVER: u32 = 1_000_000;
/// Rules that a policy may have.
const MOST_RULES: usize = 50;
/// Wildcards that a pattern may have.
const MOST_WILDCARDS: usize = 4;

/// What is kept, where the hierarchy says no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Days after which an untagged image goes.
    pub untagged: u32,
    /// How many of the newest images with an environment's or a line's tags stay.
    pub keep: u32,
    /// Days after which everything else goes.
    pub catch_all: u32,
}

impl Default for Intent {
    fn default() -> Self {
        Self { untagged: 7, keep: 10, catch_all: 90 }
    }
}

/// A policy made from the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The text that ECR stores.
    pub text: String,
    pub policy: LifecyclePolicy,
    /// What its rules cannot express, and what they do instead.
    pub notes: Vec<String>,
}

/// Returns the environments of the hierarchy, the highest first: production, then the others in
/// the order of the file.
pub fn environments(hierarchy: &Hierarchy) -> Vec<String> {
    let accounts = hierarchy.inspected().accounts.iter().filter_map(|account| account.environment.clone());
    let lines = hierarchy.images().filter_map(|image| image.line.environment().map(str::to_owned));
    let mut all: Vec<String> = Vec::new();
    for environment in accounts.chain(lines) {
        if !all.contains(&environment) {
            all.push(environment);
        }
    }
    all.sort_by_key(|environment| !is_production(environment));
    all
}

/// Makes the policy of a repository. `repository` is as [`Image`] has it.
///
/// # Errors
///
/// Says why there is none: nothing of the hierarchy is in the repository, or the rules do not fit.
pub fn make(
    hierarchy: &Hierarchy,
    repository: &Repository,
    keep_tags: bool,
    intent: &Intent,
) -> Result<Made, String> {
    make_for(hierarchy, (repository, keep_tags), intent, &environments(hierarchy))
}

/// As [`make`], with the [`environments`] of the hierarchy.
pub(super) fn make_for(
    hierarchy: &Hierarchy,
    (repository, keep_tags): (&Repository, bool),
    intent: &Intent,
    environments: &[String],
) -> Result<Made, String> {
    let images: Vec<&Image> = hierarchy.in_repository(repository).collect();
    if images.is_empty() && !is_cache(hierarchy.registries(), repository) {
        return Err("no image of the hierarchy is in it".to_owned());
    }
    let mut rules = Rules::default();
    if keep_tags {
        rules.never(1, "what carries a keep tag never expires", &format!("{KEEP}*"));
    }
    if images.is_empty() {
        // A pull by digest leaves an image of a cache without a tag, and it may run.
        rules.older(1_000, "what was pulled through long ago", &json!(["*"]), intent.catch_all);
        return rules.finish();
    }
    let mut shields = Vec::new();
    let is_deployed = |image: &&Image| image.tier == Tier::Application || image.line.environment().is_some();
    if images.iter().any(is_deployed) {
        rules.environments(environments, &images, intent.keep, &mut shields);
    }
    rules.lines(&images, intent.keep, &mut shields);
    // Beside the shields, three rules follow.
    let fits = rules.rules.len() + shields.len() + 3 <= MOST_RULES;
    if fits {
        for (priority, shield) in (600..).zip(&shields) {
            rules.never(priority, "a tag that people move", shield);
        }
    } else {
        rules.never(600, "too many tags that people move for a rule each", "*");
        rules
            .notes
            .push("it has more stable tags than a policy has rules, so no tagged image expires".into());
    }
    if keep_tags {
        rules.older(900, "its last keep tag was removed", &json!([format!("{GONE}*")]), intent.untagged);
    }
    let days = |status: &str, days: u32| json!({"tagStatus": status, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days});
    rules.add(910, "untagged images", days("untagged", intent.untagged));
    if fits {
        rules.add(1_000, "everything else", days("any", intent.catch_all));
    }
    rules.finish()
}

/// Returns whether a repository is in a pull-through cache of its registry.
pub fn is_cache(registries: &Registries, repository: &Repository) -> bool {
    let (host, name) = repository.split();
    let host = host.unwrap_or_else(|| registries.home().clone());
    registries
        .iter()
        .filter(|registry| registry.host == host)
        .any(|registry| registry.caches.keys().any(|prefix| is_below(prefix, name)))
}

fn is_below(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

#[derive(Default)]
struct Rules {
    rules: Vec<Value>,
    notes: Vec<String>,
}

impl Rules {
    #[expect(clippy::needless_pass_by_value, reason = "the selection is made for this rule alone")]
    fn add(&mut self, priority: u32, description: &str, selection: Value) {
        self.rules.push(json!({
            "rulePriority": priority, "description": description, "selection": selection, "action": {"type": "expire"},
        }));
    }

    fn newest(&mut self, priority: u32, description: &str, pattern: &str, number: u32) {
        let selection = json!({
            "tagStatus": "tagged", "tagPatternList": [pattern], "countType": "imageCountMoreThan", "countNumber": number,
        });
        self.add(priority, description, selection);
    }

    fn never(&mut self, priority: u32, description: &str, pattern: &str) {
        self.newest(priority, description, pattern, NEVER);
    }

    fn older(&mut self, priority: u32, description: &str, patterns: &Value, days: u32) {
        let selection = json!({
            "tagStatus": "tagged", "tagPatternList": patterns, "countType": "sinceImagePushed", "countUnit": "days",
            "countNumber": days,
        });
        self.add(priority, description, selection);
    }

    /// Adds the rules of environments, the highest first: an image that has the tags of two counts
    /// for the higher one.
    fn environments(&mut self, all: &[String], images: &[&Image], keep: u32, shields: &mut Vec<String>) {
        for (priority, environment) in (100..).step_by(10).zip(all) {
            let mut patterns = vec![format!("{environment}-*")];
            for image in images.iter().filter(|image| image.line.environment() == Some(environment)) {
                match &image.line {
                    Line::Promoted { by: Promotion::Newest(family), .. } => {
                        patterns = vec![family.as_str().to_owned()];
                        self.check(family, shields);
                    }
                    Line::Promoted { by: Promotion::Tag(tag), .. } => shields.push(tag.to_string()),
                    _ => {}
                }
            }
            shields.push(environment.clone());
            for pattern in patterns {
                if !shields.contains(&pattern) {
                    self.newest(priority, &format!("the newest of {environment}"), &pattern, keep);
                }
            }
        }
    }

    fn lines(&mut self, images: &[&Image], keep: u32, shields: &mut Vec<String>) {
        let mut priority = 500;
        for image in images {
            match &image.line {
                Line::Stable(tags) => shields.extend(tags.iter().map(ToString::to_string)),
                Line::Newest(family) if self.check(family, shields) => {
                    self.newest(priority, "the newest of a line", family.as_str(), keep);
                    priority += 10;
                }
                _ => {}
            }
        }
        shields.sort();
        shields.dedup();
    }

    /// Returns whether a rule that counts pushes keeps what is newest on a line. If not, no image
    /// of the line expires.
    fn check(&mut self, family: &TagFamily, shields: &mut Vec<String>) -> bool {
        let wildcards = family.as_str().matches('*').count();
        let because = if wildcards > MOST_WILDCARDS {
            "ECR takes at most four wildcards"
        } else if !family.except.is_empty() {
            "no rule of ECR has exceptions"
        } else if family.order == Order::Version {
            "rules of ECR count pushes, and the line counts versions"
        } else {
            return true;
        };
        let pattern = if wildcards > MOST_WILDCARDS {
            family.as_str().split_once('*').map_or("*".to_owned(), |(head, _)| format!("{head}*"))
        } else {
            family.as_str().to_owned()
        };
        self.notes.push(format!("no image with a tag `{pattern}` expires: {because}"));
        shields.push(pattern);
        false
    }

    fn finish(self) -> Result<Made, String> {
        let text = json!({ "rules": self.rules }).to_string();
        let policy = LifecyclePolicy::parse(&text).map_err(|errors| errors.to_string())?;
        Ok(Made { text, policy, notes: self.notes })
    }
}
