//! Commands that are run for others: in a process group of their own, with one pipe for all that
//! they print, and killed as a whole when they are let go of.
//!
//! Whether a command may be run, and what becomes of its output, is decided elsewhere.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// A command's process group. It is killed when dropped, unless it has ended.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// It has ended: its number may be another's soon.
    pub(crate) fn ended(&mut self) {
        self.0 = None;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // It may have ended by itself in the meantime.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a command, without input; gives what it prints.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(mut command: Command) -> io::Result<(Child, Group, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    // The command keeps its ends of the pipe open until dropped, which would hide the end.
    drop(command);
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    Ok((child, group, pipe::Receiver::from_owned_fd(reader.into())?))
}
