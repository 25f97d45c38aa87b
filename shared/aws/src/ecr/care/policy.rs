//! Lifecycle policies: what is stored, what ECR's own preview says, and writing one.

use std::collections::BTreeMap;

use aws_sdk_ecr::operation::delete_lifecycle_policy::DeleteLifecyclePolicyError;
use aws_sdk_ecr::operation::get_lifecycle_policy::GetLifecyclePolicyError;
use aws_sdk_ecr::operation::get_lifecycle_policy_preview::{
    GetLifecyclePolicyPreviewError, GetLifecyclePolicyPreviewOutput,
};
use aws_sdk_ecr::operation::start_lifecycle_policy_preview::StartLifecyclePolicyPreviewError;
use aws_sdk_ecr::types::{
    ImageActionType, LifecyclePolicyPreviewResult, LifecyclePolicyPreviewStatus as Status,
};
use patchwave::image::{Digest, Repository};
use patchwave::lifecycle::{Action, Going, is_same};
use patchwave_converge::{Fault, FaultKind};

use super::super::Ecr;
use super::super::read::MOST_PAGES;
use super::Patience;
use crate::fault::{fault, invalid};

/// Most results of a page of a preview.
const PAGE: i32 = 100;

impl Ecr {
    /// Reads the text of a repository's policy; nothing if it has none.
    pub(crate) async fn stored_policy(&self, repository: &Repository) -> Result<Option<String>, Fault> {
        let operation = || format!("read the lifecycle policy of {repository}");
        let call = self.client.get_lifecycle_policy().registry_id(&self.account);
        match call.repository_name(repository.name()).send().await {
            Ok(output) => {
                let text = output.lifecycle_policy_text().map(str::to_owned);
                text.map(Some).ok_or_else(|| invalid(operation(), "the answer is empty"))
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetLifecyclePolicyError::is_lifecycle_policy_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault(operation(), &error)),
        }
    }

    /// Lets ECR preview a text, and returns the images that it would act on.
    pub(crate) async fn preview(
        &self,
        repository: &Repository,
        text: &str,
        patience: Patience,
    ) -> Result<BTreeMap<Digest, Going>, Fault> {
        let operation = || format!("preview the lifecycle policy of {repository}");
        self.start_preview(repository, text, patience).await?;
        let mut going = BTreeMap::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let page = self.finished_page(repository, token.take(), patience).await?;
            // A repository has one preview, which another person may have started again.
            if !is_same(page.lifecycle_policy_text(), Some(text)) {
                return Err(invalid(
                    operation(),
                    "another policy of the repository was previewed meanwhile; try again",
                ));
            }
            for result in page.preview_results() {
                let (digest, what) = read(result).map_err(|problem| invalid(operation(), problem))?;
                going.insert(digest, what);
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(going);
            }
        }
        Err(invalid(operation(), format!("the preview does not end after {MOST_PAGES} pages")))
    }

    async fn start_preview(
        &self,
        repository: &Repository,
        text: &str,
        patience: Patience,
    ) -> Result<(), Fault> {
        let operation = || format!("start a preview of the lifecycle policy of {repository}");
        for _ in 0..patience.times {
            let call = self.client.start_lifecycle_policy_preview().registry_id(&self.account);
            let started = call.repository_name(repository.name()).lifecycle_policy_text(text).send().await;
            let Err(error) = started else { return Ok(()) };
            let in_progress =
                StartLifecyclePolicyPreviewError::is_lifecycle_policy_preview_in_progress_exception;
            if !error.as_service_error().is_some_and(in_progress) {
                return Err(fault(operation(), &error));
            }
            tokio::time::sleep(patience.pause).await;
        }
        let message = "another preview of the repository does not end";
        Err(Fault { kind: FaultKind::Throttled, ..invalid(operation(), message) })
    }

    /// Reads a page of a preview, once it is finished.
    async fn finished_page(
        &self,
        repository: &Repository,
        token: Option<String>,
        patience: Patience,
    ) -> Result<GetLifecyclePolicyPreviewOutput, Fault> {
        let operation = || format!("read the preview of the lifecycle policy of {repository}");
        for _ in 0..patience.times {
            let call = self.client.get_lifecycle_policy_preview().registry_id(&self.account);
            let call =
                call.repository_name(repository.name()).set_next_token(token.clone()).max_results(PAGE);
            match call.send().await {
                Ok(page) => match page.status() {
                    Some(Status::Complete) => return Ok(page),
                    Some(Status::InProgress) => {}
                    other => return Err(invalid(operation(), format!("its status is {other:?}; try again"))),
                },
                Err(error)
                    if error.as_service_error().is_some_and(
                        GetLifecyclePolicyPreviewError::is_lifecycle_policy_preview_not_found_exception,
                    ) => {}
                Err(error) => return Err(fault(operation(), &error)),
            }
            tokio::time::sleep(patience.pause).await;
        }
        let message = "ECR does not finish it";
        Err(Fault { kind: FaultKind::Unavailable, ..invalid(operation(), message) })
    }

    /// Writes a repository's policy.
    pub(crate) async fn put_policy(&self, repository: &Repository, text: &str) -> Result<(), Fault> {
        let call = self.client.put_lifecycle_policy().registry_id(&self.account);
        let put = call.repository_name(repository.name()).lifecycle_policy_text(text).send().await;
        put.map(drop).map_err(|error| fault(format!("write the lifecycle policy of {repository}"), &error))
    }

    /// Deletes a repository's policy.
    pub(crate) async fn delete_policy(&self, repository: &Repository) -> Result<(), Fault> {
        let call = self.client.delete_lifecycle_policy().registry_id(&self.account);
        match call.repository_name(repository.name()).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteLifecyclePolicyError::is_lifecycle_policy_not_found_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(fault(format!("delete the lifecycle policy of {repository}"), &error)),
        }
    }
}

fn read(result: &LifecyclePolicyPreviewResult) -> Result<(Digest, Going), String> {
    let digest: Digest = result
        .image_digest()
        .ok_or("imageDigest is missing")?
        .parse()
        .map_err(|error| format!("imageDigest: {error}"))?;
    let action = match result.action().and_then(|action| action.r#type()) {
        Some(ImageActionType::Expire) => Action::Expire,
        Some(ImageActionType::Transition) => Action::Transition,
        other => return Err(format!("the action for {digest} is {other:?}")),
    };
    let rule = result.applied_rule_priority().and_then(|rule| u32::try_from(rule).ok());
    let rule = rule.ok_or_else(|| format!("appliedRulePriority of {digest} is missing"))?;
    Ok((digest, Going { rule, action }))
}
