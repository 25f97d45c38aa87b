//! What others wrote never steers a terminal or a spreadsheet.
//!
//! Images of pods, names of packages, titles of findings and keys of files are other people's
//! texts. A control character in one could clear the screen, set the clipboard or reverse what is
//! read. Here it becomes visible.

use std::borrow::Cow;

/// What passes as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One value: nothing passes.
    Value,
    /// One line: our own styles pass.
    Line,
    /// Lines: our own styles and ends of lines pass.
    Text,
    /// Lines of CSV: their ends pass.
    Csv,
    /// JSON: its ends of lines pass. Others are written as JSON's own escapes, so that its strings
    /// stay exact.
    Json,
}

/// Writes the control characters of a text as people can read them: `\u{1b}`.
pub(crate) fn escape(text: &str, form: Form) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(is_control) {
        let (before, from) = rest.split_at(at);
        escaped.push_str(before);
        let own = own(from, form);
        let (passing, after) = from.split_at(own);
        escaped.push_str(passing);
        let mut after = after.chars();
        if let Some(control) = after.next().filter(|_| own == 0) {
            escape_one(control, form, &mut escaped);
            rest = after.as_str();
        } else {
            rest = from.get(own..).unwrap_or_default();
        }
    }
    escaped.push_str(rest);
    Cow::Owned(escaped)
}

fn escape_one(control: char, form: Form, escaped: &mut String) {
    if form == Form::Json {
        let mut units = [0; 2];
        let units = control.encode_utf16(&mut units).iter();
        escaped.extend(units.map(|unit| format!("\\u{unit:04x}")));
    } else {
        escaped.extend(control.escape_default());
    }
}

/// Returns the length of what Patchwave itself wrote at the start of a text.
fn own(text: &str, form: Form) -> usize {
    let ends: &[&str] = match form {
        Form::Value | Form::Line => &[],
        Form::Text | Form::Json => &["\n"],
        Form::Csv => &["\r\n"],
    };
    let styles: &[&str] = if matches!(form, Form::Line | Form::Text) { &STYLES } else { &[] };
    ends.iter().chain(styles).find(|own| text.starts_with(**own)).map_or(0, |own| own.len())
}

/// The sequences of the styles of [`crate::render`].
const STYLES: [&str; 7] =
    ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"];

/// Tells whether a character could steer what shows it: C0, DEL and C1, ends of lines, and what
/// reverses the direction of text.
/// <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Writes one cell of CSV: quoted where it has to be (<https://www.rfc-editor.org/rfc/rfc4180>),
/// and as text where a spreadsheet would calculate.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
pub(crate) fn cell(field: &str) -> String {
    let calculates = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = escape(field, Form::Value);
    let field = if calculates { Cow::Owned(format!("'{field}")) } else { field };
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{BAD, CAREFUL, FAINT, GOOD, NAME, STRONG, paint};

    #[test]
    fn our_styles_and_ends_of_lines_pass_and_others_do_not() {
        let check = |text: &str, form, expect: &str| assert_eq!(escape(text, form), expect);
        for style in [STRONG, FAINT, GOOD, BAD, CAREFUL, NAME] {
            let painted = format!("{}\n", paint(style, "ä"));
            check(&painted, Form::Text, &painted);
        }
        check("\u{1b}]52;c;eA==\u{7}", Form::Text, r"\u{1b}]52;c;eA==\u{7}");
        check("\u{1b}[2J\u{9b}2J\u{202e}\r\n", Form::Text, "\\u{1b}[2J\\u{9b}2J\\u{202e}\\r\n");
        check("\u{1b}[1ma\nb", Form::Value, r"\u{1b}[1ma\nb");
        check("\u{1b}[1ma\nb", Form::Line, "\u{1b}[1ma\\nb");
        check("a\r\nb\nc\u{1b}[1m", Form::Csv, "a\r\nb\\nc\\u{1b}[1m");
        check("\"\u{9b}\u{2066}\"\n", Form::Json, "\"\\u009b\\u2066\"\n");
    }

    #[test]
    fn a_cell_is_text_and_not_a_formula() {
        let check = |field: &str, expect: &str| assert_eq!(cell(field), expect);
        check("nginx:1", "nginx:1");
        check("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        for formula in ["=1", "+1", "-1", "@A1"] {
            check(formula, &format!("'{formula}"));
        }
        check("\t=1", r"'\t=1");
        check("\u{2028}=1", r"\u{2028}=1");
        check("a\nb", r"a\nb");
    }
}
