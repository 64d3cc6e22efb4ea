//! What a request may be of, at most. Whoever takes one checks it here, before anything is written.

use super::elements::ELEMENTS_MAX;
use super::refusal::RequestError;
use crate::object::{ELEMENT_NAME_BYTES_MAX, VALUE_BYTES_MAX};

/// Refuses a value of more bytes than any may have.
pub fn check_value(length: usize) -> Result<(), RequestError> {
    let limit = VALUE_BYTES_MAX;
    match length > limit {
        true => Err(RequestError::ValueTooLong { length, limit }),
        false => Ok(()),
    }
}

/// Refuses an element whose row would have a name of so many bytes.
pub fn check_element_row(length: usize) -> Result<(), RequestError> {
    let limit = ELEMENT_NAME_BYTES_MAX;
    match length > limit {
        true => Err(RequestError::ElementTooLong { length, limit }),
        false => Ok(()),
    }
}

/// Refuses more elements than go in one step.
pub fn check_elements(count: usize) -> Result<(), RequestError> {
    let limit = ELEMENTS_MAX;
    match count > limit {
        true => Err(RequestError::TooManyElements { count, limit }),
        false => Ok(()),
    }
}
