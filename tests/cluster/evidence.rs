//! What a run proves: histories that are one history, nothing acknowledged that is lost, indexes that
//! never go back, and servers that end with the same keys.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lictor_testkit::{request_within, wait_for};
use serde_json::Value;

use crate::checker::{Event, History, Model, Verdict, check, explain};
use crate::locks::holder_of;
use crate::model::{KvAnswer, KvCall, Lock, LockAnswer, LockCall, Pair};
use crate::objects::{Consistency, held, value_of};
use crate::workload::{ROOT, SESSION_TTL, Sighting, Workload};

/// How long the histories of all objects together may take to be judged, and one of them at least.
const BUDGET: Duration = Duration::from_secs(120);
const LEAST_BUDGET: Duration = Duration::from_secs(5);
/// How long servers may take to have the same keys when all is well.
const SAME: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must not be, each with its evidence.
    pub(crate) violations: Vec<String>,
    /// Objects whose reads of the default consistency make their histories none.
    pub(crate) default_reads: Vec<String>,
    /// As many with reads that may be stale; they are expected where faults have had an effect.
    pub(crate) stale_reads: usize,
    /// Agents that have ended by themselves.
    pub(crate) ended: Vec<String>,
    pub(crate) undecided: usize,
    pub(crate) objects: usize,
    pub(crate) calls: usize,
    pub(crate) appended: usize,
    /// Answered, open, never sent.
    pub(crate) requests: [u64; 3],
}

impl Findings {
    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let [answered, open, unsent] = self.requests;
        format!(
            "{answered} requests answered, {open} open, {unsent} never sent; {} objects with {} calls: \
             {} violations, {} with default reads, {} with stale reads, {} undecided; {} appended; {} agents ended",
            self.objects,
            self.calls,
            self.violations.len(),
            self.default_reads.len(),
            self.stale_reads,
            self.undecided,
            self.appended,
            self.ended.len(),
        )
    }
}

/// Judges a run after its last fault; all servers must be there.
pub(crate) fn judge(work: &Workload) -> Findings {
    let mut found = Findings {
        requests: [0, 1, 2].map(|at: usize| work.counts[at].load(Ordering::Relaxed)),
        ..Findings::default()
    };
    last_look(work, &mut found);
    histories(work, &mut found);
    indexes(&held(&work.sightings), &mut found);
    for (value, indexes) in held(&work.versions).iter().filter(|(_, all)| all.len() > 1) {
        found.violations.push(format!("one write was done more than once: {value} at {indexes:?}"));
    }
    found
}

/// All keys, as a server has them.
fn keys(http: &str, option: &str) -> Option<Value> {
    let path = format!("/v1/kv/{ROOT}?recurse&{option}");
    let reply = request_within(http, "GET", &path, b"", Duration::from_secs(20)).ok()?;
    match reply.status {
        200 => Some(reply.json()),
        404 => Some(Value::Array(Vec::new())),
        _ => None,
    }
}

/// Reads everything once more: it belongs to the histories, and nothing may be lost.
fn last_look(work: &Workload, found: &mut Findings) {
    let called = work.now();
    let all = wait_for("all keys", SAME, || keys(&work.doors[0].http, "consistent"));
    let returned = work.now();
    for door in work.doors.iter().filter(|door| door.is_server) {
        let what = format!("{} to have the keys of the others", door.http);
        // Sessions may still end, so that these are not always the keys of a moment ago.
        wait_for(&what, SAME, || {
            (keys(&door.http, "stale")? == keys(&work.doors[0].http, "consistent")?).then_some(())
        });
    }
    let empty = Vec::new();
    let entries: BTreeMap<&str, &Value> = all
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter_map(|entry| Some((entry["Key"].as_str()?.strip_prefix(ROOT)?, entry)))
        .collect();
    for entry in entries.values() {
        if let (Some(value), Some(index)) = (value_of(entry), entry["ModifyIndex"].as_u64()) {
            work.version(value, index);
        }
    }
    let who = || "at the end".to_owned();
    for pair in work.objects.all_pairs() {
        for key in 0..2 {
            let value = entries.get(pair.path(key).as_str()).and_then(|entry| value_of(entry));
            let returned = Some((returned, KvAnswer::Value(value)));
            let event = Event { called, returned, call: KvCall::Get(key), who: who() };
            held(&pair.calls).push(Consistency::Consistent, event);
        }
    }
    for lock in work.objects.all_locks() {
        let entry = entries.get(lock.path().as_str()).copied().unwrap_or(&Value::Null);
        match holder_of(&lock, entry) {
            Some(holder) => {
                let returned = Some((returned, LockAnswer::Held(holder)));
                let event = Event { called, returned, call: LockCall::Look, who: who() };
                held(&lock.calls).push(Consistency::Consistent, event);
            }
            None => found.violations.push(format!("{}: held by nobody we know", lock.path())),
        }
    }
    let appended = held(&work.appended);
    found.appended = appended.acknowledged.len();
    for (key, value) in &appended.acknowledged {
        let kept = entries.get(key.as_str()).and_then(|entry| value_of(entry));
        if kept != Some(*value) {
            found.violations.push(format!("acknowledged and lost: {key}: {value}, now {kept:?}"));
        }
    }
    for (key, entry) in entries.range("log/".."log0") {
        if value_of(entry) != appended.attempted.get(*key).copied() {
            found.violations.push(format!("nobody has written this: {key}: {entry}"));
        }
    }
}

