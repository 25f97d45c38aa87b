//! Reads a policy, and reports all errors in it.
//!
//! Rules:
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html>.

use std::ops::RangeInclusive;

use super::errors::{PolicyError, PolicyErrors};
use super::images::StorageClass;
use super::policy::{Action, Count, LifecyclePolicy, Rule, Selection, Tags};
use super::wrapped::{Wrapped, unwrapped};
use super::written::{TagStatus, WrittenPolicy, WrittenRule};

/// How many characters a policy may have.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutLifecyclePolicy.html>
const CHARACTERS: RangeInclusive<usize> = 100..=30_720;
/// How many rules a policy may have.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_RULES: usize = 50;
/// How many wildcards a pattern may have.
const MOST_WILDCARDS: usize = 4;
/// How many days an image must stay in the archive.
const LEAST_DAYS_ARCHIVED: u32 = 90;

impl LifecyclePolicy {
    /// Reads a policy, or what wraps one: what `aws ecr get-lifecycle-policy` prints, a template of
    /// CloudFormation or Terraform in JSON. Then lines and columns are those of the text within.
    pub fn read(text: &str) -> Result<Self, PolicyErrors> {
        let wrong = |what: &str| Err(PolicyErrors(vec![PolicyError::new(what)]));
        match unwrapped(text) {
            Wrapped::No => Self::parse(text),
            Wrapped::One(text) => Self::parse(&text),
            Wrapped::Many(many) => wrong(&format!("the file has {many} policies; pass one of them")),
            Wrapped::Computed(key) => {
                wrong(&format!("a template computes `{key}`; pass the text that it becomes"))
            }
        }
    }

    /// Reads the text of a policy.
    pub fn parse(text: &str) -> Result<Self, PolicyErrors> {
        let characters = text.chars().count();
        let mut errors = Vec::new();
        if !CHARACTERS.contains(&characters) {
            let (least, most) = (CHARACTERS.start(), CHARACTERS.end());
            let advice = if characters < *least { "add a `description`" } else { "shorten it" };
            let what =
                format!("the text has {characters} characters, and ECR takes {least} to {most}; {advice}");
            errors.push(PolicyError::new(&what));
        }
        if characters > *CHARACTERS.end() {
            return Err(PolicyErrors(errors));
        }
        let rules: Vec<WrittenRule> = match serde_json::from_str::<WrittenPolicy>(text) {
            Ok(written) => written.rules.into_iter().map(WrittenRule::from).collect(),
            Err(error) => {
                errors.push(PolicyError::at(&error));
                return Err(PolicyErrors(errors));
            }
        };
        if !(1..=MOST_RULES).contains(&rules.len()) {
            let what =
                format!("the policy has {} rules, and ECR takes 1 to {MOST_RULES}; merge some", rules.len());
            errors.push(PolicyError::new(&what));
        }
        errors.extend((0..rules.len().min(MOST_RULES)).flat_map(|index| errors_of(&rules, index)));
        let warnings = rules.iter().enumerate().filter_map(|(index, rule)| warning(rule, index)).collect();
        let mut rules: Vec<Rule> = rules.into_iter().filter_map(valid_rule).collect();
        rules.sort_by_key(|rule| rule.priority);
        if errors.is_empty() { Ok(Self { rules, warnings }) } else { Err(PolicyErrors(errors)) }
    }
}

