//! Sync against an auditor that misbehaves on demand.

#![expect(clippy::unwrap_used, reason = "tests")]

mod auditor;
mod ledger;

use std::time::Duration;

use self::auditor::{Fake, Manner};
use self::ledger::Ledger;
use super::*;

#[tokio::test]
async fn everything_arrives_once_in_order_and_is_acknowledged() {
    let ledger = Ledger::with(&[3, 10, 11, 40]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits { bytes: 1 << 20, entries: 12 });
    let report = uplink.round().await.unwrap();
    assert_eq!((report.signed, report.acknowledged, report.entries), (40, 40, 40));
    assert_eq!(report.segments, 2, "0..11 fits twelve entries, 11..40 is one checkpoint's range");
    assert_eq!(auditor.entries(), ledger.entries());
    let status = uplink.state().status();
    assert_eq!((status.acknowledged, status.receipts, status.failed_rounds), (40, 2, 0));

    // A restart knows what was acknowledged and sends nothing again.
    drop(uplink);
    let again = ledger.uplink(&auditor, CutLimits::default());
    assert_eq!(again.state().status().acknowledged, 40);
    assert_eq!(again.round().await.unwrap().segments, 0);
    assert_eq!(auditor.segments(), 2);
}

#[tokio::test]
async fn without_a_checkpoint_there_is_nothing_to_do() {
    let ledger = Ledger::with(&[]);
    let auditor = Fake::start();
    assert_eq!(ledger.uplink(&auditor, CutLimits::default()).round().await.unwrap(), Report::default());
    assert_eq!(auditor.requests(), 0);
}

#[tokio::test]
async fn an_auditor_that_is_down_costs_nothing() {
    let ledger = Ledger::with(&[5]);
    let auditor = Fake::start();
    let uplink = ledger.uplink_to("http://127.0.0.1:1", &auditor);
    let error = uplink.round().await.unwrap_err();
    assert!(matches!(error, SyncError::Unreachable { .. }) && error.passes(), "{error:?}");
    assert!(error.full().contains("cannot be reached"), "{}", error.full());
    assert_eq!(uplink.state().status().acknowledged, 0);
    assert!(uplink.state().status().error.is_some());
}

#[tokio::test]
async fn every_bad_answer_to_a_segment_is_named_and_the_next_round_makes_it_good() {
    let cases: [(Manner, &str); 10] = [
        (Manner::Drop, "cannot be reached"),
        (Manner::StoreThenDrop, "cannot be reached"),
        // Whoever looks first tells: one of two clocks, or the connection that ends.
        (Manner::Slow, ""),
        (Manner::Status(500, "disk full\u{1b}[31m"), "answered POST /add-entries with 500: disk full [31m"),
        (Manner::Status(200, "thanks"), "does not verify"),
        (Manner::Status(409, "{\"kind\":\"mood\"}"), "makes no sense"),
        (Manner::Status(422, "{\"message\":\"no proof\"}"), "with 422: no proof"),
        (Manner::Oversized, "more than 65536 bytes"),
        (Manner::ForeignReceipt, "does not verify"),
        (Manner::OlderReceipt, "does not verify"),
    ];
    for (manner, words) in cases {
        let ledger = Ledger::with(&[4, 9]);
        let auditor = Fake::start();
        let uplink = ledger.uplink(&auditor, CutLimits { bytes: 1 << 20, entries: 4 });
        auditor.next_segments([Manner::Good, manner]);
        let error = uplink.round().await.unwrap_err();
        assert!(error.full().contains(words), "{manner:?}: {}", error.full());
        if matches!(manner, Manner::Slow) {
            let told = ["cannot be reached", "nothing moved"].iter().any(|words| error.full().contains(words));
            assert!(told, "{manner:?}: {}", error.full());
        }
        assert!(error.passes(), "{manner:?}");
        assert_eq!(uplink.state().status().acknowledged, 4, "{manner:?}: only the first segment counts");
        assert_eq!(uplink.round().await.unwrap().acknowledged, 9, "{manner:?}");
        assert_eq!(auditor.entries(), ledger.entries(), "{manner:?}");
    }
}

