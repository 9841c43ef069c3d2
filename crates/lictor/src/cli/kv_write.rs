//! `kv put` and `kv delete`.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_api::client::{Client, Method, Request};
use lictor_api::url;

use super::flags::{Kind, flag};
use super::output::{base64_reason, reason};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, out};

/// `lictor kv put`.
pub(super) const PUT: Command = Command {
    path: "kv put",
    synopsis: "Writes to the key/value store",
    operands: "[options] KEY [DATA]",
    about: "Writes a key. DATA is the value; @file reads it from a file and - from standard \
        input; without it the value is empty.",
    flags: &[
        flag("acquire", Kind::Bool, "Take the key's lock for -session."),
        flag("base64", Kind::Bool, "DATA is base64."),
        flag("cas", Kind::Bool, "Write only if the key is still at -modify-index."),
        flag("flags", Kind::Text, "A number of your own to store with the key."),
        flag("modify-index", Kind::Text, "The index for -cas."),
        flag("release", Kind::Bool, "Give the key's lock back for -session."),
        flag("session", Kind::Text, "ID of the session that locks."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(put(call)),
};

/// `lictor kv delete`.
pub(super) const DELETE: Command = Command {
    path: "kv delete",
    synopsis: "Deletes from the key/value store",
    operands: "[options] KEY_OR_PREFIX",
    about: "Deletes a key, or with -recurse every key that starts with a prefix.",
    flags: &[
        flag("cas", Kind::Bool, "Delete only if the key is still at -modify-index."),
        flag("modify-index", Kind::Text, "The index for -cas."),
        flag("recurse", Kind::Bool, "Delete every key that starts with the prefix."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

fn value(call: &Call, given: Option<&String>) -> Result<Vec<u8>, String> {
    let raw = match given.map(String::as_str) {
        None | Some("") => Vec::new(),
        Some("-") => {
            let mut text = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut text);
            read.map_err(|e| format!("Error! Failed to read stdin: {e}"))?;
            text
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) => std::fs::read(path)
                .map_err(|e| format!("Error! Failed to read file: open {path}: {}", reason(&e)))?,
            None => text.as_bytes().to_vec(),
        },
    };
    if !call.parsed.is_set("base64") {
        return Ok(raw);
    }
    // As the original does: what cannot be decoded is said and written as it is.
    Ok(STANDARD.decode(&raw).unwrap_or_else(|error| {
        err(&format!("Error! Cannot base 64 decode data: {}", base64_reason(&error)));
        raw
    }))
}

async fn put(call: Call) -> Exit {
    let p = &call.parsed;
    let (key, data) = match p.operands.as_slice() {
        [] => return fail("Error! Missing KEY argument"),
        [key] => (key, None),
        [key, data] => (key, Some(data)),
        more => {
            let n = more.len();
            return fail(format!("Error! Too many arguments (expected 1 or 2, got {n})"));
        }
    };
    let (index, flags) = match (p.number("modify-index"), p.number("flags")) {
        (Ok(index), Ok(flags)) => (index.unwrap_or(0), flags.unwrap_or(0)),
        (Err(error), _) | (_, Err(error)) => return fail(error.to_string()),
    };
    let (cas, acquire, release) = (p.is_set("cas"), p.is_set("acquire"), p.is_set("release"));
    if cas && index == 0 {
        return fail("Must specify -modify-index with -cas!");
    }
    let session = p.text_or_empty("session");
    if (acquire || release) && session.is_empty() {
        return fail("Error! Missing -session (required with -acquire and -release)");
    }
    let data = match value(&call, data) {
        Ok(data) => data,
        Err(error) => return fail(error),
    };
    if key.starts_with('/') {
        let text = "Invalid key. Key must not begin with a '/'";
        return fail(format!("Error! Failed writing data: {text}: {key}"));
    }
    let client = client_or_fail!(call);
    let mut request = client.request(Method::PUT, &url::path("/v1/kv/", key)).body(data);
    if flags != 0 {
        request = request.pair("flags", &flags.to_string());
    }
    let (doing, done, not_done) = if cas {
        request = request.pair("cas", &index.to_string());
        ("did not write to", "Data written to", "Did not write to {}: CAS failed")
    } else if acquire {
        request = request.pair("acquire", session);
        ("failed writing data", "Lock acquired on", "Did not acquire lock")
    } else if release {
        request = request.pair("release", session);
        ("failed writing data", "Lock released on", "Did not release lock")
    } else {
        ("failed writing data", "Data written to", "Did not write to {}")
    };
    match applied(&client, request).await {
        Ok(true) => {
            out(&format!("Success! {done}: {key}"));
            0
        }
        Ok(false) => fail(format!("Error! {}", not_done.replace("{}", key))),
        Err(error) if cas => fail(format!("Error! Did not write to {key}: {error}")),
        Err(error) => fail(format!("Error! {}{}: {error}", doing[..1].to_uppercase(), &doing[1..])),
    }
}

/// Sends a conditional write and reads whether it took place.
async fn applied(client: &Client, request: Request) -> Result<bool, String> {
    let answer = client.call(request).await.map_err(|error| error.to_string())?;
    Ok(answer.body.starts_with(b"true"))
}

async fn delete(call: Call) -> Exit {
    let p = &call.parsed;
    let (recurse, cas) = (p.is_set("recurse"), p.is_set("cas"));
    let key = match p.operands.as_slice() {
        [] if recurse => "",
        [] => return fail("Error! Missing KEY argument"),
        [key] => key.strip_prefix('/').unwrap_or(key),
        more => {
            return fail(format!("Too many arguments (expected 1, got {})", more.len()));
        }
    };
    if key.is_empty() && !recurse {
        return fail("Error! Missing KEY argument");
    }
    let index = match p.number("modify-index") {
        Ok(index) => index.unwrap_or(0),
        Err(error) => return fail(error.to_string()),
    };
    if cas && index == 0 {
        return fail("Must specify -modify-index with -cas!");
    }
    if index != 0 && !cas {
        return fail("Cannot specify -modify-index without -cas!");
    }
    if cas && recurse {
        return fail("Cannot specify both -cas and -recurse!");
    }
    let client = client_or_fail!(call);
    let mut request = client.request(Method::DELETE, &url::path("/v1/kv/", key));
    if recurse {
        request = request.flag("recurse");
    }
    if cas {
        request = request.pair("cas", &index.to_string());
    }
    match applied(&client, request).await {
        Ok(true) if recurse => {
            out(&format!("Success! Deleted keys with prefix: {key}"));
            0
        }
        Ok(true) => {
            out(&format!("Success! Deleted key: {key}"));
            0
        }
        Ok(false) => fail(format!("Error! Did not delete key {key}: CAS failed")),
        Err(error) if recurse => fail(format!("Error! Did not delete prefix {key}: {error}")),
        Err(error) if cas => fail(format!("Error! Did not delete key {key}: {error}")),
        Err(error) => fail(format!("Error deleting key {key}: {error}")),
    }
}
