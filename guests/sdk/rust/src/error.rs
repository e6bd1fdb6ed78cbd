//! The one error type of the crate.

use std::fmt;

/// Why a frame could not be handled, as a sentence for the operator.
///
/// Form: `what: got X, expected Y; hint`, lower case, names in backticks, units always. A handler that returns one
/// fails its frame, and the text appears in the host's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    /// An error with this text. The host keeps at most 1,024 bytes of it.
    pub fn new(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(message: String) -> Error {
        Error { message }
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Error {
        Error::new(message)
    }
}
