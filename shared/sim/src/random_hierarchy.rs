//! Small random hierarchies: a few images, diamonds, and any policy anywhere in a chain.

use patchwave::hierarchy::{Hierarchy, HierarchyErrors, PartTexts};

use crate::draw::{Draws, Seed};
use crate::faults::{InjectedFault, Level};
use crate::size::Size;

/// A random hierarchy file.
#[derive(Debug)]
pub(crate) struct RandomHierarchy {
    pub(crate) first: Edition,
    /// The same hierarchy with other policies.
    pub(crate) edited: Edition,
    /// The same hierarchy with other images, and what is other.
    pub(crate) reorganised: (Edition, &'static str),
    /// What is unusual in the first edition.
    pub(crate) faults: Vec<InjectedFault>,
}

/// One edition of a hierarchy file, and of the file of the team that has its own.
#[derive(Debug)]
pub(crate) struct Edition {
    main: String,
    /// Nothing if no team has a file.
    part: String,
}

impl Edition {
    /// Parses both files.
    pub(crate) fn parse(&self) -> Result<Hierarchy, HierarchyErrors> {
        let parts = PartTexts::from([(PART.to_owned(), Ok(self.part.clone()))]);
        Hierarchy::parse_with_parts("random.yaml", &self.main, &parts)
    }

    /// Returns both texts, for people.
    pub(crate) fn text(&self) -> String {
        let Self { main, part } = self;
        if part.is_empty() { main.clone() } else { format!("{main}# {PART}\n{part}") }
    }
}

/// The file of a team that has its own.
const PART: &str = "teams/green.yaml";

impl RandomHierarchy {
    /// Draws the hierarchy of a seed.
    pub(crate) fn draw(seed: Seed, size: Size, level: Level) -> Self {
        let mut draws = seed.draws("hamlet", "");
        let mut draft = Draft {
            level,
            size,
            head: Head::draw(&mut draws, level, size),
            has_several: false,
            has_teams: false,
            rows: Vec::new(),
            faults: Vec::new(),
        };
        let [bases, platforms, applications] =
            size.images().map(|[fewest, most]| draws.between(fewest, most));
        draft.bases(&mut draws, bases);
        draft.platforms(&mut draws, platforms, bases);
        draft.applications(&mut draws, applications, platforms);
        draft.spread(&mut seed.draws("registries", ""));
        draft.give_to_teams(&mut seed.draws("teams", ""));
        draft.promote(&mut seed.draws("environments", ""));
        let first = draft.edition();
        let faults = std::mem::take(&mut draft.faults);
        let mut other = draft.clone();
        let edit = other.reorganise(&mut seed.draws("reorganised", ""));
        draft.edit(&mut seed.draws("edited", ""));
        Self { first, edited: draft.edition(), reorganised: (other.edition(), edit), faults }
    }
}

/// A hierarchy before it is written as YAML.
#[derive(Clone)]
struct Draft {
    level: Level,
    size: Size,
    head: Head,
    /// Whether the images are in several registries.
    has_several: bool,
    /// Whether the images belong to teams.
    has_teams: bool,
    rows: Vec<Row>,
    faults: Vec<InjectedFault>,
}

/// The policies of the whole file.
#[derive(Clone)]
struct Head {
    rebuild_at: &'static str,
    unknown_fix: &'static str,
    max_age: &'static str,
    is_suppressed: bool,
    builds_at_once: u32,
    starts_a_day: u32,
}

/// One image, and its own policies.
#[derive(Clone)]
struct Row {
    id: String,
    tier: String,
    /// The name of its registry; nothing for the home registry.
    registry: &'static str,
    repository: String,
    line: String,
    from: String,
    /// The image that it copies from, or nothing.
    copied: String,
    policy: String,
    /// Nothing if the file names none.
    pipeline: String,
    /// Its team; nothing if it has none.
    owner: &'static str,
}

impl Row {
    fn yaml(&self) -> String {
        let Self { id, tier, registry, repository, line, from, copied, policy, pipeline, owner } = self;
        let registry = if registry.is_empty() { String::new() } else { format!("registry: {registry}, ") };
        let copied = if copied.is_empty() { String::new() } else { format!(", copyFrom: [{copied}]") };
        let pipeline = if pipeline.is_empty() { String::new() } else { format!("pipeline: {pipeline}, ") };
        // The images of a team's own file are the team's.
        let owner =
            if owner.is_empty() || self.is_in_part() { String::new() } else { format!("owner: {owner}") };
        let end = format!(", {policy}{pipeline}{owner}");
        let end = end.trim_end_matches(", ");
        format!(
            "  - {{ id: {id}, tier: {tier}, {registry}repository: {repository}, {line}, from: \"{from}\"{copied}{end} }}\n"
        )
    }
}

impl Row {
    /// The green team keeps its applications in a file of its own.
    fn is_in_part(&self) -> bool {
        self.owner == "green" && self.tier == "application"
    }
}

impl Head {
    fn draw(draws: &mut Draws, level: Level, size: Size) -> Self {
        let [builds_at_once, starts_a_day] = size.limits();
        let is_short_lived = draws.percent(15) && level != Level::NoEvents;
        Self {
            rebuild_at: draws.pick(&["medium", "high"]).copied().unwrap_or("high"),
            unknown_fix: draws.pick(unknown_fixes(level)).copied().unwrap_or("hold"),
            max_age: if is_short_lived { "4d" } else { "30d" },
            is_suppressed: draws.percent(25),
            builds_at_once: draws.between(builds_at_once[0], builds_at_once[1]),
            starts_a_day: if level == Level::NoEvents {
                1_000
            } else {
                draws.between(starts_a_day[0], starts_a_day[1])
            },
        }
    }
}

/// Without events a build must end within a bound, and retries wait for days.
fn unknown_fixes(level: Level) -> &'static [&'static str] {
    let all = &["tryWithNextRebuild", "tryOnce", "hold", "retry"];
    if level == Level::NoEvents { &all[..3] } else { all }
}

