//! The file's JSON Schema, for editors and for people who generate the file.

use super::file::File;

/// Returns the JSON Schema of the hierarchy file. What no schema can say, such as that parents exist, only
/// [`Hierarchy::parse`](super::Hierarchy::parse) checks.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