#[tokio::test]
async fn a_slow_link_makes_segments_smaller_and_a_stored_one_need_not_be_sent_again() {
    let ends: Vec<u64> = (1..=64).map(|n| n * 20).collect();
    let ledger = Ledger::with(&ends);
    let auditor = Fake::start();
    // Entries have about 40 bytes: all of them fit the first limit, 400 the second.
    let uplink = ledger.uplink(&auditor, CutLimits { bytes: 32 << 10, entries: 4096 });
    auditor.next_segments([Manner::StoreThenSlow]);
    assert!(uplink.round().await.unwrap_err().is_timeout());
    let first = auditor.entries().len();
    // What it holds without our knowing is not sent again; the rest comes in smaller pieces.
    let report = uplink.round().await.unwrap();
    assert_eq!(report.acknowledged, 1280);
    assert!(first > 600 && report.segments > 1, "{first}, {report:?}");
    assert_eq!(auditor.entries(), ledger.entries());
}

#[tokio::test]
async fn every_bad_answer_to_a_checkpoint_is_named() {
    let cases: [(Manner, &str); 6] = [
        (Manner::Status(409, "-1\n"), "makes no sense"),
        (Manner::Status(409, ""), "makes no sense"),
        (Manner::Status(404, "{\"kind\":\"unknown\",\"message\":\"\"}"), "does not know box-1"),
        (Manner::Status(403, "{\"message\":\"bad signature\"}"), "refuses POST /add-checkpoint: bad signature"),
        (Manner::Status(301, ""), "with 301"),
        (Manner::Oversized, "more than 65536 bytes"),
    ];
    for (manner, words) in cases {
        let ledger = Ledger::with(&[4]);
        let auditor = Fake::start();
        let uplink = ledger.uplink(&auditor, CutLimits::default());
        auditor.next_checkpoints([manner]);
        let error = uplink.round().await.unwrap_err();
        assert!(error.full().contains(words), "{manner:?}: {}", error.full());
        assert_eq!(uplink.round().await.unwrap().acknowledged, 4, "{manner:?}");
    }
}

#[tokio::test]
async fn a_bad_receipt_never_counts_however_often_it_comes() {
    let ledger = Ledger::with(&[6]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits::default());
    auditor.next_segments([Manner::ForeignReceipt; 5]);
    for _ in 0..5 {
        assert!(matches!(uplink.round().await, Err(SyncError::Receipt { size: 6, .. })));
    }
    let status = uplink.state().status();
    assert_eq!((status.bad_receipts, status.receipts, status.acknowledged), (5, 0, 0));
    assert_eq!(ledger.stored("sync/receipt"), None);
}

#[tokio::test]
async fn the_receipt_is_stored_and_verifies() {
    let ledger = Ledger::with(&[6]);
    let auditor = Fake::start();
    ledger.uplink(&auditor, CutLimits::default()).round().await.unwrap();
    let receipt = String::from_utf8(ledger.stored("sync/receipt").unwrap()).unwrap();
    let receipt = picket_ledger::receipt::Receipt::open(&receipt, &ledger.key(), &auditor.key()).unwrap();
    assert_eq!(receipt.checkpoint.size, 6);
    assert_eq!(ledger.stored("sync/acknowledged").unwrap(), 6_u64.to_be_bytes());
}

#[tokio::test]
async fn an_answer_resumes_where_the_auditor_says_and_not_for_ever() {
    let ledger = Ledger::with(&[300, 700]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits::default());
    auditor.next_segments([Manner::Status(409, "700\n256\n\n"), Manner::Status(202, "700\n9\n\n")]);
    assert_eq!(uplink.round().await.unwrap().acknowledged, 700);
    assert_eq!(auditor.entries(), ledger.entries());

    for answer in ["700\n0\n\n", "700\n256\n\n"] {
        let stubborn = Fake::start();
        let other = Ledger::with(&[700]);
        let uplink = other.uplink(&stubborn, CutLimits::default());
        stubborn.next_segments([Manner::Status(409, answer); 40]);
        assert!(matches!(uplink.round().await, Err(SyncError::NoProgress { .. })));
        assert!(stubborn.requests() < 30);
    }
    let beyond = Fake::start();
    let other = Ledger::with(&[7]);
    let uplink = other.uplink(&beyond, CutLimits::default());
    beyond.next_segments([Manner::Status(409, "7\n8\n\n")]);
    assert!(matches!(uplink.round().await, Err(SyncError::Answer { .. })));
}

