//! The frame being handled, and the frames sent in answer.

use crate::error::Error;
use crate::host;

/// The frame being handled.
///
/// A handle only: each method asks the host, and the payload is copied at every [`Frame::payload`], so call it once.
#[derive(Debug)]
pub struct Frame {
    // Made by the handler entry alone: outside of it there is no frame to ask for.
    pub(crate) _private: (),
}

impl Frame {
    /// The tag: what kind of data this is.
    pub fn tag(&self) -> u32 {
        host::frame_tag()
    }

    /// A copy of the payload, opaque bytes, possibly none.
    pub fn payload(&self) -> Vec<u8> {
        host::frame_payload()
    }

    /// Size of the payload in bytes, without copying it.
    pub fn payload_bytes(&self) -> usize {
        host::frame_size()
    }

    /// Name of the source where the frame began. Bytes that are not UTF-8 are replaced.
    pub fn origin(&self) -> String {
        String::from_utf8_lossy(&host::frame_origin()).into_owned()
    }

    /// Number that the origin gave the frame; counts up, and with the origin identifies the frame.
    pub fn sequence(&self) -> u64 {
        host::frame_sequence()
    }

    /// When the data was captured, in nanoseconds since the Unix epoch, by the origin's clock.
    pub fn captured_ns(&self) -> u64 {
        host::frame_captured_ns()
    }
}

/// Send a frame with this tag. It leaves the node only when the handler returns `Ok`.
///
/// # Errors
/// The operator does not allow the tag, or a limit (frames or bytes for each call) is used up.
pub fn emit(tag: u32, payload: &[u8]) -> Result<(), Error> {
    match host::emit(tag, payload) {
        0 => Ok(()),
        _ => Err(Error::new(format!(
            "tag {:#x}: the host refused a frame of {} bytes; the tag is not among `emit`, or a limit is used up",
            tag,
            payload.len()
        ))),
    }
}

/// As [`emit`], but for one source, which finds the frame among its results; sinks get it under this name as well.
///
/// # Errors
/// As [`emit`]; or `origin` is no name: 1 to 64 letters, digits, `-`, `_` or `.`, of which `-` and `.` not first.
pub fn emit_to(tag: u32, origin: &str, payload: &[u8]) -> Result<(), Error> {
    match host::emit_to(tag, origin, payload) {
        0 => Ok(()),
        _ => Err(Error::new(format!(
            "tag {:#x}: the host refused a frame of {} bytes for `{}`; that is no name of a source, the tag is not \
             among `emit`, or a limit is used up",
            tag,
            payload.len(),
            origin
        ))),
    }
}
