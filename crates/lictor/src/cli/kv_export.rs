//! `kv export` and `kv import`: a part of the key/value store as JSON.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_api::client::Method;
use lictor_api::url;
use serde::{Deserialize, Serialize};

use super::output::{base64_reason, reason};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, kv_read, out};

/// `lictor kv export`.
pub(super) const EXPORT: Command = Command {
    path: "kv export",
    synopsis: "Writes a part of the key/value store as JSON",
    operands: "[options] [PREFIX]",
    about: "Prints every entry whose key starts with the prefix, as JSON that `kv import` reads.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(export(call)),
};

/// `lictor kv import`.
pub(super) const IMPORT: Command = Command {
    path: "kv import",
    synopsis: "Reads a part of the key/value store from JSON",
    operands: "[options] DATA",
    about: "Writes the entries of the JSON that `kv export` printed: DATA is that text, @file a \
        file of it, - standard input.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(import(call)),
};

#[derive(Debug, Serialize)]
struct Exported {
    key: String,
    flags: u64,
    value: String,
}

/// An entry to import: names are accepted capitalised as well, as the API writes them, and what
/// is missing or `null` is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Imported {
    #[serde(alias = "Key")]
    key: Option<String>,
    #[serde(alias = "Flags")]
    flags: Option<u64>,
    #[serde(alias = "Value")]
    value: Option<String>,
}

/// JSON indented by tabs.
pub(super) fn tabbed<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => String::new(),
    }
}

async fn export(call: Call) -> Exit {
    let prefix = match call.parsed.operands.as_slice() {
        [] => "",
        [prefix] => prefix.strip_prefix('/').unwrap_or(prefix),
        more => {
            return fail(format!("Too many arguments (expected 1, got {})", more.len()));
        }
    };
    let client = client_or_fail!(call);
    match kv_read::entries(&call, &client, prefix, true).await {
        Ok(found) => {
            let list: Vec<Exported> = found
                .iter()
                .map(|e| Exported {
                    key: e.key.clone(),
                    flags: e.flags,
                    value: e.encoded().to_owned(),
                })
                .collect();
            out(&tabbed(&list));
            0
        }
        Err(error) => fail(format!("Error querying Consul agent: {error}")),
    }
}

fn data(operands: &[String]) -> Result<Vec<u8>, String> {
    match operands {
        [] => Err("Error! Missing DATA argument".to_owned()),
        [one] if one == "-" => {
            let mut text = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut text);
            read.map_err(|e| format!("Error! Failed to read stdin: {e}"))?;
            Ok(text)
        }
        [one] => match one.strip_prefix('@') {
            Some("") => Err("Empty file name given".to_owned()),
            Some(path) => std::fs::read(path)
                .map_err(|e| format!("Error! Failed to read file: open {path}: {}", reason(&e))),
            None => Ok(one.as_bytes().to_vec()),
        },
        more => Err(format!("Error! Too many arguments (expected 1, got {})", more.len())),
    }
}

async fn import(call: Call) -> Exit {
    let text = match data(&call.parsed.operands) {
        Ok(text) => text,
        Err(error) => return fail(error),
    };
    let list: Option<Vec<Imported>> = match serde_json::from_slice(&text) {
        Ok(list) => list,
        Err(error) => return fail(format!("Cannot unmarshal data: {error}")),
    };
    let client = client_or_fail!(call);
    for entry in list.unwrap_or_default() {
        let key = entry.key.unwrap_or_default();
        let value = match STANDARD.decode(entry.value.unwrap_or_default()) {
            Ok(value) => value,
            Err(error) => {
                let reason = base64_reason(&error);
                return fail(format!("Error base 64 decoding value for key {key}: {reason}"));
            }
        };
        if key.starts_with('/') {
            let text = "Invalid key. Key must not begin with a '/'";
            return fail(format!("Error! Failed writing data for key {key}: {text}: {key}"));
        }
        let mut request = client.request(Method::PUT, &url::path("/v1/kv/", &key)).body(value);
        if let Some(flags) = entry.flags.filter(|flags| *flags != 0) {
            request = request.pair("flags", &flags.to_string());
        }
        match client.call(request).await {
            Ok(answer) if answer.body.starts_with(b"true") => {
                out(&format!("Imported: {key}"));
            }
            Ok(_) => return fail(format!("Error! Did not write to {key}")),
            Err(error) => {
                return fail(format!("Error! Failed writing data for key {key}: {error}"));
            }
        }
    }
    0
}
