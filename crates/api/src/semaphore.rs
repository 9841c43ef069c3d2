//! The recipe of semaphores: a prefix that at most so many hold at the same time.
//!
//! Each contender has an entry of its own below the prefix, locked by its session; who of them
//! holds the semaphore is in one further key, which is only written as it was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::kv::{KvPair, KvPut};
use crate::lock::{
    Attempt, KeptSession, LOCK_KEY, LockError, LockOptions, WAIT, join, read, watch,
};
use crate::url;

/// Marks keys that belong to semaphores.
pub const SEMAPHORE_FLAG: u64 = 0xe0f6_9a2b_aa41_4de0;

/// Who holds a semaphore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Holders {
    limit: i64,
    #[serde(deserialize_with = "crate::nullable::deserialize")]
    holders: BTreeMap<String, bool>,
}

impl Holders {
    /// What the key says; an empty one if it is not there.
    fn read(pair: Option<&KvPair>, limit: i64) -> Result<Self, LockError> {
        match pair.filter(|pair| !pair.value.is_empty()) {
            None => Ok(Self { limit, holders: BTreeMap::new() }),
            Some(pair) => serde_json::from_slice(&pair.value).map_err(LockError::Decode),
        }
    }

    /// Drops those who have no locked entry any more.
    fn prune(&mut self, pairs: &[KvPair]) {
        self.holders.retain(|holder, _| pairs.iter().any(|pair| pair.session == *holder));
    }
}

/// A semaphore.
#[derive(Debug)]
pub struct Semaphore {
    client: Client,
    prefix: String,
    limit: i64,
    options: LockOptions,
    session: Option<KeptSession>,
    held: bool,
}

impl Semaphore {
    /// A semaphore that is not held yet, for at most `limit` holders.
    #[must_use]
    pub fn new(client: Client, prefix: &str, limit: u32, options: LockOptions) -> Self {
        let (prefix, limit) = (prefix.to_owned(), i64::from(limit));
        Self { client, prefix, limit, options, session: None, held: false }
    }

    fn path(&self, consistent: bool) -> String {
        let path = url::path("/v1/kv/", &self.prefix) + "?recurse";
        if consistent { path + "&consistent" } else { path }
    }

    fn key(&self) -> String {
        join(&self.prefix, LOCK_KEY)
    }

