//! Templates of prepared queries: an expression, a name and a text, filled in or refused.
#![no_main]

use lictor_state::View;
use lictor_types::prepared_query::{NAME_PREFIX_MATCH, PreparedQuery, QueryTemplate, ServiceQuery};

libfuzzer_sys::fuzz_target!(|parts: (&str, &str, &str)| {
    let (regexp, name, text) = parts;
    let query = PreparedQuery {
        name: name.into(),
        template: QueryTemplate {
            kind: NAME_PREFIX_MATCH.into(),
            regexp: regexp.into(),
            remove_empty_tags: false,
        },
        service: ServiceQuery { service: text.into(), ..ServiceQuery::default() },
        ..PreparedQuery::default()
    };
    let _ = View::check_template(&query);
});
