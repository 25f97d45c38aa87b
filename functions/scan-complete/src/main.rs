//! Acts on scans and findings.

use patchwave_aws::lambda::{Role, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    run(Role::SCAN_COMPLETE).await
}
