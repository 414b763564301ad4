//! Hydra's configuration in a pickle: OmegaConf's nodes, and interpolations as `${task.obs_dim}`.

use super::expression;
use crate::import::pickle::{Id, Object, Pickle};
use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::rc::Rc;

/// Longest chain of interpolations.
const MAX_DEPTH: usize = 16;

/// Most interpolations of a configuration: one that is used twice, in one that is used twice, ..,
/// takes as many as 2 to the power of their number.
const MAX_INTERPOLATIONS: u32 = 1 << 14;

/// Longest text with its interpolations replaced, bytes.
const MAX_TEXT: usize = 1 << 12;

/// A plain value of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Value {
    /// The value of a number, or of a flag as Python counts it.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::None | Self::Text(_) => None,
        }
    }

    /// Whether Python takes it as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Text(text) => !text.is_empty(),
            _ => self.number() != Some(0.0),
        }
    }

    /// The value as Python prints it.
    fn text(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Node of the configuration: a plain object, or one of OmegaConf with `_content` or `_val`.
#[derive(Clone)]
pub(super) struct Node<'p> {
    pickle: &'p Pickle,
    root: Id,
    id: Id,
    /// Place in the configuration, for messages.
    path: String,
    depth: usize,
    /// Interpolations that may still be resolved, of all nodes of the configuration.
    interpolations_left: Rc<Cell<u32>>,
}

impl<'p> Node<'p> {
    /// The whole configuration.
    pub(super) fn root(pickle: &'p Pickle, id: Id) -> Self {
        Self {
            pickle,
            root: id,
            id,
            path: "cfg".to_owned(),
            depth: 0,
            interpolations_left: Rc::new(Cell::new(MAX_INTERPOLATIONS)),
        }
    }

    /// Attribute `name` of a node's object.
    fn kept(&self, name: &str) -> Option<Id> {
        match self.pickle.get(self.id) {
            Object::Call {
                state: Some(state), ..
            } => self.pickle.item(*state, name),
            _ => None,
        }
    }

    /// Entry `key`, or `None`.
    ///
    /// # Errors
    /// If an interpolation on the way can't be resolved.
    pub(super) fn find(&self, key: &str) -> Result<Option<Self>> {
        let content = self.kept("_content").unwrap_or(self.id);
        let found = match key.parse::<usize>() {
            Ok(index) if !self.pickle.elements(content).is_empty() => {
                self.pickle.elements(content).get(index).copied()
            }
            _ => self.pickle.item(content, key),
        };
        let Some(id) = found else {
            return Ok(None);
        };
        let path = format!("{}.{key}", self.path);
        let node = Self {
            id,
            path,
            ..self.clone()
        };
        node.followed().map(Some)
    }

    /// Entry `key`.
    ///
    /// # Errors
    /// If there is none, or an interpolation on the way can't be resolved.
    pub(super) fn child(&self, key: &str) -> Result<Self> {
        let found = self.find(key)?;
        found.with_context(|| format!("{} has no {key}", self.path))
    }

    /// The node that an interpolation of a whole node means; the node itself if it is none.
    fn followed(self) -> Result<Self> {
        match self.raw() {
            Object::Text(text) => match whole_interpolation(text) {
                Some(inner) if !inner.contains([':', '$']) => self.target(inner),
                _ => Ok(self),
            },
            _ => Ok(self),
        }
    }

