//! `discover`: drafts the hierarchy of an estate that is not described yet.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use patchwave::discover::{Draft, Drafted, Drift, Estate, Merged, discover, merge};
use serde::Serialize;

use crate::args::{Args, Discover, PartsBy};
use crate::deployment;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::count;

/// What was read, and what that cost.
pub(crate) struct Read {
    pub(crate) estate: Estate,
    pub(crate) calls: u64,
    pub(crate) saved: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'d> {
    images: &'d [Draft],
    unread: &'d [String],
    /// Against the file that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<&'d [Drift]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<&'d [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'d [String]>,
    calls: u64,
    saved: u64,
}

pub(crate) fn run(args: &Args, options: &Discover) -> Result<Answer, BadInput> {
    let before = existing(args)?;
    let read = match &options.documents {
        Some(file) => Read { estate: input::json(file, "the documents of registries")?, calls: 0, saved: 0 },
        None => deployment::discover(args, options)?,
    };
    let drafted = discover(&read.estate);
    let note = note(&drafted, &read, options);
    let merged = match &before {
        Some((file, text)) => {
            if options.parts_by.is_some() {
                return Err(BadInput::new(format!(
                    "{} is there already: --parts-by divides only a new file. Leave it out, and new images are added",
                    file.display()
                )));
            }
            let merged = merge(&input::name(file), text, &input::parts(file, text), &drafted);
            Some(merged.map_err(|error| BadInput::because(&error))?)
        }
        None => None,
    };
    let answered = Answered {
        images: &drafted.images,
        unread: &drafted.unread,
        drift: merged.as_ref().map(|merged| merged.drift.as_slice()),
        added: merged.as_ref().map(|merged| merged.added.as_slice()),
        advice: merged.as_ref().map(|merged| merged.advice.as_slice()),
        calls: read.calls,
        saved: read.saved,
    };
    let text = match (&before, &merged) {
        (Some((_, before)), Some(merged)) => changes(merged, before),
        _ => drafted.text(),
    };
    let differs = merged.as_ref().is_some_and(|merged| !merged.is_same());
    if options.write {
        let file = input::hierarchy_file(args)?;
        match (&merged, options.parts_by) {
            (Some(merged), _) => write(file, &merged.text)?,
            (None, None) => write(file, &drafted.text())?,
            (None, Some(PartsBy::Owner)) => write_parts(file, &drafted)?,
        }
    }
    let findings = !drafted.unread.is_empty() || (differs && !options.write);
    Ok(Answer::render(args.format, &answered, |_| text).with_note(note).with_findings(findings))
}

/// Reads the file that the arguments name, if it is there.
fn existing(args: &Args) -> Result<Option<(&Path, String)>, BadInput> {
    let Some(file) = args.hierarchy.as_deref() else { return Ok(None) };
    if !input::is_on_s3(file) && file.as_os_str() != "-" && !file.exists() {
        return Ok(None);
    }
    Ok(Some((file, input::text(file)?)))
}

/// Writes the file under another name first, so that it is never half-written.
fn write(file: &Path, text: &str) -> Result<(), BadInput> {
    let part = file.with_extension("part");
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, file));
    written.map_err(|error| BadInput::new(format!("cannot write {}: {error}", file.display())))
}

/// Writes the parts, and then the file that names them. It overwrites no part.
fn write_parts(file: &Path, drafted: &Drafted) -> Result<(), BadInput> {
    let (main, parts) = drafted.by_owner();
    let folder = file.parent().unwrap_or(Path::new(""));
    for part in &parts {
        let path = folder.join(&part.file);
        if path.exists() {
            return Err(BadInput::new(format!("{} is there already: move it away first", path.display())));
        }
    }
    for part in &parts {
        let path = folder.join(&part.file);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.map_err(|error| {
            BadInput::new(format!("cannot make the folder of {}: {error}", path.display()))
        })?;
        write(&path, &part.text)?;
    }
    write(file, &main)
}

fn changes(merged: &Merged, before: &str) -> String {
    let mut text = merged.diff(before);
    for advice in &merged.advice {
        let _ = writeln!(text, "{advice}");
    }
    if text.is_empty() {
        text.push_str("The file says all that was found.\n");
    }
    text
}

/// Says how complete the draft is, and what it cost.
fn note(drafted: &Drafted, read: &Read, options: &Discover) -> String {
    let mut note = String::new();
    let unknown: Vec<&str> = drafted.unknown().map(|draft| draft.id.as_str()).collect();
    let images = count(drafted.images.len(), "image");
    let _ = match unknown.as_slice() {
        [] => writeln!(note, "{images}, each with its base"),
        unknown => {
            writeln!(note, "{images}; the base of {} is not known: {}", unknown.len(), unknown.join(", "))
        }
    };
    for unread in &drafted.unread {
        let _ = writeln!(note, "not read: {unread}");
    }
    if options.metadata_only {
        note.push_str(
            "Without configs and attestations there is no evidence from provenance, history and labels, and layers that \
             were compressed again are not recognised.\n",
        );
    }
    if read.calls > 0 {
        let _ = writeln!(note, "{} calls made, {} documents taken from the cache", read.calls, read.saved);
    }
    note
}