#[tokio::test]
async fn a_segment_that_is_too_large_is_cut_smaller_down_to_one_checkpoint() {
    let ledger = Ledger::with(&[2, 4, 6, 8]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits::default());
    auditor.next_segments([Manner::Status(413, ""), Manner::Status(413, "")]);
    let report = uplink.round().await.unwrap();
    assert_eq!((report.acknowledged, report.segments), (8, 4));
    let other = Ledger::with(&[5]);
    let uplink = other.uplink(&auditor, CutLimits::default());
    auditor.forget();
    auditor.next_segments([Manner::Status(413, "")]);
    let error = uplink.round().await.unwrap_err();
    assert!(matches!(error, SyncError::TooLarge { first: 0, .. }) && !error.passes(), "{error:?}");
}

#[tokio::test]
async fn rollback_and_fork_raise_an_alarm_that_stays_and_stops_sending() {
    let said = Manner::Status(409, "90\n");
    for (manner, kind, proven) in [
        (Manner::Later(409, false), AlarmKind::Rollback, true),
        (Manner::Later(409, true), AlarmKind::Fork, true),
        (said, AlarmKind::Rollback, false),
    ] {
        let ledger = Ledger::with(&[4]);
        let auditor = Fake::start();
        let uplink = ledger.uplink(&auditor, CutLimits::default());
        // What no signature vouches for counts when it is said twice.
        auditor.next_checkpoints(if proven { vec![manner] } else { vec![manner, manner] });
        let SyncError::Alarm(alarm) = uplink.round().await.unwrap_err() else { panic!("{manner:?}") };
        assert_eq!((alarm.kind, alarm.size), (kind, 4));
        assert!(!alarm.to_string().contains('\u{7}'));

        assert_eq!(alarm.held.is_some(), proven, "its own signature is the evidence");
        // It stands, also after a restart, and nothing is sent meanwhile.
        drop(uplink);
        let requests = auditor.requests();
        let uplink = ledger.uplink(&auditor, CutLimits::default());
        assert_eq!(uplink.state().status().alarm.as_ref(), Some(&alarm));
        let error = uplink.round().await.unwrap_err();
        assert!(matches!(&error, SyncError::Alarm(same) if *same == alarm) && !error.passes());
        assert_eq!(auditor.requests(), requests);
        assert_eq!(stored(&crate::evidence::Evidence::from_reader(ledger.reader())).unwrap().alarm, Some(alarm));

        assert!(uplink.clear_alarm().await.unwrap().is_some());
        assert_eq!(uplink.round().await.unwrap().acknowledged, 4);
        assert_eq!(ledger.stored("sync/alarm"), None);
    }
}

#[tokio::test]
async fn what_was_said_once_and_is_not_proven_is_no_alarm() {
    let ledger = Ledger::with(&[4]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits::default());
    auditor.next_checkpoints([Manner::Status(409, "90\n"), Manner::Status(409, "91\n")]);
    assert_eq!(uplink.round().await.unwrap().acknowledged, 4);
    assert!(uplink.state().status().alarm.is_none());
}

#[tokio::test]
async fn a_checkpoint_of_ours_over_other_entries_is_a_fork() {
    let auditor = Fake::start();
    let twin = Ledger::with(&[4, 8]);
    twin.uplink(&auditor, CutLimits::default()).round().await.unwrap();
    let ledger = Ledger::of(9, &[5, 12]);
    let error = ledger.uplink(&auditor, CutLimits::default()).round().await.unwrap_err();
    let SyncError::Alarm(alarm) = error else { panic!("{error:?}") };
    assert_eq!((alarm.kind, alarm.held.is_some()), (AlarmKind::Fork, true));
}

