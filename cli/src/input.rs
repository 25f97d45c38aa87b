//! Reads what the arguments name.

use std::fmt;
use std::fs;
use std::path::Path;

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, UnknownImage};
use patchwave::policy::Mode;
use patchwave_sim::{Broken, DEMO_HIERARCHY};
use serde::de::DeserializeOwned;

use crate::args::{Args, Snapshot};

/// Input that cannot be used: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadInput(pub(crate) String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<UnknownImage> for BadInput {
    fn from(unknown: UnknownImage) -> Self {
        Self(unknown.to_string())
    }
}

impl From<Broken> for BadInput {
    fn from(broken: Broken) -> Self {
        Self(format!("the simulation broke, which is a defect of Patchwave's: {broken}"))
    }
}

impl BadInput {
    /// Input that is well formed and yet leads nowhere.
    pub(crate) fn because(error: &dyn fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Returns the hierarchy file that the arguments name.
pub(crate) fn hierarchy_file(args: &Args) -> Result<&Path, BadInput> {
    args.hierarchy.as_deref().ok_or_else(|| {
        BadInput("no hierarchy file; name one with --hierarchy FILE or in PATCHWAVE_HIERARCHY".to_owned())
    })
}

/// Reads and checks the hierarchy that the arguments name.
pub(crate) fn hierarchy(args: &Args) -> Result<Hierarchy, BadInput> {
    let file = hierarchy_file(args)?;
    let yaml = text(file)?;
    Hierarchy::parse(&file.to_string_lossy(), &yaml).map_err(|errors| BadInput::because(&errors))
}

/// Reads the hierarchy file that a simulation plays in, and its name: the one that the arguments name, or the built-in one.
pub(crate) fn file_to_play(args: &Args) -> Result<(String, String), BadInput> {
    match &args.hierarchy {
        Some(file) => Ok((file.display().to_string(), text(file)?)),
        None => Ok(("demo_hierarchy.yaml".to_owned(), DEMO_HIERARCHY.to_owned())),
    }
}

/// Checks a hierarchy to play in. One that enforces nothing is played as if it did, because nothing else would be seen; tells
/// whether it is.
pub(crate) fn to_play(name: &str, yaml: &str) -> Result<(Hierarchy, bool), BadInput> {
    let hierarchy = Hierarchy::parse(name, yaml).map_err(|errors| BadInput::because(&errors))?;
    let observes = hierarchy.images().all(|image| image.policy.mode == Mode::Observe);
    Ok(if observes { (hierarchy.with_mode(Mode::Enforce), true) } else { (hierarchy, false) })
}

/// Reads a snapshot of facts.
pub(crate) fn facts(snapshot: &Snapshot) -> Result<Facts, BadInput> {
    json(&snapshot.facts, "a snapshot of facts")
}

/// Reads a file of JSON that is meant to be `what`.
pub(crate) fn json<T: DeserializeOwned>(file: &Path, what: &str) -> Result<T, BadInput> {
    let json = text(file)?;
    serde_json::from_str(&json).map_err(|error| {
        let (file, line, column) = (file.display(), error.line(), error.column());
        BadInput(format!("{file}:{line}:{column}: not {what}: {error}"))
    })
}

/// Reads a file of text.
pub(crate) fn text(file: &Path) -> Result<String, BadInput> {
    if file.starts_with("s3:") {
        let file = file.display();
        return Err(BadInput(format!(
            "{file} is on S3; copy it here and name the copy with --hierarchy FILE"
        )));
    }
    fs::read_to_string(file).map_err(|error| BadInput(format!("cannot read {}: {error}", file.display())))
}

/// Writes a file of text.
pub(crate) fn save(file: &Path, text: &str) -> Result<(), BadInput> {
    fs::write(file, text).map_err(|error| BadInput(format!("cannot write {}: {error}", file.display())))
}
