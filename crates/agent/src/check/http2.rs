//! The few frames of HTTP/2 (RFC 9113) that checks need.
//!
//! Header blocks are not decoded here; what an exchange means is with the check that has it.

use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
/// Frames that are read at most.
pub(super) const FRAMES_MAX: usize = 64;
/// Largest frame that a peer may send to somebody who did not allow more.
const FRAME_MAX: usize = 16 * 1024;

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum NoFrame {
    /// The connection failed or ended.
    Lost(std::io::Error),
    /// It is larger than allowed: this is not HTTP/2.
    TooLarge,
}

/// Reads the next frame.
pub(super) async fn read<T: AsyncRead + Unpin>(io: &mut T) -> Result<Frame, NoFrame> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.map_err(NoFrame::Lost)?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
    if length > FRAME_MAX {
        return Err(NoFrame::TooLarge);
    }
    let mut payload = vec![0; length];
    io.read_exact(&mut payload).await.map_err(NoFrame::Lost)?;
    Ok(Frame { kind, flags, stream, payload })
}

/// A frame to be sent; `None` when it would be too large.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|n| *n as usize <= FRAME_MAX)?;
    let [_, a, b, c] = length.to_be_bytes();
    let mut out = vec![a, b, c, kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    Some(out)
}