/// Judges every object.
fn histories(work: &Workload, found: &mut Findings) {
    let (pairs, locks) = (work.objects.all_pairs(), work.objects.all_locks());
    let share = u32::try_from(pairs.len() + locks.len()).unwrap_or(u32::MAX).max(1);
    let budget = (BUDGET / share).max(LEAST_BUDGET);
    for pair in pairs {
        let name = format!("pair {}", pair.number);
        let history = pair.history(Consistency::Stale);
        let good = one::<Pair>(&name, &pair.history(Consistency::Consistent), budget, found);
        // With less consistent reads there is more to explain, so that these cannot be better.
        if !good {
            continue;
        }
        match check::<Pair>(&pair.history(Consistency::Default), budget) {
            Verdict::Linearizable => {}
            Verdict::Violated(small) => {
                found.default_reads.push(format!("{name}:\n{}", explain::<Pair>(&small)));
            }
            Verdict::Undecided => found.undecided += 1,
        }
        if matches!(check::<Pair>(&history, budget), Verdict::Violated(_)) {
            found.stale_reads += 1;
        }
    }
    let limit = u64::try_from(SESSION_TTL.as_micros()).unwrap_or(u64::MAX);
    for lock in locks {
        let history = lock.history(Consistency::Stale, limit);
        one::<Lock>(&format!("lock {}", lock.number), &history, budget, found);
    }
}

/// Judges a history of which every answer must be right; whether it is.
fn one<M: Model>(name: &str, history: &History<M>, budget: Duration, found: &mut Findings) -> bool {
    found.objects += 1;
    found.calls += history.len();
    match check::<M>(history, budget) {
        Verdict::Linearizable => true,
        Verdict::Violated(small) => {
            let mut text = format!("{name} is not linearizable:\n{}", explain::<M>(&small));
            let _ = write!(text, "  ({} of {} calls)", small.history.len(), history.len());
            found.violations.push(text);
            false
        }
        Verdict::Undecided => {
            eprintln!("\n*** UNDECIDED {name}: {} calls in {budget:?} ***\n", history.len());
            found.undecided += 1;
            false
        }
    }
}

/// Reads that must not go back: where (nothing: anywhere), and of which key.
type Series<'a> = (Option<(usize, u64)>, &'a str);

/// What a server tells about a key never goes back while it runs, and what is consistent never does anywhere.
fn indexes(sightings: &[Sighting], found: &mut Findings) {
    let mut series: HashMap<Series<'_>, Vec<&Sighting>> = HashMap::new();
    for sighting in sightings {
        let place = match sighting.consistency {
            Consistency::Consistent => None,
            Consistency::Stale => Some((sighting.door, sighting.life)),
            Consistency::Default => continue,
        };
        series.entry((place, sighting.key.as_str())).or_default().push(sighting);
    }
    for series in series.values_mut() {
        if let Some((before, after)) = goes_back(series) {
            found.violations.push(format!("an index goes back:\n  {before:?}\n  {after:?}"));
        }
    }
}

/// Two reads of which the second was sent when the first was over, and was told less.
fn goes_back<'a>(series: &mut [&'a Sighting]) -> Option<(&'a Sighting, &'a Sighting)> {
    let mut by_end = series.to_vec();
    by_end.sort_by_key(|sighting| sighting.returned);
    series.sort_by_key(|sighting| sighting.called);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: Option<&Sighting> = None;
    for &sighting in series.iter() {
        while let Some(over) = ended.next_if(|over| over.returned < sighting.called) {
            highest = highest.filter(|known| known.index >= over.index).or(Some(over));
        }
        if let Some(before) = highest.filter(|known| known.index > sighting.index) {
            return Some((before, sighting));
        }
    }
    None
}

#[test]
fn an_index_that_goes_back_is_found() {
    let sighting = |called, returned, index| Sighting {
        door: 0,
        life: 1,
        key: "k".to_owned(),
        consistency: Consistency::Stale,
        called,
        returned,
        index,
    };
    let all = [sighting(0, 1, 5), sighting(2, 9, 7), sighting(3, 4, 6), sighting(10, 11, 7)];
    let mut found = Findings::default();
    indexes(&all, &mut found);
    assert_eq!(found.violations, Vec::<String>::new());
    let worse = [all.as_slice(), &[sighting(12, 13, 6)]].concat();
    indexes(&worse, &mut found);
    assert_eq!(found.violations.len(), 1);
}
