//! Checks that run a command: its exit code is the status, what it prints the output.
//!
//! Whether commands may be run at all was decided before. The command has a process group of its
//! own, which is killed as a whole when the time is over or the check is stopped.

use std::io;
use std::time::Duration;

use lictor_types::check::Status;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::duration;
use super::output::Tail;
use super::runner::Outcome;
use crate::command::{self, Group};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// After the command ended: how long what it left behind in the pipe is waited for. A process
/// that it left in the background may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// Runs a command.
#[derive(Debug)]
pub(super) struct ScriptProbe {
    args: Vec<String>,
    timeout: Duration,
}

impl ScriptProbe {
    /// A zero `timeout` is the default.
    pub(super) fn new(args: &[String], timeout: Duration) -> Self {
        let timeout = if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout };
        Self { args: args.to_vec(), timeout }
    }

    pub(super) async fn run(&self) -> Outcome {
        let (mut child, mut group, mut output) = match self.start() {
            Ok(started) => started,
            Err(error) => return Outcome::critical(error.to_string()),
        };
        let mut tail = Tail::default();
        let finished = {
            let collect = collect(&mut child, &mut output, &mut tail);
            tokio::time::timeout(self.timeout, collect).await
        };
        match finished {
            Ok(exit) => {
                group.ended();
                let status = match exit {
                    Ok(status) => match status.code() {
                        Some(0) => Status::Passing,
                        Some(1) => Status::Warning,
                        _ => Status::Critical,
                    },
                    Err(_) => Status::Critical,
                };
                Outcome::new(status, tail.text_with_notice())
            }
            Err(_) => {
                group.kill();
                // So that there are never two of them, and none is left as a zombie.
                let _ = child.wait().await;
                drain(&mut output, &mut tail).await;
                let text = tail.text_with_notice();
                let gap = if text.is_empty() { "" } else { "\n\n" };
                let limit = duration::show(self.timeout);
                Outcome::critical(format!("Timed out ({limit}) running check{gap}{text}"))
            }
        }
    }

    fn start(&self) -> io::Result<(Child, Group, pipe::Receiver)> {
        let (program, args) =
            self.args.split_first().ok_or_else(|| io::Error::other("need an executable to run"))?;
        let mut command = Command::new(program);
        command.args(args);
        command::start(command)
    }
}

/// Reads until the command ended.
async fn collect(
    child: &mut Child,
    output: &mut pipe::Receiver,
    tail: &mut Tail,
) -> io::Result<std::process::ExitStatus> {
    let mut buffer = [0; 4096];
    let mut open = true;
    loop {
        tokio::select! {
            status = child.wait() => {
                if open {
                    drain(output, tail).await;
                }
                return status;
            }
            read = output.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(n) => tail.push(&buffer[..n]),
            }
        }
    }
}

/// Reads what is in the pipe.
async fn drain(output: &mut pipe::Receiver, tail: &mut Tail) {
    let rest = async {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut buffer).await {
            tail.push(&buffer[..n]);
        }
    };
    let _ = tokio::time::timeout(DRAIN, rest).await;
}
