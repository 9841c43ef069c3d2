//! The recipe of locks: one key, held by a session that is kept alive.
//!
//! Everybody who follows it, in whatever program, excludes each other. Nothing runs by itself: a
//! lock is kept alive by whoever waits in [`Lock::lost`].

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError, Response};
use crate::kv::{KvPair, KvPut};
use crate::session::SessionRequest;
use crate::url;

/// Marks keys that are locks.
pub const LOCK_FLAG: u64 = 0x2ddc_cbc0_58a5_0c18;
/// Name of the key of a lock, and of a semaphore, below its prefix.
pub const LOCK_KEY: &str = ".lock";

/// Longest time that a reader waits at once.
pub(crate) const WAIT: Duration = Duration::from_secs(15);
/// Pause after a refusal while nobody holds the lock: its lock-delay is running.
const RETRY: Duration = Duration::from_secs(5);
/// Time to live of sessions.
const TTL: Duration = Duration::from_secs(15);
/// Wait of those who watch what they hold.
const WATCH: Duration = Duration::from_secs(300);

/// Why a lock or semaphore could not be worked with.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A session could not be created.
    #[error("failed to create session: {0}")]
    Session(#[source] ClientError),
    /// What is there could not be read.
    #[error("failed to read lock: {0}")]
    Read(#[source] ClientError),
    /// The prefix could not be read.
    #[error("failed to read prefix: {0}")]
    ReadPrefix(#[source] ClientError),
    /// The attempt failed.
    #[error("failed to acquire lock: {0}")]
    Acquire(#[source] ClientError),
    /// Our entry among those who want it could not be made.
    #[error("failed to make contender entry{}", .0.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Contend(Option<ClientError>),
    /// The list of holders could not be written.
    #[error("failed to update lock: {0}")]
    Update(#[source] ClientError),
    /// It could not be given back.
    #[error("failed to release lock: {0}")]
    Release(#[source] ClientError),
    /// It could not be removed.
    #[error("failed to remove lock: {0}")]
    Remove(#[source] ClientError),
    /// The key is something else.
    #[error("Existing key does not match lock use")]
    NotALock,
    /// The key is something else.
    #[error("Existing key does not match semaphore use")]
    NotASemaphore,
    /// The list of holders cannot be read.
    #[error("lock decoding failed: {0}")]
    Decode(#[source] serde_json::Error),
    /// Somebody else uses the semaphore with another limit.
    #[error("semaphore limit conflict (lock: {there}, local: {here})")]
    Limit {
        /// The limit that counts.
        there: i64,
        /// Ours.
        here: i64,
    },
    /// Somebody holds it.
    #[error("Lock in use")]
    InUse,
    /// It is not held by us.
    #[error("Lock not held")]
    NotHeld,
}

/// How one waits.
#[derive(Clone, Debug)]
pub struct LockOptions {
    /// Name of the session, for people.
    pub session_name: String,
    /// How often a failure of the servers is put up with before the lock counts as lost.
    pub monitor_retries: u32,
    /// Pause before each of them.
    pub monitor_pause: Duration,
    /// Give up after that time; `None`: never.
    pub once: Option<Duration>,
}

/// A session that is renewed as long as somebody polls [`KeptSession::keep`].
#[derive(Clone, Debug)]
pub(crate) struct KeptSession {
    client: Client,
    pub(crate) id: String,
}

impl KeptSession {
    pub(crate) async fn create(
        client: &Client,
        name: &str,
        behavior: Option<&str>,
    ) -> Result<Self, LockError> {
        let request = SessionRequest {
            name: Some(name.to_owned()),
            behavior: behavior.map(str::to_owned),
            ttl: Some(format!("{}s", TTL.as_secs())),
            ..SessionRequest::default()
        };
        let id = client.session_create(&request).await.map_err(LockError::Session)?;
        Ok(Self { client: client.clone(), id })
    }

    /// Renews the session; returns when it has ended.
    pub(crate) async fn keep(&self) {
        let mut pause = TTL / 2;
        loop {
            sleep(pause).await;
            let request = self.client.put(&url::path("/v1/session/renew/", &self.id));
            pause = match self.client.send(request.timeout(TTL)).await {
                Ok(answer) if answer.status == 404 => return,
                Ok(answer) if answer.status == 200 => TTL / 2,
                // Whether it has ended meanwhile is seen by whoever watches the key.
                Ok(_) | Err(_) => Duration::from_secs(1),
            };
        }
    }

    /// Follows an attempt to its end, renewing the session all the while.
    pub(crate) async fn during<T>(&self, attempt: impl Future<Output = T>) -> T {
        let mut attempt = std::pin::pin!(attempt);
        tokio::select! {
            done = &mut attempt => done,
            // The next request of the attempt will say what is wrong.
            () = self.keep() => attempt.await,
        }
    }

    /// Ends it; if that fails its time does.
    pub(crate) async fn end(self) {
        let request = self.client.put(&url::path("/v1/session/destroy/", &self.id));
        let _ = self.client.send(request.timeout(Duration::from_secs(5))).await;
    }
}

/// Time that is left of an attempt.
pub(crate) struct Attempt {
    until: Option<Instant>,
}

impl Attempt {
    pub(crate) fn new(once: Option<Duration>) -> Self {
        Self { until: once.map(|time| Instant::now() + time) }
    }

    /// How long to wait next; `None` when the time is over.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let Some(until) = self.until else { return Some(WAIT) };
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(WAIT))
    }
}

/// Reads keys, blocking while the index is `index`; none when nothing is there.
pub(crate) async fn read(
    client: &Client,
    path: &str,
    index: u64,
    wait: Duration,
) -> Result<(Vec<KvPair>, u64), ClientError> {
    let answer: Response = client.get_blocking(path, index, wait).await?;
    let new = answer.index();
    if answer.status == 404 {
        return Ok((Vec::new(), new));
    }
    Ok((answer.expect_ok()?.json()?, new))
}

/// Watches keys as long as `held` says that they are as they should be; puts up with failures as
/// the options say.
pub(crate) async fn watch(
    client: &Client,
    path: &str,
    options: &LockOptions,
    held: impl Fn(&[KvPair]) -> bool,
) {
    let (mut index, mut retries) = (0, options.monitor_retries);
    loop {
        match read(client, path, index, WATCH).await {
            Ok((pairs, new)) => {
                if !held(&pairs) {
                    return;
                }
                (index, retries) = (new, options.monitor_retries);
            }
            Err(error) if retries > 0 && error.is_retriable() => {
                sleep(options.monitor_pause).await;
                (index, retries) = (0, retries - 1);
            }
            Err(_) => return,
        }
    }
}

/// Joins parts of a key as paths are joined: without empty parts.
#[must_use]
pub fn join(prefix: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A lock on one key.
#[derive(Debug)]
pub struct Lock {
    client: Client,
    key: String,
    options: LockOptions,
    session: Option<KeptSession>,
    held: bool,
}

impl Lock {
    /// A lock that is not held yet.
    #[must_use]
    pub fn new(client: Client, key: &str, options: LockOptions) -> Self {
        Self { client, key: key.to_owned(), options, session: None, held: false }
    }

    fn path(&self, consistent: bool) -> String {
        let path = url::path("/v1/kv/", &self.key);
        if consistent { path + "?consistent" } else { path }
    }

    fn form<'a>(&self, acquire: &'a str, release: &'a str) -> KvPut<'a> {
        KvPut { flags: LOCK_FLAG, acquire, release, ..KvPut::default() }
    }

    /// Takes the lock; false when the time for it is over. Whoever stops waiting must call
    /// [`Lock::abandon`].
    ///
    /// # Errors
    /// When the servers refuse, or the key is not a lock.
    pub async fn acquire(&mut self) -> Result<bool, LockError> {
        let session = KeptSession::create(&self.client, &self.options.session_name, None).await?;
        self.session = Some(session.clone());
        let done = session.during(self.attempt(&session.id)).await;
        self.held = matches!(done, Ok(true));
        if !self.held {
            self.abandon().await;
        }
        done
    }

    async fn attempt(&self, session: &str) -> Result<bool, LockError> {
        let time = Attempt::new(self.options.once);
        let path = self.path(false);
        let mut index = 0;
        loop {
            let Some(wait) = time.wait() else { return Ok(false) };
            let (pairs, new) =
                read(&self.client, &path, index, wait).await.map_err(LockError::Read)?;
            let pair = pairs.first();
            if pair.is_some_and(|pair| pair.flags != LOCK_FLAG) {
                return Err(LockError::NotALock);
            }
            let holder = pair.map_or("", |pair| pair.session.as_str());
            if holder == session {
                return Ok(true);
            }
            if !holder.is_empty() {
                index = new;
                continue;
            }
            let put = self.client.kv_put(&self.key, "", self.form(session, ""));
            if put.await.map_err(LockError::Acquire)? {
                return Ok(true);
            }
            // Either somebody was faster, or the last holder was thrown out a moment ago.
            let (pairs, new) = read(&self.client, &path, 0, wait).await.map_err(LockError::Read)?;
            if pairs.first().is_some_and(|pair| !pair.session.is_empty()) {
                index = new;
            } else {
                let Some(left) = time.wait() else { return Ok(false) };
                sleep(RETRY.min(left)).await;
                index = 0;
            }
        }
    }

    /// Keeps the lock, and returns when it is lost.
    pub async fn lost(&self) {
        let Some(session) = self.session.as_ref().filter(|_| self.held) else { return };
        let path = self.path(true);
        let ours = |pairs: &[KvPair]| pairs.first().is_some_and(|p| p.session == session.id);
        tokio::select! {
            () = watch(&self.client, &path, &self.options, ours) => {}
            () = session.keep() => {}
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// When it is not held, or the servers refuse.
    pub async fn release(&mut self) -> Result<(), LockError> {
        let session = self.session.take().filter(|_| self.held).ok_or(LockError::NotHeld)?;
        self.held = false;
        let put = self.client.kv_put(&self.key, "", self.form("", &session.id));
        let done = put.await.map(drop).map_err(LockError::Release);
        session.end().await;
        done
    }

    /// Ends the session of an attempt that came to nothing.
    pub async fn abandon(&mut self) {
        self.held = false;
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    /// Removes the key if nobody holds it.
    ///
    /// # Errors
    /// [`LockError::InUse`] when somebody does.
    pub async fn destroy(&self) -> Result<(), LockError> {
        let (pairs, _) =
            read(&self.client, &self.path(false), 0, WAIT).await.map_err(LockError::Read)?;
        let Some(pair) = pairs.first() else { return Ok(()) };
        if pair.flags != LOCK_FLAG {
            return Err(LockError::NotALock);
        }
        if !pair.session.is_empty() {
            return Err(LockError::InUse);
        }
        let removed = self.client.kv_delete(&self.key, Some(pair.modify_index)).await;
        if removed.map_err(LockError::Remove)? { Ok(()) } else { Err(LockError::InUse) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_as_paths() {
        for (prefix, name, key) in [
            ("a/b", "c", "a/b/c"),
            ("a//b/", "c", "a/b/c"),
            ("", ".lock", ".lock"),
            ("a/./b/../c", "d", "a/c/d"),
        ] {
            assert_eq!(join(prefix, name), key);
        }
    }
}
