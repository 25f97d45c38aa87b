//! Converts the SDK's times.

use aws_sdk_ecr::primitives::DateTime;
use patchwave::time::Timestamp;

/// Converts the SDK's time; `None` if it is outside the calendar.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}
