//! EKS: where the clusters are, and what their own APIs report.

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_eks::Client;
use aws_sdk_eks::types::Cluster;
use patchwave::inventory::{ConsumerKind, Place};

use super::kubernetes::{self, Address};
use super::pace::{Meter, Pace};
use super::reading::Reading;

/// Most clusters on a page.
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html>
const PAGE: i32 = 100;

/// How this account's clusters are reached.
pub(super) struct Eks {
    pub(super) client: Client,
    pub(super) credentials: Option<SharedCredentialsProvider>,
    /// Replaces the endpoints of all clusters, in tests.
    pub(super) endpoint: Option<String>,
}

impl Eks {
    pub(super) async fn clusters(&self, pace: &Pace, reading: &mut Reading) -> Vec<Place> {
        let mut places = Vec::new();
        let mut from = None;
        loop {
            let call = self.client.list_clusters().max_results(PAGE).set_next_token(from);
            match pace.call(Meter::Eks, "list EKS clusters", || call.clone().send()).await {
                Ok(output) => {
                    let names = output.clusters().iter();
                    places.extend(names.map(|name| reading.cluster_place(ConsumerKind::Eks, name)));
                    from = output.next_token;
                }
                Err(missed) => {
                    reading.miss(missed);
                    return places;
                }
            }
            if from.is_none() {
                return places;
            }
        }
    }

    pub(super) async fn cluster(&self, pace: &Pace, reading: &mut Reading) {
        let name = reading.cluster().to_owned();
        let call = self.client.describe_cluster().name(&name);
        let operation = format!("describe the cluster {name}");
        let cluster = match pace.call(Meter::Eks, &operation, || call.clone().send()).await {
            Ok(output) => output.cluster,
            Err(missed) => return reading.miss(missed),
        };
        match cluster.as_ref().map(|cluster| self.address(reading.place(), name, cluster)) {
            Some(Ok(address)) => kubernetes::read(address, pace, reading).await,
            Some(Err(problem)) => reading.unread(problem),
            None => reading.unread(format!("cannot {operation}: the answer is empty")),
        }
        if cluster.is_some_and(|cluster| is_private(&cluster)) {
            reading.explain("its endpoint is private: run the function in its VPC");
        }
    }

    fn address(&self, place: &Place, name: String, cluster: &Cluster) -> Result<Address, String> {
        let status = cluster.status().map_or("unknown", |status| status.as_str());
        let endpoint = self.endpoint.as_deref().or(cluster.endpoint());
        let authority = cluster.certificate_authority().and_then(|authority| authority.data());
        let (Some(endpoint), Some(authority)) = (endpoint, authority) else {
            return Err(format!("the cluster {name} is {status} and has no endpoint"));
        };
        Ok(Address {
            region: place.region.clone(),
            cluster: name,
            endpoint: endpoint.to_owned(),
            authority: authority.to_owned(),
            credentials: self.credentials.clone().ok_or("there are no credentials")?,
        })
    }
}

fn is_private(cluster: &Cluster) -> bool {
    cluster.resources_vpc_config().is_some_and(|vpc| !vpc.endpoint_public_access())
}