    fn raw(&self) -> &'p Object {
        let own = self.kept("_val").or_else(|| self.kept("_content"));
        self.pickle.get(own.unwrap_or(self.id))
    }

    /// The node at the place that `${inner}` names.
    fn target(&self, inner: &str) -> Result<Self> {
        let problem = || format!("{}: ${{{inner}}} can't be resolved", self.path);
        let keys = inner.trim_start_matches('.');
        let n_dots = inner.len() - keys.len();
        let mut node = Self {
            id: self.root,
            path: "cfg".to_owned(),
            ..self.deeper()?
        };
        if n_dots > 0 {
            // Relative: one dot is the node's own parent.
            node.id = self.id;
            for _ in 0..n_dots {
                node.id = node.kept("_parent").with_context(problem)?;
            }
            node.path = format!("{}:{}", self.path, ".".repeat(n_dots));
        }
        let keys = keys.replace('[', ".").replace(']', "");
        for key in keys.split('.') {
            node = node.child(key).with_context(problem)?;
        }
        Ok(node)
    }

    /// Plain value, with its interpolations resolved.
    ///
    /// # Errors
    /// If it is none, or an interpolation can't be resolved.
    pub(super) fn value(&self) -> Result<Value> {
        match self.raw() {
            Object::None => Ok(Value::None),
            Object::Bool(value) => Ok(Value::Bool(*value)),
            Object::Int(value) => Ok(Value::Int(*value)),
            Object::Float(value) => Ok(Value::Float(*value)),
            Object::Text(text) => self.resolved(text),
            other => bail!("{} is {}, no plain value", self.path, other.kind()),
        }
    }

    fn resolved(&self, text: &str) -> Result<Value> {
        if let Some(inner) = whole_interpolation(text) {
            return self.interpolated(inner);
        }
        self.substituted(text).map(Value::Text)
    }

    /// Value of `${inner}`.
    fn interpolated(&self, inner: &str) -> Result<Value> {
        self.deeper()?.interpolated_here(inner)
    }

    /// The node, one interpolation further.
    fn deeper(&self) -> Result<Self> {
        ensure!(
            self.depth < MAX_DEPTH,
            "{}: more than {MAX_DEPTH} interpolations in each other",
            self.path
        );
        let left = self.interpolations_left.get().checked_sub(1);
        let left = left.with_context(|| {
            format!(
                "{}: more than {MAX_INTERPOLATIONS} interpolations",
                self.path
            )
        })?;
        self.interpolations_left.set(left);
        let depth = self.depth + 1;
        Ok(Self {
            depth,
            ..self.clone()
        })
    }

    fn interpolated_here(&self, inner: &str) -> Result<Value> {
        if let Some(expression) = inner.strip_prefix("eval:") {
            let expression = self.substituted(expression.trim())?;
            let quoted = ['\'', '"'].iter().find_map(|quote| {
                let inner = expression.strip_prefix(*quote)?.strip_suffix(*quote)?;
                (!inner.contains(*quote)).then_some(inner)
            });
            return expression::evaluate(quoted.unwrap_or(&expression))
                .with_context(|| self.path.clone());
        }
        let inner = self.substituted(inner)?;
        ensure!(
            !inner.contains(':'),
            "{}: ${{{inner}}} can't be resolved, only names and eval are supported",
            self.path
        );
        self.target(&inner)?.value()
    }

    /// `text` with each interpolation replaced by its value.
    fn substituted(&self, text: &str) -> Result<String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let inner = &rest[start + 2..];
            let len = closing(inner);
            let len = len.with_context(|| format!("{}: {text:?} has no }}", self.path))?;
            result += &rest[..start];
            result += &self.interpolated(&inner[..len])?.text();
            ensure!(
                result.len() <= MAX_TEXT,
                "{}: longer than {MAX_TEXT} bytes with its interpolations",
                self.path
            );
            rest = &inner[len + 1..];
        }
        Ok(result + rest)
    }

    fn wrong<T>(&self, value: &Value, what: &str) -> Result<T> {
        bail!("{} is {}, {what}", self.path, value.text())
    }

    fn size(&self) -> Result<usize> {
        match self.value()? {
            Value::Int(value) if value >= 0 => Ok(usize::try_from(value)?),
            other => self.wrong(&other, "no whole number from 0 on"),
        }
    }

    fn float(&self) -> Result<f32> {
        match self.value()? {
            Value::Float(value) => Ok(value as f32),
            Value::Int(value) => Ok(value as f32),
            other => self.wrong(&other, "no number"),
        }
    }

    /// Entry `key`, unless it is missing or null.
    fn given(&self, key: &str) -> Result<Option<Self>> {
        match self.find(key)? {
            Some(node) if matches!(node.raw(), Object::None) => Ok(None),
            Some(node) if matches!(node.raw(), Object::Text(_)) => {
                let is_null = node.value()? == Value::None;
                Ok((!is_null).then_some(node))
            }
            other => Ok(other),
        }
    }

    pub(super) fn int(&self, key: &str) -> Result<usize> {
        self.child(key)?.size()
    }

    pub(super) fn int_or(&self, key: &str, default: usize) -> Result<usize> {
        self.given(key)?.map_or(Ok(default), |node| node.size())
    }

    pub(super) fn float_or(&self, key: &str, default: f64) -> Result<f32> {
        let node = self.find(key)?;
        node.map_or(Ok(default as f32), |node| node.float())
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(node) = self.find(key)? else {
            return Ok(default);
        };
        match node.value()? {
            Value::Bool(value) => Ok(value),
            other => node.wrong(&other, "neither true nor false"),
        }
    }

    /// Text of entry `key`, unless it is missing or null.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let Some(node) = self.given(key)? else {
            return Ok(None);
        };
        match node.value()? {
            Value::Text(text) => Ok(Some(text)),
            other => node.wrong(&other, "no text"),
        }
    }

    pub(super) fn text_or(&self, key: &str, default: &str) -> Result<String> {
        Ok(self.text(key)?.unwrap_or_else(|| default.to_owned()))
    }

    /// Elements of a list node.
    fn elements(&self) -> Vec<Self> {
        let content = self.kept("_content").unwrap_or(self.id);
        let elements = self.pickle.elements(content).iter().enumerate();
        elements
            .map(|(index, id)| Self {
                id: *id,
                path: format!("{}[{index}]", self.path),
                ..self.clone()
            })
            .collect()
    }

    pub(super) fn ints(&self, key: &str) -> Result<Vec<usize>> {
        let list = self.child(key)?;
        list.elements().iter().map(Self::size).collect()
    }

    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        let Some(list) = self.given(key)? else {
            return Ok(None);
        };
        list.elements()
            .iter()
            .map(Self::float)
            .collect::<Result<_>>()
            .map(Some)
    }
}

