//! `event`: fires a user event.

use lictor_api::event::UserEvent;
use regex::Regex;

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out, usage};

/// `lictor event`.
pub(super) const COMMAND: Command = Command {
    path: "event",
    synopsis: "Fires a user event",
    operands: "[options] [payload]",
    about: "Fires a user event, with a payload if there is one. Those who watch for events of its \
        name hear of it.",
    flags: &[
        flag("name", Kind::Text, "Name of the event."),
        flag("node", Kind::Text, "Regular expression that the names of nodes must match."),
        flag("service", Kind::Text, "Regular expression that a service of a node must match."),
        flag("tag", Kind::Text, "Regular expression that a tag of such a service must match."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

fn event(call: &Call) -> Result<UserEvent, String> {
    let text = |name: &str| call.parsed.text(name).unwrap_or("").to_owned();
    let name = text("name");
    let misused = |what: &str| format!("{what}\n\n{}", usage(call.command).trim_end());
    if name.is_empty() {
        return Err(misused("Event name must be specified"));
    }
    let filter = |what: &str| {
        let filter = text(what);
        match Regex::new(&filter) {
            Ok(_) => Ok(filter),
            Err(error) => Err(format!("Failed to compile {what} filter regexp: {error}")),
        }
    };
    let (node_filter, service_filter, tag_filter) =
        (filter("node")?, filter("service")?, filter("tag")?);
    if !tag_filter.is_empty() && service_filter.is_empty() {
        return Err("Cannot provide tag filter without service filter.".to_owned());
    }
    let payload = match call.parsed.operands.as_slice() {
        [] => Vec::new(),
        [payload] => payload.as_bytes().to_vec(),
        _ => return Err(misused("Too many command line arguments.")),
    };
    Ok(UserEvent { name, payload, node_filter, service_filter, tag_filter, ..UserEvent::default() })
}

async fn run(call: Call) -> Exit {
    let event = match event(&call) {
        Ok(event) => event,
        Err(error) => return fail(error),
    };
    let client = client_or_fail!(call);
    match client.fire_event(event).await {
        Ok(fired) => {
            out(&format!("Event ID: {}", fired.id));
            0
        }
        Err(error) => fail(format!("Error firing event: {error}")),
    }
}
