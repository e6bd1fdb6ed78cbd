//! A guest for wasmedge-bindgen hosts that carries its model, built with the real crates of generation A
//! (WasmEdge up to 0.12): shows that such guests run without a change.

#[allow(unused_imports)]
use wasmedge_bindgen::*;
use wasmedge_bindgen_macro::*;
use wasmedge_tensorflow_interface::{load_jpg_image_to_rgb8, ModelType, Session};

const MODEL: &[u8] = include_bytes!("../../../src/nearfield/assets/factory_line/parts.tflite");
const LABELS: &str = include_str!("../../../src/nearfield/assets/factory_line/labels.txt");
// Names, size and quantisation as in that model.
const INPUT: &str = "serving_default_pixels:0";
const OUTPUT: &str = "StatefulPartitionedCall_1:0";
const SIDE: u32 = 96;
const STEPS: f32 = 256.0;

/// What is on this JPEG? `{"label":"gear","confidence":0.9766,"index":4}`
#[wasmedge_bindgen]
pub fn infer(image_data: Vec<u8>) -> Result<Vec<u8>, String> {
    // This crate ignores the host's error code: a picture that cannot be decoded comes back black.
    let picture = load_jpg_image_to_rgb8(&image_data, SIDE, SIDE);
    if picture.iter().all(|&byte| byte == 0) {
        return Err("payload is black, or no JPEG the host could decode".to_string());
    }
    let side = i64::from(SIDE);
    let mut session = Session::new(MODEL, ModelType::TensorFlowLite);
    session.add_input(INPUT, &picture, &[1, side, side, 3]).run();
    let scores: Vec<u8> = session.get_output(OUTPUT);
    answer(&scores)
}

/// The most likely class, the first of equals, as JSON. The labels need no escaping.
fn answer(scores: &[u8]) -> Result<Vec<u8>, String> {
    let best = (0..scores.len()).rev().max_by_key(|&index| scores[index]);
    let index = best.ok_or_else(|| format!("model: no output `{}`", OUTPUT))?;
    let label = LABELS.lines().nth(index).unwrap_or("?");
    let confidence = f32::from(scores[index]) / STEPS;
    Ok(format!(
        r#"{{"label":"{}","confidence":{:.4},"index":{}}}"#,
        label, confidence, index
    )
    .into_bytes())
}
