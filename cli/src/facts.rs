//! `facts`: a snapshot of a deployment, for `plan` and `why`.

use crate::args::{Args, Format};
use crate::deployment;
use crate::input::BadInput;
use crate::output::Answer;

/// Always prints JSON, which `--facts` takes.
pub(crate) fn run(args: &Args) -> Result<Answer, BadInput> {
    let facts = deployment::snapshot(args)?;
    Ok(Answer::render(Format::Json, &facts, |_| String::new()))
}
