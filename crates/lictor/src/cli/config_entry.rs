//! `config delete`, `list`, `read` and `write`: configuration entries.

use std::io::Read as _;

use lictor_api::client::Method;
use lictor_api::{json, url};
use lictor_types::Index;
use lictor_types::config_entry::ConfigEntry;
use lictor_types::config_entry::shown::Shown;
use serde_json::{Map, Value};

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};
use crate::config;

/// Longest entry that is read from a file or from standard input, in bytes.
const ENTRY_MAX: u64 = 1 << 20;

/// `lictor config delete`.
pub(super) const DELETE: Command = Command {
    path: "config delete",
    synopsis: "Deletes a configuration entry",
    operands: "[options] -kind KIND -name NAME",
    about: "Deletes a configuration entry. One that is not there is no mistake.",
    flags: &[
        flag("kind", Kind::Text, "Kind of the entry."),
        flag("name", Kind::Text, "Name of the entry."),
        flag("cas", Kind::Bool, "Delete only if the entry is still at -modify-index."),
        flag("modify-index", Kind::Text, "The index for -cas."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

/// `lictor config list`.
pub(super) const LIST: Command = Command {
    path: "config list",
    synopsis: "Lists the configuration entries of a kind",
    operands: "[options] -kind KIND",
    about: "Lists the names of all configuration entries of a kind.",
    flags: &[flag("kind", Kind::Text, "Kind of the entries.")],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor config read`.
pub(super) const READ: Command = Command {
    path: "config read",
    synopsis: "Shows a configuration entry",
    operands: "[options] -kind KIND -name NAME",
    about: "Shows a configuration entry as JSON.",
    flags: &[
        flag("kind", Kind::Text, "Kind of the entry."),
        flag("name", Kind::Text, "Name of the entry."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(read(call)),
};

/// `lictor config write`.
pub(super) const WRITE: Command = Command {
    path: "config write",
    synopsis: "Creates or changes a configuration entry",
    operands: "[options] FILE",
    about: "Creates a configuration entry, or replaces it, from a file in HCL or JSON; - reads it \
        from standard input.",
    flags: &[
        flag("cas", Kind::Bool, "Write only if the entry is still at -modify-index."),
        flag("modify-index", Kind::Text, "The index for -cas; 0: only if it is not there."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(write(call)),
};

/// The kind and the name that the flags give.
fn wanted(call: &Call) -> Result<(&str, &str), &'static str> {
    match (call.parsed.text_or_empty("kind"), call.parsed.text_or_empty("name")) {
        ("", _) => Err("Must specify the -kind parameter"),
        (_, "") => Err("Must specify the -name parameter"),
        both => Ok(both),
    }
}

fn path(kind: &str, name: &str) -> String {
    let mut path = "/v1/config/".to_owned();
    url::escape_segment(&mut path, kind);
    path.push('/');
    url::escape_segment(&mut path, name);
    path
}

/// The index that the last change must have had, if the flags ask for that.
fn cas(call: &Call) -> Result<Option<Index>, &'static str> {
    if !call.parsed.is_set("cas") {
        return match call.parsed.text("modify-index") {
            None => Ok(None),
            Some(_) => Err("Cannot specify -modify-index without -cas"),
        };
    }
    let given = call.parsed.number("modify-index").map_err(|_| "-modify-index is not a number")?;
    given.map(Some).ok_or("Must specify -modify-index with -cas")
}

async fn delete(call: Call) -> Exit {
    let ((kind, name), cas) = match wanted(&call).and_then(|both| Ok((both, cas(&call)?))) {
        Ok(found) => found,
        Err(problem) => return fail(problem),
    };
    let client = client_or_fail!(call);
    let mut request = client.request(Method::DELETE, &path(kind, name));
    if let Some(index) = cas {
        request = request.pair("cas", &index.to_string());
    }
    match client.call(request).await {
        // With a condition the answer is whether it held.
        Ok(done) if cas.is_some() && done.body.trim_ascii() != b"true" => {
            fail(format!("Config entry not deleted: {kind}/{name}"))
        }
        Ok(_) => {
            out(&format!("Config entry deleted: {kind}/{name}"));
            0
        }
        Err(error) => fail(format!("Error deleting config entry {kind}/{name}: {error}")),
    }
}

async fn list(call: Call) -> Exit {
    let kind = call.parsed.text_or_empty("kind");
    if kind.is_empty() {
        return fail("Must specify the -kind parameter");
    }
    let client = client_or_fail!(call);
    let request = call.read(&client, &url::path("/v1/config/", kind));
    let entries: Vec<Map<String, Value>> = match client.call_json(request).await {
        Ok(entries) => entries,
        Err(error) => {
            return fail(format!("Error listing config entries for kind {kind:?}: {error}"));
        }
    };
    for entry in entries {
        // The only one of its kind is shown without its name.
        out(entry.get("Name").and_then(Value::as_str).unwrap_or(kind));
    }
    0
}

async fn read(call: Call) -> Exit {
    let (kind, name) = match wanted(&call) {
        Ok(found) => found,
        Err(problem) => return fail(problem),
    };
    let client = client_or_fail!(call);
    let request = call.read(&client, &path(kind, name));
    let shown: Map<String, Value> = match client.call_json(request).await {
        Ok(shown) => shown,
        Err(error) => {
            return fail(format!("Error reading config entry {kind}/{name}: {error}"));
        }
    };
    let text = match ConfigEntry::from_json(&shown) {
        Ok(mut entry) => {
            let index = |name: &str| shown.get(name).and_then(Value::as_u64).unwrap_or_default();
            entry.create_index = index("CreateIndex");
            entry.modify_index = index("ModifyIndex");
            json::to_vec(&Shown(&entry), false)
        }
        // Of a kind that only the agent knows.
        Err(_) => json::to_vec(&shown, false),
    };
    match text {
        Ok(text) => {
            out(&String::from_utf8_lossy(&json::reformat(&text, Some(4))));
            0
        }
        Err(error) => fail(format!("Failed to encode output data: {error}")),
    }
}

async fn write(call: Call) -> Exit {
    let [file] = call.parsed.operands.as_slice() else {
        return fail(
            "Must provide exactly one positional argument to specify the config entry to write",
        );
    };
    let cas = match cas(&call) {
        Ok(cas) => cas,
        Err(problem) => return misused(call.command, problem),
    };
    let text = match load(file) {
        Ok(text) => text,
        Err(error) => return fail(format!("Failed to load data: {error}")),
    };
    let entry = config::free_json(&text)
        .and_then(|given| ConfigEntry::from_json(&given).map_err(|error| error.to_string()));
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return fail(format!("Failed to decode config entry input: {error}")),
    };
    let label = format!("{}/{}", entry.kind.as_str(), entry.name);
    let client = client_or_fail!(call);
    let mut request = client.put("/v1/config");
    if let Some(index) = cas {
        request = request.pair("cas", &index.to_string());
    }
    let request = match request.json(&Shown(&entry)) {
        Ok(request) => request,
        Err(error) => return fail(format!("Error writing config entry {label}: {error}")),
    };
    match client.call_json::<bool>(request).await {
        Ok(true) => {
            out(&format!("Config entry written: {label}"));
            0
        }
        Ok(false) => fail(format!("Config entry not updated: {label}")),
        Err(error) => fail(format!("Error writing config entry {label}: {error}")),
    }
}

/// The text of a file, or of standard input.
fn load(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(ENTRY_MAX).read_to_string(&mut text),
        path => std::fs::File::open(path)
            .and_then(|file| file.take(ENTRY_MAX).read_to_string(&mut text)),
    };
    match (read, file) {
        (Ok(read), _) if read as u64 == ENTRY_MAX => {
            Err(format!("Failed to read {file}: it is larger than {ENTRY_MAX} bytes"))
        }
        (Ok(_), _) => Ok(text),
        (Err(error), "-") => Err(format!("Failed to read stdin: {error}")),
        (Err(error), path) => {
            Err(format!("Failed to read file: open {path}: {}", super::output::reason(&error)))
        }
    }
}
