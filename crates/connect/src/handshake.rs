//! Drives a TLS handshake over a socket and takes the keys over when it is done.
//!
//! rustls is given one record after the other and never more than the handshake needs, so that no
//! byte of the application's data goes through it. Verification of the peer is part of the
//! configuration that the caller brings; deadlines are the caller's too.

use std::io;
use std::sync::Arc;

use lictor_pki::HandshakeError;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::record::{Established, HEADER, RecordError, Session};

/// Bytes that are read at once.
const READ: usize = 4096;
/// Most bytes of an unfinished flight: long certificate chains fit, floods do not.
const FLIGHT_MAX: usize = 64 * 1024;
/// Room that is tried first for a message of ours.
const ENCODED_USUALLY: usize = 2048;
/// Steps without a byte from the peer after which the library is considered stuck.
const STEPS_MAX: usize = 64;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("tls: first record does not look like a TLS handshake")]
    NotTls,
    #[error("unexpected EOF")]
    Eof,
}

impl From<DriveError> for HandshakeError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Io(error) => Self::from(&error),
            DriveError::Tls(error) => Self::from(&error),
            DriveError::Record(RecordError::Alert(alert)) => Self::Refused(alert),
            DriveError::Eof => {
                Self::Io { kind: io::ErrorKind::UnexpectedEof, message: error.to_string() }
            }
            DriveError::Record(_) | DriveError::NotTls => Self::Protocol(error.to_string()),
        }
    }
}

/// A finished handshake.
pub(crate) struct Finished {
    pub(crate) session: Session,
    /// What the peer presented, its own certificate first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Wire bytes that came after the handshake.
    pub(crate) leftover: Vec<u8>,
}

/// Answers a handshake.
pub(crate) async fn accept(
    socket: &mut TcpStream,
    config: Arc<ServerConfig>,
) -> Result<Finished, DriveError> {
    drive(socket, Box::new(UnbufferedServerConnection::new(config)?)).await
}

/// Begins a handshake.
pub(crate) async fn connect(
    socket: &mut TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Finished, DriveError> {
    drive(socket, Box::new(UnbufferedClientConnection::new(config, name)?)).await
}

/// Both kinds of connection, which share no type that could be driven.
pub(crate) trait Side: Sized {
    type Data;

    fn step<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn certificates(&self) -> Vec<CertificateDer<'static>>;
    fn establish(self) -> Result<Established, rustls::Error>;
}

impl Side for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(wire)
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.peer_certificates().map(<[_]>::to_vec).unwrap_or_default()
    }

    fn establish(self) -> Result<Established, rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok(Established::Server(secrets, keys))
    }
}

impl Side for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(wire)
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.peer_certificates().map(<[_]>::to_vec).unwrap_or_default()
    }

    fn establish(self) -> Result<Established, rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok(Established::Client(secrets, keys))
    }
}

/// What the library wants next.
pub(crate) enum Want {
    Again,
    Flush,
    Read,
    Done,
}

/// Bytes under way in a handshake.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) incoming: Vec<u8>,
    /// Incoming bytes that the library has been shown: whole records.
    pub(crate) shown: usize,
    pub(crate) outgoing: Vec<u8>,
}

async fn drive<S: Side>(
    socket: &mut TcpStream,
    mut connection: Box<S>,
) -> Result<Finished, DriveError> {
    let mut wire = Wire::default();
    let mut steps = 0;
    loop {
        steps += 1;
        match step(&mut *connection, &mut wire) {
            Ok(Want::Again) => {}
            Ok(Want::Flush) => {
                socket.write_all(&wire.outgoing).await?;
                wire.outgoing.clear();
            }
            Ok(Want::Read) => {
                read_record(socket, &mut wire).await?;
                steps = 0;
            }
            Ok(Want::Done) => break,
            Err(error) => {
                send_alert(socket, &mut *connection, &mut wire).await;
                return Err(error);
            }
        }
        if steps > STEPS_MAX {
            return Err(RecordError::Internal.into());
        }
    }
    if wire.shown > 0 {
        return Err(RecordError::Unexpected("handshake message").into());
    }
    let certificates = connection.certificates();
    let session = Session::new(connection.establish()?)?;
    Ok(Finished { session, certificates, leftover: wire.incoming })
}

/// Lets the library take one step.
pub(crate) fn step<S: Side>(connection: &mut S, wire: &mut Wire) -> Result<Want, DriveError> {
    let Wire { incoming, shown, outgoing } = wire;
    let status = connection.step(incoming.get_mut(..*shown).unwrap_or_default());
    let want = match status.state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            encode(outgoing, |room| data.encode(room))?;
            Ok(Want::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Want::Flush)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Want::Read),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Want::Done),
        // The end, or data before the handshake is done: neither is ours to take.
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Err(DriveError::Eof),
        Ok(_) => Err(RecordError::Unexpected("early data").into()),
        Err(error) => Err(error.into()),
    };
    let used = status.discard.min(*shown);
    incoming.drain(..used);
    *shown -= used;
    want
}

fn encode(
    outgoing: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), DriveError> {
    let start = outgoing.len();
    let mut room = ENCODED_USUALLY;
    for _ in 0..2 {
        outgoing.resize(start + room, 0);
        room = match encode(outgoing.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                outgoing.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) => size.required_size,
            Err(EncodeError::AlreadyEncoded) => break,
        };
        if room > FLIGHT_MAX {
            break;
        }
    }
    Err(RecordError::Internal.into())
}

/// Reads until the library can be shown one more whole record.
async fn read_record(socket: &mut TcpStream, wire: &mut Wire) -> Result<(), DriveError> {
    loop {
        let rest = wire.incoming.get(wire.shown..).unwrap_or_default();
        if let [kind, major, _, high, low, ..] = *rest {
            // Checked here since the library would wait for the whole of a record that is none.
            if !(20..=23).contains(&kind) || major != 3 {
                return Err(DriveError::NotTls);
            }
            let size = HEADER + usize::from(u16::from_be_bytes([high, low]));
            if rest.len() >= size {
                wire.shown += size;
                return Ok(());
            }
        }
        if wire.incoming.len() >= FLIGHT_MAX {
            return Err(RecordError::Flood.into());
        }
        if read_some(socket, &mut wire.incoming).await? == 0 {
            return Err(DriveError::Eof);
        }
    }
}

/// Appends what one read gives, without a buffer while nothing comes.
async fn read_some(socket: &TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        let start = into.len();
        into.resize(start + READ, 0);
        let outcome = socket.try_read(into.get_mut(start..).unwrap_or_default());
        into.truncate(start + outcome.as_ref().map_or(0, |count| *count));
        match outcome {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// After an error: sends what the library has to say about it.
async fn send_alert<S: Side>(socket: &mut TcpStream, connection: &mut S, wire: &mut Wire) {
    for _ in 0..STEPS_MAX {
        if !matches!(step(connection, wire), Ok(Want::Again)) {
            break;
        }
    }
    let _ = socket.write_all(&wire.outgoing).await;
}
