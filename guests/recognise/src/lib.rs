//! Stream function: what is on this JPEG?
//!
//! Takes a JPEG, has the host decode it to the size that the model `default` wants, runs the model, and emits the most
//! likely class on the next tag: `{"label":"hot dog","confidence":0.93,"index":935}`.

mod answer;
mod pixels;
mod scores;

use nearfield::image::decode_jpeg_rgb8;
use nearfield::{emit, model, ElementType, Error, Frame, Model, Tensor};

const MODEL: &str = "default";

nearfield::handler!(recognise);

fn recognise(frame: Frame) -> Result<(), Error> {
    let tag = frame.tag();
    let answer_tag = tag
        .checked_add(1)
        .ok_or_else(|| Error::new(format!("tag {:#x}: there is no next tag to answer on", tag)))?;
    let model = model(MODEL)?;
    let input = model.input(0)?;
    let output = model.output(0)?;
    let (width, height) = picture_size(&input)?;
    let classes = class_count(&output)?;

    let picture = decode_jpeg_rgb8(&frame.payload(), width, height)?;
    let stored = run(&model, &input, picture, classes * output.element.size())?;
    let scores = scores::real_values(&stored, kind_of(output.element), output.scale, output.zero_point);
    let best = scores::best(&scores, output.scale)
        .ok_or_else(|| Error::new(format!("model `{}`: output 0 has no finite number", MODEL)))?;

    let label = model.label(best.index as u32);
    emit(
        answer_tag,
        answer::json(label.as_deref(), best.confidence, best.index).as_bytes(),
    )
}

/// Width and height that the model wants. Errors: the input is no single RGB picture of a type we can fill.
fn picture_size(input: &Tensor) -> Result<(u32, u32), Error> {
    let fits = matches!(input.element, ElementType::U8 | ElementType::I8 | ElementType::F32);
    match input.shape[..] {
        [1, height, width, 3] if fits && height > 0 && width > 0 => Ok((width, height)),
        _ => Err(Error::new(format!(
            "model `{}`: input 0 has shape {}, expected (1, h, w, 3) u8, i8 or f32",
            MODEL,
            input.describe()
        ))),
    }
}

/// Number of classes. Errors: the output is no single row of scores of a type we can read.
fn class_count(output: &Tensor) -> Result<usize, Error> {
    let fits = matches!(output.element, ElementType::U8 | ElementType::I8 | ElementType::F32);
    match (output.shape.last(), output.elements()) {
        (Some(&last), Some(all)) if fits && last > 0 && last as usize == all => Ok(all),
        _ => Err(Error::new(format!(
            "model `{}`: output 0 has shape {}, expected (1, n) u8, i8 or f32",
            MODEL,
            output.describe()
        ))),
    }
}

/// The model's answer to `picture` (RGB bytes), as stored.
fn run(model: &Model, input: &Tensor, picture: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let data = match input.element {
        ElementType::I8 => pixels::to_i8(picture, input.scale, input.zero_point),
        ElementType::F32 => pixels::to_f32(&picture),
        _ => picture,
    };
    let named = |error: Error| Error::new(format!("model `{}`: {}", model.name(), error));
    let mut context = model.graph()?.context().map_err(named)?;
    context
        .set_input(0, input.element, &input.shape, &data)
        .map_err(named)?;
    context.compute().map_err(named)?;
    context.get_output(0, max_bytes).map_err(named)
}

fn kind_of(element: ElementType) -> scores::Stored {
    match element {
        ElementType::U8 => scores::Stored::U8,
        ElementType::I8 => scores::Stored::I8,
        _ => scores::Stored::F32,
    }
}
