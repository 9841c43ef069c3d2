//! An expression against the fields of a type of rows: which field, which comparison, which value.

use regex::{Regex, RegexBuilder};

use crate::FilterError;
use crate::expression::{Expression, Match, Operator};
use crate::field::{Kind, Schema};

/// Most memory that a compiled pattern may take, in bytes.
const PATTERN_SIZE_MAX: usize = 256 * 1024;

/// An expression that can be evaluated.
#[derive(Debug)]
pub(crate) enum Node {
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Test(Test),
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) path: Vec<Step>,
    pub(crate) compare: Compare,
    /// The opposite is wanted.
    pub(crate) negated: bool,
}

/// From a record to what it holds.
#[derive(Debug)]
pub(crate) enum Step {
    /// The field at this position.
    Field(usize),
    /// What has this name in a map.
    Key(String),
}

/// What is compared.
#[derive(Debug)]
pub(crate) enum Compare {
    Text(String),
    Number(i64),
    Bool(bool),
    /// Is in the text, the list, or the names of the map.
    Contains(String),
    Empty,
    Pattern(Box<Regex>),
}

pub(crate) fn compile(
    expression: &Expression,
    schema: &'static Schema,
) -> Result<Node, FilterError> {
    let all = |parts: &[Expression]| -> Result<Vec<_>, FilterError> {
        parts.iter().map(|part| compile(part, schema)).collect()
    };
    Ok(match expression {
        Expression::Not(inner) => Node::Not(Box::new(compile(inner, schema)?)),
        Expression::And(parts) => Node::And(all(parts)?),
        Expression::Or(parts) => Node::Or(all(parts)?),
        Expression::Match(one) => Node::Test(test(one, schema).map_err(FilterError)?),
    })
}

fn test(one: &Match, schema: &'static Schema) -> Result<Test, String> {
    let name = one.selector.join(".");
    let (path, kind) = resolve(&one.selector, schema)?;
    if !supported(kind, one.operator) {
        let operator = one.operator.name();
        return Err(format!("Invalid match operator {operator:?} for selector {name:?}"));
    }
    let raw = one.value.as_deref().unwrap_or_default();
    let coercion = |problem: &str| {
        format!("Failed to coerce value {raw:?} for selector {name:?}: strconv.{problem}")
    };
    let compare = match one.operator {
        Operator::IsEmpty | Operator::IsNotEmpty => Compare::Empty,
        Operator::In | Operator::NotIn => Compare::Contains(raw.to_owned()),
        Operator::Matches | Operator::NotMatches => {
            let pattern = RegexBuilder::new(raw).size_limit(PATTERN_SIZE_MAX).build();
            let pattern = pattern.map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("Failed to compile regular expression {raw:?}: error parsing regexp: {why}")
            })?;
            Compare::Pattern(Box::new(pattern))
        }
        Operator::Equal | Operator::NotEqual => {
            match kind {
                Kind::Number => Compare::Number(
                    number(raw)
                        .map_err(|why| coercion(&format!("ParseInt: parsing {raw:?}: {why}")))?,
                ),
                Kind::Bool => Compare::Bool(boolean(raw).ok_or_else(|| {
                    coercion(&format!("ParseBool: parsing {raw:?}: invalid syntax"))
                })?),
                _ => Compare::Text(raw.to_owned()),
            }
        }
    };
    let negated = matches!(
        one.operator,
        Operator::NotEqual | Operator::NotIn | Operator::IsNotEmpty | Operator::NotMatches
    );
    Ok(Test { path, compare, negated })
}

/// The way to what a selector names, and what that is.
fn resolve(selector: &[String], schema: &'static Schema) -> Result<(Vec<Step>, Kind), String> {
    let mut path = Vec::with_capacity(selector.len());
    let mut kind = Kind::Record(schema);
    for (at, name) in selector.iter().enumerate() {
        let unknown = || format!("Selector {:?} is not valid", selector[..=at].join("."));
        kind = match kind {
            Kind::Record(schema) | Kind::Records(schema) => {
                let found = schema.0.iter().enumerate().find(|(_, field)| field.name == name);
                let (position, field) = found.ok_or_else(unknown)?;
                path.push(Step::Field(position));
                field.kind
            }
            Kind::TextMap => {
                path.push(Step::Key(name.clone()));
                Kind::Text
            }
            Kind::TextsMap => {
                path.push(Step::Key(name.clone()));
                Kind::Texts
            }
            Kind::RecordMap(schema) => {
                path.push(Step::Key(name.clone()));
                Kind::Record(schema)
            }
            Kind::Text | Kind::Number | Kind::Bool | Kind::Texts => return Err(unknown()),
        };
    }
    Ok((path, kind))
}

const fn supported(kind: Kind, operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::NotEqual => {
            matches!(kind, Kind::Text | Kind::Number | Kind::Bool)
        }
        Operator::Matches | Operator::NotMatches => matches!(kind, Kind::Text),
        Operator::In | Operator::NotIn => {
            matches!(
                kind,
                Kind::Text | Kind::Texts | Kind::TextMap | Kind::TextsMap | Kind::RecordMap(_)
            )
        }
        Operator::IsEmpty | Operator::IsNotEmpty => {
            matches!(
                kind,
                Kind::Texts
                    | Kind::TextMap
                    | Kind::TextsMap
                    | Kind::Records(_)
                    | Kind::RecordMap(_)
            )
        }
    }
}

/// A number in the notations of the original: decimal, or with `0x`, `0o`, `0b` or `0` in front.
fn number(text: &str) -> Result<i64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(SYNTAX);
    }
    let number = i128::from_str_radix(digits, radix).map_err(|_| "value out of range")?;
    i64::try_from(if negative { -number } else { number }).map_err(|_| "value out of range")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
