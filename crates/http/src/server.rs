//! The listeners of the HTTP door, and how they end.
//!
//! What happens on a connection is in [`crate::connection`]; what is answered, in the router.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lictor_task::TaskSet;
use tokio::net::{TcpListener, UnixListener};

use crate::config::{HttpConfig, Listen};
use crate::connection::{self, Service, Shared};
use crate::encoding::Compressor;
use crate::socket::Socket;

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit that are told so; further ones are just closed.
const TURNED_AWAY: usize = 64;

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("failed to listen at {place}: {source}")]
    Bind {
        /// The address or path.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// The open door. Dropping it does not close it: call [`HttpServer::shutdown`].
#[derive(Debug)]
pub struct HttpServer {
    tasks: TaskSet,
    addresses: Vec<SocketAddr>,
    sockets: Vec<PathBuf>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl HttpServer {
    /// Binds all listeners, then serves them with `service`.
    pub(crate) async fn open<S: Service>(
        config: &HttpConfig,
        service: S,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
        for place in &config.listeners {
            match place {
                Listen::Tcp(address) => {
                    let failed = |source| StartError::Bind { place: address.to_string(), source };
                    let listener = TcpListener::bind(address).await.map_err(failed)?;
                    addresses.push(listener.local_addr().map_err(failed)?);
                    listeners.push(Listener::Tcp(listener));
                }
                Listen::Unix { path, mode } => {
                    let listener = bind_unix(path, *mode).map_err(|source| StartError::Bind {
                        place: path.display().to_string(),
                        source,
                    })?;
                    sockets.push(path.clone());
                    listeners.push(Listener::Unix(listener));
                }
            }
        }
        let tasks = TaskSet::new("http");
        let compressor = Compressor::default();
        let shared = Arc::new(Shared { service, limits: config.limits, compressor });
        for listener in listeners {
            tasks.spawn("accept", accept(listener, tasks.clone(), Arc::clone(&shared)));
        }
        Ok(Self { tasks, addresses, sockets })
    }

    /// Addresses of the TCP listeners, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        // Each listener is a task as well.
        self.tasks.len().saturating_sub(self.addresses.len() + self.sockets.len())
    }

    /// Stops listening, ends idle connections and blocked reads, waits up to `grace` for writes
    /// that are being answered, and cuts the rest.
    pub async fn shutdown(&self, grace: Duration) {
        let ended = self.tasks.shutdown(grace).await;
        if ended.aborted > 0 {
            tracing::warn!(connections = ended.aborted, "http: connections were cut at the end");
        }
        for path in &self.sockets {
            // Somebody else may have taken the place since.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path)
        && found.file_type().is_socket()
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(listener)
}

async fn accept<S: Service>(listener: Listener, tasks: TaskSet, shared: Arc<Shared<S>>) {
    let stop = tasks.token().clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(socket) => {
                // The accept loops are tasks too; a connection less does no harm.
                let (open, limit) = (tasks.len(), shared.limits.connections);
                let shared = Arc::clone(&shared);
                if open <= limit {
                    tasks.spawn("connection", connection::serve(socket, shared, stop.clone()));
                } else if open <= limit + TURNED_AWAY {
                    tracing::warn!(limit, "http: too many connections");
                    tasks.spawn("refusal", connection::turn_away(socket, shared, stop.clone()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "http: a connection could not be accepted");
                // Out of descriptors, most likely: others must end first.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are complete when written; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}
