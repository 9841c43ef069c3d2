//! Questions over TCP: each with its length before it, answered in order.
//!
//! The number of connections is limited, and so is the time that one may do nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_task::{CancellationToken, TaskSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::engine::Step;
use crate::fit::Transport;
use crate::waiting::{Asker, Shared, now};

/// Largest question. One with all options is much smaller.
const QUESTION_MAX: usize = 4096;
/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until it is told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    tasks: TaskSet,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
                    shared.counts.connections.add("too many connections; one was closed");
                    continue;
                };
                let shared = Arc::clone(&shared);
                tasks.spawn_cut("connection", async move {
                    if let Err(error) = connection(stream, peer, &shared).await {
                        tracing::debug!(%peer, %error, "dns: the connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "dns: a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let idle = shared.limits.idle;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let mut message = Vec::new();
    let mut out = Vec::new();
    loop {
        let whole = timeout(idle, question(&mut stream, &mut message)).await.map_err(late)??;
        if !whole {
            return Ok(());
        }
        out.clear();
        out.extend_from_slice(&[0, 0]);
        if !answer(&message, peer, shared, &mut out).await {
            return Ok(());
        }
        let length = u16::try_from(out.len() - 2).map_err(|_| io::ErrorKind::InvalidData)?;
        out[..2].copy_from_slice(&length.to_be_bytes());
        timeout(idle, stream.write_all(&out)).await.map_err(late)??;
    }
}

/// Reads the next question; false at the end.
async fn question(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    };
    if length > QUESTION_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(length, 0);
    stream.read_exact(message).await?;
    Ok(true)
}

/// Answers at the end of `out`; false when the message deserves none.
async fn answer(message: &[u8], peer: SocketAddr, shared: &Shared, out: &mut Vec<u8>) -> bool {
    let (settings, began) = (shared.settings.get(), Instant::now());
    let (step, served) = {
        let view = shared.view();
        let context = shared.context(&settings, &view, now());
        let mut engine = shared.engine.lock();
        engine.use_settings(&settings);
        let step = engine.respond(context, message, Transport::Tcp, out);
        (step, engine.take_served())
    };
    match step {
        Step::Ignored => false,
        Step::Written if shared.may_answer(&settings) => {
            shared.meters.served(served, began);
            shared.count_stale(served);
            true
        }
        Step::Written | Step::Wait(..) => {
            out.truncate(2);
            let Ok(query) = crate::query::Query::parse(message) else { return false };
            let Ok(_permit) = shared.waiting.try_acquire() else {
                shared.counts.waiting.add("too many questions wait for others; one was dropped");
                return false;
            };
            let asker = Asker { transport: Transport::Tcp, peer: peer.ip().to_canonical() };
            out.extend_from_slice(&shared.finish(message, &query, asker).await);
            true
        }
    }
}
