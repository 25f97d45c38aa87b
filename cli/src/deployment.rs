//! The deployment that the environment variables name; the functions read the same variables.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::registry::Configured;
use patchwave_aws::discover::{Discovered, Discovery, Progress};
use patchwave_aws::settings::Source;
use patchwave_aws::{ActedOn, Intervened, Inventoried};
use patchwave_converge::StuckSlot;

use crate::args::{Args, Decide, Discover};
use crate::discover::Read;
use crate::doctor::Looked;
use crate::input::{self, BadInput, Observed};
use crate::intervene::Decided;
use crate::inventory::Known;
use crate::progress;

/// How many things that could not be read are named.
const SHOWN: usize = 6;

/// Reads everything that a plan needs, with the ledger of a deployment or with an empty one.
pub(crate) fn observe(args: &Args) -> Result<Observed, BadInput> {
    progress::show("reading versions and scans");
    let observed = ask(patchwave_aws::observe(hierarchy(args)?));
    progress::show("");
    let patchwave_aws::Observed { hierarchy, facts, table, unread } = observed?;
    let unread: Vec<String> = unread
        .into_iter()
        .chain(facts.unread().iter().map(|(id, because)| format!("{id}: {because}")))
        .collect();
    Ok(Observed {
        hierarchy: (*hierarchy).clone(),
        note: note(table.as_deref(), &unread),
        is_partial: !unread.is_empty(),
        facts,
    })
}

/// Looks at the accounts.
pub(crate) fn look(args: &Args) -> Result<Looked, BadInput> {
    progress::show("reading registries and pipelines");
    let looked = ask(patchwave_aws::look(hierarchy(args)?));
    progress::show("");
    let (hierarchy, seen, now) = looked?;
    Ok(Looked { hierarchy, seen, now })
}

/// Reads how a registry is configured.
pub(crate) fn configured(args: &Args, registry: &str) -> Result<Option<(Hierarchy, Configured)>, BadInput> {
    ask(patchwave_aws::configured(hierarchy(args)?, registry))
}

/// Says which ledger was read, and what could not be read.
fn note(table: Option<&str>, unread: &[String]) -> String {
    let ledger = match table {
        Some(table) => format!("Read with the ledger in the table {table}.\n"),
        None => "Read with an empty ledger, because PATCHWAVE_TABLE does not name a table. Builds and decisions of \
                 people are not known.\n"
            .to_owned(),
    };
    if unread.is_empty() {
        return ledger;
    }
    let shown =
        unread.iter().take(SHOWN).fold(String::new(), |shown, because| shown + &format!("  {because}\n"));
    let more = unread.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!("{ledger}Not everything could be read:\n{shown}{more}")
}

/// Writes a person's decision.
pub(crate) fn intervene<'a>(
    args: &Args,
    decide: &'a Decide,
    decision: Intervention,
) -> Result<Decided<'a>, BadInput> {
    let intervened = patchwave_aws::intervene(hierarchy(args)?, &decide.image, decision, &decide.by);
    let Intervened { image, acted_on, accepted_revision } = ask(intervened)?;
    let (recheck, no_recheck) = match acted_on {
        ActedOn::AtRecheck => (true, None),
        ActedOn::AtNextTick(because) => (false, because.map(|fault| fault.to_string())),
    };
    let image = image.to_string();
    Ok(Decided { image, decision, by: &decide.by, accepted_revision, recheck, no_recheck })
}

/// Lists the slots that are stuck.
pub(crate) fn stuck_slots(args: &Args) -> Result<Vec<StuckSlot>, BadInput> {
    ask(patchwave_aws::stuck_slots(hierarchy(args)?))
}

/// Gives a stuck slot back.
pub(crate) fn free_stuck_slot(args: &Args, image: &ImageId) -> Result<StuckSlot, BadInput> {
    ask(patchwave_aws::free_stuck_slot(hierarchy(args)?, image))
}

/// Reads the inventory from the table.
pub(crate) fn inventory(args: &Args) -> Result<Known, BadInput> {
    let show = |entries| progress::show(&format!("{entries} entries read"));
    let read = ask(patchwave_aws::inventory(hierarchy(args)?, show));
    progress::show("");
    let Inventoried { hierarchy, inventory, upstreams, now, table } = read?;
    let hierarchy = (*hierarchy).clone();
    Ok(Known { hierarchy, inventory, upstreams, now, is_surveyed_now: table.is_none() })
}

/// Reads an estate that is not described yet.
pub(crate) fn discover(_: &Args, options: &Discover) -> Result<Read, BadInput> {
    let discovery = Discovery {
        profile: options.profile.clone(),
        roles: options.role.clone(),
        regions: options.region.clone(),
        cache: options.cache.clone(),
        metadata_only: options.metadata_only,
        move_pull_times: options.move_pull_times,
    };
    let mut show = |progress: &Progress| {
        progress::show(&format!("{} of {} {}", progress.done, progress.of, progress.what));
    };
    let read = ask(patchwave_aws::discover::discover(&discovery, &mut show));
    progress::show("");
    let Discovered { estate, calls, saved } = read?;
    Ok(Read { estate, calls, saved })
}

/// Reads and checks a file here, so that its errors read as those of every other verb.
pub(crate) fn hierarchy(args: &Args) -> Result<Option<Source>, BadInput> {
    match &args.hierarchy {
        None => Ok(None),
        Some(file) if input::is_on_s3(file) => {
            let source = Source::named(file.to_string_lossy().into_owned());
            source.map(Some).map_err(|error| BadInput::because(&error))
        }
        Some(file) => {
            let written = input::Written::read(file)?;
            written.parse()?;
            let input::Written { name, yaml, parts } = written;
            Ok(Some(Source::Text { name, yaml, parts }))
        }
    }
}

/// Asks AWS, and waits for the answer.
fn ask<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, BadInput> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BadInput::because(&error))?;
    runtime.block_on(question).map_err(|not_done| BadInput::because(&not_done))
}
