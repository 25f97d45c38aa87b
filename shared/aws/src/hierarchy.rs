//! Where the hierarchy comes from: a file or an object in S3. Every invocation reads it, so that a
//! change needs no deployment.

mod editions;

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use patchwave::hierarchy::{Hierarchy, PartTexts, part_files, read_parts};
use patchwave::time::Timestamp;
use patchwave_converge::Fault;

use crate::fault::{fault, invalid};
use crate::settings::{HIERARCHY, Source};
pub(crate) use editions::Kept;

/// Largest file to read, in bytes. Ten thousand images need two million.
const LARGEST: usize = Hierarchy::LARGEST_FILE;

/// Reads the hierarchy, and caches it until it changes.
#[derive(Debug)]
pub(crate) struct HierarchySource {
    source: Source,
    /// Whether the last good edition takes the place of one that cannot be used.
    keeps: bool,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    /// Of the file as it is now.
    etag: String,
    hierarchy: Arc<Hierarchy>,
    /// Which editions of the file and its parts are in force, where these are not the files as they
    /// are now.
    kept: Vec<Kept>,
    /// Whether it is of more than one file.
    has_parts: bool,
}

impl HierarchySource {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, keeps: false, cached: Mutex::new(None) }
    }

    /// Makes a source that returns the last good edition while the file cannot be used.
    pub(crate) fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Says what of the hierarchy that was loaded last is not the files as they are now, and what
    /// to do.
    pub(crate) fn problems(&self, now: Timestamp) -> Vec<String> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Cached { hierarchy, kept, .. }) = cached.as_ref() else { return Vec::new() };
        let unread = hierarchy.unread_parts().iter().map(|part| {
            format!(
                "the part {} of {} cannot be used, and has no good edition of the last seven days; \
                 its images are unknown; correct it: {}",
                part.file, part.owner, part.because
            )
        });
        kept.iter().map(|kept| kept.message(now)).chain(unread).collect()
    }

    /// Reads the hierarchy as it is `now`. `s3` makes the client, if one is needed.
    pub(crate) async fn load(
        &self,
        s3: impl FnOnce() -> Client,
        now: Timestamp,
    ) -> Result<Arc<Hierarchy>, Fault> {
        match &self.source {
            Source::Text { name, yaml, parts } => parse(name, yaml, parts)
                .map_err(|problem| invalid(format!("read the hierarchy {name}"), problem)),
            Source::File(path) => {
                let operation = format!("read the hierarchy {}", path.display());
                let yaml = file(path).map_err(|problem| wrong(&operation, &problem))?;
                let folder = path.parent().unwrap_or(Path::new(""));
                let parts = read_parts(&yaml, |part| file(&folder.join(part)));
                parse(&path.display().to_string(), &yaml, &parts)
                    .map_err(|problem| invalid(operation, problem))
            }
            Source::Object { bucket, key } => self.object(s3(), bucket, key, now).await,
        }
    }

    async fn object(
        &self,
        s3: Client,
        bucket: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Arc<Hierarchy>, Fault> {
        let name = format!("s3://{bucket}/{key}");
        let operation = format!("read the hierarchy {name}");
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_force = |cached: &Cached| cached.kept.iter().all(|kept| kept.is_in_force(now));
        let cached = cached.filter(in_force);
        // The etag of the main file says nothing of its parts.
        let known = cached.as_ref().filter(|cached| !cached.has_parts).map(|cached| cached.etag.clone());
        let output = match s3.get_object().bucket(bucket).key(key).set_if_none_match(known).send().await {
            Ok(output) => output,
            Err(error) => {
                let unchanged = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 304);
                return match cached {
                    Some(cached) if unchanged => Ok(cached.hierarchy),
                    _ => Err(fault(format!("{operation}, which {} names", HIERARCHY.name), &error)),
                };
            }
        };
        let etag = output.e_tag().map(str::to_owned);
        let (yaml, unread) = match body(output).await {
            Ok(yaml) => (yaml, None),
            Err(problem) => (String::new(), Some(wrong(&operation, &problem))),
        };
        let parts = parts(&s3, (bucket, key), &yaml).await;
        let read = match unread {
            None => parse(&name, &yaml, &parts).map_err(|problem| invalid(operation, problem)),
            Some(fault) => Err(fault),
        };
        let (hierarchy, kept) = match read {
            Ok(hierarchy) => (hierarchy, Vec::new()),
            Err(fault) if self.keeps => {
                in_force_instead(&s3, (bucket, key), (&yaml, &parts), &fault.message, now)
                    .await
                    .ok_or(fault)?
            }
            Err(fault) => return Err(fault),
        };
        let has_parts = !parts.is_empty();
        let cached = etag.map(|etag| Cached { etag, hierarchy: Arc::clone(&hierarchy), kept, has_parts });
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = cached;
        Ok(hierarchy)
    }
}

