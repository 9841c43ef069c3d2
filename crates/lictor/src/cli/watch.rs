//! `watch`: shows what there is, or runs a program whenever it changes.

use lictor_api::client::Client;
use lictor_api::json;
use lictor_api::watch::{News, Plan, Watcher};
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;

use super::child::{self, Signals};
use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, out, usage};

/// `lictor watch`.
pub(super) const COMMAND: Command = Command {
    path: "watch",
    synopsis: "Watches for changes",
    operands: "[options] [child...]",
    about: "Shows what there is of a kind, and ends; or, with a program, runs it now and whenever \
        that changes, with the data as JSON on its standard input and the index in CONSUL_INDEX.",
    flags: &[
        flag("type", Kind::Text, "key, keyprefix, services, nodes, service, checks or event."),
        flag("key", Kind::Text, "Key; for key."),
        flag("prefix", Kind::Text, "Beginning of keys; for keyprefix."),
        flag("service", Kind::Text, "Name of a service; for service, and for checks if wanted."),
        flag("tag", Kind::List, "Tag that instances must have; for service."),
        flag("passingonly", Kind::Text, "true: only instances that pass all checks; for service."),
        flag("state", Kind::Text, "State of checks; for checks."),
        flag("name", Kind::Text, "Name of events; for event."),
        flag("shell", Kind::Bool, "Run the program by a shell, SHELL or /bin/sh. Default: true."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

fn plan(call: &Call) -> Result<Plan, String> {
    let mut given = Map::new();
    let kind = call.parsed.text_or_empty("type");
    given.insert("type".to_owned(), kind.into());
    for name in ["key", "prefix", "service", "state", "name", "datacenter"] {
        match call.parsed.text_or_empty(name) {
            "" => None,
            text => given.insert(name.to_owned(), text.into()),
        };
    }
    let tags = call.parsed.list("tag");
    if !tags.is_empty() {
        given.insert("tag".to_owned(), tags.into());
    }
    if call.parsed.is_set("stale") {
        given.insert("stale".to_owned(), true.into());
    }
    if let Some(text) = call.parsed.text("passingonly").filter(|text| !text.is_empty()) {
        let value = lictor_api::decode::parse_bool(text).ok_or_else(|| {
            let problem = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            format!("Failed to parse passingonly flag: {problem}")
        })?;
        given.insert("passingonly".to_owned(), Value::Bool(value));
    }
    if kind.starts_with("connect_") {
        return Err(format!("Type {kind} is not supported in the CLI tool"));
    }
    let plan = Plan::parse(&mut given)?;
    Plan::nothing_left(&given).map(|()| plan)
}

async fn run(call: Call) -> Exit {
    if call.parsed.text_or_empty("type").is_empty() {
        let text = usage(call.command);
        return fail(format!("Watch type must be specified\n\n{}", text.trim_end()));
    }
    let plan = match plan(&call) {
        Ok(plan) => plan,
        Err(error) => return fail(error),
    };
    let client: Client = client_or_fail!(call);
    if let Err(error) = client.agent_self().await {
        return fail(format!("Error querying Consul agent: {error}"));
    }
    let kind = plan.kind.clone();
    let (mut watcher, mut signals) = match (Watcher::new(plan, client), Signals::new()) {
        (Ok(watcher), Ok(signals)) => (watcher, signals),
        (Err(error), _) => return fail(format!("Error querying Consul agent: {error}")),
        (_, Err(error)) => return fail(format!("Error watching for signals: {error}")),
    };
    loop {
        let next = watcher.next(|error, pause| {
            let pause = pause.as_secs();
            err(&format!("watch (type: {kind}) failed: {error}, retry in {pause}s"));
        });
        let news = tokio::select! {
            news = next => news,
            _ = signals.end() => return 0,
        };
        if call.parsed.operands.is_empty() {
            let text = json::reformat(&news.data, Some(4));
            out(&String::from_utf8_lossy(&text));
            return 0;
        }
        match handle(&call, news, &mut signals).await {
            Handled::Well => {}
            Handled::Badly(problem) => return fail(format!("Error executing handler: {problem}")),
            Handled::Stopped => return 0,
        }
    }
}

enum Handled {
    Well,
    Badly(String),
    Stopped,
}

/// Runs the program for one piece of news.
async fn handle(call: &Call, news: News, signals: &mut Signals) -> Handled {
    let by_shell = call.parsed.bool_or("shell", true);
    let command = child::command(&call.parsed.operands, by_shell);
    let started = command.and_then(|mut command| {
        command
            .env("CONSUL_INDEX", news.index.to_string())
            .stdin(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    });
    let mut program = match started {
        Ok(program) => program,
        Err(error) => return Handled::Badly(error.to_string()),
    };
    let input = program.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A program need not read what it is told.
            let _ = input.write_all(&news.data).await;
            let _ = input.write_all(b"\n").await;
        }
    };
    let mut feed = std::pin::pin!(feed);
    let (mut fed, mut stopped) = (false, false);
    loop {
        tokio::select! {
            () = &mut feed, if !fed => fed = true,
            ended = program.wait() => {
                if stopped {
                    return Handled::Stopped;
                }
                return match ended.map(child::problem) {
                    Ok(None) => Handled::Well,
                    Ok(Some(problem)) => Handled::Badly(problem),
                    Err(error) => Handled::Badly(error.to_string()),
                };
            }
            signal = signals.next() => {
                child::hand_on(&program, signal);
                if child::is_end(signal) && stopped {
                    return Handled::Stopped;
                }
                stopped |= child::is_end(signal);
            }
        }
    }
}
