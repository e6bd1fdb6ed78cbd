//! A guest for wasmedge-bindgen hosts of the time before 0.4, built with its real crates: shows that such guests run without a change.

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

/// Whole quotient, quotient, and the division as text: three values.
#[wasmedge_bindgen]
pub fn divide(dividend: u32, divisor: u32) -> Result<(u32, f64, String), String> {
    if divisor == 0 {
        return Err("divisor: got 0".to_string());
    }
    Ok((dividend / divisor, dividend as f64 / divisor as f64, format!("{}/{}", dividend, divisor)))
}
