//! Checks that pass when a server answers a datagram: with anything, since its protocol is not known.
//!
//! The datagram is empty. Silence is as bad as a refusal, as the original documents it for these
//! checks, which it has from version 1.13 on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lictor_types::check::Status;
use tokio::net::UdpSocket;

use super::dial;
use super::runner::Outcome;

/// Sends a datagram to an address.
#[derive(Debug)]
pub(super) struct UdpProbe {
    address: String,
    timeout: Duration,
}

impl UdpProbe {
    /// `address` is `host:port`.
    pub(super) fn new(address: &str, timeout: Duration) -> Self {
        Self { address: address.to_owned(), timeout }
    }

    pub(super) async fn run(&self) -> Outcome {
        let address = &self.address;
        match tokio::time::timeout(self.timeout, self.ask()).await {
            Ok(Ok(())) => Outcome::new(Status::Passing, format!("UDP connect {address}: Success")),
            Ok(Err(text)) => Outcome::critical(text),
            Err(_) => Outcome::critical(format!("read udp {address}: i/o timeout")),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let to = dial::resolve("udp", &self.address).await?;
        let failed = |what: &str, error: &io::Error| {
            format!("{what} udp {to}: {}", dial::connect_error(error))
        };
        let own: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await.map_err(|e| failed("dial", &e))?;
        // From now on only its answers arrive, and a refusal of its host is an error.
        socket.connect(to).await.map_err(|e| failed("dial", &e))?;
        socket.send(&[]).await.map_err(|e| failed("write", &e))?;
        // How much it says does not matter.
        socket.recv(&mut [0]).await.map_err(|e| failed("read", &e))?;
        Ok(())
    }
}
