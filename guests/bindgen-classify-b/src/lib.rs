//! A guest for wasmedge-bindgen hosts that carries its model, built with the real crates of generation B
//! (WasmEdge since 0.13): shows that such guests run without a change.

#[allow(unused_imports)]
use wasmedge_bindgen::*;
use wasmedge_bindgen_macro::*;
use wasmedge_tensorflow_interface::{load_jpg_image_to_rgb8, TFLiteSession};

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
    // This crate panics when the picture cannot be decoded.
    let picture = load_jpg_image_to_rgb8(&image_data, SIDE, SIDE);
    let mut session = TFLiteSession::new(MODEL);
    session.add_input(INPUT, &picture).run();
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
