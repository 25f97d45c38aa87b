//! Values as the file writes them: with their place, before they are checked.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::error::{Problem, Report};

/// No text in the file needs more, and aliases could repeat a longer one until the memory is full.
const LONGEST_TEXT: usize = 2_048;

/// A text that is meant to be a `T`. A wrong one does not stop the parser, so that one pass finds
/// all of them.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) at: Location,
    value: Result<T, String>,
}

impl<T: DeserializeOwned> Written<T> {
    fn new(text: &str, at: Location) -> Self {
        let value = T::deserialize(text.into_deserializer()).map_err(|Mismatch(why)| why);
        Self { at, value }
    }

    /// Refuses what YAML took for a number or a boolean, because its text is lost: `0x1F` became
    /// 31.
    fn unquoted(text: &str, at: Location) -> Self {
        let Self { value, .. } = Self::new(text, at);
        let quotes = |_| Err("YAML reads this as a number or a boolean; write it in quotes".to_owned());
        Self { at, value: value.and_then(quotes) }
    }
}

impl<T> Written<T> {
    /// Returns the value, or reports why there is none.
    pub(super) fn read(self, report: &mut Report<'_>) -> Option<T> {
        self.value.map_err(|why| report.add(self.at, Problem::Word(why))).ok()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Spanned::<String>::deserialize(deserializer)?;
        check_length(&text.value)?;
        Ok(Self::new(&text.value, text.referenced))
    }
}

impl<T: DeserializeOwned + JsonSchema> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        // YAML reads `3.10` as a number and `true` as a boolean. The loader takes the text as it is
        // written, so an editor must not refuse it where that text can be a `T`.
        let takes = |text: &&str| Self::new(text, Location::UNKNOWN).value.is_ok();
        let number = ["22", "3.10", "111122223333"].iter().any(takes).then_some("number");
        let boolean = Some(&"true").is_some_and(takes).then_some("boolean");
        if number.or(boolean).is_some() {
            let kinds: Vec<&str> = [Some("string"), number, boolean].into_iter().flatten().collect();
            schema.insert("type".to_owned(), kinds.into());
        }
        schema
    }
}

/// A value with a short form, one text, and a long form, a mapping.
#[derive(Debug, Clone)]
pub(super) enum ShortOr<T, Long> {
    Short(Written<T>),
    Long(Long),
}

/// A long form, and how a message writes one.
pub(super) trait LongForm {
    const LIKE: &'static str = "keys and values";
    /// Whether a whole number is a name, as it is where the short form names an image.
    const TAKES_NUMBERS: bool = false;
}

impl<'de, T: DeserializeOwned, Long: Deserialize<'de> + LongForm> Deserialize<'de> for ShortOr<T, Long> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Spanned::<TextOr<Long>>::deserialize(deserializer)?;
        Ok(match form.value {
            TextOr::Text(text) => Self::Short(Written::new(&text, form.referenced)),
            TextOr::Unquoted(text) => Self::Short(Written::unquoted(&text, form.referenced)),
            TextOr::Long(long) => Self::Long(long),
        })
    }
}

impl<T: JsonSchema, Long: JsonSchema + LongForm> JsonSchema for ShortOr<T, Long> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}Or{}", T::schema_name(), Long::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // In place: a reference would name what `Written` takes, which is more.
        let mut short = T::json_schema(generator);
        if Long::TAKES_NUMBERS {
            short.insert("type".to_owned(), ["string", "integer"].as_slice().into());
        }
        let forms = [short, generator.subschema_for::<Long>()];
        schemars::json_schema!({ "anyOf": forms })
    }
}

/// Serde's own untagged enums lose the places of what is inside; this does not.
enum TextOr<Long> {
    Text(String),
    /// A number or a boolean, as YAML reads it.
    Unquoted(String),
    Long(Long),
}

impl<'de, Long: Deserialize<'de> + LongForm> Deserialize<'de> for TextOr<Long> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<Long>(PhantomData<Long>);

        impl<'de, Long: Deserialize<'de> + LongForm> Visitor<'de> for Form<Long> {
            type Value = TextOr<Long>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text, or {}", Long::LIKE)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                check_length(text)?;
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let text = number.to_string();
                Ok(if Long::TAKES_NUMBERS { TextOr::Text(text) } else { TextOr::Unquoted(text) })
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let text = number.to_string();
                Ok(if Long::TAKES_NUMBERS { TextOr::Text(text) } else { TextOr::Unquoted(text) })
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(TextOr::Unquoted(number.to_string()))
            }

            fn visit_bool<E: serde::de::Error>(self, word: bool) -> Result<Self::Value, E> {
                Ok(TextOr::Unquoted(word.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Long::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Long)
            }
        }

        deserializer.deserialize_any(Form(PhantomData))
    }
}

/// How the schema describes a count: the loader reads `20` and `"20"`.
pub(super) struct WholeNumber;

impl JsonSchema for WholeNumber {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WholeNumber".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": u32::MAX,
            "pattern": "^[0-9]+$",
        })
    }
}

fn check_length<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.len() <= LONGEST_TEXT {
        return Ok(());
    }
    Err(E::custom(format_args!("text is longer than {LONGEST_TEXT} bytes; shorten it")))
}

/// Why a text is not the value it is meant to be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mismatch(String);

impl serde::de::Error for Mismatch {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let variant: String = variant.chars().take(200).collect();
        Self::custom(format_args!("{variant:?} is not one of {}", expected.join(", ")))
    }
}

/// Reports a key that must be there and is not.
pub(super) fn required<T>(key: &str, at: Location, written: Option<T>, report: &mut Report<'_>) -> Option<T> {
    if written.is_none() {
        report.add(at, Problem::MissingKey { key: key.to_owned() });
    }
    written
}

/// Reads a limit: 0 would start nothing.
pub(super) fn at_least_one(key: &'static str, written: &Spanned<u32>, report: &mut Report<'_>) -> u32 {
    if written.value == 0 {
        report.add(written.referenced, Problem::ZeroLimit(key));
    }
    written.value
}
