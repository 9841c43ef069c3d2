//! `kv get`: a value, an entry's details, a list of keys, or everything below a prefix.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_api::client::{Client, ClientError};
use lictor_api::url;
use serde::Deserialize;

use super::flags::{Kind, flag};
use super::output::{columns, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor kv get`.
pub(super) const COMMAND: Command = Command {
    path: "kv get",
    synopsis: "Reads from the key/value store",
    operands: "[options] [KEY_OR_PREFIX]",
    about: "Prints the value of a key, or with -recurse or -keys what is below a prefix.",
    flags: &[
        flag("base64", Kind::Bool, "Print values in base64."),
        flag("detailed", Kind::Bool, "Print everything that is stored about an entry."),
        flag("keys", Kind::Bool, "Print the keys that start with the prefix, not their values."),
        flag("recurse", Kind::Bool, "Print every entry whose key starts with the prefix."),
        flag("separator", Kind::Text, "With -keys: cut keys after this text. Default: /"),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

/// An entry as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    lock_index: u64,
    pub(super) key: String,
    pub(super) flags: u64,
    value: Option<String>,
    #[serde(default)]
    session: String,
    create_index: u64,
    pub(super) modify_index: u64,
}

impl Entry {
    /// The value as sent.
    pub(super) fn encoded(&self) -> &str {
        self.value.as_deref().unwrap_or("")
    }

    fn shown(&self, encoded: bool) -> Vec<u8> {
        if encoded {
            self.encoded().as_bytes().to_vec()
        } else {
            STANDARD.decode(self.encoded()).unwrap_or_else(|_| self.encoded().as_bytes().to_vec())
        }
    }
}

/// Reads the entries at `path`; a missing key is an empty list. As the original's, the text of a
/// refusal is not shown.
pub(super) async fn entries(
    call: &Call,
    client: &Client,
    key: &str,
    recurse: bool,
) -> Result<Vec<Entry>, String> {
    let mut request = call.read(client, &url::path("/v1/kv/", key));
    if recurse {
        request = request.flag("recurse");
    }
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    match answer.status {
        200 => answer.json().map_err(|error: ClientError| error.to_string()),
        404 => Ok(Vec::new()),
        status => Err(format!("Unexpected response code: {status}")),
    }
}

async fn run(call: Call) -> Exit {
    let (recurse, keys) = (call.parsed.is_set("recurse"), call.parsed.is_set("keys"));
    let key = match call.parsed.operands.as_slice() {
        [] if recurse || keys => "",
        [] => return fail("Error! Missing KEY argument"),
        [key] => key.strip_prefix('/').unwrap_or(key),
        more => {
            return fail(format!("Too many arguments (expected 1, got {})", more.len()));
        }
    };
    if key.is_empty() && !recurse && !keys {
        return fail("Error! Missing KEY argument");
    }
    let client = client_or_fail!(call);
    if keys {
        return list_keys(&call, &client, key).await;
    }
    let found = match entries(&call, &client, key, recurse).await {
        Ok(found) => found,
        Err(error) => return fail(format!("Error querying Consul agent: {error}")),
    };
    let (detailed, encoded) = (call.parsed.is_set("detailed"), call.parsed.is_set("base64"));
    match (found.as_slice(), recurse, detailed) {
        ([], false, _) => return fail(format!("Error! No key exists at: {key}")),
        (found, true, true) => {
            let parts: Vec<_> = found.iter().map(|e| details(e, encoded)).collect();
            if !parts.is_empty() {
                out(&parts.join("\n\n"));
            }
        }
        (found, true, false) => found.iter().for_each(|e| {
            print_bytes(&[e.key.as_bytes(), b":", &e.shown(encoded), b"\n"].concat());
        }),
        ([entry, ..], false, true) => out(&details(entry, encoded)),
        ([entry, ..], false, false) => print_bytes(&[&entry.shown(encoded)[..], b"\n"].concat()),
    }
    0
}

/// Values are bytes, not text: they go out as they are.
fn print_bytes(bytes: &[u8]) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(bytes);
}

async fn list_keys(call: &Call, client: &Client, prefix: &str) -> Exit {
    let separator = call.parsed.text("separator").unwrap_or("/");
    let request = call
        .read(client, &url::path("/v1/kv/", prefix))
        .flag("keys")
        .pair_if("separator", separator);
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return fail(format!("Error querying Consul agent: {error}")),
    };
    match answer.status {
        404 => 0,
        200 => match answer.json::<Vec<String>>() {
            Ok(keys) => {
                keys.iter().for_each(|key| out(key));
                0
            }
            Err(error) => fail(format!("Error querying Consul agent: {error}")),
        },
        status => fail(format!("Error querying Consul agent: Unexpected response code: {status}")),
    }
}

fn details(entry: &Entry, encoded: bool) -> String {
    let session = if entry.session.is_empty() { "-" } else { &entry.session };
    let value = String::from_utf8_lossy(&entry.shown(encoded)).into_owned();
    columns(&[
        row(["CreateIndex", &entry.create_index.to_string()]),
        row(["Flags", &entry.flags.to_string()]),
        row(["Key", &entry.key]),
        row(["LockIndex", &entry.lock_index.to_string()]),
        row(["ModifyIndex", &entry.modify_index.to_string()]),
        row(["Session", session]),
        row(["Value", &value]),
    ])
    .lines()
    .map(tab_stop)
    .collect::<Vec<_>>()
    .join("\n")
}

/// The details of an entry have six blanks between the columns.
fn tab_stop(line: &str) -> String {
    const NAME: usize = "ModifyIndex".len() + 2;
    match line.get(NAME..) {
        Some(value) if line.len() > NAME => format!("{}    {value}", &line[..NAME]),
        _ => line.to_owned(),
    }
}
