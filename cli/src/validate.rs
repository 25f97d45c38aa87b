//! `validate`: is the hierarchy file right, and if not, where is it wrong and what should it say?

use std::fmt::Write;

use patchwave::hierarchy::{Hierarchy, HierarchyErrors, Tier, Warning, json_schema};
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Format, Validate};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, GOOD, count, paint, tier, value, written};

/// So many warnings a person reads; `--format json` lists all of them.
const SHOWN: usize = 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    file: String,
    valid: bool,
    errors: Vec<Placed>,
    /// What a valid file probably does not mean.
    warnings: Vec<Placed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    file: String,
    line: u64,
    column: u64,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    images: usize,
    base: usize,
    platform: usize,
    application: usize,
    /// How many builds in a row the longest chain takes.
    waves: usize,
}

pub(crate) fn run(args: &Args, options: &Validate) -> Result<Answer, BadInput> {
    if options.schema {
        return Ok(Answer::render(Format::Json, &json_schema(), |_| String::new()));
    }
    let file = match &options.file {
        Some(file) => file,
        None => input::hierarchy_file(args)?,
    };
    let input::Written { name, yaml, parts } = input::Written::read(file)?;
    match Hierarchy::parse_with_warnings(&name, &yaml, &parts, now()) {
        Ok((hierarchy, warnings)) => {
            let answer = Answer::render(args.format, &good(&name, &hierarchy, &warnings), text);
            // JSON has the warnings; text leaves them to standard error, so that scripts can read
            // the answer.
            Ok(if args.format == Format::Text { answer.with_note(note(&warnings)) } else { answer })
        }
        // People read errors on standard error; programs read the answer on standard output.
        Err(errors) if args.format == Format::Text => Err(BadInput::because(&errors)),
        Err(errors) => Ok(Answer::render(args.format, &bad(&name, &errors), text).about_bad_input()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge reads the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn note(warnings: &[Warning]) -> String {
    written(|note| {
        for warning in warnings.iter().take(SHOWN) {
            let Warning { file, line, column, advice } = warning;
            let (file, advice) = (value(file), advice.to_string());
            writeln!(note, "{file}:{line}:{column}: {}: {}", paint(CAREFUL, "warning"), value(&advice))?;
        }
        match warnings.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(note, "{} not shown; --format json lists all", count(more, "more warning")),
        }
    })
}

fn good(file: &str, hierarchy: &Hierarchy, warnings: &[Warning]) -> Verdict {
    let in_tier = |tier: Tier| hierarchy.images().filter(|image| image.tier == tier).count();
    let summary = Summary {
        images: hierarchy.len(),
        base: in_tier(Tier::Base),
        platform: in_tier(Tier::Platform),
        application: in_tier(Tier::Application),
        waves: hierarchy.all().waves().len(),
    };
    let warnings = warnings.iter().map(|warning| Placed {
        file: warning.file.clone(),
        line: warning.line,
        column: warning.column,
        message: warning.advice.to_string(),
    });
    Verdict {
        file: file.to_owned(),
        valid: true,
        errors: Vec::new(),
        warnings: warnings.collect(),
        summary: Some(summary),
    }
}

fn bad(file: &str, errors: &HierarchyErrors) -> Verdict {
    let place = |error: &patchwave::hierarchy::HierarchyError| {
        format!("{}:{}:{}: ", error.file, error.line, error.column)
    };
    let errors = errors.iter().map(|error| Placed {
        file: error.file.clone(),
        line: error.line,
        column: error.column,
        message: error.to_string().split_off(place(error).len()),
    });
    Verdict {
        file: file.to_owned(),
        valid: false,
        errors: errors.collect(),
        warnings: Vec::new(),
        summary: None,
    }
}

fn text(verdict: &Verdict) -> String {
    let Some(summary) = &verdict.summary else { return String::new() };
    let tiers = [
        (summary.base, Tier::Base),
        (summary.platform, Tier::Platform),
        (summary.application, Tier::Application),
    ];
    let tiers: Vec<String> = tiers.map(|(number, of)| format!("{number} {}", tier(of))).into();
    let warned = match verdict.warnings.len() {
        0 => String::new(),
        warnings => format!("; {}", count(warnings, "warning")),
    };
    format!(
        "{}: {} ({}; {}{warned})\n",
        verdict.file,
        paint(GOOD, format!("OK, {}", count(summary.images, "image"))),
        tiers.join(", "),
        count(summary.waves, "wave"),
    )
}
