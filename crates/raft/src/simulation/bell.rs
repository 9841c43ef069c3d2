//! Values that are watched, whose watchers are woken in the order in which they came. Tokio's own
//! are woken in an order that no seed decides.

use std::sync::Arc;

use futures_util::FutureExt as _;
use openraft::rt::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft::rt::{OptionalSend, OptionalSync};
use tokio::sync::{Notify, watch};

#[derive(Debug)]
pub(crate) struct Bells;

#[derive(Debug)]
pub(crate) struct Sender<T> {
    // Dropped first: then the bell tells of it.
    value: watch::Sender<T>,
    bell: Bell,
}

/// Rings when it is dropped.
#[derive(Clone, Debug)]
struct Bell(Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

#[derive(Debug)]
pub(crate) struct Receiver<T> {
    value: watch::Receiver<T>,
    bell: Arc<Notify>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), bell: self.bell.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl Watch for Bells {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let ((sender, receiver), bell) = (watch::channel(init), Arc::new(Notify::new()));
        let sender = Sender { value: sender, bell: Bell(Arc::clone(&bell)) };
        (sender, Receiver { value: receiver, bell })
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<Bells, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        let sent = self.value.send(value).map_err(|error| SendError(error.0));
        self.bell.0.notify_waiters();
        sent
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let modified = self.value.send_if_modified(modify);
        if modified {
            self.bell.0.notify_waiters();
        }
        modified
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver { value: self.value.subscribe(), bell: Arc::clone(&self.bell.0) }
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<Bells, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let bell = Arc::clone(&self.bell);
            let mut rung = std::pin::pin!(bell.notified());
            rung.as_mut().enable();
            // It has changed, or is gone; or else the bell will ring.
            if let Some(changed) = self.value.changed().now_or_never() {
                return changed.map_err(|_| RecvError(()));
            }
            rung.await;
        }
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.value.borrow_and_update()
    }
}
