//! Which servers could not be asked, so that the log says it once and not with every request.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Servers that are remembered at most; then all are forgotten.
const MOST: usize = 1024;

/// Servers that did not answer when they were asked last.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    any: AtomicBool,
    servers: Mutex<BTreeSet<SocketAddr>>,
}

impl Troubles {
    /// A server did not answer; whether that is news.
    pub(crate) fn begin(&self, server: SocketAddr) -> bool {
        let mut servers = self.servers.lock();
        if servers.len() >= MOST {
            servers.clear();
        }
        let news = servers.insert(server);
        self.any.store(true, Ordering::Relaxed);
        news
    }

    /// A server answered; whether that is news. Costs nothing while all do.
    pub(crate) fn end(&self, server: SocketAddr) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut servers = self.servers.lock();
        let news = servers.remove(&server);
        self.any.store(!servers.is_empty(), Ordering::Relaxed);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_news_once() {
        let troubles = Troubles::default();
        let [one, two] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(!troubles.end(one));
        assert!(troubles.begin(one) && !troubles.begin(one) && troubles.begin(two));
        assert!(troubles.end(one) && !troubles.end(one));
        assert!(troubles.begin(one));
        for port in 3..3000 {
            troubles.begin(SocketAddr::from(([127, 0, 0, 1], port)));
        }
        assert!(troubles.servers.lock().len() <= MOST);
    }
}
