//! The listeners of the HTTP door, and how they end.
//!
//! What happens on a connection is in [`crate::connection`]; what is answered, in the router.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lictor_task::{Places, TaskSet};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::clients::{Clients, Counted};
use crate::config::{HttpConfig, Listen};
use crate::connection::{self, Service, Shared};
use crate::encoding::Compressor;
use crate::live::LiveSettings;
use crate::socket::{Socket, Stream};

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit that are told so; further ones are just closed.
const TURNED_AWAY: usize = 64;

/// What a client with too many connections is told, as by later versions of the original.
const TOO_MANY_OF_ONE: &str =
    "Your IP is issuing too many concurrent connections, please rate limit your calls\n";

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

/// What all listeners share.
struct Doors<S> {
    shared: Arc<Shared<S>>,
    live: LiveSettings,
    clients: Clients,
    handshakes: Places,
}

impl HttpServer {
    /// Binds all listeners, then serves them with `service`.
    pub(crate) async fn open<S: Service>(
        config: &HttpConfig,
        live: LiveSettings,
        service: S,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
        let plain = config.listeners.iter().map(|place| (place, false));
        for (place, tls) in plain.chain(config.tls_listeners.iter().map(|place| (place, true))) {
            match place {
                Listen::Tcp(address) => {
                    let failed = |source| StartError::Bind { place: address.to_string(), source };
                    let listener = TcpListener::bind(address).await.map_err(failed)?;
                    addresses.push(listener.local_addr().map_err(failed)?);
                    listeners.push((Listener::Tcp(listener), tls));
                }
                Listen::Unix { path, mode, user, group } => {
                    let listener = bind_unix(path, *mode, *user, *group);
                    let listener = listener.map_err(|source| StartError::Bind {
                        place: path.display().to_string(),
                        source,
                    })?;
                    sockets.push(path.clone());
                    listeners.push((Listener::Unix(listener), tls));
                }
            }
        }
        let tasks = TaskSet::new("http");
        let compressor = Compressor::default();
        let limits = config.limits;
        let doors = Arc::new(Doors {
            shared: Arc::new(Shared { service, limits, compressor }),
            live,
            clients: Clients::default(),
            handshakes: Places::new(limits.handshakes),
        });
        for (listener, tls) in listeners {
            tasks.spawn("accept", accept(listener, tls, tasks.clone(), Arc::clone(&doors)));
        }
        Ok(Self { tasks, addresses, sockets })
    }

    /// Addresses of the TCP listeners, those with TLS last, in the order of the configuration.
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

fn bind_unix(
    path: &Path,
    mode: Option<u32>,
    user: Option<u32>,
    group: Option<u32>,
) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path)
        && found.file_type().is_socket()
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group)?;
    }
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(listener)
}

async fn accept<S: Service>(listener: Listener, tls: bool, tasks: TaskSet, doors: Arc<Doors<S>>) {
    let stop = tasks.token().clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => doors.admit(stream, tls, &tasks),
            Err(error) => {
                tracing::warn!(%error, "http: a connection could not be accepted");
                // Out of descriptors, most likely: others must end first.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl<S: Service> Doors<S> {
    /// Serves a connection, or turns it away.
    fn admit(self: &Arc<Self>, stream: Stream, tls: bool, tasks: &TaskSet) {
        let (stop, shared) = (tasks.token().clone(), Arc::clone(&self.shared));
        // The accept loops are tasks too; a connection less does no harm.
        let (open, limit) = (tasks.len(), shared.limits.connections);
        let most = self.live.per_client();
        let refusal = if open > limit {
            tracing::warn!(limit, "http: too many connections");
            Answer::text(503, "Too many connections")
        } else if let Some(counted) = self.clients.admit(stream.peer(), most) {
            if tls {
                self.shake_hands(stream, counted, tasks);
            } else {
                tasks.spawn("connection", async move {
                    connection::serve(Socket::Plain(stream), shared, stop).await;
                    drop(counted);
                });
            }
            return;
        } else {
            tracing::warn!(client = ?stream.peer(), most, "http: too many connections of a client");
            Answer::text(429, TOO_MANY_OF_ONE)
        };
        // Said in plain text alone: a handshake would be more work than an answer.
        if !tls && open <= limit + TURNED_AWAY {
            let socket = Socket::Plain(stream);
            tasks.spawn("refusal", connection::turn_away(socket, shared, stop, refusal));
        }
    }

    /// Serves a connection once TLS is agreed on.
    fn shake_hands(self: &Arc<Self>, stream: Stream, counted: Counted, tasks: &TaskSet) {
        // Listeners without a certificate close every connection, until a reload brings one.
        let Some(config) = self.live.tls() else { return };
        let (stop, shared) = (tasks.token().clone(), Arc::clone(&self.shared));
        let shaking = self.handshakes.take();
        tasks.spawn("connection", async move {
            let client = stream.peer();
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                () = shaking.pushed_out() => {
                    tracing::warn!(?client, "http: too many unfinished TLS handshakes");
                    return;
                }
                shaken = timeout(shared.limits.handshake, TlsAcceptor::from(config).accept(stream)) => shaken,
            };
            drop(shaking);
            match shaken {
                Ok(Ok(stream)) => {
                    connection::serve(Socket::Tls(Box::new(stream)), shared, stop).await;
                }
                Ok(Err(error)) => tracing::debug!(?client, %error, "http: TLS handshake failed"),
                Err(_) => tracing::debug!(?client, "http: TLS handshake took too long"),
            }
            drop(counted);
        });
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are complete when written; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

#[cfg(test)]
mod tests;
