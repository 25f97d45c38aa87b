//! The environment variables. Only this module reads them, once.

use std::path::PathBuf;

use patchwave::hierarchy::PartTexts;
use patchwave::policy::Mode;

use crate::codepipeline::Starter;
use crate::scheduler::Schedule;

/// An environment variable that Patchwave defines, as the README lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
}

/// Where the hierarchy is.
pub const HIERARCHY: Variable =
    Variable { name: "PATCHWAVE_HIERARCHY", meaning: "the hierarchy file: a path, or s3://bucket/key" };
/// Which table is the ledger.
pub const TABLE: Variable =
    Variable { name: "PATCHWAVE_TABLE", meaning: "the DynamoDB table that `patchwave table` describes" };
/// The ceiling of every policy's mode.
pub const MODE: Variable = Variable {
    name: "PATCHWAVE_MODE",
    meaning: "observe (default: start nothing) or enforce; no policy goes further than this",
};

/// Where Patchwave sends notices.
pub const EVENT_BUS: Variable = Variable {
    name: "PATCHWAVE_EVENT_BUS",
    meaning: "the name or ARN of the EventBridge bus for notices; without it Patchwave sends none",
};

/// Which schedule starts the ticks.
pub const TICK: Variable = Variable {
    name: "PATCHWAVE_TICK",
    meaning: "the group/name of the schedule that ticks; without it Patchwave schedules no rechecks",
};

/// Where ticks are sent to.
pub const QUEUE: Variable = Variable {
    name: "PATCHWAVE_QUEUE",
    meaning: "the URL of the queue that ticks are sent to; without it a pass that ends early continues at the next minute",
};

/// Which schedule starts the sweeps.
pub const SWEEP: Variable = Variable {
    name: "PATCHWAVE_SWEEP",
    meaning: "the group/name of the schedule that sweeps; without it an unfinished survey waits for the next sweep",
};

/// Whose starts are Patchwave's.
pub const STARTERS: Variable = Variable {
    name: "PATCHWAVE_STARTERS",
    meaning: "the ARNs of the functions' roles, separated by commas; without it the start of a pipeline \
              that takes no build key may be taken for Patchwave's",
};

/// Whether sweeps keep what runs.
pub const KEEP_TAGS: Variable = Variable {
    name: "PATCHWAVE_KEEP_TAGS",
    meaning: "yes or no (default): after a sweep, set and remove the keep tags of registries with keepTags: true",
};

/// Where Kubernetes is, in tests.
pub const KUBE_ENDPOINT_OVERRIDE: Variable = Variable {
    name: "PATCHWAVE_KUBE_ENDPOINT_OVERRIDE",
    meaning: "the Kubernetes API of all clusters instead of their own (tests; optional)",
};

/// All variables that Patchwave defines.
pub const VARIABLES: [Variable; 10] =
    [HIERARCHY, TABLE, MODE, EVENT_BUS, TICK, QUEUE, SWEEP, STARTERS, KEEP_TAGS, KUBE_ENDPOINT_OVERRIDE];

/// Where the hierarchy file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Read already.
    Text {
        /// The file's name, for errors.
        name: String,
        /// Its content.
        yaml: String,
        /// The files beside it that it names.
        parts: PartTexts,
    },
    /// On disk, such as in the function's package.
    File(PathBuf),
    Object {
        bucket: String,
        key: String,
    },
}

/// What a deployment sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) hierarchy: Source,
    /// Empty if there is none, which only a reader may have.
    pub(crate) table: String,
    pub(crate) mode: Mode,
    pub(crate) event_bus: Option<String>,
    pub(crate) tick: Option<Schedule>,
    pub(crate) queue: Option<String>,
    pub(crate) sweep: Option<Schedule>,
    pub(crate) starters: Vec<Starter>,
    /// Whether sweeps set and remove keep tags.
    pub(crate) keep_tags: bool,
    /// Whether S3 is not AWS's own, so that buckets have no host names.
    pub(crate) own_s3: bool,
}

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    #[error("{} is not set; set it to {}", .0.name, .0.meaning)]
    Missing(Variable),
    #[error("{} is {found:?}; set it to {}", .variable.name, .variable.meaning)]
    Wrong { variable: Variable, found: String },
}

