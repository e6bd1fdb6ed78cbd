//! The host's functions, behind safe ones. The only module of the crate with `unsafe` code.
//!
//! Why each call is sound: pointer and length always come from one live slice or buffer, the host reads or writes only
//! within that length (it promises so in `docs/abi.md`, and checks both against this memory), keeps no pointer after it
//! returned, and every bit pattern is a valid value of what it writes (bytes and integers).

/// `direction` of [`model_tensor`]: an input.
pub const INPUT: u32 = 0;
/// `direction` of [`model_tensor`]: an output.
pub const OUTPUT: u32 = 1;
/// Answer of [`model_tensor`]: there is no such model, or it cannot be loaded.
pub const NO_SUCH_MODEL: u32 = 2;

mod raw {
    #[link(wasm_import_module = "nearfield_v1")]
    extern "C" {
        pub fn frame_tag() -> u32;
        pub fn frame_size() -> u32;
        pub fn frame_read(to: *mut u8, limit: usize) -> u32;
        pub fn frame_origin(to: *mut u8, limit: usize) -> u32;
        pub fn frame_sequence() -> u64;
        pub fn frame_captured_ns() -> u64;
        pub fn emit(tag: u32, from: *const u8, size: usize) -> u32;
        pub fn emit_to(tag: u32, origin: *const u8, origin_size: usize, from: *const u8, size: usize) -> u32;
        pub fn fail(from: *const u8, size: usize);
        pub fn log(level: u32, from: *const u8, size: usize);
        pub fn observe(tag: u32);
        pub fn model_tensor(name: *const u8, name_size: usize, direction: u32, index: u32, to: *mut u32) -> u32;
        pub fn model_label(name: *const u8, name_size: usize, index: u32, to: *mut u8, limit: usize) -> i32;
    }

    #[link(wasm_import_module = "wasmedge_image")]
    extern "C" {
        pub fn load_jpg(
            from: *const u8,
            size: usize,
            width: u32,
            height: u32,
            pixel_type: u32,
            to: *mut u8,
            to_size: usize,
        ) -> u32;
    }

    #[link(wasm_import_module = "wasi_ephemeral_nn")]
    extern "C" {
        pub fn load_by_name(name: *const u8, name_size: usize, graph: *mut u32) -> u32;
        pub fn unload(graph: u32) -> u32;
        pub fn init_execution_context(graph: u32, context: *mut u32) -> u32;
        pub fn finalize_execution_context(context: u32) -> u32;
        pub fn set_input(context: u32, index: u32, tensor: *const super::TensorRecord) -> u32;
        pub fn compute(context: u32) -> u32;
        pub fn get_output(context: u32, index: u32, to: *mut u8, limit: usize, written: *mut usize) -> u32;
    }
}

/// wasi-nn's `tensor`, 20 bytes on wasm32. The type is one byte and three of padding there; a word writes all four.
#[repr(C)]
pub struct TensorRecord {
    dims: *const u32,
    dims_count: usize,
    element: u32,
    data: *const u8,
    data_size: usize,
}

pub fn frame_tag() -> u32 {
    unsafe { raw::frame_tag() }
}

pub fn frame_size() -> usize {
    unsafe { raw::frame_size() as usize }
}

pub fn frame_payload() -> Vec<u8> {
    read_all(frame_size(), |to, limit| unsafe { raw::frame_read(to, limit) })
}

pub fn frame_origin() -> Vec<u8> {
    let size = unsafe { raw::frame_origin(std::ptr::null_mut(), 0) as usize };
    read_all(size, |to, limit| unsafe { raw::frame_origin(to, limit) })
}

pub fn frame_sequence() -> u64 {
    unsafe { raw::frame_sequence() }
}

pub fn frame_captured_ns() -> u64 {
    unsafe { raw::frame_captured_ns() }
}

pub fn emit(tag: u32, payload: &[u8]) -> u32 {
    unsafe { raw::emit(tag, payload.as_ptr(), payload.len()) }
}

