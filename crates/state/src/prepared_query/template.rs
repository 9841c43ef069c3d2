//! Templates of prepared queries: texts with `${…}` that are filled in from a name.
//!
//! There are the variables `name.full`, `name.prefix`, `name.suffix` and `agent.segment`, the
//! function `match(N)`, and `$${` for `${` itself; the rest of the language is in [`expression`].

mod expression;

use std::fmt;

use lictor_types::prepared_query::{NAME_PREFIX_MATCH, PreparedQuery, ServiceQuery};
use regex::{Regex, RegexBuilder};

use self::expression::{Problem, Values};

/// Most bytes that all texts of a query may have once they are filled in.
const FILLED_MAX: usize = 64 * 1024;
/// Most bytes that an expression may take once it is understood.
const REGEXP_MAX: usize = 1 << 20;

/// What is wrong with a template. The texts are the original's, as far as they are its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A kind that does not exist.
    #[error("Bad Template.Type '{0}'")]
    Kind(String),
    /// The expression cannot be understood, or is too large.
    #[error("Bad Regexp: {0}")]
    Regexp(String),
    /// A text cannot be understood.
    #[error("Bad format '{text}' in Service{place}: parse error: {problem}")]
    Format {
        /// The text.
        text: String,
        /// Its field.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A text asks for something that does not exist.
    #[error("Bad evaluation for '{text}' in Service{place}: {problem}")]
    Evaluation {
        /// The text.
        text: String,
        /// Its field.
        place: String,
        /// What does not exist.
        problem: String,
    },
    /// The texts become too long.
    #[error("the template gives more than {FILLED_MAX} bytes")]
    TooLarge,
}

/// What a template is filled in from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// Name that was asked for.
    pub(super) name: &'a str,
    /// Network segment of the agent that asks.
    pub(super) segment: &'a str,
}

/// A template that is ready to be filled in.
#[derive(Debug)]
pub(super) struct Template {
    regexp: Option<Regex>,
}

impl Template {
    /// Understands a template. It is filled in once, from its own name, to find what is wrong.
    pub(super) fn compile(query: &PreparedQuery) -> Result<Self, TemplateError> {
        if query.template.kind != NAME_PREFIX_MATCH {
            return Err(TemplateError::Kind(query.template.kind.clone()));
        }
        let pattern = &query.template.regexp;
        let regexp = if pattern.is_empty() { None } else { Some(regexp(pattern)?) };
        let template = Self { regexp };
        template.fill(query, &Scope { name: &query.name, segment: "" })?;
        Ok(template)
    }

    /// The query for a name.
    pub(super) fn fill(
        &self,
        query: &PreparedQuery,
        scope: &Scope<'_>,
    ) -> Result<PreparedQuery, TemplateError> {
        let groups = self.regexp.as_ref().and_then(|regexp| regexp.captures(scope.name));
        let groups = groups.iter().flat_map(|found| found.iter());
        let values = Values {
            full: scope.name,
            prefix: &query.name,
            suffix: scope.name.strip_prefix(&*query.name).unwrap_or(scope.name),
            segment: scope.segment,
            groups: groups.map(|group| group.map_or("", |group| group.as_str())).collect(),
        };
        let mut filled = query.clone();
        let mut room = FILLED_MAX;
        visit(&mut filled.service, &mut |place, text| {
            let new = values.fill(text, room).map_err(|problem| match problem {
                Problem::Format(problem) => {
                    TemplateError::Format { text: text.clone(), place: place.to_string(), problem }
                }
                Problem::Evaluation(problem) => TemplateError::Evaluation {
                    text: text.clone(),
                    place: place.to_string(),
                    problem,
                },
                Problem::TooLarge => TemplateError::TooLarge,
            })?;
            room -= new.len();
            *text = new;
            Ok(())
        })?;
        if query.template.remove_empty_tags {
            filled.service.tags.retain(|tag| !tag.is_empty());
        }
        Ok(filled)
    }
}

fn regexp(pattern: &str) -> Result<Regex, TemplateError> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEXP_MAX).dfa_size_limit(REGEXP_MAX).build().map_err(|error| {
        // The library draws a picture; its last line says what is wrong.
        let told = error.to_string();
        let last = told.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        TemplateError::Regexp(format!("error parsing regexp: {last}: `{pattern}`"))
    })
}

