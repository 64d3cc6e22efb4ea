//! A node's answers as named values, in both dialects.

use crate::resp::Value;

use super::text;

/// The fields of a map, which RESP2 sends as names and values in turn.
pub struct Fields<'a>(pub Vec<(String, &'a Value)>);

impl<'a> Fields<'a> {
    /// Reads a map; none if it is not one.
    pub fn of(value: &'a Value) -> Option<Self> {
        let fields = match value {
            Value::Map(pairs) => pairs
                .iter()
                .map(|(name, value)| Some((scalar(name)?, value)))
                .collect(),
            Value::Array(flat) if flat.len().is_multiple_of(2) => flat
                .chunks_exact(2)
                .map(|pair| match pair {
                    [name, value] => Some((scalar(name)?, value)),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        fields.map(Self)
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        scalar(value)
    }

    /// The field as a table shows it.
    pub fn cell(&self, name: &str) -> String {
        let text = self.text(name).filter(|text| !text.is_empty());
        text.map_or("-".to_owned(), |text| text::line(&text))
    }

    /// A field that is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Whether a field says yes, in either dialect.
    pub fn is(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|yes| yes == "1" || yes == "true")
    }

    /// The maps that a field lists; none if one of them is not one.
    pub fn maps(&self, name: &str) -> Option<Vec<Fields<'a>>> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        items(value)?.iter().map(Fields::of).collect()
    }
}

/// The values of a list.
pub fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// A single value as text.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Simple(text) => Some(text.clone()),
        Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Double(number) => Some(number.to_string()),
        _ => None,
    }
}
