//! `table`: what to create on DynamoDB. Tests compare the adapter and the template with it.

use patchwave::table::create_table;

use crate::args::{Format, Table};
use crate::output::Answer;

/// Always prints JSON, which `aws dynamodb create-table --cli-input-json` takes.
pub(crate) fn run(options: &Table) -> Answer {
    Answer::render(Format::Json, &create_table(&options.name), |_| String::new())
}
