//! `facts`: a snapshot of a deployment, for `plan` and `why`.

use crate::args::Format;
use crate::deployment::ask;
use crate::input::BadInput;
use crate::output::Answer;

/// There is no other form for people: the JSON is what `--facts` takes.
pub(crate) fn run() -> Result<Answer, BadInput> {
    let facts = ask(patchwave_aws::snapshot())?;
    Ok(Answer::render(Format::Json, &facts, |_| String::new()))
}
