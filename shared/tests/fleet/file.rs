use std::fmt::Write;

/// Writes a hierarchy of images `name: from [+ copyFrom…] [| keys]`, one a line, all enforced. A
/// name's first letter is its tier.
pub(crate) fn family(lines: &str) -> String {
    let mut yaml = String::from(
        "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: { mode: enforce }\nimages:\n",
    );
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(':').unwrap();
        let (parents, extra) = rest.split_once('|').unwrap_or((rest, ""));
        let mut parents = parents.split('+').map(str::trim);
        let from = parents.next().unwrap();
        let copy_from: Vec<&str> = parents.collect();
        let tier = match name.chars().next() {
            Some('b') => "base",
            Some('p') => "platform",
            _ => "application",
        };
        let pipeline =
            if extra.contains("pipeline:") { String::new() } else { format!(", pipeline: {name}") };
        let extra = if extra.trim().is_empty() { String::new() } else { format!(", {}", extra.trim()) };
        let extra = extra.replace(", pipeline: none", "");
        writeln!(
            yaml,
            "  - {{ id: {name}, tier: {tier}, repository: r/{name}, tags: ['1'], from: {from}, copyFrom: [{}]{pipeline}{extra} }}",
            copy_from.join(", ")
        )
        .unwrap();
    }
    yaml
}

/// The keys of a pipeline of this name whose source is pinned to the line's commit, to follow an
/// image's parents.
pub(crate) fn pinned(name: &str) -> String {
    format!("| pipeline: {{ name: {name}, sources: [{{ action: Source, type: COMMIT_ID }}] }}")
}
