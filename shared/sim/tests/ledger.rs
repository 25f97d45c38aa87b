//! The ledger in memory keeps the promises of the one on DynamoDB: `patchwave_tests::ledger` says which.

use patchwave::hierarchy::Hierarchy;
use patchwave_sim::{ORGANISATION, Simulation};
use patchwave_tests::ledger;

#[test]
fn the_ledger_in_memory_keeps_its_promises() {
    let empty = async || {
        let hierarchy = Hierarchy::parse("organisation.yaml", ORGANISATION).unwrap();
        Simulation::new(hierarchy, 1).into_world()
    };
    pollster::block_on(ledger::check(empty));
}
