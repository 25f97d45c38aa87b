//! Shows the progress of long work at a terminal.

use std::io::{self, IsTerminal, Write};

use crate::escape::{Form, escape};

/// Replaces the last line on standard error, if that is a terminal. An empty line clears it.
pub(crate) fn show(line: &str) {
    if io::stderr().is_terminal() {
        write(&mut io::stderr().lock(), line);
    }
}

fn write(stderr: &mut impl Write, line: &str) {
    // Progress is not part of the answer: a line that cannot be shown is left out.
    let line = escape(line, Form::Value);
    let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_takes_the_place_of_the_one_before() {
        let mut shown = Vec::new();
        for line in ["12 entries read", ""] {
            write(&mut shown, line);
        }
        assert_eq!(shown, b"\r\x1b[2K12 entries read\r\x1b[2K");
    }
}
