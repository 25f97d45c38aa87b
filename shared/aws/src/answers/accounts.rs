//! What runs images, in the accounts that are surveyed.

use super::check;
use crate::survey::tests::answers;

#[tokio::test]
async fn answers_of_the_surveyed_services() {
    check("answers_of_the_surveyed_services", async |row| {
        answers::meaning(row.service, row.operation, row.answer, row.status.unwrap_or(400)).await
    })
    .await;
}