fn wrong(operation: &str, problem: &str) -> Fault {
    invalid(operation, format!("{problem}; {} must name {}", HIERARCHY.name, HIERARCHY.meaning))
}

fn parse(name: &str, yaml: &str, parts: &PartTexts) -> Result<Arc<Hierarchy>, String> {
    Hierarchy::parse_with_parts(name, yaml, parts).map(Arc::new).map_err(|errors| errors.to_string())
}

/// Returns the key of a part, which is beside the main file.
fn beside(key: &str, part: &str) -> String {
    key.rsplit_once('/').map_or_else(|| part.to_owned(), |(folder, _)| format!("{folder}/{part}"))
}

/// Reads the parts of a file. What cannot be read says why in its place.
async fn parts(s3: &Client, (bucket, key): (&str, &str), yaml: &str) -> PartTexts {
    let mut parts = PartTexts::new();
    for part in part_files(yaml) {
        let text = match s3.get_object().bucket(bucket).key(beside(key, &part)).send().await {
            Ok(output) => body(output).await,
            Err(error) => {
                Err(fault(format!("read s3://{bucket}/{}", beside(key, &part)), &error).to_string())
            }
        };
        parts.insert(part, text);
    }
    parts
}

/// Finds what is in force while a file cannot be used: the last good editions of the parts that are
/// wrong, or the hierarchy without them; else the last good edition of the main file. One team's
/// file does not take the others' out of force.
async fn in_force_instead(
    s3: &Client,
    at: (&str, &str),
    (yaml, texts): (&str, &PartTexts),
    problem: &str,
    now: Timestamp,
) -> Option<(Arc<Hierarchy>, Vec<Kept>)> {
    if let Ok(in_force) = with_kept_parts(s3, at, yaml, texts, now).await {
        return Some(in_force);
    }
    let with_its_parts = async |edition: String| {
        let texts = parts(s3, at, &edition).await;
        with_kept_parts(s3, at, &edition, &texts, now).await
    };
    let ((hierarchy, mut kept), main) = editions::last_good(s3, at, problem, now, with_its_parts).await?;
    kept.insert(0, main);
    Some((hierarchy, kept))
}

/// Reads a main file with the last good edition of each part that is wrong, and without the parts
/// that have none.
async fn with_kept_parts(
    s3: &Client,
    (bucket, key): (&str, &str),
    yaml: &str,
    texts: &PartTexts,
    now: Timestamp,
) -> Result<(Arc<Hierarchy>, Vec<Kept>), String> {
    let name = format!("s3://{bucket}/{key}");
    let without_bad = |texts: &PartTexts| {
        Hierarchy::parse_without_bad_parts(&name, yaml, texts).map_err(|errors| errors.to_string())
    };
    let mut hierarchy = without_bad(texts)?;
    let (mut texts, mut kept) = (texts.clone(), Vec::new());
    for part in hierarchy.unread_parts().to_vec() {
        let is_good = async |text: String| {
            let mut with = texts.clone();
            with.insert(part.file.clone(), Ok(text.clone()));
            let hierarchy = without_bad(&with)?;
            let is_bad = hierarchy.unread_parts().iter().any(|unread| unread.file == part.file);
            if is_bad { Err(part.because.clone()) } else { Ok((text, hierarchy)) }
        };
        let at = (bucket, beside(key, &part.file));
        let good = editions::last_good(s3, (at.0, &at.1), &part.because, now, is_good).await;
        if let Some(((text, with), edition)) = good {
            texts.insert(part.file, Ok(text));
            kept.push(edition);
            hierarchy = with;
        }
    }
    Ok((Arc::new(hierarchy), kept))
}

