//! A connection with several streams on it: the session's machine with a socket and a clock.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lictor_task::TaskSet;
use parking_lot::Mutex;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use crate::yamux::{Config, Event, Session, StreamId};

/// Streams of the other side that wait to be taken.
const BACKLOG: usize = 256;
/// How long sending a part may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const READ_CHUNK: usize = 64 << 10;

/// What a connection has to be.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

#[derive(Debug)]
struct State {
    session: Session,
    /// Told when something may have changed for a stream.
    wakers: BTreeMap<StreamId, Arc<Notify>>,
    /// Why the connection has ended.
    ended: Option<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to send.
    output: Notify,
    /// The connection has ended.
    over: Notify,
    started: Instant,
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the connection for everybody on it.
    fn end(&self, why: impl Into<String>) {
        let mut state = self.state.lock();
        state.ended.get_or_insert_with(|| why.into());
        for waker in state.wakers.values() {
            waker.notify_waiters();
            waker.notify_one();
        }
        drop(state);
        self.over.notify_waiters();
        self.output.notify_one();
    }

    fn is_over(&self) -> bool {
        self.state.lock().ended.is_some()
    }
}

/// A connection with streams; clones are the same one.
#[derive(Clone, Debug)]
pub struct Mux(Arc<Shared>);

/// A stream. Dropped, it is cut off unless it was ended.
#[derive(Debug)]
pub struct MuxStream {
    shared: Arc<Shared>,
    id: StreamId,
    waker: Arc<Notify>,
}

/// Streams that the other side opens.
pub type Incoming = mpsc::Receiver<MuxStream>;

impl Mux {
    /// Runs a session on `io`, until it fails, the other side ends it, or `tasks` end.
    pub fn start(io: impl Io, client: bool, config: Config, tasks: &TaskSet) -> (Self, Incoming) {
        let started = Instant::now();
        let session = Session::new(client, config, Duration::ZERO);
        let state = State { session, wakers: BTreeMap::new(), ended: None };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            output: Notify::new(),
            over: Notify::new(),
            started,
        });
        let (opened, incoming) = mpsc::channel(BACKLOG);
        let (reader, writer) = tokio::io::split(io);
        let (task, token) = (Arc::clone(&shared), tasks.token().clone());
        tasks.spawn("rpc connection", async move {
            let why = tokio::select! {
                () = token.cancelled() => "this side is shutting down".to_owned(),
                error = read(&task, reader, &opened) => error,
                error = write(&task, writer) => error,
            };
            task.end(why);
        });
        (Self(shared), incoming)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// When the connection has ended, or has too many streams.
    pub fn open(&self) -> io::Result<MuxStream> {
        let mut state = self.0.state.lock();
        if let Some(why) = &state.ended {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()));
        }
        let Some(id) = state.session.open() else {
            let text = "the connection takes no more streams";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        };
        let waker = Arc::new(Notify::new());
        state.wakers.insert(id, Arc::clone(&waker));
        drop(state);
        self.0.output.notify_one();
        Ok(MuxStream { shared: Arc::clone(&self.0), id, waker })
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0.state.lock().session.streams()
    }

    /// Ends it.
    pub fn close(&self) {
        self.0.end("closed");
    }
}

async fn read(
    shared: &Arc<Shared>,
    mut io: ReadHalf<impl Io>,
    opened: &mpsc::Sender<MuxStream>,
) -> String {
    let mut bytes = vec![0; READ_CHUNK];
    loop {
        let length = match io.read(&mut bytes).await {
            Ok(0) => return "EOF".to_owned(),
            Ok(length) => length,
            Err(error) => return error.to_string(),
        };
        let now = shared.now();
        let mut state = shared.state.lock();
        if let Err(error) = state.session.receive(&bytes[..length], now) {
            return error.to_string();
        }
        let mut new = Vec::new();
        while let Some(event) = state.session.event() {
            match event {
                Event::Opened(id) => {
                    let waker = Arc::new(Notify::new());
                    state.wakers.insert(id, Arc::clone(&waker));
                    new.push((id, waker));
                }
                Event::Readable(id) | Event::Writable(id) | Event::Reset(id) => {
                    if let Some(waker) = state.wakers.get(&id) {
                        waker.notify_one();
                    }
                }
            }
        }
        let sends = state.session.has_output();
        drop(state);
        for (id, waker) in new {
            // One that nobody takes is cut off by being dropped, which needs the lock.
            let _ = opened.try_send(MuxStream { shared: Arc::clone(shared), id, waker });
        }
        if sends {
            shared.output.notify_one();
        }
    }
}

async fn write(shared: &Arc<Shared>, mut io: WriteHalf<impl Io>) -> String {
    loop {
        let (bytes, deadline) = {
            let mut state = shared.state.lock();
            if let Some(why) = &state.ended {
                return why.clone();
            }
            (state.session.output(), state.session.deadline())
        };
        if !bytes.is_empty() {
            let written = async {
                io.write_all(&bytes).await?;
                io.flush().await
            };
            match timeout(WRITE_TIMEOUT, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "connection write timeout".to_owned(),
            }
            let mut state = shared.state.lock();
            state.session.sent();
            while let Some(event) = state.session.event() {
                if let Event::Writable(id) = event
                    && let Some(waker) = state.wakers.get(&id)
                {
                    waker.notify_one();
                }
            }
            continue;
        }
        tokio::select! {
            () = shared.output.notified() => {}
            () = sleep_until(shared.started + deadline) => {
                let now = shared.now();
                if let Err(error) = shared.state.lock().session.tick(now) {
                    return error.to_string();
                }
            }
        }
    }
}

impl MuxStream {
    /// Appends what has arrived, waiting for it; `false` at the end of the stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            {
                let mut state = self.shared.state.lock();
                match state.session.read(self.id, into) {
                    Some(0) => {}
                    Some(_) => {
                        let sends = state.session.has_output();
                        drop(state);
                        if sends {
                            self.shared.output.notify_one();
                        }
                        return Ok(true);
                    }
                    None => return Ok(false),
                }
                if let Some(why) = &state.ended {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()));
                }
            }
            self.waker.notified().await;
        }
    }

    /// Whether it can be written to.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let state = self.shared.state.lock();
        state.ended.is_none() && state.session.is_open(self.id)
    }

    /// Writes all of `bytes`, waiting for room.
    ///
    /// # Errors
    /// When the connection or the stream has ended.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            {
                let mut state = self.shared.state.lock();
                if let Some(why) = &state.ended {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()));
                }
                if !state.session.is_open(self.id) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                let written = state.session.write(self.id, bytes);
                bytes = &bytes[written..];
            }
            self.shared.output.notify_one();
            if bytes.is_empty() {
                return Ok(());
            }
            self.waker.notified().await;
        }
    }

    /// Says that nothing more will be written.
    pub fn end(&mut self) {
        self.shared.state.lock().session.end(self.id);
        self.shared.output.notify_one();
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.session.abandon(self.id);
        state.wakers.remove(&self.id);
        drop(state);
        self.shared.output.notify_one();
    }
}