    /// The key with the holders, unless it is something else.
    fn find<'a>(&self, pairs: &'a [KvPair]) -> Result<Option<&'a KvPair>, LockError> {
        let key = self.key();
        match pairs.iter().find(|pair| pair.key == key) {
            Some(pair) if pair.flags != SEMAPHORE_FLAG => Err(LockError::NotASemaphore),
            found => Ok(found),
        }
    }

    /// Writes the holders if the key is still at `index`; gives whether.
    async fn write(&self, holders: &Holders, index: u64) -> Result<bool, LockError> {
        let text = serde_json::to_vec(holders).map_err(LockError::Decode)?;
        let form = KvPut { flags: SEMAPHORE_FLAG, cas: Some(index), ..KvPut::default() };
        self.client.kv_put(&self.key(), text, form).await.map_err(LockError::Update)
    }

    /// Becomes one of the holders; false when the time for it is over. Whoever stops waiting must
    /// call [`Semaphore::abandon`].
    ///
    /// # Errors
    /// When the servers refuse, or others use another limit.
    pub async fn acquire(&mut self) -> Result<bool, LockError> {
        let name = &self.options.session_name;
        let session = KeptSession::create(&self.client, name, Some("delete")).await?;
        self.session = Some(session.clone());
        let done = session.during(self.attempt(&session.id)).await;
        self.held = matches!(done, Ok(true));
        if !self.held {
            self.abandon().await;
        }
        done
    }

    async fn attempt(&self, session: &str) -> Result<bool, LockError> {
        let form = KvPut { flags: SEMAPHORE_FLAG, acquire: session, ..KvPut::default() };
        match self.client.kv_put(&join(&self.prefix, session), "", form).await {
            Ok(true) => {}
            Ok(false) => return Err(LockError::Contend(None)),
            Err(error) => return Err(LockError::Contend(Some(error))),
        }
        let time = Attempt::new(self.options.once);
        let path = self.path(false);
        let mut index = 0;
        loop {
            let Some(wait) = time.wait() else { return Ok(false) };
            let (pairs, new) =
                read(&self.client, &path, index, wait).await.map_err(LockError::ReadPrefix)?;
            let pair = self.find(&pairs)?;
            let mut holders = Holders::read(pair, self.limit)?;
            if holders.limit != self.limit {
                return Err(LockError::Limit { there: holders.limit, here: self.limit });
            }
            holders.prune(&pairs);
            if holders.holders.len() as u64 >= self.limit.unsigned_abs() {
                index = new;
                continue;
            }
            holders.holders.insert(session.to_owned(), true);
            if self.write(&holders, pair.map_or(0, |pair| pair.modify_index)).await? {
                return Ok(true);
            }
        }
    }

    /// Stays one of the holders, and returns when it is not any more.
    pub async fn lost(&self) {
        let Some(session) = self.session.as_ref().filter(|_| self.held) else { return };
        let ours = |pairs: &[KvPair]| {
            let held = self.find(pairs).and_then(|pair| Holders::read(pair, self.limit));
            held.is_ok_and(|mut held| {
                held.prune(pairs);
                held.holders.contains_key(&session.id)
            })
        };
        let path = self.path(true);
        tokio::select! {
            () = watch(&self.client, &path, &self.options, ours) => {}
            () = session.keep() => {}
        }
    }

    /// Makes room for another holder.
    ///
    /// # Errors
    /// When it is not held, or the servers refuse.
    pub async fn release(&mut self) -> Result<(), LockError> {
        let session = self.session.take().filter(|_| self.held).ok_or(LockError::NotHeld)?;
        self.held = false;
        let done = self.give_back(&session.id).await;
        session.end().await;
        done
    }

    async fn give_back(&self, session: &str) -> Result<(), LockError> {
        let path = url::path("/v1/kv/", &self.key());
        loop {
            let read = read(&self.client, &path, 0, WAIT).await;
            let (pairs, _) = read.map_err(LockError::Read)?;
            let pair = self.find(&pairs)?;
            let mut holders = Holders::read(pair, self.limit)?;
            if holders.holders.remove(session).is_none() {
                break;
            }
            if self.write(&holders, pair.map_or(0, |pair| pair.modify_index)).await? {
                break;
            }
        }
        let entry = join(&self.prefix, session);
        self.client.kv_delete(&entry, None).await.map(drop).map_err(LockError::Release)
    }

    /// Ends the session of an attempt that came to nothing; its entry goes with it.
    pub async fn abandon(&mut self) {
        self.held = false;
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    /// Removes the key with the holders if there are none.
    ///
    /// # Errors
    /// [`LockError::InUse`] when there are.
    pub async fn destroy(&self) -> Result<(), LockError> {
        let read = read(&self.client, &self.path(false), 0, WAIT).await;
        let (pairs, _) = read.map_err(LockError::ReadPrefix)?;
        let Some(pair) = self.find(&pairs)? else { return Ok(()) };
        let mut holders = Holders::read(Some(pair), self.limit)?;
        holders.prune(&pairs);
        if !holders.holders.is_empty() {
            return Err(LockError::InUse);
        }
        let removed = self.client.kv_delete(&pair.key, Some(pair.modify_index)).await;
        if removed.map_err(LockError::Remove)? { Ok(()) } else { Err(LockError::InUse) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_holders_is_that_of_other_programs() {
        let pair = |session: &str| KvPair { session: session.to_owned(), ..KvPair::default() };
        let text = br#"{"Limit":3,"Holders":{"a":true,"b":true}}"#;
        let key = KvPair { value: text.to_vec(), ..KvPair::default() };
        let mut holders = Holders::read(Some(&key), 2).unwrap();
        assert_eq!(serde_json::to_vec(&holders).unwrap(), text);
        holders.prune(&[pair("b"), pair("")]);
        assert_eq!(holders.holders.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(Holders::read(None, 2).unwrap().limit, 2);
        let null = KvPair { value: br#"{"Limit":1,"Holders":null}"#.to_vec(), ..KvPair::default() };
        assert!(Holders::read(Some(&null), 2).unwrap().holders.is_empty());
    }
}
