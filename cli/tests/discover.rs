//! `discover` and `graph --audit`: from what registries say to a hierarchy file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

#[cfg(feature = "aws")]
#[path = "../../shared/tests/discover/official.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "its other users judge what is found")]
mod official;

use support::{Scratch, fixture, patchwave, patchwave_reading};

#[test]
fn a_draft_validates_and_says_what_it_does_not_know() {
    let estate = fixture("discover/small.json");
    let drafted = patchwave(&["discover", "--documents", &estate]);
    assert_eq!(drafted.code, 0, "{}", drafted.stderr);
    assert!(drafted.stderr.contains("16 images; the base of 6 is not known: "), "{}", drafted.stderr);
    let validated = patchwave_reading(&drafted.stdout, &["validate", "-"]);
    assert_eq!(validated.code, 0, "{}{}", validated.stdout, validated.stderr);
    let json = patchwave(&["discover", "--documents", &estate, "--format", "json"]).json();
    assert_eq!(json["images"].as_array().unwrap().len(), 16);
}

#[test]
fn a_second_run_shows_what_changed_and_write_applies_it() {
    let (estate, scratch) = (fixture("discover/small.json"), Scratch::new("discover"));
    let file = scratch.path("hierarchy.yaml");
    let written = patchwave(&["discover", "--documents", &estate, "--hierarchy", &file, "--write"]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let first = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        patchwave(&["discover", "--documents", &estate, "--hierarchy", &file]).code,
        0,
        "nothing changed"
    );
    // A person corrects the file, and writes why.
    let edited = first.replacen(
        "from: docker.io/library/debian:13\n",
        "from: docker.io/library/debian:12 # for now\n",
        1,
    );
    std::fs::write(&file, &edited).unwrap();
    let changed = patchwave(&["discover", "--documents", &estate, "--hierarchy", &file]);
    assert_eq!(changed.code, 1);
    assert!(changed.stdout.contains("-    from: docker.io/library/debian:12 # for now\n+    from: docker.io/library/debian:13 # for now\n"), "{}", changed.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited, "nothing is written");
    assert_eq!(patchwave(&["discover", "--documents", &estate, "--hierarchy", &file, "--write"]).code, 0);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        edited.replace("debian:12 # for now", "debian:13 # for now")
    );
}

