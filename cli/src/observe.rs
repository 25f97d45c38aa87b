//! `observe`: a snapshot of what AWS has now, for `plan`, `why` and `impact`.

use crate::args::{Args, Format};
use crate::deployment;
use crate::input::BadInput;
use crate::output::Answer;

/// Always prints JSON, which `--facts` takes.
pub(crate) fn run(args: &Args) -> Result<Answer, BadInput> {
    let observed = deployment::observe(args)?;
    let answer = Answer::render(Format::Json, &observed.facts, |_| String::new());
    Ok(answer.with_note(observed.note).with_findings(observed.is_partial))
}
