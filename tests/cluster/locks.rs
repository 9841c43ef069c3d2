//! What clients do with locks: sessions come and go, take the lock, give it back, or are destroyed with it.

use serde_json::Value;

use crate::checker::Event;
use crate::model::{Holder, LockAnswer, LockCall};
use crate::objects::{Consistency, LockObject, Session, held};
use crate::workload::{Asked, Client, Outcome, ROOT, is_definite};

/// Sessions of a lock that compete at once.
const RIVALS: usize = 3;

impl Client<'_> {
    /// One request about a lock; whether it was answered.
    pub(crate) fn lock_step(&mut self) -> bool {
        let lock = self.work.objects.lock(&mut self.chance);
        let alive: Vec<(Holder, String)> = {
            let sessions = held(&lock.sessions);
            let number = |at| Holder::try_from(at).unwrap_or(Holder::MAX);
            let all = sessions.iter().enumerate().filter(|(_, session)| session.alive);
            all.map(|(at, session)| (number(at), session.id.clone())).collect()
        };
        if alive.len() < RIVALS && (alive.is_empty() || self.chance.u8(0..4) == 0) {
            return self.new_session(&lock);
        }
        let (holder, id) = alive[self.chance.usize(0..alive.len())].clone();
        match self.chance.u8(0..100) {
            0..=44 => self.take(&lock, "acquire", &id, LockCall::Acquire(holder)),
            45..=69 => self.take(&lock, "release", &id, LockCall::Release(holder)),
            70..=79 if lock.has_limit() => self.renew(&lock, &id),
            70..=96 => self.look(&lock),
            _ => self.destroy(&lock, holder, &id),
        }
    }

    fn new_session(&mut self, lock: &LockObject) -> bool {
        let (asked, id) = self.make_session(lock.has_limit());
        let Some(id) = id else { return false };
        let renewed = lock.has_limit().then_some(asked.called);
        held(&lock.sessions).push(Session { id, renewed, alive: true });
        true
    }

    fn take(&mut self, lock: &LockObject, option: &str, id: &str, call: LockCall) -> bool {
        let path = format!("/v1/kv/{ROOT}{}?{option}={id}", lock.path());
        let value = self.work.value().to_string();
        let asked = self.ask("PUT", &path, value.as_bytes());
        let answer = asked.reply().and_then(|reply| match reply.status {
            200 => reply.json().as_bool().map(LockAnswer::Done),
            _ if is_definite(reply) => Some(LockAnswer::Invalid),
            _ => None,
        });
        if answer == Some(LockAnswer::Invalid) {
            self.is_over(lock, id);
        }
        self.keep_lock(lock, Consistency::Consistent, &asked, call, answer)
    }

    fn renew(&mut self, lock: &LockObject, id: &str) -> bool {
        let asked = self.ask("PUT", &format!("/v1/session/renew/{id}"), b"");
        let Some(reply) = asked.reply() else { return false };
        match reply.status {
            200 => {
                let mut sessions = held(&lock.sessions);
                if let Some(session) = sessions.iter_mut().find(|session| session.id == id) {
                    session.renewed = session.renewed.max(Some(asked.called));
                }
            }
            404 => self.is_over(lock, id),
            _ => return false,
        }
        true
    }

    fn look(&mut self, lock: &LockObject) -> bool {
        let path = format!("/v1/kv/{ROOT}{}?consistent", lock.path());
        let asked = self.ask("GET", &path, b"");
        let Some(reply) = asked.reply() else { return false };
        let holder = match reply.status {
            200 => holder_of(lock, &reply.json()[0]),
            404 => Some(None),
            _ => None,
        };
        let answer = holder.map(LockAnswer::Held);
        self.work.sighted(&asked, lock.path(), Consistency::Consistent, reply);
        self.keep_lock(lock, Consistency::Consistent, &asked, LockCall::Look, answer)
    }

    fn destroy(&mut self, lock: &LockObject, holder: Holder, id: &str) -> bool {
        self.is_over(lock, id);
        let asked = self.ask("PUT", &format!("/v1/session/destroy/{id}"), b"");
        let answer = asked.reply().filter(|reply| reply.status == 200);
        let answer = answer.map(|_| LockAnswer::Done(true));
        self.keep_lock(lock, Consistency::Consistent, &asked, LockCall::Destroy(holder), answer)
    }

    fn is_over(&self, lock: &LockObject, id: &str) {
        let mut sessions = held(&lock.sessions);
        if let Some(session) = sessions.iter_mut().find(|session| session.id == id) {
            session.alive = false;
        }
    }

    fn keep_lock(
        &self,
        lock: &LockObject,
        consistency: Consistency,
        asked: &Asked,
        call: LockCall,
        answer: Option<LockAnswer>,
    ) -> bool {
        if matches!(asked.outcome, Outcome::NotSent) {
            return false;
        }
        let answered = answer.is_some();
        let who = self.who(asked, consistency.option());
        let returned = answer.map(|answer| (asked.returned, answer));
        held(&lock.calls).push(consistency, Event { called: asked.called, returned, call, who });
        answered
    }
}

/// Who holds a lock, as its entry shows; nothing when that session is not known (yet).
pub(crate) fn holder_of(lock: &LockObject, entry: &Value) -> Option<Option<Holder>> {
    match entry["Session"].as_str() {
        Some(id) if !id.is_empty() => lock.holder(id).map(Some),
        _ => Some(None),
    }
}
