//! Keeping proxy processes alive: each has a task that starts it, waits, and starts it again.
//!
//! Which proxies there are is decided by the parent. Pauses between starts follow the observed
//! behaviour: the first restarts at once, then with growing pauses, and afresh after some uptime.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_task::TaskSet;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::process::{Launch, Process};
use super::snapshot::{Book, Record, file_name};

/// A log file that is larger when its proxy starts is moved aside.
const LOG_MAX: u64 = 10 * 1024 * 1024;
/// Time between tries to write down which proxies run.
const RECORD_RETRY: Duration = Duration::from_secs(1);
/// Longest line of a proxy that is passed on.
const LINE_MAX: usize = 4096;

/// How processes are started again and ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Restarts without a pause.
    pub(crate) immediate: u32,
    /// First pause; each further one is twice as long.
    pub(crate) pause: Duration,
    /// Longest pause.
    pub(crate) longest: Duration,
    /// Uptime after which earlier restarts are forgotten.
    pub(crate) healthy: Duration,
    /// Time between the request to end and the end by force.
    pub(crate) grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            immediate: 3,
            pause: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            healthy: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

impl Policy {
    /// The pause before the restart with this number, counted from 0.
    fn pause_before(&self, restart: u32) -> Duration {
        if restart < self.immediate {
            return Duration::ZERO;
        }
        let doubled = 2_u32.saturating_pow((restart - self.immediate).min(16));
        self.pause.saturating_mul(doubled).min(self.longest)
    }
}

/// Where the output of proxies goes.
#[derive(Clone, Debug)]
pub(super) enum Logs {
    /// Into files of this folder.
    Files(PathBuf),
    /// Into the agent's own log.
    Trace,
}

/// What a proxy's task is to bring about.
#[derive(Clone, Debug)]
enum Goal {
    Run(Arc<Launch>),
    End,
    /// Let it run on without us.
    Leave,
}

type Goals = Mutex<HashMap<Arc<str>, watch::Sender<Goal>>>;

/// All proxy processes.
#[derive(Debug)]
pub(super) struct Daemons {
    shared: Arc<Shared>,
    end_with_agent: bool,
}

#[derive(Debug)]
struct Shared {
    /// One task for each proxy.
    daemons: TaskSet,
    /// What those need done: files, and the output of their processes.
    tasks: TaskSet,
    book: Book,
    /// Whether a task tries to write the book again.
    rewriting: AtomicBool,
    logs: Logs,
    policy: Policy,
    goals: Goals,
}

impl Daemons {
    pub(super) fn new(book: Book, logs: Logs, policy: Policy, end_with_agent: bool) -> Self {
        let shared = Shared {
            daemons: TaskSet::new("proxies"),
            tasks: TaskSet::new("proxy files"),
            book,
            rewriting: AtomicBool::new(false),
            logs,
            policy,
            goals: Goals::default(),
        };
        Self { shared: Arc::new(shared), end_with_agent }
    }

    /// Runs a proxy from now on. One that runs already is left alone if it was started the same
    /// way, else replaced.
    pub(super) fn run(&self, id: &Arc<str>, launch: Launch) {
        let launch = Arc::new(launch);
        let mut goals = self.shared.goals.lock();
        if let Some(goal) = goals.get(id) {
            goal.send_if_modified(|goal| match goal {
                Goal::Run(now) if *now == launch => false,
                _ => {
                    *goal = Goal::Run(launch);
                    true
                }
            });
            return;
        }
        let (sender, receiver) = watch::channel(Goal::Run(launch));
        goals.insert(Arc::clone(id), sender);
        let daemon = Daemon { id: Arc::clone(id), shared: Arc::clone(&self.shared) };
        let left = self.shared.book.claim(id);
        self.shared.daemons.spawn("proxy", daemon.supervise(receiver, left));
    }

    /// Ends a proxy.
    pub(super) fn end(&self, id: &str) {
        if let Some(goal) = self.shared.goals.lock().get(id) {
            goal.send_replace(Goal::End);
        }
    }

    /// Ends processes of an earlier run that were not taken over.
    pub(super) fn end_leftovers(&self) {
        for record in self.shared.book.take_leftovers() {
            let id = record.proxy_id.as_str().into();
            let daemon = Daemon { id, shared: Arc::clone(&self.shared) };
            self.shared.daemons.spawn("leftover", async move { daemon.end_left(record).await });
        }
    }

