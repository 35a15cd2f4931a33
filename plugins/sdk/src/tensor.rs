//! Reading tensors: names and sizes of datatypes, and elements.

use half::{bf16, f16};

use crate::types::{Datatype, Tensor};

impl Datatype {
    /// The name in the KServe V2 protocol, such as `FP32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes of one element; `None` for BYTES, whose elements differ.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether NaN and infinities can occur.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

impl Tensor {
    /// How many elements the shape says; 1 for a scalar. `None` when that does not fit 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension))
    }

    /// Calls `visit` with index and value of each element, in row-major order, until it returns false. A `false` or
    /// `true` is 0 or 1; INT64 and UINT64 are rounded to the nearest double. Does nothing for BYTES. Bytes behind the
    /// last whole element are not looked at.
    pub fn for_each_number(&self, visit: impl FnMut(usize, f64) -> bool) {
        let data = &self.data;
        match self.datatype {
            Datatype::Bool => each(data, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0)), visit),
            Datatype::Uint8 => each(data, |bytes| f64::from(u8::from_le_bytes(bytes)), visit),
            Datatype::Uint16 => each(data, |bytes| f64::from(u16::from_le_bytes(bytes)), visit),
            Datatype::Uint32 => each(data, |bytes| f64::from(u32::from_le_bytes(bytes)), visit),
            #[expect(clippy::cast_precision_loss, reason = "documented: rounded to the nearest")]
            Datatype::Uint64 => each(data, |bytes| u64::from_le_bytes(bytes) as f64, visit),
            Datatype::Int8 => each(data, |bytes| f64::from(i8::from_le_bytes(bytes)), visit),
            Datatype::Int16 => each(data, |bytes| f64::from(i16::from_le_bytes(bytes)), visit),
            Datatype::Int32 => each(data, |bytes| f64::from(i32::from_le_bytes(bytes)), visit),
            #[expect(clippy::cast_precision_loss, reason = "documented: rounded to the nearest")]
            Datatype::Int64 => each(data, |bytes| i64::from_le_bytes(bytes) as f64, visit),
            Datatype::Fp16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f64(), visit),
            Datatype::Bf16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f64(), visit),
            Datatype::Fp32 => each(data, |bytes| f64::from(f32::from_le_bytes(bytes)), visit),
            Datatype::Fp64 => each(data, f64::from_le_bytes, visit),
            Datatype::Bytes => {}
        }
    }

    /// The elements of a BYTES tensor. An element whose length runs past the end is an error, and the last.
    pub fn byte_elements(&self) -> ByteElements<'_> {
        ByteElements { rest: if self.datatype == Datatype::Bytes { &self.data } else { &[] } }
    }
}

fn each<const SIZE: usize>(data: &[u8], read: impl Fn([u8; SIZE]) -> f64, mut visit: impl FnMut(usize, f64) -> bool) {
    for (index, bytes) in data.as_chunks::<SIZE>().0.iter().enumerate() {
        if !visit(index, read(*bytes)) {
            return;
        }
    }
}

/// Iterates over the elements of a BYTES tensor.
#[derive(Debug, Clone)]
pub struct ByteElements<'a> {
    rest: &'a [u8],
}

/// The data of a BYTES tensor ends inside an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data ends inside an element")]
pub struct Truncated;

impl<'a> Iterator for ByteElements<'a> {
    type Item = Result<&'a [u8], Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((element, rest)) = element else {
            self.rest = &[];
            return Some(Err(Truncated));
        };
        self.rest = rest;
        Some(Ok(element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(datatype: Datatype, data: &[u8]) -> Vec<f64> {
        let tensor = Tensor { name: "t".into(), datatype, shape: vec![], data: data.to_vec() };
        let mut found = Vec::new();
        tensor.for_each_number(|index, value| {
            assert_eq!(index, found.len());
            found.push(value);
            true
        });
        found
    }

    #[test]
    fn every_datatype_is_read() {
        assert_eq!(numbers(Datatype::Bool, &[0, 1, 7]), [0.0, 1.0, 1.0]);
        assert_eq!(numbers(Datatype::Uint8, &[255]), [255.0]);
        assert_eq!(numbers(Datatype::Int8, &[255]), [-1.0]);
        assert_eq!(numbers(Datatype::Uint16, &[0, 1]), [256.0]);
        assert_eq!(numbers(Datatype::Int16, &[0, 0x80]), [-32768.0]);
        assert_eq!(numbers(Datatype::Uint32, &u32::MAX.to_le_bytes()), [4_294_967_295.0]);
        assert_eq!(numbers(Datatype::Int32, &i32::MIN.to_le_bytes()), [-2_147_483_648.0]);
        assert_eq!(numbers(Datatype::Uint64, &u64::MAX.to_le_bytes()), [18_446_744_073_709_551_616.0]);
        assert_eq!(numbers(Datatype::Int64, &i64::MIN.to_le_bytes()), [-9_223_372_036_854_775_808.0]);
        assert_eq!(numbers(Datatype::Fp32, &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(numbers(Datatype::Fp64, &(-0.25_f64).to_le_bytes()), [-0.25]);
        // 0x3c00 is 1, 0x0001 the least subnormal, 0xfc00 minus infinity, 0x7e00 NaN (IEEE 754 binary16).
        assert_eq!(numbers(Datatype::Fp16, &[0, 0x3c, 1, 0]), [1.0, 2.0_f64.powi(-24)]);
        assert_eq!(numbers(Datatype::Fp16, &[0, 0xfc]), [f64::NEG_INFINITY]);
        assert!(numbers(Datatype::Fp16, &[0, 0x7e])[0].is_nan());
        // bfloat16 is the upper half of binary32.
        assert_eq!(numbers(Datatype::Bf16, &[0xc0, 0x3f]), [1.5]);
        assert!(numbers(Datatype::Bf16, &[0xc0, 0x7f])[0].is_nan());
        assert_eq!(numbers(Datatype::Bytes, &[1, 0, 0, 0, 1]), [0.0; 0]);
    }

    #[test]
    fn half_an_element_is_not_read() {
        assert_eq!(numbers(Datatype::Fp32, &[0, 0, 0, 0, 1, 2]), [0.0]);
    }

    #[test]
    fn byte_elements_end_at_a_bad_length() {
        let elements = |data: &[u8]| -> Vec<Result<Vec<u8>, Truncated>> {
            let tensor = Tensor { name: "t".into(), datatype: Datatype::Bytes, shape: vec![], data: data.to_vec() };
            tensor.byte_elements().map(|element| element.map(<[u8]>::to_vec)).collect()
        };
        assert_eq!(elements(&[]), []);
        assert_eq!(elements(&[0, 0, 0, 0, 1, 0, 0, 0, 9]), [Ok(vec![]), Ok(vec![9])]);
        assert_eq!(elements(&[0, 0, 0, 0, 2, 0, 0, 0, 9]), [Ok(vec![]), Err(Truncated)]);
        assert_eq!(elements(&[0, 0, 0]), [Err(Truncated)]);
        assert_eq!(elements(&[0xff, 0xff, 0xff, 0xff, 1]), [Err(Truncated)]);
    }

    #[test]
    fn a_shape_that_overflows_has_no_count() {
        let tensor = |shape| Tensor { name: "t".into(), datatype: Datatype::Bool, shape, data: vec![] };
        assert_eq!(tensor(vec![]).elements(), Some(1));
        assert_eq!(tensor(vec![3, 0, 2]).elements(), Some(0));
        assert_eq!(tensor(vec![u64::MAX, 2]).elements(), None);
    }
}