/// Returns the errors of one of a policy's rules.
fn errors_of(rules: &[WrittenRule], index: usize) -> Vec<PolicyError> {
    let written = &rules[index];
    let about = |message: &str| PolicyError::of(index, written.priority, message);
    if !written.wrong.is_empty() {
        return written.wrong.iter().map(|wrong| about(wrong)).collect();
    }
    let WrittenRule { priority, tag_status: status, count_type: count, count_number: number, .. } = written;
    let (patterns, prefixes) = (written.tag_patterns.as_ref(), written.tag_prefixes.as_ref());
    let is = |is: TagStatus| *status == Some(is);
    let named = || patterns.into_iter().chain(prefixes);
    let has_many_wildcards = |pattern: &String| pattern.matches('*').count() > MOST_WILDCARDS;
    let counts_days = count.is_some_and(|count| count != Count::ImageCountMoreThan);
    let since = |since: Count| *count == Some(since);
    let archived = since(Count::SinceImageTransitioned);
    let does = |what: Action| written.action == Some(what);
    let to_archive = written.target == Some(StorageClass::Archive);
    // Rules of the other storage class see other images.
    let beside = |like: &dyn Fn(&WrittenRule) -> bool, rules: &[WrittenRule]| {
        rules.iter().any(|other| other.storage() == written.storage() && like(other))
    };
    let earlier = &rules[..index];
    let checks = [
        (priority.unwrap_or(0) == 0, "needs a `rulePriority` of its own, 1 or more"),
        (
            priority.is_some() && earlier.iter().any(|other| other.priority == *priority),
            "has the `rulePriority` of an earlier rule; give it one of its own",
        ),
        (status.is_none(), "needs a `tagStatus`: tagged, untagged or any"),
        (
            is(TagStatus::Any) && beside(&|other| other.priority > *priority, rules),
            "sees every image, so that later rules never act; give it the highest `rulePriority`",
        ),
        (
            is(TagStatus::Untagged)
                && beside(&|other| other.tag_status == Some(TagStatus::Untagged), earlier),
            "is for untagged images, as an earlier rule is; keep one of them",
        ),
        (
            prefixes.is_some() && beside(&|other| other.tag_prefixes.as_ref() == prefixes, earlier),
            "has the `tagPrefixList` of an earlier rule; keep one of them",
        ),
        (
            is(TagStatus::Tagged) && named().next().is_none(),
            "needs a `tagPatternList` or `tagPrefixList`, to say which tags; the pattern `*` is every tag",
        ),
        (named().count() == 2, "has `tagPatternList` and `tagPrefixList`; keep one, or make two rules"),
        (
            status.is_some() && !is(TagStatus::Tagged) && named().next().is_some(),
            "lists tags, which only `\"tagStatus\": \"tagged\"` may; remove the list, or change `tagStatus`",
        ),
        (
            named().any(|list| list.is_empty() || list.contains("")),
            "has an empty list of tags, or an empty text in it; name at least one character",
        ),
        (
            patterns.is_some_and(|patterns| patterns.iter().any(has_many_wildcards)),
            "has a pattern with more than four wildcards; write a simpler one",
        ),
        (count.is_none(), "needs a `countType`, such as imageCountMoreThan or sinceImagePushed"),
        (number.unwrap_or(0) == 0, "needs a `countNumber`, 1 or more"),
        (counts_days && written.count_unit.is_none(), "needs `\"countUnit\": \"days\"`"),
        (
            since(Count::ImageCountMoreThan) && written.count_unit.is_some(),
            "counts images, which have no `countUnit`; remove it",
        ),
        (
            archived && written.storage() != StorageClass::Archive,
            "counts days in the archive, and needs `\"storageClass\": \"archive\"`",
        ),
        (
            count.is_some() && !archived && written.storage() == StorageClass::Archive,
            "is for the archive, where only sinceImageTransitioned counts; write that, or remove `storageClass`",
        ),
        (
            archived && number.is_some_and(|days| (1..LEAST_DAYS_ARCHIVED).contains(&days)),
            "expires what must stay in the archive for 90 days; write a `countNumber` of 90 or more",
        ),
        (written.action.is_none(), "needs an `action` with its `type`: expire or transition"),
        (
            does(Action::Transition) && !to_archive,
            "needs `\"targetStorageClass\": \"archive\"`: transition moves images only there",
        ),
        (
            does(Action::Expire) && written.target.is_some(),
            "expires, which has no `targetStorageClass`; remove it",
        ),
        (
            does(Action::Expire) && since(Count::SinceImagePulled),
            "expires what was not pulled, which ECR can only archive; write transition, and expire what is in the archive with \
             a rule for sinceImageTransitioned",
        ),
        (does(Action::Transition) && archived, "moves to the archive what is there already; write expire"),
    ];
    let found = checks.into_iter().filter(|(violated, _)| *violated);
    found.map(|(_, message)| about(message)).collect()
}

/// Returns what is valid in a rule and rarely intended.
fn warning(written: &WrittenRule, index: usize) -> Option<PolicyError> {
    let list = written.tag_patterns.as_ref().or(written.tag_prefixes.as_ref())?;
    let texts: Vec<String> = list.iter().map(|text| format!("`{text}`")).collect();
    let message = format!(
        "takes only images that have a tag for each of {}; if one is to be enough, make a rule for each",
        texts.join(", ")
    );
    (texts.len() > 1).then(|| PolicyError::of(index, written.priority, &message))
}

/// Makes a rule of a written one that has no errors.
fn valid_rule(written: WrittenRule) -> Option<Rule> {
    let (storage, number) = (written.storage(), written.count_number?);
    let tags = match written.tag_status? {
        TagStatus::Any => Tags::Any,
        TagStatus::Untagged => Tags::Untagged,
        TagStatus::Tagged => match written.tag_patterns {
            Some(patterns) => Tags::Patterns(patterns),
            None => Tags::Prefixes(written.tag_prefixes?),
        },
    };
    let selection = Selection { tags, storage, count: written.count_type?, number };
    Some(Rule { priority: written.priority?, selection, action: written.action? })
}
