//! What is wrong in the text of a policy, and where.

use std::fmt;

use serde::Serialize;

/// One error in a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyError {
    /// If the text is not JSON of a policy's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The rule's position in the text, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        match (self.rule, self.priority) {
            (Some(rule), Some(priority)) => write!(f, "rule {rule} (priority {priority}): ")?,
            (Some(rule), None) => write!(f, "rule {rule}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

/// All errors in a policy, in the order of its rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl PolicyError {
    pub(super) fn new(message: &str) -> Self {
        Self { message: message.to_owned(), ..Self::default() }
    }

    /// An error of the rule at a position of the text, counted from 0.
    pub(super) fn of(index: usize, priority: Option<u32>, message: &str) -> Self {
        Self { rule: Some(index + 1), priority, ..Self::new(message) }
    }

    pub(super) fn at(error: &serde_json::Error) -> Self {
        let (line, column, text) = (error.line(), error.column(), error.to_string());
        let place = format!(" at line {line} column {column}");
        let message = text.strip_suffix(&place).unwrap_or(&text);
        Self { line: Some(line), column: Some(column), ..Self::new(message) }
    }
}
