//! Messages on their way to everybody: each goes out a few times, the least sent first.
//!
//! How often is enough depends on the number of nodes: `multiplier · ⌈log₁₀(n + 1)⌉`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Sent least first; then long ones, which are harder to fit; then new ones.
type Rank = (u32, Reverse<usize>, Reverse<u64>);

#[derive(Clone, Debug)]
struct Item {
    /// What it is about: a newer message about the same replaces it.
    subject: Option<Arc<str>>,
    message: Arc<[u8]>,
}

/// Messages that wait to be sent along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broadcasts {
    queue: BTreeMap<Rank, Item>,
    subjects: HashMap<Arc<str>, Rank>,
    next: u64,
}

impl Broadcasts {
    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a message about `subject` waits.
    pub(crate) fn has(&self, subject: &str) -> bool {
        self.subjects.contains_key(subject)
    }

    /// Adds a message; one about the same subject is replaced. Beyond `most`, the message that was
    /// sent most is dropped.
    pub(crate) fn push(&mut self, subject: Option<Arc<str>>, message: Vec<u8>, most: usize) {
        if let Some(old) = subject.as_ref().and_then(|subject| self.subjects.remove(subject)) {
            self.queue.remove(&old);
        }
        self.next += 1;
        let rank = (0, Reverse(message.len()), Reverse(self.next));
        self.insert(rank, Item { subject, message: message.into() });
        while self.queue.len() > most {
            let Some((_, dropped)) = self.queue.pop_last() else { break };
            if let Some(subject) = dropped.subject {
                self.subjects.remove(&subject);
            }
        }
    }

    fn insert(&mut self, rank: Rank, item: Item) {
        if let Some(subject) = &item.subject {
            self.subjects.insert(Arc::clone(subject), rank);
        }
        self.queue.insert(rank, item);
    }

    /// The messages for a packet with `room` bytes left, each of which costs `overhead` more. One
    /// that has been sent `times` times is done.
    pub(crate) fn take(
        &mut self,
        mut room: usize,
        overhead: usize,
        times: u32,
        most: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> usize {
        let mut taken = Vec::new();
        for (rank, item) in &self.queue {
            if taken.len() == most || room <= overhead {
                break;
            }
            let size = item.message.len() + overhead;
            if size <= room {
                room -= size;
                taken.push(*rank);
            }
        }
        for rank in taken {
            let Some(item) = self.queue.remove(&rank) else { continue };
            out.push(item.message.to_vec());
            let sent = rank.0 + 1;
            if sent < times {
                self.insert((sent, rank.1, rank.2), item);
            } else if let Some(subject) = item.subject {
                self.subjects.remove(&subject);
            }
        }
        room
    }
}

/// How often each message is sent among `nodes` nodes.
pub(crate) fn transmits(multiplier: u32, nodes: usize) -> u32 {
    let scale = ((nodes + 1) as f64).log10().ceil();
    multiplier.saturating_mul(scale as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &mut Broadcasts, room: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        queue.take(room, 2, 2, 100, &mut out);
        out
    }

    #[test]
    fn each_goes_out_its_number_of_times_the_least_sent_first() {
        let mut queue = Broadcasts::default();
        queue.push(None, vec![1; 10], 100);
        assert_eq!(take(&mut queue, 12), [[1; 10]]);
        queue.push(None, vec![2; 10], 100);
        assert_eq!(take(&mut queue, 12), [[2; 10]]);
        assert_eq!(take(&mut queue, 100).len(), 2);
        assert!(queue.is_empty());
    }

    #[test]
    fn news_replaces_what_was_said_before() {
        let mut queue = Broadcasts::default();
        queue.push(Some("a".into()), vec![1; 3], 100);
        queue.push(Some("a".into()), vec![2; 3], 100);
        assert_eq!(take(&mut queue, 100), [[2; 3]]);
        assert!(queue.has("a"));
        assert_eq!(take(&mut queue, 100), [[2; 3]]);
        assert!(!queue.has("a") && queue.is_empty());
    }

    #[test]
    fn what_does_not_fit_waits_and_lets_smaller_ones_pass() {
        let mut queue = Broadcasts::default();
        queue.push(None, vec![1; 50], 100);
        queue.push(None, vec![2; 5], 100);
        assert_eq!(take(&mut queue, 20), [[2; 5]]);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn a_full_queue_drops_what_was_sent_most() {
        let mut queue = Broadcasts::default();
        queue.push(Some("old".into()), vec![1; 3], 2);
        take(&mut queue, 100);
        queue.push(Some("b".into()), vec![2; 3], 2);
        queue.push(Some("c".into()), vec![3; 3], 2);
        assert!(!queue.has("old") && queue.has("b") && queue.has("c"));
    }

    #[test]
    fn enough_is_a_logarithm() {
        assert_eq!(transmits(4, 1), 4);
        assert_eq!(transmits(4, 99), 8);
        assert_eq!(transmits(4, 10_000), 20);
    }
}
