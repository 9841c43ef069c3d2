//! Checks that run a command inside a container, through the container engine's HTTP API.
//!
//! The engine is found by `DOCKER_HOST` (`unix://…` or `tcp://…`) or at its usual socket. Creating,
//! starting and inspecting an «exec» follow version 1.24 of that API.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use lictor_types::check::Status;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::dial;
use super::exchange::{Answer, exchange};
use super::output::Tail;
use super::runner::Outcome;

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a command in a container.
#[derive(Debug)]
pub(super) struct DockerProbe {
    engine: String,
    container: String,
    args: Vec<String>,
    timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    exit_code: Option<i64>,
}

impl DockerProbe {
    /// A zero `timeout` is the default. With a single argument the shell runs it.
    pub(super) fn new(container: &str, shell: &str, args: &[String], timeout: Duration) -> Self {
        let engine = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let args = match args {
            [line] if !shell.is_empty() => vec![shell.to_owned(), "-c".to_owned(), line.clone()],
            args => args.to_vec(),
        };
        Self {
            engine: engine.unwrap_or_else(|| DEFAULT_SOCKET.to_owned()),
            container: container.to_owned(),
            args,
            timeout: if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout },
        }
    }

    pub(super) async fn run(&self) -> Outcome {
        match tokio::time::timeout(self.timeout, self.exec()).await {
            Ok(Ok((code, output))) => {
                let status = match code {
                    0 => Status::Passing,
                    1 => Status::Warning,
                    _ => Status::Critical,
                };
                Outcome::new(status, output.text_with_notice())
            }
            Ok(Err(text)) => Outcome::critical(text),
            Err(_) => Outcome::critical("exec timed out"),
        }
    }

    async fn exec(&self) -> Result<(i64, Tail), String> {
        let container = &self.container;
        let command = serde_json::json!({
            "AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Tty": true,
            "Cmd": self.args,
        });
        let path = format!("/containers/{}/exec", escape(container));
        let created = self.call(Method::POST, &path, Some(command)).await?;
        match created.status.as_u16() {
            201 => {}
            404 => return Err(format!("create exec failed for unknown container {container}")),
            409 => {
                return Err(format!(
                    "create exec failed since container {container} is paused or stopped"
                ));
            }
            code => {
                return Err(format!(
                    "create exec failed for container {container} with status {code}: {}",
                    created.body.text()
                ));
            }
        }
        let created: Created = serde_json::from_str(&created.body.text())
            .map_err(|e| format!("create exec response for container {container}: {e}"))?;
        let id = escape(&created.id);
        let start = serde_json::json!({ "Detach": false, "Tty": true });
        let started = self.call(Method::POST, &format!("/exec/{id}/start"), Some(start)).await?;
        match started.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(format!("start exec failed for container {container}: invalid exec"));
            }
            StatusCode::CONFLICT => {
                return Err(format!(
                    "start exec failed since container {container} is paused or stopped"
                ));
            }
            other => {
                return Err(format!(
                    "start exec failed for container {container} with status {}",
                    other.as_u16()
                ));
            }
        }
        let state = self.call(Method::GET, &format!("/exec/{id}/json"), None).await?;
        let state: Inspected = serde_json::from_str(&state.body.text())
            .map_err(|e| format!("inspect response for container {container}: {e}"))?;
        Ok((state.exit_code.unwrap_or(-1), started.body))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, String> {
        let body = body.map(|value| value.to_string()).unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = format!("/v1.24{path}").parse().map_err(|e| format!("{e}"))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("docker"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(path) = self.engine.strip_prefix("unix://") {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|e| format!("docker: cannot reach the engine at {path}: {e}"))?;
            return exchange(stream, request).await;
        }
        let address = self.engine.strip_prefix("tcp://").unwrap_or(&self.engine);
        let (host, port) = dial::split_host_port(address.trim_end_matches('/'))?;
        exchange(dial::connect(host, port).await?, request).await
    }
}

/// A name as one segment of a path.
fn escape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
