//! `exec`: runs a command on many nodes, through an event and the key/value store.
//!
//! A job is put below the ID of a session; nodes that the event concerns write there what becomes
//! of it. Everything goes with the session.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use base64::Engine as _;
use lictor_api::client::{Client, ReadOptions};
use lictor_api::event::UserEvent;
use lictor_api::kv::KvPut;
use lictor_api::session::SessionRequest;
use lictor_api::url;
use lictor_types::duration;
use regex::Regex;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::child::Signals;
use super::flags::{FlagError, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, misused, out, usage};

/// `lictor exec`.
pub(super) const COMMAND: Command = Command {
    path: "exec",
    synopsis: "Runs a command on nodes",
    operands: "[options] [-|command...]",
    about: "Runs a command on all nodes that allow it (disable_remote_exec = false) and that the \
        filters match, and shows its output. With - a script is read from standard input. Exits \
        with 2 if it failed or did not end on a node.",
    flags: &[
        flag("node", Kind::Text, "Regular expression that the names of nodes must match."),
        flag("service", Kind::Text, "Regular expression that a service of a node must match."),
        flag("tag", Kind::Text, "Regular expression that a tag of such a service must match."),
        flag("prefix", Kind::Text, "Beginning of the keys of jobs. Default: _rexec."),
        flag("shell", Kind::Bool, "Have a shell run the command. Default: true."),
        flag("wait", Kind::Text, "Silence after which it is over. Default: 2s."),
        flag("wait-repl", Kind::Text, "Time for the job to reach all servers. Default: 200ms."),
        flag("verbose", Kind::Bool, "Say what is being done."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

const EVENT: &str = "_rexec";
const TTL: Duration = Duration::from_secs(15);
/// Largest script that is read, in bytes: it must fit into a value.
const SCRIPT_MAX: u64 = 256 * 1024;

struct Wish {
    job: Value,
    prefix: String,
    wait: Duration,
    replication: Duration,
    filters: [String; 3],
    verbose: bool,
}

fn time(call: &Call, name: &'static str, usual: Duration) -> Result<Duration, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(usual) };
    let bad = || FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
    let nanos = duration::parse(text).map_err(|_| bad())?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| bad())
}

fn wish(call: &Call) -> Result<Wish, Exit> {
    let times = || {
        let wait = time(call, "wait", Duration::from_secs(2))?;
        Ok((wait, time(call, "wait-repl", Duration::from_millis(200))?))
    };
    let (wait, replication) = times().map_err(|error: FlagError| misused(call.command, error))?;
    let mut job = Map::new();
    match call.parsed.operands.as_slice() {
        [dash] if dash == "-" => {
            let stdin = std::io::stdin();
            if call.parsed.is_set("verbose") && stdin.is_terminal() {
                out("Reading the script from standard input");
            }
            let mut script = Vec::new();
            let read = stdin.lock().take(SCRIPT_MAX + 1).read_to_end(&mut script);
            if let Err(error) = read {
                return Err(fail(format!("Failed to read from stdin: {error}")));
            }
            if script.len() as u64 > SCRIPT_MAX {
                return Err(fail(format!("The script is longer than {SCRIPT_MAX} bytes")));
            }
            if !script.is_empty() {
                let script = base64::engine::general_purpose::STANDARD.encode(&script);
                job.insert("Script".to_owned(), script.into());
            }
        }
        [] => {}
        words if call.parsed.bool_or("shell", true) => {
            job.insert("Command".to_owned(), words.join(" ").into());
        }
        words => {
            job.insert("Args".to_owned(), words.into());
        }
    }
    if job.is_empty() {
        let text = usage(call.command);
        return Err(fail(format!("Must specify a command to execute\n\n{}", text.trim_end())));
    }
    job.insert("Wait".to_owned(), json!(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)));
    let filter = |what: &str| {
        let filter = call.parsed.text_or_empty(what).to_owned();
        match Regex::new(&filter) {
            Ok(_) => Ok(filter),
            Err(error) => Err(fail(format!("Failed to compile {what} filter regexp: {error}"))),
        }
    };
    let filters = [filter("node")?, filter("service")?, filter("tag")?];
    if !filters[2].is_empty() && filters[1].is_empty() {
        return Err(fail("Cannot provide tag filter without service filter."));
    }
    let prefix = call.parsed.text("prefix").unwrap_or(EVENT).trim_matches('/').to_owned();
    let verbose = call.parsed.is_set("verbose");
    Ok(Wish { job: Value::Object(job), prefix, wait, replication, filters, verbose })
}

async fn run(call: Call) -> Exit {
    let wish = match wish(&call) {
        Ok(wish) => wish,
        Err(exit) => return exit,
    };
    let client: Client = client_or_fail!(call);
    let info = match client.agent_self().await {
        Ok(info) => info.config,
        Err(error) => return fail(format!("Error querying Consul agent: {error}")),
    };
    let datacenter = call.parsed.text_or_empty("datacenter");
    let foreign = !datacenter.is_empty() && datacenter != info.datacenter;
    if foreign && wish.verbose {
        out("Remote exec in foreign datacenter, using Session TTL");
    }
    let node = if foreign { foreign_node(&client).await } else { Ok(None) };
    let node = match node {
        Ok(node) => node,
        Err(error) => return fail(format!("Failed to create session: {error}")),
    };
    let name = match foreign {
        true => format!("Remote Exec via {}@{}", info.node_name, info.datacenter),
        false => "Remote Exec".to_owned(),
    };
    let request = SessionRequest {
        name: Some(name),
        behavior: Some("delete".to_owned()),
        ttl: Some(format!("{}s", TTL.as_secs())),
        checks: foreign.then(Vec::new),
        node,
        ..SessionRequest::default()
    };
    let session = match client.session_create(&request).await {
        Ok(session) => session,
        Err(error) => return fail(format!("Failed to create session: {error}")),
    };
    if wish.verbose {
        out(&format!("Created remote execution session: {session}"));
    }
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(format!("Error watching for signals: {error}")),
    };
    let exit = tokio::select! {
        exit = carry_out(&client, &wish, &session) => exit,
        () = keep(&client, &session) => fail("The session has ended"),
        _ = signals.end() => 1,
    };
    // First the session, so that nobody writes any more; then what is left.
    if let Err(error) = client.session_destroy(&session).await {
        err(&format!("Failed to destroy session: {error}"));
    }
    let left = client.kv_delete_tree(&format!("{}/{session}", wish.prefix)).await;
    if let Err(error) = left {
        err(&format!("Failed to remove the job: {error}"));
    }
    exit
}

