//! Query strings, and the options that most reads understand.
//!
//! What an endpoint does with further parameters is its own business.

use std::borrow::Cow;
use std::time::Duration;

use lictor_types::catalog::StringMap;
use lictor_types::duration;
use lictor_types::query::{Consistency, QueryOptions};

use crate::error::HttpError;
use crate::path;

/// A query string; parameters are decoded when they are looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    raw: String,
}

impl Query {
    pub(crate) fn new(raw: &str) -> Self {
        Self { raw: raw.to_owned() }
    }

    /// The query as it came.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// Whether every escape in it is complete.
    pub(crate) fn is_well_formed(&self) -> bool {
        !self.raw.contains('%') || path::unescape(self.raw.as_bytes(), false).is_some()
    }

    /// Names and values in order, decoded. What is not UTF-8 is replaced.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
    }

    /// The first value of a parameter; `Some("")` when it is there without one.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if self.raw.is_empty() {
            return None;
        }
        self.pairs().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// The first value of a parameter, empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> Cow<'_, str> {
        self.get(name).unwrap_or_default()
    }

    /// Whether a parameter is there, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.pairs().filter(move |(given, _)| given == name).map(|(_, value)| value)
    }

    /// The tags that an instance must have, all of them.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.all("tag").map(Cow::into_owned).collect()
    }

    /// The `node-meta` filter: `key:value` pairs, of which all must match.
    pub(crate) fn node_meta(&self) -> StringMap {
        if self.raw.is_empty() {
            return StringMap::new();
        }
        let pair = |text: Cow<'_, str>| match text.split_once(':') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text.into_owned(), String::new()),
        };
        self.all("node-meta").map(pair).collect()
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    // A broken escape cannot come here: such queries are refused as a whole.
    let bytes = path::unescape(text.as_bytes(), true).unwrap_or_default();
    Cow::Owned(
        String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

/// The options of a read, and the caller's token.
///
/// # Errors
/// 400 when an option cannot be understood, or two of them contradict each other.
pub(crate) fn read_options(query: &Query, token: String) -> Result<QueryOptions, HttpError> {
    let mut options = QueryOptions { token, ..QueryOptions::default() };
    if query.raw.is_empty() {
        return Ok(options);
    }
    let (mut stale, mut consistent) = (false, false);
    let (mut index, mut longest, mut datacenter) = (None, None, None);
    let (mut max_stale, mut filter) = (None, None);
    for (name, value) in query.pairs() {
        // Of a parameter that is there twice, the first one counts.
        let first = match &*name {
            "index" => &mut index,
            "wait" => &mut longest,
            "dc" => &mut datacenter,
            "max_stale" => &mut max_stale,
            "filter" => &mut filter,
            "stale" => {
                stale = true;
                continue;
            }
            "consistent" => {
                consistent = true;
                continue;
            }
            _ => continue,
        };
        first.get_or_insert(value);
    }
    if let Some(index) = index.filter(|index| !index.is_empty()) {
        options.min_index = index.parse().map_err(|_| HttpError::bad_request("Invalid index"))?;
    }
    if let Some(longest) = longest.filter(|longest| !longest.is_empty()) {
        options.max_wait = wait(&longest)?;
    }
    options.datacenter = datacenter.unwrap_or_default().into_owned();
    options.filter = filter.unwrap_or_default().into_owned();
    if let Some(bound) = max_stale.filter(|bound| !bound.is_empty()) {
        let Ok(bound) = duration::parse(&bound) else {
            let text = format!("Invalid max_stale value {bound:?}");
            return Err(HttpError::bad_request(text));
        };
        options.max_stale = Duration::from_nanos(u64::try_from(bound).unwrap_or(0));
        stale |= bound > 0;
    }
    if stale && consistent {
        return Err(HttpError::bad_request(
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ));
    }
    if consistent && query.has("cached") {
        return Err(HttpError::bad_request(
            "Cannot specify ?cached with ?consistent, conflicting semantics.",
        ));
    }
    options.consistency = match (stale, consistent) {
        (true, _) => Consistency::Stale,
        (_, true) => Consistency::Consistent,
        _ => Consistency::Leader,
    };
    Ok(options)
}

/// A `wait` parameter: a duration, negative ones being none at all.
pub(crate) fn wait(value: &str) -> Result<Duration, HttpError> {
    let nanos = duration::parse(value).map_err(|_| HttpError::bad_request("Invalid wait time"))?;
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(raw: &str) -> Result<QueryOptions, String> {
        read_options(&Query::new(raw), "t".to_owned()).map_err(|e| e.text().to_owned())
    }

    #[test]
    fn parameters_are_decoded_and_kept_in_order() {
        let query = Query::new("a=1&b=x%20y+z&a=2&flag&=v&c=%C3%A9&&d==");
        assert_eq!(query.get("a").as_deref(), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("b"), "x y z");
        assert_eq!(query.get("flag").as_deref(), Some(""));
        assert_eq!(query.text("c"), "é");
        assert_eq!(query.text("d"), "=");
        assert!(!query.has("e") && query.text("e").is_empty());
        assert!(query.is_well_formed() && !Query::new("a=%z").is_well_formed());
    }

    #[test]
    fn metadata_filters() {
        let meta = Query::new("node-meta=k:v&node-meta=only&node-meta=a:b:c").node_meta();
        assert_eq!(meta["k"], "v");
        assert_eq!(meta["only"], "");
        assert_eq!(meta["a"], "b:c");
    }

    #[test]
    fn options_of_reads() {
        let all = options("dc=dc2&index=7&wait=1500ms&stale=0").unwrap();
        assert_eq!((all.datacenter.as_str(), all.min_index), ("dc2", 7));
        assert_eq!(all.max_wait, Duration::from_millis(1500));
        assert_eq!((all.consistency, all.token.as_str()), (Consistency::Stale, "t"));
        assert_eq!(options("consistent=false").unwrap().consistency, Consistency::Consistent);
        let bound = |raw: &str| {
            let options = options(raw).unwrap();
            (options.consistency, options.max_stale)
        };
        assert_eq!(bound("max_stale=10s"), (Consistency::Stale, Duration::from_secs(10)));
        assert_eq!(bound("max_stale=-1s"), (Consistency::Leader, Duration::ZERO));
        assert_eq!(options("wait=-1s").unwrap().max_wait, Duration::ZERO);
        assert_eq!(options("").unwrap().consistency, Consistency::Leader);
        let twice = options("index=5&index=x&wait=&wait=bad&dc=a&dc=b").unwrap();
        assert_eq!((twice.min_index, &*twice.datacenter), (5, "a"));
    }

    #[test]
    fn mistakes_in_options() {
        for (raw, text) in [
            ("index=abc", "Invalid index"),
            ("index=-1", "Invalid index"),
            ("wait=abc", "Invalid wait time"),
            ("wait=10", "Invalid wait time"),
            ("max_stale=abc", "Invalid max_stale value \"abc\""),
            (
                "cached&consistent",
                "Cannot specify ?cached with ?consistent, conflicting semantics.",
            ),
            ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ] {
            assert_eq!(options(raw).unwrap_err(), text, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(raw in "\\PC{0,40}|[%&=+a-f0-9]{0,30}") {
            let query = Query::new(&raw);
            if query.is_well_formed() {
                let _ = (read_options(&query, String::new()), query.node_meta());
            }
        }

        #[test]
        fn what_was_encoded_comes_back(
            pairs in prop::collection::vec(("[a-z]{1,3}", "\\PC{0,6}"), 0..4),
        ) {
            let mut raw = String::new();
            for (name, value) in &pairs {
                raw.push_str(name);
                raw.push('=');
                lictor_api::url::escape_query(&mut raw, value);
                raw.push('&');
            }
            let query = Query::new(&raw);
            prop_assert!(query.is_well_formed());
            let back: Vec<_> =
                query.pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
            prop_assert_eq!(back, pairs);
        }
    }
}
