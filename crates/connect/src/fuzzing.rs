//! Two ends of the record layer without sockets, for fuzz targets, property tests and benches.
//!
//! It is hidden and no part of the library's promise. Both ends are ours; what one of them sends
//! may be anything that a peer with the right keys could send.

use std::ops::Range;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ContentType, ServerConfig};

use crate::buffer;
use crate::handshake::{self, DriveError, Side, Want, Wire};
use crate::record::{HEADER, Opened, RecordError, Session};

/// Bytes before a record's payload.
pub const RECORD_HEADER: usize = HEADER;
/// Most plaintext of a record.
pub const PLAINTEXT_MAX: usize = buffer::PLAINTEXT_MAX;
/// Wire size of the largest record that is sealed.
pub const WIRE_RECORD_MAX: usize = buffer::WIRE_RECORD_MAX;
/// Turns of both sides after which a handshake is considered stuck.
const TURNS_MAX: usize = 64;

/// A connection whose client does what it is told and whose server is tested.
#[derive(Debug)]
pub struct Link {
    client: Session,
    server: Session,
}

/// What [`Link::open`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Not a whole record.
    Incomplete,
    /// A record of so many bytes, and where its data is.
    Record(usize, Range<usize>),
    /// The regular end.
    Closed,
}

impl Link {
    /// Does a handshake in memory.
    ///
    /// # Errors
    /// The text of what went wrong.
    pub fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Self, String> {
        Self::shake_hands(client, server).map_err(|error| error.to_string())
    }

    fn shake_hands(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    ) -> Result<Self, DriveError> {
        let name = lictor_pki::tls::server_name();
        let mut client = UnbufferedClientConnection::new(client, name)?;
        let mut server = UnbufferedServerConnection::new(server)?;
        let (mut to_client, mut to_server) = (Wire::default(), Wire::default());
        for _ in 0..TURNS_MAX {
            let client_done = turn(&mut client, &mut to_client, &mut to_server.incoming)?;
            let server_done = turn(&mut server, &mut to_server, &mut to_client.incoming)?;
            if client_done && server_done {
                return Ok(Self {
                    client: Session::new(client.establish()?)?,
                    server: Session::new(server.establish()?)?,
                });
            }
        }
        Err(RecordError::Internal.into())
    }

    /// Seals `length` bytes at `slot[RECORD_HEADER..]` as the client; gives the wire size.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn seal(&mut self, slot: &mut [u8], length: usize) -> Result<usize, RecordError> {
        self.client.seal(slot, length)
    }

    /// A record of any type as the client would send it.
    ///
    /// # Errors
    /// [`RecordError`] if it is too long.
    pub fn record(&mut self, kind: u8, payload: &[u8]) -> Result<Vec<u8>, RecordError> {
        let mut slot = vec![0; WIRE_RECORD_MAX];
        let room = slot.get_mut(HEADER..HEADER + payload.len()).ok_or(RecordError::Internal)?;
        room.copy_from_slice(payload);
        let size = self.client.seal_as(ContentType::from(kind), &mut slot, payload.len())?;
        slot.truncate(size);
        Ok(slot)
    }

    /// Opens the record at the front of `wire` as the server.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn open(&mut self, wire: &mut [u8]) -> Result<Found, RecordError> {
        Ok(match self.server.open(wire)? {
            Opened::Incomplete => Found::Incomplete,
            Opened::Record { consumed, plain } => Found::Record(consumed, plain),
            Opened::Closed => Found::Closed,
        })
    }

    /// Bytes that the server wants to send by itself.
    #[must_use]
    pub fn answer(&self) -> &[u8] {
        self.server.control()
    }
}

/// Lets one side go on until it waits; whether its handshake is done.
fn turn<S: Side>(side: &mut S, wire: &mut Wire, to: &mut Vec<u8>) -> Result<bool, DriveError> {
    for _ in 0..TURNS_MAX {
        match handshake::step(side, wire)? {
            Want::Again => {}
            Want::Flush => to.append(&mut wire.outgoing),
            Want::Read if wire.shown == wire.incoming.len() => return Ok(false),
            Want::Read => wire.shown = wire.incoming.len(),
            Want::Done => return Ok(true),
        }
    }
    Err(RecordError::Internal.into())
}
