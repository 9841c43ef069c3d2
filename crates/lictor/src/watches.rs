//! The watches of configuration files: what is watched, and what is done about it.
//!
//! They read through the agent's own HTTP interface, as programs outside do. Each is a task of its
//! own that runs one handler at a time; a reload ends all of them and starts those that are
//! configured then.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lictor_api::client::{Client, ClientConfig, Method, Overrides};
use lictor_api::decode;
use lictor_api::watch::{News, Plan, Watcher};
use lictor_task::{CancellationToken, TaskSet};
use lictor_types::duration;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::cli::shell;

/// How much of a handler's output is kept, in bytes: its end.
const OUTPUT_MAX: usize = 4 * 1024;
/// Time of an HTTP handler that names none.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long watches may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// After a handler ended: how long its output is waited for.
const DRAIN: Duration = Duration::from_millis(200);

/// What is done about news.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Handler {
    /// A text for a shell.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
    /// A request.
    Http(HttpHandler),
}

/// A request that tells news.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HttpHandler {
    url: String,
    method: String,
    timeout: Duration,
    headers: Vec<(String, String)>,
    tls_skip_verify: bool,
}

/// A watch as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    plan: Plan,
    handler: Handler,
}

impl Watch {
    /// Reads a watch of a file.
    ///
    /// # Errors
    /// With a text for people.
    pub(crate) fn parse(given: &Map<String, Value>) -> Result<Self, String> {
        let mut given = given.clone();
        let handler_type = text(&mut given, "handler_type")?;
        let http = match (handler_type.as_str(), given.remove("http_handler_config")) {
            ("" | "script", None) => None,
            ("http", Some(Value::Object(config))) => {
                Some(HttpHandler::parse(config).map_err(|problem| {
                    format!("Failed to parse 'http_handler_config': {problem}")
                })?)
            }
            ("http", None) => {
                let text = "Handler type 'http' requires 'http_handler_config' to be set";
                return Err(text.to_owned());
            }
            ("http", Some(_)) => return Err("http_handler_config must be an object".to_owned()),
            ("" | "script", Some(_)) => {
                return Err("Invalid parameters: [http_handler_config]".to_owned());
            }
            (other, _) => return Err(format!("unknown handler_type {other:?}")),
        };
        let script = text(&mut given, "handler")?;
        let args = match given.remove("args") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or("args must be a list of strings")?,
            Some(Value::String(one)) => vec![one],
            Some(_) => return Err("args must be a list of strings".to_owned()),
        };
        let plan = Plan::parse(&mut given)?;
        Plan::nothing_left(&given)?;
        let mut handlers: Vec<Handler> = http.map(Handler::Http).into_iter().collect();
        if !script.is_empty() {
            handlers.push(Handler::Shell(script));
        }
        if !args.is_empty() {
            handlers.push(Handler::Program(args));
        }
        match (handlers.pop(), handlers.is_empty()) {
            (Some(handler), true) => Ok(Self { plan, handler }),
            (Some(_), false) => Err("Only one watch handler allowed".to_owned()),
            (None, _) => Err("Must define a watch handler".to_owned()),
        }
    }
}

fn text(given: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match given.remove(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("Expecting {name} to be a string")),
    }
}