pub fn emit_to(tag: u32, origin: &str, payload: &[u8]) -> u32 {
    unsafe { raw::emit_to(tag, origin.as_ptr(), origin.len(), payload.as_ptr(), payload.len()) }
}

pub fn fail(reason: &str) {
    unsafe { raw::fail(reason.as_ptr(), reason.len()) }
}

pub fn log(level: u32, text: &str) {
    unsafe { raw::log(level, text.as_ptr(), text.len()) }
}

pub fn observe(tag: u32) {
    unsafe { raw::observe(tag) }
}

/// The 12 words that describe a tensor, or the host's error number.
pub fn model_tensor(name: &str, direction: u32, index: u32) -> Result<[u32; 12], u32> {
    let mut words = [0; 12];
    match unsafe { raw::model_tensor(name.as_ptr(), name.len(), direction, index, words.as_mut_ptr()) } {
        0 => Ok(words),
        code => Err(code),
    }
}

pub fn model_label(name: &str, index: u32) -> Option<Vec<u8>> {
    let ask = |to, limit| unsafe { raw::model_label(name.as_ptr(), name.len(), index, to, limit) };
    // Most labels fit in here, which saves asking for the size first.
    let mut likely = [0; 128];
    // -1 (none) becomes no size.
    let size = usize::try_from(ask(likely.as_mut_ptr(), likely.len())).ok()?;
    match likely.get(..size) {
        Some(label) => Some(label.to_vec()),
        None => Some(read_all(size, |to, limit| ask(to, limit) as u32)),
    }
}

pub fn load_jpg_rgb8(jpeg: &[u8], width: u32, height: u32, pixels: &mut [u8]) -> u32 {
    const RGB8: u32 = 0;
    unsafe {
        raw::load_jpg(
            jpeg.as_ptr(),
            jpeg.len(),
            width,
            height,
            RGB8,
            pixels.as_mut_ptr(),
            pixels.len(),
        )
    }
}

pub fn nn_load_by_name(name: &str) -> Result<u32, u32> {
    let mut graph = 0;
    match unsafe { raw::load_by_name(name.as_ptr(), name.len(), &mut graph) } {
        0 => Ok(graph),
        code => Err(code),
    }
}

pub fn nn_unload(graph: u32) {
    // An error would only say that the handle is unknown, which nobody can act on while dropping it.
    let _ = unsafe { raw::unload(graph) };
}

pub fn nn_context(graph: u32) -> Result<u32, u32> {
    let mut context = 0;
    match unsafe { raw::init_execution_context(graph, &mut context) } {
        0 => Ok(context),
        code => Err(code),
    }
}

pub fn nn_finalize(context: u32) {
    // As in `nn_unload`.
    let _ = unsafe { raw::finalize_execution_context(context) };
}

pub fn nn_set_input(context: u32, index: u32, element: u32, dims: &[u32], data: &[u8]) -> u32 {
    let tensor = TensorRecord {
        dims: dims.as_ptr(),
        dims_count: dims.len(),
        element,
        data: data.as_ptr(),
        data_size: data.len(),
    };
    unsafe { raw::set_input(context, index, &tensor) }
}

pub fn nn_compute(context: u32) -> u32 {
    unsafe { raw::compute(context) }
}

pub fn nn_get_output(context: u32, index: u32, max_bytes: usize) -> Result<Vec<u8>, u32> {
    let mut bytes = vec![0; max_bytes];
    let mut written = 0;
    match unsafe { raw::get_output(context, index, bytes.as_mut_ptr(), bytes.len(), &mut written) } {
        0 => {
            bytes.truncate(written);
            Ok(bytes)
        }
        code => Err(code),
    }
}

/// Read `size` bytes by the reading rule: `ask` returns the full size, and copies when that is at most the limit.
fn read_all(size: usize, ask: impl Fn(*mut u8, usize) -> u32) -> Vec<u8> {
    let mut bytes = vec![0; size];
    if size > 0 {
        // The host answers the same size within one call of the handler; truncating covers a host that does not.
        let answered = ask(bytes.as_mut_ptr(), size) as usize;
        bytes.truncate(answered);
    }
    bytes
}
