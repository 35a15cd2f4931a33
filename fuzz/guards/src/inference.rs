//! Random inferences, of every kind of content.

use arbitrary::{Result, Unstructured};
use picket_engine::{Attribute, Content, Datatype, Document, Inference, Message, NamedValue, Scalar, Tensor};

/// Any text of at most 1 KiB: ASCII, characters of several bytes, control characters.
pub(crate) fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let length = bytes.int_in_range(0..=1024)?;
    let length = length.min(bytes.len());
    Ok(String::from_utf8_lossy(bytes.bytes(length)?).into_owned())
}

pub(crate) fn any(bytes: &mut Unstructured<'_>) -> Result<Inference> {
    Ok(Inference {
        id: text(bytes)?,
        time: bytes.arbitrary()?,
        model: text(bytes)?,
        model_version: optional(bytes, text)?,
        prompt_version: optional(bytes, text)?,
        input: optional(bytes, content)?,
        context: many(bytes, |bytes| Ok(Document { id: text(bytes)?, text: text(bytes)? }))?,
        output: optional(bytes, content)?,
        features: many(bytes, named)?,
        attributes: many(bytes, |bytes| Ok(Attribute { name: text(bytes)?, value: text(bytes)? }))?,
        measurements: many(bytes, named)?,
    })
}

fn content(bytes: &mut Unstructured<'_>) -> Result<Content> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => Content::Text(text(bytes)?),
        // The host hands over valid JSON alone; the nesting is what is random.
        1 => {
            let depth = bytes.int_in_range(0..=64)?;
            Content::Json("[".repeat(depth) + "\"é\"" + &"]".repeat(depth))
        }
        2 => Content::Messages(many(bytes, |bytes| {
            Ok(Message { role: text(bytes)?, name: optional(bytes, text)?, content: text(bytes)? })
        })?),
        _ => Content::Tensors(many(bytes, |bytes| {
            let count = bytes.int_in_range(0..=64_u8)?;
            Ok(Tensor {
                name: text(bytes)?,
                datatype: Datatype::Uint8,
                shape: vec![u64::from(count)],
                data: (0..count).collect(),
            })
        })?),
    })
}

fn named(bytes: &mut Unstructured<'_>) -> Result<NamedValue> {
    let name = text(bytes)?;
    let value = match bytes.int_in_range(0..=4)? {
        0 => Scalar::Null,
        1 => Scalar::Boolean(bytes.arbitrary()?),
        2 => Scalar::Integer(bytes.arbitrary()?),
        3 => Scalar::Number(bytes.arbitrary()?),
        _ => Scalar::Text(text(bytes)?),
    };
    Ok(NamedValue { name, value })
}

fn optional<T>(
    bytes: &mut Unstructured<'_>,
    make: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if bytes.arbitrary()? { make(bytes).map(Some) } else { Ok(None) }
}

fn many<T>(bytes: &mut Unstructured<'_>, make: impl Fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    (0..bytes.int_in_range(0..=4)?).map(|_| make(bytes)).collect()
}
