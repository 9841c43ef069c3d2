//! Remote execution: an event names a job in the key/value store, which is run here and whose
//! output goes back there, piece by piece.
//!
//! Everything is written with the session of whoever asked: when that ends, the writes fail and the
//! command is killed with its whole process group.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use lictor_task::CancellationToken;
use lictor_types::error::EndpointError;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::command::{self, Group};
use crate::event::UserEvent;
use crate::tokens::Tokens;
use crate::upstream::Upstream;

/// Name of the events that ask for an execution.
pub(crate) const EVENT: &str = "_rexec";
/// Jobs that run at the same time; more are refused.
const JOBS_MAX: usize = 16;
/// Bytes in one piece of output.
const PIECE: usize = 4 * 1024;
/// Most pieces of output of a job.
const PIECES_MAX: u32 = 16 * 1024;
/// How long output may wait for more of it.
const IDLE: Duration = Duration::from_millis(500);
/// Pause between signs of life where the job names none.
const WAIT_LEAST: Duration = Duration::from_millis(500);
/// What a job's description may take, in bytes.
const JOB_MAX: usize = 512 * 1024;
/// Exit code of what could not be run.
const NOT_RUN: i32 = 255;

/// What an event says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Asked {
    prefix: String,
    session: String,
}

/// What a job is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Job {
    /// For a shell.
    command: String,
    /// Program and arguments.
    args: Option<Vec<String>>,
    /// A whole script, base64.
    script: Option<String>,
    /// Pause between signs of life, in nanoseconds.
    wait: i64,
}

/// Reads what an event and a job may say; for fuzz targets.
pub(crate) fn read(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Asked>(bytes);
    if let Ok(job) = serde_json::from_slice::<Job>(bytes)
        && let Some(script) = &job.script
    {
        let _ = decoded(script);
    }
}

/// Runs jobs for others.
#[derive(Debug)]
pub(crate) struct RemoteExec<U> {
    pub(crate) upstream: U,
    pub(crate) node: Arc<str>,
    /// With the agent's own it reads and writes.
    pub(crate) tokens: Arc<Tokens>,
    running: Semaphore,
}

/// Why a job does not go on.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("the event cannot be understood: {0}")]
    Event(serde_json::Error),
    #[error("there is no job at {0}")]
    Missing(String),
    #[error("the job is not in order: {0}")]
    Job(String),
    #[error("the session of whoever asked has ended")]
    Session,
    #[error(transparent)]
    Servers(#[from] EndpointError),
    #[error("it cannot be run: {0}")]
    Run(#[from] io::Error),
}

impl<U: Upstream> RemoteExec<U> {
    pub(crate) fn new(upstream: U, node: Arc<str>, tokens: Arc<Tokens>) -> Self {
        Self { upstream, node, tokens, running: Semaphore::new(JOBS_MAX) }
    }

    /// Does what an event asks for, until it is done or `stop` is cancelled.
    pub(crate) async fn answer(&self, event: &UserEvent, stop: &CancellationToken) {
        let Ok(_turn) = self.running.try_acquire() else {
            tracing::warn!(id = %event.id, "remote execution refused: too many jobs at once");
            return;
        };
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = self.run(&event.request.payload) => done,
        };
        if let Err(error) = done {
            tracing::error!(id = %event.id, %error, "remote execution failed");
        }
    }

    async fn run(&self, payload: &[u8]) -> Result<(), JobError> {
        let asked: Asked = serde_json::from_slice(payload).map_err(JobError::Event)?;
        let place = format!("{}/{}", asked.prefix, asked.session);
        let job = self.job(&format!("{place}/job")).await?;
        let mut writer = Writer { exec: self, asked: &asked, number: 0 };
        writer.write("ack", Vec::new()).await?;
        let code = match self.carry_out(&job, &mut writer).await {
            Ok(code) => code,
            Err(JobError::Session) => return Err(JobError::Session),
            Err(error) => {
                tracing::error!(%error, "remote execution failed");
                NOT_RUN
            }
        };
        writer.write("exit", code.to_string().into_bytes()).await
    }

    /// The description of the job; from whichever server has it.
    async fn job(&self, key: &str) -> Result<Job, JobError> {
        for stale in [true, false] {
            if let Some(entry) =
                self.upstream.kv_get(&self.tokens.agent_token(), key, stale).await?
            {
                if entry.value.len() > JOB_MAX {
                    return Err(JobError::Job("it is too long".to_owned()));
                }
                return serde_json::from_slice(&entry.value)
                    .map_err(|error| JobError::Job(error.to_string()));
            }
        }
        Err(JobError::Missing(key.to_owned()))
    }

    async fn carry_out(&self, job: &Job, writer: &mut Writer<'_, U>) -> Result<i32, JobError> {
        let script = job.script.as_deref().filter(|script| !script.is_empty());
        let file = script.map(script_file).transpose()?;
        let args = job.args.as_deref().unwrap_or_default();
        let command = match (args, &file) {
            ([program, rest @ ..], _) => {
                let mut command = Command::new(program);
                command.args(rest);
                command
            }
            (_, Some(file)) => shell(&file.to_string_lossy()),
            (_, None) => shell(&job.command),
        };
        tracing::info!(command = job.command, ?args, "remote execution");
        let (child, group, output) = command::start(command)?;
        let wait = Duration::from_nanos(u64::try_from(job.wait).unwrap_or(0)).max(WAIT_LEAST);
        Running { child, group, output }.follow(wait, writer).await
    }
}

