//! Messages on their way to everybody: each goes out a few times, accusations and their denials
//! first, and of those the least sent.
//!
//! How often is enough depends on the number of nodes: `multiplier · ⌈log₁₀(n + 1)⌉`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Accusations and denials are sent at least this often: eight times, as is usual among fifty nodes,
/// now and then miss one of them, and who misses a denial takes a node for failed that is not.
const URGENT_TIMES: u32 = 16;

/// Those that may wait last; sent least first; then long ones, which are harder to fit; then new
/// ones.
type Rank = (bool, u32, Reverse<usize>, Reverse<u64>);

#[derive(Clone, Debug)]
struct Item {
    /// What it is about: a newer message about the same replaces it.
    subject: Option<Arc<str>>,
    message: Arc<[u8]>,
}

/// How a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// In its order, in place of what waits about the same subject.
    News,
    /// Before news, in place of what waits about the same subject.
    Urgent,
    /// Before news, beside what waits about the same subject: one more accuser.
    Beside,
}

/// What may go into a packet.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Bytes that are left.
    pub room: usize,
    /// What each message costs more.
    pub overhead: usize,
    /// A message that has been sent so often is done.
    pub times: u32,
    /// Only messages that were sent less often go in.
    pub below: u32,
    /// Most messages.
    pub most: usize,
}

/// Messages that wait to be sent along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broadcasts {
    queue: BTreeMap<Rank, Item>,
    subjects: HashMap<Arc<str>, Vec<Rank>>,
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

    /// Adds a message. Beyond `most`, the message that may wait longest is dropped.
    pub(crate) fn push(
        &mut self,
        subject: Option<Arc<str>>,
        message: Vec<u8>,
        rule: Rule,
        most: usize,
    ) {
        if rule != Rule::Beside {
            let old = subject.as_ref().and_then(|subject| self.subjects.remove(subject));
            for rank in old.into_iter().flatten() {
                self.queue.remove(&rank);
            }
        }
        self.next += 1;
        let rank = (rule == Rule::News, 0, Reverse(message.len()), Reverse(self.next));
        self.insert(rank, Item { subject, message: message.into() });
        while self.queue.len() > most {
            let Some((rank, dropped)) = self.queue.pop_last() else { break };
            self.unlink(&dropped, rank);
        }
    }

    fn insert(&mut self, rank: Rank, item: Item) {
        if let Some(subject) = &item.subject {
            self.subjects.entry(Arc::clone(subject)).or_default().push(rank);
        }
        self.queue.insert(rank, item);
    }

    fn unlink(&mut self, item: &Item, rank: Rank) {
        let Some(subject) = &item.subject else { return };
        let Some(ranks) = self.subjects.get_mut(subject) else { return };
        ranks.retain(|other| *other != rank);
        if ranks.is_empty() {
            self.subjects.remove(subject);
        }
    }

    /// The messages for a packet; gives the room that is left.
    pub(crate) fn take(&mut self, fill: Fill, out: &mut Vec<Vec<u8>>) -> usize {
        let Fill { mut room, overhead, times, below, most } = fill;
        let mut taken = Vec::new();
        for (rank, item) in &self.queue {
            if taken.len() == most || room <= overhead {
                break;
            }
            let size = item.message.len() + overhead;
            if size <= room && rank.1 < below {
                room -= size;
                taken.push(*rank);
            }
        }
        for rank in taken {
            let Some(item) = self.queue.remove(&rank) else { continue };
            out.push(item.message.to_vec());
            self.unlink(&item, rank);
            let sent = rank.1 + 1;
            let times = if rank.0 { times } else { times.max(URGENT_TIMES) };
            if sent < times {
                self.insert((rank.0, sent, rank.2, rank.3), item);
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
        let below = u32::MAX;
        queue.take(Fill { room, overhead: 2, times: 2, below, most: 100 }, &mut out);
        out
    }

    #[test]
    fn each_goes_out_its_number_of_times_the_least_sent_first() {
        let mut queue = Broadcasts::default();
        queue.push(None, vec![1; 10], Rule::News, 100);
        assert_eq!(take(&mut queue, 12), [[1; 10]]);
        queue.push(None, vec![2; 10], Rule::News, 100);
        assert_eq!(take(&mut queue, 12), [[2; 10]]);
        assert_eq!(take(&mut queue, 100).len(), 2);
        assert!(queue.is_empty());
    }

    #[test]
    fn news_replaces_what_was_said_before() {
        let mut queue = Broadcasts::default();
        queue.push(Some("a".into()), vec![1; 3], Rule::News, 100);
        queue.push(Some("a".into()), vec![2; 3], Rule::News, 100);
        assert_eq!(take(&mut queue, 100), [[2; 3]]);
        assert!(queue.has("a"));
        assert_eq!(take(&mut queue, 100), [[2; 3]]);
        assert!(!queue.has("a") && queue.is_empty());
    }

    #[test]
    fn what_does_not_fit_waits_and_lets_smaller_ones_pass() {
        let mut queue = Broadcasts::default();
        queue.push(None, vec![1; 50], Rule::News, 100);
        queue.push(None, vec![2; 5], Rule::News, 100);
        assert_eq!(take(&mut queue, 20), [[2; 5]]);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn a_full_queue_drops_what_was_sent_most() {
        let mut queue = Broadcasts::default();
        queue.push(Some("old".into()), vec![1; 3], Rule::News, 2);
        take(&mut queue, 100);
        queue.push(Some("b".into()), vec![2; 3], Rule::News, 2);
        queue.push(Some("c".into()), vec![3; 3], Rule::News, 2);
        assert!(!queue.has("old") && queue.has("b") && queue.has("c"));
    }

    #[test]
    fn accusations_go_first_and_beside_each_other_until_they_are_denied() {
        let mut queue = Broadcasts::default();
        queue.push(Some("a".into()), vec![1; 9], Rule::News, 100);
        queue.push(Some("b".into()), vec![2; 3], Rule::Urgent, 100);
        queue.push(Some("b".into()), vec![3; 3], Rule::Beside, 100);
        assert_eq!(take(&mut queue, 11), [[3; 3], [2; 3]]);
        queue.push(Some("b".into()), vec![4; 3], Rule::Urgent, 100);
        assert_eq!(queue.len(), 2);
        for _ in 0..URGENT_TIMES {
            assert!(queue.has("b"));
            assert_eq!(take(&mut queue, 5), [[4; 3]]);
        }
        assert!(!queue.has("b") && queue.has("a"));
    }

    #[test]
    fn a_round_before_its_time_is_of_what_is_new() {
        let mut queue = Broadcasts::default();
        queue.push(None, vec![1; 9], Rule::News, 100);
        let fill = Fill { room: 100, overhead: 2, times: 9, below: 1, most: 100 };
        let mut out = Vec::new();
        queue.take(fill, &mut out);
        queue.take(fill, &mut out);
        assert_eq!((out.len(), queue.len()), (1, 1));
    }

    #[test]
    fn enough_is_a_logarithm() {
        assert_eq!(transmits(4, 1), 4);
        assert_eq!(transmits(4, 99), 8);
        assert_eq!(transmits(4, 10_000), 20);
    }
}
