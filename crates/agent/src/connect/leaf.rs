//! Leaf certificates of the services on this host: issued when first asked for, renewed in time.
//!
//! Keys and certificates are in memory only. One task renews all of them, between 60 and 90 % of
//! their life or soon after the roots changed, spread at random. How a certificate comes about is
//! behind [`Issuer`]; which token may have which service's is decided before and by the signer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lictor_task::CancellationToken;
use lictor_types::Index;
use lictor_types::error::EndpointError;
use lictor_types::timestamp::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Cached;
use crate::jitter;

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafCertificate {
    /// Serial number, hex with colons.
    pub serial_number: String,
    /// The certificate, then those between it and a root.
    pub cert_pem: String,
    /// The key, which never leaves this host.
    pub private_key_pem: String,
    /// Name of the service.
    pub service: String,
    /// The identity in the certificate.
    pub service_uri: String,
    /// Start of validity.
    pub valid_after: Timestamp,
    /// End of validity.
    pub valid_before: Timestamp,
    /// Index of the first certificate of this service here.
    pub create_index: Index,
    /// Grows with each new certificate; what `?index` is compared with.
    pub modify_index: Index,
}

impl fmt::Debug for LeafCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafCertificate")
            .field("service_uri", &self.service_uri)
            .field("serial_number", &self.serial_number)
            .field("modify_index", &self.modify_index)
            .finish_non_exhaustive()
    }
}

/// Makes a key and gets a certificate for it.
pub(crate) trait Issuer: Send + Sync + 'static {
    /// A certificate for `service`, asked for with `token`.
    fn issue(
        &self,
        service: &str,
        token: &str,
    ) -> impl Future<Output = Result<LeafCertificate, EndpointError>> + Send;
}

/// Named limits of the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafLimits {
    /// Certificates kept; the longest unused one makes room for a new one.
    pub(crate) entries: usize,
    /// An entry that nobody asked for in this time is dropped instead of renewed.
    pub(crate) unused: Duration,
    /// Renewals under way at once.
    pub(crate) renewals: usize,
    /// After a change of the roots: time for each certificate…
    pub(crate) spread_each: Duration,
    /// … up to this for all of them.
    pub(crate) spread_most: Duration,
}

impl Default for LeafLimits {
    fn default() -> Self {
        Self {
            entries: 16_384,
            unused: Duration::from_secs(72 * 3600),
            renewals: 16,
            spread_each: Duration::from_millis(5),
            spread_most: Duration::from_secs(30),
        }
    }
}

/// Pause after a failed renewal; doubled each time up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);
/// Taken off the end of validity, for clocks that differ.
const SAFETY: Duration = Duration::from_secs(60);
/// Stands for «not planned».
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most entries looked at to make room for one.
const EVICTION_LOOKS: usize = 64;
/// How often wall clock and runtime clock are compared, and by how much they may come apart.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    service: Arc<str>,
    token: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    state: Mutex<EntryState>,
    /// Held while a certificate is being issued.
    issuing: tokio::sync::Mutex<()>,
    /// Woken at each new certificate.
    changed: Notify,
    /// Blocked readers.
    waiters: AtomicUsize,
    /// Asked for since the last look for something to evict.
    used: AtomicBool,
}

#[derive(Debug)]
struct EntryState {
    leaf: Option<Arc<LeafCertificate>>,
    /// When to renew; heap items that say otherwise are outdated.
    renew_at: Instant,
    expires_at: Instant,
    last_used: Instant,
    failures: u32,
    /// Whether it was removed from the cache.
    dropped: bool,
}

/// A renewal to be made.
struct Due(Instant, Arc<Entry>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl fmt::Debug for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Due({:?}, {})", self.0, self.1.key.service)
    }
}

#[derive(Debug, Default)]
struct Cache {
    entries: HashMap<Key, Arc<Entry>>,
    /// In the order of insertion, those in use moved behind (second chance).
    order: VecDeque<Arc<Entry>>,
    due: BinaryHeap<Reverse<Due>>,
    /// Until when the renewal task sleeps.
    next_wake: Option<Instant>,
}

/// Every leaf certificate of this agent.
#[derive(Debug)]
pub(crate) struct Leaves<I> {
    issuer: I,
    limits: LeafLimits,
    cache: Mutex<Cache>,
    wake: Notify,
}

impl<I: Issuer> Leaves<I> {
    pub(crate) fn new(issuer: I, limits: LeafLimits) -> Self {
        Self { issuer, limits, cache: Mutex::default(), wake: Notify::new() }
    }

