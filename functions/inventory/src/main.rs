//! Looks at everything, daily.

use patchwave_aws::lambda::{Role, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    run(Role::INVENTORY).await
}
