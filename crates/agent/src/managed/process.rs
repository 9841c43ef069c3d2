//! One proxy process: started in a session of its own, or found again after an agent restart.
//!
//! When it is started again is decided in the `daemon` module. A found process is known by the
//! moment of its start, so that a reused process number is never taken for it (its command line
//! may have changed: wrappers replace themselves by the real program). That, and with it adoption,
//! exists on Linux only.

use std::io;
use std::process::Stdio;

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::{Pid, Signal, kill_process};

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// On top of the agent's own environment.
    pub(super) env: Vec<(String, String)>,
}

/// A running (or ended, but not yet awaited) process.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    birth: String,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Child(Box<dyn ChildWrapper>),
    #[cfg(target_os = "linux")]
    Found(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
}

impl Process {
    /// Starts it with its output going to `stdout` and `stderr`.
    pub(super) fn spawn(launch: &Launch, stdout: Stdio, stderr: Stdio) -> io::Result<Self> {
        let mut command = CommandWrap::with_new(&launch.program, |command| {
            command.args(&launch.args).envs(launch.env.iter().map(|(key, value)| (key, value)));
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        });
        command.wrap(ProcessSession);
        // What is around the child would also wait for and signal its group.
        let child = command.spawn()?.into_inner();
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        let birth = birth(pid).unwrap_or_default();
        Ok(Self { pid, birth, handle: Handle::Child(child) })
    }

    /// Finds the process that an earlier run of the agent started; `None` when it has ended.
    pub(super) fn find(number: i32, born: &str) -> Option<Self> {
        let pid = Pid::from_raw(number).filter(|_| number > 1 && !born.is_empty())?;
        let handle = Handle::open(pid)?;
        // From here on the handle is of one process, whatever happens to the number.
        let birth = birth(pid).filter(|birth| birth == born)?;
        Some(Self { pid, birth, handle })
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The moment of its start as a text that no other process ever has; empty when unknown.
    pub(super) fn birth(&self) -> &str {
        &self.birth
    }

    /// Its output, where it was asked for.
    pub(super) fn take_output(
        &mut self,
    ) -> (Option<tokio::process::ChildStdout>, Option<tokio::process::ChildStderr>) {
        match &mut self.handle {
            Handle::Child(child) => (child.stdout().take(), child.stderr().take()),
            #[cfg(target_os = "linux")]
            Handle::Found(_) => (None, None),
        }
    }

    /// Waits for its end; how it ended, for log lines. Cancel-safe.
    pub(super) async fn wait(&mut self) -> String {
        match &mut self.handle {
            Handle::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            #[cfg(target_os = "linux")]
            Handle::Found(fd) => {
                let _ = fd.readable().await;
                "unknown exit status of an adopted process".to_owned()
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        // A failure means that it has ended already.
        let _ = match &self.handle {
            Handle::Child(_) => kill_process(self.pid, signal),
            #[cfg(target_os = "linux")]
            Handle::Found(fd) => rustix::process::pidfd_send_signal(fd.get_ref(), signal),
        };
    }
}

impl Handle {
    #[cfg(target_os = "linux")]
    fn open(pid: Pid) -> Option<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;

        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // What it is deprecated for, a descriptor that others close, cannot be: this one is owned.
        #[allow(deprecated)]
        AsyncFd::with_interest(fd, Interest::READABLE).ok().map(Self::Found)
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: Pid) -> Option<Self> {
        None
    }
}

/// The boot of the machine and the ticks from there to the start of the process; `None` when it
/// has ended.
fn birth(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    let ticks = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{}/{ticks}", boot.trim()))
}
