//! Inference through the host: `wasi_ephemeral_nn`.
//!
//! ```ignore
//! let graph = nearfield::wasi_nn::load_by_name("default")?;
//! let mut context = graph.context()?;
//! context.set_input(0, ElementType::U8, &[1, 192, 192, 3], &pixels)?;
//! context.compute()?;
//! let scores = context.get_output(0, 1001)?;
//! ```

use crate::error::Error;
use crate::host;
use crate::model::ElementType;

/// A loaded model. The host's handle is given back when it is dropped.
#[derive(Debug)]
pub struct Graph {
    handle: u32,
}

/// Inputs, outputs and working memory for running a graph. Given back to the host when it is dropped.
#[derive(Debug)]
pub struct Context {
    handle: u32,
}

/// Load the model that the operator gave this name.
///
/// # Errors
/// There is no such model, or the host cannot load it.
pub fn load_by_name(name: &str) -> Result<Graph, Error> {
    match host::nn_load_by_name(name) {
        Ok(handle) => Ok(Graph { handle }),
        Err(code) => Err(failure(&format!("model `{}`: cannot be loaded", name), code)),
    }
}

impl Graph {
    /// Make a context to run it in.
    ///
    /// # Errors
    /// The host has no room for another context.
    pub fn context(&self) -> Result<Context, Error> {
        match host::nn_context(self.handle) {
            Ok(handle) => Ok(Context { handle }),
            Err(code) => Err(failure("execution context: cannot be made", code)),
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        host::nn_unload(self.handle);
    }
}

impl Context {
    /// Set input `index`: `data` is the elements in row-major order, little-endian.
    ///
    /// # Errors
    /// The model has no such input, or type, shape or size are not what it expects.
    pub fn set_input(&mut self, index: u32, element: ElementType, shape: &[u32], data: &[u8]) -> Result<(), Error> {
        match host::nn_set_input(self.handle, index, element as u32, shape, data) {
            0 => Ok(()),
            code => Err(failure(
                &format!("input {}: {} bytes of {} refused", index, data.len(), element.name()),
                code,
            )),
        }
    }

    /// Run the model on the inputs set before. Blocks until it is done.
    ///
    /// # Errors
    /// An input was not set, or the backend failed.
    pub fn compute(&mut self) -> Result<(), Error> {
        match host::nn_compute(self.handle) {
            0 => Ok(()),
            code => Err(failure("the model did not run", code)),
        }
    }

    /// Bytes of output `index`, which has at most `max_bytes` of them, row-major, little-endian.
    ///
    /// # Errors
    /// The model has no such output, it is larger, or [`Context::compute`] did not succeed before.
    pub fn get_output(&self, index: u32, max_bytes: usize) -> Result<Vec<u8>, Error> {
        host::nn_get_output(self.handle, index, max_bytes)
            .map_err(|code| failure(&format!("output {}: cannot be read", index), code))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        host::nn_finalize(self.handle);
    }
}

/// The error numbers of wasi-nn, in words.
fn failure(what: &str, code: u32) -> Error {
    let reason = match code {
        1 => "invalid argument",
        2 => "invalid encoding",
        3 => "bad pointer",
        4 => "busy or failed",
        5 => "runtime error",
        6 => "unsupported operation",
        7 => "too large",
        8 => "not found",
        _ => "unknown error",
    };
    Error::new(format!("{}: {} (wasi-nn error {})", what, reason, code))
}