fn file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    text(bytes)
}

async fn body(output: GetObjectOutput) -> Result<String, String> {
    let (mut body, mut bytes) = (output.body, Vec::new());
    while let Some(chunk) = body.try_next().await.map_err(|e| e.to_string())? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST {
            break;
        }
    }
    text(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    const YAML: &str = "{version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, images: [{tier: base, \
                        repository: base/os, tags: ['1'], from: scratch}]}";

    fn now() -> Timestamp {
        "2026-01-10T12:00:00Z".parse().unwrap()
    }

    /// Editions of the file, the newest first: when each was written, and whether it can be used.
    fn bucket(editions: &'static [(&'static str, bool)]) -> aws_config::SdkConfig {
        fake::raw(move |request| {
            let query = request.uri().to_string();
            let version = |n: usize, at: &str| {
                format!(
                    "<Version><Key>h.yaml</Key><VersionId>v{n}</VersionId><IsLatest>{}</IsLatest>\
                     <LastModified>{at}</LastModified></Version>",
                    n == 0
                )
            };
            if query.contains("versions") {
                let listed: String = editions.iter().enumerate().map(|(n, (at, _))| version(n, at)).collect();
                let listed = format!("<ListVersionsResult>{listed}</ListVersionsResult>");
                return http::Response::builder().body(listed).unwrap();
            }
            let asked = query.split("versionId=v").nth(1).and_then(|id| id.split('&').next());
            let n = asked.map_or(0, |id| id.parse().unwrap());
            let known = request.headers().get("if-none-match").is_some();
            let status = if known { 304 } else { 200 };
            let yaml = if editions[n].1 { YAML } else { "{version: 1, registy: x}" };
            http::Response::builder().header("etag", "\"0\"").status(status).body(yaml.to_owned()).unwrap()
        })
    }

    #[tokio::test]
    async fn the_last_good_edition_stays_in_force_with_its_age() {
        let config = bucket(&[
            ("2026-01-10T11:00:00.000Z", false),
            ("2026-01-09T12:00:00.000Z", false),
            ("2025-06-01T00:00:00.000Z", true),
        ]);
        let source = object().keeping();
        for _ in 0..2 {
            let hierarchy = source.load(|| Client::new(&config), now()).await.unwrap();
            assert_eq!(hierarchy.len(), 1);
            let [message] = &source.problems(now())[..] else { panic!("one problem") };
            for part in
                ["edition of 2025-06-01", "replaced 24 hours ago", "until 2026-01-16T12:00:00Z", "registy"]
            {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
        let later = "2026-01-16T12:00:00Z".parse().unwrap();
        let fault = source.load(|| Client::new(&config), later).await.unwrap_err();
        assert!(fault.message.contains("registy"), "never older than seven days: {fault}");
    }

    #[tokio::test]
    async fn without_a_good_edition_and_for_people_the_file_is_what_it_is() {
        let none = bucket(&[("2026-01-10T11:00:00.000Z", false), ("2026-01-09T12:00:00.000Z", false)]);
        assert!(object().keeping().load(|| Client::new(&none), now()).await.is_err());
        let one = bucket(&[("2026-01-10T11:00:00.000Z", false), ("2026-01-09T12:00:00.000Z", true)]);
        assert!(object().load(|| Client::new(&one), now()).await.is_err());
        let source = object().keeping();
        source.load(|| Client::new(&one), now()).await.unwrap();
        let good = bucket(&[("2026-01-10T11:30:00.000Z", true)]);
        let read = object().keeping();
        read.load(|| Client::new(&good), now()).await.unwrap();
        assert_eq!((source.problems(now()).len(), read.problems(now()).len()), (1, 0));
    }

    const WITH_PARTS: &str = "{version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, \
        owners: {a: , b: }, parts: {a: {file: a.yaml, repositories: ['a/*']}, b: {file: b.yaml, repositories: ['b/*']}}, \
        images: [{id: os, tier: base, repository: base/os, tags: ['1'], from: scratch}]}";

    /// A main file and two parts: which of each file's two editions, the older and the newer, are
    /// good.
    fn bucket_with_parts(good: [(&'static str, [bool; 2]); 3]) -> aws_config::SdkConfig {
        fake::raw(move |request| {
            let query = request.uri().to_string();
            let (file, editions) = good.into_iter().find(|(file, _)| query.contains(file)).unwrap();
            if query.contains("versions") {
                let versions = ["2026-01-09T12:00:00.000Z", "2026-01-08T12:00:00.000Z"].iter().enumerate();
                let listed = versions.map(|(n, at)| {
                    format!(
                        "<Version><Key>t/{file}</Key><VersionId>v{n}</VersionId>\
                         <LastModified>{at}</LastModified></Version>"
                    )
                });
                let listed =
                    format!("<ListVersionsResult>{}</ListVersionsResult>", listed.collect::<String>());
                return http::Response::builder().body(listed).unwrap();
            }
            let is_good = editions[usize::from(!query.contains("versionId=v1"))];
            let team = file.split('.').next().unwrap_or_default();
            let text = match (is_good, file) {
                (false, _) => "{version: 1, imags: []}".to_owned(),
                (true, "h.yaml") => WITH_PARTS.to_owned(),
                (true, _) => format!(
                    "{{version: 1, images: [{{tier: application, repository: {team}/x, tags: ['1'], from: os}}]}}"
                ),
            };
            http::Response::builder().header("etag", "\"0\"").body(text).unwrap()
        })
    }

    #[tokio::test]
    async fn a_team_without_a_good_edition_stops_no_other_team() {
        let ids = |hierarchy: &Hierarchy| hierarchy.images().map(|i| i.id.to_string()).collect::<Vec<_>>();
        for (good, images, problems) in [
            // A part with a good edition keeps it; one without is left out; so it is if the main
            // file is wrong.
            (
                [("h.yaml", [true, true]), ("a.yaml", [true, false]), ("b.yaml", [false, false])],
                &["os", "a/x"][..],
                &["t/a.yaml cannot be used", "the part b.yaml of b"][..],
            ),
            (
                [("h.yaml", [true, false]), ("a.yaml", [true, true]), ("b.yaml", [false, false])],
                &["os", "a/x"][..],
                &["t/h.yaml cannot be used", "the part b.yaml of b"][..],
            ),
            (
                [("h.yaml", [true, true]), ("a.yaml", [true, false]), ("b.yaml", [true, false])],
                &["os", "a/x", "b/x"][..],
                &["t/a.yaml cannot be used", "t/b.yaml cannot be used"][..],
            ),
        ] {
            let config = bucket_with_parts(good);
            let source =
                HierarchySource::new(Source::Object { bucket: "conf".into(), key: "t/h.yaml".into() });
            let source = source.keeping();
            let hierarchy = source.load(|| Client::new(&config), now()).await.unwrap();
            assert_eq!(ids(&hierarchy), images);
            let said = source.problems(now());
            assert_eq!(said.len(), problems.len(), "{said:?}");
            for (said, problem) in said.iter().zip(problems) {
                assert!(said.contains(problem), "{said}");
            }
        }
    }

    fn object() -> HierarchySource {
        HierarchySource::new(Source::Object { bucket: "conf".into(), key: "h.yaml".into() })
    }

    #[tokio::test]
    async fn an_unchanged_object_is_not_read_again() {
        let config = fake::raw(|request| {
            let known = request.headers().get("if-none-match").is_some_and(|etag| etag == "\"1\"");
            let answer =
                http::Response::builder().header("etag", "\"1\"").status(if known { 304 } else { 200 });
            answer.body(if known { String::new() } else { YAML.to_owned() }).unwrap()
        });
        let source = object();
        let first = source.load(|| Client::new(&config), now()).await.unwrap();
        let second = source.load(|| Client::new(&config), now()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let config = fake::raw(|_| http::Response::builder().status(403).body(String::new()).unwrap());
        let fault = object().load(|| Client::new(&config), now()).await.unwrap_err();
        assert!(fault.to_string().contains("s3://conf/h.yaml, which PATCHWAVE_HIERARCHY names"), "{fault}");
        let file = HierarchySource::new(Source::File("no/such/file.yaml".into()));
        let fault = file.load(|| Client::new(&config), now()).await.unwrap_err();
        assert!(
            fault.to_string().contains("no/such/file.yaml")
                && fault.to_string().contains("PATCHWAVE_HIERARCHY")
        );
    }
}