impl Draft {
    fn bases(&mut self, draws: &mut Draws, count: u32) {
        let upstream = "public.ecr.aws/docker/library/debian:12";
        for number in 0..count {
            let from = if number > 0 && draws.percent(40) { "base/0" } else { upstream };
            self.image(draws, "base", number, [from, ""], "tags: [\"12\", \"12.1\"]");
        }
    }

    fn platforms(&mut self, draws: &mut Draws, count: u32, bases: u32) {
        for number in 0..count {
            let [from, copied] = parents(draws, "base", bases, 30);
            self.image(draws, "platform", number, [&from, &copied], "tags: [\"22\", \"22.9\"]");
        }
    }

    fn applications(&mut self, draws: &mut Draws, count: u32, platforms: u32) {
        for number in 0..count {
            let [from, copied] = parents(draws, "platform", platforms, 50);
            let line = if draws.percent(40) { "tagPattern: \"main-*\"" } else { "tags: [prod]" };
            self.image(draws, "application", number, [&from, &copied], line);
        }
    }

    fn image(&mut self, draws: &mut Draws, tier: &str, number: u32, [from, copied]: [&str; 2], line: &str) {
        let short = if tier == "application" { "apps" } else { tier };
        let name = format!("{short}/{number}");
        let policy = self.policy(draws);
        let mut pipeline = format!("{short}-{number}");
        if self.level.has_faults() && draws.percent(15) {
            pipeline = format!("{{ name: {pipeline}, variables: [] }}");
            self.faults.push(InjectedFault::WithoutVariables);
        }
        if line.starts_with("tagPattern") && draws.percent(50) {
            pipeline = pinned(&format!("{short}-{number}"));
        }
        self.rows.push(Row {
            id: name.clone(),
            tier: tier.to_owned(),
            registry: "",
            repository: name,
            line: line.to_owned(),
            from: from.to_owned(),
            copied: copied.to_owned(),
            policy,
            pipeline,
            owner: "",
        });
    }

    /// Spreads the images of some worlds with faults over three registries, of three accounts and
    /// two Regions.
    fn spread(&mut self, draws: &mut Draws) {
        self.has_several = self.level.has_faults() && draws.percent(40);
        if self.has_several {
            for row in &mut self.rows {
                row.registry = draws.pick(&["", "platforms", "products"]).copied().unwrap_or_default();
            }
        }
    }

    /// Gives the images of some worlds with faults to two teams: one may build only few at a time,
    /// and one has a file of its own.
    fn give_to_teams(&mut self, draws: &mut Draws) {
        self.has_teams = self.level.has_faults() && draws.percent(40);
        if self.has_teams {
            for row in &mut self.rows {
                row.owner = draws.pick(&["", "red", "red", "green"]).copied().unwrap_or_default();
            }
        }
    }

    /// Gives some applications of worlds with faults to an environment, to which people promote
    /// them.
    fn promote(&mut self, draws: &mut Draws) {
        for row in self.rows.iter_mut().filter(|row| row.tier == "application") {
            if self.level.has_faults() && draws.percent(15) {
                row.line = "lines: [{ environment: prod, tag: prod }]".into();
                let name = row.id.replace('/', "-");
                row.pipeline =
                    format!("{{ name: {name}, sources: [{{ action: Source, type: COMMIT_ID }}] }}");
            }
        }
    }

    /// Draws the policy of an image: one in four is only observed, or left to people.
    fn policy(&mut self, draws: &mut Draws) -> String {
        if self.level.has_faults() && draws.percent(10) {
            self.faults.push(InjectedFault::Observed);
            "mode: observe, ".to_owned()
        } else if self.level.has_faults() && draws.percent(15) {
            self.faults.push(InjectedFault::LeftToPeople);
            let rebuild = draws.pick(&["approval", "nextCommit", "never"]).copied().unwrap_or("never");
            format!("rebuild: {rebuild}, ")
        } else {
            String::new()
        }
    }

