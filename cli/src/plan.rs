//! `plan`: what would start for a snapshot of facts, and what keeps everything else.

use std::collections::BTreeMap;

use patchwave::image::ImageId;
use patchwave::plan::{self, Hold};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Plan};
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, NAME, STRONG, count, paint, reason, some};

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
    let plan = &planned.plan;
    let mut text = format!("As of {}, {}\n", planned.observed_at, paint(STRONG, count(plan.starts.len(), "build would start").replace("starts", "start")));
    for start in &plan.starts {
        let image = paint(NAME, &start.image);
        text.push_str(&format!("  {image} by pipeline {}, due {}\n", start.pipeline, start.due));
        for why in &start.reasons {
            text.push_str(&format!("    {}\n", reason(why)));
        }
    }
    for (name, held) in grouped(&plan.holds) {
        let images = some(held.iter().map(|(image, _)| image), SHOWN);
        let lifted_by = held.first().map(|(_, hold)| hold.lifted_by()).unwrap_or_default();
        text.push_str(&format!("  {} {}: {images}\n", paint(CAREFUL, name), held.len()));
        text.push_str(&format!("    {}\n", paint(FAINT, format!("ended by {lifted_by}"))));
    }
    for unknown in &plan.unknown {
        let platform = unknown.platform.as_ref().map(|platform| format!(" on {platform}")).unwrap_or_default();
        text.push_str(&format!("  {} {}{platform}: {}\n", paint(CAREFUL, "unknown"), unknown.image, unknown.because));
    }
    text
}

/// Puts the same holds together: by name and by what ends them.
fn grouped(holds: &BTreeMap<ImageId, Hold>) -> Vec<(&'static str, Vec<(&ImageId, &Hold)>)> {
    let mut groups: BTreeMap<(&'static str, String), Vec<(&ImageId, &Hold)>> = BTreeMap::new();
    for (image, hold) in holds {
        groups.entry((hold.name(), hold.lifted_by())).or_default().push((image, hold));
    }
    groups.into_iter().map(|((name, _), held)| (name, held)).collect()
}
