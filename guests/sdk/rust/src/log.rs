//! Lines for the host's log.

use crate::host;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// For the guest's author.
    Debug = 0,
    /// Normal operation.
    Info = 1,
    /// Something to look at.
    Warning = 2,
    /// Something failed.
    Error = 3,
}

/// Write one line to the host's log. The host removes control characters, shortens long lines and bounds their number.
pub fn log(level: Level, text: &str) {
    host::log(level as u32, text);
}
