//! Connections that are refused, so that the log says of each address why, and not with every attempt.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::Connection;

/// How long a refusal is not told again.
const SILENCE: Duration = Duration::from_secs(60);
/// Addresses and reasons that are remembered; beyond them nothing is told.
const MOST: usize = 256;
/// How long the other side may take to read why, and what it may still send meanwhile, in bytes.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was not let in; an operator should know.
    Refused(String),
    /// It was lost.
    Lost(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Who was refused lately, and why: for whoever answers strangers, that they cannot fill the log.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<(IpAddr, String), Instant>>);

impl Refusals {
    /// Whether a refusal is to be told now, and not with the next ones of the same kind.
    pub fn is_news(&self, from: IpAddr, reason: &str) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock();
        told.retain(|_, at| now.duration_since(*at) < SILENCE);
        let key = (from, reason.to_owned());
        if told.contains_key(&key) || told.len() >= MOST {
            return false;
        }
        told.insert(key, now);
        true
    }

    /// Says in the log that a connection was refused.
    pub(super) fn tell(&self, from: SocketAddr, reason: &str) {
        if self.is_news(from.ip(), reason) {
            tracing::warn!(%from, reason, "an RPC connection was refused");
        } else {
            tracing::debug!(%from, reason, "an RPC connection was refused again");
        }
    }
}

/// Lets the other side read why it is refused: what it has sent already would make the system throw
/// that away.
pub(super) async fn linger(mut io: Box<dyn Connection>) {
    let reading = async {
        io.shutdown().await?;
        let mut piece = vec![0; 4096];
        let mut left = LINGER_BYTES;
        loop {
            match io.read(&mut piece).await? {
                0 => return Ok(()),
                read if read >= left => return Err(io::ErrorKind::InvalidData.into()),
                read => left -= read,
            }
        }
    };
    let ended: Result<io::Result<()>, _> = timeout(LINGER, reading).await;
    // Whoever does not read in time, or goes on sending, does not learn why.
    drop(ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_reason_is_told_once_in_a_while() {
        let refusals = Refusals::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        assert!(refusals.is_news(address(1), "a") && !refusals.is_news(address(1), "a"));
        assert!(refusals.is_news(address(1), "b") && refusals.is_news(address(2), "a"));
        tokio::time::advance(SILENCE).await;
        assert!(refusals.is_news(address(1), "a"));
        for n in 0..=255 {
            refusals.is_news(address(n), "many");
        }
        assert_eq!(refusals.0.lock().len(), MOST);
        assert!(!refusals.is_news(address(1), "one more"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        let (near, _far) = tokio::io::duplex(64);
        let begun = Instant::now();
        linger(Box::new(near)).await;
        assert!(begun.elapsed() >= LINGER);
        let (near, mut far) = tokio::io::duplex(LINGER_BYTES * 2);
        far.write_all(&vec![0; LINGER_BYTES * 2]).await.unwrap();
        let begun = Instant::now();
        linger(Box::new(near)).await;
        assert!(begun.elapsed() < LINGER);
    }
}
