//! The ledger's contract on a table. Only a table evaluates conditions; a fake does not.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use patchwave::image::EcrRegistry;
use patchwave::table;
use patchwave_tests::ledger;
use patchwave_tests::moto::Moto;
use patchwave_tests::traffic::Traffic;

use crate::world::wired;

#[tokio::test]
async fn the_ledger_on_a_table_keeps_its_promises() {
    let moto = Moto::start().await;
    let front = moto.front("dynamodb", Arc::new(Traffic::default())).await;
    let registry: EcrRegistry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    let tables = Cell::new(0);
    ledger::check(async || {
        tables.set(tables.get() + 1);
        let name = format!("patchwave-{}", tables.get());
        let input = table::create_table(&name);
        moto.call("dynamodb", "DynamoDB_20120810.CreateTable", &input).await.unwrap();
        Rc::new(wired::world(|_| front.url(), &registry, &name))
    })
    .await;
}
