//! Numbers for jitter and for choosing among equals; nothing secret may depend on them.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
}

/// A number below `bound`; 0 if `bound` is.
#[must_use]
pub fn below(bound: u64) -> u64 {
    // xorshift64*: the state is never 0, since it starts odd and the steps are invertible.
    let next = STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    });
    ((u128::from(next) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn every_number_below_the_bound_comes_and_no_other() {
        let mut seen = [0; 5];
        for _ in 0..5000 {
            seen[below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (700..1300).contains(count)), "{seen:?}");
        assert_eq!(below(0), 0);
    }
}