/// Shows every text of a search with its place.
fn visit(
    service: &mut ServiceQuery,
    seen: &mut impl FnMut(fmt::Arguments<'_>, &mut String) -> Result<(), TemplateError>,
) -> Result<(), TemplateError> {
    seen(format_args!(".Service"), &mut service.service)?;
    for (at, text) in service.failover.datacenters.iter_mut().enumerate() {
        seen(format_args!(".Failover.Datacenters[{at}]"), text)?;
    }
    for (at, text) in service.ignore_check_ids.iter_mut().enumerate() {
        seen(format_args!(".IgnoreCheckIDs[{at}]"), text)?;
    }
    seen(format_args!(".Near"), &mut service.near)?;
    for (at, text) in service.tags.iter_mut().enumerate() {
        seen(format_args!(".Tags[{at}]"), text)?;
    }
    for (key, text) in &mut service.node_meta {
        seen(format_args!(".NodeMeta[{key}]"), text)?;
    }
    for (key, text) in &mut service.service_meta {
        seen(format_args!(".ServiceMeta[{key}]"), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lictor_types::prepared_query::QueryTemplate;
    use proptest::prelude::*;

    use super::*;

    fn query(regexp: &str, service: &str) -> PreparedQuery {
        PreparedQuery {
            name: "geo-".into(),
            template: QueryTemplate {
                kind: NAME_PREFIX_MATCH.into(),
                regexp: regexp.into(),
                remove_empty_tags: false,
            },
            service: ServiceQuery { service: service.into(), ..ServiceQuery::default() },
            ..PreparedQuery::default()
        }
    }

    fn filled(query: &PreparedQuery, name: &str) -> Result<PreparedQuery, TemplateError> {
        Template::compile(query)?.fill(query, &Scope { name, segment: "alpha" })
    }

    #[test]
    fn texts_are_filled_in_from_the_name() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${name.full}", "geo-web-b"),
            ("${ name.prefix }|${name.suffix}", "geo-|web-b"),
            ("x${match(1)}y${ match( 2 ) }z", "xweby-bz"),
            ("${match(0)}", "geo-web-b"),
            ("${match(9)}${match(-1)}", ""),
            ("${match(\"1\")}", "web"),
            ("${agent.segment}", "alpha"),
            ("$${name.full} $5 $", "${name.full} $5 $"),
            ("${\"a\\\"b$${\"}", "a\"b${"),
        ] {
            let query = query("^geo-(.*?)(-[^-]+)$", text);
            assert_eq!(filled(&query, "geo-web-b").unwrap().service.service, expected, "{text}");
        }
    }

    #[test]
    fn every_text_of_the_search_is_filled_in() {
        let mut query = query("", "${name.full}");
        query.template.remove_empty_tags = true;
        let text = || vec!["${name.suffix}".to_owned(), "${match(1)}".to_owned()];
        query.service.tags = text();
        query.service.ignore_check_ids = text();
        query.service.failover.datacenters = text();
        query.service.near = "${name.suffix}".into();
        query.service.node_meta.insert("${name.full}".into(), "${name.suffix}".into());
        let found = filled(&query, "geo-x").unwrap().service;
        assert_eq!(found.tags, ["x"]);
        assert_eq!(found.ignore_check_ids, ["x", ""]);
        assert_eq!(found.failover.datacenters, ["x", ""]);
        assert_eq!((found.service.as_str(), found.near.as_str()), ("geo-x", "x"));
        assert_eq!(found.node_meta["${name.full}"], "x");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |query: &PreparedQuery| Template::compile(query).unwrap_err().to_string();
        for (text, expected) in [
            (
                "${bogus",
                "Bad format '${bogus' in Service.Service: parse error: expected '}' after a variable",
            ),
            (
                "${bogus}",
                "Bad evaluation for '${bogus}' in Service.Service: 1:3: unknown variable accessed: bogus",
            ),
            (
                "a\nbc${foo(1)}",
                "Bad evaluation for 'a\nbc${foo(1)}' in Service.Service: 2:5: unknown function called: foo",
            ),
        ] {
            assert_eq!(told(&query("", text)), expected);
        }
        for text in ["${}", "${match(x)}", "${match(1}", "${\"a}", "${\"${x}\"}", "${1 +}"] {
            assert!(told(&query("", text)).starts_with("Bad "), "{text}");
        }
        let text = told(&query("(", "x"));
        assert_eq!(text, "Bad Regexp: error parsing regexp: unclosed group: `(`");
        let mut other = query("", "x");
        other.template.kind = "bogus".into();
        assert_eq!(told(&other), "Bad Template.Type 'bogus'");
    }

    #[test]
    fn neither_expressions_nor_texts_grow_without_end() {
        let large = query("((a{100}){100}){100}", "x");
        assert!(matches!(Template::compile(&large), Err(TemplateError::Regexp(_))));
        let many = query("", &"${name.full}".repeat(1000));
        let error = filled(&many, &"x".repeat(1000)).unwrap_err();
        assert_eq!(error, TemplateError::TooLarge);
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in_or_an_error(
            text in "(\\PC|[$]|[$][{]|[}]|match[(]|name[.]full|[0-9.]{1,3}|[-+*/%()]|\"|\\\\){0,20}",
            name in "\\PC{0,12}",
        ) {
            let query = query("(.)(.)?", &text);
            let _ = filled(&query, &name);
        }
    }
}
