//! Python expressions as diffusion_policy's configurations have them in `${eval:..}`: numbers,
//! texts, arithmetic, comparisons, `and`, `or`, `not` and `.. if .. else ..`.

use super::hydra::Value;
use anyhow::{Context, Result, bail, ensure};

/// Deepest nesting of parentheses and conditions.
const MAX_DEPTH: usize = 32;

/// Value of `text`.
///
/// # Errors
/// If it has other parts than those above; the error has the text.
pub(super) fn evaluate(text: &str) -> Result<Value> {
    let context = || format!("the expression {text:?}");
    let tokens = tokens(text).with_context(context)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let value = parser.conditional().with_context(context)?;
    ensure!(
        parser.at == tokens.len(),
        "the expression {text:?} has more than one value"
    );
    Ok(value)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(Value),
    /// Operator, parenthesis or keyword.
    Symbol(String),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    const KEYWORDS: [&str; 5] = ["and", "or", "not", "if", "else"];
    const SYMBOLS: [&str; 14] = [
        "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "(", ")", "<", ">",
    ];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if first.is_ascii_alphabetic() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
            tokens.push(match word {
                "None" | "null" => Token::Value(Value::None),
                "True" | "true" => Token::Value(Value::Bool(true)),
                "False" | "false" => Token::Value(Value::Bool(false)),
                _ if KEYWORDS.contains(&word) => Token::Symbol(word.to_owned()),
                _ => bail!("{word:?} is not supported"),
            });
            word.len()
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_ascii_digit() || c == '.';
            let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
            tokens.push(Token::Value(match word.parse() {
                Ok(int) => Value::Int(int),
                Err(_) => Value::Float(word.parse().with_context(|| word.to_owned())?),
            }));
            word.len()
        } else if matches!(first, '"' | '\'') {
            let end = rest[1..].find(first).context("a text without its end")?;
            tokens.push(Token::Value(Value::Text(rest[1..=end].to_owned())));
            end + 2
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.with_context(|| format!("{first:?} is not supported"))?;
            tokens.push(Token::Symbol((*symbol).to_owned()));
            symbol.len()
        };
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

/// Recursive descent, one method per precedence.
struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Consumes the next token if it is one of `symbols`.
    fn take(&mut self, symbols: &[&str]) -> Option<String> {
        match self.tokens.get(self.at) {
            Some(Token::Symbol(symbol)) if symbols.contains(&symbol.as_str()) => {
                self.at += 1;
                Some(symbol.clone())
            }
            _ => None,
        }
    }

    /// `value if condition else other`.
    fn conditional(&mut self) -> Result<Value> {
        self.depth += 1;
        ensure!(self.depth <= MAX_DEPTH, "nested too deep");
        let value = self.either()?;
        let value = match self.take(&["if"]) {
            None => value,
            Some(_) => {
                let condition = self.either()?;
                self.take(&["else"]).context("an if without else")?;
                let other = self.conditional()?;
                if condition.is_true() { value } else { other }
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn either(&mut self) -> Result<Value> {
        let mut value = self.both()?;
        while self.take(&["or"]).is_some() {
            let other = self.both()?;
            value = if value.is_true() { value } else { other };
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<Value> {
        let mut value = self.negated()?;
        while self.take(&["and"]).is_some() {
            let other = self.negated()?;
            value = if value.is_true() { other } else { value };
        }
        Ok(value)
    }

    fn negated(&mut self) -> Result<Value> {
        let mut n_nots = 0;
        while self.take(&["not"]).is_some() {
            n_nots += 1;
        }
        let value = self.compared()?;
        Ok(match n_nots {
            0 => value,
            n => Value::Bool(value.is_true() == (n % 2 == 0)),
        })
    }

    fn compared(&mut self) -> Result<Value> {
        let left = self.sum()?;
        let Some(symbol) = self.take(&["==", "!=", "<=", ">=", "<", ">"]) else {
            return Ok(left);
        };
        let right = self.sum()?;
        let is_equal = match (left.number(), right.number()) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        };
        Ok(Value::Bool(
            match (symbol.as_str(), left.number(), right.number()) {
                ("==", ..) => is_equal,
                ("!=", ..) => !is_equal,
                ("<=", Some(left), Some(right)) => left <= right,
                (">=", Some(left), Some(right)) => left >= right,
                ("<", Some(left), Some(right)) => left < right,
                (">", Some(left), Some(right)) => left > right,
                _ => bail!("{symbol} between {left:?} and {right:?}"),
            },
        ))
    }

    fn sum(&mut self) -> Result<Value> {
        let mut value = self.product()?;
        while let Some(symbol) = self.take(&["+", "-"]) {
            value = computed(&symbol, &value, &self.product()?)?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Value> {
        let mut value = self.atom()?;
        while let Some(symbol) = self.take(&["*", "/", "//", "%"]) {
            value = computed(&symbol, &value, &self.atom()?)?;
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<Value> {
        let mut is_negative = false;
        while let Some(sign) = self.take(&["-", "+"]) {
            is_negative ^= sign == "-";
        }
        let value = if self.take(&["("]).is_some() {
            let value = self.conditional()?;
            self.take(&[")"]).context("a parenthesis without its end")?;
            value
        } else {
            let Some(Token::Value(value)) = self.tokens.get(self.at) else {
                bail!("a value is missing");
            };
            self.at += 1;
            value.clone()
        };
        match is_negative {
            true => computed("-", &Value::Int(0), &value),
            false => Ok(value),
        }
    }
}

fn computed(symbol: &str, left: &Value, right: &Value) -> Result<Value> {
    let unfit = || format!("{symbol} between {left:?} and {right:?}");
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        let value = match symbol {
            "+" => left.checked_add(*right),
            "-" => left.checked_sub(*right),
            "*" => left.checked_mul(*right),
            // Python rounds down; signs are equal where it and Euclid agree.
            "//" if *right > 0 => left.checked_div_euclid(*right),
            "%" if *right > 0 => left.checked_rem_euclid(*right),
            "/" if *right != 0 => return Ok(Value::Float(*left as f64 / *right as f64)),
            _ => None,
        };
        return value.map(Value::Int).with_context(unfit);
    }
    let (left, right) = left.number().zip(right.number()).with_context(unfit)?;
    Ok(Value::Float(match symbol {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" if right != 0.0 => left / right,
        _ => bail!(unfit()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_means_what_python_says() {
        let cases = [
            ("8+1", Value::Int(9)),
            ("20*2 if True else None", Value::Int(40)),
            ("2 if False or False else 20 + 2", Value::Int(22)),
            ("None", Value::None),
            ("500 if \"mh\" == \"mh\" else 400", Value::Int(500)),
            ("not 1 and 2", Value::Bool(false)),
            ("-(3 - 5) * 7 // 4 % 2", Value::Int(1)),
            ("7 / 2", Value::Float(3.5)),
            ("1 < 2", Value::Bool(true)),
        ];
        for (text, value) in cases {
            assert_eq!(evaluate(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_such_expression_is_refused_with_its_text() {
        let deep = "(".repeat(1000);
        for text in [
            "",
            "1 +",
            "os.system('x')",
            "1 2",
            "1 if 2",
            "'",
            "1/0",
            "é",
            &deep,
        ] {
            let error = format!("{:#}", evaluate(text).unwrap_err());
            assert!(error.contains("expression"), "{text}: {error}");
        }
    }
}
