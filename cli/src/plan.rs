//! `plan`: what would start for a snapshot of facts, and what keeps everything else.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::image::ImageId;
use patchwave::plan::{self, Hold};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Plan};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, NAME, STRONG, count, paint, reason, some, written};

/// How many images of one hold the text names; JSON lists all.
const SHOWN: usize = 6;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    mode: Mode,
    observed_at: Timestamp,
    #[serde(flatten)]
    plan: plan::Plan,
}

pub(crate) fn run(args: &Args, options: &Plan) -> Result<Answer, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let facts = input::facts(&options.snapshot)?;
    let mode = options.snapshot.mode.into();
    let plan = plan::plan(&hierarchy, &facts, mode, facts.observed_at);
    let planned = Planned { mode, observed_at: facts.observed_at, plan };
    Ok(Answer::render(args.format, &planned, text))
}

fn text(planned: &Planned) -> String {
    written(|text| write(planned, text))
}

fn write(planned: &Planned, text: &mut String) -> fmt::Result {
    let plan = &planned.plan;
    let starts = format!("{} to start", count(plan.starts.len(), "build"));
    writeln!(text, "As of {}: {}", planned.observed_at, paint(STRONG, starts))?;
    for start in &plan.starts {
        let image = paint(NAME, &start.image);
        writeln!(text, "  {image} by pipeline {}, due {}", start.pipeline, start.due)?;
        for why in &start.reasons {
            writeln!(text, "    {}", reason(why))?;
        }
    }
    for (name, held) in grouped(&plan.holds) {
        let images = some(held.iter().map(|(image, _)| image), SHOWN);
        writeln!(text, "  {} {}: {images}", paint(CAREFUL, name), held.len())?;
        // What is fresh waits for nothing.
        if let Some((_, hold)) = held.first().filter(|(_, hold)| **hold != Hold::Fresh) {
            writeln!(text, "    {}", paint(FAINT, format!("ended by {}", hold.lifted_by())))?;
        }
    }
    for unknown in &plan.unknown {
        let platform =
            unknown.platform.as_ref().map(|platform| format!(" on {platform}")).unwrap_or_default();
        writeln!(text, "  {} {}{platform}: {}", paint(CAREFUL, "unknown"), unknown.image, unknown.because)?;
    }
    Ok(())
}

/// Puts the same holds together: by name and by what ends them.
fn grouped(holds: &BTreeMap<ImageId, Hold>) -> Vec<(&'static str, Vec<(&ImageId, &Hold)>)> {
    let mut groups: BTreeMap<(&'static str, String), Vec<(&ImageId, &Hold)>> = BTreeMap::new();
    for (image, hold) in holds {
        groups.entry((hold.name(), hold.lifted_by())).or_default().push((image, hold));
    }
    groups.into_iter().map(|((name, _), held)| (name, held)).collect()
}
