//! `/v1/agent/metrics`: what the agent counts and measures, as JSON or as text for Prometheus.
//!
//! What is counted is the business of whoever does it; names come whole from the agent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lictor_agent::Figures;
use lictor_api::metrics as body;
use lictor_metrics::{Figure, Kind, Labels, Summary};
use lictor_types::timestamp::Timestamp;

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const NOT_KEPT: &str = "Prometheus is not enable since its retention time is not positive";

pub(crate) async fn show(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_read(&call.request.token()).await?;
    if call.request.query.text("format") != "prometheus" {
        return Ok(Answer::json(&shown(&door.agent().figures()), call.pretty));
    }
    match door.agent().total_figures() {
        Some(figures) => Ok(Answer::body(EXPOSITION, exposition(&figures))),
        None => Err(HttpError::new(415, NOT_KEPT.into())),
    }
}

fn shown(figures: &Figures) -> body::Metrics {
    let seconds = i64::try_from(figures.since).unwrap_or(i64::MAX);
    let time = Timestamp(seconds.saturating_mul(1_000_000_000)).to_rfc3339();
    let of = |kind: Kind| {
        let those = figures.counted.iter().filter(|figure| figure.kind == kind);
        those.map(sampled).collect()
    };
    let gauges = figures.gauges.iter().map(|(name, value)| body::Gauge {
        name: name.clone(),
        value: *value,
        labels: BTreeMap::new(),
    });
    body::Metrics {
        timestamp: time.replace('T', " ").replace('Z', " +0000 UTC"),
        gauges: gauges.collect(),
        points: Vec::new(),
        counters: of(Kind::Counter),
        samples: of(Kind::Sample),
    }
}

fn sampled(figure: &Figure) -> body::Sampled {
    let values = &figure.values;
    body::Sampled {
        name: figure.name.clone(),
        count: values.count,
        rate: values.rate(),
        sum: values.sum,
        min: values.min,
        max: values.max,
        mean: values.mean(),
        stddev: values.deviation(),
        labels: figure.labels.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
    }
}

fn exposition(figures: &Figures) -> String {
    let mut out = String::new();
    for (name, value) in &figures.gauges {
        let name = allowed(name);
        head(&mut out, &name, "gauge");
        let _ = writeln!(out, "{name} {value}");
    }
    let mut last = None;
    for figure in &figures.counted {
        let (name, labels) = (allowed(&figure.name), labels(&figure.labels));
        let kind = match figure.kind {
            Kind::Counter => "counter",
            Kind::Sample => "summary",
            Kind::Gauge => "gauge",
        };
        // Figures that differ in their labels alone stand together.
        if last.as_ref() != Some(&(figure.kind, name.clone())) {
            head(&mut out, &name, kind);
            last = Some((figure.kind, name.clone()));
        }
        let Summary { sum, count, .. } = figure.values;
        let _ = match figure.kind {
            Kind::Counter | Kind::Gauge => writeln!(out, "{name}{labels} {sum}"),
            Kind::Sample => writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}"),
        };
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {name}\n# TYPE {name} {kind}");
}

fn allowed(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect()
}

fn labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pair = |(name, value): &(&str, String)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    let pairs: Vec<_> = labels.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let values = Summary { count: 2, sum: 3.0, squares: 5.0, min: 1.0, max: 2.0 };
        let of = |name: &str, labels, kind| Figure { name: name.to_owned(), labels, kind, values };
        let figure = |name: &str, kind| of(name, Labels::new(), kind);
        let about = |service: &str| vec![("service", service.to_owned())];
        let figures = Figures {
            since: 1_795_715_580,
            gauges: vec![("consul.h-1.g".to_owned(), 4.5)],
            counted: vec![
                figure("consul.c", Kind::Counter),
                figure("consul.s.a:b._", Kind::Sample),
                of("consul.q", about("a"), Kind::Counter),
                of("consul.q", about("\"b\""), Kind::Counter),
            ],
        };
        assert_eq!(
            exposition(&figures),
            "# HELP consul_h_1_g consul_h_1_g\n# TYPE consul_h_1_g gauge\nconsul_h_1_g 4.5\n\
             # HELP consul_c consul_c\n# TYPE consul_c counter\nconsul_c 3\n\
             # HELP consul_s_a:b__ consul_s_a:b__\n# TYPE consul_s_a:b__ summary\n\
             consul_s_a:b___sum 3\nconsul_s_a:b___count 2\n\
             # HELP consul_q consul_q\n# TYPE consul_q counter\n\
             consul_q{service=\"a\"} 3\nconsul_q{service=\"\\\"b\\\"\"} 3\n"
        );
        let shown = shown(&figures);
        assert_eq!(shown.timestamp, "2026-11-26 17:53:00 +0000 UTC");
        assert_eq!((shown.counters.len(), shown.samples[0].rate), (3, 0.3));
        assert_eq!(shown.counters[1].labels["service"], "a");
    }
}
