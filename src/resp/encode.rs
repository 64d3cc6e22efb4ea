//! Values and requests as bytes.

use bytes::{BufMut, BytesMut};

use super::number::{put_i64, put_u64};
use super::value::{Protocol, Value};

const LINE_END: &[u8] = b"\r\n";

/// Appends `value` to `out` in the given dialect. Types that RESP2 lacks become the
/// nearest type that it has, as [`Value`] says of each.
///
/// Recursion is as deep as the value; values are built by this program or were bounded
/// by [`NESTING_MAX`](super::NESTING_MAX) when they were decoded.
pub fn encode(value: &Value, protocol: Protocol, out: &mut BytesMut) {
    let resp3 = protocol == Protocol::Resp3;
    match value {
        Value::Simple(text) => encode_simple(text, out),
        Value::Error(text) => encode_error(text, out),
        Value::Integer(value) => encode_integer(*value, out),
        Value::Bulk(bytes) => encode_bulk(bytes, out),
        Value::Null => encode_null(protocol, out),
        Value::Boolean(value) if resp3 => {
            out.extend_from_slice(if *value { b"#t\r\n" } else { b"#f\r\n" });
        }
        Value::Boolean(value) => encode_integer(i64::from(*value), out),
        Value::Double(value) if resp3 => line(b',', &double(*value), out),
        Value::Double(value) => encode_bulk(double(*value).as_bytes(), out),
        Value::BigNumber(digits) if resp3 => line(b'(', digits, out),
        Value::BigNumber(digits) => encode_bulk(digits.as_bytes(), out),
        Value::Verbatim { format, text } if resp3 => encode_verbatim(*format, text, out),
        Value::Verbatim { text, .. } => encode_bulk(text, out),
        Value::Array(items) => sequence(b'*', items, protocol, out),
        Value::Set(items) => sequence(if resp3 { b'~' } else { b'*' }, items, protocol, out),
        Value::Push(items) => sequence(if resp3 { b'>' } else { b'*' }, items, protocol, out),
        Value::Map(pairs) => encode_map(pairs, protocol, out),
    }
}

/// Appends a simple string. Line breaks in `text` would end the frame early, so they are
/// written as blanks.
pub fn encode_simple(text: &str, out: &mut BytesMut) {
    line(b'+', text, out);
}

/// Appends an error; `text` begins with its code. Line breaks are written as blanks.
pub fn encode_error(text: &str, out: &mut BytesMut) {
    line(b'-', text, out);
}

/// Appends an integer.
pub fn encode_integer(value: i64, out: &mut BytesMut) {
    out.put_u8(b':');
    put_i64(value, out);
    out.extend_from_slice(LINE_END);
}

/// Appends a bulk string.
pub fn encode_bulk(bytes: &[u8], out: &mut BytesMut) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(LINE_END);
}

/// Appends a null.
pub fn encode_null(protocol: Protocol, out: &mut BytesMut) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// Appends the null that stands for an array. RESP2 has one of its own for that.
pub fn encode_null_array(protocol: Protocol, out: &mut BytesMut) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// Appends the header of an array; `len` values must follow. For replies that are
/// written as they are found.
pub fn encode_array_header(len: usize, out: &mut BytesMut) {
    header(b'*', len, out);
}

/// Appends a request: an array of bulks, the same in both dialects.
pub fn encode_request<A: AsRef<[u8]>>(args: &[A], out: &mut BytesMut) {
    header(b'*', args.len(), out);
    for arg in args {
        encode_bulk(arg.as_ref(), out);
    }
}

fn encode_verbatim(format: [u8; 3], text: &[u8], out: &mut BytesMut) {
    header(b'=', text.len().saturating_add(4), out);
    out.extend_from_slice(&format);
    out.put_u8(b':');
    out.extend_from_slice(text);
    out.extend_from_slice(LINE_END);
}

fn encode_map(pairs: &[(Value, Value)], protocol: Protocol, out: &mut BytesMut) {
    match protocol {
        Protocol::Resp2 => header(b'*', pairs.len().saturating_mul(2), out),
        Protocol::Resp3 => header(b'%', pairs.len(), out),
    }
    for (key, value) in pairs {
        encode(key, protocol, out);
        encode(value, protocol, out);
    }
}

fn sequence(kind: u8, items: &[Value], protocol: Protocol, out: &mut BytesMut) {
    header(kind, items.len(), out);
    for item in items {
        encode(item, protocol, out);
    }
}

fn header(kind: u8, len: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    put_u64(len as u64, out);
    out.extend_from_slice(LINE_END);
}

fn line(kind: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
        out.extend(text.bytes().map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        }));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(LINE_END);
}

/// The shortest decimal that reads back as the same number; `inf`, `-inf`, `nan`.
fn double(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else {
        value.to_string()
    }
}
