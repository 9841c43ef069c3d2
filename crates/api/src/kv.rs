//! `/v1/kv`: entries of the key/value store.
//!
//! Entries are written by hand, not through serde: they are what is read most.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::client::{Client, ClientError, Method, ReadOptions, Request};
use crate::json;
use crate::url;

/// An entry as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvPair {
    /// Number of times that it was locked afresh.
    pub lock_index: u64,
    /// Full key.
    pub key: String,
    /// Opaque number of the client.
    pub flags: u64,
    /// Value; `null` is empty.
    #[serde(deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    /// Session that holds the lock; empty for none.
    pub session: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last write.
    pub modify_index: u64,
}

/// An entry as it is written to an answer.
#[derive(Clone, Copy, Debug)]
pub struct KvRow<'a> {
    /// Number of times that it was locked afresh.
    pub lock_index: u64,
    /// Full key.
    pub key: &'a str,
    /// Opaque number of the client.
    pub flags: u64,
    /// Value; empty or `None` is shown as `null`.
    pub value: Option<&'a [u8]>,
    /// Session that holds the lock; left out when empty.
    pub session: &'a str,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last write.
    pub modify_index: u64,
}

impl KvRow<'_> {
    /// Appends the entry as a JSON object. `indent` is the depth in a pretty body, `None` for the
    /// compact form.
    pub fn write(&self, out: &mut Vec<u8>, indent: Option<usize>) {
        out.reserve(160 + self.key.len() + self.value.map_or(0, <[u8]>::len).div_ceil(3) * 4);
        let mut object = ObjectWriter { out, indent };
        object.name("{", "\"LockIndex\":");
        object.number(self.lock_index);
        object.name(",", "\"Key\":");
        json::write_string(object.out, self.key);
        object.name(",", "\"Flags\":");
        object.number(self.flags);
        object.name(",", "\"Value\":");
        match self.value {
            None | Some([]) => object.out.extend_from_slice(b"null"),
            Some(value) => write_base64(object.out, value),
        }
        if !self.session.is_empty() {
            object.name(",", "\"Session\":");
            json::write_string(object.out, self.session);
        }
        object.name(",", "\"CreateIndex\":");
        object.number(self.create_index);
        object.name(",", "\"ModifyIndex\":");
        object.number(self.modify_index);
        object.end();
    }
}

/// Appends a list of entries as a whole body, as [`json::write`] would.
pub fn write_rows<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = KvRow<'a>>, pretty: bool) {
    let mut empty = true;
    out.push(b'[');
    for row in rows {
        if !empty {
            out.push(b',');
        }
        empty = false;
        if pretty {
            out.extend_from_slice(b"\n    ");
        }
        row.write(out, pretty.then_some(1));
    }
    if pretty {
        out.extend_from_slice(if empty { b"]\n" } else { b"\n]\n" });
    } else {
        out.push(b']');
    }
}

struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    indent: Option<usize>,
}

impl ObjectWriter<'_> {
    fn name(&mut self, before: &str, name: &str) {
        self.out.extend_from_slice(before.as_bytes());
        if let Some(depth) = self.indent {
            self.new_line(depth + 1);
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b' ');
        } else {
            self.out.extend_from_slice(name.as_bytes());
        }
    }

    fn number(&mut self, number: u64) {
        write_number(self.out, number);
    }

    fn end(&mut self) {
        if let Some(depth) = self.indent {
            self.new_line(depth);
        }
        self.out.push(b'}');
    }

    fn new_line(&mut self, depth: usize) {
        self.out.push(b'\n');
        for _ in 0..depth {
            self.out.extend_from_slice(b"    ");
        }
    }
}

/// Appends a number in decimal.
pub fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is a single digit.
        #[allow(clippy::cast_possible_truncation)]
        let digit = (number % 10) as u8;
        digits[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_base64(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + value.len().div_ceil(3) * 4, 0);
    // The room is exactly what the encoding needs.
    let written = STANDARD.encode_slice(value, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(Vec::new()),
        Some(text) => STANDARD.decode(text).map_err(serde::de::Error::custom),
    }
}

/// The forms of a KV write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvPut<'a> {
    /// Opaque number kept with the value.
    pub flags: u64,
    /// Write only if the entry's ModifyIndex is this; 0: only if it does not exist.
    pub cas: Option<u64>,
    /// Take the lock for this session; empty for not.
    pub acquire: &'a str,
    /// Give the lock of this session back; empty for not.
    pub release: &'a str,
}

