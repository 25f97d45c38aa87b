//! Asks a person before something is written.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::input::BadInput;

/// Returns whether the person agrees: with `--yes`, or by an answer to the question.
pub(crate) fn agrees(yes: bool, question: &str) -> Result<bool, BadInput> {
    let because = |error: io::Error| BadInput::because(&error);
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(BadInput::new("to do this without being asked, add --yes"));
    }
    write!(io::stderr(), "{question} [y/N] ").map_err(because)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(because)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
