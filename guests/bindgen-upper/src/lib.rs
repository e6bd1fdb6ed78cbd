//! A guest for wasmedge-bindgen hosts, built with its real crates: shows that such guests run without a change.

#[allow(unused_imports)]
use wasmedge_bindgen::*;
use wasmedge_bindgen_macro::*;

/// The payload with ASCII letters in upper case. An empty payload is an error.
#[wasmedge_bindgen]
pub fn infer(image_data: Vec<u8>) -> Result<Vec<u8>, String> {
    if image_data.is_empty() {
        return Err("payload: got 0 bytes, expected some text".to_string());
    }
    Ok(image_data.to_ascii_uppercase())
}
