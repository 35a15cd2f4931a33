//! Tensors of every datatype.

mod common;

use common::{check_json, check_tensors, only, path, rules};
use picket_sdk::{Datatype, Decision, Tensor};

fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data }
}

fn fp32(name: &str, shape: &[u64], values: &[f32]) -> Tensor {
    tensor(name, Datatype::Fp32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn settings(rules: &str) -> String {
    format!(r#"{{"tensors": [{{"name": "p", {rules}}}]}}"#)
}

#[test]
fn nan_and_infinity_are_found_in_every_float_and_without_settings() {
    let nan = [
        (Datatype::Fp16, vec![0, 0x3c, 0x01, 0x7e]),
        (Datatype::Bf16, vec![0x80, 0x3f, 0xc0, 0xff]),
        (Datatype::Fp32, [1_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat()),
        (Datatype::Fp64, [1_f64.to_le_bytes(), (-f64::NAN).to_le_bytes()].concat()),
    ];
    for (datatype, data) in nan {
        let verdict = check_tensors("{}", vec![tensor("p", datatype, &[2], data)]);
        assert_eq!(only(&verdict).rule, "tensor-nan", "{datatype:?}");
        assert_eq!(path(only(&verdict)), "/p");
        assert!(only(&verdict).message.contains("[1]"), "{}", only(&verdict).message);
    }
    let infinite = [
        (Datatype::Fp16, vec![0, 0x7c]),
        (Datatype::Bf16, vec![0x80, 0xff]),
        (Datatype::Fp32, f32::NEG_INFINITY.to_le_bytes().to_vec()),
        (Datatype::Fp64, f64::INFINITY.to_le_bytes().to_vec()),
    ];
    for (datatype, data) in infinite {
        let tensors = || vec![tensor("p", datatype, &[], data.clone())];
        assert_eq!(rules(&check_tensors("{}", tensors())), ["tensor-inf"], "{datatype:?}");
        assert_eq!(check_tensors(&settings(r#""allow_inf": true"#), tensors()).decision, Decision::Allow);
    }
    let both = || vec![fp32("p", &[2], &[f32::NAN, f32::INFINITY])];
    assert_eq!(rules(&check_tensors("{}", both())), ["tensor-nan", "tensor-inf"]);
    assert_eq!(rules(&check_tensors(&settings(r#""allow_nan": true"#), both())), ["tensor-inf"]);
}

#[test]
fn the_first_bad_element_is_named_by_its_index() {
    let mut values = [0.5_f32; 12];
    values[7] = f32::NAN;
    values[11] = f32::NAN;
    let verdict = check_tensors("{}", vec![fp32("p", &[2, 3, 2], &values)]);
    assert_eq!(only(&verdict).message, "2 elements are NaN, the first at [1, 0, 1]");
}

#[test]
fn ranges_hold_for_every_number() {
    let cases: [(Datatype, Vec<u8>); 12] = [
        (Datatype::Bool, vec![1]),
        (Datatype::Uint8, vec![11]),
        (Datatype::Int8, vec![0xff]),
        (Datatype::Uint16, vec![11, 0]),
        (Datatype::Int16, vec![0xff, 0xff]),
        (Datatype::Uint32, 11_u32.to_le_bytes().to_vec()),
        (Datatype::Int32, (-1_i32).to_le_bytes().to_vec()),
        (Datatype::Uint64, u64::MAX.to_le_bytes().to_vec()),
        (Datatype::Int64, i64::MIN.to_le_bytes().to_vec()),
        (Datatype::Fp16, vec![0x00, 0xbc]),
        (Datatype::Bf16, vec![0x80, 0xbf]),
        (Datatype::Fp64, 10.000_001_f64.to_le_bytes().to_vec()),
    ];
    for (datatype, data) in cases {
        let verdict = check_tensors(&settings(r#""range": [0, 10]"#), vec![tensor("p", datatype, &[1], data)]);
        let expected: &[&str] = if datatype == Datatype::Bool { &[] } else { &["tensor-range"] };
        assert_eq!(rules(&verdict), expected, "{datatype:?}");
    }
    let check = |range: &str, value: f32| {
        check_tensors(&settings(&format!(r#""range": {range}"#)), vec![fp32("p", &[], &[value])]).decision
    };
    assert_eq!(check("[0, 1]", 0.0), Decision::Allow);
    assert_eq!(check("[0, 1]", 1.0), Decision::Allow);
    assert_eq!(check("[null, 1]", -1e30), Decision::Allow);
    assert_eq!(check("[0, null]", -0.1), Decision::Block);
}

#[test]
fn shape_datatype_and_presence_are_checked() {
    let rule = settings(r#""datatype": "FP32", "shape": [-1, 2]"#);
    assert_eq!(check_tensors(&rule, vec![fp32("p", &[3, 2], &[0.0; 6])]).decision, Decision::Allow);
    assert_eq!(check_tensors(&rule, vec![fp32("p", &[0, 2], &[])]).decision, Decision::Allow);
    assert_eq!(rules(&check_tensors(&rule, vec![fp32("p", &[2, 3], &[0.0; 6])])), ["tensor-shape"]);
    assert_eq!(rules(&check_tensors(&rule, vec![fp32("p", &[6], &[0.0; 6])])), ["tensor-shape"]);
    let wrong = tensor("p", Datatype::Int32, &[1, 2], vec![0; 8]);
    assert_eq!(rules(&check_tensors(&rule, vec![wrong])), ["tensor-datatype"]);
    let verdict = check_tensors(&rule, vec![fp32("q", &[], &[0.0])]);
    assert_eq!(only(&verdict).rule, "tensor-missing");
    assert!(only(&verdict).message.contains("`p`") && only(&verdict).message.contains('q'));
    assert_eq!(check_tensors(&settings(r#""optional": true"#), vec![]).decision, Decision::Allow);
    // An output of another kind has no tensors at all.
    assert_eq!(rules(&check_json(&rule, "{}")), ["tensor-missing"]);
}

#[test]
fn sums_run_along_the_axis() {
    let last = settings(r#""sum_to_one": {}"#);
    assert_eq!(check_tensors(&last, vec![fp32("p", &[2, 2], &[0.25, 0.75, 0.9, 0.1])]).decision, Decision::Allow);
    let verdict = check_tensors(&last, vec![fp32("p", &[2, 2], &[0.25, 0.75, 0.9, 0.2])]);
    assert_eq!(only(&verdict).rule, "tensor-sum");
    assert!(only(&verdict).message.starts_with("1 of 2 sums"), "{}", only(&verdict).message);
    let first = settings(r#""sum_to_one": {"axis": 0}"#);
    assert_eq!(check_tensors(&first, vec![fp32("p", &[2, 2], &[0.25, 0.9, 0.75, 0.1])]).decision, Decision::Allow);
    assert_eq!(rules(&check_tensors(&first, vec![fp32("p", &[2, 2], &[0.25, 0.75, 0.9, 0.1])])), ["tensor-sum"]);
    let middle = settings(r#""sum_to_one": {"axis": -2}"#);
    let values = [0.1, 0.2, 0.9, 0.8, 0.3, 0.4, 0.7, 0.6];
    assert_eq!(check_tensors(&middle, vec![fp32("p", &[2, 2, 2], &values)]).decision, Decision::Allow);
    // The tolerance is absolute; a sum with NaN in it is wrong; a scalar has no axis; nothing sums to nothing.
    let loose = settings(r#""sum_to_one": {"tolerance": 0.1}"#);
    assert_eq!(check_tensors(&loose, vec![fp32("p", &[2], &[0.5, 0.45])]).decision, Decision::Allow);
    assert_eq!(rules(&check_tensors(&last, vec![fp32("p", &[2], &[0.5, f32::NAN])])), ["tensor-nan", "tensor-sum"]);
    assert_eq!(rules(&check_tensors(&last, vec![fp32("p", &[], &[1.0])])), ["tensor-sum"]);
    assert_eq!(check_tensors(&last, vec![fp32("p", &[0, 3], &[])]).decision, Decision::Allow);
}

#[test]
fn texts_in_bytes_tensors_are_judged() {
    let element = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes()[..], bytes].concat();
    let data =
        [element(b"fine"), element(&[0x61, 0xff]), element("\u{fffd}".as_bytes()), element(&[b'!'; 99])].concat();
    let verdict = check_tensors("{}", vec![tensor("a/b", Datatype::Bytes, &[4], data)]);
    assert_eq!(rules(&verdict), ["text-invalid-utf8", "text-replacement", "text-repetition"]);
    assert!(verdict.findings.iter().all(|finding| path(finding) == "/a~1b"));
    assert!(verdict.findings[0].message.contains("element 1") && verdict.findings[0].message.contains("byte 1"));
    let truncated = tensor("p", Datatype::Bytes, &[1], vec![9, 0, 0, 0, 1]);
    assert_eq!(rules(&check_tensors("{}", vec![truncated])), ["tensor-shape"]);
}

#[test]
fn a_tensor_whose_data_does_not_fit_its_shape_does_no_harm() {
    let rule = settings(r#""sum_to_one": {}, "range": [0, 1]"#);
    for shape in [vec![u64::MAX, u64::MAX], vec![1, 1_000_000], vec![2]] {
        check_tensors(&rule, vec![fp32("p", &shape, &[0.5; 3])]);
    }
}
