//! Turns the SDK's errors into faults.

use std::error::Error;

use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use patchwave_converge::{Fault, FaultKind};

/// Longest message to keep, in characters. Services echo what they received.
const LONGEST: usize = 1_000;

/// Makes a fault of a failed call. `operation` fits "failed to ...".
pub(crate) fn fault<E>(operation: impl Into<String>, error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    Fault { operation: operation.into(), kind: kind(error), message: shorten(&message(error)) }
}

/// Makes a fault of an answer, or a request, that makes no sense.
pub(crate) fn invalid(operation: impl Into<String>, message: impl AsRef<str>) -> Fault {
    Fault { operation: operation.into(), kind: FaultKind::Invalid, message: shorten(message.as_ref()) }
}

/// Makes a fault of credentials that AWS does not give.
pub(crate) fn denied(operation: impl Into<String>, error: &dyn Error) -> Fault {
    Fault { operation: operation.into(), kind: FaultKind::Denied, message: shorten(&chain(error)) }
}

/// Makes a fault of a service that does not answer.
pub(crate) fn unavailable(operation: impl Into<String>, error: &dyn Error) -> Fault {
    Fault { operation: operation.into(), kind: FaultKind::Unavailable, message: shorten(&chain(error)) }
}

fn kind<E: ProvideErrorMetadata>(error: &SdkError<E>) -> FaultKind {
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match error {
        SdkError::ConstructionFailure(_) => FaultKind::Invalid,
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => FaultKind::Unavailable,
        _ => kind_of_code(error.code().unwrap_or_default(), status),
    }
}

/// Classifies a service's error code. Codes differ from service to service, but no code means two
/// kinds.
pub(crate) fn kind_of_code(code: &str, status: u16) -> FaultKind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottlingError"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "LimitExceededException"
        | "ConcurrentPipelineExecutionsLimitExceededException"
        // CodePipeline: the pipeline is busy, "try again later".
        | "ConflictException"
        | "TransactionInProgressException"
        | "TransactionConflict"
        | "TransactionConflictException"
        // DynamoDB: another Region is writing the item.
        | "ReplicatedWriteConflictException"
        // SQS: the key of its messages.
        | "KmsThrottled"
        | "SlowDown" => FaultKind::Throttled,
        // Organizations: "an internal service error", which its model has as the caller's.
        "ServiceException" => FaultKind::Unavailable,
        "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "KmsAccessDenied"
        | "MissingAuthenticationToken" => FaultKind::Denied,
        denied if denied.starts_with("AccessDenied") => FaultKind::Denied,
        _ => match status {
            429 => FaultKind::Throttled,
            401 | 403 => FaultKind::Denied,
            400..=499 => FaultKind::Invalid,
            _ => FaultKind::Unavailable,
        },
    }
}

/// Returns the service's own message if it has one, else the whole chain of causes.
fn message<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => chain(error),
    }
}

/// Writes an error and all its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn shorten(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_the_http_status() {
        for (code, status, kind) in [
            ("ThrottlingException", 400, FaultKind::Throttled),
            ("SlowDown", 503, FaultKind::Throttled),
            ("ConflictException", 400, FaultKind::Throttled),
            ("AccessDeniedException", 400, FaultKind::Denied),
            ("ExpiredTokenException", 400, FaultKind::Denied),
            ("ValidationException", 400, FaultKind::Invalid),
            ("ServerException", 500, FaultKind::Unavailable),
            ("", 429, FaultKind::Throttled),
            ("", 0, FaultKind::Unavailable),
        ] {
            assert_eq!(kind_of_code(code, status), kind, "{code} {status}");
        }
    }
}
