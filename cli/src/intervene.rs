//! `approve`, `rebuild`, `release` and `freeze`: a person decides about one image of a deployment.

use patchwave::intervention::Intervention;
use serde::Serialize;

use crate::args::{Args, Decide};
use crate::deployment;
use crate::input::BadInput;
use crate::output::Answer;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Decided<'a> {
    pub(crate) image: String,
    pub(crate) decision: Intervention,
    pub(crate) by: &'a str,
    /// The commit of the current version, if the decision accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_revision: Option<String>,
    /// Whether Patchwave scheduled a recheck; otherwise the next event or tick acts on the
    /// decision.
    pub(crate) recheck: bool,
    /// Why it did not, though the deployment has rechecks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_recheck: Option<String>,
}

pub(crate) fn run(args: &Args, decide: &Decide, decision: Intervention) -> Result<Answer, BadInput> {
    let decided = deployment::intervene(args, decide, decision)?;
    Ok(Answer::render(args.format, &decided, text))
}

fn text(decided: &Decided<'_>) -> String {
    let when = match (decided.recheck, &decided.no_recheck) {
        (true, _) => "Patchwave acts on it in about two minutes".to_owned(),
        (false, None) => "Patchwave acts on it at the next event or tick".to_owned(),
        (false, Some(because)) => {
            format!(
                "Patchwave acts on it at the next event or tick. It could not schedule a recheck: {because}"
            )
        }
    };
    let accepts = match &decided.accepted_revision {
        Some(commit) => format!(" It accepts the commit {commit} of the current version."),
        None => String::new(),
    };
    format!("Recorded for {}.{accepts} {when}\n", decided.image)
}
