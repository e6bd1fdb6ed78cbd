//! The exported entry points.

use std::fmt::Display;

use crate::frame::Frame;
use crate::host;
use crate::log::{log, Level};

/// Export `handler` as the function that the host calls for each frame.
///
/// `handler` is a `fn(Frame) -> Result<(), E>` where `E` can be displayed: [`Error`](crate::Error), `String`, `&str`.
/// `Err` fails the frame and its text is reported. A panic is logged with its place and traps.
///
/// ```ignore
/// nearfield::handler!(handle);
/// nearfield::handler!(handle, observe: [0x10, 0x12]); // tags to ask for when the operator names none
/// ```
#[macro_export]
macro_rules! handler {
    ($handler:path) => {
        /// Called by the host once for each frame. 0: done; 1: the frame failed.
        #[no_mangle]
        pub extern "C" fn nearfield_handle() -> i32 {
            $crate::entry::run($handler)
        }
    };
    ($handler:path, observe: [$($tag:expr),+ $(,)?]) => {
        $crate::handler!($handler);

        /// Called by the host once when it loads the guest.
        #[no_mangle]
        pub extern "C" fn nearfield_observe() {
            $($crate::entry::observe($tag);)+
        }
    };
}

/// Handle the current frame and give the host its answer: 0 done, 1 failed.
pub fn run<E: Display>(handler: fn(Frame) -> Result<(), E>) -> i32 {
    // Without this a panic would be a bare trap.
    // Newer compilers write the place and the reason on two lines.
    std::panic::set_hook(Box::new(|panic| {
        log(Level::Error, &panic.to_string().replace('\n', " "))
    }));
    match handler(Frame { _private: () }) {
        Ok(()) => 0,
        Err(error) => {
            host::fail(&error.to_string());
            1
        }
    }
}

/// Ask for frames with this tag; counts only while `nearfield_observe` runs.
pub fn observe(tag: u32) {
    host::observe(tag);
}
