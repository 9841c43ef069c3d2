//! Whether a history of concurrent calls could have come from one object that does one call at a time.
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried (J. M. Wing, C. Gong,
//! "Testing and verifying concurrent objects", 1993; G. Lowe, "Testing for linearizability", 2017): calls
//! that may come first are tried one after the other, and a set of calls done that led to the same state
//! before is not tried again. A call without an answer may have taken effect at any time after it was
//! sent, or never. It knows nothing of networks and clocks: times are numbers of the caller's.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long each step of making a counterexample smaller may take.
const SHRINK_STEP: Duration = Duration::from_secs(2);
/// Between two looks at the clock.
const STEPS_PER_LOOK: u32 = 512;

/// An object that does one call at a time.
pub(crate) trait Model {
    /// What it remembers.
    type State: Clone + Eq + Hash + Debug;
    /// What it is asked.
    type Call: Clone + Debug;
    /// What it says.
    type Answer: Clone + PartialEq + Debug;
    /// Before the first call.
    fn start() -> Self::State;
    /// What a call does, and what is answered.
    fn apply(state: &Self::State, call: &Self::Call) -> (Self::State, Self::Answer);
    /// Whether a call changes nothing, whatever the state.
    fn only_looks(call: &Self::Call) -> bool;
}

/// One call of a history.
#[derive(Debug, Clone)]
pub(crate) struct Event<C, A> {
    /// When it was sent.
    pub(crate) called: u64,
    /// When the answer came and what it was; without one nobody knows whether it took effect.
    pub(crate) returned: Option<(u64, A)>,
    pub(crate) call: C,
    /// Who asked whom, for the reader of a counterexample.
    pub(crate) who: String,
}

/// A history of a model's object.
pub(crate) type History<M> = Vec<Event<<M as Model>::Call, <M as Model>::Answer>>;

/// A part of a history that is not linearizable.
#[derive(Debug)]
pub(crate) struct Counterexample<M: Model> {
    /// What the object may have been before, by all that came before; none of it explains the part.
    pub(crate) starts: Vec<M::State>,
    pub(crate) history: History<M>,
}

/// What a history is found to be.
#[derive(Debug)]
pub(crate) enum Verdict<M: Model> {
    Linearizable,
    /// It is not; the least of it that shows it.
    Violated(Counterexample<M>),
    /// The time was not enough to say.
    Undecided,
}

/// Decides in about `budget`.
pub(crate) fn check<M: Model>(history: &History<M>, budget: Duration) -> Verdict<M> {
    match search::<M>(history, &M::start(), budget) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::Violated(shrink::<M>(history)),
        None => Verdict::Undecided,
    }
}

/// A counterexample for people.
pub(crate) fn explain<M: Model>(found: &Counterexample<M>) -> String {
    let starts: Vec<_> = found.starts.iter().map(|state| format!("{state:?}")).collect();
    format!("  before: {}\n{}", starts.join(" or "), show::<M>(&found.history))
}

/// A history for people: one call a line, by the time it was sent.
pub(crate) fn show<M: Model>(history: &History<M>) -> String {
    let mut sorted: Vec<_> = history.iter().collect();
    sorted.sort_by_key(|event| event.called);
    let line = |event: &&Event<M::Call, M::Answer>| {
        let (until, answer) = match &event.returned {
            Some((at, answer)) => (seconds(*at), format!("{answer:?}")),
            None => ("?".to_owned(), "no answer".to_owned()),
        };
        let from = seconds(event.called);
        format!("  {from:>11} – {until:>11}  {:<22} {:?} → {answer}\n", event.who, event.call)
    };
    sorted.iter().map(line).collect()
}

/// Times of the harness are microseconds.
fn seconds(at: u64) -> String {
    format!("{}.{:06}", at / 1_000_000, at % 1_000_000)
}

/// The calls that have been given their place, one bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Box<[u64]>);

impl Done {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn with(&self, at: usize) -> Self {
        let mut bits = self.0.clone();
        bits[at / 64] |= 1 << (at % 64);
        Self(bits)
    }
}

/// A point of the search: what was done, what may come next, and how far that was tried.
struct Frame<S> {
    done: Done,
    state: S,
    /// The state before the last call, when nobody knows whether that call happened.
    doubtful: Option<S>,
    next: Vec<usize>,
    tried: usize,
}

/// Whether the history can have come from an object that began as `first`.
fn search<M: Model>(history: &History<M>, first: &M::State, budget: Duration) -> Option<bool> {
    walk::<M>(history, first, budget, |_, _| true)
}

