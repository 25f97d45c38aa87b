//! How the registry scans.

use aws_sdk_ecr::types::{RegistryScanningRule, ScanFrequency, ScanType};
use patchwave::inventory::{Frequency, Scanner, Scanning, ScanningRule};
use patchwave_converge::Fault;

use super::Ecr;
use crate::fault::{fault, invalid};

impl Ecr {
    /// Reads the scanning configuration.
    pub(crate) async fn scanning(&self) -> Result<Scanning, Fault> {
        let operation = "read the registry's scanning configuration";
        let output = self.client.get_registry_scanning_configuration().send().await;
        let output = output.map_err(|error| fault(operation, &error))?;
        let configuration = output.scanning_configuration();
        let configuration = configuration.ok_or_else(|| invalid(operation, "the answer is empty"))?;
        let scanner = match configuration.scan_type() {
            Some(ScanType::Enhanced) => Scanner::Enhanced,
            Some(ScanType::Basic) => Scanner::Basic,
            other => return Err(invalid(operation, format!("the scanner is {other:?}"))),
        };
        Ok(Scanning { scanner, rules: configuration.rules().iter().map(rule).collect() })
    }
}

fn rule(rule: &RegistryScanningRule) -> ScanningRule {
    ScanningRule {
        frequency: match rule.scan_frequency() {
            ScanFrequency::ContinuousScan => Frequency::Continuous,
            ScanFrequency::ScanOnPush => Frequency::OnPush,
            _ => Frequency::Manual,
        },
        filters: rule.repository_filters().iter().map(|filter| filter.filter().to_owned()).collect(),
    }
}
