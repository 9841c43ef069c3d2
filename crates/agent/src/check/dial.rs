//! TCP connections of checks, with the error texts that readers of check outputs know.
//!
//! No deadline here: the caller has one for the whole run.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Head start of one address before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(300);

/// Connects to the first address of `host` that answers. The error is a text for people.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.take(8).collect(),
        Err(_) => return Err(format!("dial tcp: lookup {host}: no such host")),
    };
    let mut error = format!("dial tcp: lookup {host}: no such host");
    let mut addresses = addresses.into_iter().peekable();
    while let Some(address) = addresses.next() {
        let attempt = async {
            let dialled = TcpStream::connect(address).await;
            dialled.map_err(|e| format!("dial tcp {address}: {}", connect_error(&e)))
        };
        // The last address has all the time that the caller gives.
        let result = if addresses.peek().is_some() {
            match tokio::time::timeout(HEAD_START, attempt).await {
                Ok(result) => result,
                Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
            }
        } else {
            attempt.await
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(text) => error = text,
        }
    }
    Err(error)
}

/// Splits `host:port`; IPv6 hosts are in brackets.
pub(super) fn split_host_port(address: &str) -> Result<(&str, u16), String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| format!("dial tcp: address {address}: missing port in address"))?;
    let port = port.parse().map_err(|_| format!("dial tcp: address {address}: invalid port"))?;
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(format!("dial tcp: address {address}: too many colons in address"));
    }
    Ok((host, port))
}

/// The first address of a `host:port`; `network` is for the text of a failure.
pub(super) async fn resolve(network: &str, address: &str) -> Result<SocketAddr, String> {
    let (host, port) = split_host_port(address).map_err(|text| text.replace("tcp", network))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    let found = tokio::net::lookup_host((host, port)).await.ok().and_then(|mut all| all.next());
    found.ok_or_else(|| format!("dial {network}: lookup {host}: no such host"))
}

/// Why a connection failed, in the words of the system but without its numbers.
pub(super) fn connect_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => format!("connect: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(split_host_port("127.0.0.1:80"), Ok(("127.0.0.1", 80)));
        assert_eq!(split_host_port(":80"), Ok(("", 80)));
        assert_eq!(split_host_port("[::1]:80"), Ok(("[::1]", 80)));
        for bad in ["", "host", "host:", "host:x", "host:70000", "::1:80"] {
            assert!(split_host_port(bad).is_err(), "{bad}");
        }
    }
}
