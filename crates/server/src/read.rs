//! How every read is answered: by whom, how fresh, and how one waits for a change.
//!
//! What is read is in the endpoints; this file knows only an evaluation and what to watch.

use std::sync::Arc;
use std::time::Duration;

use lictor_state::{Topic, View};
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, Evaluated, QueryMeta, QueryOptions, Reply};
use tokio::time::{Instant, timeout_at};

use crate::config::Waits;
use crate::server::Server;

/// A read in the making.
pub(crate) struct Read<'a, T, E, W>
where
    E: Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
    W: FnOnce() -> Vec<Topic>,
{
    /// Gives the result as of a version of the store.
    pub(crate) evaluate: E,
    /// What a change of the result would touch.
    pub(crate) topics: W,
    pub(crate) options: &'a QueryOptions,
}

impl Server {
    /// Answers a read: makes sure that this server may, evaluates, and blocks if asked to.
    pub(crate) async fn read<T: PartialEq, E, W>(
        &self,
        read: Read<'_, T, E, W>,
    ) -> Result<Reply<T>, EndpointError>
    where
        E: Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
        W: FnOnce() -> Vec<Topic>,
    {
        let Read { evaluate, topics, options } = read;
        self.meters().query.count();
        self.may_answer(options).await?;
        let result = if options.min_index == 0 {
            evaluate(&self.view())?
        } else {
            self.wait_for_change(options, evaluate, topics()).await?
        };
        Ok(Reply { meta: self.meta(options, result.index), result })
    }

    /// The one loop of blocking queries. A change wakes it only if it touches a topic; it returns
    /// once the index has passed the caller's and the result differs from what it was.
    async fn wait_for_change<T: PartialEq>(
        &self,
        options: &QueryOptions,
        evaluate: impl Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
        topics: Vec<Topic>,
    ) -> Result<Arc<Evaluated<T>>, EndpointError> {
        // Registered before the first look, so that no change falls in between.
        let mut watch = self.store().watch(&topics);
        drop(topics);
        let view = self.view();
        let (epoch, first) = (view.epoch(), evaluate(&view)?);
        drop(view);
        if first.index > options.min_index {
            return Ok(first);
        }
        let deadline = Instant::now() + wait_time(options.max_wait, self.config().waits);
        loop {
            let woken = tokio::select! {
                woken = timeout_at(deadline, watch.changed()) => woken.is_ok(),
                () = self.ending() => false,
            };
            let view = self.view();
            let latest = evaluate(&view)?;
            // After a restore nothing that the caller knows is worth anything.
            let returns = !woken
                || view.epoch() != epoch
                || (latest.index > options.min_index && !same(&first, &latest));
            if returns {
                return Ok(latest);
            }
        }
    }

    /// Waits until this server may answer with the wanted consistency.
    pub(crate) async fn may_answer(&self, options: &QueryOptions) -> Result<(), EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        match options.consistency {
            Consistency::Stale => Ok(()),
            Consistency::Leader => self.wait_for_leadership().await,
            Consistency::Consistent => {
                self.wait_for_leadership().await?;
                let started = Instant::now();
                let confirmed = self.raft().barrier().await;
                self.meters().consistent_read.time(started.elapsed());
                confirmed.map_err(crate::server::propose_error)
            }
        }
    }

    pub(crate) fn meta(&self, options: &QueryOptions, index: u64) -> QueryMeta {
        QueryMeta {
            index,
            last_contact: Duration::ZERO,
            known_leader: self.knows_leader(),
            consistency: options.consistency,
        }
    }
}

fn same<T: PartialEq>(a: &Arc<Evaluated<T>>, b: &Arc<Evaluated<T>>) -> bool {
    Arc::ptr_eq(a, b) || a.value == b.value
}

/// The time that a reader blocks, with up to a sixteenth more, so that many do not return at once.
fn wait_time(asked: Duration, waits: Waits) -> Duration {
    let wait = if asked.is_zero() { waits.usual } else { asked }.min(waits.most);
    let spread = u64::try_from((wait / 16).as_nanos()).unwrap_or(u64::MAX).max(1);
    // Low bits of a random id are as good as any random number here.
    let random = u64::try_from(uuid::Uuid::new_v4().as_u128() & u128::from(u64::MAX));
    wait + Duration::from_nanos(random.unwrap_or(0) % spread)
}

#[cfg(test)]
mod tests;
