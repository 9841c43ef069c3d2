//! Go durations; see below.
