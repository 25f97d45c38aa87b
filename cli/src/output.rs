//! Prints an answer and says how it went.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::args::Format;
use crate::escape::{Form, escape};
use crate::input::BadInput;

const FOUND: u8 = 1;
const BAD_INPUT: u8 = 2;

/// What a verb has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    text: String,
    form: Form,
    /// What goes to standard error, beside the text.
    note: String,
    exit: u8,
}

impl Answer {
    /// An answer with exit code 0.
    pub(crate) fn new(text: String) -> Self {
        Self { text, form: Form::Text, note: String::new(), exit: 0 }
    }

    /// An answer in CSV.
    pub(crate) fn csv(text: String) -> Self {
        Self { form: Form::Csv, ..Self::new(text) }
    }

    /// Renders `answer` as the caller wants it.
    pub(crate) fn render<T: Serialize>(format: Format, answer: &T, text: impl FnOnce(&T) -> String) -> Self {
        match format {
            Format::Text => Self::new(text(answer)),
            _ => Self { form: Form::Json, ..Self::new(json(answer)) },
        }
    }

    /// The same answer, with a note beside it on standard error.
    pub(crate) fn with_note(self, note: String) -> Self {
        Self { note, ..self }
    }

    /// The same answer, with findings of the kind asked about.
    pub(crate) fn with_findings(self, found: bool) -> Self {
        Self { exit: if found { FOUND } else { self.exit }, ..self }
    }

    /// The same answer, with the exit code of bad input.
    pub(crate) fn about_bad_input(self) -> Self {
        Self { exit: BAD_INPUT, ..self }
    }
}

fn json<T: Serialize>(answer: &T) -> String {
    // Every answer is a struct of plain values and maps with text keys, which always has a JSON
    // form.
    let mut json = serde_json::to_string_pretty(answer).unwrap_or_default();
    json.push('\n');
    json
}

/// Prints an answer. A closed pipe is no error: its reader has seen enough.
pub(crate) fn print(answer: &Answer) -> ExitCode {
    let mut stdout = anstream::stdout().lock();
    let text = escape(&answer.text, answer.form);
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            refuse(&BadInput::new(format!("cannot write to standard output: {error}")))
        }
        _ => {
            // If this fails, the exit code still says it.
            let _ = anstream::stderr().lock().write_all(escape(&answer.note, Form::Text).as_bytes());
            ExitCode::from(answer.exit)
        }
    }
}

/// Says what is wrong with the input.
pub(crate) fn refuse(bad: &BadInput) -> ExitCode {
    // If this fails too, only the exit code is left.
    let _ = writeln!(anstream::stderr().lock(), "{}", escape(&bad.to_string(), Form::Text));
    ExitCode::from(BAD_INPUT)
}
