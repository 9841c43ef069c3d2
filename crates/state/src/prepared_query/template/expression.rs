//! What stands in a text between `${` and `}`: the original's expressions, as far as they mean
//! anything for a name.
//!
//! There are texts in quotes, which may hold expressions themselves, whole numbers and fractions,
//! variables, the function `match(N)`, parentheses, and `+ - * / %`, all of one rank and taken from
//! left to right. The first operand that is a number decides whether one calculates with whole
//! numbers or with fractions; the others become that, texts too. A minus in front is a subtraction
//! from the whole number 0, so that `-1.5` is -1. Where the original would fall over, as in a
//! division by zero, this is refused.

use super::FILLED_MAX;

/// How deep an expression may be nested.
const DEPTH_MAX: usize = 32;

/// What texts are filled in from.
pub(super) struct Values<'a> {
    pub(super) full: &'a str,
    pub(super) prefix: &'a str,
    pub(super) suffix: &'a str,
    pub(super) segment: &'a str,
    /// The whole match of the expression, then its groups.
    pub(super) groups: Vec<&'a str>,
}

/// Why a text cannot be filled in.
pub(super) enum Problem {
    /// It cannot be understood.
    Format(&'static str),
    /// It asks for something that does not exist, or that cannot be calculated.
    Evaluation(String),
    /// It becomes too long.
    TooLarge,
}

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Whole(i64),
    Fraction(f64),
}

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => shown(number),
        }
    }

    fn whole(self) -> Result<i64, String> {
        match self {
            Self::Whole(number) => Ok(number),
            // Towards zero, and as near as there is a number.
            Self::Fraction(number) => Ok(number as i64),
            Self::Text(text) => parse_whole(&text).map_err(|problem| {
                format!("__builtin_StringToInt: strconv.ParseInt: parsing {text:?}: {problem}")
            }),
        }
    }

    fn fraction(self) -> Result<f64, String> {
        match self {
            Self::Whole(number) => Ok(number as f64),
            Self::Fraction(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(|_| {
                let problem = "invalid syntax";
                format!("__builtin_StringToFloat: strconv.ParseFloat: parsing {text:?}: {problem}")
            }),
        }
    }
}

/// A whole number: decimal, octal after `0`, hexadecimal after `0x`.
fn parse_whole(text: &str) -> Result<i64, &'static str> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits {
        _ if digits.starts_with("0x") || digits.starts_with("0X") => (&digits[2..], 16),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err("invalid syntax");
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|_| "value out of range")
}

/// A fraction in its shortest form: with an exponent from a million on and below a ten-thousandth.
fn shown(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

/// Why two values give none.
enum Fault {
    /// One of them is no number.
    Operand(String),
    /// The operation is not for them.
    Operation(&'static str),
}

impl From<String> for Fault {
    fn from(told: String) -> Self {
        Self::Operand(told)
    }
}

/// An operation with two numbers.
fn calculate(operator: char, left: Value, right: Value) -> Result<Value, Fault> {
    let fractions = match (&left, &right) {
        (Value::Fraction(_), _) => true,
        (Value::Whole(_), _) => false,
        (_, second) => matches!(second, Value::Fraction(_)),
    };
    if fractions {
        let (left, right) = (left.fraction()?, right.fraction()?);
        return Ok(Value::Fraction(match operator {
            '+' => left + right,
            '-' => left - right,
            '*' => left * right,
            '/' => left / right,
            _ => return Err(Fault::Operation("modulo cannot be used with floats")),
        }));
    }
    let (left, right) = (left.whole()?, right.whole()?);
    Ok(Value::Whole(match operator {
        '+' => left.wrapping_add(right),
        '-' => left.wrapping_sub(right),
        '*' => left.wrapping_mul(right),
        _ if right == 0 => return Err(Fault::Operation("division by zero")),
        '/' => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    }))
}

impl Values<'_> {
    /// `text` with its values, of at most `room` bytes.
    pub(super) fn fill(&self, text: &str, room: usize) -> Result<String, Problem> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            if let Some(after) = from.strip_prefix("$${") {
                out.push_str("${");
                rest = after;
            } else if let Some(after) = from.strip_prefix("${") {
                let mut reader = Reader { values: self, text, rest: after, depth: 0 };
                out.push_str(&reader.interpolation()?.into_text());
                rest = reader.rest;
            } else {
                out.push('$');
                rest = &from[1..];
            }
            if out.len() > room {
                return Err(Problem::TooLarge);
            }
        }
        out.push_str(rest);
        if out.len() > room { Err(Problem::TooLarge) } else { Ok(out) }
    }
}

