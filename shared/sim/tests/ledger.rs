//! The ledger in memory keeps the promises of the one on DynamoDB: `patchwave_tests::ledger` lists
//! them.

use patchwave::hierarchy::Hierarchy;
use patchwave_sim::{DEMO_HIERARCHY, Simulation};
use patchwave_tests::ledger;

#[test]
fn the_ledger_in_memory_keeps_the_promises_of_the_table() {
    let empty = async || {
        let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY).unwrap();
        Simulation::new(hierarchy, 1).into_world()
    };
    pollster::block_on(ledger::check(empty));
}
