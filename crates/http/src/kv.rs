//! `/v1/kv`: reading and writing keys.
//!
//! Rules of locks and conditions are the store's.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use lictor_api::kv::{KvRow, write_rows};
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::{Evaluated, Reply};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::query::Query;
use crate::sniff;

pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let query = &call.request.query;
    if query.has("keys") {
        let separator = match query.text("separator") {
            Cow::Borrowed("") => query.text("seperator"),
            given => given,
        };
        let reply = door.servers().kv_keys(&options, call.rest, &separator).await?;
        let may_be_empty = call.rest.is_empty();
        return Ok(found(reply, |result| match result.value.is_empty() && !may_be_empty {
            true => Answer::empty(404),
            false => Answer::shared(result, call.pretty, Clone::clone),
        }));
    }
    if query.has("recurse") {
        let reply = door.servers().kv_list(&options, call.rest).await?;
        return Ok(found(reply, |result| match result.value.is_empty() {
            true => Answer::empty(404),
            false => Answer::shared_bytes(result, call.pretty, |entries| {
                let mut out = Vec::new();
                write_rows(&mut out, entries.iter().map(|entry| row(entry)), call.pretty);
                out
            }),
        }));
    }
    let key = call.argument("Missing key name")?;
    let reply = door.servers().kv_get(&options, key).await?;
    if query.has("raw") {
        return Ok(raw(reply));
    }
    Ok(found(reply, |result| match &result.value {
        None => Answer::empty(404),
        Some(entry) => Answer::shared_bytes(result, call.pretty, |_| {
            let mut out = Vec::new();
            write_rows(&mut out, std::iter::once(row(entry)), call.pretty);
            out
        }),
    }))
}

/// The answer to a read that succeeded; of those that fail, none tells an index here.
fn found<T>(reply: Reply<T>, shape: impl FnOnce(&Evaluated<T>) -> Answer) -> Answer {
    shape(&reply.result).with_meta(&reply.meta)
}

fn raw(reply: Reply<Option<Arc<KvEntry>>>) -> Answer {
    found(reply, |result| match &result.value {
        None => Answer::empty(404),
        Some(entry) if entry.value.is_empty() => Answer::ok(),
        Some(entry) => Answer::body(sniff::content_type(&entry.value), entry.value.clone()),
    })
}

pub(crate) async fn put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let key = call.argument("Missing key name")?;
    conflicts(query, &["cas", "acquire"])?;
    conflicts(query, &["cas", "release"])?;
    conflicts(query, &["acquire", "release"])?;
    let mut entry = KvEntry {
        key: key.into(),
        flags: number(query, "flags")?.unwrap_or(0),
        value: own(&call.request.body),
        ..KvEntry::default()
    };
    let op = if let Some(index) = number(query, "cas")? {
        entry.modify_index = index;
        KvOp::Cas
    } else if let Some(session) = query.get("acquire") {
        entry.session = session.into();
        KvOp::Lock
    } else if let Some(session) = query.get("release") {
        entry.session = session.into();
        KvOp::Unlock
    } else {
        KvOp::Set
    };
    write(door, &call, op, entry).await
}

pub(crate) async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    conflicts(query, &["recurse", "cas"])?;
    let mut entry = KvEntry { key: call.rest.into(), ..KvEntry::default() };
    let op = if query.has("recurse") {
        KvOp::DeleteTree
    } else {
        call.argument("Missing key name")?;
        match number(query, "cas")? {
            Some(index) => {
                entry.modify_index = index;
                KvOp::DeleteCas
            }
            None => KvOp::Delete,
        }
    };
    write(door, &call, op, entry).await
}

async fn write(
    door: &Door,
    call: &Call<'_>,
    op: KvOp,
    entry: KvEntry,
) -> Result<Answer, HttpError> {
    let write = KvWrite { op, entry, lock_delayed: false };
    let applied = door.servers().kv_apply(&call.request.write_options(), write).await?;
    Ok(Answer::boolean(applied, call.pretty))
}

/// An entry as it is written to answers.
pub(crate) fn row(entry: &KvEntry) -> KvRow<'_> {
    KvRow {
        lock_index: entry.lock_index,
        key: &entry.key,
        flags: entry.flags,
        value: Some(&entry.value),
        session: &entry.session,
        create_index: entry.create_index,
        modify_index: entry.modify_index,
    }
}

/// The body without room to spare: it may be kept for a long time.
fn own(body: &Bytes) -> Bytes {
    Bytes::copy_from_slice(body)
}

/// Refuses parameters that cannot stand together, naming the whole query in order of names.
fn conflicts(query: &Query, names: &[&str]) -> Result<(), HttpError> {
    if query.raw().is_empty() || names.iter().filter(|name| query.has(name)).count() < 2 {
        return Ok(());
    }
    let mut pairs: Vec<_> = query.pairs().collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut text = String::from("Conflicting flags: ");
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        lictor_api::url::escape_query(&mut text, name);
        text.push('=');
        lictor_api::url::escape_query(&mut text, value);
    }
    Err(HttpError::bad_request(text))
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, HttpError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(number)),
        _ => {
            let reason = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                "value out of range"
            } else {
                "invalid syntax"
            };
            Err(HttpError::refused(format!("strconv.ParseUint: parsing {text:?}: {reason}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_name_the_whole_query() {
        let check = |raw: &str| conflicts(&Query::new(raw), &["cas", "acquire"]);
        assert!(check("cas=0&flags=1").is_ok());
        let error = check("cas=0&acquire=a%20b").unwrap_err();
        assert_eq!(error.text(), "Conflicting flags: acquire=a%20b&cas=0");
    }

    #[test]
    fn numbers_are_decimal_and_fit() {
        let read = |raw: &str| number(&Query::new(raw), "n").map_err(|e| e.text().to_owned());
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("n=18446744073709551615"), Ok(Some(u64::MAX)));
        for bad in ["n=nan", "n=-1", "n=+1", "n="] {
            assert!(read(bad).unwrap_err().ends_with("invalid syntax"), "{bad}");
        }
        assert!(read("n=18446744073709551616").unwrap_err().ends_with("out of range"));
    }
}
