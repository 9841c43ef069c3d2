//! How every read is answered: by whom, how fresh, and how one waits for a change.
//!
//! What is read is in the endpoints; this file knows only an evaluation and what to watch.

use std::sync::Arc;
use std::time::Duration;

use lictor_acl::Authorizer;
use lictor_state::{TOKEN_TABLES, Topic, View, Watch};
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, Evaluated, QueryMeta, QueryOptions, Reply};
use tokio::time::{Instant, timeout_at};

use crate::config::Waits;
use crate::rights::Rights;
use crate::server::Server;

/// How long ago what never was is said to be, as the original does.
const NEVER: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// A read in the making.
pub(crate) struct Read<'a, T, E, W, R>
where
    E: Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
    W: FnOnce() -> Vec<Topic>,
    R: Rights<T>,
{
    /// Gives the result as of a version of the store.
    pub(crate) evaluate: E,
    /// What a change of the result would touch.
    pub(crate) topics: W,
    /// Who may see what of it.
    pub(crate) rights: R,
    pub(crate) options: &'a QueryOptions,
}

impl Server {
    /// Answers a read: makes sure that this server may, evaluates, and blocks if asked to. What
    /// the caller may not see is left out of the shared result; a token that may see everything
    /// gets that result itself.
    pub(crate) async fn read<T: PartialEq + Send + Sync + 'static, E, W, R>(
        &self,
        read: Read<'_, T, E, W, R>,
    ) -> Result<Reply<T>, EndpointError>
    where
        E: Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
        W: FnOnce() -> Vec<Topic>,
        R: Rights<T>,
    {
        let Read { evaluate, topics, rights, options } = read;
        self.meters().query.count();
        self.may_answer(options).await?;
        // Nobody, where nothing is checked: then there is nobody to be counted on every core.
        let asks = self.acl_enabled() && rights.asks();
        let bearer = || asks.then(|| self.authorizer(&options.token)).transpose();
        if options.min_index == 0 {
            let who = bearer()?;
            let mut result = evaluate(&self.view())?;
            // Whoever stood still after it was allowed to answer may show what was before somebody else led.
            while options.consistency == Consistency::Leader && !self.raft().lease_valid() {
                self.may_answer(options).await?;
                result = evaluate(&self.view())?;
            }
            return self.shown(options, result, &rights, who);
        }
        // Also while it waits: then who has lost the right is told so, and does not wait on.
        let tokens = asks.then(|| self.store().watch(&TOKEN_TABLES.map(Topic::Table)));
        let allowed = |value: &T| match bearer()? {
            Some(who) if !who.allows_everything() => rights.allowed(&who, value),
            _ => Ok(()),
        };
        let waited = self.wait_for_change(options, &evaluate, topics(), tokens, allowed);
        let mut result = waited.await?;
        // Whoever asks again must find a newer leader's state, not the one that this server had. At the
        // end nobody waits for that.
        let ends = || self.tasks().token().is_cancelled();
        while options.consistency == Consistency::Leader && !self.raft().lease_valid() && !ends() {
            self.may_answer(options).await?;
            result = evaluate(&self.view())?;
        }
        // The token may have changed, or be gone, since.
        self.shown(options, result, &rights, bearer()?)
    }

    /// What somebody gets to see of a result; of everybody, all.
    fn shown<T: Send + Sync + 'static>(
        &self,
        options: &QueryOptions,
        result: Arc<Evaluated<T>>,
        rights: &impl Rights<T>,
        who: Option<Arc<Authorizer>>,
    ) -> Result<Reply<T>, EndpointError> {
        let mut meta = self.meta(options, result.index);
        let Some(who) = who.filter(|who| !who.allows_everything()) else {
            return Ok(Reply { meta, result });
        };
        rights.allowed(&who, &result.value)?;
        let seen = self.cache().part(&result, &who, || rights.seen(&who, &result.value));
        meta.filtered = seen.is_some();
        let result = seen.unwrap_or(result);
        Ok(Reply { meta, result })
    }

    /// The one loop of blocking queries. A change wakes it only if it touches a topic; it returns
    /// once the index has passed the caller's and the result differs from what it was. Whoever may
    /// not see the result does not wait for another one; that is looked at again when `tokens`
    /// change.
    async fn wait_for_change<T: PartialEq>(
        &self,
        options: &QueryOptions,
        evaluate: impl Fn(&View) -> Result<Arc<Evaluated<T>>, EndpointError>,
        topics: Vec<Topic>,
        mut tokens: Option<Watch>,
        allowed: impl Fn(&T) -> Result<(), EndpointError>,
    ) -> Result<Arc<Evaluated<T>>, EndpointError> {
        // Registered before the first look, so that no change falls in between.
        let mut watch = self.store().watch(&topics);
        drop(topics);
        let view = self.view();
        let (epoch, first) = (view.epoch(), evaluate(&view)?);
        drop(view);
        allowed(&first.value)?;
        if first.index > options.min_index {
            return Ok(first);
        }
        let deadline = Instant::now() + wait_time(options.max_wait, self.config().waits);
        loop {
            let woken = tokio::select! {
                woken = timeout_at(deadline, watch.changed()) => woken.is_ok(),
                () = self.ending() => false,
                () = changed(&mut tokens) => {
                    allowed(&first.value)?;
                    continue;
                }
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
            Consistency::Stale if self.too_old(options) => self.wait_for_leadership().await,
            Consistency::Stale => Ok(()),
            Consistency::Leader => self.wait_for_leadership().await,
            Consistency::Consistent => {
                self.wait_for_leadership().await?;
                let started = Instant::now();
                self.meters().verify.count();
                let confirmed = self.raft().barrier().await;
                self.meters().consistent_read.time(started.elapsed());
                confirmed.map_err(crate::server::propose_error)
            }
        }
    }

    /// A version of the state that may be shown with the wanted consistency.
    pub(crate) async fn view_for(
        &self,
        options: &QueryOptions,
    ) -> Result<Arc<View>, EndpointError> {
        loop {
            self.may_answer(options).await?;
            let view = self.view();
            // See `read`.
            if options.consistency != Consistency::Leader || self.raft().lease_valid() {
                return Ok(view);
            }
        }
    }

    /// Whether this server has not heard of the leader for longer than an answer may be old.
    #[must_use]
    pub fn too_old(&self, options: &QueryOptions) -> bool {
        let bound = options.max_stale;
        !bound.is_zero() && self.raft().last_contact().is_none_or(|age| age > bound)
    }

    /// What goes along with a result that has this index, or 0 for none.
    #[must_use]
    pub fn meta(&self, options: &QueryOptions, index: u64) -> QueryMeta {
        QueryMeta {
            index,
            last_contact: self.raft().last_contact().unwrap_or(NEVER),
            known_leader: self.knows_leader(),
            consistency: options.consistency,
            filtered: false,
        }
    }
}

/// Waits for a change, for ever where there is nothing to watch.
async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
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
