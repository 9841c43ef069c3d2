//! Programs that commands run for their users: by a shell or directly, with signals handed on.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};
use tokio::time::timeout;

/// Time between asking a program to end and ending it.
const GRACE: Duration = Duration::from_secs(5);
const DEFAULT_SHELL: &str = "/bin/sh";

/// A command of `words`: for the user's shell, or as program and arguments.
pub(super) fn command(words: &[String], by_shell: bool) -> io::Result<Command> {
    if by_shell {
        return Ok(shell(&words.join(" ")));
    }
    let (program, arguments) =
        words.split_first().ok_or_else(|| io::Error::other("need an executable to run"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// A command that the user's shell reads.
pub(crate) fn shell(text: &str) -> Command {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let mut command = Command::new(shell.unwrap_or_else(|| DEFAULT_SHELL.into()));
    command.arg("-c").arg(text);
    command
}

/// Signals that are handed on to a program, of which the first two also end the command itself.
pub(super) struct Signals([(Signal, Incoming); 6]);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let one = |ours: Signal, kind| signal(kind).map(|incoming| (ours, incoming));
        Ok(Self([
            one(Signal::INT, SignalKind::interrupt())?,
            one(Signal::TERM, SignalKind::terminate())?,
            one(Signal::HUP, SignalKind::hangup())?,
            one(Signal::QUIT, SignalKind::quit())?,
            one(Signal::USR1, SignalKind::user_defined1())?,
            one(Signal::USR2, SignalKind::user_defined2())?,
        ]))
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        let [a, b, c, d, e, f] = &mut self.0;
        tokio::select! {
            _ = a.1.recv() => a.0,
            _ = b.1.recv() => b.0,
            _ = c.1.recv() => c.0,
            _ = d.1.recv() => d.0,
            _ = e.1.recv() => e.0,
            _ = f.1.recv() => f.0,
        }
    }

    /// The next signal that asks for the end; others are passed over.
    pub(super) async fn end(&mut self) -> Signal {
        loop {
            let next = self.next().await;
            if is_end(next) {
                return next;
            }
        }
    }
}

/// Whether a signal asks for the end.
pub(super) fn is_end(signal: Signal) -> bool {
    signal == Signal::INT || signal == Signal::TERM
}

/// Sends a program a signal, if it still runs.
pub(super) fn hand_on(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended by itself in the meantime.
        let _ = kill_process(pid, signal);
    }
}

/// Asks a program to end, and ends it if it does not.
pub(super) async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    hand_on(child, Signal::TERM);
    match timeout(GRACE, child.wait()).await {
        Ok(ended) => ended,
        Err(_) => {
            child.start_kill()?;
            child.wait().await
        }
    }
}

/// Standard input of a program: ours, or none.
pub(super) fn stdin(pass: bool) -> Stdio {
    if pass { Stdio::inherit() } else { Stdio::null() }
}

/// The end of a program that was not well, in the words of the original.
pub(super) fn problem(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, signal) => Some(format!("signal: {}", signal.unwrap_or(0))),
    }
}
