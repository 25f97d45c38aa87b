//! Repository policies: Patchwave's statements beside those of others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::setting::Access;
use crate::hierarchy::{DeclaredRegistry, Hierarchy};
use crate::image::Partition;

/// How the names of Patchwave's statements begin. All others are somebody else's.
const OURS: &str = "Patchwave";
/// What a pull needs.
const PULL: [&str; 3] =
    ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/// What a push needs besides.
const PUSH: [&str; 4] =
    ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];
/// The longest policy that ECR takes, in characters.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html>
const LONGEST: usize = 10_240;

/// Returns the policy with Patchwave's statements; nothing if it has them already, or needs none.
pub(super) fn merged(
    hierarchy: &Hierarchy,
    registry: &DeclaredRegistry,
    access: &Access,
    now: Option<&str>,
) -> Result<Option<Value>, String> {
    let mut policy: Value = match now {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("its text is no JSON: {error}"))?,
        None => json!({"Version": "2012-10-17", "Statement": []}),
    };
    let before = policy.clone();
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(statements)) => statements,
        Some(one @ Value::Object(_)) => {
            *one = Value::Array(vec![one.clone()]);
            one.as_array_mut().ok_or("it has no statements")?
        }
        _ => return Err("it has no statements".to_owned()),
    };
    let is_ours = |statement: &Value| {
        statement.get("Sid").and_then(Value::as_str).is_some_and(|sid| sid.starts_with(OURS))
    };
    statements.retain(|statement| !is_ours(statement));
    statements.extend(ours(hierarchy, registry, access));
    if policy == before || (now.is_none() && policy["Statement"] == json!([])) {
        return Ok(None);
    }
    let length = policy.to_string().len();
    if length > LONGEST {
        return Err(format!("it would have {length} characters, and ECR takes {LONGEST}"));
    }
    Ok(Some(policy))
}

fn ours(hierarchy: &Hierarchy, registry: &DeclaredRegistry, access: &Access) -> Vec<Value> {
    let (host, partition) = (&registry.host, Partition::of(registry.host.region()).name);
    let accounts: BTreeSet<&str> = hierarchy
        .inspected()
        .accounts
        .iter()
        .map(|account| account.id.as_str())
        .filter(|account| *account != host.account())
        .collect();
    let roots: Vec<String> =
        accounts.iter().map(|account| format!("arn:{partition}:iam::{account}:root")).collect();
    let mut statements = Vec::new();
    if !roots.is_empty() {
        statements.push(json!({
            "Sid": "PatchwavePull", "Effect": "Allow", "Principal": {"AWS": roots}, "Action": PULL,
        }));
    }
    if let Some(organization) = &access.organization {
        statements.push(json!({
            "Sid": "PatchwavePullOrganization", "Effect": "Allow", "Principal": "*", "Action": PULL,
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}},
        }));
    }
    if access.lambda {
        let functions: Vec<String> = accounts
            .iter()
            .chain([&host.account()])
            .map(|account| format!("arn:{partition}:lambda:{}:{account}:function:*", host.region()))
            .collect();
        // Lambda pulls an image of another account only if the policy admits the service.
        statements.push(json!({
            "Sid": "PatchwavePullLambda", "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Condition": {"StringLike": {"aws:sourceArn": functions}},
        }));
    }
    if !access.push.is_empty() {
        let actions: BTreeSet<&str> = PULL.into_iter().chain(PUSH).collect();
        statements.push(json!({
            "Sid": "PatchwavePush", "Effect": "Allow", "Principal": {"AWS": access.push}, "Action": actions,
        }));
    }
    statements
}