    /// Changes some policies. What is built on what stays the same.
    fn edit(&mut self, draws: &mut Draws) {
        let other = Head::draw(draws, self.level, self.size);
        match draws.between(1, 5) {
            1 => self.head.rebuild_at = if self.head.rebuild_at == "high" { "medium" } else { "high" },
            2 => self.head.max_age = if self.head.max_age == "30d" { "4d" } else { "30d" },
            3 => {
                (self.head.builds_at_once, self.head.starts_a_day) =
                    (other.builds_at_once, other.starts_a_day);
            }
            4 => self.head.is_suppressed = !self.head.is_suppressed,
            _ => self.head.unknown_fix = other.unknown_fix,
        }
        for row in 0..self.rows.len() {
            if draws.percent(30) {
                self.rows[row].policy = self.policy(draws);
            }
        }
    }

    /// Changes one image: removes or renames it, or changes what it is built on, by which pipeline
    /// or where. Returns what was changed.
    fn reorganise(&mut self, draws: &mut Draws) -> &'static str {
        let Some(last) = self.rows.len().checked_sub(1) else { return "nothing" };
        let any = draws.between(0, u32::try_from(last).unwrap_or(0)) as usize;
        match draws.between(1, 6) {
            // Nothing is built on the last one.
            1 if self.rows[last].tier == "application" => {
                self.rows.truncate(last);
                "removed"
            }
            1 | 2 => {
                self.rename(any);
                "renamed"
            }
            3 => {
                // The pipeline exists: only the file names another one.
                let row = &mut self.rows[any];
                let name = format!("other-{any}");
                row.pipeline = if row.line.contains("environment") { pinned(&name) } else { name };
                "pipeline"
            }
            4 => {
                self.rows[any].pipeline.clear();
                "withoutPipeline"
            }
            5 => {
                self.rows[any].repository.push_str("-mistyped");
                "repository"
            }
            _ => {
                let first = self.rows[0].id.clone();
                let row = &mut self.rows[last];
                if row.from != first && row.id != first {
                    row.from = first;
                }
                row.copied.clear();
                "parent"
            }
        }
    }

    fn rename(&mut self, row: usize) {
        let old = self.rows[row].id.clone();
        let new = format!("{old}-renamed");
        for row in &mut self.rows {
            for name in [&mut row.id, &mut row.from, &mut row.copied] {
                if *name == old {
                    name.clone_from(&new);
                }
            }
        }
    }

    fn edition(&self) -> Edition {
        let (of_part, of_main): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| row.is_in_part());
        let with_rows = |head: String, rows: &[&Row]| {
            rows.iter().map(|row| row.yaml()).fold(head, |yaml, row| yaml + &row)
        };
        let part = if of_part.is_empty() { String::new() } else { "version: 1\nimages:\n".to_owned() };
        Edition { main: with_rows(self.head(!of_part.is_empty()), &of_main), part: with_rows(part, &of_part) }
    }

    fn head(&self, has_part: bool) -> String {
        let Head { rebuild_at, unknown_fix, max_age, is_suppressed, builds_at_once, starts_a_day } =
            self.head;
        let suppressed = if is_suppressed {
            "  suppress: [{ vulnerability: CVE-2026-40000, images: [\"platform/*\"], until: 2026-12-31, reason: not reachable }]\n"
        } else {
            ""
        };
        let home = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
        let registries = if self.has_several {
            format!(
                "registries:\n  home: {{ host: {home} }}\n  \
                 platforms: {{ host: 222233334444.dkr.ecr.us-east-1.amazonaws.com, role: reads }}\n  \
                 products: {{ host: 333344445555.dkr.ecr.eu-west-1.amazonaws.com, role: reads }}\n"
            )
        } else {
            format!("registry: {home}\n")
        };
        let of_red = self.size.builds_of_a_team();
        let owners = format!("owners: {{ red: {{ maxConcurrentBuilds: {of_red} }}, green: {{}} }}\n");
        let owners = if self.has_teams { owners } else { String::new() };
        let parts = if has_part {
            format!(
                "parts: {{ green: {{ file: {PART}, repositories: [\"apps/*\"], \
                 pipelines: [\"apps-*\", \"other-*\"], mayLoosen: [observe, rebuild] }} }}\n"
            )
        } else {
            String::new()
        };
        format!(
            "version: 1\n{registries}{owners}{parts}policy:\n  mode: enforce\n  \
             rebuildAt: {rebuild_at}\n  unknownFix: {unknown_fix}\n  maxAge: {max_age}\n  \
             maxConcurrentBuilds: {builds_at_once}\n  maxStartsPerDay: {starts_a_day}\n{suppressed}images:\n",
        )
    }
}

/// Returns a pipeline that builds the commit that it is told.
fn pinned(name: &str) -> String {
    format!("{{ name: {name}, sources: [{{ action: Source, type: COMMIT_ID }}] }}")
}

/// Draws the image that another is built on and, in so many of a hundred cases, a second one that
/// it copies from.
fn parents(draws: &mut Draws, tier: &str, count: u32, percent: u32) -> [String; 2] {
    let from = format!("{tier}/{}", draws.between(0, count - 1));
    let copied = draws.percent(percent).then(|| format!("{tier}/{}", draws.between(0, count - 1)));
    let copied = copied.filter(|copied| *copied != from).unwrap_or_default();
    [from, copied]
}
