//! Lists that AWS gives in pages.

use std::error::Error;

use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::future::pagination_stream::PaginationStream;
use patchwave_converge::Fault;

use crate::fault::{fault, invalid};

/// Most pages of a list. No list of an account within AWS's quotas has as many. More pages mean
/// that a token leads back to where it came from.
const MOST: usize = 500;

/// Reads all pages of a list, and what `of` takes from each. `operation` fits "failed to ...".
///
/// # Errors
///
/// If a page cannot be read, or if the list does not end. A part of a list is no list.
pub(crate) async fn all<P, E, T, I>(
    operation: impl Into<String>,
    pages: PaginationStream<Result<P, SdkError<E>>>,
    of: impl FnMut(P) -> I,
) -> Result<Vec<T>, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
    I: IntoIterator<Item = T>,
{
    at_most(MOST, operation, pages, of).await
}

/// The same, of a list that has so many pages at most.
pub(crate) async fn at_most<P, E, T, I>(
    most: usize,
    operation: impl Into<String>,
    mut pages: PaginationStream<Result<P, SdkError<E>>>,
    mut of: impl FnMut(P) -> I,
) -> Result<Vec<T>, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
    I: IntoIterator<Item = T>,
{
    let mut found = Vec::new();
    for _ in 0..most {
        match pages.next().await {
            None => return Ok(found),
            Some(Ok(page)) => found.extend(of(page)),
            Some(Err(error)) => return Err(fault(operation, &error)),
        }
    }
    Err(invalid(operation, format!("the list does not end after {most} pages")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake;

    #[tokio::test]
    async fn a_list_that_does_not_end_is_no_list() {
        let roots = |is_endless: bool| {
            // The SDK's own paginator ends if a token comes twice.
            let (config, asked) = fake::config(1, move |_, input| {
                let number = input["NextToken"].as_str().map_or(0, str::len);
                let next = is_endless.then(|| "n".repeat(number + 1));
                (200, json!({ "Roots": [{ "Id": "r-1" }], "NextToken": next }))
            });
            (aws_sdk_organizations::Client::new(&config), asked)
        };
        let list = |client: &aws_sdk_organizations::Client| client.list_roots().into_paginator().send();
        let of = |page: aws_sdk_organizations::operation::list_roots::ListRootsOutput| {
            page.roots.unwrap_or_default()
        };
        let (one, _) = roots(false);
        assert_eq!(all("list the roots", list(&one), of).await.unwrap().len(), 1);
        let (endless, asked) = roots(true);
        let fault = all("list the roots", list(&endless), of).await.unwrap_err();
        assert!(fault.to_string().contains("the list does not end after 500 pages"), "{fault}");
        assert_eq!(fake::count(&asked, "ListRoots"), MOST);
    }
}
