//! Write nearfield stream functions in Rust.
//!
//! A guest is a `cdylib` crate with one handler. The host calls it once for each frame, by default in a fresh sandbox,
//! so nothing survives from one frame to the next unless the operator chose `instance: worker`.
//!
//! ```ignore
//! use nearfield::{emit, Error, Frame};
//!
//! fn handle(frame: Frame) -> Result<(), Error> {
//!     let shouted = frame.payload().to_ascii_uppercase();
//!     emit(frame.tag() + 1, &shouted)
//! }
//!
//! nearfield::handler!(handle);
//! ```
//!
//! Build it for `wasm32-unknown-unknown` (smallest; nothing imported but what is used here) or for a WASI target.
//! The contract behind this crate is `docs/abi.md`, version 1.
//!
//! * [`Frame`]: the frame being handled. [`emit`]: send a frame; [`emit_to`]: to one source. [`log()`]: write a line to
//!   the host's log.
//! * [`model()`]: a model that the operator named: its tensors and labels.
//! * [`wasi_nn`]: run it. [`image`]: have the host decode a picture.
//!
//! All `unsafe` code of this crate is in one private module, `host`.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod error;
mod frame;
mod handler;
#[allow(unsafe_code)]
mod host;
pub mod image;
mod log;
mod model;
pub mod wasi_nn;

pub use crate::error::Error;
pub use crate::frame::{emit, emit_to, Frame};
pub use crate::log::{log, Level};
pub use crate::model::{model, ElementType, Model, Tensor};

/// What the code made by [`handler!`] calls; not for direct use.
#[doc(hidden)]
pub mod entry {
    pub use crate::handler::{observe, run};
}
