//! The configuration file: TOML, flat, one key per knob.

use std::path::Path;

use toml::{Table, Value};

use super::knob::{Knob, Shape};
use super::layer::Settings;
use super::settings::{Place, SettingError, shown};
use super::value::ValueError;

impl Settings {
    /// What the text of a configuration file says. `file` only names it in errors.
    ///
    /// # Errors
    /// [`SettingError`]: not TOML, a key that is no setting, or a value that is refused.
    pub fn from_file(file: &Path, text: &str) -> Result<Self, SettingError> {
        let table: Table = toml::from_str(text).map_err(|error| syntax(file, text, &error))?;
        let mut settings = Self::default();
        for (key, value) in &table {
            let knob = Knob::by_key(key)
                .filter(|knob| knob.shape != Shape::Secret)
                .ok_or_else(|| SettingError::UnknownKey {
                    file: file.to_owned(),
                    key: key.clone(),
                })?;
            settings.read_toml(knob, file, value)?;
        }
        Ok(settings)
    }

    fn read_toml(
        &mut self,
        knob: &'static Knob,
        file: &Path,
        value: &Value,
    ) -> Result<(), SettingError> {
        let place = || Place::File {
            file: file.to_owned(),
            key: knob.key.to_owned(),
        };
        let values = match (knob.shape, value) {
            (Shape::List(_), Value::Array(values)) => values.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for value in values {
            let text = scalar(knob, value).ok_or_else(|| SettingError::Value {
                place: place(),
                value: shown(&value.to_string()),
                problem: ValueError::Kind {
                    found: kind(value),
                    expected: expected(knob.shape),
                },
            })?;
            self.read(knob, place(), &text)?;
        }
        Ok(())
    }
}

/// The value as a flag's text would have it; none if it is of a kind that the knob has not.
fn scalar(knob: &Knob, value: &Value) -> Option<String> {
    match (knob.shape, value) {
        (Shape::Switch, Value::Boolean(yes)) => Some(yes.to_string()),
        (Shape::Value(_) | Shape::List(_), Value::String(text)) => Some(text.clone()),
        (Shape::Value(_), Value::Integer(number)) => Some(number.to_string()),
        _ => None,
    }
}

fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::Switch => "true or false",
        Shape::List(_) => "a string or an array of strings",
        Shape::Value(_) | Shape::Secret => "a string or a whole number",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> SettingError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    SettingError::Syntax {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or("").chars().count() + 1,
        problem: shown(
            &error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        ),
    }
}