    /// Ends or leaves all of them, and waits for that.
    pub(super) async fn shutdown(&self) {
        for sender in self.shared.goals.lock().values() {
            sender.send_modify(|goal| match goal {
                Goal::Run(_) if self.end_with_agent => *goal = Goal::End,
                Goal::Run(_) => *goal = Goal::Leave,
                Goal::End | Goal::Leave => {}
            });
        }
        // A goal says what to do, so the set's own word to stop goes unheard.
        let grace = self.shared.policy.grace + Duration::from_secs(3);
        self.shared.daemons.shutdown(grace).await;
        self.shared.tasks.shutdown(Duration::from_secs(2)).await;
    }
}

impl Shared {
    async fn remember(self: &Arc<Self>, record: Record) {
        let this = Arc::clone(self);
        let written = self.tasks.blocking("record", move || this.book.add(record)).await;
        self.rewrite_after(written);
    }

    async fn forget(self: &Arc<Self>, id: &str) {
        let (this, id) = (Arc::clone(self), id.to_owned());
        let written = self.tasks.blocking("record", move || this.book.remove(&id)).await;
        self.rewrite_after(written);
    }

    /// Tries again until the book is written, should it not be: the disk may have space again.
    fn rewrite_after(self: &Arc<Self>, written: Option<io::Result<()>>) {
        let Some(Err(error)) = written else { return };
        tracing::error!(
            %error,
            "cannot record the managed proxies; until it can, a restarted agent will not find them"
        );
        if self.rewriting.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = Arc::clone(self);
        self.tasks.spawn_cut("record again", async move {
            loop {
                tokio::time::sleep(RECORD_RETRY).await;
                // Before the try: what fails after it needs another one.
                this.rewriting.store(false, Ordering::Relaxed);
                let book = Arc::clone(&this);
                let written = this.tasks.blocking("record", move || book.book.save()).await;
                if matches!(written, Some(Ok(()))) {
                    tracing::info!("the managed proxies are recorded again");
                    return;
                }
                if this.rewriting.swap(true, Ordering::Relaxed) {
                    return;
                }
            }
        });
    }
}

/// The task of one proxy.
#[derive(Debug)]
struct Daemon {
    id: Arc<str>,
    shared: Arc<Shared>,
}

