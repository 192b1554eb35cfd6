//! Who has which turn.

use std::net::Ipv4Addr;

use super::*;
use crate::target::ScrapeOptions;

/// A batch of ten: three quick targets, three never scraped, two slow ones and two that failed.
fn ten(ending: Option<Ending>) -> (Batch, Results) {
    let target = Arc::new(Target {
        job: "web".to_owned(),
        namespace: "n".to_owned(),
        pod: "p".to_owned(),
        uid: "u".to_owned(),
        pod_ip: "127.0.0.1".to_owned(),
        pod_port: None,
        terminating: false,
        meta: Arc::default(),
        options: Ok(ScrapeOptions {
            address: (Ipv4Addr::LOCALHOST, 80).into(),
            path_and_query: "/".to_owned(),
            timeout: Duration::from_secs(5),
            tls: None,
        }),
    });
    let ordered = Ordered {
        targets: vec![target; 10],
        quick: 3,
        unsuspected: 6,
        not_failed: 8,
    };
    batch(ordered, 2, ending)
}

/// The turn takes the time it has and ends without an answer.
fn time_out(batch: &Batch, turn: &Turn) -> bool {
    let after = turn.patience.unwrap_or(Duration::from_secs(5));
    let error = ScrapeError {
        phase: Phase::Wait,
        reason: Reason::Timeout(after),
    };
    let result = ScrapeResult {
        index: turn.index,
        labels: None,
        outcome: Err(error),
        duration: after,
        body_bytes: 0,
    };
    batch.hand_in(turn, result)
}

#[test]
fn who_is_given_up_has_a_second_turn_before_those_that_failed() {
    let deadline = Instant::now() + Duration::from_secs(100);
    let (batch, results) = ten(Some(Ending::new(deadline, 0)));
    let mut order = Vec::new();
    let mut patient = Vec::new();
    while let Some(turn) = batch.take(None) {
        time_out(&batch, &turn);
        order.push(turn.index);
        patient.push(turn.patience.is_none());
    }
    // A quarter of ten, rounded up, is given up early; the others have as long as they need.
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 8, 9]);
    assert_eq!(patient[..4], [false, false, false, true]);
    assert!(patient[4..].iter().all(|is_patient| *is_patient));
    assert_eq!(results.results.len(), 10);
}

#[test]
fn a_first_turn_has_an_even_share_of_the_time_left() {
    let deadline = Instant::now() + Duration::from_secs(100);
    let (batch, _results) = ten(Some(Ending::new(deadline, 0)));
    // 98.95 s for scrapes, two workers, ten targets.
    let patience = batch.take(None).and_then(|turn| turn.patience);
    let share = patience.map_or(0, |patience| patience.as_millis());
    assert!((19_000..19_800).contains(&share), "{share}");
    let (batch, _results) = ten(None);
    let without_deadline = batch.take(None).map(|turn| turn.patience);
    assert_eq!(without_deadline, Some(None));
}

#[test]
fn a_batch_that_has_a_turn_again_has_to_be_put_into_a_queue() {
    let deadline = Instant::now() + Duration::from_secs(100);
    let (batch, results) = ten(Some(Ending::new(deadline, 0)));
    assert_eq!(batch.put_back(), Some(Lane::Answering));
    let turns: Vec<Turn> = (0..10).filter_map(|_| batch.take(None)).collect();
    assert_eq!(
        turns.len(),
        3 + 2,
        "all quick targets and two doubtful ones"
    );
    assert_eq!(batch.put_back(), None);
    assert!(!time_out(&batch, &turns[0]), "two doubtful ones are enough");
    assert!(time_out(&batch, &turns[3]), "it stood in no queue");
    assert!(!time_out(&batch, &turns[4]), "somebody is at it");
    assert_eq!(batch.put_back(), Some(Lane::Doubtful));
    drop(results);
    assert_eq!(batch.put_back(), None, "nobody waits for it");
}

#[test]
fn who_was_slow_but_answered_may_take_any_worker() {
    let (batch, _results) = ten(None);
    for turn in (0..6).filter_map(|_| batch.take(None)).collect::<Vec<_>>() {
        time_out(&batch, &turn);
    }
    let sixth = batch.take(None);
    assert_eq!(sixth.map(|turn| turn.index), Some(5), "never scraped");
    let index = |only| batch.take(Some(only)).map(|turn| turn.index);
    assert_eq!(index(Lane::Doubtful), None);
    assert_eq!(index(Lane::Answering), Some(6), "slow");
    assert_eq!(index(Lane::Answering), Some(7), "slow");
    assert_eq!(index(Lane::Answering), None);
    assert_eq!(index(Lane::Doubtful), Some(8), "failed");
}
