//! Intentions that a client agent follows, so that it decides without asking, and while nobody can
//! be asked.
//!
//! From the first question about a destination on, a task reads its intentions again whenever they
//! change. Nobody having asked for a while, it is given up; a token that is refused ends it too, and
//! the next question is asked with the token of whoever asks it then: whether that may know is
//! decided by the servers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::intention::{DEFAULT_NAMESPACE, Intention};
use lictor_types::query::{Consistency, Evaluated, QueryOptions};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::servers::Servers;

/// Destinations that are followed at most; others are asked for each time.
const FOLLOWED_MAX: usize = 1024;
/// How long a destination is followed that nobody asks for.
const UNUSED: Duration = Duration::from_secs(3600);
/// How long one question waits for a change.
const WAIT: Duration = Duration::from_secs(600);
/// Pauses after failed questions: from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(15);

type Rows = Arc<Evaluated<Vec<Arc<Intention>>>>;

#[derive(Debug)]
struct Entry {
    rows: Rows,
    used: Instant,
}

/// What is followed.
#[derive(Debug, Default)]
pub(crate) struct Followed(Mutex<HashMap<Box<str>, Entry>>);

impl Followed {
    fn get(&self, destination: &str) -> Option<Rows> {
        let mut entries = self.0.lock();
        let entry = entries.get_mut(destination)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.rows))
    }

    /// Begins to keep rows; false when others are kept already, or too many.
    fn begin(&self, destination: &str, rows: &Rows) -> bool {
        let mut entries = self.0.lock();
        if entries.len() >= FOLLOWED_MAX || entries.contains_key(destination) {
            return false;
        }
        let entry = Entry { rows: Arc::clone(rows), used: Instant::now() };
        entries.insert(destination.into(), entry);
        true
    }

    /// Takes rows over; false when nobody has asked for them for long.
    fn renew(&self, destination: &str, rows: Option<Rows>) -> bool {
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(destination) else { return false };
        if entry.used.elapsed() > UNUSED {
            entries.remove(destination);
            return false;
        }
        if let Some(rows) = rows.filter(|rows| rows.value != entry.rows.value) {
            entry.rows = rows;
        }
        true
    }

    fn forget(&self, destination: &str) {
        self.0.lock().remove(destination);
    }
}

impl Servers {
    pub(crate) async fn followed_intentions(
        &self,
        token: &str,
        destination: &str,
    ) -> Result<Rows, EndpointError> {
        if let Some(rows) = self.followed().get(destination) {
            return Ok(rows);
        }
        let rows = self.read_intentions(token, destination, 0).await?;
        if self.followed().begin(destination, &rows) {
            let (own, index) = (self.clone(), rows.index);
            let (token, destination) = (token.to_owned(), destination.to_owned());
            self.tasks().spawn_cut("intentions", async move {
                own.follow_intentions(&token, &destination, index).await;
            });
        }
        Ok(rows)
    }

    async fn read_intentions(
        &self,
        token: &str,
        destination: &str,
        min_index: u64,
    ) -> Result<Rows, EndpointError> {
        let options = QueryOptions {
            token: token.to_owned(),
            min_index,
            max_wait: WAIT,
            consistency: Consistency::Stale,
            ..QueryOptions::default()
        };
        let names = [(DEFAULT_NAMESPACE.to_owned(), destination.to_owned())];
        let reply = self.intention_match(&options, false, &names).await?;
        let rows = reply.result.value.matches.first().cloned().unwrap_or_default();
        Ok(Evaluated::new(reply.result.index, rows))
    }

    async fn follow_intentions(&self, token: &str, destination: &str, mut index: u64) {
        let mut pause = RETRY_FIRST;
        loop {
            // Index 0 would not wait.
            let read = self.read_intentions(token, destination, index.max(1)).await;
            let rows = match read {
                Ok(rows) => {
                    pause = RETRY_FIRST;
                    if rows.index < index {
                        // The servers' state was replaced: what they have now counts.
                        index = 0;
                    } else if rows.index == index {
                        // Servers that do not say when something changed are asked now and then.
                        tokio::time::sleep(RETRY_FIRST).await;
                    }
                    index = index.max(rows.index);
                    Some(rows)
                }
                Err(error) if error.kind == ErrorKind::PermissionDenied => {
                    return self.followed().forget(destination);
                }
                Err(error) => {
                    tracing::debug!(%error, destination, retry_in = ?pause,
                        "cannot read intentions");
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(RETRY_MOST);
                    None
                }
            };
            if !self.followed().renew(destination, rows) {
                return;
            }
        }
    }
}
