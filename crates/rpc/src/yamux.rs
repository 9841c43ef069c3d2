//! Several streams on one connection, each with its own flow control.
//!
//! A machine without I/O: bytes and times go in, bytes and events come out. The protocol is yamux,
//! version 0 (hashicorp/yamux, `spec.md`): frames with a head of 12 bytes, streams of odd numbers
//! from the side that connected and even ones from the other, a window of 256 KiB for each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Bytes that a stream may hold that are not read yet.
pub const WINDOW: u32 = 256 << 10;
/// Most data in one frame, so that a large message does not keep the others waiting.
const FRAME_MAX: usize = 16 << 10;
const HEAD: usize = 12;
const VERSION: u8 = 0;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// Settings of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most streams that are open at a time, of both sides.
    pub streams_max: usize,
    /// Most bytes that wait to be sent; streams are not written to beyond it.
    pub send_max: usize,
    /// How often the other side is asked whether it is there.
    pub keep_alive: Duration,
    /// How long an answer to that may take.
    pub answer_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams_max: 1024,
            send_max: 1 << 20,
            keep_alive: Duration::from_secs(30),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// A stream of a session.
pub type StreamId = u32;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The other side speaks another version, or none.
    #[error("invalid protocol version {0}")]
    Version(u8),
    /// A frame of an unknown type.
    #[error("invalid frame type {0}")]
    Type(u8),
    /// More data than was allowed.
    #[error("receive window of stream {0} exceeded")]
    Window(StreamId),
    /// A stream was opened with a number that is not the other side's to give, or twice.
    #[error("stream {0} cannot be opened")]
    Number(StreamId),
    /// A ping was not answered.
    #[error("keep-alive timed out")]
    Silent,
    /// The other side has ended the session.
    #[error("session shut down by the other side (code {0})")]
    GoneAway(u32),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side opened a stream.
    Opened(StreamId),
    /// There is something to read: data, or the end.
    Readable(StreamId),
    /// There is room to write again.
    Writable(StreamId),
    /// The other side cut a stream off.
    Reset(StreamId),
}

#[derive(Debug)]
struct Stream {
    received: VecDeque<u8>,
    /// What the other side may still send before it is told of more.
    receive_window: u32,
    send_window: u32,
    /// Neither SYN nor ACK was sent yet.
    announce: u16,
    /// The other side will send nothing more.
    remote_ended: bool,
    /// We will not.
    local_ended: bool,
    /// Somebody wanted to write and could not.
    write_blocked: bool,
    /// Nobody reads it any more.
    abandoned: bool,
}

impl Stream {
    const fn new(announce: u16) -> Self {
        Self {
            received: VecDeque::new(),
            receive_window: WINDOW,
            send_window: WINDOW,
            announce,
            remote_ended: false,
            local_ended: false,
            write_blocked: false,
            abandoned: false,
        }
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    client: bool,
    next: StreamId,
    /// Highest number that the other side has used.
    last_remote: StreamId,
    streams: BTreeMap<StreamId, Stream>,
    input: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<Event>,
    gone_away: bool,
    ping: Option<(u32, Duration)>,
    next_ping: u32,
    ping_at: Duration,
}

impl Session {
    /// The side that connected, or the one that took the connection.
    #[must_use]
    pub fn new(client: bool, config: Config, now: Duration) -> Self {
        Self {
            config,
            client,
            next: if client { 1 } else { 2 },
            last_remote: 0,
            streams: BTreeMap::new(),
            input: Vec::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            gone_away: false,
            ping: None,
            next_ping: 0,
            ping_at: now + config.keep_alive,
        }
    }

    /// What happened next.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes what is to be sent.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether a stream is there to be written to.
    #[must_use]
    pub fn is_open(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| !stream.local_ended)
    }

    /// Opens a stream; `None` when there are too many, or the session is ending.
    pub fn open(&mut self) -> Option<StreamId> {
        if self.gone_away || self.streams.len() >= self.config.streams_max {
            return None;
        }
        let id = self.next;
        self.next = id.checked_add(2)?;
        self.streams.insert(id, Stream::new(SYN));
        // Said at once: a stream that is only read from has to be known too.
        self.window_update(id, 0);
        Some(id)
    }

