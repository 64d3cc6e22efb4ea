//! What the database says when something fails, in the engine's words.

use std::error::Error;
use std::io;

use crate::store::engine::EngineError;

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Poisoned => return Self::Failed,
            // By this process: another one has been refused before the database was asked.
            fjall::Error::Locked => {
                return Self::Io {
                    what: "database is open already".to_owned(),
                    source: io::ErrorKind::WouldBlock.into(),
                };
            }
            _ => {}
        }
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            let source = error.downcast_ref::<io::Error>();
            // A missing file, or a place beyond a file's end, is damage of what is there and no
            // failure of the system that reads it.
            let of_damage = |e: &&io::Error| {
                matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                )
            };
            let source = source.filter(|source| !of_damage(source));
            if let Some(code) = source.and_then(io::Error::raw_os_error) {
                return Self::Io {
                    what: "database".to_owned(),
                    source: io::Error::from_raw_os_error(code),
                };
            }
            cause = error.source();
        }
        Self::Database(error.to_string())
    }
}