    /// The certificate of a service. With an index, waits up to `max_wait` until there is one
    /// with a greater index; a certificate that had to be issued is given at once.
    pub(crate) async fn get(
        &self,
        service: &str,
        token: &str,
        min_index: Index,
        max_wait: Duration,
    ) -> Result<Cached<Arc<LeafCertificate>>, EndpointError> {
        let entry = self.entry(service, token);
        entry.touch();
        let _waiting = Waiting::new(&entry.waiters);
        let deadline = Instant::now() + max_wait;
        loop {
            let mut changed = pin!(entry.changed.notified());
            changed.as_mut().enable();
            let Some(leaf) = entry.valid() else {
                let leaf = self.issue_first(&entry).await?;
                return Ok(Cached { value: leaf, hit: false });
            };
            if min_index == 0 || leaf.modify_index > min_index {
                return Ok(Cached { value: leaf, hit: true });
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(Cached { value: leaf, hit: true });
            }
        }
    }

    /// Has every certificate renewed soon, since they have to come from another root now.
    pub(crate) fn roots_changed(&self) {
        let mut cache = self.cache.lock();
        let count = u32::try_from(cache.entries.len()).unwrap_or(u32::MAX);
        let spread = self.limits.spread_each.saturating_mul(count).min(self.limits.spread_most);
        let now = Instant::now();
        let entries: Vec<_> = cache.entries.values().cloned().collect();
        for entry in entries {
            let at = now + jitter::below(spread);
            let mut state = entry.state.lock();
            // One that has no certificate yet is being issued, perhaps still by the old root.
            state.renew_at = at;
            drop(state);
            cache.due.push(Reverse(Due(at, entry)));
        }
        drop(cache);
        self.wake.notify_one();
    }

