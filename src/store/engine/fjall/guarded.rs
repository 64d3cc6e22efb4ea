//! Calls into the database that must not take the process along.
//!
//! fjall 3.1 trusts lengths and invariants of some of its files: on a damaged one an opening or
//! a read may panic. Below here such a panic is an error like any other, "cannot be opened",
//! and is not printed as a bug of this program. Only for what runs before anything else does,
//! or beside it on a database of its own: the caller drops what it had of the database.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::store::engine::EngineError;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`; a panic of it is an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    silence();
    let outer = IS_GUARDED.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(outer);
    done.unwrap_or_else(|panic| Err(EngineError::Database(words(panic.as_ref()))))
}

/// Has panics of guarded calls, and no others, not printed.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                before(info);
            }
        }));
    });
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "for no reason given".to_owned());
    format!("gave up on a damaged file: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let error = guarded::<()>(|| panic!("length of {}", 7)).unwrap_err();
        assert!(error.to_string().contains("length of 7"), "{error}");
        assert!(guarded(|| Ok(1)).is_ok());
    }
}
