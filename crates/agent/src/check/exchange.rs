//! One HTTP request on one connection, which is closed afterwards.
//!
//! No redirects and no deadline: callers follow and bound. Nothing is spawned: the connection is
//! driven by the caller's own task.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::output::Tail;

/// Bytes of a body that are read at most; a check keeps only a few of them.
const BODY_LIMIT: u64 = 1024 * 1024;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    /// The end of the body.
    pub(super) body: Tail,
}

/// Sends `request` over `io` and reads the answer.
pub(super) async fn exchange<T>(io: T, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|e| text(&e))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| text(&e))?;
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status();
        let mut incoming = response.into_body();
        let mut body = Tail::default();
        let mut read = 0;
        while let Some(frame) = incoming.frame().await {
            // A body that breaks off still has a status in front of it.
            let Ok(frame) = frame else { break };
            if let Some(data) = frame.data_ref() {
                body.push(data);
                read += data.len() as u64;
            }
            if read > BODY_LIMIT {
                break;
            }
        }
        Ok(Answer { status, location, body })
    };
    let mut answer = pin!(answer);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        result = &mut answer => return result,
        // What was received before the connection ended is still delivered.
        _ = &mut connection => {}
    }
    answer.await
}

/// The error with the cause that hyper keeps behind it.
fn text(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None => error.to_string(),
    }
}
