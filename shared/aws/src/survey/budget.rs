//! How much of others' answers one invocation holds at once.
//!
//! Whoever may start a pod chooses how large its answer is. The function has 512 MB, so everything
//! that is read has a bound, and what does not fit is unread or left for the next invocation.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest answer that is read, in bytes. Kubernetes stores objects of at most 1.5 MB, so an
/// honest page that is halved fits. <https://etcd.io/docs/latest/dev-guide/limit/>
pub(super) const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// Answers of clusters that are held at once: 32 MiB.
const ANSWERS_AT_ONCE: usize = 4;
/// Most containers of a place. The largest clusters of EKS run about as many pods.
/// <https://docs.aws.amazon.com/eks/latest/best-practices/scalability.html>
pub(super) const MOST_OF_A_PLACE: usize = 100_000;
/// Most containers that an invocation notes; the next one continues. Each takes about half a
/// kilobyte.
const MOST_OF_ALL: usize = 150_000;
/// The longest text of another account that is kept, in bytes: a reference of an image is shorter.
const LONGEST_TEXT: usize = 1_024;

/// What an invocation may still hold.
#[derive(Debug)]
pub(super) struct Budget {
    answers: Semaphore,
    noted: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { answers: Semaphore::new(ANSWERS_AT_ONCE), noted: AtomicUsize::new(0) }
    }
}

impl Budget {
    /// Waits until there is room for one more answer.
    pub(super) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.answers.acquire().await.ok()
    }

    /// Takes room for one more container, and returns whether there was any.
    pub(super) fn note(&self) -> bool {
        self.noted.fetch_add(1, Ordering::Relaxed) < MOST_OF_ALL
    }

    /// Returns whether the next containers must wait for the next invocation.
    pub(super) fn is_spent(&self) -> bool {
        self.noted.load(Ordering::Relaxed) >= MOST_OF_ALL
    }
}

/// Cuts a text that is too long. What is left names no image any more.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_names_no_image() {
        let cut = bounded(format!("r/{}@sha256:{}", "ä".repeat(1_000), "0".repeat(64)));
        assert!(cut.len() <= LONGEST_TEXT + '…'.len_utf8() && cut.ends_with('…'));
        assert!(cut.parse::<patchwave::image::Reference>().is_err());
        assert_eq!(bounded("r/app:1".to_owned()), "r/app:1");
    }

    #[test]
    fn an_invocation_notes_so_many_containers_and_no_more() {
        let budget = Budget::default();
        assert_eq!((0..=MOST_OF_ALL).filter(|_| budget.note()).count(), MOST_OF_ALL);
        assert!(budget.is_spent());
    }
}