impl Settings {
    /// Reads the settings; `hierarchy`, if a person names one, takes the place of the
    /// environment's.
    pub(crate) fn read(hierarchy: Option<Source>) -> Result<Self, InvalidSettings> {
        Self::from(hierarchy, read)
    }

    /// Reads the settings of a person who only reads. Without a table there is no ledger.
    pub(crate) fn read_only(hierarchy: Option<Source>) -> Result<Self, InvalidSettings> {
        Self::of_reader(hierarchy, read)
    }

    fn from(
        hierarchy: Option<Source>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSettings> {
        let settings = Self::of_reader(hierarchy, read)?;
        if settings.table.is_empty() { Err(InvalidSettings::Missing(TABLE)) } else { Ok(settings) }
    }

    fn of_reader(
        hierarchy: Option<Source>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSettings> {
        let required = |variable: Variable| {
            let value = read(variable.name).filter(|value| !value.is_empty());
            value.ok_or(InvalidSettings::Missing(variable))
        };
        Ok(Self {
            hierarchy: match hierarchy {
                Some(hierarchy) => hierarchy,
                None => Source::named(required(HIERARCHY)?)?,
            },
            table: read(TABLE.name).unwrap_or_default(),
            mode: match read(MODE.name).as_deref() {
                None | Some("" | "observe") => Mode::Observe,
                Some("enforce") => Mode::Enforce,
                Some(other) => return Err(wrong(MODE, other)),
            },
            event_bus: read(EVENT_BUS.name).filter(|name| !name.is_empty()),
            tick: schedule(TICK, &read(TICK.name).unwrap_or_default())?,
            queue: read(QUEUE.name).filter(|url| !url.is_empty()),
            sweep: schedule(SWEEP, &read(SWEEP.name).unwrap_or_default())?,
            starters: starters(&read(STARTERS.name).unwrap_or_default())?,
            keep_tags: match read(KEEP_TAGS.name).as_deref() {
                None | Some("" | "no") => false,
                Some("yes") => true,
                Some(other) => return Err(wrong(KEEP_TAGS, other)),
            },
            own_s3: read("AWS_ENDPOINT_URL_S3").or_else(|| read("AWS_ENDPOINT_URL")).is_some(),
        })
    }
}

impl Source {
    /// Reads what `PATCHWAVE_HIERARCHY` holds: a path, or `s3://bucket/key`.
    pub fn named(text: String) -> Result<Self, InvalidSettings> {
        let Some(address) = text.strip_prefix("s3://") else { return Ok(Self::File(text.into())) };
        match address.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self::Object { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err(wrong(HIERARCHY, &text)),
        }
    }
}

fn schedule(variable: Variable, text: &str) -> Result<Option<Schedule>, InvalidSettings> {
    match text.split_once('/') {
        None if text.is_empty() => Ok(None),
        Some((group, name)) if !group.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Some(Schedule { group: group.to_owned(), name: name.to_owned() }))
        }
        _ => Err(wrong(variable, text)),
    }
}

fn starters(text: &str) -> Result<Vec<Starter>, InvalidSettings> {
    let arns = text.split(',').filter(|arn| !arn.trim().is_empty());
    arns.map(|arn| arn.parse().map_err(|()| wrong(STARTERS, arn))).collect()
}

fn wrong(variable: Variable, found: &str) -> InvalidSettings {
    InvalidSettings::Wrong { variable, found: found.chars().take(200).collect() }
}

/// Returns the Kubernetes endpoint that replaces the one that EKS names, if it is set.
pub(crate) fn kube_endpoint() -> Option<String> {
    read(KUBE_ENDPOINT_OVERRIDE.name).filter(|endpoint| !endpoint.is_empty())
}

