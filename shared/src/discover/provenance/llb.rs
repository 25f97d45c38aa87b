//! The steps of a build, walked back from its result.
//!
//! A step takes its root file system from the mount whose `dest` is `/`, or is a copy into one. So
//! walking back from the last step along these ends at the base of the final stage. All other
//! images that the walk could reach were copied from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::discover::named::Named;

/// More steps than any build has.
const MOST_STEPS: usize = 20_000;
const IMAGE: &str = "docker-image://";

/// What the final stage is built on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::discover) enum Base {
    Image(Named),
    Scratch,
    /// The steps do not say: its root is a local folder, or a step of a kind that is not known.
    Unclear,
}

struct Step<'v> {
    kind: &'v str,
    operation: Option<&'v Value>,
    inputs: Vec<(&'v str, u64)>,
}

/// Walks the steps back; nothing if they are no steps.
pub(super) fn walk(steps: &Value, is_parent: &dyn Fn(&Named) -> bool) -> Option<(Base, BTreeSet<Named>)> {
    let all = steps.as_array().filter(|steps| steps.len() <= MOST_STEPS)?;
    let last = all.last()?.get("id")?.as_str()?;
    let steps: BTreeMap<&str, Step<'_>> =
        all.iter().filter_map(|step| Some((step.get("id")?.as_str()?, read(step)))).collect();
    let base = base(&steps, last);
    let mut copied = images(&steps, last);
    copied.retain(|image| is_parent(image) && Base::Image(image.clone()) != base);
    Some((base, copied))
}

fn read(step: &Value) -> Step<'_> {
    let inputs = step.get("inputs").and_then(Value::as_array).into_iter().flatten();
    let inputs = inputs.filter_map(Value::as_str).map(|input| {
        let (id, output) = input.rsplit_once(':').unwrap_or((input, "0"));
        (id, output.parse().unwrap_or_default())
    });
    let operation = step.get("op");
    let operation = operation.and_then(|op| op.get("Op").or_else(|| op.get("op")).or(Some(op)));
    let known = ["source", "exec", "file", "merge", "diff", "build"];
    let of_kind = |kind: &'static str| operation?.get(kind).map(|inner| (kind, inner));
    let found = known.into_iter().find_map(of_kind);
    let is_result =
        operation.is_none_or(|op| op.is_null() || op.as_object().is_some_and(serde_json::Map::is_empty));
    let kind = found.map_or(if is_result { "result" } else { "" }, |(kind, _)| kind);
    Step { kind, operation: found.map(|(_, inner)| inner), inputs: inputs.collect() }
}

/// Follows the root from `last` to where it begins. Every step leads to another, so a walk that is
/// longer than there are steps goes in a circle.
fn base(steps: &BTreeMap<&str, Step<'_>>, last: &str) -> Base {
    let mut at = (last, 0);
    for _ in 0..=steps.len() {
        let Some(step) = steps.get(at.0) else { return Base::Unclear };
        let next = match (step.kind, step.operation) {
            ("source", Some(source)) => return image(source).map_or(Base::Unclear, Base::Image),
            ("result", _) => {
                step.inputs.first().copied().map_or(Next::Unclear, |(id, output)| Next::At(id, output))
            }
            ("exec", Some(exec)) => root_of_exec(step, exec, at.1),
            ("file", Some(file)) => root_of_file(step, file, at.1),
            // `COPY --link`: the first is what the others are laid upon.
            ("merge", Some(merge)) => input(step, merge.pointer("/inputs/0/input")),
            _ => Next::Unclear,
        };
        match next {
            Next::At(id, output) => at = (id, output),
            Next::Scratch => return Base::Scratch,
            Next::Unclear => return Base::Unclear,
        }
    }
    Base::Unclear
}

enum Next<'v> {
    At(&'v str, u64),
    Scratch,
    Unclear,
}

/// Reads the number of an input. A field that is left out is 0, and −1 is no input: scratch.
fn input<'v>(step: &Step<'v>, number: Option<&Value>) -> Next<'v> {
    let number = number.map_or(Some(0), Value::as_i64);
    match number {
        Some(-1) => Next::Scratch,
        Some(number) => usize::try_from(number)
            .ok()
            .and_then(|number| step.inputs.get(number))
            .map_or(Next::Unclear, |(id, output)| Next::At(id, *output)),
        None => Next::Unclear,
    }
}

/// Finds the mount that is the step's output of this number. The root's is the first.
fn root_of_exec<'v>(step: &Step<'v>, exec: &Value, output: u64) -> Next<'v> {
    let mounts = exec.get("mounts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let dest = |mount: &&Value| mount.get("dest").and_then(Value::as_str) == Some("/");
    let number = |mount: &&Value| {
        mount.get("output").map_or(Some(0), Value::as_i64).and_then(|n| u64::try_from(n).ok()) == Some(output)
    };
    let mount = mounts.iter().find(|mount| number(mount) && (output > 0 || dest(mount)));
    mount.map_or(Next::Unclear, |mount| input(step, mount.get("input")))
}

