//! `doctor`: will this installation do its work?

use std::fmt::{self, Write};

use patchwave::doctor::{Finding, Level, Seen, judge};
use patchwave::hierarchy::Hierarchy;
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Doctor};
use crate::deployment;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{BAD, CAREFUL, FAINT, GOOD, STRONG, count, paint, value, wrapped, written};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    broken: usize,
    warnings: usize,
    not_checked: usize,
    findings: Vec<Finding>,
    /// What the findings are from. `--seen` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

/// What was seen, and when.
pub(crate) struct Looked {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) seen: Seen,
    pub(crate) now: Timestamp,
}

pub(crate) fn run(args: &Args, options: &Doctor) -> Result<Answer, BadInput> {
    let Looked { hierarchy, seen, now } = match &options.seen {
        None => deployment::look(args)?,
        Some(file) => {
            let hierarchy = input::hierarchy(args)?;
            let seen: Seen = input::json(file, "what a doctor saw")?;
            Looked { hierarchy, seen, now: options.at.unwrap_or(Timestamp::MIN) }
        }
    };
    let findings = judge(&hierarchy, &seen, now);
    let number = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let judged = Judged {
        broken: number(Level::Broken),
        warnings: number(Level::Warning),
        not_checked: number(Level::NotChecked),
        seen: options.show_seen.then_some(seen),
        findings,
    };
    let found = !judged.findings.is_empty();
    Ok(Answer::render(args.format, &judged, |judged| written(|out| write(judged, out))).with_findings(found))
}

fn write(judged: &Judged, text: &mut String) -> fmt::Result {
    let Judged { broken, warnings, not_checked, findings, .. } = judged;
    let head = format!("{broken} broken, {}, {not_checked} not checked", count(*warnings, "warning"));
    writeln!(text, "{}", paint(STRONG, head))?;
    for Finding { level, about, breaks, mend } in findings {
        let level = match level {
            Level::Broken => paint(BAD, "broken"),
            Level::Warning => paint(CAREFUL, "warning"),
            Level::NotChecked => paint(FAINT, "not checked"),
        };
        writeln!(text, "{}", wrapped(2, &format!("{level} {}: {}", value(about), value(breaks))))?;
        writeln!(text, "{}", paint(FAINT, wrapped(4, mend)))?;
    }
    if findings.is_empty() {
        writeln!(text, "  {}", paint(GOOD, "nothing is wrong with what was looked at"))?;
    }
    Ok(())
}