#[test]
fn each_owner_gets_a_file_which_a_second_run_knows_and_does_not_overwrite() {
    let (estate, scratch) = (fixture("discover/small.json"), Scratch::new("discover-parts"));
    let file = scratch.path("hierarchy.yaml");
    let draft = ["discover", "--documents", &estate, "--hierarchy", &file, "--write"];
    let by_owner = [&draft[..], &["--parts-by", "owner"]].concat();
    let written = patchwave(&by_owner);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let main = std::fs::read_to_string(&file).unwrap();
    assert!(main.contains("    file: teams/payments.yaml\n"), "{main}");
    let part = std::fs::read_to_string(scratch.path("teams/payments.yaml")).unwrap();
    assert!(part.contains("repository: apps/") && !part.contains("owner:"), "{part}");
    let validated = patchwave(&["validate", &file]);
    assert_eq!(validated.code, 0, "{}{}", validated.stdout, validated.stderr);
    let again = patchwave(&draft);
    assert_eq!((again.code, std::fs::read_to_string(&file).unwrap()), (0, main), "{}", again.stderr);
    let refused = patchwave(&by_owner);
    assert!(
        refused.code == 2 && refused.stderr.contains("--parts-by divides only a new file"),
        "{}",
        refused.stderr
    );
    std::fs::remove_file(&file).unwrap();
    let refused = patchwave(&by_owner);
    assert!(refused.code == 2 && refused.stderr.contains("teams/"), "{}", refused.stderr);
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn an_audit_names_the_evidence_and_the_edit() {
    let scratch = Scratch::new("audit");
    let (hierarchy, facts) = (scratch.path("h.yaml"), scratch.path("f.json"));
    let demo = patchwave(&["demo", "--save-hierarchy", &hierarchy, "--save-facts", &facts]);
    assert_eq!(demo.code, 0, "{}", demo.stderr);
    let audit =
        patchwave(&["graph", "--audit", "--hierarchy", &hierarchy, "--facts", &facts, "--format", "json"]);
    let json = audit.json();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(audit.code, i32::from(!findings.is_empty()));
    assert!(findings.iter().all(|finding| finding["edit"].as_str().is_some_and(|edit| !edit.is_empty())));
    let picture = patchwave(&["graph", "--hierarchy", &hierarchy, "--format", "svg"]).stdout;
    assert!(
        picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && picture.ends_with("</svg>\n")
    );
}

#[cfg(not(feature = "aws"))]
#[test]
fn without_the_sdk_it_says_how_to_get_it() {
    let ran = patchwave(&["discover"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--documents FILE"), "{}", ran.stderr);
}

#[cfg(feature = "aws")]
mod with_aws {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use patchwave::discover::{Estate, Repository};
    use patchwave_tests::awsjson::{self, Answer, Refusal, Service};
    use patchwave_tests::harness::{Harness, Setup};
    use patchwave_tests::traffic::Traffic;
    use serde_json::{Value, json};

    use crate::official::Generated;
    use crate::support::{Ran, Scratch, patchwave_with};

    /// A `CloudTrail` in which nothing happened.
    struct Silence;

    impl Service for Silence {
        async fn call(&self, operation: &str, _: Value) -> Answer {
            assert_eq!(operation, "LookupEvents");
            Ok(json!({ "Events": [] }))
        }
    }

    const CALLER: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/reader</Arn><UserId>A</UserId><Account>111122223333</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"#;

    /// STS, ECR, `CodePipeline` and `CloudTrail` of an account that has the generated estate and no pipeline.
    struct Large {
        estate: Estate,
        documents: BTreeMap<String, Value>,
        url: Mutex<String>,
        calls: Mutex<BTreeMap<String, usize>>,
    }

    impl Large {
        fn new(images: usize, versions: u64) -> Self {
            let generated = Generated::new(images, versions);
            let estate = generated.estate();
            let (url, calls) = (Mutex::default(), Mutex::default());
            Self { estate, documents: generated.documents, url, calls }
        }

        fn repositories(&self) -> &[Repository] {
            &self.estate.registries[0].repositories
        }

        /// A page of the images of a repository, as `DescribeImages` writes them.
        fn images(&self, input: &Value) -> Answer {
            let of = self.repositories().iter().find(|of| of.name.as_str() == input["repositoryName"]);
            let described: Vec<Value> = of.unwrap().versions.iter().map(|version| {
                json!({ "imageDigest": version.digest, "imageTags": version.tags, "imagePushedAt": version.pushed_at.as_second() })
            }).collect();
            let size = input["maxResults"].as_u64().map_or(100, |size| usize::try_from(size).unwrap());
            let (page, next) = awsjson::page(&described, input["nextToken"].as_str(), size)?;
            Ok(json!({ "imageDetails": page, "nextToken": next }))
        }

        fn manifests(&self, input: &Value) -> Value {
            let (mut images, mut failures) = (Vec::new(), Vec::new());
            for id in input["imageIds"].as_array().unwrap() {
                match self.documents.get(id["imageDigest"].as_str().unwrap()) {
                    Some(text) => images.push(json!({ "imageId": id, "imageManifest": text.to_string() })),
                    None => failures.push(json!({ "imageId": id, "failureCode": "ImageNotFound" })),
                }
            }
            json!({ "images": images, "failures": failures })
        }

        fn all(&self, input: &Value) -> Answer {
            let all: Vec<Value> = self
                .repositories()
                .iter()
                .map(|of| {
                    let arn = format!("arn:aws:ecr:us-east-1:111122223333:repository/{}", of.name);
                    json!({ "repositoryName": of.name, "repositoryArn": arn })
                })
                .collect();
            let (page, next) = awsjson::page(&all, input["nextToken"].as_str(), 1_000)?;
            Ok(json!({ "repositories": page, "nextToken": next }))
        }
    }

    impl Service for Large {
        async fn call(&self, operation: &str, input: Value) -> Answer {
            let counted = if operation.starts_with('/') { "download" } else { operation };
            *self.calls.lock().unwrap().entry(counted.to_owned()).or_default() += 1;
            match operation {
                "DescribePullThroughCacheRules" => Ok(json!({ "pullThroughCacheRules": [] })),
                "DescribeRepositories" => self.all(&input),
                "ListTagsForResource" => Ok(json!({ "tags": [] })),
                "DescribeImages" => self.images(&input),
                "BatchGetImage" => Ok(self.manifests(&input)),
                "GetDownloadUrlForLayer" => {
                    let url =
                        format!("{}/{}", self.url.lock().unwrap(), input["layerDigest"].as_str().unwrap());
                    Ok(json!({ "downloadUrl": url }))
                }
                "ListPipelines" => Ok(json!({ "pipelines": [] })),
                "LookupEvents" => Ok(json!({ "Events": [] })),
                // STS has the query protocol, in which no header names the operation.
                "/" => Ok(Value::String(CALLER.to_owned())),
                blob => match blob.strip_prefix('/').and_then(|digest| self.documents.get(digest)) {
                    Some(document) => Ok(Value::String(document.to_string())),
                    None => Err(Refusal::new("InvalidAction", blob)),
                },
            }
        }
    }

    /// Drafts the generated estate as it is read over loopback, and prints what that takes.
    #[expect(clippy::print_stdout, reason = "the calls are what the long test is for")]
    async fn draft_over_loopback(images: usize, versions: u64) {
        let large = Arc::new(Large::new(images, versions));
        let expected = patchwave::discover::discover(&large.estate).images.len();
        let server = awsjson::serve(Arc::clone(&large), Arc::new(Traffic::default())).await;
        *large.url.lock().unwrap() = server.url();
        let scratch = Scratch::new(&format!("loopback-{images}"));
        let file = scratch.path("hierarchy.yaml");
        let settings: BTreeMap<String, String> = [
            ("AWS_ACCESS_KEY_ID", "reader".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_ENDPOINT_URL", server.url()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let run = |arguments: String| {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || {
                let arguments: Vec<&str> = arguments.split(' ').collect();
                let settings: Vec<(&str, &str)> =
                    settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                patchwave_with(&arguments, &settings)
            })
        };
        let drafted =
            run(format!("discover --region us-east-1 --move-pull-times --hierarchy {file} --write"))
                .await
                .unwrap();
        assert_eq!(drafted.code, 0, "{}", drafted.stderr);
        let calls = large.calls.lock().unwrap().clone();
        println!("{}", drafted.stderr.lines().last().unwrap_or_default());
        println!("{} calls reached the fakes: {calls:?}", calls.values().sum::<usize>());
        let validated = run(format!("validate {file} --format json")).await.unwrap();
        assert_eq!(validated.code, 0, "{}{}", validated.stdout, validated.stderr);
        assert_eq!(validated.json()["images"], expected, "the estate on the wire is the one in memory");
    }

    /// The official images alone.
    #[tokio::test]
    #[ignore = "minutes: cargo nextest run -p patchwave-cli --features aws --run-ignored only --no-capture as_the_same_one"]
    async fn an_estate_over_loopback_is_drafted_as_the_same_one_in_memory() {
        draft_over_loopback(0, 2).await;
    }

    #[tokio::test]
    #[ignore = "minutes: cargo nextest run -p patchwave-cli --features aws --run-ignored only --no-capture over_loopback"]
    async fn three_thousand_images_of_ten_versions_over_loopback() {
        draft_over_loopback(3_000, 10).await;
    }

    /// As a newcomer types it: draft, check, plan.
    #[tokio::test]
    async fn from_the_registry_to_a_plan() {
        let harness = Harness::start(Setup::default()).await;
        let scratch = Scratch::new("newcomer");
        let (file, facts) = (scratch.path("hierarchy.yaml"), scratch.path("facts.json"));
        let mut settings = harness.settings().clone();
        // moto says who calls; the harness's own fake of STS only assumes roles.
        settings.insert("AWS_ENDPOINT_URL_STS".to_owned(), settings["AWS_ENDPOINT_URL"].clone());
        let trail = awsjson::serve(Arc::new(Silence), Arc::new(Traffic::default())).await;
        settings.insert("AWS_ENDPOINT_URL_CLOUDTRAIL".to_owned(), trail.url());
        let run = move |arguments: Vec<String>| {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || -> Ran {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let settings: Vec<(&str, &str)> =
                    settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                patchwave_with(&arguments, &settings)
            })
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let draft = words(&format!("discover --region us-east-1 --metadata-only --hierarchy {file} --write"));
        let refused = run(draft.clone()).await.unwrap();
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("register-pull-time-update-exclusion"), "{}", refused.stderr);
        let drafted = run([draft, words("--move-pull-times")].concat()).await.unwrap();
        assert_eq!(drafted.code, 0, "{}", drafted.stderr);
        let validated = run(words(&format!("validate {file}"))).await.unwrap();
        assert_eq!(validated.code, 0, "{}{}", validated.stdout, validated.stderr);
        let snapshot = run(words(&format!("facts --hierarchy {file}"))).await.unwrap();
        assert_eq!(snapshot.code, 0, "{}", snapshot.stderr);
        std::fs::write(&facts, &snapshot.stdout).unwrap();
        let plan = run(words(&format!("plan --hierarchy {file} --facts {facts}"))).await.unwrap();
        assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
    }
}
