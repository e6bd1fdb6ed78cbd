//! A guest for wasmedge-bindgen hosts that carries a frozen TensorFlow graph, built with the real crates of generation A
//! (WasmEdge up to 0.12): shows that such guests run without a change.

#[allow(unused_imports)]
use wasmedge_bindgen::*;
use wasmedge_bindgen_macro::*;
use wasmedge_tensorflow_interface::{ModelType, Session};

// Input `x`, f32 (any, 4); output `y` = x * (1, 2, 3, 4); outputs `z:0` and `z:1`, its halves.
const MODEL: &[u8] = include_bytes!("../../bindgen-tensorflow-b/scaler.pb");

/// Four numbers in, f32, little-endian; `y` and then `z:1` out.
#[wasmedge_bindgen]
pub fn infer(data: Vec<u8>) -> Result<Vec<u8>, String> {
    let numbers: Vec<f32> = data
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect();
    if data.len() != 16 {
        return Err(format!("got {} bytes, expected 16: four numbers, f32", data.len()));
    }
    let mut session = Session::new(MODEL, ModelType::TensorFlow);
    session
        .add_input("x", &numbers, &[1, 4])
        .add_output("y")
        .add_output("z:1")
        .run();
    let mut scaled: Vec<f32> = session.get_output("y");
    let half: Vec<f32> = session.get_output("z:1");
    // This crate does not say that something failed: there is no output then.
    if scaled.is_empty() {
        return Err("the session failed; the host's log says why".to_string());
    }
    scaled.extend(half);
    Ok(scaled.iter().flat_map(|number| number.to_le_bytes()).collect())
}
