//! `table`: the DynamoDB table that the functions need.

use patchwave::table::create_table;

use crate::args::Table;
use crate::output::Answer;

/// The answer is the input of `CreateTable`, which is JSON in every format.
pub(crate) fn run(options: &Table) -> Answer {
    Answer::new(format!("{:#}\n", create_table(&options.name)))
}
