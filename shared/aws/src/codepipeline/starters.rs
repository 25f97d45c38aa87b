//! Whether a start by hand was Patchwave's.
//!
//! CodePipeline names who started an execution: the ARN of a session of a role.

use std::str::FromStr;

use patchwave::hierarchy::Builder;

/// A role that starts pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Starter {
    account: String,
    /// The role's name, without its path: the ARN of a session has no path.
    role: String,
}

impl FromStr for Starter {
    type Err = ();

    /// Reads the ARN of a role or of one of its sessions.
    fn from_str(arn: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = arn.trim().splitn(6, ':').collect();
        let ["arn", _, _, _, account, resource] = parts[..] else { return Err(()) };
        let role = match resource.split_once('/') {
            Some(("role", path)) => path.rsplit('/').next(),
            Some(("assumed-role", session)) => session.split('/').next(),
            _ => None,
        };
        let role = role.filter(|role| !role.is_empty()).ok_or(())?;
        Ok(Self { account: account.to_owned(), role: role.to_owned() })
    }
}

impl Starter {
    /// Returns the role that Patchwave takes to start a builder's pipelines, if it takes one.
    fn of(builder: &Builder) -> Option<Self> {
        let role = builder.role.as_ref()?;
        let named = || Self { account: builder.account.clone(), role: role.name.clone() };
        Some(role.name.parse().unwrap_or_else(|()| named()))
    }
}

/// Returns whether one of Patchwave's roles made the start that CodePipeline explains with
/// `detail`.
///
/// `own` are the roles of the functions, any of which may have made it. Where the environment does
/// not name them, every start may be Patchwave's.
pub(super) fn is_ours(own: &[Starter], builder: Option<&Builder>, detail: Option<&str>) -> bool {
    let caller = detail.and_then(|detail| detail.parse::<Starter>().ok());
    match builder.and_then(Starter::of) {
        Some(taken) => caller == Some(taken),
        None => own.is_empty() || caller.is_some_and(|caller| own.contains(&caller)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_of_a_functions_role_is_ours_and_nobody_elses_is() {
        let own: Vec<Starter> = ["arn:aws:iam::111122223333:role/patchwave/patchwave-RebuildFanoutRole-1A"]
            .map(|arn| arn.parse().unwrap())
            .into();
        for (detail, ours) in [
            ("arn:aws:sts::111122223333:assumed-role/patchwave-RebuildFanoutRole-1A/rebuild-fanout", true),
            ("arn:aws:sts::111122223333:assumed-role/Developer/jo", false),
            ("arn:aws:sts::444455556666:assumed-role/patchwave-RebuildFanoutRole-1A/x", false),
            ("arn:aws:iam::111122223333:user/jo", false),
            ("arn:aws:iam::111122223333:root", false),
            ("", false),
        ] {
            assert_eq!(is_ours(&own, None, Some(detail)), ours, "{detail}");
        }
        assert!(!is_ours(&own, None, None), "nobody says who it was");
        assert!(is_ours(&[], None, None), "the environment does not say which roles are ours");
    }

    #[test]
    fn a_builders_pipeline_is_started_with_the_builders_role() {
        for role in ["patchwave-start", "arn:aws:iam::222233334444:role/build/patchwave-start"] {
            let builder = json!({"account": "222233334444", "region": "eu-west-1", "role": {"name": role}});
            let builder: Builder = serde_json::from_value(builder).unwrap();
            let ours = |detail: &str| is_ours(&[], Some(&builder), Some(detail));
            assert!(ours("arn:aws:sts::222233334444:assumed-role/patchwave-start/patchwave-build"), "{role}");
            assert!(!ours("arn:aws:sts::222233334444:assumed-role/Developer/jo"), "{role}");
        }
    }
}
