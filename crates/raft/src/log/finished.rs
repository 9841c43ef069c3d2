//! What the writer has done, on its way back to the engine.
//!
//! The writer is a thread of its own. It wakes the engine by a pipe, and not by a waker: a worker of
//! the runtime that finds a task which somebody outside has woken wakes the next worker to look for
//! more, and that one mostly finds none. With a single client each of them is a good part of the
//! time that a write takes; whoever is woken by a file wakes nobody.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::batch::Types;

/// What became of entries.
type Finished = (IOFlushed<Types>, io::Result<()>);

/// The writer's end.
pub(super) struct Teller {
    finished: Arc<Mutex<Vec<Finished>>>,
    bell: File,
}

/// The engine's end.
pub(super) struct Listener {
    finished: Arc<Mutex<Vec<Finished>>>,
    bell: pipe::Receiver,
}

/// # Errors
/// When the process may open no more files.
pub(super) fn channel() -> io::Result<(Teller, Listener)> {
    let (sender, bell) = pipe::pipe()?;
    let finished = Arc::default();
    let teller =
        Teller { finished: Arc::clone(&finished), bell: sender.into_nonblocking_fd()?.into() };
    Ok((teller, Listener { finished, bell }))
}

impl Teller {
    pub(super) fn tell(&self, what: impl IntoIterator<Item = Finished>) {
        let mut finished = self.finished.lock();
        let rung = !finished.is_empty();
        finished.extend(what);
        drop(finished);
        if rung {
            return;
        }
        // A full pipe is full of bells that are not heard yet.
        if let Err(error) = (&self.bell).write(&[1])
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            complete(&self.finished);
        }
    }
}

fn complete(finished: &Mutex<Vec<Finished>>) {
    let finished = std::mem::take(&mut *finished.lock());
    for (done, result) in finished {
        done.io_completed(result);
    }
}

impl Listener {
    /// Tells the engine until the writer has ended.
    pub(super) async fn run(mut self) {
        let mut bells = [0; 64];
        loop {
            let rung = self.bell.read(&mut bells).await;
            complete(&self.finished);
            if !matches!(rung, Ok(1..)) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::type_config::TypeConfigExt as _;

    use super::*;

    #[tokio::test]
    async fn the_engine_is_told_of_everything_in_order_until_the_writer_ends() {
        let (teller, listener) = channel().unwrap();
        let (dones, answers): (Vec<_>, Vec<_>) = (0..200).map(|_| Types::oneshot()).unzip();
        let writer = std::thread::spawn(move || {
            for (n, done) in dones.into_iter().enumerate() {
                let result = if n == 150 { Err(io::Error::other("it is broken")) } else { Ok(()) };
                teller.tell([(IOFlushed::signal(done), result)]);
            }
        });
        let telling = async {
            for (n, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.await.unwrap().is_ok(), n != 150, "{n}");
            }
        };
        futures_util::join!(listener.run(), telling);
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn without_a_listener_the_writer_tells_the_engine_itself() {
        let (teller, listener) = channel().unwrap();
        drop(listener);
        let (done, answer) = Types::oneshot();
        teller.tell([(IOFlushed::signal(done), Ok(()))]);
        answer.await.unwrap().unwrap();
    }
}