impl Client {
    fn kv(&self, key: &str, options: ReadOptions) -> Request {
        self.read(&url::path("/v1/kv/", key), options)
    }

    /// One entry; `None` when there is none.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_get(
        &self,
        key: &str,
        options: ReadOptions,
    ) -> Result<Option<KvPair>, ClientError> {
        Ok(self.kv_read(self.kv(key, options)).await?.into_iter().next())
    }

    /// Every entry whose key starts with `prefix`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_list(
        &self,
        prefix: &str,
        options: ReadOptions,
    ) -> Result<Vec<KvPair>, ClientError> {
        self.kv_read(self.kv(prefix, options).flag("recurse")).await
    }

    /// Keys that start with `prefix`, up to the first `separator` after it.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_keys(
        &self,
        prefix: &str,
        separator: &str,
        options: ReadOptions,
    ) -> Result<Vec<String>, ClientError> {
        let request = self.kv(prefix, options).flag("keys").pair_if("separator", separator);
        self.kv_read(request).await
    }

    async fn kv_read<T: serde::de::DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<Vec<T>, ClientError> {
        let response = self.send(request).await?;
        if response.status == 404 {
            return Ok(Vec::new());
        }
        response.expect_ok()?.json()
    }

    /// Writes an entry; `false` when a condition did not hold.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_put(
        &self,
        key: &str,
        value: impl Into<bytes::Bytes>,
        form: KvPut<'_>,
    ) -> Result<bool, ClientError> {
        let mut request = self.put(&url::path("/v1/kv/", key)).body(value);
        let mut number = String::new();
        if form.flags != 0 {
            // Writing to a string cannot fail.
            let _ = write!(number, "{}", form.flags);
            request = request.pair("flags", &number);
        }
        if let Some(index) = form.cas {
            request = request.pair("cas", &index.to_string());
        }
        request = request.pair_if("acquire", form.acquire).pair_if("release", form.release);
        self.call_json(request).await
    }

    /// Deletes an entry; with `cas` only if its ModifyIndex is that one. `false` when it is not.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_delete(&self, key: &str, cas: Option<u64>) -> Result<bool, ClientError> {
        let mut request = self.request(Method::DELETE, &url::path("/v1/kv/", key));
        if let Some(index) = cas {
            request = request.pair("cas", &index.to_string());
        }
        self.call_json(request).await
    }

    /// Deletes every entry whose key starts with `prefix`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn kv_delete_tree(&self, prefix: &str) -> Result<bool, ClientError> {
        let request = self.request(Method::DELETE, &url::path("/v1/kv/", prefix)).flag("recurse");
        self.call_json(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Serialize;

    /// The same entry through serde, as the reference for the hand-written form.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Reference {
        lock_index: u64,
        key: String,
        flags: u64,
        value: Option<String>,
        #[serde(skip_serializing_if = "String::is_empty")]
        session: String,
        create_index: u64,
        modify_index: u64,
    }

    proptest! {
        #[test]
        fn rows_are_what_serde_would_write_and_are_read_back(
            rows in prop::collection::vec(
                (any::<u64>(), "\\PC{0,8}", any::<u64>(), prop::collection::vec(any::<u8>(), 0..9),
                 "[a-f0-9-]{0,3}", any::<u64>()), 0..4),
            pretty in any::<bool>(),
        ) {
            let reference: Vec<_> = rows.iter().map(|(lock, key, flags, value, session, index)| {
                Reference {
                    lock_index: *lock,
                    key: key.clone(),
                    flags: *flags,
                    value: (!value.is_empty()).then(|| STANDARD.encode(value)),
                    session: session.clone(),
                    create_index: *index,
                    modify_index: index / 2,
                }
            }).collect();
            let mut out = Vec::new();
            write_rows(&mut out, rows.iter().map(|(lock, key, flags, value, session, index)| KvRow {
                lock_index: *lock,
                key,
                flags: *flags,
                value: Some(value),
                session,
                create_index: *index,
                modify_index: index / 2,
            }), pretty);
            let expected = json::to_vec(&reference, pretty).unwrap();
            prop_assert_eq!(String::from_utf8(out.clone()).unwrap(), String::from_utf8(expected).unwrap());
            let back: Vec<KvPair> = serde_json::from_slice(&out).unwrap();
            for (pair, row) in back.iter().zip(&rows) {
                prop_assert_eq!(&pair.key, &row.1);
                prop_assert_eq!(&pair.value, &row.3);
                prop_assert_eq!(&pair.session, &row.4);
            }
        }
    }
}
