//! Who refused a TLS handshake is not asked again at once.
//!
//! A handshake costs both sides a signature. An agent whose certificate is not accepted would otherwise
//! try as often as it has something to say, which for a server is dozens of times a second. An end that
//! cannot be connected to at all is no refusal: a server that was restarted must be found at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first refusal. It doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: as long may it take until a mended certificate is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After this time without another one a refusal is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// How many are kept in mind.
const KEPT: usize = 1024;

/// Who is asked: connections to one address with different first bytes are judged differently.
type Asked = (SocketAddr, u8);

#[derive(Debug)]
struct Refusal {
    pause: Duration,
    at: Instant,
    until: Instant,
    why: String,
}

/// Those who refused, and until when they are left alone.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<Asked, Refusal>);

impl Refusals {
    /// Why `asked` is left alone now, if it is.
    pub(crate) fn pausing(&self, asked: Asked, now: Instant) -> Option<String> {
        let refusal = self.0.get(&asked).filter(|refusal| now < refusal.until)?;
        let left = (refusal.until - now).as_millis();
        Some(format!("{} (tried again in {left} ms)", refusal.why))
    }

    /// `asked` has refused. `share` of the pause, from 0 to 1, is a draw: the pause is between half of
    /// its length and all of it, so that many who were refused at once do not come back at once.
    pub(crate) fn refused(&mut self, asked: Asked, why: String, share: f64, now: Instant) {
        self.0.retain(|_, refusal| now - refusal.at < FORGOTTEN);
        let before = self.0.get(&asked);
        // Others that were under way when the pause began say nothing new.
        if before.is_some_and(|refusal| now < refusal.until) {
            return;
        }
        if before.is_none() && self.0.len() >= KEPT {
            return;
        }
        let pause = before.map_or(FIRST_PAUSE, |refusal| (refusal.pause * 2).min(LONGEST_PAUSE));
        let until = now + pause.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
        self.0.insert(asked, Refusal { pause, at: now, until, why });
    }

    /// `asked` has answered.
    pub(crate) fn answered(&mut self, asked: Asked) {
        self.0.remove(&asked);
    }

    /// This side's certificate is another one now.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked =
        (SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8300), 4);

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_an_answer() {
        let (mut refusals, mut now) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.pausing(ASKED, now), None);
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            refusals.refused(ASKED, "bad certificate".into(), 1.0, now);
            let text = format!("bad certificate (tried again in {expected} ms)");
            assert_eq!(refusals.pausing(ASKED, now), Some(text));
            assert_eq!(refusals.pausing((ASKED.0, 7), now), None, "another connection");
            now += Duration::from_millis(expected);
            assert_eq!(refusals.pausing(ASKED, now), None);
        }
        refusals.answered(ASKED);
        refusals.refused(ASKED, "again".into(), 0.0, now);
        assert_eq!(refusals.pausing(ASKED, now).unwrap(), "again (tried again in 50 ms)");
        refusals.clear();
        assert_eq!(refusals.pausing(ASKED, now), None);
    }

    #[test]
    fn those_under_way_together_are_one_refusal_and_old_ones_are_forgotten() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..50 {
            refusals.refused(ASKED, "no".into(), 1.0, now);
        }
        assert_eq!(refusals.pausing(ASKED, now).unwrap(), "no (tried again in 100 ms)");
        let later = now + FORGOTTEN;
        refusals.refused(ASKED, "no".into(), 1.0, later);
        assert_eq!(refusals.pausing(ASKED, later).unwrap(), "no (tried again in 100 ms)");
        for port in 0..2000 {
            refusals.refused(
                (SocketAddr::from(([127, 0, 0, 2], port)), 4),
                "no".into(),
                1.0,
                later,
            );
        }
        assert_eq!(refusals.0.len(), KEPT);
    }
}