/// Tries orders until `reached` is content with one in which every answered call has its place.
fn walk<M: Model>(
    history: &History<M>,
    first: &M::State,
    budget: Duration,
    mut reached: impl FnMut(&Done, &M::State) -> bool,
) -> Option<bool> {
    let start = Instant::now();
    let answered = history.iter().filter(|event| event.returned.is_some()).count();
    let mut seen: HashSet<(Done, M::State)> = HashSet::new();
    let empty = Done(vec![0; history.len().div_ceil(64)].into());
    let mut stack = vec![Frame {
        next: candidates::<M>(history, &empty),
        done: empty,
        state: first.clone(),
        doubtful: None,
        tried: 0,
    }];
    let mut left = vec![answered];
    let mut steps = 0_u32;
    while let Some(frame) = stack.last_mut() {
        if left.last() == Some(&0) && frame.tried == 0 && reached(&frame.done, &frame.state) {
            return Some(true);
        }
        let Some(&at) = frame.next.get(frame.tried) else {
            stack.pop();
            left.pop();
            continue;
        };
        frame.tried += 1;
        steps += 1;
        if steps.is_multiple_of(STEPS_PER_LOOK) && start.elapsed() > budget {
            return None;
        }
        let event = &history[at];
        let (state, answer) = M::apply(&frame.state, &event.call);
        let known = event.returned.as_ref();
        if known.is_some_and(|(_, recorded)| *recorded != answer) {
            continue;
        }
        // A call nobody knows of that changes nothing, or whose change nobody can tell before it is
        // gone again, is as good as none: what follows is tried without it.
        if known.is_none() && state == frame.state {
            continue;
        }
        if let Some(before) = &frame.doubtful {
            let (without, same) = M::apply(before, &event.call);
            if without == state && known.is_none_or(|(_, recorded)| *recorded == same) {
                continue;
            }
        }
        let done = frame.done.with(at);
        if !seen.insert((done.clone(), state.clone())) {
            continue;
        }
        let doubtful = known.is_none().then(|| frame.state.clone());
        let rest = left.last().copied().unwrap_or(0) - usize::from(known.is_some());
        left.push(rest);
        stack.push(Frame {
            next: candidates::<M>(history, &done),
            done,
            state,
            doubtful,
            tried: 0,
        });
    }
    Some(false)
}

/// The calls that may come next: sent before any that is left was answered. Answered ones first, since
/// most of the others never happened.
fn candidates<M: Model>(history: &History<M>, done: &Done) -> Vec<usize> {
    let left = || history.iter().enumerate().filter(|(at, _)| !done.has(*at));
    let end =
        |event: &Event<M::Call, M::Answer>| event.returned.as_ref().map_or(u64::MAX, |(at, _)| *at);
    let first_end = left().map(|(_, event)| end(event)).min().unwrap_or(u64::MAX);
    let mut found: Vec<usize> =
        left().filter(|(_, event)| event.called <= first_end).map(|(at, _)| at).collect();
    found.sort_by_key(|at| end(&history[*at]));
    found
}

/// The least of a history that is no more linearizable: cut off as early and begun as late as possible,
/// and without the looks that do not matter.
fn shrink<M: Model>(history: &History<M>) -> Counterexample<M> {
    let violated = |starts: &[M::State], history: &History<M>| {
        let wrong = |start| matches!(search::<M>(history, start, SHRINK_STEP), Some(false));
        starts.iter().all(wrong)
    };
    let mut starts = vec![M::start()];
    let mut ends: Vec<u64> =
        history.iter().filter_map(|event| event.returned.as_ref().map(|(at, _)| *at)).collect();
    ends.sort_unstable();
    let mut smallest = history.clone();
    let (mut low, mut high) = (0, ends.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let Some(at) = ends.get(middle) else { break };
        let cut = cut_off::<M>(history, *at);
        if violated(&starts, &cut) {
            smallest = cut;
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut begins: Vec<u64> = smallest.iter().map(|event| event.called).collect();
    begins.sort_unstable();
    for at in begins.into_iter().rev() {
        let (before, after): (Vec<_>, Vec<_>) =
            smallest.iter().cloned().partition(|event| event.called < at);
        let over = |event: &Event<M::Call, M::Answer>| {
            event.returned.as_ref().is_some_and(|(end, _)| *end < at)
        };
        // Only where nothing is going on, so that what came before is a state.
        if before.iter().all(over)
            && let Some(states) = states_after::<M>(&before)
            && !states.is_empty()
            && violated(&states, &after)
        {
            (starts, smallest) = (states, after);
            break;
        }
    }
    for at in (0..smallest.len()).rev() {
        if M::only_looks(&smallest[at].call) {
            let mut without = smallest.clone();
            without.remove(at);
            if violated(&starts, &without) {
                smallest = without;
            }
        }
    }
    Counterexample { starts, history: smallest }
}

/// What an object may be after a history without open calls.
fn states_after<M: Model>(history: &History<M>) -> Option<Vec<M::State>> {
    let mut states = HashSet::new();
    walk::<M>(history, &M::start(), SHRINK_STEP, |_, state| {
        states.insert(state.clone());
        false
    })?;
    Some(states.into_iter().collect())
}

/// What was known at a moment: a linearizable history is so at every moment.
fn cut_off<M: Model>(history: &History<M>, at: u64) -> History<M> {
    let mut known: History<M> =
        history.iter().filter(|event| event.called <= at).cloned().collect();
    for event in &mut known {
        event.returned = event.returned.take().filter(|(returned, _)| *returned <= at);
    }
    known.retain(|event| event.returned.is_some() || !M::only_looks(&event.call));
    known
}