impl Daemon {
    /// `left` is what an earlier run left of it.
    async fn supervise(self, mut goal: watch::Receiver<Goal>, mut left: Option<Record>) {
        let mut restarts = 0;
        loop {
            let wanted = goal.borrow_and_update().clone();
            let launch = match wanted {
                Goal::Run(launch) => launch,
                Goal::End | Goal::Leave => {
                    if let (Goal::End, Some(record)) = (wanted, left.take()) {
                        self.end_left(record).await;
                    }
                    if self.retire() {
                        return;
                    }
                    continue;
                }
            };
            let adopted = match left.take() {
                Some(record) => self.adopt(record, &launch).await,
                None => None,
            };
            let started = Instant::now();
            let process = match adopted {
                Some(process) => Some(process),
                None => self.start(&launch).await,
            };
            if let Some(mut process) = process {
                tokio::select! {
                    biased;
                    () = changed(&mut goal, &launch) => {
                        if matches!(*goal.borrow(), Goal::Leave) {
                            continue;
                        }
                        terminate(process, self.shared.policy.grace).await;
                        self.shared.forget(&self.id).await;
                        restarts = 0;
                        continue;
                    }
                    how = process.wait() => {
                        tracing::warn!(proxy = %self.id, exit = how, "managed proxy exited");
                        self.shared.forget(&self.id).await;
                    }
                }
            }
            if started.elapsed() >= self.shared.policy.healthy {
                restarts = 0;
            }
            let pause = self.shared.policy.pause_before(restarts);
            restarts += 1;
            tokio::select! {
                biased;
                () = changed(&mut goal, &launch) => restarts = 0,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes this task off the list; false when it is wanted again.
    fn retire(&self) -> bool {
        let mut goals = self.shared.goals.lock();
        let again = goals.get(&self.id).is_some_and(|goal| matches!(*goal.borrow(), Goal::Run(_)));
        if !again {
            goals.remove(&self.id);
        }
        !again
    }

    /// Takes over the process of an earlier run, or ends it if it was started differently.
    async fn adopt(&self, record: Record, launch: &Launch) -> Option<Process> {
        let Some(found) = Process::find(record.pid, &record.birth) else {
            self.shared.forget(&self.id).await;
            return None;
        };
        if !record.is(launch) {
            tracing::info!(proxy = %self.id, pid = record.pid, "replacing a proxy of before");
            terminate(found, self.shared.policy.grace).await;
            self.shared.forget(&self.id).await;
            return None;
        }
        tracing::info!(proxy = %self.id, pid = record.pid, "adopted the running proxy");
        self.shared.remember(record).await;
        Some(found)
    }

    /// Ends the process of an earlier run.
    async fn end_left(&self, record: Record) {
        if let Some(process) = Process::find(record.pid, &record.birth) {
            tracing::info!(proxy = %self.id, "ending a proxy that has no service");
            terminate(process, self.shared.policy.grace).await;
        }
        self.shared.forget(&self.id).await;
    }

    async fn start(&self, launch: &Launch) -> Option<Process> {
        let (stdout, stderr) = match &self.shared.logs {
            Logs::Files(dir) => (self.log(dir, "stdout").await, self.log(dir, "stderr").await),
            Logs::Trace => (Stdio::piped(), Stdio::piped()),
        };
        let mut process = match Process::spawn(launch, stdout, stderr) {
            Ok(process) => process,
            Err(error) => {
                tracing::error!(
                    proxy = %self.id, program = launch.program, %error,
                    "managed proxy cannot be started"
                );
                return None;
            }
        };
        tracing::info!(proxy = %self.id, pid = process.pid(), "managed proxy started");
        let (stdout, stderr) = process.take_output();
        if let Some(output) = stdout {
            self.shared.tasks.spawn_cut("proxy output", pass_on(Arc::clone(&self.id), output));
        }
        if let Some(output) = stderr {
            self.shared.tasks.spawn_cut("proxy output", pass_on(Arc::clone(&self.id), output));
        }
        let record = Record::new(&self.id, process.pid(), process.birth(), launch);
        self.shared.remember(record).await;
        Some(process)
    }

    /// The log file of one stream; nothing at all if it cannot be opened.
    async fn log(&self, dir: &Path, stream: &'static str) -> Stdio {
        let path = dir.join(format!("{}-{stream}.log", file_name(&self.id)));
        let opened = self.shared.tasks.blocking("log", move || {
            let file = open_log(&path);
            if let Err(error) = &file {
                tracing::error!(path = %path.display(), %error, "cannot open a proxy's log");
            }
            file.ok()
        });
        opened.await.flatten().map_or_else(Stdio::null, Stdio::from)
    }
}

/// Resolves when the goal is no longer to run this.
async fn changed(goal: &mut watch::Receiver<Goal>, launch: &Arc<Launch>) {
    let other = |goal: &Goal| !matches!(goal, Goal::Run(wanted) if wanted == launch);
    // The sender lives as long as this task is on the list.
    let _ = goal.wait_for(other).await;
}

/// Asks the process to end, waits, and ends it by force.
async fn terminate(mut process: Process, grace: Duration) {
    process.signal(Signal::INT);
    if tokio::time::timeout(grace, process.wait()).await.is_err() {
        tracing::warn!(pid = process.pid(), "managed proxy does not end, killing it");
        process.signal(Signal::KILL);
        let _ = tokio::time::timeout(grace, process.wait()).await;
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Writes each line of a proxy into the agent's log.
async fn pass_on(id: Arc<str>, mut output: impl AsyncRead + Unpin) {
    let mut line = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = output.read(&mut buffer).await {
        for byte in &buffer[..n] {
            if *byte == b'\n' || line.len() >= LINE_MAX {
                let text = String::from_utf8_lossy(&line);
                tracing::info!(proxy = %id, "{}", text.trim_end());
                line.clear();
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let policy = Policy::default();
        let pauses: Vec<_> = (0..10).map(|n| policy.pause_before(n).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 0, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(policy.pause_before(u32::MAX).as_secs(), 60);
    }
}
