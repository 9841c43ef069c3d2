//! What is answered on the server port.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use lictor_forward::{ServeError, Servers};
use lictor_rpc::server::{Answering, AnsweringPeer, CallError, Connection, Service, Serving};

/// The server behind the port.
pub(super) struct Port {
    pub(super) servers: Servers,
}

impl Service for Port {
    fn call<'a>(&'a self, _: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a> {
        let answering = self.servers.serve(method, body);
        Box::pin(async move {
            answering.await.map_err(|error| match error {
                ServeError::NoService => CallError::NoService,
                ServeError::NoMethod => CallError::NoMethod,
                ServeError::Failed(text) => CallError::Failed(text),
            })
        })
    }

    fn peer<'a>(&'a self, _: SocketAddr, message: Bytes) -> AnsweringPeer<'a> {
        Box::pin(async move {
            let server = self.servers.here().ok_or(CallError::NoService)?;
            Ok(server.consensus().handle(message).await)
        })
    }

    fn consensus(&self, from: SocketAddr, _: Box<dyn Connection>) -> Serving<'_> {
        // Servers of the original cannot be members of this group.
        Box::pin(async move {
            tracing::warn!(%from, "a server that speaks another kind of consensus was refused");
            Err(io::Error::other("this kind of consensus is not spoken here"))
        })
    }

    fn snapshot(&self, _: SocketAddr, _: Box<dyn Connection>) -> Serving<'_> {
        Box::pin(async { Err(io::Error::other("snapshots are not given here")) })
    }
}
