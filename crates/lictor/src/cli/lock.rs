//! `lock`: runs a program while a lock, or one of the places of a semaphore, is held.

use std::time::Duration;

use lictor_api::client::Client;
use lictor_api::lock::{LOCK_KEY, Lock, LockError, LockOptions, join};
use lictor_api::semaphore::Semaphore;
use lictor_types::duration;

use super::child::{self, Signals};
use super::flags::{FlagError, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, misused, out};

/// `lictor lock`.
pub(super) const COMMAND: Command = Command {
    path: "lock",
    synopsis: "Runs a program while a lock is held",
    operands: "[options] prefix child...",
    about: "Acquires a lock, or one of several places, at a prefix of the key/value store and runs \
        a program as long as it is held. When the lock is lost, or on a signal, the program gets \
        SIGTERM and five seconds later SIGKILL.",
    flags: &[
        flag("child-exit-code", Kind::Bool, "Exit with 2 if the program failed."),
        flag("monitor-retry", Kind::Text, "Failures of the servers put up with. Default: 3."),
        flag("n", Kind::Text, "How many may hold it at the same time. Default: 1."),
        flag("name", Kind::Text, "Name of the session. Default: made of the program's."),
        flag("pass-stdin", Kind::Bool, "Pass standard input to the program."),
        flag("shell", Kind::Bool, "Run the program by a shell, SHELL or /bin/sh. Default: true."),
        flag("timeout", Kind::Text, "Give up after this time: 30s. Default: never."),
        flag("try", Kind::Text, "The same; old."),
        flag("verbose", Kind::Bool, "Say what is being done."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

const RETRIES: u64 = 3;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What is held: the whole, or one of several places.
enum Held {
    Lock(Lock),
    Semaphore(Semaphore),
}

impl Held {
    async fn acquire(&mut self) -> Result<bool, LockError> {
        match self {
            Self::Lock(lock) => lock.acquire().await,
            Self::Semaphore(semaphore) => semaphore.acquire().await,
        }
    }

    async fn lost(&self) {
        match self {
            Self::Lock(lock) => lock.lost().await,
            Self::Semaphore(semaphore) => semaphore.lost().await,
        }
    }

    async fn release(&mut self) -> Result<(), LockError> {
        match self {
            Self::Lock(lock) => lock.release().await,
            Self::Semaphore(semaphore) => semaphore.release().await,
        }
    }

    async fn abandon(&mut self) {
        match self {
            Self::Lock(lock) => lock.abandon().await,
            Self::Semaphore(semaphore) => semaphore.abandon().await,
        }
    }

    async fn destroy(&self) -> Result<(), LockError> {
        match self {
            Self::Lock(lock) => lock.destroy().await,
            Self::Semaphore(semaphore) => semaphore.destroy().await,
        }
    }
}

/// What was asked for.
struct Wish<'a> {
    prefix: &'a str,
    words: &'a [String],
    places: u32,
    options: LockOptions,
}

fn number(call: &Call, name: &'static str) -> Result<Option<i64>, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(None) };
    let bad = || FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
    text.parse().map(Some).map_err(|_| bad())
}

fn time(call: &Call, name: &'static str) -> Result<Option<i64>, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(None) };
    let bad = || FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
    duration::parse(text).map(Some).map_err(|_| bad())
}

fn wish(call: &Call) -> Result<Wish<'_>, Exit> {
    let read = || {
        let limit = time(call, "timeout")?.or(time(call, "try")?).unwrap_or(0);
        Ok((number(call, "n")?.unwrap_or(1), number(call, "monitor-retry")?, limit))
    };
    let (places, retries, limit) =
        read().map_err(|error: FlagError| misused(call.command, error))?;
    let Some(places) = u32::try_from(places).ok().filter(|places| *places > 0) else {
        return Err(fail("Lock holder limit must be positive"));
    };
    let [prefix, words @ ..] = call.parsed.operands.as_slice() else {
        return Err(fail("Key prefix and child command must be specified"));
    };
    if words.is_empty() {
        return Err(fail("Key prefix and child command must be specified"));
    }
    let Ok(limit) = u64::try_from(limit) else { return Err(fail("Timeout must be positive")) };
    let retries = retries.map_or(Ok(RETRIES), u64::try_from);
    let Ok(retries) = retries else {
        return Err(fail("Number for 'monitor-retry' must be >= 0"));
    };
    let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
    let session_name = match call.parsed.text_or_empty("name") {
        "" => format!("Consul lock for '{}' at '{prefix}'", words.join(" ")),
        name => name.to_owned(),
    };
    let options = LockOptions {
        session_name,
        monitor_retries: u32::try_from(retries).unwrap_or(u32::MAX),
        monitor_pause: RETRY_PAUSE,
        once: (limit > 0).then(|| Duration::from_nanos(limit)),
    };
    Ok(Wish { prefix, words, places, options })
}

async fn run(call: Call) -> Exit {
    let wish = match wish(&call) {
        Ok(wish) => wish,
        Err(exit) => return exit,
    };
    let client: Client = client_or_fail!(call);
    if let Err(error) = client.agent_self().await {
        return fail(format!("Error querying Consul agent: {error}"));
    }
    let verbose = call.parsed.is_set("verbose");
    let say = |text: &str| {
        if verbose {
            out(text);
        }
    };
    let mut held = if wish.places == 1 {
        // The key is that of a semaphore, so that one is not taken for the other.
        let key = join(wish.prefix, LOCK_KEY);
        say(&format!("Setting up lock at path: {key}"));
        Held::Lock(Lock::new(client, &key, wish.options.clone()))
    } else if wish.prefix.is_empty() {
        return fail("Lock setup failed: missing prefix");
    } else {
        let (limit, prefix) = (wish.places, wish.prefix);
        say(&format!("Setting up semaphore (limit {limit}) at prefix: {prefix}"));
        Held::Semaphore(Semaphore::new(client, prefix, limit, wish.options.clone()))
    };
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(format!("Error watching for signals: {error}")),
    };
    say("Attempting lock acquisition");
    let acquired = tokio::select! {
        acquired = held.acquire() => Some(acquired),
        _ = signals.end() => None,
    };
    match acquired {
        Some(Ok(true)) => {}
        Some(Err(error)) => return fail(format!("Lock acquisition failed: {error}")),
        Some(Ok(false)) | None => {
            held.abandon().await;
            return fail("Shutdown triggered or timeout during lock acquisition");
        }
    }
    let went_well = hold(&call, &wish, &held, &mut signals).await;
    if let Err(error) = held.release().await {
        return fail(format!("Lock release failed: {error}"));
    }
    match held.destroy().await {
        Ok(()) => say("Cleanup succeeded"),
        Err(LockError::InUse) => say("Cleanup aborted, lock in use"),
        Err(error) => return fail(format!("Lock cleanup failed: {error}")),
    }
    if call.parsed.is_set("child-exit-code") && !went_well { 2 } else { 0 }
}

