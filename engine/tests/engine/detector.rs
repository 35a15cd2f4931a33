//! Detectors: state from batch to batch, and what becomes of it when one fails.

use std::time::Duration;

use picket_engine::{Batch, Cause, Column, ColumnValues, Detector, Limits, LoadError};

use crate::guard::{ANSWER, Guard, Image, PROBLEMS, descriptor};
use crate::{engine, patient};

/// A detector that counts rows in a global: `observe` adds the batch's rows, `snapshot` gives the count as four bytes,
/// `restore` takes them, `status` tells the count as its statistic.
pub(crate) fn guard() -> Guard {
    with_observe("")
}

/// The same, with `observe` doing something else first. Its parameters are first-row, times, columns.
fn with_observe(first: &str) -> Guard {
    let mut status = Image::new(STATUS, 8);
    let list = status.list(0, 1, 56, 8);
    status.text(list, "s");
    status.text(list + 16, "rule");
    let name = |function: &str| format!("picket:guard/detection@0.1.0#{function}");
    let fields = format!(
        "(global $rows (mut i32) (i32.const 0))
         (func (export \"{fit}\") (param i64 i32 i32 i32 i32) (result i32)
            (i32.store (i32.const {ANSWER}) (i32.const 0))
            (i32.store (i32.const {pointer}) (i32.const {DATA}))
            (i32.store (i32.const {length}) (i32.const 3))
            (i32.const {ANSWER}))
         (func (export \"{observe}\") (param i64 i32 i32 i32 i32) (result i32)
            {first}
            (global.set $rows (i32.add (global.get $rows) (local.get 2)))
            (i32.const {ANSWER}))
         (func (export \"{status_name}\") (result i32)
            (f64.store (i32.const {statistic}) (f64.convert_i32_u (global.get $rows)))
            (i32.const {STATUS}))
         (func (export \"{snapshot}\") (result i32)
            (i32.store (i32.const {DATA}) (global.get $rows))
            (i32.store (i32.const {LIST}) (i32.const {DATA}))
            (i32.store (i32.const {list_length}) (i32.const 4))
            (i32.const {LIST}))
         (func (export \"{restore}\") (param i32 i32) (result i32)
            (if (i32.ne (local.get 1) (i32.const 4)) (then
                (i32.store (i32.const {ANSWER}) (i32.const 1))
                (i32.store (i32.const {pointer}) (i32.const {STATUS}))
                (i32.store (i32.const {length}) (i32.const 0))
                (return (i32.const {ANSWER}))))
            (global.set $rows (i32.load (local.get 0)))
            (i32.store (i32.const {ANSWER}) (i32.const 0))
            (i32.const {ANSWER}))
         (func (export \"{merge}\") (param i32 i32) (result i32) (i32.const {ANSWER}))
         (data (i32.const {STATUS}) \"{status}\")",
        fit = name("fit"),
        observe = name("observe"),
        status_name = name("status"),
        snapshot = name("snapshot"),
        restore = name("restore"),
        merge = name("merge"),
        pointer = ANSWER + 4,
        length = ANSWER + 8,
        list_length = LIST + 4,
        statistic = STATUS + u32::try_from(list).unwrap() + 24,
        status = crate::guard::escaped(&status.bytes),
    );
    Guard {
        world: "detector",
        descriptor: descriptor("watch", "1.0.0", "{}", 0, &["rule"]),
        configure: format!("(i32.const {PROBLEMS})"),
        fields,
        ..Guard::default()
    }
}

const STATUS: u32 = 20_000;
const LIST: u32 = 22_000;
const DATA: u32 = 24_000;

fn load(guard: &Guard, limits: Limits) -> Detector {
    engine().load_detector("watch", &guard.component(), "{}", b"", limits).unwrap_or_else(|error| panic!("{error}"))
}

fn batch(rows: usize) -> Batch {
    Batch {
        first_row: 0,
        times: vec![0; rows],
        columns: vec![
            Column { name: "s".into(), values: ColumnValues::Numbers(vec![0.5; rows]), nulls: vec![] },
            Column {
                name: "c".into(),
                values: ColumnValues::Categories { names: vec!["a".into()], codes: vec![0; rows] },
                nulls: vec![],
            },
        ],
    }
}

#[test]
fn state_is_kept_from_batch_to_batch() {
    let mut detector = load(&guard(), patient());
    assert_eq!(detector.descriptor().name, "watch");
    for _ in 0..3 {
        assert_eq!(detector.observe(&batch(5)).unwrap(), []);
    }
    let status = detector.status().unwrap();
    assert_eq!((status[0].stream.as_str(), status[0].rule.as_str()), ("s", "rule"));
    assert!((status[0].statistic - 15.0).abs() < f64::EPSILON);
    assert_eq!(detector.snapshot().unwrap(), 15_u32.to_le_bytes());
    assert_eq!(detector.fit(&batch(1)).unwrap().len(), 3);
    detector.merge(&[b"one", b"two"]).unwrap();
}

#[test]
fn a_snapshot_carries_over_and_a_bad_one_is_refused_without_harm() {
    let mut first = load(&guard(), patient());
    first.observe(&batch(7)).unwrap();
    let snapshot = first.snapshot().unwrap();
    let mut second = load(&guard(), patient());
    second.restore(&snapshot).unwrap();
    assert_eq!(second.snapshot().unwrap(), snapshot);
    assert_eq!(second.restore(b"wrong").unwrap_err().cause, Cause::Refused);
    assert!(second.is_live());
    assert_eq!(second.snapshot().unwrap(), snapshot);
}

#[test]
fn a_failed_detector_is_restarted_and_restored() {
    // Traps on a batch of 13 rows.
    let mut detector = load(&with_observe("(if (i32.eq (local.get 2) (i32.const 13)) (then unreachable))"), patient());
    detector.observe(&batch(4)).unwrap();
    let kept = detector.snapshot().unwrap();
    assert_eq!(detector.observe(&batch(13)).unwrap_err().cause, Cause::Trap);
    assert!(!detector.is_live());
    assert_eq!(detector.observe(&batch(1)).unwrap_err().cause, Cause::Unavailable);
    detector.restart().unwrap();
    assert_eq!(detector.snapshot().unwrap(), [0; 4]);
    detector.restore(&kept).unwrap();
    detector.observe(&batch(1)).unwrap();
    assert_eq!(detector.snapshot().unwrap(), 5_u32.to_le_bytes());
}

#[test]
fn a_loop_in_observe_is_stopped() {
    let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
    let mut detector = load(&with_observe("(loop $again (br $again))"), limits);
    assert_eq!(detector.observe(&batch(1)).unwrap_err().cause, Cause::Deadline);
}

#[test]
fn a_detector_over_its_memory_is_stopped() {
    let limits = Limits { memory: 4 << 20, ..patient() };
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let mut detector = load(&with_observe(grow), limits);
    assert_eq!(detector.observe(&batch(1)).unwrap_err().cause, Cause::Memory);
}

#[test]
fn alarms_that_break_the_contract_are_refused() {
    // One alarm at 32768: stream, rule, state, severity, message, row, since-row, statistic, threshold, bars.
    let alarm = |stream: &str, rule: &str, row: u64, statistic: f64| {
        let mut image = Image::new(32768, 88);
        image.text(0, stream);
        image.text(8, rule);
        image.put(32, &row.to_le_bytes());
        image.put(56, &statistic.to_le_bytes());
        let observe = format!(
            "(i32.store (i32.const {}) (i32.const 32768)) (i32.store (i32.const {}) (i32.const 1))",
            ANSWER + 4,
            ANSWER + 8
        );
        let mut guard = with_observe(&observe);
        guard.fields.push_str(&format!("(data (i32.const 32768) \"{}\")", crate::guard::escaped(&image.bytes)));
        load(&guard, patient()).observe(&batch(3))
    };
    let alarms = alarm("s", "rule", 2, 0.5).unwrap();
    assert_eq!((alarms[0].row, alarms[0].stream.as_str()), (2, "s"));
    for (result, expected) in [
        (alarm("s", "other", 2, 0.5), "does not declare"),
        (alarm("nowhere", "rule", 2, 0.5), "no stream"),
        (alarm("s", "rule", 3, 0.5), "outside"),
        (alarm("s", "rule", 2, f64::NAN), "not finite"),
    ] {
        let failure = result.unwrap_err();
        assert_eq!(failure.cause, Cause::Answer);
        assert!(failure.message.contains(expected), "{failure}");
    }
}

#[test]
fn a_validator_is_no_detector() {
    let error = engine().load_detector("watch", &Guard::default().component(), "{}", b"", patient()).err().unwrap();
    assert!(matches!(error, LoadError::World { .. }), "{error:?}");
    assert!(error.to_string().contains("`validator`"), "{error}");
}

#[test]
fn a_large_state_is_bounded() {
    // A snapshot that claims 20 MB of the guard's memory.
    let mut huge = guard();
    huge.memory = "400";
    huge.fields = huge.fields.replace(
        &format!("(i32.store (i32.const {}) (i32.const 4))", LIST + 4),
        &format!("(i32.store (i32.const {}) (i32.const 20000000))", LIST + 4),
    );
    let mut detector = load(&huge, Limits { state_bytes: 1 << 20, ..patient() });
    let failure = detector.snapshot().unwrap_err();
    assert_eq!(failure.cause, Cause::Answer);
    assert!(!detector.is_live());
}