impl HttpHandler {
    fn parse(mut config: Map<String, Value>) -> Result<Self, String> {
        let url = text(&mut config, "path")?;
        if url.is_empty() {
            return Err("Requires 'path' to be set".to_owned());
        }
        let method = match text(&mut config, "method")? {
            method if method.is_empty() => "POST".to_owned(),
            method => method,
        };
        let timeout = match text(&mut config, "timeout")?.as_str() {
            "" => HTTP_TIMEOUT,
            given => duration::parse(given)
                .ok()
                .and_then(|nanos| u64::try_from(nanos).ok())
                .map(Duration::from_nanos)
                .ok_or_else(|| format!("Failed to parse timeout: {given:?} is no duration"))?,
        };
        let tls_skip_verify = match config.remove("tls_skip_verify") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => value,
            Some(Value::String(word)) => decode::parse_bool(&word).unwrap_or(false),
            Some(_) => return Err("tls_skip_verify must be true or false".to_owned()),
        };
        let mut headers = Vec::new();
        if let Some(Value::Object(all)) = config.remove("header") {
            for (name, values) in all {
                let values = match values {
                    Value::Array(values) => values,
                    value => vec![value],
                };
                for value in values {
                    let value = value.as_str().ok_or("header must hold lists of strings")?;
                    headers.push((name.clone(), value.to_owned()));
                }
            }
        }
        if let Some(name) = config.keys().next() {
            return Err(format!("unknown key {name:?}"));
        }
        let handler = Self { url, method, timeout, headers, tls_skip_verify };
        handler.target().map(|_| handler)
    }

    /// The client for the place, and the rest of the URL.
    fn target(&self) -> Result<(Client, String), String> {
        let (scheme, rest) =
            self.url.split_once("://").ok_or_else(|| format!("{:?} is no URL", self.url))?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let address = Some(format!("{scheme}://{host}"));
        let overrides = Overrides { address, ..Overrides::default() };
        let verify = if self.tls_skip_verify { "false" } else { "true" };
        let environment =
            |name: &str| (name == "CONSUL_HTTP_SSL_VERIFY").then(|| verify.to_owned());
        let config = ClientConfig::resolve(&overrides, environment);
        let client = config.and_then(|config| Client::new(&config)).map_err(|e| e.to_string())?;
        Ok((client, path))
    }

    async fn tell(&self, news: News) -> Result<String, String> {
        let (client, path) = self.target()?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| format!("{:?} is no method", self.method))?;
        let mut body = news.data;
        body.push(b'\n');
        let mut request = client
            .request(method, &path)
            .body(body)
            .timeout(self.timeout)
            .header("Content-Type", "application/json")
            .and_then(|request| request.header("X-Consul-Index", &news.index.to_string()))
            .map_err(|error| error.to_string())?;
        for (name, value) in &self.headers {
            request = request.header(name, value).map_err(|error| error.to_string())?;
        }
        let answer = client.send(request).await.map_err(|error| error.to_string())?;
        let mut output = Tail::default();
        output.push(&answer.body);
        match answer.status {
            200..=299 => Ok(output.text()),
            status => Err(format!("it answered {status}: {}", output.text())),
        }
    }
}

/// The end of an output.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    total: usize,
}

impl Tail {
    fn push(&mut self, data: &[u8]) {
        self.total += data.len();
        self.bytes.extend_from_slice(&data[data.len().saturating_sub(OUTPUT_MAX)..]);
        self.bytes.drain(..self.bytes.len().saturating_sub(OUTPUT_MAX));
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        if self.total > OUTPUT_MAX {
            return format!("Captured {OUTPUT_MAX} of {} bytes\n...\n{text}", self.total);
        }
        text.into_owned()
    }
}

/// A process group, killed when dropped before its end was seen.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself in the meantime.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn run_program(mut command: Command, news: News) -> io::Result<(String, Option<String>)> {
    let (reader, writer) = io::pipe()?;
    command
        .env("CONSUL_INDEX", news.index.to_string())
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    let mut program = command.spawn()?;
    drop(command);
    let mut group = Group(program.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let mut output = pipe::Receiver::from_owned_fd(reader.into())?;
    let input = program.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A program need not read what it is told.
            let _ = input.write_all(&news.data).await;
            let _ = input.write_all(b"\n").await;
        }
    };
    let mut tail = Tail::default();
    let mut buffer = [0; OUTPUT_MAX];
    let mut feed = std::pin::pin!(feed);
    let (mut fed, mut open) = (false, true);
    let status = loop {
        tokio::select! {
            () = &mut feed, if !fed => fed = true,
            read = output.read(&mut buffer), if open => match read {
                Ok(count @ 1..) => tail.push(&buffer[..count]),
                Ok(0) | Err(_) => open = false,
            },
            ended = program.wait() => break ended?,
        }
    };
    group.0 = None;
    let rest = async {
        while let Ok(count @ 1..) = output.read(&mut buffer).await {
            tail.push(&buffer[..count]);
        }
    };
    // What it left in the background may hold the pipe open for ever.
    let _ = tokio::time::timeout(DRAIN, rest).await;
    let problem = (!status.success()).then(|| status.to_string());
    Ok((tail.text(), problem))
}

impl Handler {
    async fn handle(&self, kind: &str, news: News) {
        let index = news.index;
        let done = match self {
            Self::Http(http) => http.tell(news).await.map(|output| (output, None)),
            Self::Shell(text) => {
                run_program(shell(text), news).await.map_err(|error| error.to_string())
            }
            Self::Program(words) => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                run_program(command, news).await.map_err(|error| error.to_string())
            }
        };
        match done {
            Ok((output, None)) => tracing::debug!(kind, index, output, "watch handled"),
            Ok((output, Some(problem))) => {
                tracing::error!(kind, index, problem, output, "the handler of a watch failed");
            }
            Err(error) => {
                tracing::error!(kind, index, error, "the handler of a watch cannot be run");
            }
        }
    }
}

