//! Whether ECR signed an image.

use aws_sdk_ecr::operation::get_signing_configuration::GetSigningConfigurationError;
use aws_sdk_ecr::types::{ImageIdentifier, SigningRule, SigningStatus};
use patchwave::image::{Digest, Repository, glob};
use patchwave_converge::Fault;

use super::super::Ecr;
use crate::fault::fault;

impl Ecr {
    /// Returns whether every signing profile that the registry has for a repository signed an
    /// image; nothing if it has none.
    pub(crate) async fn signed(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<bool>, Fault> {
        let operation = "read the signing configuration";
        let rules = match self.client.get_signing_configuration().send().await {
            Ok(output) => output.signing_configuration().map(|c| c.rules().to_vec()).unwrap_or_default(),
            Err(error)
                if error.as_service_error().is_some_and(
                    GetSigningConfigurationError::is_signing_configuration_not_found_exception,
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(fault(operation, &error)),
        };
        let applies = |rule: &&SigningRule| {
            let filters = rule.repository_filters();
            filters.is_empty() || filters.iter().any(|filter| glob(filter.filter(), repository.name()))
        };
        if !rules.iter().any(|rule| applies(&rule)) {
            return Ok(None);
        }
        let image = ImageIdentifier::builder().image_digest(digest.as_str()).build();
        let call = self.client.describe_image_signing_status().registry_id(&self.account);
        let output = call.repository_name(repository.name()).image_id(image).send().await;
        let output =
            output.map_err(|error| fault(format!("read who signed {repository}@{digest}"), &error))?;
        let statuses = output.signing_statuses();
        let is_signed = |status: &aws_sdk_ecr::types::ImageSigningStatus| {
            status.status() == Some(&SigningStatus::Complete)
        };
        Ok(Some(!statuses.is_empty() && statuses.iter().all(is_signed)))
    }
}