/// What stands in `${..}` if the text is nothing else.
fn whole_interpolation(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    (closing(inner)? + 1 == inner.len()).then(|| &inner[..inner.len() - 1])
}

/// Index of the brace that closes an interpolation which `inner` follows.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 1;
    for (index, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [
            b"X",
            &(text.len() as u32).to_le_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    }

    /// A configuration with these texts.
    fn configuration(entries: &[(String, String)]) -> Pickle {
        let mut bytes = b"\x80\x02}(".to_vec();
        for (name, value) in entries {
            bytes.extend(text(name));
            bytes.extend(text(value));
        }
        bytes.extend(b"u.");
        Pickle::parse(&bytes).unwrap()
    }

    /// 2 KB took half a minute: every level names the one below eight times.
    #[test]
    fn interpolations_in_each_other_are_counted() {
        let mut entries = vec![("a0".to_owned(), String::new())];
        for level in 1..8 {
            let value = format!("${{a{}}}", level - 1).repeat(8);
            entries.push((format!("a{level}"), value));
        }
        let pickle = configuration(&entries);
        let node = Node::root(&pickle, pickle.root());
        assert_eq!(node.text("a3").unwrap(), Some(String::new()));
        let error = format!("{:#}", node.text("a7").unwrap_err());
        assert!(error.contains("more than 16384 interpolations"), "{error}");
    }

    #[test]
    fn a_text_that_grows_with_its_interpolations_is_refused() {
        let mut entries = vec![("a0".to_owned(), "x".repeat(100))];
        for level in 1..4 {
            let value = format!("${{a{}}}", level - 1).repeat(8);
            entries.push((format!("a{level}"), value));
        }
        let pickle = configuration(&entries);
        let node = Node::root(&pickle, pickle.root());
        assert_eq!(node.text("a1").unwrap().unwrap().len(), 800);
        let error = format!("{:#}", node.text("a3").unwrap_err());
        assert!(error.contains("longer than 4096 bytes"), "{error}");
    }

    #[test]
    fn an_interpolation_ends_at_its_own_brace() {
        assert_eq!(whole_interpolation("${a.b}"), Some("a.b"));
        assert_eq!(
            whole_interpolation("${eval:'${a}+${b}'}"),
            Some("eval:'${a}+${b}'")
        );
        assert_eq!(whole_interpolation("${a}${b}"), None);
        assert_eq!(whole_interpolation("${a"), None);
    }
}