/// Runs the program as long as the lock is held; gives whether it ended well, or was ended by us.
async fn hold(call: &Call, wish: &Wish<'_>, held: &Held, signals: &mut Signals) -> bool {
    let verbose = call.parsed.is_set("verbose");
    let say = |text: &str| {
        if verbose {
            out(text);
        }
    };
    say("Starting handler");
    let command = child::command(wish.words, call.parsed.bool_or("shell", true));
    let started = command.and_then(|mut command| {
        command
            .env("CONSUL_LOCK_HELD", "true")
            .stdin(child::stdin(call.parsed.is_set("pass-stdin")))
            .kill_on_drop(true)
            .spawn()
    });
    let mut program = match started {
        Ok(program) => program,
        Err(error) => {
            err(&format!("Error starting handler: {error}"));
            return false;
        }
    };
    let lost = held.lost();
    let mut lost = std::pin::pin!(lost);
    loop {
        tokio::select! {
            ended = program.wait() => {
                let problem = match ended {
                    Ok(status) => child::problem(status),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(problem) = &problem {
                    err(&format!("Error running handler: {problem}"));
                }
                say("Child terminated, releasing lock");
                return problem.is_none();
            }
            () = &mut lost => {
                say("Lock lost, killing child");
                break;
            }
            signal = signals.next() => {
                child::hand_on(&program, signal);
                if child::is_end(signal) {
                    say("Shutdown triggered, killing child");
                    break;
                }
            }
        }
    }
    if let Err(error) = child::end(&mut program).await {
        err(&format!("Error ending handler: {error}"));
    }
    true
}
