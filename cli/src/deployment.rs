//! The deployment that the environment names, as it names it to the functions.

use patchwave_aws::NotDone;

use crate::input::BadInput;

/// Asks AWS, and waits for the answer.
pub(crate) fn ask<T>(question: impl Future<Output = Result<T, NotDone>>) -> Result<T, BadInput> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BadInput::because(&error))?;
    runtime.block_on(question).map_err(|not_done| BadInput::because(&not_done))
}
