//! Promotions within one registry, which may mount blobs.

use super::wire::{self, HOME, LIVE, Shared};
use super::{Amount, Fault, begin, care_on, check, kill_and_go_on, promote_by};
use crate::fake;

const ONE: &str = "{ version: 1, registries: {\
    home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, keepTags: true, copies: [\
        { from: 'apps/*', to: 'live/*', environment: production }] } },\
    images: [{ id: web, tier: application, repository: apps/web, tagPattern: 'main-*', from: scratch }] }";
/// The blobs of the version and its signatures: what both platforms share is one.
const BLOBS: usize = 9;

/// Both repositories are in one registry. It mounts so many blobs, and then answers a status.
fn one_registry(mounts: usize, then: u16) -> Shared {
    let state = begin();
    {
        let mut state = state.lock().unwrap();
        let live = state.repositories.remove(&(LIVE.to_owned(), "live/web".to_owned())).unwrap();
        state.repositories.insert((HOME.to_owned(), "live/web".to_owned()), live);
        state.mounts = (mounts, then);
    }
    state
}

async fn promote(state: &Shared) -> Result<Option<Amount>, Fault> {
    promote_by(care_on(ONE, wire::connect(state))).await
}

fn count(state: &Shared, operation: &str) -> usize {
    state.lock().unwrap().transcript.iter().filter(|call| call["operation"] == operation).count()
}

#[tokio::test]
async fn a_registry_that_mounts_is_sent_no_byte_of_a_blob() {
    let state = one_registry(BLOBS, 202);
    let amount = promote(&state).await.unwrap().unwrap();
    assert_eq!(amount, Amount { manifests: 5, blobs: 0, bytes: 0, mounted: 9 });
    assert!(check(&state, &"mounted"));
    for unneeded in ["InitiateLayerUpload", "UploadLayerPart", "GetDownloadUrlForLayer"] {
        assert_eq!(count(&state, unneeded), 0, "{unneeded}");
    }
    assert_eq!(count(&state, "GetAuthorizationToken"), 1);
    let asked = state.lock().unwrap().asked.clone();
    assert_eq!(asked.len(), BLOBS, "a blob that is there already is not asked for again");
    fake::is_on_file("mount", &state.lock().unwrap().transcript);
}

#[tokio::test]
async fn what_the_registry_does_not_mount_is_copied_and_it_is_asked_no_more() {
    // An upload begun instead, a refusal, a repository that it does not know, a limit, an outage.
    for (mounts, then) in [(0, 202), (3, 202), (0, 401), (0, 403), (0, 404), (0, 405), (2, 429), (1, 503)] {
        let state = one_registry(mounts, then);
        let amount = promote(&state).await.unwrap().unwrap();
        let counted = (amount.mounted, amount.blobs + amount.mounted, amount.manifests);
        assert_eq!(counted, (mounts as u64, BLOBS as u64, 5), "{then}");
        assert!(check(&state, &then));
        assert_eq!(state.lock().unwrap().asked.len(), mounts + 1, "{then}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_log_in_copies() {
    let state = one_registry(BLOBS, 202);
    state.lock().unwrap().refused = Some("GetAuthorizationToken");
    let amount = promote(&state).await.unwrap().unwrap();
    assert_eq!((amount.mounted, amount.blobs), (0, BLOBS as u64));
    assert!(check(&state, &"refused"));
    assert_eq!(count(&state, "GetAuthorizationToken"), 1);
    assert!(state.lock().unwrap().asked.is_empty());
}

#[tokio::test]
async fn another_registry_is_never_asked_to_mount() {
    let state = begin();
    state.lock().unwrap().mounts = (BLOBS, 202);
    let amount = super::promote(&state).await.unwrap().unwrap();
    assert_eq!((amount.mounted, amount.blobs), (0, BLOBS as u64));
    assert_eq!(count(&state, "GetAuthorizationToken"), 0);
    assert!(state.lock().unwrap().asked.is_empty(), "no token goes to it");
}

#[tokio::test]
async fn a_copy_by_mounts_that_is_killed_between_any_two_calls_goes_on() {
    let whole = one_registry(4, 202);
    promote(&whole).await.unwrap();
    let calls = whole.lock().unwrap().calls;
    // Of each kind of call, some: the test of a plain copy ends at every one.
    kill_and_go_on((0..calls).step_by(3), || one_registry(4, 202), promote).await;
}
