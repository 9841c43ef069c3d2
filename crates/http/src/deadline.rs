//! A time limit that is moved with every request and costs next to nothing when it is.
//!
//! The timer behind it is touched only when it fires too early or a nearer limit is set; pushing
//! the limit further away is one store.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A movable time limit.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(crate) fn after(within: Duration) -> Self {
        let at = Instant::now() + within;
        Self { at, timer: Box::pin(sleep_until(at)) }
    }

    /// Sets the limit to `within` from now.
    pub(crate) fn set(&mut self, within: Duration) {
        self.at = Instant::now() + within;
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Ready when the limit is reached.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn moves_in_both_directions() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(10));
        deadline.set(Duration::from_secs(60));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
        deadline.set(Duration::from_secs(100));
        deadline.set(Duration::from_secs(1));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 61);
    }
}