#[tokio::test]
async fn an_auditor_that_lost_what_it_signed_for_gets_it_again_and_an_alarm() {
    let ledger = Ledger::with(&[4, 9]);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits::default());
    uplink.round().await.unwrap();
    let receipt = ledger.stored("sync/receipt").unwrap();
    auditor.forget();
    assert_eq!(uplink.round().await.unwrap().acknowledged, 9);
    assert_eq!(auditor.entries(), ledger.entries());
    let alarm = uplink.state().status().alarm.unwrap();
    assert_eq!((alarm.kind, alarm.auditor_size), (AlarmKind::AuditorRollback, 0));
    assert_eq!(ledger.stored("sync/receipt-broken"), Some(receipt), "the broken promise is kept");
}

#[tokio::test]
async fn random_faults_for_many_segments_and_everything_arrives_exactly_once() {
    let ends: Vec<u64> = (1..=80).map(|n| n * 2).collect();
    let ledger = Ledger::with(&ends);
    let auditor = Fake::start();
    let uplink = ledger.uplink(&auditor, CutLimits { bytes: 1 << 20, entries: 2 });
    let manners = [
        Manner::Good,
        Manner::Drop,
        Manner::StoreThenDrop,
        Manner::Good,
        Manner::Status(503, "busy"),
        Manner::ForeignReceipt,
        Manner::Good,
        Manner::Oversized,
    ];
    let mut state = 42_u64;
    let mut rounds = 0;
    while uplink.state().status().acknowledged < 160 {
        let mut script = Vec::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            script.push(manners[usize::try_from(state >> 61).unwrap()]);
        }
        auditor.next_segments(script);
        let _outcome = uplink.round().await;
        rounds += 1;
        assert!(rounds < 2000, "no progress");
    }
    assert_eq!(auditor.entries(), ledger.entries());
    assert!(uplink.state().status().alarm.is_none());
    assert!(uplink.state().status().failed_rounds > 15, "the faults did happen");
}

#[tokio::test]
async fn the_task_syncs_on_its_own_on_request_and_ends_when_told() {
    let ledger = Ledger::with(&[4]);
    let auditor = Fake::start();
    let options = TaskOptions {
        every: Duration::from_millis(10),
        first_backoff: Duration::from_millis(10),
        longest_backoff: Duration::from_millis(20),
    };
    let (signed_sender, signed) = tokio::sync::watch::channel(4);
    auditor.next_checkpoints([Manner::Drop, Manner::Status(500, "")]);
    let (handle, joined) = Task::start(ledger.uplink(&auditor, CutLimits::default()), options, signed);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while handle.state().status().acknowledged < 4 {
        assert!(std::time::Instant::now() < deadline, "{:?}", handle.state().status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ledger.grow(7);
    signed_sender.send_replace(7);
    assert_eq!(handle.sync_now().await.unwrap().acknowledged, 7);
    auditor.next_checkpoints([Manner::Status(500, "broken")]);
    assert!(handle.sync_now().await.unwrap_err().contains("500: broken"));
    handle.stop();
    joined.await.unwrap();
    assert!(handle.sync_now().await.unwrap_err().contains("stopped"));
}

#[test]
fn segments_are_cut_at_checkpoints_within_the_limits() {
    let ledger = Ledger::with(&[3, 10, 11, 40]);
    let outbox = Outbox::new(ledger.reader(), "box-1");
    let size = ledger.entries()[0].len();
    let cut = |first, entries, bytes| outbox.end(first, first, 40, CutLimits { bytes, entries }).unwrap();
    let much = 1 << 20;
    assert_eq!(cut(0, 2, much), Some(3), "the first checkpoint, although it lies beyond the limit");
    assert_eq!(cut(0, 3, much), Some(3));
    assert_eq!(cut(0, 9, much), Some(3));
    assert_eq!(cut(0, 10, much), Some(10));
    assert_eq!(cut(0, 39, much), Some(11));
    assert_eq!(cut(0, 40, much), Some(40));
    assert_eq!(cut(0, 40, size * 5), Some(3));
    assert_eq!(cut(0, 40, 1), Some(3));
    assert_eq!(cut(5, 40, size * 12), Some(11), "from the middle");
    assert_eq!(cut(11, 2, 1), Some(40));
    assert_eq!(cut(40, 40, much), None);
    let end = |least, size| outbox.end(0, least, size, CutLimits::default()).unwrap();
    assert_eq!((end(0, 11), end(10, 11), end(11, 11)), (Some(11), Some(11), None), "not beyond what was shown");
}
