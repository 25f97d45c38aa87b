//! Sweeps everything once a day.

use patchwave_aws::lambda::{Role, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    run(Role::INVENTORY).await
}
