//! What the inventory answers, measures, and asks to be scanned again.

use patchwave::facts::Facts;
use patchwave::finding::{Coverage, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::inventory::{
    Catalog, ConsumerKind, Inventory, NotInspected, Place, Question, Resolution, Sighting, Standing, Survey,
    Use,
};

use super::fixture::*;

#[test]
fn a_container_is_vulnerable_by_the_findings_that_policy_counts_on_its_own_platform() {
    let scan = complete(
        at(1, 1),
        &[
            finding("CVE-2026-1", Severity::High),
            finding("CVE-2026-2", Severity::Medium),
            finding("CVE-2026-7", Severity::Critical),
        ],
    );
    let mut version = version(10, at(1, 0), &clean());
    version.platforms.get_mut(&"linux/arm64".parse().unwrap()).unwrap().scan = scan;
    let catalog = catalog(&[("apps/checkout", &version, &[])]);
    let on = |workload: &str, architecture: Option<&str>| Sighting {
        architecture: architecture.map(str::to_owned),
        ..checkout(workload, 10)
    };
    let sightings = [on("intel", Some("amd64")), on("arm", Some("arm64")), on("somewhere", None)];
    let folded = first_survey(&catalog, &sightings);
    let ask = |question: &Question| {
        let answer = folded.inventory.answer(&hierarchy(), question, at(2, 0));
        let rows = answer.running.iter().map(|row| {
            let found: Vec<String> =
                row.findings.iter().map(|found| found.finding.vulnerability.to_string()).collect();
            (row.entry.workload.clone(), found.join(" "))
        });
        rows.collect::<Vec<_>>()
    };
    let rows = |of: [(&str, &str); 3]| of.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(
        ask(&Question::default()),
        rows([("arm", "CVE-2026-1"), ("intel", ""), ("somewhere", "CVE-2026-1")]),
        "medium does not count, and CVE-2026-7 is suppressed"
    );
    let named = Question { vulnerability: Some("CVE-2026-2".to_owned()), ..Question::default() };
    assert_eq!(
        ask(&named),
        [("arm".to_owned(), "CVE-2026-2".to_owned()), ("somewhere".to_owned(), "CVE-2026-2".to_owned())],
        "a question by name is about every severity"
    );
    let elsewhere = Question { environment: Some("test".to_owned()), ..Question::default() };
    assert_eq!(ask(&elsewhere), []);
}

#[test]
fn what_runs_on_a_platform_that_the_version_lacks_is_unknown_and_never_patched() {
    let version = version(10, at(1, 0), &clean());
    let catalog = catalog(&[("apps/checkout", &version, &[])]);
    let on = |workload: &str, os: Option<&str>, architecture: Option<&str>| Sighting {
        os: os.map(str::to_owned),
        architecture: architecture.map(str::to_owned),
        ..checkout(workload, 10)
    };
    let sightings = [
        on("arm", Some("linux"), Some("arm64")),
        on("risc", Some("linux"), Some("riscv64")),
        on("somewhere", None, None),
        on("windows", Some("windows"), Some("amd64")),
    ];
    let folded = first_survey(&catalog, &sightings);
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(2, 0));
    let unknown = answer.running.iter().filter(|row| !row.unknown.is_empty());
    let unknown: Vec<(&str, &str)> =
        unknown.map(|row| (row.entry.workload.as_str(), row.unknown[0].as_str())).collect();
    assert_eq!(
        unknown,
        [
            ("risc", "it runs on linux/riscv64, and this version is for linux/amd64, linux/arm64"),
            ("windows", "it runs on windows/amd64, and this version is for linux/amd64, linux/arm64"),
        ]
    );
    assert_eq!(answer.totals().unknown, 2);
}

#[test]
fn a_finding_of_linux_is_none_of_a_windows_node() {
    let mut version = version(10, at(1, 0), &clean());
    let scan = complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)]);
    version.platforms.get_mut(&"linux/amd64".parse().unwrap()).unwrap().scan = scan;
    let mut windows = version.platforms[&"linux/arm64".parse().unwrap()].clone();
    windows.digest = digest(99);
    version.platforms.insert("windows/amd64/10.0.20348".parse().unwrap(), windows);
    let catalog = catalog(&[("apps/checkout", &version, &[])]);
    let on = |workload: &str, os: &str| Sighting {
        os: Some(os.to_owned()),
        architecture: Some("amd64".to_owned()),
        ..checkout(workload, 10)
    };
    let folded = first_survey(&catalog, &[on("linux", "linux"), on("windows", "windows")]);
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(2, 0));
    let vulnerable: Vec<bool> = answer.running.iter().map(patchwave::inventory::Row::is_vulnerable).collect();
    assert_eq!(vulnerable, [true, false]);
}

