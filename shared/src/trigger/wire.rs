//! The events as AWS writes them, with only the fields that Patchwave needs.
//!
//! Every field is optional here. Absent, `null` and the empty text are the same, because AWS uses
//! all three: an untagged push says `"image-tag": ""`. Code that needs a field takes it with
//! [`required`].

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;

use super::{AccountRegion, InvalidEvent};
use crate::image::{Digest, InvalidWord, Repository, Tag};

/// The fields that show the kind of an event.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Head {
    #[serde(default, deserialize_with = "optional")]
    pub(super) detail_type: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    pub(super) source: Option<String>,
}

/// An event with its detail.
#[derive(Deserialize)]
#[serde(bound = "D: Default + DeserializeOwned")]
pub(super) struct Wire<D> {
    #[serde(default, deserialize_with = "optional")]
    account: Option<Account>,
    #[serde(default, deserialize_with = "optional")]
    region: Option<Region>,
    #[serde(default, deserialize_with = "list")]
    pub(super) resources: Vec<Resource>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) detail: D,
}

/// The detail of all events about an image.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct ImageDetail {
    #[serde(deserialize_with = "optional")]
    pub(super) action_type: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(super) result: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(super) sync_status: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(super) failure_code: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(super) failure_reason: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(super) repository_name: Option<RepositoryName>,
    #[serde(deserialize_with = "optional")]
    image_digest: Option<Digest>,
    #[serde(deserialize_with = "optional")]
    image_tag: Option<Tag>,
    #[serde(deserialize_with = "list")]
    image_tags: Vec<Tag>,
}

/// The detail of a pipeline's execution.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct ExecutionDetail {
    #[serde(deserialize_with = "optional")]
    pub(super) pipeline: Option<PipelineName>,
    #[serde(deserialize_with = "optional")]
    pub(super) execution_id: Option<ExecutionId>,
    #[serde(deserialize_with = "optional")]
    pub(super) state: Option<StateWord>,
}

/// What an event says about the image it is about.
pub(super) struct NamedImage {
    pub(super) at: AccountRegion,
    pub(super) repository: Repository,
    pub(super) digest: Option<Digest>,
    pub(super) tags: Vec<Tag>,
}

impl<D> Wire<D> {
    /// Returns the account and region that the event comes from.
    pub(super) fn place(&self) -> Result<AccountRegion, InvalidEvent> {
        Ok(AccountRegion {
            account: required(self.account.clone(), "account")?.into(),
            region: required(self.region.clone(), "region")?.into(),
        })
    }
}

impl Wire<ImageDetail> {
    /// Returns the image. If its name is an ARN, the account and region are those of the ARN, else
    /// those of the event.
    pub(super) fn image(self) -> Result<NamedImage, InvalidEvent> {
        let sent_from = self.place();
        let ImageDetail { repository_name, image_digest, image_tag, mut image_tags, .. } = self.detail;
        let RepositoryName { at, repository, digest } = required(repository_name, "detail.repository-name")?;
        image_tags.extend(image_tag);
        Ok(NamedImage {
            at: at.map_or(sent_from, Ok)?,
            repository,
            digest: image_digest.or(digest),
            tags: image_tags,
        })
    }
}

/// A repository, by name or by ARN; `Inspector2 Scan` puts the ARN where ECR puts the name.
pub(super) struct RepositoryName {
    at: Option<AccountRegion>,
    repository: Repository,
    digest: Option<Digest>,
}

impl FromStr for RepositoryName {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        if text.starts_with("arn:") {
            return ecr_arn(text);
        }
        Ok(Self { at: None, repository: text.parse()?, digest: None })
    }
}

/// One of an event's resources: a repository or an image in ECR; `None` for anything else.
pub(super) struct Resource(pub(super) Option<RepositoryName>);

impl FromStr for Resource {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let in_ecr = text.starts_with("arn:") && text.split(':').nth(2) == Some("ecr");
        Ok(Self(in_ecr.then(|| ecr_arn(text)).transpose()?))
    }
}

/// Reads `arn:<partition>:ecr:<region>:<account>:repository/<name>`, with or without `/<digest>`.
fn ecr_arn(text: &str) -> Result<RepositoryName, InvalidWord> {
    let invalid = || InvalidWord::new(text, "the ARN of a repository or an image in ECR");
    let mut parts = text.splitn(6, ':');
    let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or_else(invalid);
    let ("arn", _partition, "ecr", region, account) = (part()?, part()?, part()?, part()?, part()?) else {
        return Err(invalid());
    };
    let name = part()?.strip_prefix("repository/").ok_or_else(invalid)?;
    // A repository's name has no colon, so a colon shows that this is an image.
    let (name, digest) = match name.rsplit_once('/') {
        Some((name, digest)) if digest.contains(':') => (name, Some(digest.parse()?)),
        _ => (name, None),
    };
    let place = AccountRegion {
        account: account.parse::<Account>()?.into(),
        region: region.parse::<Region>()?.into(),
    };
    Ok(RepositoryName { at: Some(place), repository: name.parse()?, digest })
}

/// Declares a type of text: its length is one of `$lengths`, and each of its bytes satisfies
/// `$valid`.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $lengths:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(super) struct $name(String);

        impl FromStr for $name {
            type Err = InvalidWord;

            fn from_str(text: &str) -> Result<Self, InvalidWord> {
                let valid: fn(u8) -> bool = $valid;
                if $lengths.contains(&text.len()) && text.bytes().all(valid) {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidWord::new(text, $expected))
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }
    };
}

bounded!(Account, "an account (12 digits)", (12..=12), |b| b.is_ascii_digit());
bounded!(Region, "a region (lower-case words joined by -, at most 32 characters)", (1..=32), |b| {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
});
bounded!(
    /// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineDeclaration.html>
    PipelineName,
    "a pipeline name (letters, digits, . @ _ -, at most 100 characters)",
    (1..=100),
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'@' | b'_' | b'-')
);
bounded!(ExecutionId, "an execution id (letters, digits, -, at most 100 characters)", (1..=100), |b| {
    b.is_ascii_alphanumeric() || b == b'-'
});
bounded!(StateWord, "a state (letters and _, at most 50 characters)", (1..=50), |b| {
    b.is_ascii_alphabetic() || b == b'_'
});

/// Reads an event. Its detail, if it has one, must be an object, because serde would read an
/// array's elements as the fields.
pub(super) fn read<D: Default + DeserializeOwned>(event: &Value) -> Result<Wire<D>, InvalidEvent> {
    if event.get("detail").is_some_and(|detail| !detail.is_object() && !detail.is_null()) {
        return Err(InvalidEvent::new("detail", "not a JSON object"));
    }
    checked(event)
}

/// Reads the fields of an event that a type has. The error names the field that does not fit.
pub(super) fn checked<T: DeserializeOwned>(event: &Value) -> Result<T, InvalidEvent> {
    serde_path_to_error::deserialize(event)
        .map_err(|error| InvalidEvent::new(error.path().to_string(), error.inner().to_string()))
}

/// Takes a field that the event cannot do without.
pub(super) fn required<T>(field: Option<T>, path: &str) -> Result<T, InvalidEvent> {
    field.ok_or_else(|| InvalidEvent::new(path, "missing or empty"))
}

/// Reads a word. `null` and the empty text are `None`.
fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// Reads a list of words. `null` is the empty list, and empty elements are left out.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: FromStr<Err: Display>")]
    struct Element<T>(#[serde(deserialize_with = "optional")] Option<T>);

    let elements = Option::<Vec<Element<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(elements.into_iter().filter_map(|element| element.0).collect())
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
