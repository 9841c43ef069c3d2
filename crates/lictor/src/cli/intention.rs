//! `intention check`, `delete`, `get`, `list` and `match`; creating is in `intention_create`.
//!
//! An intention is found by its ID or by source and destination.

use std::collections::BTreeMap;

use lictor_api::client::{Client, Method};
use lictor_api::url;
use serde::{Deserialize, Serialize};

use super::flags::{Kind, flag};
use super::output::{columns, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, out};

const BY_PAIR_OR_ID: &str = "[options] SRC DST | ID";

/// `lictor intention check`.
pub(super) const CHECK: Command = Command {
    path: "intention check",
    synopsis: "Says whether a connection is allowed",
    operands: "[options] SRC DST",
    about: "Says whether SRC may connect to DST: exit code 0 when allowed, 1 when denied, 2 for \
        an error.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(check(call)),
};

/// `lictor intention delete`.
pub(super) const DELETE: Command = Command {
    path: "intention delete",
    synopsis: "Deletes an intention",
    operands: BY_PAIR_OR_ID,
    about: "Deletes an intention, given by source and destination or by its ID.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

/// `lictor intention get`.
pub(super) const GET: Command = Command {
    path: "intention get",
    synopsis: "Shows an intention",
    operands: BY_PAIR_OR_ID,
    about: "Shows an intention, given by source and destination or by its ID.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(get(call)),
};

/// `lictor intention list`.
pub(super) const LIST: Command = Command {
    path: "intention list",
    synopsis: "Lists all intentions",
    operands: "[options]",
    about: "Lists all intentions, in the order in which they are tried.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor intention match`.
pub(super) const MATCH: Command = Command {
    path: "intention match",
    synopsis: "Lists the intentions that concern a service",
    operands: "[options] SRC_OR_DST",
    about: "Lists the intentions that match a source or destination, in the order in which they \
        are tried.",
    flags: &[
        flag("destination", Kind::Bool, "Match by destination; the default."),
        flag("source", Kind::Bool, "Match by source."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(matching(call)),
};

/// An intention as the API shows and takes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Intention {
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    pub(super) description: String,
    #[serde(rename = "SourceNS", skip_serializing_if = "String::is_empty")]
    pub(super) source_ns: String,
    pub(super) source_name: String,
    #[serde(rename = "DestinationNS", skip_serializing_if = "String::is_empty")]
    pub(super) destination_ns: String,
    pub(super) destination_name: String,
    pub(super) source_type: String,
    pub(super) action: String,
    pub(super) meta: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing)]
    pub(super) created_at: String,
    #[serde(skip_serializing)]
    pub(super) precedence: i64,
}

impl Intention {
    /// `web => db (allow)`, with namespaces where they are not the default one.
    pub(super) fn text(&self) -> String {
        format!(
            "{} => {} ({})",
            side(&self.source_ns, &self.source_name),
            side(&self.destination_ns, &self.destination_name),
            self.action
        )
    }
}

/// `ns/name` or `name` as namespace and name.
pub(super) fn split_name(text: &str) -> (String, String) {
    match text.split_once('/') {
        Some((ns, name)) => (ns.to_owned(), name.to_owned()),
        None => ("default".to_owned(), text.to_owned()),
    }
}

/// The intention with exactly this source and destination.
pub(super) async fn find(
    call: &Call,
    client: &Client,
    source: &str,
    destination: &str,
) -> Result<Option<Intention>, String> {
    let list: Vec<Intention> = client
        .call_json(call.read(client, "/v1/connect/intentions"))
        .await
        .map_err(|error| error.to_string())?;
    let (source, destination) = (split_name(source), split_name(destination));
    Ok(list.into_iter().find(|i| {
        (&i.source_ns, &i.source_name) == (&source.0, &source.1)
            && (&i.destination_ns, &i.destination_name) == (&destination.0, &destination.1)
    }))
}

/// The ID meant by the operands, or the exit code after the error was printed.
async fn wanted_id(call: &Call, client: &Client) -> Result<String, Exit> {
    match call.parsed.operands.as_slice() {
        [id] => Ok(id.clone()),
        [source, destination] => match find(call, client, source, destination).await {
            Ok(Some(found)) => Ok(found.id),
            Ok(None) => Err(fail(format!(
                "Error: Intention with source \"{source}\" and destination \"{destination}\" not \
                 found."
            ))),
            Err(error) => Err(fail(format!("Error: {error}"))),
        },
        _ => Err(fail("Error: command requires exactly 1 or 2 arguments")),
    }
}

async fn check(call: Call) -> Exit {
    let [source, destination] = call.parsed.operands.as_slice() else {
        err("Error: command requires exactly two arguments: src and dst");
        return 2;
    };
    let client = match call.client() {
        Ok(client) => client,
        Err(error) => {
            err(&format!("Error connecting to Consul agent: {error}"));
            return 2;
        }
    };
    let request = call
        .read(&client, "/v1/connect/intentions/check")
        .pair("source", source)
        .pair("destination", destination);
    match client.call_json::<serde_json::Value>(request).await {
        Ok(body) if body["Allowed"] == true => {
            out("Allowed");
            0
        }
        Ok(_) => {
            out("Denied");
            1
        }
        Err(error) => {
            err(&format!("Error checking the connection: {error}"));
            2
        }
    }
}

async fn delete(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let id = match wanted_id(&call, &client).await {
        Ok(id) => id,
        Err(exit) => return exit,
    };
    let path = url::path("/v1/connect/intentions/", &id);
    match client.call(client.request(Method::DELETE, &path)).await {
        Ok(_) => {
            out("Intention deleted.");
            0
        }
        // The words of the original, which names the reading although it deletes.
        Err(error) => fail(format!("Error reading the intention: {error}")),
    }
}

async fn get(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let id = match wanted_id(&call, &client).await {
        Ok(id) => id,
        Err(exit) => return exit,
    };
    let request = call.read(&client, &url::path("/v1/connect/intentions/", &id));
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return fail(format!("Error reading the intention: {error}")),
    };
    if answer.status == 404 {
        return fail(format!("Intention not found with ID \"{id}\""));
    }
    if answer.status != 200 {
        return fail(format!(
            "Error reading the intention: Unexpected response code: {}",
            answer.status
        ));
    }
    match answer.json::<Intention>() {
        Ok(found) => {
            out(&columns(&details(&found)));
            0
        }
        Err(error) => fail(format!("Error reading the intention: {error}")),
    }
}