#[test]
fn units_are_counted_and_references_stand_apart() {
    let catalog = two_versions();
    let unit = |n: u32| Sighting { unit: format!("task-{n}"), ..checkout("web", 10) };
    let reference = Sighting { used: Use::Referenced, unit: String::new(), ..checkout("nightly", 10) };
    let sightings = [unit(1), unit(2), unit(3), unit(3), reference];
    let folded = survey(&Inventory::default(), &catalog, &[read(&ecs(), at(40, 0))], &sightings, at(40, 0));
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(40, 0));
    assert_eq!((answer.running.len(), answer.running[0].entry.units), (1, 3));
    assert_eq!(answer.referenced[0].entry.workload, "nightly");
    assert!(answer.running[0].stale, "39 days old, and maxAge is 30");
    let kinds: Vec<ConsumerKind> = answer.not_inspected.iter().map(|not| not.kind).collect();
    assert_eq!(kinds, ConsumerKind::ALL[1..], "only ECS was surveyed");
}

#[test]
fn the_deployed_version_is_the_one_that_began_to_run_last() {
    let catalog = two_versions();
    let since = |workload: &str, n: u8, hour: u32| Sighting {
        used: Use::Running { since: Some(at(1, hour)) },
        ..checkout(workload, n)
    };
    let deployments = |sightings: &[Sighting]| {
        first_survey(&catalog, sightings).inventory.deployments().remove(&id("apps/checkout")).unwrap()
    };
    let rolled_back = deployments(&[since("web", 20, 6), since("worker", 20, 7), since("web", 10, 9)]);
    assert_eq!(rolled_back.environments["prod"].version, digest(10));
    assert!(rolled_back.in_production());
    let rolling_out = deployments(&[since("web", 20, 6), since("web", 10, 1), since("worker", 10, 9)]);
    assert_eq!(
        rolling_out.environments["prod"].version,
        digest(20),
        "one more task of the old version is no deployment"
    );
}

#[test]
fn the_oldest_scans_are_repeated_first_and_those_of_running_versions_before_others() {
    let scanned = |day| complete(at(day, 1), &[]);
    let checkout_version = version(10, at(1, 0), &scanned(8));
    let node = version(30, at(1, 0), &scanned(8));
    let os = version(50, at(1, 0), &scanned(5));
    let fresh = version(70, at(1, 0), &scanned(9));
    let mut facts = facts(&[
        ("apps/checkout", &checkout_version, &[]),
        ("platform/node:22", &node, &[]),
        ("base/os", &os, &[&version(90, at(1, 0), &Scan::Missing)]),
        ("platform/node:20", &fresh, &[]),
    ]);
    let catalog = Catalog::new(&hierarchy(), &facts);
    let inventory =
        survey(&Inventory::default(), &catalog, &[read(&ecs(), at(9, 2))], &[checkout("web", 10)], at(9, 2))
            .inventory;
    let chosen = |facts: &Facts, limit| {
        let rescans = patchwave::inventory::rescans(
            &hierarchy(),
            &Catalog::new(&hierarchy(), facts),
            &inventory,
            at(9, 2),
            limit,
        );
        rescans.into_iter().map(|rescan| rescan.scan.digest).collect::<Vec<_>>()
    };
    let order = [amd64(50), arm64(50), amd64(10), arm64(10), amd64(30), arm64(30)];
    assert_eq!(
        chosen(&facts, 100),
        order,
        "neither fresh scans nor versions that neither run nor are current"
    );
    assert_eq!(chosen(&facts, 3), order[..3]);
    let by_inspector = Scan::complete(at(5, 1), Coverage::OsAndLanguages, []);
    let mut watched = facts.clone();
    watched
        .images
        .get_mut(&id("base/os"))
        .unwrap()
        .versions
        .insert(digest(50), version(50, at(1, 0), &by_inspector));
    assert_eq!(chosen(&watched, 100), order[2..], "Inspector repeats its scans itself and refuses requests");
    let node = facts.images.get_mut(&id("platform/node:22")).unwrap();
    let version = node.versions.values_mut().next().unwrap();
    version.platforms.get_mut(&"linux/amd64".parse().unwrap()).unwrap().scan = Scan::Missing;
    version.platforms.get_mut(&"linux/arm64".parse().unwrap()).unwrap().scan = Scan::Pending;
    assert_eq!(
        chosen(&facts, 2),
        [amd64(30), amd64(50)],
        "a missing scan comes first, and a pending one is left alone"
    );
    let node = facts.images.get_mut(&id("platform/node:22")).unwrap();
    let version = node.versions.values_mut().next().unwrap();
    version.platforms.get_mut(&"linux/amd64".parse().unwrap()).unwrap().scan =
        Scan::Unsupported("UNSUPPORTED_IMAGE".into());
    assert_eq!(chosen(&facts, 1), [amd64(50)], "an image that cannot be scanned is not asked for again");
}