/// Returns which log lines are written: Lambda's own setting, else Rust's usual one, else `info`.
///
/// A plain level applies to Patchwave only. The SDK's lines show what it sends, so they appear only
/// if the setting names them.
pub(crate) fn log_filter() -> String {
    filter(read("AWS_LAMBDA_LOG_LEVEL").or_else(|| read("RUST_LOG")).as_deref())
}

fn filter(wanted: Option<&str>) -> String {
    match wanted.map(str::trim).unwrap_or_default() {
        "" => "warn,patchwave=info".to_owned(),
        directives if directives.contains(['=', ',']) => directives.to_owned(),
        level if level.eq_ignore_ascii_case("fatal") => "error".to_owned(),
        level => format!("warn,patchwave={}", level.to_lowercase()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: &[(&str, &str)]) -> Result<Settings, String> {
        let read = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Settings::from(None, read).map_err(|e| e.to_string())
    }

    #[test]
    fn the_default_is_to_observe() {
        let read =
            settings(&[("PATCHWAVE_HIERARCHY", "s3://conf/patchwave/h.yaml"), ("PATCHWAVE_TABLE", "t")])
                .unwrap();
        assert_eq!(read.mode, Mode::Observe);
        assert_eq!(read.hierarchy, Source::Object { bucket: "conf".into(), key: "patchwave/h.yaml".into() });
        let given = Source::Text { name: "given.yaml".into(), yaml: String::new(), parts: PartTexts::new() };
        let table = |name: &str| (name == TABLE.name).then(|| "t".to_owned());
        assert_eq!(Settings::from(Some(given.clone()), table).unwrap().hierarchy, given);
        assert!(!read.own_s3 && read.tick.is_none() && read.sweep.is_none() && !read.keep_tags);
    }

    #[test]
    fn errors_name_the_variable_and_what_to_set_it_to() {
        let missing = settings(&[("PATCHWAVE_HIERARCHY", "h.yaml"), ("PATCHWAVE_TABLE", "")]).unwrap_err();
        assert!(missing.starts_with("PATCHWAVE_TABLE is not set; set it to"), "{missing}");
        let named = |name: &str| (name == HIERARCHY.name).then(|| "h.yaml".to_owned());
        assert_eq!(Settings::of_reader(None, named).unwrap().table, "", "a reader needs none");
        let set =
            [("PATCHWAVE_HIERARCHY", "h.yaml"), ("PATCHWAVE_TABLE", "t"), ("PATCHWAVE_MODE", "Enforce")];
        assert!(settings(&set).unwrap_err().contains("PATCHWAVE_MODE is \"Enforce\""));
        let set = [("PATCHWAVE_HIERARCHY", "h.yaml"), ("PATCHWAVE_TABLE", "t"), ("PATCHWAVE_SWEEP", "daily")];
        assert!(settings(&set).unwrap_err().contains("set it to the group/name"));
        let set = [("PATCHWAVE_HIERARCHY", "h.yaml"), ("PATCHWAVE_TABLE", "t"), ("PATCHWAVE_STARTERS", "me")];
        assert!(settings(&set).unwrap_err().contains("PATCHWAVE_STARTERS is \"me\""));
        let set =
            [("PATCHWAVE_HIERARCHY", "h.yaml"), ("PATCHWAVE_TABLE", "t"), ("PATCHWAVE_KEEP_TAGS", "true")];
        assert!(settings(&set).unwrap_err().contains("set it to yes or no"));
        assert!(settings(&[("PATCHWAVE_HIERARCHY", "s3://bucket")]).unwrap_err().contains("s3://bucket/key"));
    }

    #[test]
    fn a_plain_level_never_shows_the_sdks_lines() {
        assert_eq!(filter(None), "warn,patchwave=info");
        assert_eq!(filter(Some("DEBUG")), "warn,patchwave=debug");
        assert_eq!(filter(Some("aws_config=debug")), "aws_config=debug");
    }
}