/// A node of another datacenter that a session can be bound to: one with a server.
async fn foreign_node(client: &Client) -> Result<Option<String>, String> {
    let request = client.get("/v1/health/service/consul").pair("passing", "1");
    let found: Vec<Value> = client.call_json(request).await.map_err(|error| error.to_string())?;
    let name = found.first().and_then(|row| row.pointer("/Node/Node")).and_then(Value::as_str);
    name.map(|name| Some(name.to_owned()))
        .ok_or_else(|| "Failed to find Consul server in remote datacenter".to_owned())
}

/// Renews the session; returns when it has ended.
async fn keep(client: &Client, session: &str) {
    loop {
        sleep(TTL / 2).await;
        let request = client.put(&url::path("/v1/session/renew/", session)).timeout(TTL);
        if client.send(request).await.is_ok_and(|answer| answer.status == 404) {
            return;
        }
    }
}

async fn carry_out(client: &Client, wish: &Wish, session: &str) -> Exit {
    let folder = format!("{}/{session}/", wish.prefix);
    let form = KvPut { acquire: session, ..KvPut::default() };
    let job = wish.job.to_string();
    match client.kv_put(&format!("{folder}job"), job, form).await {
        Ok(true) => {}
        Ok(false) => return fail("Failed to create job file: failed to acquire key for job spec"),
        Err(error) => return fail(format!("Failed to create job file: {error}")),
    }
    if wish.verbose {
        out("Uploaded remote execution spec");
    }
    sleep(wish.replication).await;
    let [node_filter, service_filter, tag_filter] = wish.filters.clone();
    let event = UserEvent {
        name: EVENT.to_owned(),
        payload: json!({"Prefix": wish.prefix, "Session": session}).to_string().into_bytes(),
        node_filter,
        service_filter,
        tag_filter,
        ..UserEvent::default()
    };
    match client.fire_event(event).await {
        Ok(fired) if wish.verbose => out(&format!("Fired remote execution event: {}", fired.id)),
        Ok(_) => {}
        Err(error) => return fail(format!("Failed to fire event: {error}")),
    }
    follow(client, wish, &folder).await
}

