//! `approve`, `rebuild`, `release` and `freeze`: a person decides about one image of a deployment.

use patchwave::intervention::Intervention;
use patchwave_aws::{ActedOn, Intervened};
use serde::Serialize;

use crate::args::{Args, Decide};
use crate::deployment::ask;
use crate::input::BadInput;
use crate::output::Answer;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided<'a> {
    image: String,
    decision: Intervention,
    by: &'a str,
    /// Whether a look was asked for; otherwise the next event or tick acts on it.
    look_asked: bool,
    /// Why none was, though the deployment has looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_look: Option<String>,
}

pub(crate) fn run(args: &Args, decide: &Decide, decision: Intervention) -> Result<Answer, BadInput> {
    let Intervened { image, acted_on } = ask(patchwave_aws::intervene(&decide.image, decision, &decide.by))?;
    let (look_asked, no_look) = match acted_on {
        ActedOn::AtRecheck => (true, None),
        ActedOn::AtNextTick(because) => (false, because.map(|fault| fault.to_string())),
    };
    let decided = Decided { image: image.to_string(), decision, by: &decide.by, look_asked, no_look };
    Ok(Answer::render(args.format, &decided, text))
}

fn text(decided: &Decided<'_>) -> String {
    let when = match (decided.look_asked, &decided.no_look) {
        (true, _) => "a look in about two minutes acts on it".to_owned(),
        (false, None) => "the next event or tick acts on it".to_owned(),
        (false, Some(because)) => format!("the next event or tick acts on it: {because}"),
    };
    format!("{}: written; {when}\n", decided.image)
}
