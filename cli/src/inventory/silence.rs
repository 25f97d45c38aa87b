//! What no sweep has surveyed: there "0 running" does not mean that nothing runs.

use std::collections::BTreeSet;

use patchwave::hierarchy::Hierarchy;
use patchwave::inventory::Answer;

use super::Known;
use crate::input::BadInput;

/// Says which of the accounts that the question is about were never surveyed.
pub(super) fn unknown(hierarchy: &Hierarchy, answer: &Answer) -> Vec<String> {
    let asked = answer.question.environment.as_ref();
    let accounts = &hierarchy.inspected().accounts;
    let surveyed: BTreeSet<&str> = answer.places.iter().map(|place| place.place.account.as_str()).collect();
    let mut unknown = Vec::new();
    for account in accounts.iter().filter(|account| asked.is_none() || account.environment.as_ref() == asked)
    {
        if !surveyed.contains(account.id.as_str()) {
            let environment =
                account.environment.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            unknown.push(format!(
                "account {}{environment} was never surveyed; the function `inventory` surveys it at its daily sweep",
                account.id
            ));
        }
    }
    if accounts.is_empty() && answer.places.is_empty() {
        unknown.push(
            "nothing was surveyed: name the accounts to survey under `inventory:` in the hierarchy file"
                .to_owned(),
        );
    } else if !answer.places.is_empty() && answer.places.iter().all(|place| place.read_at.is_none()) {
        unknown.push("nothing of what runs was ever read; the lines above say why".to_owned());
    }
    unknown
}

/// Refuses an environment that neither the hierarchy nor the survey names: with a spelling
/// mistake the answer would be "0 running".
pub(super) fn check_environment(known: &Known, asked: &str) -> Result<(), BadInput> {
    let names = environments(known);
    if names.contains(asked) {
        return Ok(());
    }
    if names.is_empty() {
        return Err(BadInput::new(format!(
            "no environment {asked:?}: the hierarchy file names none; add `environment:` to the accounts under `inventory:`"
        )));
    }
    let meant = near(asked, &names).map(|name| format!(" Did you mean {name}?")).unwrap_or_default();
    let names: Vec<&str> = names.into_iter().collect();
    let names = names.join(", ");
    Err(BadInput::new(format!("no environment {asked:?}.{meant} The environments are: {names}")))
}

fn environments(known: &Known) -> BTreeSet<&str> {
    let declared = known.hierarchy.inspected().accounts.iter().map(|account| &account.environment);
    let surveyed = known.inventory.places.values().map(|state| &state.place.environment);
    declared.chain(surveyed).flatten().map(String::as_str).collect()
}

/// Returns the name that was probably meant: one that continues the other, or that differs in a
/// letter or two.
fn near<'n>(asked: &str, names: &BTreeSet<&'n str>) -> Option<&'n str> {
    let asked = asked.to_lowercase();
    let edits = (asked.len() / 3).clamp(1, 2);
    let is_near = |name: &&&str| {
        let name = name.to_lowercase();
        let continues = asked.len() > 2 && (name.starts_with(&asked) || asked.starts_with(&name));
        continues || within(edits, asked.as_bytes(), name.as_bytes())
    };
    names.iter().filter(is_near).min_by_key(|name| name.len().abs_diff(asked.len())).copied()
}

/// Tells whether at most `edits` edits turn one name into the other.
fn within(edits: usize, left: &[u8], right: &[u8]) -> bool {
    match (left, right) {
        ([], rest) | (rest, []) => rest.len() <= edits,
        ([a, left @ ..], [b, right @ ..]) if a == b => within(edits, left, right),
        ([_, l @ ..], [_, r @ ..]) => {
            let less = edits.checked_sub(1);
            less.is_some_and(|less| within(less, l, r) || within(less, left, r) || within(less, l, right))
        }
    }
}
