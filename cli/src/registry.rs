//! `registry`: what to change in a registry's configuration, for teams to apply.

use std::fmt::{self, Write};

use patchwave::hierarchy::{DeclaredRegistry, Hierarchy};
use patchwave::registry::{Access, Change, Changes, Configured, Setting, compare, configuration, template};

use crate::args::{Args, Format, Registry};
use crate::deployment;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{CAREFUL, FAINT, GOOD, NAME, STRONG, count, paint, some, value, wrapped, written};

/// How many names of one change the text has; JSON has all.
const SHOWN: usize = 6;

pub(crate) fn run(args: &Args, options: &Registry) -> Result<Answer, BadInput> {
    let (hierarchy, configured) = read(args, options)?;
    if options.show_configured {
        return Ok(Answer::render(Format::Json, &configured, |_| String::new()));
    }
    let registry = named(&hierarchy, &options.name)?;
    let access = Access {
        organization: options.organization.clone(),
        lambda: options.lambda,
        push: options.push.iter().cloned().collect(),
        exclude: options.exclude.iter().cloned().collect(),
    };
    let changes = compare(&hierarchy, registry, &configured, &access);
    let note = changes.unread.iter().fold(String::new(), |note, unread| note + &format!("unread {unread}\n"));
    let found = !changes.changes.is_empty() || !changes.unread.is_empty();
    let answer = match args.format {
        Format::Cloudformation if changes.changes.is_empty() => Answer::new(String::new()),
        Format::Cloudformation => {
            Answer::render(Format::Json, &template(&changes.changes), |_| String::new())
        }
        Format::Terraform => Answer::new(configuration(&changes.changes)),
        format => {
            let answer =
                Answer::render(format, &changes, |changes| written(|out| write(registry, changes, out)));
            return Ok(answer.with_findings(found));
        }
    };
    Ok(answer.with_note(note).with_findings(found))
}

fn read(args: &Args, options: &Registry) -> Result<(Hierarchy, Configured), BadInput> {
    match &options.configured {
        Some(file) => {
            let hierarchy = input::hierarchy(args)?;
            Ok((hierarchy, input::json(file, "the configuration of a registry")?))
        }
        None => deployment::configured(args, &options.name)?.ok_or_else(|| unknown(&options.name)),
    }
}

fn named<'h>(hierarchy: &'h Hierarchy, name: &str) -> Result<&'h DeclaredRegistry, BadInput> {
    hierarchy.registries().named(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> BadInput {
    BadInput::new(format!("no registry {name:?}: name one of `registries` in the hierarchy file"))
}

fn write(registry: &DeclaredRegistry, changes: &Changes, text: &mut String) -> fmt::Result {
    let head = format!("{}: {}", registry.host, count(changes.changes.len(), "change"));
    writeln!(text, "{}", paint(STRONG, head))?;
    for Change { setting, why } in &changes.changes {
        writeln!(text, "{}", wrapped(2, &said(setting)))?;
        writeln!(text, "{}", paint(FAINT, wrapped(4, why)))?;
    }
    for unread in &changes.unread {
        let line = format!("{} {}", paint(CAREFUL, "unread"), value(unread));
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if changes.changes.is_empty() && changes.unread.is_empty() {
        writeln!(text, "  {}", paint(GOOD, "it is as the hierarchy file asks"))?;
    }
    Ok(())
}

fn said(setting: &Setting) -> String {
    match setting {
        Setting::Scanning { scanning } => {
            let rules = scanning.rules.iter().map(|rule| some(rule.filters.iter(), SHOWN));
            format!("scan {}", rules.collect::<Vec<_>>().join("; "))
        }
        Setting::Replication { replicas } => {
            let to = replicas.iter().map(|to| format!("{}/{}", to.account, to.region));
            format!("replicate to {}", some(to.collect::<Vec<_>>().iter(), SHOWN))
        }
        Setting::Cache { prefix, upstream } => {
            format!("cache {upstream} under {}", paint(NAME, value(prefix)))
        }
        Setting::Template { prefix } => format!("a creation template for {}", paint(NAME, value(prefix))),
        Setting::Exclusion { principal } => format!("do not count the pulls of {}", value(principal)),
        Setting::Mutability { repository, excluded_tags } => {
            format!(
                "let these tags of {} move: {}",
                paint(NAME, repository),
                some(excluded_tags.iter(), SHOWN)
            )
        }
        Setting::Policy { repository, policy } => {
            let statements = policy["Statement"].as_array().map_or(0, Vec::len);
            format!("a policy of {} for {}", count(statements, "statement"), paint(NAME, repository))
        }
    }
}
