//! Which pipeline pushes what, by the traces of builds.

use patchwave::discover::{Drafted, Estate, discover, without_builder};
use serde_json::{Value, json};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

fn repository(name: &str, pushes: &[(&str, &str)]) -> Value {
    let version = |(at, tag): &(&str, &str)| {
        let digest = patchwave::image::Digest::of(format!("{name}{at}").as_bytes()).to_string();
        json!({"digest": digest, "tags": [tag], "pushedAt": format!("2026-11-01T{at}:00Z")})
    };
    json!({"name": name, "versions": pushes.iter().map(version).collect::<Vec<_>>()})
}

fn pipeline(name: &str, source: &str) -> Value {
    json!({
        "name": name, "account": "111122223333", "region": "us-east-1", "type": "V2",
        "variables": ["PATCHWAVE_BASE_IMAGE"],
        "actions": [
            {"name": "Source", "category": "Source", "provider": "CodeStarSourceConnection",
                "configuration": {"FullRepositoryId": source}},
            {"name": "Build", "category": "Build", "provider": "CodeBuild", "configuration": {"ProjectName": name}},
        ],
    })
}

fn project(name: &str, puts: &[&str]) -> Value {
    json!({"name": name, "account": "111122223333", "region": "us-east-1",
        "role": format!("arn:aws:iam::111122223333:role/{name}"), "puts": puts})
}

fn push(repository: &str, role: &str) -> Value {
    json!({"account": "111122223333", "region": "us-east-1", "repository": repository,
        "role": format!("arn:aws:iam::111122223333:role/{role}")})
}

fn estate(mut of: Value, repositories: &[Value]) -> Estate {
    of["registries"] = json!([{"host": HOST, "repositories": repositories}]);
    serde_json::from_value(of).unwrap()
}

fn builds(drafted: &Drafted, id: &str) -> (Option<String>, String) {
    let draft = drafted.images.iter().find(|draft| draft.id == id).unwrap();
    (draft.pipeline.as_ref().map(|builds| builds.name.clone()), draft.evidence.join("; "))
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecr:us-east-1:111122223333:repository/{name}")
}

#[test]
fn a_role_that_may_push_to_one_place_builds_it_and_one_for_all_names_none() {
    let repositories = [repository("apps/web", &[("01:00", "1")]), repository("apps/api", &[("01:00", "1")])];
    for (puts, builder) in [
        (vec![arn("apps/web")], Some("web")),
        (vec![arn("apps/we*")], Some("web")),
        (vec![arn("apps/*")], None),
        (vec!["*".to_owned()], None),
        (vec![arn("apps/web"), arn("apps/gone")], None),
    ] {
        let puts: Vec<&str> = puts.iter().map(String::as_str).collect();
        let of = json!({"pipelines": [pipeline("web", "bank/x")], "projects": [project("web", &puts)]});
        let estate = estate(of, &repositories);
        let found = builds(&discover(&estate), "apps/web:1");
        assert_eq!(found.0.as_deref(), builder, "{puts:?}: {}", found.1);
        if puts.iter().any(|pattern| pattern.contains("/*") || *pattern == "*") {
            assert_eq!(without_builder(&estate), 2, "{puts:?} says nothing: {}", found.1);
        }
    }
}

#[test]
fn a_pipeline_that_pushes_several_repositories_is_said_so_and_builds_none() {
    let repositories = [repository("apps/web", &[("01:00", "1")]), repository("apps/api", &[("01:00", "1")])];
    let both = [arn("apps/web"), arn("apps/api")];
    let projects = [project("both", &[&both[0], &both[1]])];
    let of = json!({"pipelines": [pipeline("both", "bank/x")], "projects": projects});
    let drafted = discover(&estate(of.clone(), &repositories));
    for id in ["apps/web:1", "apps/api:1"] {
        let (builder, said) = builds(&drafted, id);
        assert!(builder.is_none() && said.contains("the pipeline both pushes 2 repositories"), "{said}");
    }
    // Who pushed says more than who may push.
    let mut of = of;
    of["pushes"] = json!([push("apps/web", "both")]);
    let drafted = discover(&estate(of, &repositories));
    let (builder, said) = builds(&drafted, "apps/web:1");
    assert!(
        builder.is_none() && said.contains("pushes 2 repositories"),
        "it may push the other one too: {said}"
    );
}

#[test]
fn who_pushed_counts_if_one_build_alone_has_the_role() {
    let repositories = [repository("apps/web", &[("01:00", "1")])];
    let mut of = json!({"pipelines": [pipeline("web", "bank/x")], "projects": [project("web", &[])],
        "pushes": [push("apps/web", "web"), push("apps/web", "web")]});
    let one = estate(of.clone(), &repositories);
    assert_eq!(without_builder(&one), 0);
    assert_eq!(builds(&discover(&one), "apps/web:1").0.as_deref(), Some("web"));
    let mut other = project("other", &[]);
    other["role"] = "arn:aws:iam::111122223333:role/web".into();
    of["projects"].as_array_mut().unwrap().push(other);
    let shared = estate(of, &repositories);
    assert_eq!(without_builder(&shared), 1);
    let (builder, said) = builds(&discover(&shared), "apps/web:1");
    assert!(
        builder.is_none()
            && said.contains("CloudTrail says that arn:aws:iam::111122223333:role/web pushed it"),
        "{said}"
    );
}

#[test]
fn times_and_sources_count_for_one_pipeline_and_one_repository() {
    let runs = |hours: &[&str]| -> Vec<Value> {
        let at = |hour: &str, minute: &str| format!("2026-11-01T{hour}:{minute}:00Z");
        hours.iter().map(|hour| json!({"from": at(hour, "00"), "to": at(hour, "10")})).collect()
    };
    let pushes = [("01:05", "1"), ("05:05", "2"), ("09:05", "3")];
    let mut web = pipeline("web", "bank/web");
    web["executions"] = json!(runs(&["01", "05", "09"]));
    let mut api = pipeline("api", "bank/api");
    api["executions"] = json!(runs(&["02", "06", "10"]));
    let of = json!({"pipelines": [web.clone(), api]});
    let drafted = discover(&estate(of, &[repository("apps/web", &pushes)]));
    let found: Vec<_> = drafted.images.iter().map(|draft| builds(&drafted, &draft.id)).collect();
    assert!(
        found.iter().any(|(_, said)| said.contains("built by web: all 3 pushes lie within its executions")),
        "{found:?}"
    );
    // Another repository is pushed at the same times.
    let of = json!({"pipelines": [web]});
    let drafted = discover(&estate(of, &[repository("apps/web", &pushes), repository("apps/api", &pushes)]));
    let found: Vec<_> = drafted.images.iter().map(|draft| builds(&drafted, &draft.id)).collect();
    assert!(found.iter().all(|(builder, _)| builder.is_none()), "{found:?}");
}
