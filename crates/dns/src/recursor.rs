//! Asking others: questions handed on as they are, and names looked up for CNAMEs.
//!
//! Each recursor gets its time; one that fails, or says that it failed or refuses, makes room for
//! the next. Every question has a socket and a number of its own, and only what fits is an answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::config::{RecursorOrder, Settings};
use crate::fit::Transport;
use crate::name::{NAME_MAX, NameBuf, to_text};
use crate::query::{HEADER, Query, flag, kind, rcode};
use crate::record::{Data, Owner, Record};

/// Records of somebody else's answer that are looked at.
const RECORDS_MAX: usize = 64;

/// Hands a message on and gives the answer with the number of the question; `None` when nobody
/// has one.
pub(crate) async fn forward(
    settings: &Settings,
    message: &[u8],
    query: &Query,
    transport: Transport,
) -> Option<Vec<u8>> {
    for recursor in order(settings) {
        let limit = settings.recursor_timeout;
        match exchange(recursor, message, query, transport, limit).await {
            Ok(mut answer) => {
                let code = answer[3] & 15;
                if matches!(code, rcode::SERVFAIL | rcode::REFUSED) {
                    tracing::debug!(%recursor, rcode = code, "dns: the recursor has no answer");
                    continue;
                }
                answer[..2].copy_from_slice(&query.id.to_be_bytes());
                return Some(answer);
            }
            Err(error) => tracing::warn!(%recursor, %error, "dns: recurse failed"),
        }
    }
    tracing::warn!(name = to_text(&query.name), "dns: all recursors failed");
    None
}

fn order(settings: &Settings) -> Vec<SocketAddr> {
    let mut recursors = settings.recursors.clone();
    if settings.recursor_order == RecursorOrder::Random {
        fastrand::shuffle(&mut recursors);
    }
    recursors
}

async fn exchange(
    recursor: SocketAddr,
    message: &[u8],
    query: &Query,
    transport: Transport,
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let number = fastrand::u16(..);
    let mut asked = message.to_vec();
    asked[..2].copy_from_slice(&number.to_be_bytes());
    let fits = |answer: &[u8]| is_answer(answer, number, query);
    let work = async {
        match transport {
            Transport::Udp => udp(recursor, &asked, query.udp_size(), fits).await,
            Transport::Tcp => tcp(recursor, &asked, fits).await,
        }
    };
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn udp(
    recursor: SocketAddr,
    asked: &[u8],
    size: usize,
    fits: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match recursor {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(recursor).await?;
    socket.send(asked).await?;
    let mut answer = vec![0; size];
    loop {
        let length = socket.recv(&mut answer).await?;
        if fits(&answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn tcp(
    recursor: SocketAddr,
    asked: &[u8],
    fits: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(recursor).await?;
    let length = u16::try_from(asked.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let framed = [&length.to_be_bytes(), asked].concat();
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if fits(&answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether a message answers our question.
fn is_answer(message: &[u8], number: u16, query: &Query) -> bool {
    let Some(header) = message.get(..HEADER) else { return false };
    let question = message.get(HEADER..HEADER + query.question.len());
    header[..2] == number.to_be_bytes()
        && header[2] & 0x80 != 0
        && header[4..6] == [0, 1]
        && question.is_some_and(|question| question.eq_ignore_ascii_case(&query.question))
}

/// The addresses of a name, with the names on the way to them; empty when nobody knows any.
pub(crate) async fn resolve(settings: &Settings, name: &[u8]) -> Vec<Record> {
    let mut message = vec![0, 0];
    message.extend_from_slice(&flag::RD.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(name);
    message.extend_from_slice(&[0, 1, 0, 1]);
    let Ok(query) = Query::parse(&message) else { return Vec::new() };
    match forward(settings, &message, &query, Transport::Udp).await {
        Some(answer) => records(&answer).unwrap_or_default(),
        None => Vec::new(),
    }
}

fn short(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// The name at `at` in full, and where it ends.
fn full_name(message: &[u8], mut at: usize) -> Option<(NameBuf, usize)> {
    let (mut name, mut end) = (NameBuf::new(), None);
    // Pointers lead backwards only, so that there is an end.
    let mut before = at;
    loop {
        match *message.get(at)? {
            0 => {
                name.push(0);
                let complete = name.len() <= NAME_MAX;
                return complete.then_some((name, end.unwrap_or(at + 1)));
            }
            length @ 1..=63 => {
                let next = at + 1 + usize::from(length);
                name.extend_from_slice(message.get(at..next)?);
                if name.len() > NAME_MAX {
                    return None;
                }
                at = next;
            }
            high @ 0xC0.. => {
                let low = *message.get(at + 1)?;
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([high & 0x3F, low]));
                if at >= before {
                    return None;
                }
                before = at;
            }
            _ => return None,
        }
    }
}

/// The answer section, as far as its records are of kinds that we pass on.
pub(crate) fn records(message: &[u8]) -> Option<Vec<Record>> {
    let (_, mut at) = full_name(message, HEADER)?;
    at += 4;
    let count = usize::from(short(message, 6)?).min(RECORDS_MAX);
    let mut found = Vec::new();
    for _ in 0..count {
        let (owner, after) = full_name(message, at)?;
        let kind = short(message, after)?;
        let ttl = u32::from_be_bytes(message.get(after + 4..after + 8)?.try_into().ok()?);
        let length = usize::from(short(message, after + 8)?);
        let start = after + 10;
        let data = message.get(start..start + length)?;
        at = start + length;
        let data = match kind {
            kind::A => <[u8; 4]>::try_from(data).ok().map(|octets| Data::A(octets.into())),
            kind::AAAA => <[u8; 16]>::try_from(data).ok().map(|octets| Data::Aaaa(octets.into())),
            kind::CNAME => {
                full_name(message, start).map(|(name, _)| Data::Cname(Arc::from(&name[..])))
            }
            kind::TXT => Some(Data::Txt(Arc::from(data))),
            _ => None,
        };
        let owner = Owner::Name(Arc::from(&owner[..]));
        found.extend(data.map(|data| Record { owner, ttl, data }));
    }
    Some(found)
}
