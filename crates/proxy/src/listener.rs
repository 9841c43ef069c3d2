//! One listening socket: binds until it succeeds, accepts within a limit, hands out.
//!
//! What a connection is for is the handler's, which can be replaced while listening.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lictor_task::CancellationToken;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::workers::Workers;

/// Pause after an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between tries to bind.
const REBIND: Duration = Duration::from_secs(2);
/// Connections that the system holds for us until we accept them.
const BACKLOG: u32 = 1024;

/// What is done with connections.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Connections at the same time.
    fn limit(&self) -> &Arc<Semaphore>;

    /// Carries one connection to its end; `permit` goes with it.
    fn serve(self: Arc<Self>, socket: std::net::TcpStream, from: SocketAddr) -> Carried;
}

pub(crate) type Carried = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) type Handler = watch::Receiver<Arc<dyn Serve>>;

/// Listens at `address` until `stop`; `name` is for log lines.
pub(crate) async fn listen(
    name: &str,
    address: &str,
    handler: Handler,
    workers: &Workers,
    stop: &CancellationToken,
) {
    let listening = async {
        let listener = bind(name, address).await;
        tracing::info!(listener = name, address, "listening");
        accept(name, &listener, &handler, workers).await;
    };
    tokio::select! {
        () = stop.cancelled() => tracing::debug!(listener = name, address, "listener closed"),
        () = listening => {}
    }
}

/// Binds, again and again until it succeeds: whoever has the port may go away.
async fn bind(name: &str, address: &str) -> TcpListener {
    loop {
        match try_bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::error!(listener = name, address, %error, "cannot listen");
                tokio::time::sleep(REBIND).await;
            }
        }
    }
}

async fn try_bind(address: &str) -> io::Result<TcpListener> {
    // An address without a host is every address.
    let full = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host(full).await? {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        };
        let bound = socket.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn accept(name: &str, listener: &TcpListener, handler: &Handler, workers: &Workers) {
    loop {
        let Some(permit) = permit(name, handler).await else { return };
        // The socket leaves this thread's runtime for that of its worker.
        let accepted = listener.accept().await;
        match accepted.and_then(|(socket, from)| Ok((socket.into_std()?, from))) {
            Ok((socket, from)) => {
                let carried = Arc::clone(&handler.borrow()).serve(socket, from);
                workers.spawn(async move {
                    carried.await;
                    drop(permit);
                });
            }
            // That one is gone; the next may be well.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(listener = name, %error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The right to one more connection; callers wait in the system's queue meanwhile.
async fn permit(name: &str, handler: &Handler) -> Option<OwnedSemaphorePermit> {
    let limit = Arc::clone(handler.borrow().limit());
    if let Ok(permit) = Arc::clone(&limit).try_acquire_owned() {
        return Some(permit);
    }
    tracing::warn!(listener = name, "as many connections as allowed; new ones wait");
    let mut handler = handler.clone();
    loop {
        let limit = Arc::clone(handler.borrow_and_update().limit());
        tokio::select! {
            permit = limit.acquire_owned() => return permit.ok(),
            changed = handler.changed() => changed.ok()?,
        }
    }
}

/// The socket on the thread that runs this, or nothing if it is broken already.
pub(crate) fn adopt(socket: std::net::TcpStream) -> Option<TcpStream> {
    let socket = TcpStream::from_std(socket);
    socket.inspect_err(|error| tracing::debug!(%error, "socket lost")).ok()
}
