//! `validate`: is the hierarchy file right, and if not, where and what to do?

use patchwave::hierarchy::{Hierarchy, HierarchyErrors, Tier, json_schema};
use serde::Serialize;

use crate::args::{Args, Format, Validate};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{GOOD, count, paint, tier};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    file: String,
    valid: bool,
    errors: Vec<ErrorAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorAt {
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
    let yaml = input::text(file)?;
    let name = input::name(file);
    match Hierarchy::parse(&name, &yaml) {
        Ok(hierarchy) => Ok(Answer::render(args.format, &good(&name, &hierarchy), text)),
        // People read errors on standard error; programs read the answer on standard output.
        Err(errors) if args.format == Format::Text => Err(BadInput::because(&errors)),
        Err(errors) => Ok(Answer::render(args.format, &bad(&name, &errors), text).about_bad_input()),
    }
}

fn good(file: &str, hierarchy: &Hierarchy) -> Verdict {
    let in_tier = |tier: Tier| hierarchy.images().filter(|image| image.tier == tier).count();
    let summary = Summary {
        images: hierarchy.len(),
        base: in_tier(Tier::Base),
        platform: in_tier(Tier::Platform),
        application: in_tier(Tier::Application),
        waves: hierarchy.all().waves().len(),
    };
    Verdict { file: file.to_owned(), valid: true, errors: Vec::new(), summary: Some(summary) }
}

fn bad(file: &str, errors: &HierarchyErrors) -> Verdict {
    let place = |error: &patchwave::hierarchy::HierarchyError| {
        format!("{}:{}:{}: ", error.file, error.line, error.column)
    };
    let errors = errors.iter().map(|error| ErrorAt {
        file: error.file.clone(),
        line: error.line,
        column: error.column,
        message: error.to_string().split_off(place(error).len()),
    });
    Verdict { file: file.to_owned(), valid: false, errors: errors.collect(), summary: None }
}

fn text(verdict: &Verdict) -> String {
    let Some(summary) = &verdict.summary else { return String::new() };
    let tiers = [
        (summary.base, Tier::Base),
        (summary.platform, Tier::Platform),
        (summary.application, Tier::Application),
    ];
    let tiers: Vec<String> = tiers.map(|(number, of)| format!("{number} {}", tier(of))).into();
    format!(
        "{}: {} ({}; {})\n",
        verdict.file,
        paint(GOOD, format!("OK, {}", count(summary.images, "image"))),
        tiers.join(", "),
        count(summary.waves, "wave"),
    )
}