/// Reads an expression, and evaluates it at once.
struct Reader<'a> {
    values: &'a Values<'a>,
    /// The whole text, for places.
    text: &'a str,
    /// What is left of it.
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// What follows `${`, with its end.
    fn interpolation(&mut self) -> Result<Value, Problem> {
        let value = self.expression()?;
        if self.take("}") { Ok(value) } else { Err(Problem::Format("expected '}'")) }
    }

    /// Operands and the operators between them, up to what is neither.
    fn expression(&mut self) -> Result<Value, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Problem::Format("nested too deep"));
        }
        let first = self.rest;
        let mut value = self.operand()?;
        loop {
            self.skip_space();
            let Some(operator) = self.rest.chars().next().filter(|c| "+-*/%".contains(*c)) else {
                self.depth -= 1;
                return Ok(value);
            };
            self.take(operator.encode_utf8(&mut [0; 4]));
            let right = self.operand()?;
            value = calculate(operator, value, right).map_err(|fault| self.faulty(first, fault))?;
        }
    }

    fn operand(&mut self) -> Result<Value, Problem> {
        let from = self.rest;
        self.skip_space();
        if self.take("(") {
            let value = self.expression()?;
            return if self.take(")") { Ok(value) } else { Err(Problem::Format("expected ')'")) };
        }
        if self.take("\"") {
            return self.quoted();
        }
        if self.take("-") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(Problem::Format("nested too deep"));
            }
            let value = self.operand()?;
            self.depth -= 1;
            let negated = calculate('-', Value::Whole(0), value);
            return negated.map_err(|fault| self.faulty(from, fault));
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let word = self.word();
        self.skip_space();
        if word.is_empty() {
            return Err(Problem::Format("expected a variable, a function, a number or a text"));
        }
        if !self.take("(") {
            return self.variable(from, word);
        }
        let argument = self.expression()?;
        if !self.take(")") {
            return Err(Problem::Format("expected ')'"));
        }
        if word != "match" {
            return Err(self.wrong(from, format!("unknown function called: {word}")));
        }
        let group = argument.whole().map_err(Problem::Evaluation)?;
        let group = usize::try_from(group).ok().and_then(|at| self.values.groups.get(at));
        Ok(Value::Text(group.copied().unwrap_or_default().to_owned()))
    }

    fn variable(&self, from: &str, word: &str) -> Result<Value, Problem> {
        let value = match word {
            "name.full" => self.values.full,
            "name.prefix" => self.values.prefix,
            "name.suffix" => self.values.suffix,
            "agent.segment" => self.values.segment,
            _ if self.rest.is_empty() => {
                return Err(Problem::Format("expected '}' after a variable"));
            }
            _ => return Err(self.wrong(from, format!("unknown variable accessed: {word}"))),
        };
        Ok(Value::Text(value.to_owned()))
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let from = self.rest;
        self.until(|c| !c.is_ascii_digit());
        if !self.take(".") {
            let digits = &from[..from.len() - self.rest.len()];
            let number = parse_whole(digits).map_err(|_| Problem::Format("expected number"))?;
            return Ok(Value::Whole(number));
        }
        self.until(|c| !c.is_ascii_digit());
        let digits = &from[..from.len() - self.rest.len()];
        digits.parse().map(Value::Fraction).map_err(|_| Problem::Format("expected float"))
    }

    /// The rest of a text in quotes.
    fn quoted(&mut self) -> Result<Value, Problem> {
        let mut out = String::new();
        loop {
            out.push_str(self.until(|c| matches!(c, '"' | '\\' | '$')));
            if self.take("\"") {
                return Ok(Value::Text(out));
            }
            match () {
                () if self.take("\\\"") => out.push('"'),
                () if self.take("\\\\") => out.push('\\'),
                () if self.take("\\n") => out.push('\n'),
                () if self.take("\\") => out.push('\\'),
                () if self.take("$${") => out.push_str("${"),
                () if self.take("${") => out.push_str(&self.interpolation()?.into_text()),
                () if self.take("$") => out.push('$'),
                () => return Err(Problem::Format("expected '\"'")),
            }
            if out.len() > FILLED_MAX {
                return Err(Problem::TooLarge);
            }
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, what: &str) -> bool {
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, stops: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(stops).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Name of a variable or function; `*` belongs to it after a point only.
    fn word(&mut self) -> &'a str {
        let mut end = 0;
        let mut point = false;
        for (at, c) in self.rest.char_indices() {
            if !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.') || (c == '*' && point)) {
                break;
            }
            (end, point) = (at + c.len_utf8(), c == '.');
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Line and column of what begins at `from`. That what is between it and the word before belongs
    /// to it is the original's way of counting.
    fn place(&self, from: &str) -> (usize, usize) {
        let before = self.text.strip_suffix(from).unwrap_or_default();
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    /// A problem with a name.
    fn wrong(&self, from: &str, told: String) -> Problem {
        let (line, column) = self.place(from);
        Problem::Evaluation(format!("{line}:{column}: {told}"))
    }

    /// A problem with an operation whose first operand begins at `from`.
    fn faulty(&self, from: &str, fault: Fault) -> Problem {
        Problem::Evaluation(match fault {
            Fault::Operand(told) => told,
            Fault::Operation(told) => {
                let (line, column) = self.place(from);
                format!("At column {column}, line {line}: {told}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let values = Values {
            full: "geo-web-5",
            prefix: "geo-",
            suffix: "web-5",
            segment: "alpha",
            groups: vec!["geo-web-5", "web", "5"],
        };
        values.fill(text, FILLED_MAX).map_err(|problem| match problem {
            Problem::Format(told) => told.to_owned(),
            Problem::Evaluation(told) => told,
            Problem::TooLarge => "too large".to_owned(),
        })
    }

    #[test]
    fn numbers_are_calculated_from_left_to_right() {
        for (text, expected) in [
            ("${1 + 2}", "3"),
            ("${1 + 2 * 3}", "9"),
            ("${1 + (2 * 3)}", "7"),
            ("${10 - 2 - 3}${7 / 2}${7 % 4}", "533"),
            ("${-7 / 2} ${- 7 % 4} ${-1 + 2}", "-3 -3 1"),
            ("${010}", "8"),
            ("${1.5 + 1} ${1 + 1.5} ${-1.5} ${0.5 * 4}", "2.5 2 -1 2"),
            ("${1000000.0 * 1} ${123456.5} ${0.0001} ${0.00001}", "1e+06 123456.5 0.0001 1e-05"),
            ("${1.0 / 0} ${0.0 - 1 / 0}", "+Inf -Inf"),
            ("${match(2) + 1} ${match(1 + 1)} ${match(\"0x2\")} ${match(1.9)}", "6 5 5 web"),
            ("${1.5 + match(2)} ${\"3\" * \"4\"}", "6.5 12"),
            ("${9223372036854775807 + 1}", "-9223372036854775808"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn texts_hold_expressions() {
        for (text, expected) in [
            ("${\"a${name.prefix}b${1 + 1}c\"}", "ageo-b2c"),
            ("${\"${\"${match(1)}\"}\"}", "web"),
            ("${\"${1}5\" + 2}", "17"),
            ("${\"a\\\"b$${\\n\\x $\"}", "a\"b${\n\\x $"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_calculated_is_refused_with_its_place() {
        for (text, expected) in [
            ("${1 / 0}", "At column 3, line 1: division by zero"),
            ("x\n${\"${1 % 0}\"}", "At column 6, line 2: division by zero"),
            ("${1.5 % 2}", "At column 3, line 1: modulo cannot be used with floats"),
            (
                "a${1 + name.full}",
                "__builtin_StringToInt: strconv.ParseInt: parsing \"geo-web-5\": invalid syntax",
            ),
            (
                "${1.5 + \"x\"}",
                "__builtin_StringToFloat: strconv.ParseFloat: parsing \"x\": invalid syntax",
            ),
            ("${1 + bogus}", "1:6: unknown variable accessed: bogus"),
            ("${name.full-1}", "1:3: unknown variable accessed: name.full-1"),
            ("${\"${foo(1)}\"}", "1:6: unknown function called: foo"),
        ] {
            assert_eq!(filled(text).unwrap_err(), expected, "{text}");
        }
        for text in
            ["${}", "${1 +}", "${1 2}", "${(1}", "${1)}", "${match(1}", "${08}", "${\"", "${*1}"]
        {
            assert!(filled(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_nested_or_grows_without_end() {
        for open in ["(", "-", "\"${", "match("] {
            let text = format!("${{{}", open.repeat(10_000));
            assert_eq!(filled(&text).unwrap_err(), "nested too deep");
        }
        let long = format!("${{\"{}\"}}", "${name.full}".repeat(10_000));
        assert_eq!(filled(&long).unwrap_err(), "too large");
    }
}