/// Follows a step's actions on files: each changes what an input or an earlier action gives it.
fn root_of_file<'v>(step: &Step<'v>, file: &Value, output: u64) -> Next<'v> {
    let actions = file.get("actions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let number = |action: &Value, key: &str| action.get(key).map_or(Some(0), Value::as_i64);
    let gives =
        |action: &&Value| number(action, "output").and_then(|n| u64::try_from(n).ok()) == Some(output);
    let Some(mut action) = actions.iter().rfind(gives) else { return Next::Unclear };
    for _ in 0..=actions.len() {
        let Some(from) = number(action, "input") else { return Next::Unclear };
        let Ok(at) = usize::try_from(from) else { return Next::Scratch };
        match at.checked_sub(step.inputs.len()) {
            None => return input(step, Some(&from.into())),
            Some(earlier) => match actions.get(earlier) {
                Some(earlier) => action = earlier,
                None => return Next::Unclear,
            },
        }
    }
    Next::Unclear
}

/// Finds all images from which the result has something.
fn images(steps: &BTreeMap<&str, Step<'_>>, last: &str) -> BTreeSet<Named> {
    let (mut open, mut seen, mut found) = (vec![last], BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        let Some(step) = steps.get(id).filter(|_| seen.insert(id.to_owned())) else { continue };
        if let ("source", Some(source)) = (step.kind, step.operation) {
            found.extend(image(source));
        }
        open.extend(step.inputs.iter().map(|(id, _)| *id));
    }
    found
}

fn image(source: &Value) -> Option<Named> {
    Named::of_reference(source.get("identifier")?.as_str()?.strip_prefix(IMAGE)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(id: &str, name: &str) -> Value {
        json!({"id": id, "op": {"Op": {"source": {"identifier": format!("docker-image://{name}")}}}, "inputs": []})
    }

    fn walked(steps: &Value) -> (String, Vec<String>) {
        let (base, copied) = walk(steps, &|_| true).unwrap();
        let base = match base {
            Base::Image(named) => named.words(),
            other => format!("{other:?}"),
        };
        (base, copied.iter().map(Named::words).collect())
    }

    #[test]
    fn the_root_mount_leads_to_the_base_whatever_comes_first() {
        let steps = json!([
            source("a", "docker.io/library/golang:1"),
            source("b", "docker.io/library/debian:13"),
            {"id": "c", "op": {"Op": {"exec": {"mounts": [{"dest": "/cache"}, {"dest": "/", "input": 1}]}}}, "inputs": ["a:0", "b:0"]},
            {"id": "d", "op": {"Op": null}, "inputs": ["c:0"]},
        ]);
        assert_eq!(
            walked(&steps),
            ("docker.io/library/debian:13".into(), vec!["docker.io/library/golang:1".into()])
        );
    }

    #[test]
    fn copies_into_nothing_are_from_scratch() {
        let copy = json!({"actions": [
            {"input": -1, "secondaryInput": 0, "output": -1, "Action": {"copy": {}}},
            {"input": 1, "secondaryInput": 0, "Action": {"copy": {}}},
        ]});
        let steps = json!([
            source("a", "docker.io/library/golang:1"),
            {"id": "b", "op": {"Op": {"file": copy}}, "inputs": ["a:0"]},
            {"id": "c", "op": {}, "inputs": ["b:0"]},
        ]);
        assert_eq!(walked(&steps), ("Scratch".into(), vec!["docker.io/library/golang:1".into()]));
    }

    #[test]
    fn linked_copies_lie_upon_their_first_input() {
        let steps = json!([
            source("a", "docker.io/library/debian:13"),
            source("b", "docker.io/library/golang:1"),
            {"id": "c", "op": {"Op": {"file": {"actions": [{"input": -1, "secondaryInput": 0}]}}}, "inputs": ["b:0"]},
            {"id": "d", "op": {"Op": {"merge": {"inputs": [{}, {"input": 1}]}}}, "inputs": ["a:0", "c:0"]},
            {"id": "e", "op": {}, "inputs": ["d:0"]},
        ]);
        assert_eq!(walked(&steps).0, "docker.io/library/debian:13");
    }

    #[test]
    fn a_folder_a_circle_and_what_is_not_known_leave_the_base_unclear() {
        let local = json!([
            {"id": "a", "op": {"Op": {"source": {"identifier": "local://context"}}}, "inputs": []},
            {"id": "b", "op": {}, "inputs": ["a:0"]},
        ]);
        let circle = json!([{"id": "a", "op": {}, "inputs": ["a:0"]}]);
        let unknown = json!([{"id": "a", "op": {"Op": {"teleport": {}}}, "inputs": ["b:0"]}]);
        for steps in [local, circle, unknown] {
            assert_eq!(walked(&steps), ("Unclear".into(), vec![]));
        }
        assert!(walk(&json!([]), &|_| true).is_none());
    }
}
