//! `lifecycle`: checks an ECR lifecycle policy, and says what it would delete or archive, and
//! whether any of that is in use.

pub(crate) mod plan;

use std::fmt::{self, Write};
use std::path::Path;

use patchwave::inventory;
use patchwave::lifecycle::{
    Action, Goes, How, LifecyclePolicy, Listing, Outlook, PolicyError, Safety, outlook,
};
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Format, Lifecycle, LifecycleWork};
use crate::care;
use crate::input::{self, BadInput};
use crate::inventory::write_not_inspected;
use crate::output::Answer;
use crate::render::{BAD, CAREFUL, FAINT, GOOD, NAME, column, count, paint, some, value, written};

/// How many uses of one image, and how many of its tags, the text names; JSON lists all.
const SHOWN: usize = 3;
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    file: String,
    valid: bool,
    errors: Vec<PolicyError>,
    /// What is valid and rarely intended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<PolicyError>,
    rules: usize,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    repository: Option<Foreseen>,
}

/// What the policy would do to a repository.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Foreseen {
    repository: Option<String>,
    at: Timestamp,
    images: usize,
    #[serde(flatten)]
    outlook: Outlook,
    #[serde(skip)]
    running: Option<inventory::Answer>,
}

pub(crate) fn run(args: &Args, options: &Lifecycle) -> Result<Answer, BadInput> {
    match (&options.work, &options.policy) {
        (Some(LifecycleWork::Plan(options)), _) => plan::run(args, options),
        (Some(LifecycleWork::Preview(options)), _) => care::preview(args, options),
        (Some(LifecycleWork::Apply(options)), _) => care::apply(args, options),
        (Some(LifecycleWork::Undo(options)), _) => care::undo(args, options),
        (None, Some(policy)) => check(args, policy, options),
        (None, None) => Err(BadInput::new("name a policy, or what to do")),
    }
}

fn check(args: &Args, policy: &Path, options: &Lifecycle) -> Result<Answer, BadInput> {
    let file = input::name(policy);
    let policy = match LifecyclePolicy::read(&input::text(policy)?) {
        Ok(policy) => policy,
        Err(errors) if args.format == Format::Text => {
            let place = |error: &PolicyError| {
                if error.line.is_some() { format!("{file}:{error}") } else { format!("{file}: {error}") }
            };
            return Err(BadInput::all(errors.0.iter().map(place)));
        }
        Err(errors) => {
            let warnings = Vec::new();
            let checked =
                Checked { file, valid: false, errors: errors.0, warnings, rules: 0, repository: None };
            return Ok(Answer::render(args.format, &checked, text).about_bad_input());
        }
    };
    let repository = foresee(&policy, options)?;
    let safe = repository.as_ref().is_none_or(|repository| repository.outlook.verdict == Safety::Safe);
    let (rules, warnings) = (policy.rules().len(), policy.warnings().to_vec());
    let checked = Checked { file, valid: true, errors: Vec::new(), warnings, rules, repository };
    Ok(Answer::render(args.format, &checked, text).with_findings(!safe))
}

fn foresee(policy: &LifecyclePolicy, options: &Lifecycle) -> Result<Option<Foreseen>, BadInput> {
    let Some(images) = &options.images else { return Ok(None) };
    let listing = Listing::parse(&input::text(images)?)
        .map_err(|error| BadInput::new(format!("{}: {error}", input::name(images))))?;
    let running = options
        .running
        .as_deref()
        .map(|file| input::json(file, "what `patchwave inventory --format json` prints"));
    let running: Option<inventory::Answer> = running.transpose()?;
    let at = options.at.unwrap_or_else(now);
    let mut outlook = outlook(policy, &listing, running.as_ref(), options.roll_backs, at);
    if listing.images.is_empty() {
        outlook
            .unknown
            .push(format!("{} lists no image; check its repository and region", input::name(images)));
        outlook.verdict = Safety::Unknown;
    }
    Ok(Some(Foreseen {
        repository: listing.of.as_ref().map(|(_, repository)| repository.to_string()),
        at,
        images: listing.images.len(),
        outlook,
        running,
    }))
}

#[expect(clippy::disallowed_methods, reason = "the edge reads the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn text(checked: &Checked) -> String {
    written(|text| write(checked, text))
}

fn write(checked: &Checked, text: &mut String) -> fmt::Result {
    let Checked { file, rules, repository, warnings, .. } = checked;
    writeln!(text, "{}: {}", value(file), paint(GOOD, format!("OK, {}", count(*rules, "rule"))))?;
    for warning in warnings {
        writeln!(text, "{} {}", paint(CAREFUL, "warning"), value(&warning.to_string()))?;
    }
    let Some(Foreseen { repository, at, images, outlook, running }) = repository else { return Ok(()) };
    let (name, going) = (value(repository.as_deref().unwrap_or("the repository")), outlook.going.len());
    writeln!(text, "{name}: the policy would act on {going} of {}, as of {at:.0}", count(*images, "image"))?;
    for goes in &outlook.going {
        write_goes(goes, text)?;
    }
    for because in &outlook.unknown {
        writeln!(text, "{} {}", paint(CAREFUL, "unknown"), value(because))?;
    }
    for note in &outlook.notes {
        writeln!(text, "{} {}", paint(FAINT, "note"), value(note))?;
    }
    if let Some(running) = running {
        write_not_inspected(&running.not_inspected, text)?;
    }
    writeln!(
        text,
        "{}",
        match outlook.verdict {
            Safety::Safe if outlook.in_use_if_counted > 0 => paint(
                CAREFUL,
                "nothing in use would be deleted or archived, if ECR counts as in the public preview",
            ),
            Safety::Safe => paint(GOOD, "nothing in use would be deleted or archived"),
            Safety::InUse => paint(BAD, "something in use would be deleted or archived"),
            Safety::Unknown =>
                paint(CAREFUL, "it is not known whether something in use would be deleted or archived"),
        }
    )
}

fn write_goes(goes: &Goes, text: &mut String) -> fmt::Result {
    let what = match goes.going.action {
        Action::Expire => "expire",
        Action::Transition => "archive",
    };
    let tags = if goes.tags.is_empty() { "untagged".to_owned() } else { some(goes.tags.iter(), SHOWN) };
    let rule = paint(FAINT, format!("by rule {}", goes.going.rule));
    write!(text, "  {what:7} {} {} {rule}", goes.digest.short(), paint(NAME, column(&tags, 30)))?;
    if !goes.in_use.is_empty() {
        let uses = goes.in_use.iter().map(|used| match used.how {
            How::Runs => format!("runs as {}", used.by),
            How::WouldRun => format!("would be run by {}", used.by),
            How::RollBack => format!("a roll-back of {} would start it", used.by),
        });
        write!(text, " {}", paint(BAD, some(uses, SHOWN)))?;
    }
    writeln!(text)
}
