//! Reads what the arguments name.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, PartTexts, UnknownImage, read_parts};
use patchwave::policy::Mode;
use patchwave_sim::{Broken, DEMO_HIERARCHY};
use serde::de::DeserializeOwned;

use crate::args::Args;
use crate::deployment;
use crate::escape::{Form, escape};

/// Input that cannot be used: what is wrong, and what to do. It quotes the input, whose ends of
/// lines forge no line of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadInput(String);

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
        Self(format!("the simulation failed, which is a defect of Patchwave: {broken}"))
    }
}

impl BadInput {
    /// Input with one problem.
    pub(crate) fn new(problem: impl AsRef<str>) -> Self {
        Self(escape(problem.as_ref(), Form::Value).into_owned())
    }

    /// Input with several problems.
    pub(crate) fn all(problems: impl IntoIterator<Item = String>) -> Self {
        let lines: Vec<String> = problems.into_iter().map(|problem| Self::new(problem).0).collect();
        Self(lines.join("\n"))
    }

    /// Input that is well formed but not usable, for the reason that `error` gives, in as many
    /// lines as it gives.
    pub(crate) fn because(error: &dyn fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Returns the hierarchy file that the arguments name.
pub(crate) fn hierarchy_file(args: &Args) -> Result<&Path, BadInput> {
    args.hierarchy.as_deref().ok_or_else(|| {
        BadInput::new("no hierarchy file; name one with --hierarchy FILE or in PATCHWAVE_HIERARCHY")
    })
}

/// Reads and checks the hierarchy that the arguments name.
pub(crate) fn hierarchy(args: &Args) -> Result<Hierarchy, BadInput> {
    Written::read(hierarchy_file(args)?)?.parse()
}

/// A hierarchy file with its parts, before any check.
#[derive(Debug)]
pub(crate) struct Written {
    /// The file's name, as errors have it.
    pub(crate) name: String,
    pub(crate) yaml: String,
    pub(crate) parts: PartTexts,
}

impl Written {
    /// Reads a file, and the parts that are beside it.
    pub(crate) fn read(file: &Path) -> Result<Self, BadInput> {
        let yaml = text(file)?;
        Ok(Self { name: name(file), parts: parts(file, &yaml), yaml })
    }

    pub(crate) fn parse(&self) -> Result<Hierarchy, BadInput> {
        let Self { name, yaml, parts } = self;
        Hierarchy::parse_with_parts(name, yaml, parts).map_err(|errors| BadInput::because(&errors))
    }
}

/// Reads the parts of a hierarchy file, which are beside it.
pub(crate) fn parts(file: &Path, yaml: &str) -> PartTexts {
    let folder = file.parent().unwrap_or(Path::new(""));
    read_parts(yaml, |part| text(&folder.join(part)).map_err(|bad| bad.to_string()))
}

/// Returns the hierarchy file to simulate: the one that the arguments name, or the built-in one.
pub(crate) fn file_to_play(args: &Args) -> Result<Written, BadInput> {
    match &args.hierarchy {
        Some(file) => Written::read(file),
        None => Ok(built_in("demo_hierarchy.yaml", DEMO_HIERARCHY)),
    }
}

/// Returns a hierarchy file that Patchwave itself wrote.
pub(crate) fn built_in(name: &str, yaml: &str) -> Written {
    Written { name: name.to_owned(), yaml: yaml.to_owned(), parts: PartTexts::new() }
}

/// Checks a hierarchy to simulate. If it enforces nothing, nothing would start: then it is
/// simulated as if it enforced, and the answer's second half says so.
pub(crate) fn to_play(written: &Written) -> Result<(Hierarchy, bool), BadInput> {
    let hierarchy = written.parse()?;
    let observes = hierarchy.images().all(|image| image.policy.mode == Mode::Observe);
    Ok(if observes { (hierarchy.with_mode(Mode::Enforce), true) } else { (hierarchy, false) })
}

/// A hierarchy and facts about it.
pub(crate) struct Observed {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) facts: Facts,
    /// Which ledger they are from and what could not be read, for standard error.
    pub(crate) note: String,
    /// Whether something could not be read.
    pub(crate) is_partial: bool,
}

/// Reads a snapshot of facts, or observes what AWS has now.
pub(crate) fn observed(args: &Args, snapshot: Option<&Path>) -> Result<Observed, BadInput> {
    let Some(file) = snapshot else { return deployment::observe(args) };
    let hierarchy = hierarchy(args)?;
    let facts: Facts = json(file, "a snapshot of facts")?;
    let is_partial = !facts.unread().is_empty();
    Ok(Observed { hierarchy, facts, note: String::new(), is_partial })
}

/// Reads a file of JSON that is meant to be `what`.
pub(crate) fn json<T: DeserializeOwned>(file: &Path, what: &str) -> Result<T, BadInput> {
    let json = text(file)?;
    serde_json::from_str(&json).map_err(|error| {
        let (file, line, column) = (name(file), error.line(), error.column());
        BadInput::new(format!("{file}:{line}:{column}: not {what}: {error}"))
    })
}

/// Names a file as errors do.
pub(crate) fn name(file: &Path) -> String {
    if is_standard_input(file) { "<stdin>".to_owned() } else { file.display().to_string() }
}

pub(crate) fn is_on_s3(file: &Path) -> bool {
    file.starts_with("s3:")
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads a file of text; `-` is standard input.
pub(crate) fn text(file: &Path) -> Result<String, BadInput> {
    if is_on_s3(file) {
        let file = file.display();
        return Err(BadInput::new(format!("{file} is on S3; copy it here and name the copy")));
    }
    let read = if is_standard_input(file) { standard_input() } else { fs::read_to_string(file) };
    read.map_err(|error| BadInput::new(format!("cannot read {}: {error}", name(file))))
}

fn standard_input() -> io::Result<String> {
    static IS_READ: AtomicBool = AtomicBool::new(false);
    if IS_READ.swap(true, Ordering::Relaxed) {
        return Err(io::Error::other("only one file can be `-`"));
    }
    io::read_to_string(io::stdin())
}

/// Refuses a file that exists, before any long work whose result would be lost.
pub(crate) fn check_is_new(file: &Path) -> Result<(), BadInput> {
    if is_standard_input(file) {
        return Err(BadInput::new("`-` is standard input; name a new file to write"));
    }
    if file.symlink_metadata().is_ok() { Err(exists(file)) } else { Ok(()) }
}

/// Writes a new file of text.
pub(crate) fn save(file: &Path, text: &str) -> Result<(), BadInput> {
    let written = File::create_new(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => BadInput::new(format!("cannot write {}: {error}", file.display())),
    })
}

fn exists(file: &Path) -> BadInput {
    BadInput::new(format!("{} exists; name a new file, or delete it first", file.display()))
}
