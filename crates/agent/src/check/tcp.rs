//! Checks that pass when a TCP connection can be made.
//!
//! Nothing is sent or read.

use std::time::Duration;

use lictor_types::check::Status;

use super::dial;
use super::runner::Outcome;

/// Connects to an address.
#[derive(Debug)]
pub(super) struct TcpProbe {
    address: String,
    timeout: Duration,
}

impl TcpProbe {
    pub(super) fn new(address: &str, timeout: Duration) -> Self {
        Self { address: address.to_owned(), timeout }
    }

    pub(super) async fn run(&self) -> Outcome {
        let address = &self.address;
        let dialled = async {
            let (host, port) = dial::split_host_port(address)?;
            dial::connect(host, port).await
        };
        match tokio::time::timeout(self.timeout, dialled).await {
            Ok(Ok(_)) => Outcome::new(Status::Passing, format!("TCP connect {address}: Success")),
            Ok(Err(text)) => Outcome::critical(text),
            Err(_) => Outcome::critical(format!("dial tcp {address}: i/o timeout")),
        }
    }
}
