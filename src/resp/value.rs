//! What a frame says once it is off the wire.

use bytes::Bytes;

/// The dialect of a connection; `HELLO` changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2: simple strings, errors, integers, bulks, arrays and null.
    #[default]
    Resp2,
    /// RESP3: adds maps, sets, booleans, doubles and more.
    Resp3,
}

impl Protocol {
    /// The number that `HELLO` uses for it.
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// One reply. Types that RESP2 lacks are written there as the nearest type that it has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A short text without line breaks, such as `OK`.
    Simple(String),
    /// An error: a code in capitals, a space, and what was wrong.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// Any bytes.
    Bulk(Bytes),
    /// Nothing: a missing key. Both of RESP2's nulls (bulk and array) are read as this one.
    Null,
    /// True or false; 1 or 0 in RESP2.
    Boolean(bool),
    /// A floating point number; a bulk in RESP2.
    Double(f64),
    /// A whole number of any size, as decimal digits; a bulk in RESP2.
    BigNumber(String),
    /// Text with a three-letter format, such as `txt` or `mkd`; a bulk in RESP2.
    Verbatim {
        /// The format.
        format: [u8; 3],
        /// The text.
        text: Bytes,
    },
    /// Values in order.
    Array(Vec<Value>),
    /// Values without an order; an array in RESP2.
    Set(Vec<Value>),
    /// A message that answers no request; an array in RESP2.
    Push(Vec<Value>),
    /// Pairs; an array of keys and values in turn in RESP2.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// A simple string.
    pub fn simple(text: impl Into<String>) -> Self {
        Self::Simple(text.into())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// An error; `text` begins with its code.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// The bytes of a bulk, simple or verbatim string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The pairs of a map, or of an array that RESP2 has in its place (an even number of
    /// elements, keys and values in turn). This is how a client reads both dialects alike.
    pub fn into_pairs(self) -> Option<Vec<(Value, Value)>> {
        match self {
            Self::Map(pairs) => Some(pairs),
            Self::Array(items) if items.len() % 2 == 0 => {
                let mut pairs = Vec::with_capacity(items.len() / 2);
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Some(pairs)
            }
            _ => None,
        }
    }
}
