//! Tensors in JSON: the names and datatypes of the KServe V2 protocol, data as a flat list in row-major order.
//!
//! JSON has no NaN and no infinities, so floating-point data may hold the strings `NaN`, `Infinity` and `-Infinity`.

use picket_engine::{Datatype, Tensor};
use serde::Deserialize;
use serde_json::{Number, Value};

/// Most elements of one tensor: 16 Mi.
const MAX_ELEMENTS: u64 = 1 << 24;
/// Most dimensions of one tensor.
const MAX_DIMENSIONS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTensor {
    name: String,
    datatype: String,
    shape: Vec<u64>,
    data: Vec<Value>,
}

/// What is wrong: the key inside the tensor, and a message.
type Wrong = (String, String);

impl RawTensor {
    pub(super) fn checked(self) -> Result<Tensor, Wrong> {
        if self.name.is_empty() || self.name.len() > super::MAX_ID_BYTES {
            return Err(("name".into(), format!("a name has 1 to {} bytes", super::MAX_ID_BYTES)));
        }
        let datatype = datatype(&self.datatype)
            .ok_or_else(|| ("datatype".to_owned(), format!("`{}` is not a KServe V2 datatype", self.datatype)))?;
        if self.shape.len() > MAX_DIMENSIONS {
            return Err(("shape".into(), format!("more than {MAX_DIMENSIONS} dimensions")));
        }
        let elements = self
            .shape
            .iter()
            .try_fold(1u64, |product, &dimension| product.checked_mul(dimension))
            .filter(|&elements| elements <= MAX_ELEMENTS)
            .ok_or_else(|| ("shape".to_owned(), format!("more than {MAX_ELEMENTS} elements")))?;
        if self.data.len() as u64 != elements {
            let message = format!("{} values for a shape of {elements}", self.data.len());
            return Err(("data".into(), message));
        }
        let mut data = Vec::with_capacity(self.data.len() * 4);
        for (index, value) in self.data.iter().enumerate() {
            element(datatype, value, &mut data)
                .ok_or_else(|| (format!("data[{index}]"), format!("{value} is not a {}", self.datatype)))?;
        }
        Ok(Tensor { name: self.name, datatype, shape: self.shape, data })
    }
}

const NAMES: [(&str, Datatype); 14] = [
    ("BOOL", Datatype::Bool),
    ("UINT8", Datatype::Uint8),
    ("UINT16", Datatype::Uint16),
    ("UINT32", Datatype::Uint32),
    ("UINT64", Datatype::Uint64),
    ("INT8", Datatype::Int8),
    ("INT16", Datatype::Int16),
    ("INT32", Datatype::Int32),
    ("INT64", Datatype::Int64),
    ("FP16", Datatype::Fp16),
    ("BF16", Datatype::Bf16),
    ("FP32", Datatype::Fp32),
    ("FP64", Datatype::Fp64),
    ("BYTES", Datatype::Bytes),
];

fn datatype(name: &str) -> Option<Datatype> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, datatype)| *datatype)
}

/// Appends one element in little-endian order; `None` if the value is none of the datatype.
fn element(datatype: Datatype, value: &Value, data: &mut Vec<u8>) -> Option<()> {
    match datatype {
        Datatype::Bool => data.push(u8::from(value.as_bool()?)),
        Datatype::Uint8 => data.push(u8::try_from(value.as_u64()?).ok()?),
        Datatype::Uint16 => data.extend(u16::try_from(value.as_u64()?).ok()?.to_le_bytes()),
        Datatype::Uint32 => data.extend(u32::try_from(value.as_u64()?).ok()?.to_le_bytes()),
        Datatype::Uint64 => data.extend(value.as_u64()?.to_le_bytes()),
        Datatype::Int8 => data.extend(i8::try_from(value.as_i64()?).ok()?.to_le_bytes()),
        Datatype::Int16 => data.extend(i16::try_from(value.as_i64()?).ok()?.to_le_bytes()),
        Datatype::Int32 => data.extend(i32::try_from(value.as_i64()?).ok()?.to_le_bytes()),
        Datatype::Int64 => data.extend(value.as_i64()?.to_le_bytes()),
        Datatype::Fp16 => data.extend(half::f16::from_f64(float(value)?).to_le_bytes()),
        Datatype::Bf16 => data.extend(half::bf16::from_f64(float(value)?).to_le_bytes()),
        Datatype::Fp32 => {
            #[expect(clippy::cast_possible_truncation, reason = "FP32 is what the caller asked for")]
            data.extend((float(value)? as f32).to_le_bytes());
        }
        Datatype::Fp64 => data.extend(float(value)?.to_le_bytes()),
        Datatype::Bytes => {
            let text = value.as_str()?;
            data.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
            data.extend(text.as_bytes());
        }
    }
    Some(())
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The elements of a numeric tensor as numbers, in order; nothing for `BYTES`.
pub(crate) fn numbers(tensor: &Tensor) -> impl Iterator<Item = f64> + '_ {
    let width = width(tensor.datatype);
    tensor.data.chunks_exact(width.unwrap_or(usize::MAX)).map(|bytes| number(tensor.datatype, bytes))
}

