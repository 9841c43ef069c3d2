//! Key/value rules and transactions of the simple model.

use std::sync::Arc;

use bytes::Bytes;
use lictor_types::command::Refusal;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::txn::{TxnError, TxnOp, TxnVerb};

use crate::naive::Naive;

impl Naive {
    pub(crate) fn kv_write(&mut self, write: &KvWrite) -> Result<bool, Refusal> {
        let entry = &write.entry;
        let expected = entry.modify_index;
        let found = self.kv.get(&*entry.key).map_or(0, |e| e.modify_index);
        match write.op {
            KvOp::Set => self.set(entry),
            KvOp::Cas if found != expected => return Ok(false),
            KvOp::Cas => self.set(entry),
            KvOp::Delete => drop(self.kv.remove(&*entry.key)),
            KvOp::DeleteCas if found != 0 && found != expected => return Ok(false),
            KvOp::DeleteCas => drop(self.kv.remove(&*entry.key)),
            KvOp::DeleteTree => self.kv.retain(|key, _| !key.starts_with(&*entry.key)),
            KvOp::Lock => return self.lock(entry, write.lock_delayed),
            KvOp::Unlock => return self.unlock(entry),
        }
        Ok(true)
    }

    fn write(&mut self, entry: &KvEntry, lock_index: u64, session: &str) {
        let old = self.kv.get(&*entry.key);
        let entry = KvEntry {
            lock_index,
            session: session.into(),
            create_index: old.map_or(self.index, |e| e.create_index),
            modify_index: self.index,
            ..entry.clone()
        };
        self.kv.insert(entry.key.to_string(), entry);
    }

    fn set(&mut self, entry: &KvEntry) {
        let holder = self.kv.get(&*entry.key).map(|e| e.session.to_string()).unwrap_or_default();
        self.write(entry, 0, &holder);
    }

    fn lock(&mut self, entry: &KvEntry, delayed: bool) -> Result<bool, Refusal> {
        let session = &*entry.session;
        if session.is_empty() {
            return Err(Refusal::MissingSession);
        }
        if !self.sessions.contains_key(session) {
            return Err(if session == "short" {
                Refusal::SessionNotUuid
            } else {
                Refusal::InvalidSession(session.to_owned())
            });
        }
        let old = self.kv.get(&*entry.key);
        let (count, holder) = old.map_or((0, ""), |e| (e.lock_index, &*e.session));
        let count = match holder {
            "" if delayed => return Ok(false),
            "" => count + 1,
            holder if holder == session => count,
            _ => return Ok(false),
        };
        self.write(entry, count, session);
        Ok(true)
    }

    fn unlock(&mut self, entry: &KvEntry) -> Result<bool, Refusal> {
        if entry.session.is_empty() {
            return Err(Refusal::MissingSession);
        }
        let old = self.kv.get(&*entry.key);
        let Some(count) = old.filter(|e| e.session == entry.session).map(|e| e.lock_index) else {
            return Ok(false);
        };
        self.write(entry, count, "");
        Ok(true)
    }

    pub(crate) fn txn(&mut self, operations: &[TxnOp]) -> Result<Vec<Arc<KvEntry>>, Vec<TxnError>> {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for (op_index, operation) in operations.iter().enumerate() {
            match self.operation(operation) {
                Ok(rows) => found.extend(rows.into_iter().map(Arc::new)),
                Err(what) => errors.push(TxnError { op_index, what }),
            }
        }
        if errors.is_empty() { Ok(found) } else { Err(errors) }
    }

    fn operation(&mut self, op: &TxnOp) -> Result<Vec<KvEntry>, String> {
        let key = &*op.entry.key;
        let old = self.kv.get(key).cloned();
        let run = |model: &mut Self, op_of_kv| {
            let (entry, lock_delayed) = (op.entry.clone(), op.lock_delayed);
            model.kv_write(&KvWrite { op: op_of_kv, entry, lock_delayed })
        };
        let missing = || format!("key \"{key}\" doesn't exist");
        let stale = |what: &str| format!("failed to {what} key \"{key}\", index is stale");
        let done = match op.verb {
            TxnVerb::Get => return old.map(|e| vec![e]).ok_or_else(missing),
            TxnVerb::GetOrEmpty => {
                let empty = || KvEntry { key: key.into(), ..KvEntry::default() };
                return Ok(vec![old.unwrap_or_else(empty)]);
            }
            TxnVerb::GetTree => {
                return Ok(self.kv.values().filter(|e| e.key.starts_with(key)).cloned().collect());
            }
            TxnVerb::CheckIndex => {
                let missing = || format!("failed to check index, {}", missing());
                let (found, wanted) =
                    (old.ok_or_else(missing)?.modify_index, op.entry.modify_index);
                let text = || {
                    let what = format!("current modify index {found} != {wanted}");
                    format!("failed index check for key \"{key}\", {what}")
                };
                (found == wanted).then_some(()).ok_or_else(text)
            }
            TxnVerb::CheckSession => {
                let missing = || format!("failed to check session, {}", missing());
                let (found, wanted) = (old.ok_or_else(missing)?.session, &op.entry.session);
                let text = || {
                    let what = format!("current session \"{found}\" != \"{wanted}\"");
                    format!("failed session check for key \"{key}\", {what}")
                };
                (found == *wanted).then_some(()).ok_or_else(text)
            }
            TxnVerb::CheckNotExists => {
                old.map_or(Ok(()), |_| Err(format!("key \"{key}\" exists")))?;
                return Ok(Vec::new());
            }
            TxnVerb::Set => run(self, KvOp::Set).map(drop).map_err(|e| e.to_string()),
            TxnVerb::Cas => match run(self, KvOp::Cas) {
                Ok(true) => Ok(()),
                _ => Err(stale("set")),
            },
            TxnVerb::Lock if op.lock_delayed => {
                Err(format!("failed to lock key \"{key}\" due to lock delay"))
            }
            TxnVerb::Lock => match run(self, KvOp::Lock).map_err(|e| e.to_string())? {
                true => Ok(()),
                false => Err(format!("failed to lock key \"{key}\", lock is already held")),
            },
            TxnVerb::Unlock => match run(self, KvOp::Unlock).map_err(|e| e.to_string())? {
                true => Ok(()),
                false => Err(format!(
                    "failed to unlock key \"{key}\", lock isn't held, or is held by another session"
                )),
            },
            TxnVerb::Delete => {
                self.kv.remove(key);
                return Ok(Vec::new());
            }
            TxnVerb::DeleteTree => {
                self.kv.retain(|k, _| !k.starts_with(key));
                return Ok(Vec::new());
            }
            TxnVerb::DeleteCas => match run(self, KvOp::DeleteCas) {
                Ok(true) => return Ok(Vec::new()),
                _ => Err(stale("delete")),
            },
        };
        done?;
        Ok(self
            .kv
            .get(key)
            .map(|e| KvEntry { value: Bytes::new(), ..e.clone() })
            .into_iter()
            .collect())
    }
}