    /// Number of certificates.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.cache.lock().entries.len()
    }

    /// Renews certificates until cancelled.
    pub(crate) async fn renew(&self, cancel: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut clocks = (Instant::now(), SystemTime::now());
        loop {
            let mut next = Instant::now() + CLOCK_CHECK;
            while under_way.len() < self.limits.renewals {
                match self.take_due(next) {
                    Ok(entry) => under_way.push(self.renew_one(entry)),
                    Err(wake) => {
                        next = wake;
                        break;
                    }
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                Some(()) = under_way.next() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            if clocks_parted(&mut clocks) {
                tracing::warn!("the clock was set or the machine slept: renewing certificates");
                self.roots_changed();
            }
        }
    }

    fn entry(&self, service: &str, token: &str) -> Arc<Entry> {
        let key = Key { service: service.into(), token: token.into() };
        let mut cache = self.cache.lock();
        if let Some(entry) = cache.entries.get(&key) {
            return Arc::clone(entry);
        }
        cache.evict(self.limits.entries);
        let now = Instant::now();
        let entry = Arc::new(Entry {
            key: key.clone(),
            state: Mutex::new(EntryState {
                leaf: None,
                renew_at: now,
                expires_at: now,
                last_used: now,
                failures: 0,
                dropped: false,
            }),
            issuing: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            waiters: AtomicUsize::new(0),
            used: AtomicBool::new(true),
        });
        cache.order.push_back(Arc::clone(&entry));
        cache.entries.insert(key, Arc::clone(&entry));
        entry
    }

    /// Issues for a reader that found nothing; others that ask meanwhile wait and share it.
    async fn issue_first(&self, entry: &Arc<Entry>) -> Result<Arc<LeafCertificate>, EndpointError> {
        let _alone = entry.issuing.lock().await;
        if let Some(leaf) = entry.valid() {
            return Ok(leaf);
        }
        let before = entry.state.lock().renew_at;
        match self.issuer.issue(&entry.key.service, &entry.key.token).await {
            Ok(leaf) => Ok(self.keep(entry, leaf, before)),
            Err(error) => {
                self.forget_empty(entry);
                Err(error)
            }
        }
    }

    async fn renew_one(&self, entry: Arc<Entry>) {
        let _alone = entry.issuing.lock().await;
        let before = entry.state.lock().renew_at;
        match self.issuer.issue(&entry.key.service, &entry.key.token).await {
            Ok(leaf) => {
                self.keep(&entry, leaf, before);
            }
            Err(error) => {
                let mut state = entry.state.lock();
                let pause = RETRY_FIRST.saturating_mul(2_u32.saturating_pow(state.failures));
                let pause = pause.min(RETRY_MOST).mul_f64(0.5 + jitter::fraction());
                state.failures = state.failures.saturating_add(1);
                tracing::warn!(
                    service = %entry.key.service, %error, retry_in = ?pause,
                    "cannot renew a leaf certificate"
                );
                state.renew_at = Instant::now() + pause;
                drop(state);
                self.schedule(&entry);
            }
        }
    }

    /// Stores a new certificate and plans its renewal. `before` is the plan that held when it was
    /// asked for: if the roots changed meanwhile, the newer plan stays.
    fn keep(
        &self,
        entry: &Arc<Entry>,
        mut leaf: LeafCertificate,
        before: Instant,
    ) -> Arc<LeafCertificate> {
        let life = leaf.valid_before.0.saturating_sub(leaf.valid_after.0);
        let life = Duration::from_nanos(u64::try_from(life).unwrap_or(0));
        let now = Instant::now();
        let mut state = entry.state.lock();
        if let Some(old) = &state.leaf {
            leaf.create_index = old.create_index;
            leaf.modify_index = leaf.modify_index.max(old.modify_index + 1);
        }
        let leaf = Arc::new(leaf);
        state.leaf = Some(Arc::clone(&leaf));
        state.expires_at = now + life.saturating_sub(SAFETY);
        state.failures = 0;
        if state.renew_at == before {
            state.renew_at = now + jitter::between(life.mul_f64(0.6), life.mul_f64(0.9));
        }
        drop(state);
        entry.changed.notify_waiters();
        self.schedule(entry);
        leaf
    }

    /// Puts the entry's renewal on the list; the task is woken only if it would sleep too long.
    fn schedule(&self, entry: &Arc<Entry>) {
        let mut cache = self.cache.lock();
        let (at, dropped) = {
            let state = entry.state.lock();
            (state.renew_at, state.dropped)
        };
        if dropped {
            return;
        }
        cache.due.push(Reverse(Due(at, Arc::clone(entry))));
        let too_late = cache.next_wake.is_none_or(|wake| at < wake);
        drop(cache);
        if too_late {
            self.wake.notify_one();
        }
    }

    /// An entry to renew now, or when to look again, at the latest at `latest`.
    fn take_due(&self, latest: Instant) -> Result<Arc<Entry>, Instant> {
        let mut cache = self.cache.lock();
        let now = Instant::now();
        while let Some(Reverse(Due(at, _))) = cache.due.peek() {
            if *at > now {
                let wake = (*at).min(latest);
                cache.next_wake = Some(wake);
                return Err(wake);
            }
            let Some(Reverse(Due(at, entry))) = cache.due.pop() else { break };
            let waiting = entry.waiters.load(Ordering::Relaxed) > 0;
            let mut state = entry.state.lock();
            if state.dropped || state.renew_at != at {
                continue;
            }
            // No other item of the list is for this time: it is renewed once.
            state.renew_at = now + NEVER;
            let unused = now.saturating_duration_since(state.last_used) >= self.limits.unused;
            drop(state);
            if unused && !waiting {
                cache.remove(&entry);
                continue;
            }
            return Ok(entry);
        }
        cache.next_wake = Some(latest);
        Err(latest)
    }

    /// Removes an entry for which nothing could be issued, so that bad requests leave no trace.
    fn forget_empty(&self, entry: &Arc<Entry>) {
        let empty = entry.state.lock().leaf.is_none();
        if empty {
            self.cache.lock().remove(entry);
        }
    }
}

impl Cache {
    /// Makes room among `limit` entries for one more, if there are some that nobody uses.
    fn evict(&mut self, limit: usize) {
        for _ in 0..EVICTION_LOOKS {
            if self.entries.len() < limit {
                return;
            }
            let Some(entry) = self.order.pop_front() else { return };
            if entry.state.lock().dropped {
                continue;
            }
            let waiting = entry.waiters.load(Ordering::Relaxed) > 0;
            if waiting || entry.used.swap(false, Ordering::Relaxed) {
                self.order.push_back(entry);
                continue;
            }
            self.remove(&entry);
        }
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        if self.entries.get(&entry.key).is_some_and(|held| Arc::ptr_eq(held, entry)) {
            self.entries.remove(&entry.key);
        }
        entry.state.lock().dropped = true;
        // What is left of removed entries in the two lists must not outweigh what lives.
        if self.due.len() > 64 + 4 * self.entries.len() {
            self.due.retain(|Reverse(Due(at, entry))| {
                let state = entry.state.lock();
                !state.dropped && state.renew_at == *at
            });
        }
        if self.order.len() > 64 + 2 * self.entries.len() {
            self.order.retain(|entry| !entry.state.lock().dropped);
        }
    }
}

impl Entry {
    /// Takes note that somebody asked.
    fn touch(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.state.lock().last_used = Instant::now();
    }

    /// The certificate, unless it has run out (by either clock).
    fn valid(&self) -> Option<Arc<LeafCertificate>> {
        let state = self.state.lock();
        let leaf = state.leaf.as_ref()?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let over = i128::from(leaf.valid_before.0) <= i128::try_from(wall.as_nanos()).unwrap_or(0);
        (Instant::now() < state.expires_at && !over).then(|| Arc::clone(leaf))
    }
}

/// Counts a reader while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the wall clock went ahead of the runtime's by much since the last look.
fn clocks_parted(last: &mut (Instant, SystemTime)) -> bool {
    let now = (Instant::now(), SystemTime::now());
    let steady = now.0.saturating_duration_since(last.0);
    let wall = now.1.duration_since(last.1).unwrap_or_default();
    *last = now;
    wall > steady + CLOCK_CHECK
}

#[cfg(test)]
mod tests;
