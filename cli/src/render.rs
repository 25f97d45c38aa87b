//! Formats text for people.

use std::borrow::Cow;
use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};
use patchwave::finding::Severity;
use patchwave::hierarchy::Tier;
use patchwave::plan::{Deadline, Due, Reason};
use patchwave::time::{Span, Timestamp};

use crate::escape::{Form, escape};

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CAREFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();

/// Returns what `write` writes.
pub(crate) fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text);
    text
}

/// Paints a text.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The widest line of text for people.
const WIDTH: usize = 80;

/// Breaks a text into lines of at most 80 columns, all indented by `indent`.
pub(crate) fn wrapped(indent: usize, text: &str) -> String {
    hanging(indent, indent, text)
}

/// Breaks a text into lines of at most 80 columns: the first indented by `first`, the others by
/// `others`. A longer word stands alone in its line.
pub(crate) fn hanging(first: usize, others: usize, text: &str) -> String {
    let (mut lines, mut column) = (" ".repeat(first), first);
    for (index, word) in text.split(' ').enumerate() {
        let word = &*escape(word, Form::Line);
        let width = visible(word);
        if index > 0 && column + 1 + width > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(others));
            column = others;
        } else if index > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

/// Counts the characters that a terminal shows: all but those of colours.
fn visible(text: &str) -> usize {
    let mut in_colour = false;
    let shows = |character: &char| {
        let was_in_colour = in_colour;
        in_colour = if was_in_colour { *character != 'm' } else { *character == '\u{1b}' };
        !was_in_colour && !in_colour
    };
    text.chars().filter(shows).count()
}

/// Writes a number and its noun: `1 image`, `3 images`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Writes a moment's time of day in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}

/// Writes a moment's time of day in UTC, with seconds.
pub(crate) fn exact_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Writes a span in its two largest units: `3h 07m`, `6m 12s`.
pub(crate) fn span(span: Span) -> String {
    let seconds = span.as_seconds();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s:02}s"),
        (0, h, m, _) => format!("{h}h {m:02}m"),
        (d, h, _, _) => format!("{d}d {h:02}h"),
    }
}

/// Writes a text of somebody else, so that it stays within its line.
pub(crate) fn value(text: &str) -> Cow<'_, str> {
    escape(text, Form::Value)
}

/// Fits a text into a column: padded, or cut with an ellipsis.
pub(crate) fn column(text: &str, width: usize) -> String {
    let text = &*value(text);
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Writes a list that stays within a line: the first few and how many more.
pub(crate) fn some<T: Display>(things: impl ExactSizeIterator<Item = T>, at_most: usize) -> String {
    let more = things.len().saturating_sub(at_most);
    let list = things
        .take(at_most)
        .map(|thing| value(&thing.to_string()).into_owned())
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

/// Says when a rebuild is due, and why then.
pub(crate) fn due(due: &Due) -> String {
    let because = match &due.because {
        Deadline::Exploited { finding } => format!("at once, because an exploit of {finding} is known"),
        Deadline::Severity { finding, severity, within, in_production: false } => {
            format!("{within} after {finding} appeared ({severity})")
        }
        Deadline::Severity { finding, severity, within, in_production: true } => {
            format!("half of {within} after {finding} appeared ({severity}), because it runs in production")
        }
        Deadline::Reason { within, .. } => format!("{within} after its first reason"),
    };
    let needed_by = due.needed_by.as_ref().map(|image| format!("; {image} needs it")).unwrap_or_default();
    format!("due {:.0}: {because}{needed_by}", due.at)
}

/// Names a tier.
pub(crate) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Base => "base",
        Tier::Platform => "platform",
        Tier::Application => "application",
    }
}

/// Says a reason in one line.
pub(crate) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Vulnerable { causes, .. } => {
            let worst = causes.iter().map(|cause| cause.severity).max().unwrap_or(Severity::Unrated);
            let findings: Vec<String> = causes.iter().map(|cause| cause.finding.to_string()).collect();
            format!("vulnerable ({worst}): {}", some(findings.iter(), 3))
        }
        Reason::ParentChanged { parent, now, .. } => format!("{parent} changed: it is now {}", now.short()),
        Reason::Expired { age, .. } => format!("too old: {}", span(*age)),
        Reason::Requested { by, .. } => format!("{by} asked for it"),
        Reason::NeverBuilt { .. } => "its stable tag does not exist yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        let check = |seconds, expect: &str| assert_eq!(span(Span::seconds(seconds)), expect);
        check(9, "9s");
        check(372, "6m 12s");
        check(11_220, "3h 07m");
        check(93_600, "1d 02h");
    }

    #[test]
    fn lines_break_between_words_and_do_not_count_colours() {
        let words = format!("{} {}", "a".repeat(70), "b".repeat(7));
        assert_eq!(wrapped(2, &words), format!("  {words}"));
        assert_eq!(wrapped(3, &words), format!("   {}\n   bbbbbbb", "a".repeat(70)));
        assert_eq!(hanging(2, 6, "label: a"), "  label: a");
        let painted = paint(BAD, &words);
        assert_eq!(wrapped(2, &painted), format!("  {painted}"));
    }

    #[test]
    fn columns_fit() {
        assert_eq!(column("ab", 4), "ab  ");
        assert_eq!(column("abcdef", 4), "abc…");
        assert_eq!(some(["a", "b", "c"].iter(), 2), "a, b and 1 more");
    }
}
