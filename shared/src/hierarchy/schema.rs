//! The file's JSON Schema, for editors and for people who generate the file.

use super::file::File;

/// Returns the JSON Schema of the hierarchy file. Only
/// [`Hierarchy::parse`](super::Hierarchy::parse) checks what a schema cannot, such as that parents
/// exist.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
