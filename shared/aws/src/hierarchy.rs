//! Where the hierarchy comes from: a file or an object in S3. Every invocation reads it, so that a
//! change needs no deployment.

mod editions;

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use patchwave::hierarchy::{Hierarchy, PartTexts, part_files};
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
    /// Which edition the hierarchy is, if it is not the file as it is now.
    kept: Option<Kept>,
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

    /// Returns which edition was loaded last, if it was not the file as it is now.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.kept.clone()
    }

    /// Reads the hierarchy as it is `now`. `s3` makes the client, if one is needed.
    pub(crate) async fn load(
        &self,
        s3: impl FnOnce() -> Client,
        now: Timestamp,
    ) -> Result<Arc<Hierarchy>, Fault> {
        match &self.source {
            Source::Text { name, yaml } => parse(name, yaml, &PartTexts::new())
                .map_err(|problem| invalid(format!("read the hierarchy {name}"), problem)),
            Source::File(path) => {
                let operation = format!("read the hierarchy {}", path.display());
                let yaml = file(path).map_err(|problem| wrong(&operation, &problem))?;
                let folder = path.parent().unwrap_or(Path::new(""));
                let part = |part: String| {
                    let text = file(&folder.join(&part));
                    (part, text)
                };
                let parts = part_files(&yaml).into_iter().map(part).collect();
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
        let in_force = |cached: &Cached| cached.kept.as_ref().is_none_or(|kept| kept.is_in_force(now));
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
            Ok(hierarchy) => (hierarchy, None),
            Err(fault) if self.keeps => {
                let good = kept(&s3, (bucket, key), (&yaml, &parts), &fault.message, now).await;
                good.map(|(hierarchy, kept)| (hierarchy, Some(kept))).ok_or(fault)?
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

/// Reads the last good edition of the part that is wrong, or else of the main file. A team's file
/// does not take the others' out of force.
async fn kept(
    s3: &Client,
    (bucket, key): (&str, &str),
    (yaml, texts): (&str, &PartTexts),
    problem: &str,
    now: Timestamp,
) -> Option<(Arc<Hierarchy>, Kept)> {
    let name = format!("s3://{bucket}/{key}");
    for part in texts.keys().filter(|part| problem.contains(part.as_str())) {
        let with = |text: String| {
            let mut parts = texts.clone();
            parts.insert(part.clone(), Ok(text));
            parse(&name, yaml, &parts)
        };
        let good = editions::last_good(s3, (bucket, &beside(key, part)), problem, now, with).await;
        if good.is_some() {
            return good;
        }
    }
    editions::last_good(s3, (bucket, key), problem, now, |text| parse(&name, &text, texts)).await
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
            let message = source.kept().unwrap().message(now());
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
        assert_eq!((source.kept().is_some(), read.kept()), (true, None));
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
