//! `table`: what to create on DynamoDB. The adapter and the template are compared with the same source.

use patchwave::table::create_table;

use crate::args::{Format, Table};
use crate::output::Answer;

/// There is no other form for people: the JSON is what `aws dynamodb create-table --cli-input-json` takes.
pub(crate) fn run(options: &Table) -> Answer {
    Answer::render(Format::Json, &create_table(&options.name), |_| String::new())
}
