//! Acts on pushes, build results and ticks.

use patchwave_aws::lambda::{Role, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    run(Role::REBUILD_FANOUT).await
}