/// What became of the job so far.
#[derive(Default)]
struct Progress {
    seen: BTreeSet<String>,
    acknowledged: usize,
    ended: usize,
    bad: usize,
}

/// Shows what nodes write until they have been silent for long enough.
async fn follow(client: &Client, wish: &Wish, folder: &str) -> Exit {
    let start = Instant::now();
    let mut progress = Progress::default();
    let path = url::path("/v1/kv/", folder) + "?keys";
    let (mut index, mut heard) = (0, Instant::now());
    loop {
        // Nodes that still work have more time.
        let patience =
            if progress.acknowledged > progress.ended { wish.wait * 2 } else { wish.wait };
        let read = client.get_blocking(&path, index, wish.wait);
        let Ok(answer) = timeout_at(heard + patience, read).await else { break };
        let mut keys: Vec<String> = match answer.and_then(|answer| {
            index = answer.index();
            match answer.status {
                404 => Ok(Vec::new()),
                _ => answer.expect_ok()?.json(),
            }
        }) {
            Ok(keys) => keys,
            Err(error) => return fail(format!("Failed to read results: {error}")),
        };
        // The end comes after the output.
        keys.sort_by_key(|key| key.ends_with("/exit"));
        for key in keys {
            if progress.seen.insert(key.clone())
                && show(client, wish, folder, &key, &mut progress).await
            {
                heard = Instant::now();
            }
        }
    }
    let Progress { acknowledged, ended, .. } = progress;
    out(&format!("{ended} / {acknowledged} node(s) completed / acknowledged"));
    if wish.verbose {
        out(&format!("Completed in {:.2} seconds", start.elapsed().as_secs_f64()));
    }
    if progress.bad > 0 || ended < acknowledged { 2 } else { 0 }
}

/// Shows one key; gives whether it was something.
async fn show(
    client: &Client,
    wish: &Wish,
    folder: &str,
    key: &str,
    progress: &mut Progress,
) -> bool {
    let Some(name) = key.strip_prefix(folder) else { return false };
    let value = async || match client.kv_get(key, ReadOptions::default()).await {
        Ok(Some(pair)) => Some(pair.value),
        Ok(None) => None,
        Err(error) => {
            err(&format!("Failed to read key '{key}': {error}"));
            None
        }
    };
    if name == "job" {
        return false;
    }
    if let Some(node) = name.strip_suffix("/ack") {
        progress.acknowledged += 1;
        if wish.verbose {
            out(&format!("==> {node}: acknowledged"));
        }
    } else if let Some(node) = name.strip_suffix("/exit") {
        let Some(value) = value().await else { return false };
        let text = String::from_utf8_lossy(&value);
        let Ok(code) = text.parse::<i64>() else {
            err(&format!("Failed to parse exit code '{text}'"));
            return false;
        };
        progress.ended += 1;
        progress.bad += usize::from(code != 0);
        out(&format!("==> {node}: finished with exit code {code}"));
    } else if let Some((node, _)) = name.rsplit_once("/out/") {
        let Some(value) = value().await else { return false };
        if value.is_empty() {
            if wish.verbose {
                out(&format!("==> {node}: heartbeat received"));
            }
        } else {
            let text = String::from_utf8_lossy(&value).into_owned();
            let lines: Vec<String> =
                text.split('\n').map(|line| format!("    {node}: {line}")).collect();
            out(lines.join("\n").trim_end());
        }
    } else {
        err(&format!("Unknown key '{name}', ignoring."));
        return false;
    }
    true
}
