//! What the policies of a role allow to push.
//!
//! Conditions, boundaries and the policies of an organisation can only take rights away, so what is
//! read here is what a role may push at most.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::discover::named::decode;
use crate::image::glob;

const ACTION: &str = "ecr:putimage";

/// Reads to which resources policies allow `ecr:PutImage`: ARNs, in which `*` stands for any
/// characters. IAM answers with documents that are encoded as in a URL.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html>
#[must_use]
pub fn may_push(policies: &[String]) -> BTreeSet<String> {
    let (mut allowed, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for policy in policies {
        let text = if policy.trim_start().starts_with('{') { policy.clone() } else { decode(policy) };
        let policy: Value = serde_json::from_str(&text).unwrap_or_default();
        for statement in one_or_more(&policy["Statement"]).into_iter().filter(|of| is_about_pushes(of)) {
            let resources = resources(statement);
            match statement["Effect"].as_str() {
                Some("Allow") => allowed.extend(resources),
                // A denial with a condition may not apply.
                Some("Deny") if statement.get("Condition").is_none() => denied.extend(resources),
                _ => {}
            }
        }
    }
    allowed.retain(|resource| !denied.iter().any(|pattern| glob(pattern, resource)));
    allowed
}

fn one_or_more(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn words(value: &Value) -> impl Iterator<Item = &str> {
    one_or_more(value).into_iter().filter_map(Value::as_str)
}

fn is_about_pushes(statement: &Value) -> bool {
    let names = |value: &Value| {
        words(value).any(|action| glob(&action.to_ascii_lowercase().replace('?', "*"), ACTION))
    };
    match statement.get("NotAction") {
        Some(others) => !names(others),
        None => names(&statement["Action"]),
    }
}

/// What a statement is about. All but some resources are read as all of them.
fn resources(statement: &Value) -> BTreeSet<String> {
    if statement.get("NotResource").is_some() {
        return ["*".to_owned()].into();
    }
    words(&statement["Resource"]).map(|resource| resource.replace('?', "*")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushes(policies: &[&str]) -> Vec<String> {
        may_push(&policies.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn what_a_role_may_push_is_read_from_every_form_of_a_statement() {
        const WEB: &str = "arn:aws:ecr:us-east-1:111122223333:repository/apps/web";
        let allow = |rest: &str| format!(r#"{{"Statement": {{"Effect": "Allow", {rest}}}}}"#);
        for (statement, may) in [
            (format!(r#""Action": "ecr:PutImage", "Resource": "{WEB}""#), vec![WEB]),
            (format!(r#""Action": ["ecr:putimage"], "Resource": ["{WEB}"]"#), vec![WEB]),
            (r#""Action": "ecr:*", "Resource": "*""#.to_owned(), vec!["*"]),
            (r#""Action": "ecr:Batch*", "Resource": "*""#.to_owned(), vec![]),
            (r#""NotAction": "iam:*", "Resource": "*""#.to_owned(), vec!["*"]),
            (r#""NotAction": "ecr:*", "Resource": "*""#.to_owned(), vec![]),
            (format!(r#""Action": "*", "NotResource": "{WEB}""#), vec!["*"]),
            (r#""Action": 7, "Resource": null"#.to_owned(), vec![]),
        ] {
            assert_eq!(pushes(&[&allow(&statement)]), may, "{statement}");
        }
        assert!(pushes(&["", "[]", "{", "null", r#"{"Statement": [1, {"Effect": 2}]}"#]).is_empty());
    }

    #[test]
    fn a_denial_takes_away_what_it_covers_and_documents_are_decoded() {
        let allow = r#"{"Statement":[{"Effect":"Allow","Action":"ecr:PutImage","Resource":["a/x","b/x"]}]}"#;
        let deny = r#"{"Statement":[{"Effect":"Deny","Action":"ecr:*","Resource":"b/*"}]}"#;
        assert_eq!(pushes(&[allow, deny]), ["a/x"]);
        let sometimes = deny.replace("\"Resource\"", "\"Condition\":{},\"Resource\"");
        assert_eq!(pushes(&[allow, &sometimes]), ["a/x", "b/x"]);
        let encoded = allow.replace('{', "%7B").replace('"', "%22").replace('/', "%2F");
        assert_eq!(pushes(&[&encoded]), ["a/x", "b/x"]);
    }
}
