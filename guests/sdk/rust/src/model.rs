//! The operator's models: their tensors and labels.

use crate::error::Error;
use crate::host;
use crate::wasi_nn::{self, Graph};

/// A model that the operator named in the workflow.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    /// The first input, which looking the model up has described already.
    first_input: Option<[u32; 12]>,
}

/// Look up a model by its name in the workflow; `default` is the first or only one.
///
/// # Errors
/// The operator gave no model of that name, or the host cannot load it: its log says which.
pub fn model(name: &str) -> Result<Model, Error> {
    // Every model has an input, so asking for it tells whether there is such a model.
    match host::model_tensor(name, host::INPUT, 0) {
        Err(host::NO_SUCH_MODEL) => Err(Error::new(format!(
            "model `{}`: the host has none that it can load; name it under `models` in the workflow",
            name
        ))),
        described => Ok(Model {
            name: name.to_owned(),
            first_input: described.ok(),
        }),
    }
}

impl Model {
    /// The name it was looked up by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Describe input tensor `index`.
    ///
    /// # Errors
    /// The model has no such input.
    pub fn input(&self, index: u32) -> Result<Tensor, Error> {
        match self.first_input {
            Some(words) if index == 0 => Ok(Tensor::from_words(words)),
            _ => self.tensor("input", host::INPUT, index),
        }
    }

    /// Describe output tensor `index`.
    ///
    /// # Errors
    /// The model has no such output.
    pub fn output(&self, index: u32) -> Result<Tensor, Error> {
        self.tensor("output", host::OUTPUT, index)
    }

    /// Label of class `index`, or `None` when the model has no labels or not that many.
    pub fn label(&self, index: u32) -> Option<String> {
        let label = host::model_label(&self.name, index)?;
        Some(String::from_utf8_lossy(&label).into_owned())
    }

    /// Load it for inference. The host keeps it loaded, so this costs a host call, not a model load.
    ///
    /// # Errors
    /// The host cannot load the model.
    pub fn graph(&self) -> Result<Graph, Error> {
        wasi_nn::load_by_name(&self.name)
    }

    fn tensor(&self, word: &str, direction: u32, index: u32) -> Result<Tensor, Error> {
        let words = host::model_tensor(&self.name, direction, index)
            .map_err(|_| Error::new(format!("model `{}`: has no {} {}", self.name, word, index)))?;
        Ok(Tensor::from_words(words))
    }
}

/// Type of a tensor's elements. Numbers as in `docs/abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ElementType {
    /// 16-bit float.
    F16 = 0,
    /// 32-bit float.
    F32 = 1,
    /// 64-bit float.
    F64 = 2,
    /// Unsigned byte.
    U8 = 3,
    /// Signed 32-bit integer.
    I32 = 4,
    /// Signed 64-bit integer.
    I64 = 5,
    /// Signed byte.
    I8 = 16,
    /// Signed 16-bit integer.
    I16 = 17,
    /// One byte, 0 or 1.
    Bool = 18,
    /// Anything else.
    Other = 255,
}

impl ElementType {
    fn from_number(number: u32) -> ElementType {
        match number {
            0 => ElementType::F16,
            1 => ElementType::F32,
            2 => ElementType::F64,
            3 => ElementType::U8,
            4 => ElementType::I32,
            5 => ElementType::I64,
            16 => ElementType::I8,
            17 => ElementType::I16,
            18 => ElementType::Bool,
            _ => ElementType::Other,
        }
    }

    /// Short name, such as `u8`.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F16 => "f16",
            ElementType::F32 => "f32",
            ElementType::F64 => "f64",
            ElementType::U8 => "u8",
            ElementType::I32 => "i32",
            ElementType::I64 => "i64",
            ElementType::I8 => "i8",
            ElementType::I16 => "i16",
            ElementType::Bool => "bool",
            ElementType::Other => "other",
        }
    }

    /// Size of one element in bytes; 0 for `Other`.
    pub fn size(self) -> usize {
        match self {
            ElementType::U8 | ElementType::I8 | ElementType::Bool => 1,
            ElementType::F16 | ElementType::I16 => 2,
            ElementType::F32 | ElementType::I32 => 4,
            ElementType::F64 | ElementType::I64 => 8,
            ElementType::Other => 0,
        }
    }
}

/// What an input or output of a model looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Type of its elements.
    pub element: ElementType,
    /// Size of each dimension, outermost first. At most 8 are described.
    pub shape: Vec<u32>,
    /// real value = `scale` * (stored - `zero_point`); 0 when the tensor is not quantised.
    pub scale: f32,
    /// Stored value that stands for 0.
    pub zero_point: i32,
}

impl Tensor {
    /// From the 12 words that the host writes: type, rank, dims[8], scale, zero point.
    fn from_words(words: [u32; 12]) -> Tensor {
        let rank = (words[1] as usize).min(8);
        Tensor {
            element: ElementType::from_number(words[0]),
            shape: words[2..2 + rank].to_vec(),
            scale: f32::from_bits(words[10]),
            zero_point: words[11] as i32,
        }
    }

    /// Number of elements; `None` when it does not fit.
    pub fn elements(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size as usize))
    }

    /// Shape and type as text, such as `(1, 192, 192, 3) u8`.
    pub fn describe(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(u32::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        format!("({}{}) {}", sizes.join(", "), comma, self.element.name())
    }
}