/// The shell that runs a text.
fn shell(text: &str) -> Command {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let mut command = Command::new(shell.unwrap_or_else(|| "/bin/sh".into()));
    command.arg("-c").arg(text);
    command
}

fn decoded(script: &str) -> Result<Vec<u8>, JobError> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(script);
    decoded.map_err(|error| JobError::Job(error.to_string()))
}

/// A file with the script, gone when dropped.
fn script_file(encoded: &str) -> Result<tempfile::TempPath, JobError> {
    let script = decoded(encoded)?;
    let mut file = tempfile::Builder::new().prefix("rexec").tempfile()?;
    file.write_all(&script)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o700))?;
    // Closed, since what is open for writing cannot be run.
    Ok(file.into_temp_path())
}

/// A command with its process group, killed when dropped before its end.
struct Running {
    child: Child,
    output: pipe::Receiver,
    group: Group,
}

impl Running {
    /// Hands the output on until the command has ended; gives its exit code.
    async fn follow<U: Upstream>(
        mut self,
        wait: Duration,
        writer: &mut Writer<'_, U>,
    ) -> Result<i32, JobError> {
        let mut piece = Vec::with_capacity(PIECE);
        let mut ended = None;
        loop {
            let until = match (&ended, piece.is_empty()) {
                // What it left in the background may hold the pipe open for ever.
                (Some(_), _) | (None, false) => Instant::now() + IDLE,
                (None, true) => Instant::now() + wait,
            };
            let mut buffer = [0; PIECE];
            let room = PIECE - piece.len();
            tokio::select! {
                status = self.child.wait(), if ended.is_none() => ended = Some(status?),
                read = timeout_at(until, self.output.read(&mut buffer[..room])) => match read {
                    Ok(Ok(count @ 1..)) => {
                        piece.extend_from_slice(&buffer[..count]);
                        if piece.len() == PIECE {
                            writer.output(std::mem::take(&mut piece)).await?;
                        }
                    }
                    Ok(_) => break,
                    Err(_) if ended.is_some() => break,
                    // Nothing to say is said too, as a sign of life.
                    Err(_) => writer.output(std::mem::take(&mut piece)).await?,
                },
            }
        }
        if !piece.is_empty() {
            writer.output(piece).await?;
        }
        let status = match ended {
            Some(status) => status,
            None => loop {
                match timeout(wait, self.child.wait()).await {
                    Ok(status) => break status?,
                    Err(_) => writer.output(Vec::new()).await?,
                }
            },
        };
        self.group.ended();
        Ok(status.code().unwrap_or(-1))
    }
}

/// Writes what becomes of a job.
struct Writer<'a, U> {
    exec: &'a RemoteExec<U>,
    asked: &'a Asked,
    /// Pieces of output so far.
    number: u32,
}

impl<U: Upstream> Writer<'_, U> {
    async fn output(&mut self, piece: Vec<u8>) -> Result<(), JobError> {
        if self.number == PIECES_MAX {
            let text = format!("it wrote more than {PIECES_MAX} pieces of output");
            return Err(JobError::Job(text));
        }
        let name = format!("out/{:05x}", self.number);
        self.number += 1;
        self.write(&name, piece).await
    }

    async fn write(&self, name: &str, value: Vec<u8>) -> Result<(), JobError> {
        let Asked { prefix, session } = self.asked;
        let entry = KvEntry {
            key: format!("{prefix}/{session}/{}/{name}", self.exec.node).into(),
            value: value.into(),
            session: session.as_str().into(),
            ..KvEntry::default()
        };
        let write = KvWrite { op: KvOp::Lock, entry, lock_delayed: false };
        match self.exec.upstream.kv_apply(&self.exec.tokens.agent_token(), write).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(JobError::Session),
            Err(error) if error.text.starts_with("invalid session") => Err(JobError::Session),
            Err(error) => Err(error.into()),
        }
    }
}
