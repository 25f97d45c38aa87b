//! The SDK's time and ours.

use aws_sdk_ecr::primitives::DateTime;
use patchwave::time::Timestamp;

/// Reads the SDK's time; nothing if it lies outside the calendar.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}
