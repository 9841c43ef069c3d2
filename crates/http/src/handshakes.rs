//! TLS handshakes that are not finished yet: a bounded number, of which the oldest has to go when
//! there is one too many.
//!
//! A real client is done in milliseconds. So it is those who only hold a place that lose it, and
//! nobody can keep others out with connections on which nothing is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_task::CancellationToken;
use parking_lot::Mutex;

/// The handshakes that are going on. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Handshakes {
    limit: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// A handshake, until this is dropped.
#[derive(Debug)]
pub(crate) struct Shaking {
    number: u64,
    pushed_out: CancellationToken,
    all: Handshakes,
}

impl Handshakes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Begins one; the oldest is pushed out if there are too many.
    pub(crate) fn begin(&self) -> Shaking {
        let pushed_out = CancellationToken::new();
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.by_age.insert(number, pushed_out.clone());
        if open.by_age.len() > self.limit
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            oldest.cancel();
        }
        drop(open);
        Shaking { number, pushed_out, all: self.clone() }
    }
}

impl Shaking {
    /// Resolves when this one has to go.
    pub(crate) async fn pushed_out(&self) {
        self.pushed_out.cancelled().await;
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.all.open.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_has_to_go() {
        let all = Handshakes::new(2);
        let [one, two] = [all.begin(), all.begin()];
        let three = all.begin();
        assert!(one.pushed_out.is_cancelled());
        drop(one);
        drop(two);
        let four = all.begin();
        assert!(!three.pushed_out.is_cancelled() && !four.pushed_out.is_cancelled());
        assert_eq!(all.open.lock().by_age.len(), 2);
    }
}