fn width(datatype: Datatype) -> Option<usize> {
    match datatype {
        Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => Some(1),
        Datatype::Uint16 | Datatype::Int16 | Datatype::Fp16 | Datatype::Bf16 => Some(2),
        Datatype::Uint32 | Datatype::Int32 | Datatype::Fp32 => Some(4),
        Datatype::Uint64 | Datatype::Int64 | Datatype::Fp64 => Some(8),
        Datatype::Bytes => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a measurement of a 64-bit integer is taken as a number")]
fn number(datatype: Datatype, bytes: &[u8]) -> f64 {
    let mut wide = [0u8; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let [a, b, c, d, ..] = wide;
    match datatype {
        Datatype::Bool | Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 | Datatype::Uint64 => {
            u64::from_le_bytes(wide) as f64
        }
        Datatype::Int8 => f64::from(i8::from_le_bytes([a])),
        Datatype::Int16 => f64::from(i16::from_le_bytes([a, b])),
        Datatype::Int32 => f64::from(i32::from_le_bytes([a, b, c, d])),
        Datatype::Int64 => i64::from_le_bytes(wide) as f64,
        Datatype::Fp16 => half::f16::from_le_bytes([a, b]).to_f64(),
        Datatype::Bf16 => half::bf16::from_le_bytes([a, b]).to_f64(),
        Datatype::Fp32 => f64::from(f32::from_le_bytes([a, b, c, d])),
        Datatype::Fp64 => f64::from_le_bytes(wide),
        Datatype::Bytes => f64::NAN,
    }
}

/// The same tensor as JSON again; the inverse of reading.
pub(super) fn to_json(tensor: &Tensor) -> Value {
    let data: Vec<Value> = match tensor.datatype {
        Datatype::Bytes => strings(&tensor.data).map(Value::String).collect(),
        Datatype::Bool => tensor.data.iter().map(|&byte| Value::Bool(byte != 0)).collect(),
        Datatype::Uint64 => {
            tensor.data.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes).into()).collect()
        }
        Datatype::Int64 => {
            tensor.data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes).into()).collect()
        }
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => numbers(tensor).map(float_json).collect(),
        #[expect(clippy::cast_possible_truncation, reason = "integers of at most 32 bits are exact in 64")]
        _ => numbers(tensor).map(|number| Value::from(number as i64)).collect(),
    };
    let name = NAMES.iter().find(|(_, datatype)| *datatype == tensor.datatype).map_or("", |(name, _)| name);
    serde_json::json!({ "name": tensor.name, "datatype": name, "shape": tensor.shape, "data": data })
}

/// A number, or its name where JSON has none for it.
pub(super) fn float_json(number: f64) -> Value {
    Number::from_f64(number).map_or_else(
        || {
            let name = match number {
                infinite if infinite == f64::INFINITY => "Infinity",
                infinite if infinite == f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            };
            Value::String(name.to_owned())
        },
        Value::Number,
    )
}

fn strings(mut data: &[u8]) -> impl Iterator<Item = String> + '_ {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let text = String::from_utf8_lossy(rest.get(..length)?).into_owned();
        data = &rest[length..];
        Some(text)
    })
}
