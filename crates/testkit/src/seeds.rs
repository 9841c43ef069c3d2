//! Many runs of a simulation, each from a seed, on all cores.

use std::panic::{RefUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect("a number in the variable"))
}

/// Does `run` with `count` seeds from 0 on; the variables `<name>_SEEDS` and `<name>_SEED` say otherwise.
///
/// # Panics
/// When a run does; its seed is named.
pub fn each_seed(name: &str, count: u64, run: impl Fn(u64) + Sync + RefUnwindSafe) {
    let first = number(&format!("{name}_SEED"), 0);
    let (next, end) = (AtomicU64::new(first), first + number(&format!("{name}_SEEDS"), count));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            if let Err(panic) = catch_unwind(|| run(seed)) {
                // The others need not go on.
                next.store(end, Ordering::Relaxed);
                eprintln!("seed {seed}: run {name}_SEED={seed} {name}_SEEDS=1");
                resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}
