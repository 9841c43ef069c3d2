//! `/v1/agent/metrics`: figures of the last whole interval.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metrics {
    /// When the interval began.
    pub timestamp: String,
    /// What is at the moment.
    pub gauges: Vec<Gauge>,
    /// Never any.
    pub points: Vec<Gauge>,
    /// What happened.
    pub counters: Vec<Sampled>,
    /// How much, or how many milliseconds.
    pub samples: Vec<Sampled>,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Gauge {
    /// Name.
    pub name: String,
    /// Value.
    pub value: f64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Values of an interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Sampled {
    /// Name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum for each second.
    pub rate: f64,
    /// Sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub stddev: f64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
