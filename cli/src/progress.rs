//! How far something long is, for whoever waits for it at a terminal.

use std::io::{self, IsTerminal, Write};

/// Shows a line on standard error over the one before; nothing where that is no terminal. An empty one leaves nothing behind.
pub(crate) fn show(line: &str) {
    if io::stderr().is_terminal() {
        write(&mut io::stderr().lock(), line);
    }
}

fn write(stderr: &mut impl Write, line: &str) {
    // Nobody misses a line that could not be shown.
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
