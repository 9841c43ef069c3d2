//! Places for what has only begun, such as handshakes: a bounded number, of which the oldest has to
//! go when there is one too many.
//!
//! Who is in earnest is done in milliseconds. So it is those who only hold a place that lose it,
//! and nobody can keep others out with connections on which nothing is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::CancellationToken;

/// All places. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    pushed_out: CancellationToken,
    all: Places,
}

impl Places {
    /// So many places.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// Takes one; the oldest is pushed out if there are too many.
    #[must_use]
    pub fn take(&self) -> Place {
        let pushed_out = CancellationToken::new();
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.by_age.insert(number, pushed_out.clone());
        if taken.by_age.len() > self.limit
            && let Some((_, oldest)) = taken.by_age.pop_first()
        {
            oldest.cancel();
        }
        drop(taken);
        Place { number, pushed_out, all: self.clone() }
    }
}

impl Place {
    /// Resolves when this one has to go.
    pub async fn pushed_out(&self) {
        self.pushed_out.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.taken.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_has_to_go() {
        let all = Places::new(2);
        let [one, two] = [all.take(), all.take()];
        let three = all.take();
        assert!(one.pushed_out.is_cancelled());
        drop(one);
        drop(two);
        let four = all.take();
        assert!(!three.pushed_out.is_cancelled() && !four.pushed_out.is_cancelled());
        assert_eq!(all.taken.lock().by_age.len(), 2);
    }
}
