//! From the host's types to what a guard is given: only the parts that it needs, borrowed.

use crate::bindings::exports::picket::guard::detection as wit_detection;
use crate::bindings::picket::guard::types as wit;
use crate::types::{Batch, ColumnValues, Content, Inference, NamedValue, Parts, Scalar};

/// Calls `call` with a view of `inference` that has the parts of `needs` alone. Texts are not copied; lists of records
/// are, as lists of references.
pub(crate) fn with_inference<R>(inference: &Inference, needs: Parts, call: impl FnOnce(wit::Inference<'_>) -> R) -> R {
    let input = Lists::of(inference.input.as_ref().filter(|_| needs.contains(Parts::INPUT)));
    let output = Lists::of(inference.output.as_ref().filter(|_| needs.contains(Parts::OUTPUT)));
    let context: Vec<_> = needed(&inference.context, needs.contains(Parts::CONTEXT))
        .iter()
        .map(|document| wit::Document { id: &document.id, text: &document.text })
        .collect();
    let attributes: Vec<_> = needed(&inference.attributes, needs.contains(Parts::ATTRIBUTES))
        .iter()
        .map(|attribute| wit::Attribute { name: &attribute.name, value: &attribute.value })
        .collect();
    let features = named_values(needed(&inference.features, needs.contains(Parts::FEATURES)));
    let measurements = named_values(needed(&inference.measurements, needs.contains(Parts::MEASUREMENTS)));
    call(wit::Inference {
        id: &inference.id,
        time: inference.time,
        model: &inference.model,
        model_version: inference.model_version.as_deref(),
        prompt_version: inference.prompt_version.as_deref(),
        input: input.content(),
        context: &context,
        output: output.content(),
        features: &features,
        attributes: &attributes,
        measurements: &measurements,
    })
}

fn needed<T>(list: &[T], wanted: bool) -> &[T] {
    if wanted { list } else { &[] }
}

/// A content with the lists of references that its borrowed form points to.
enum Lists<'a> {
    Nothing,
    Text(&'a str),
    Json(&'a str),
    Messages(Vec<wit::Message<'a>>),
    Tensors(Vec<wit::Tensor<'a>>),
}

impl<'a> Lists<'a> {
    fn of(content: Option<&'a Content>) -> Self {
        match content {
            None => Self::Nothing,
            Some(Content::Text(text)) => Self::Text(text),
            Some(Content::Json(text)) => Self::Json(text),
            Some(Content::Messages(messages)) => Self::Messages(
                messages
                    .iter()
                    .map(|message| wit::Message {
                        role: &message.role,
                        name: message.name.as_deref(),
                        content: &message.content,
                    })
                    .collect(),
            ),
            Some(Content::Tensors(tensors)) => Self::Tensors(
                tensors
                    .iter()
                    .map(|tensor| wit::Tensor {
                        name: &tensor.name,
                        datatype: tensor.datatype,
                        shape: &tensor.shape,
                        data: &tensor.data,
                    })
                    .collect(),
            ),
        }
    }

    fn content(&self) -> Option<wit::Content<'_>> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(wit::Content::Text(text)),
            Self::Json(text) => Some(wit::Content::Json(text)),
            Self::Messages(messages) => Some(wit::Content::Messages(messages)),
            Self::Tensors(tensors) => Some(wit::Content::Tensors(tensors)),
        }
    }
}

fn named_values(values: &[NamedValue]) -> Vec<wit::NamedValueParam<'_>> {
    values
        .iter()
        .map(|named| wit::NamedValueParam {
            name: &named.name,
            value: match &named.value {
                Scalar::Null => wit::ScalarParam::Null,
                Scalar::Boolean(value) => wit::ScalarParam::Boolean(*value),
                Scalar::Integer(value) => wit::ScalarParam::Integer(*value),
                Scalar::Number(value) => wit::ScalarParam::Number(*value),
                Scalar::Text(value) => wit::ScalarParam::Text(value),
            },
        })
        .collect()
}

/// Calls `call` with a view of `batch`.
pub(crate) fn with_batch<R>(batch: &Batch, call: impl FnOnce(wit_detection::Batch<'_>) -> R) -> R {
    let category_names: Vec<Vec<&str>> = batch
        .columns
        .iter()
        .map(|column| match &column.values {
            ColumnValues::Numbers(_) => Vec::new(),
            ColumnValues::Categories { names, .. } => names.iter().map(String::as_str).collect(),
        })
        .collect();
    let columns: Vec<_> = batch
        .columns
        .iter()
        .zip(&category_names)
        .map(|(column, names)| wit_detection::Column {
            name: &column.name,
            values: match &column.values {
                ColumnValues::Numbers(numbers) => wit_detection::ColumnValues::Numbers(numbers),
                ColumnValues::Categories { codes, .. } => {
                    wit_detection::ColumnValues::Categories(wit_detection::Categories { names, codes })
                }
            },
            nulls: &column.nulls,
        })
        .collect();
    call(wit_detection::Batch { first_row: batch.first_row, times: &batch.times, columns: &columns })
}
