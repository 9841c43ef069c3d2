//! Random delays, so that many agents, checks and certificates do not act in step.
//!
//! Not for secrets: those come from the `pki` crate or are random UUIDs.

use std::time::Duration;

use uuid::Uuid;

/// A duration evenly spread over `[0, span)`; zero for a zero span.
pub(crate) fn below(span: Duration) -> Duration {
    span.mul_f64(fraction())
}

/// A duration evenly spread over `[from, to)`.
pub(crate) fn between(from: Duration, to: Duration) -> Duration {
    from + below(to.saturating_sub(from))
}

/// A number evenly spread over `[0, 1)`.
pub(crate) fn fraction() -> f64 {
    // The low 64 bits of a random UUID hold 62 random ones below the variant's two.
    let bits = (Uuid::new_v4().as_u128() as u64) & ((1 << 53) - 1);
    bits as f64 / (1_u64 << 53) as f64
}

/// A number evenly spread over `[0, count)`; zero for a zero count.
pub(crate) fn index(count: usize) -> usize {
    ((count as f64 * fraction()) as usize).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside_and_moves() {
        let span = Duration::from_secs(10);
        let drawn: Vec<_> = (0..200).map(|_| between(span, span * 2)).collect();
        assert!(drawn.iter().all(|d| *d >= span && *d < span * 2));
        assert!(drawn.iter().any(|d| *d < span.mul_f64(1.3)));
        assert!(drawn.iter().any(|d| *d > span.mul_f64(1.7)));
        assert_eq!(below(Duration::ZERO), Duration::ZERO);
        assert_eq!(index(0), 0);
        assert!((0..100).all(|_| index(3) < 3));
    }
}