async fn list(call: Call) -> Exit {
    if !call.parsed.operands.is_empty() {
        return fail("Error: command takes no arguments");
    }
    let client = client_or_fail!(call);
    let request = call.read(&client, "/v1/connect/intentions");
    let found: Vec<Intention> = match client.call_json(request).await {
        Ok(found) => found,
        Err(error) => return fail(format!("Failed to retrieve the intentions list: {error}")),
    };
    if found.is_empty() {
        err("There are no intentions.");
        return 2;
    }
    let mut rows = vec![row(["ID", "Source", "Action", "Destination", "Precedence"])];
    rows.extend(found.iter().map(|i| {
        row([
            &i.id,
            &side(&i.source_ns, &i.source_name),
            &i.action,
            &side(&i.destination_ns, &i.destination_name),
            &i.precedence.to_string(),
        ])
    }));
    out(&columns(&rows));
    0
}

/// A side of an intention, with its namespace if that is not the default one.
fn side(ns: &str, name: &str) -> String {
    match ns {
        "" | "default" => name.to_owned(),
        ns => format!("{ns}/{name}"),
    }
}

fn details(i: &Intention) -> Vec<Vec<String>> {
    let mut rows = vec![
        row(["Source:", &side(&i.source_ns, &i.source_name)]),
        row(["Destination:", &side(&i.destination_ns, &i.destination_name)]),
        row(["Action:", &i.action]),
        row(["ID:", &i.id]),
    ];
    if !i.description.is_empty() {
        rows.push(row(["Description:", &i.description]));
    }
    for (key, value) in i.meta.iter().flatten() {
        rows.push(row([&format!("Meta[{key}]:"), value]));
    }
    rows.push(row(["Created At:", &long_date(&i.created_at)]));
    rows
}

/// RFC 3339 as RFC 850 (`Monday, 02-Jan-06 15:04:05 UTC`); other text is shown as it is.
fn long_date(text: &str) -> String {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let format = time::macros::format_description!(
        "[weekday], [day]-[month repr:short]-[year repr:last_two] [hour]:[minute]:[second] UTC"
    );
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|t| t.to_offset(time::UtcOffset::UTC).format(&format).ok())
        .unwrap_or_else(|| text.to_owned())
}

async fn matching(call: Call) -> Exit {
    let by_source = call.parsed.is_set("source");
    if by_source && call.parsed.is_set("destination") {
        return fail("Error: only one of -source or -destination may be specified");
    }
    let [name] = call.parsed.operands.as_slice() else {
        return fail("Error: command requires exactly one argument: src or dst");
    };
    let client = client_or_fail!(call);
    let request = call
        .read(&client, "/v1/connect/intentions/match")
        .pair("by", if by_source { "source" } else { "destination" })
        .pair("name", name);
    match client.call_json::<BTreeMap<String, Option<Vec<Intention>>>>(request).await {
        Ok(found) => {
            found.into_values().flatten().flatten().for_each(|i| out(&i.text()));
            0
        }
        Err(error) => fail(format!("Error matching the connection: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_out() {
        assert_eq!(long_date("2026-11-24T00:22:03.5Z"), "Tuesday, 24-Nov-26 00:22:03 UTC");
        assert_eq!(long_date("soon"), "soon");
    }

    #[test]
    fn namespaces_are_shown_only_where_they_say_something() {
        let mut i = Intention {
            source_name: "web".into(),
            destination_name: "db".into(),
            action: "deny".into(),
            ..Intention::default()
        };
        assert_eq!(i.text(), "web => db (deny)");
        i.source_ns = "*".into();
        assert_eq!(i.text(), "*/web => db (deny)");
        assert_eq!(split_name("a/b"), ("a".into(), "b".into()));
    }
}