    /// Writes as much of `bytes` as there is room for; the rest waits for [`Event::Writable`]. 0
    /// also when the stream is gone or was ended.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            let room = self.config.send_max.saturating_sub(self.output.len());
            let Some(stream) = self.streams.get_mut(&id) else { return written };
            if stream.local_ended {
                return written;
            }
            let most = FRAME_MAX.min(stream.send_window as usize).min(room);
            let part = &bytes[written..bytes.len().min(written + most)];
            if part.is_empty() {
                stream.write_blocked = true;
                return written;
            }
            let length = u32::try_from(part.len()).unwrap_or_default();
            stream.send_window -= length;
            let flags = std::mem::take(&mut stream.announce);
            self.frame(DATA, flags, id, length);
            self.output.extend_from_slice(part);
            written += part.len();
        }
        written
    }

    /// Says that nothing more will be written.
    pub fn end(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.local_ended {
            return;
        }
        stream.local_ended = true;
        let flags = std::mem::take(&mut stream.announce) | FIN;
        self.frame(WINDOW_UPDATE, flags, id, 0);
        self.drop_ended(id);
    }

    /// Cuts a stream off.
    pub fn reset(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            self.frame(WINDOW_UPDATE, RST, id, 0);
        }
    }

    /// Lets go of a stream. One that was ended stays until the other side ends it too, since what was
    /// written may not have been read yet; any other is cut off.
    pub fn abandon(&mut self, id: StreamId) {
        match self.streams.get_mut(&id) {
            Some(stream) if stream.local_ended => {
                stream.abandoned = true;
                stream.received.clear();
                self.drop_ended(id);
            }
            _ => self.reset(id),
        }
    }

    /// Appends what has arrived on a stream; `None` at its end, and when it is gone.
    pub fn read(&mut self, id: StreamId, into: &mut Vec<u8>) -> Option<usize> {
        let stream = self.streams.get_mut(&id)?;
        let length = stream.received.len();
        if length == 0 {
            if stream.remote_ended {
                self.drop_ended(id);
                return None;
            }
            return Some(0);
        }
        into.extend(stream.received.drain(..));
        // Told of in large steps: a frame for every read would double the traffic.
        let given = WINDOW - stream.receive_window;
        if given >= WINDOW / 2 && !stream.remote_ended {
            stream.receive_window = WINDOW;
            self.window_update(id, given);
        }
        Some(length)
    }

    /// Says that the session ends; streams that are open go on.
    pub fn go_away(&mut self) {
        if !self.gone_away {
            self.gone_away = true;
            self.frame(GO_AWAY, 0, 0, 0);
        }
    }

    /// When [`Session::tick`] is to be called next.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.ping.map_or(self.ping_at, |(_, by)| by)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the other side is silent.
    pub fn tick(&mut self, now: Duration) -> Result<(), SessionError> {
        if self.ping.is_some_and(|(_, by)| by <= now) {
            return Err(SessionError::Silent);
        }
        if self.ping.is_none() && self.ping_at <= now {
            let opaque = self.next_ping;
            self.next_ping = opaque.wrapping_add(1);
            self.ping = Some((opaque, now + self.config.answer_within));
            self.frame(PING, SYN, 0, opaque);
        }
        Ok(())
    }

    /// Says that what was taken by [`Session::output`] is on its way, so that there is room again.
    pub fn sent(&mut self) {
        if self.output.len() >= self.config.send_max {
            return;
        }
        for (id, stream) in &mut self.streams {
            if stream.write_blocked && stream.send_window > 0 {
                stream.write_blocked = false;
                self.events.push_back(Event::Writable(*id));
            }
        }
    }

    /// Takes bytes of the connection.
    ///
    /// # Errors
    /// When the other side breaks the protocol: the connection has to end.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Result<(), SessionError> {
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        let mut result = Ok(());
        while let Some(head) = input.get(at..at + HEAD) {
            let [version, kind, f1, f2, s1, s2, s3, s4, l1, l2, l3, l4] =
                <[u8; HEAD]>::try_from(head).unwrap_or_default();
            let flags = u16::from_be_bytes([f1, f2]);
            let id = u32::from_be_bytes([s1, s2, s3, s4]);
            let length = u32::from_be_bytes([l1, l2, l3, l4]);
            if version != VERSION {
                result = Err(SessionError::Version(version));
                break;
            }
            let mut taken = HEAD;
            if kind == DATA {
                // Seen before the data is: nobody is made to keep more than the window.
                if length > WINDOW {
                    result = Err(SessionError::Window(id));
                    break;
                }
                let Some(data) = input.get(at + HEAD..at + HEAD + length as usize) else { break };
                taken += data.len();
                result = self.data(id, flags, data);
            } else {
                result = self.control(kind, flags, id, length, now);
            }
            if result.is_err() {
                break;
            }
            at += taken;
        }
        input.drain(..at);
        self.input = input;
        result
    }

    fn control(
        &mut self,
        kind: u8,
        flags: u16,
        id: StreamId,
        value: u32,
        now: Duration,
    ) -> Result<(), SessionError> {
        match kind {
            WINDOW_UPDATE => {
                if self.flags(id, flags)?
                    && let Some(stream) = self.streams.get_mut(&id)
                {
                    stream.send_window = stream.send_window.saturating_add(value);
                    if stream.write_blocked && stream.send_window > 0 {
                        stream.write_blocked = false;
                        self.events.push_back(Event::Writable(id));
                    }
                    self.drop_ended(id);
                }
                Ok(())
            }
            PING if flags & SYN != 0 => {
                self.frame(PING, ACK, 0, value);
                Ok(())
            }
            PING => {
                if self.ping.is_some_and(|(opaque, _)| opaque == value) {
                    self.ping = None;
                    self.ping_at = now + self.config.keep_alive;
                }
                Ok(())
            }
            GO_AWAY if value == 0 => {
                self.gone_away = true;
                Ok(())
            }
            GO_AWAY => Err(SessionError::GoneAway(value)),
            kind => Err(SessionError::Type(kind)),
        }
    }

    fn data(&mut self, id: StreamId, flags: u16, data: &[u8]) -> Result<(), SessionError> {
        if !self.flags(id, flags)? {
            return Ok(());
        }
        // What comes for a stream that we have cut off is on its way still.
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if length > stream.receive_window {
            return Err(SessionError::Window(id));
        }
        stream.receive_window -= length;
        if !stream.abandoned {
            stream.received.extend(data);
        }
        if length > 0 {
            self.events.push_back(Event::Readable(id));
        }
        Ok(())
    }

    /// Takes over a frame's flags; says whether the stream is there.
    fn flags(&mut self, id: StreamId, flags: u16) -> Result<bool, SessionError> {
        if flags & SYN != 0 {
            let theirs = id != 0 && (id % 2 == 1) != self.client;
            if !theirs || id <= self.last_remote {
                return Err(SessionError::Number(id));
            }
            self.last_remote = id;
            if self.gone_away || self.streams.len() >= self.config.streams_max {
                self.frame(WINDOW_UPDATE, RST, id, 0);
                return Ok(false);
            }
            self.streams.insert(id, Stream::new(ACK));
            self.window_update(id, 0);
            self.events.push_back(Event::Opened(id));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(false) };
        if flags & RST != 0 {
            self.streams.remove(&id);
            self.events.push_back(Event::Reset(id));
            return Ok(false);
        }
        if flags & FIN != 0 && !stream.remote_ended {
            stream.remote_ended = true;
            self.events.push_back(Event::Readable(id));
            if stream.abandoned {
                self.drop_ended(id);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets a stream that both sides have ended and that is read.
    fn drop_ended(&mut self, id: StreamId) {
        let ended = |stream: &Stream| {
            stream.local_ended && stream.remote_ended && stream.received.is_empty()
        };
        if self.streams.get(&id).is_some_and(ended) {
            self.streams.remove(&id);
        }
    }

    fn window_update(&mut self, id: StreamId, more: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let flags = std::mem::take(&mut stream.announce);
        self.frame(WINDOW_UPDATE, flags, id, more);
    }

    fn frame(&mut self, kind: u8, flags: u16, id: StreamId, value: u32) {
        self.output.extend_from_slice(&[VERSION, kind]);
        self.output.extend_from_slice(&flags.to_be_bytes());
        self.output.extend_from_slice(&id.to_be_bytes());
        self.output.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