#[test]
fn the_metrics_are_in_the_embedded_format() {
    let catalog = catalog(&[(
        "apps/checkout",
        &version(20, at(3, 0), &clean()),
        &[&version(10, at(1, 0), &vulnerable())],
    )]);
    let sightings = [checkout("web", 10), Sighting { image: "nginx:1".into(), ..checkout("proxy", 1) }];
    let places = [read(&ecs(), at(5, 0)), unread(&eks(), at(5, 0))];
    let folded = survey(&Inventory::default(), &catalog, &places, &sightings, at(5, 0));
    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), at(5, 0));
    let lines = patchwave::inventory::metrics(&folded.inventory, &answer, at(5, 0));
    let all = &lines[0];
    assert_eq!(all["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Patchwave");
    assert_eq!(all["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([[]]));
    assert_eq!(all["_aws"]["Timestamp"], at(5, 0).as_millisecond());
    for (name, value) in [
        ("RunningImages", 2.0),
        ("OldestRunningImageDays", 4.0),
        ("Unknowns", 1.0),
        ("RebuiltNotDeployed", 1.0),
        ("UnapprovedRunningImages", 1.0),
    ] {
        assert_eq!(all[name].as_f64(), Some(value), "{name} in {all}");
    }
    assert_eq!(all.get("MeanTimeToPatched"), None, "nothing was patched yet");
    let high = lines.iter().find(|line| line["Severity"] == "high").unwrap();
    assert_eq!(high["VulnerableRunningImages"], 1);
    for line in &lines {
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
        }
    }
}

#[test]
fn a_cluster_that_is_unread_by_design_is_unknown_and_counts_in_no_metric() {
    let accounts = |clusters: &str| {
        let inventory = format!(
            "inventory: {{ regions: [us-east-1], accounts: [{{ id: \"444455556666\"{clusters} }}] }}\n"
        );
        Hierarchy::parse("h.yaml", &format!("{HIERARCHY}{inventory}")).unwrap()
    };
    let current = version(10, at(1, 0), &clean());
    let catalog = catalog(&[("apps/checkout", &current, &[])]);
    let read =
        survey(&Inventory::default(), &catalog, &[read(&ecs(), at(1, 0))], &[checkout("web", 10)], at(1, 0));
    let now = at(2, 0);
    let no_digest = sighting(&ecs(), "proxy", "apps/checkout:main-1", None);
    let folded = survey(&read.inventory, &catalog, &[unread(&ecs(), now)], &[no_digest], now);
    let name = ecs().cluster.unwrap();
    let (accepted, not) =
        (accounts(&format!(", clusters: {{ {name}: {{ unreadable: accepted }} }}")), accounts(""));
    for (hierarchy, unknowns) in [(&not, 3), (&accepted, 1)] {
        let answer = folded.inventory.answer(hierarchy, &Question::default(), now);
        let totals = answer.totals();
        assert_eq!((totals.unknown, totals.unread_places), (2, 1), "what is not known stays unknown");
        let lines = patchwave::inventory::metrics(&folded.inventory, &answer, now);
        assert_eq!(lines[0]["Unknowns"], unknowns, "one has no digest, wherever it runs");
    }
    let elsewhere =
        survey(&read.inventory, &catalog, &[unread(&cluster(ConsumerKind::Eks, "blue"), now)], &[], now)
            .inventory;
    let answer = elsewhere.answer(&accepted, &Question::default(), now);
    let lines = patchwave::inventory::metrics(&elsewhere, &answer, now);
    assert_eq!(lines[0]["Unknowns"], 1, "another cluster is not accepted");
}

#[test]
fn asked_for_a_vulnerability_what_no_scan_covers_is_not_called_clean() {
    let current = version(10, at(1, 0), &clean());
    let catalog = catalog(&[("apps/checkout", &current, &[])]);
    let foreign = Sighting { image: "nginx:1".into(), ..checkout("proxy", 1) };
    let undeclared = sighting(&ecs(), "legacy", "apps/legacy:1", Some(digest(8).to_string()));
    let upstream = Sighting { image: "public.ecr.aws/debian/debian:12".into(), ..checkout("debian", 7) };
    let folded = first_survey(&catalog, &[checkout("web", 10), foreign, undeclared, upstream]);
    let ask = |vulnerability: Option<&str>| {
        let question = Question { vulnerability: vulnerability.map(str::to_owned), ..Question::default() };
        folded.inventory.answer(&hierarchy(), &question, at(2, 0))
    };
    let everything = ask(None);
    assert_eq!((everything.running.len(), everything.totals().unknown), (4, 0));
    let asked = ask(Some("CVE-2021-44228"));
    let rows: Vec<(&str, usize)> =
        asked.running.iter().map(|row| (row.entry.workload.as_str(), row.unknown.len())).collect();
    assert_eq!(rows, [("debian", 1), ("legacy", 1), ("proxy", 1)], "the scanned one is clean");
    assert!(asked.running.iter().all(|row| row.unknown[0].starts_with("no scan that Patchwave reads")));
}

#[test]
fn the_file_accepts_what_nobody_inspects() {
    let inventory =
        "inventory: { regions: [r-1], accept: [sageMaker, tekton.dev], accounts: [{ id: '444455556666' }] }";
    let accepts = Hierarchy::parse("h.yaml", &format!("{HIERARCHY}{inventory}\n")).unwrap();
    let mut cluster = read(&eks(), at(2, 0));
    cluster.not_inspected = ["argoproj.io".to_owned(), "tekton.dev".to_owned()].into();
    let folded = survey(&Inventory::default(), &two_versions(), &[cluster], &[], at(2, 0));
    let named = |hierarchy: &Hierarchy| {
        let answer = folded.inventory.answer(hierarchy, &Question::default(), at(2, 0));
        let name = |not: &NotInspected| not.objects.clone().unwrap_or_else(|| not.kind.to_string());
        answer.not_inspected.iter().map(name).collect::<Vec<_>>()
    };
    let nobody = ["appRunner", "codeBuild", "emr", "microVms", "pipes", "stateMachines"];
    let with = |known: &[&'static str]| [known, &nobody].concat();
    let all = ["ecs", "argoproj.io", "tekton.dev", "lambda", "batch", "sageMaker", "schedules"];
    assert_eq!(named(&hierarchy()), with(&all));
    assert_eq!(named(&accepts), with(&["ecs", "argoproj.io", "lambda", "batch", "schedules"]));
}

#[test]
fn a_container_in_production_belongs_to_the_deployed_line_whatever_its_version() {
    let hierarchy = with_a_deployed_line();
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    let facts = facts(&[("apps/checkout", &new, &[&old]), ("apps/checkout@prod", &old, &[])]);
    let catalog = Catalog::new(&hierarchy, &facts);
    let test = Place { environment: Some("test".to_owned()), ..eks() };
    let elsewhere = sighting(&test, "web", "apps/checkout:main-2", Some(format!("x/y@{}", digest(20))));
    let survey = Survey {
        places: vec![read(&ecs(), at(2, 0)), read(&test, at(2, 0))],
        sightings: vec![checkout("web", 10), checkout("canary", 20), elsewhere],
    };
    let folded = survey_of(&hierarchy, &Inventory::default(), &catalog, &survey, true, at(2, 0));
    let inventory = folded.inventory;
    let of: Vec<(&str, &Resolution)> =
        inventory.entries.values().map(|entry| (entry.workload.as_str(), &entry.resolution)).collect();
    let prod = |n| known("apps/checkout@prod", n);
    assert_eq!(of, [("canary", &prod(20)), ("web", &prod(10)), ("web", &known("apps/checkout", 20))]);
    let standing = |image: &str, n| &inventory.versions[&(id(image), digest(n))].standing;
    assert_eq!(standing("apps/checkout@prod", 10), &Standing::Current);
    assert_eq!(standing("apps/checkout@prod", 20), &Standing::Behind { current: digest(10) });
}
