//! `approve`, `rebuild`, `release` and `freeze`: a person decides about one image of a deployment.

use patchwave::intervention::Intervention;
use serde::Serialize;

use crate::args::{Args, Decide};
use crate::input::BadInput;
use crate::output::Answer;

#[derive(Debug, Serialize)]
struct Decided<'a> {
    image: String,
    decision: Intervention,
    by: &'a str,
}

pub(crate) fn run(args: &Args, decide: &Decide, decision: Intervention) -> Result<Answer, BadInput> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BadInput::because(&error))?;
    let written = runtime.block_on(patchwave_aws::intervene(&decide.image, decision, &decide.by));
    let image = written.map_err(|not_done| BadInput::because(&not_done))?.to_string();
    let decided = Decided { image, decision, by: &decide.by };
    Ok(Answer::render(args.format, &decided, |decided| {
        format!("{}: written; the next event or tick acts on it\n", decided.image)
    }))
}
