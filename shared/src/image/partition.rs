//! The partitions of AWS: how their ARNs begin, and under which domains their services answer.

/// A partition of AWS. Nothing is shared between two of them.
///
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>;
/// the domains are those of the SDK's own table of endpoints.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// The second part of its ARNs.
    pub name: &'static str,
    /// How the names of its Regions begin. The commercial partition has all others.
    regions: &'static str,
    /// The domain of its services.
    pub domain: &'static str,
    /// The domain of hosts that answer over IPv6 too; nothing where AWS documents none.
    pub dual_stack: Option<&'static str>,
}

/// All partitions. The commercial one comes last, because its Regions begin with anything.
const PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws-cn",
        regions: "cn-",
        domain: "amazonaws.com.cn",
        dual_stack: Some("on.amazonwebservices.com.cn"),
    },
    Partition { name: "aws-us-gov", regions: "us-gov-", domain: "amazonaws.com", dual_stack: Some("on.aws") },
    Partition {
        name: "aws-eusc",
        regions: "eusc-",
        domain: "amazonaws.eu",
        dual_stack: Some("on.amazonwebservices.eu"),
    },
    Partition { name: "aws-iso", regions: "us-iso-", domain: "c2s.ic.gov", dual_stack: None },
    Partition { name: "aws-iso-b", regions: "us-isob-", domain: "sc2s.sgov.gov", dual_stack: None },
    Partition { name: "aws-iso-e", regions: "eu-isoe-", domain: "cloud.adc-e.uk", dual_stack: None },
    Partition { name: "aws-iso-f", regions: "us-isof-", domain: "csp.hci.ic.gov", dual_stack: None },
    Partition { name: "aws", regions: "", domain: "amazonaws.com", dual_stack: Some("on.aws") },
];

impl Partition {
    /// Returns the partition of a Region.
    pub fn of(region: &str) -> &'static Self {
        let [others @ .., commercial] = &PARTITIONS;
        others.iter().find(|partition| region.starts_with(partition.regions)).unwrap_or(commercial)
    }
}