/// The watches that run. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Watches {
    running: Arc<Mutex<TaskSet>>,
    client: Option<Client>,
}

impl Watches {
    /// None yet. They will read from the agent at `address`, with `token` if they have none.
    pub(crate) fn new(address: &str, token: &str) -> Self {
        let overrides = Overrides {
            address: Some(address.to_owned()),
            token: Some(token.to_owned()),
            ..Overrides::default()
        };
        let config = ClientConfig::resolve(&overrides, |_| None);
        let client = match config.and_then(|config| Client::new(&config)) {
            Ok(client) if !address.is_empty() => Some(client),
            _ => None,
        };
        Self { running: Arc::new(Mutex::new(TaskSet::new("watches"))), client }
    }

    /// Ends those that run, and starts these.
    pub(crate) fn set(&self, watches: &[Watch]) {
        let fresh = TaskSet::new("watches");
        let old = std::mem::replace(&mut *self.running.lock(), fresh.clone());
        // Their tasks are cut at once, and their handlers with them.
        old.token().cancel();
        let Some(client) = &self.client else {
            if !watches.is_empty() {
                tracing::warn!("watches cannot run without an HTTP interface");
            }
            return;
        };
        for watch in watches {
            let (watch, client) = (watch.clone(), client.clone());
            let stop = fresh.token().clone();
            fresh.spawn("watch", async move { follow(watch, client, &stop).await });
        }
    }

    /// Ends them.
    pub(crate) async fn shutdown(&self) {
        let running = self.running.lock().clone();
        running.shutdown(GRACE).await;
    }
}

async fn follow(watch: Watch, client: Client, stop: &CancellationToken) {
    let kind = watch.plan.kind.clone();
    let mut watcher = match Watcher::new(watch.plan, client) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(kind, %error, "a watch cannot run");
            return;
        }
    };
    let run = async {
        loop {
            let news = watcher.next(|error, pause| {
                tracing::error!(kind, %error, retry_in = ?pause, "a watch failed");
            });
            let news = news.await;
            watch.handler.handle(&kind, news).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = run => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn parse(value: &Value) -> Result<Watch, String> {
        Watch::parse(value.as_object().unwrap())
    }

    #[test]
    fn a_watch_has_one_handler() {
        let script = parse(&json!({"type": "nodes", "handler": "cat"})).unwrap();
        assert_eq!(script.handler, Handler::Shell("cat".into()));
        let program = parse(&json!({"type": "key", "key": "k", "args": ["a", "b"]})).unwrap();
        assert_eq!(program.handler, Handler::Program(vec!["a".into(), "b".into()]));
        let http = json!({
            "type": "nodes", "handler_type": "http",
            "http_handler_config": {
                "path": "http://127.0.0.1:1/x?y", "timeout": "3s", "header": {"A": ["b"]},
            },
        });
        let Handler::Http(http) = parse(&http).unwrap().handler else { panic!("not http") };
        assert_eq!((http.method.as_str(), http.timeout), ("POST", Duration::from_secs(3)));
        assert_eq!(http.target().unwrap().1, "/x?y");
        for (given, text) in [
            (json!({"type": "nodes"}), "Must define a watch handler"),
            (
                json!({"type": "nodes", "handler": "a", "args": ["b"]}),
                "Only one watch handler allowed",
            ),
            (
                json!({"type": "nodes", "handler_type": "http"}),
                "Handler type 'http' requires 'http_handler_config' to be set",
            ),
            (
                json!({"type": "nodes", "handler_type": "http", "http_handler_config": {}}),
                "Failed to parse 'http_handler_config': Requires 'path' to be set",
            ),
            (json!({"type": "nodes", "handler": "a", "x": 1}), "Invalid parameters: [x]"),
        ] {
            assert_eq!(parse(&given).unwrap_err(), text);
        }
    }

    #[test]
    fn of_long_outputs_the_end_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push(b"0123456789");
        }
        let text = tail.text();
        assert!(text.starts_with("Captured 4096 of 10000 bytes\n...\n") && text.len() < 4200);
    }
}
