//! Where the hierarchy comes from: a file or an object in S3. Every invocation reads it, so that a
//! change needs no deployment.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use patchwave::hierarchy::Hierarchy;
use patchwave_converge::Fault;

use crate::fault::{fault, invalid};
use crate::settings::{HIERARCHY, Source};

/// Largest file to read, in bytes. Ten thousand images need two million.
const LARGEST: usize = 16 * 1024 * 1024;

/// Reads the hierarchy, and caches it until it changes.
#[derive(Debug)]
pub(crate) struct HierarchySource {
    source: Source,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    etag: String,
    hierarchy: Arc<Hierarchy>,
}

impl HierarchySource {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, cached: Mutex::new(None) }
    }

    /// Reads the hierarchy as it is now. `s3` makes the client, if one is needed.
    pub(crate) async fn load(&self, s3: impl FnOnce() -> Client) -> Result<Arc<Hierarchy>, Fault> {
        match &self.source {
            Source::Text { name, yaml } => {
                parse(name, yaml).map_err(|problem| invalid(format!("read the hierarchy {name}"), problem))
            }
            Source::File(path) => {
                let operation = format!("read the hierarchy {}", path.display());
                let yaml = file(path).map_err(|problem| wrong(&operation, &problem))?;
                parse(&path.display().to_string(), &yaml).map_err(|problem| invalid(operation, problem))
            }
            Source::Object { bucket, key } => self.object(s3(), bucket, key).await,
        }
    }

    async fn object(&self, s3: Client, bucket: &str, key: &str) -> Result<Arc<Hierarchy>, Fault> {
        let name = format!("s3://{bucket}/{key}");
        let operation = format!("read the hierarchy {name}");
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = cached.as_ref().map(|cached| cached.etag.clone());
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
        let yaml = body(output).await.map_err(|problem| wrong(&operation, &problem))?;
        let hierarchy = parse(&name, &yaml).map_err(|problem| invalid(operation, problem))?;
        let cached = etag.map(|etag| Cached { etag, hierarchy: Arc::clone(&hierarchy) });
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = cached;
        Ok(hierarchy)
    }
}

fn wrong(operation: &str, problem: &str) -> Fault {
    invalid(operation, format!("{problem}; {} must name {}", HIERARCHY.name, HIERARCHY.meaning))
}

fn parse(name: &str, yaml: &str) -> Result<Arc<Hierarchy>, String> {
    Hierarchy::parse(name, yaml).map(Arc::new).map_err(|errors| errors.to_string())
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
        let first = source.load(|| Client::new(&config)).await.unwrap();
        let second = source.load(|| Client::new(&config)).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let config = fake::raw(|_| http::Response::builder().status(403).body(String::new()).unwrap());
        let fault = object().load(|| Client::new(&config)).await.unwrap_err();
        assert!(fault.to_string().contains("s3://conf/h.yaml, which PATCHWAVE_HIERARCHY names"), "{fault}");
        let file = HierarchySource::new(Source::File("no/such/file.yaml".into()));
        let fault = file.load(|| Client::new(&config)).await.unwrap_err();
        assert!(
            fault.to_string().contains("no/such/file.yaml")
                && fault.to_string().contains("PATCHWAVE_HIERARCHY")
        );
    }
}
