//! Small random hierarchies: a few images, diamonds, and policies of every kind in the middle of a chain.

use std::fmt::Write;

use crate::draw::{Draws, Seed};
use crate::faults::{Level, Trouble};

/// A hierarchy file and what is unusual in it.
#[derive(Debug)]
pub(crate) struct Hamlet {
    pub(crate) yaml: String,
    pub(crate) troubles: Vec<Trouble>,
}

/// Writes the hierarchy of a seed.
pub(crate) fn hamlet(seed: Seed, level: Level) -> Hamlet {
    let mut draws = seed.draws("hamlet", "");
    let mut hamlet = Hamlet { yaml: head(&mut draws), troubles: Vec::new() };
    let bases = draws.between(1, 2);
    let platforms = draws.between(1, 3);
    let applications = draws.between(1, 3);
    let upstream = "public.ecr.aws/docker/library/debian:12";
    for number in 0..bases {
        let from = if number > 0 && draws.percent(40) { "base/0" } else { upstream };
        hamlet.image(&mut draws, level, "base", number, from, "", "tags: [\"12\", \"12.1\"]");
    }
    for number in 0..platforms {
        let from = format!("base/{}", draws.between(0, bases - 1));
        let copied = draws.percent(30).then(|| format!("base/{}", draws.between(0, bases - 1)));
        let copied = copied.filter(|copied| *copied != from).unwrap_or_default();
        hamlet.image(&mut draws, level, "platform", number, &from, &copied, "tags: [\"22\", \"22.9\"]");
    }
    for number in 0..applications {
        let from = format!("platform/{}", draws.between(0, platforms - 1));
        let copied = draws.percent(50).then(|| format!("platform/{}", draws.between(0, platforms - 1)));
        let copied = copied.filter(|copied| *copied != from).unwrap_or_default();
        let line = if draws.percent(40) { "tagPattern: \"main-*\"" } else { "tags: [prod]" };
        hamlet.image(&mut draws, level, "application", number, &from, &copied, line);
    }
    hamlet
}

fn head(draws: &mut Draws) -> String {
    let unknown = draws.pick(&["tryWithNextRebuild", "tryOnce", "hold"]).copied().unwrap_or("hold");
    let rebuild_at = draws.pick(&["medium", "high"]).copied().unwrap_or("high");
    let max_age = if draws.percent(15) { "4d" } else { "30d" };
    let suppressed = if draws.percent(25) {
        "  suppress: [{ vulnerability: CVE-2026-40000, images: [\"platform/*\"], until: 2026-12-31, reason: not reachable }]\n"
    } else {
        ""
    };
    format!(
        "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy:\n  mode: enforce\n  \
         rebuildAt: {rebuild_at}\n  unknownFix: {unknown}\n  maxAge: {max_age}\n  maxConcurrentBuilds: {}\n  \
         maxStartsPerDay: {}\n{suppressed}images:\n",
        draws.between(1, 4),
        draws.between(6, 30),
    )
}

impl Hamlet {
    #[expect(clippy::too_many_arguments, reason = "the words of one line of the file")]
    fn image(
        &mut self,
        draws: &mut Draws,
        level: Level,
        tier: &str,
        number: u32,
        from: &str,
        copied: &str,
        line: &str,
    ) {
        let short = if tier == "application" { "apps" } else { tier };
        let name = format!("{short}/{number}");
        let mut policy = String::new();
        if level != Level::None && draws.percent(10) {
            policy.push_str("mode: observe, ");
            self.troubles.push(Trouble::Observed);
        } else if level != Level::None && draws.percent(15) {
            let rebuild = draws.pick(&["approval", "nextCommit", "never"]).copied().unwrap_or("never");
            policy = format!("rebuild: {rebuild}, ");
            self.troubles.push(Trouble::LeftToPeople);
        }
        let mut pipeline = format!("{short}-{number}");
        if level != Level::None && draws.percent(15) {
            pipeline = format!("{{ name: {pipeline}, variables: [] }}");
            self.troubles.push(Trouble::WithoutVariables);
        }
        if line.starts_with("tagPattern") && draws.percent(50) {
            let name = format!("{short}-{number}");
            pipeline = format!("{{ name: {name}, sources: [{{ action: Source, type: COMMIT_ID }}] }}");
        }
        let copied = if copied.is_empty() { String::new() } else { format!("copyFrom: [{copied}], ") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.yaml,
            "  - {{ id: {name}, tier: {tier}, repository: {name}, {line}, from: \"{from}\", {copied}{policy}pipeline: {pipeline} }}"
        );
    }
}
