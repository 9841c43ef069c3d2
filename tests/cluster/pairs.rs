//! What clients do with pairs of keys: reads of every consistency, writes, checks-and-sets,
//! transactions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_testkit::Reply;
use serde_json::{Value, json};

use crate::checker::Event;
use crate::model::{Key, KvAnswer, KvCall, Verb};
use crate::objects::{Consistency, PairObject, Version, held, value_of};
use crate::workload::{Asked, Client, Outcome, ROOT};

impl Client<'_> {
    /// One request about a pair; whether it was answered.
    pub(crate) fn pair_step(&mut self) -> bool {
        let pair = self.work.objects.pair(&mut self.chance);
        let key = self.chance.usize(0..2);
        let seen = *held(&pair.seen);
        let value = self.work.value();
        match self.chance.u8(0..100) {
            0..=24 => self.read(&pair, key, Consistency::Consistent),
            25..=36 => self.read(&pair, key, Consistency::Default),
            37..=44 => self.read(&pair, key, Consistency::Stale),
            45..=64 => self.write(&pair, KvCall::Put(key, value), seen),
            65..=79 => {
                // Now and then one that cannot succeed, or only while there is nothing.
                let expected = seen[key].filter(|_| self.chance.u8(0..10) > 0);
                let call = KvCall::Cas(key, expected.map(|(value, _)| value), value);
                self.write(&pair, call, seen)
            }
            80..=83 => self.write(&pair, KvCall::Delete(key), seen),
            84..=88 => match seen[key] {
                Some((old, _)) => self.write(&pair, KvCall::DeleteCas(key, old), seen),
                None => self.read(&pair, key, Consistency::Consistent),
            },
            _ => {
                let verbs = self.verbs(key, value, seen);
                self.transact(&pair, verbs, seen)
            }
        }
    }

    fn verbs(&mut self, key: Key, value: u64, seen: [Option<Version>; 2]) -> Vec<Verb> {
        let other = 1 - key;
        let known = seen[key].map(|(value, _)| value);
        match (self.chance.u8(0..5), known) {
            (0, _) => vec![Verb::Get(key), Verb::Get(other)],
            (1, _) => vec![Verb::Cas(key, known, value), Verb::Set(other, self.work.value())],
            (2, Some(known)) => {
                vec![Verb::CheckIndex(key, known), Verb::Get(key), Verb::Set(other, value)]
            }
            (3, Some(known)) => vec![Verb::DeleteCas(key, known), Verb::Set(other, value)],
            _ => vec![Verb::Set(key, value), Verb::Set(other, self.work.value())],
        }
    }

    fn read(&mut self, pair: &PairObject, key: Key, consistency: Consistency) -> bool {
        let option = consistency.option();
        let path = pair.path(key);
        let asked = self.ask("GET", &format!("/v1/kv/{ROOT}{path}?{option}"), b"");
        let Some(reply) = asked.reply() else { return false };
        let value = match reply.status {
            200 => match self.entry(&reply.json()[0]) {
                Some(version) => {
                    let mut seen = held(&pair.seen);
                    if seen[key].is_none_or(|(_, index)| index < version.1) {
                        seen[key] = Some(version);
                    }
                    Some(version.0)
                }
                None => return false,
            },
            404 => None,
            _ => return false,
        };
        self.work.sighted(&asked, path, consistency, reply);
        self.keep(pair, consistency, &asked, KvCall::Get(key), Some(KvAnswer::Value(value)));
        true
    }

    /// The version that an entry shows.
    fn entry(&self, entry: &Value) -> Option<Version> {
        let version = (value_of(entry)?, entry["ModifyIndex"].as_u64()?);
        self.work.version(version.0, version.1);
        Some(version)
    }

    fn write(&mut self, pair: &PairObject, call: KvCall, seen: [Option<Version>; 2]) -> bool {
        let index = |key: Key| seen[key].map_or(0, |(_, index)| index);
        let (method, key, option, value) = match &call {
            KvCall::Put(key, value) => ("PUT", *key, String::new(), Some(*value)),
            KvCall::Cas(key, None, value) => ("PUT", *key, "?cas=0".to_owned(), Some(*value)),
            KvCall::Cas(key, Some(_), value) => {
                ("PUT", *key, format!("?cas={}", index(*key)), Some(*value))
            }
            KvCall::Delete(key) => ("DELETE", *key, String::new(), None),
            KvCall::DeleteCas(key, _) => ("DELETE", *key, format!("?cas={}", index(*key)), None),
            KvCall::Get(_) | KvCall::Transaction(_) => return false,
        };
        let path = format!("/v1/kv/{ROOT}{}{option}", pair.path(key));
        let body = value.map_or_else(String::new, |value| value.to_string());
        let asked = self.ask(method, &path, body.as_bytes());
        let answer = asked.reply().filter(|reply| reply.status == 200);
        let answer = answer.and_then(|reply| reply.json().as_bool()).map(KvAnswer::Done);
        self.keep(pair, Consistency::Consistent, &asked, call, answer)
    }

    fn transact(
        &mut self,
        pair: &PairObject,
        verbs: Vec<Verb>,
        seen: [Option<Version>; 2],
    ) -> bool {
        let index = |key: Key| seen[key].map_or(0, |(_, index)| index);
        let parts: Vec<Value> = verbs
            .iter()
            .map(|verb| {
                let (name, key, value, index) = match verb {
                    Verb::Set(key, value) => ("set", *key, Some(*value), 0),
                    Verb::Get(key) => ("get", *key, None, 0),
                    Verb::Cas(key, None, value) => ("cas", *key, Some(*value), 0),
                    Verb::Cas(key, Some(_), value) => ("cas", *key, Some(*value), index(*key)),
                    Verb::CheckIndex(key, _) => ("check-index", *key, None, index(*key)),
                    Verb::DeleteCas(key, _) => ("delete-cas", *key, None, index(*key)),
                };
                let mut part = json!({"Verb": name, "Index": index,
                    "Key": format!("{ROOT}{}", pair.path(key))});
                if let Some(value) = value {
                    part["Value"] = STANDARD.encode(value.to_string()).into();
                }
                json!({"KV": part})
            })
            .collect();
        let body = Value::from(parts).to_string();
        let asked = self.ask("PUT", "/v1/txn?consistent", body.as_bytes());
        let gets = verbs.iter().filter(|verb| matches!(verb, Verb::Get(_))).count();
        let answer = asked.reply().and_then(|reply| self.transacted(reply, gets));
        self.keep(pair, Consistency::Consistent, &asked, KvCall::Transaction(verbs), answer)
    }

    fn transacted(&self, reply: &Reply, gets: usize) -> Option<KvAnswer> {
        if reply.status == 409 {
            return Some(KvAnswer::Transaction(None));
        }
        // Only gets show values.
        let results = reply.json()["Results"].as_array().cloned().unwrap_or_default();
        let entries = results.iter().map(|result| &result["KV"]);
        let seen: Vec<u64> = entries.filter_map(|entry| Some(self.entry(entry)?.0)).collect();
        (reply.status == 200 && seen.len() == gets).then_some(KvAnswer::Transaction(Some(seen)))
    }

    /// Puts a call into the history of its object; whether it was answered.
    fn keep(
        &self,
        pair: &PairObject,
        consistency: Consistency,
        asked: &Asked,
        call: KvCall,
        answer: Option<KvAnswer>,
    ) -> bool {
        if matches!(asked.outcome, Outcome::NotSent) {
            return false;
        }
        let answered = answer.is_some();
        let who = self.who(asked, consistency.option());
        let returned = answer.map(|answer| (asked.returned, answer));
        let event = Event { called: asked.called, returned, call, who };
        held(&pair.calls).push(consistency, event);
        answered
    }
}
