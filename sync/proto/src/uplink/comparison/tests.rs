//! The edge's comparison, driven by hand: one question at a time, and nothing that comes late counts.

use std::time::Duration;

use activestore_types::ErrorKind;

use super::*;
use crate::reconcile::answer;
use crate::reconcile::tests::model::{Model, readings};

const START: Duration = Duration::from_secs(5);

/// Everything that was put out.
fn drain(out: &mut Outputs) -> Vec<EdgeOutput> {
    out.drain(..).collect()
}

/// Plays host and cloud until the comparison reports.
fn play(comparison: &mut Comparison, here: &Model, there: &Model, out: &mut Outputs) -> EdgeEvent {
    for _ in 0..10_000 {
        match out.pop_front().expect("the comparison stands still") {
            EdgeOutput::Call(EdgeCall::Compare {
                mut comparing,
                answer,
            }) => {
                let step = comparing.step(here, answer);
                comparison.stepped(START, comparing, step, out);
            }
            EdgeOutput::Send(Frame::Question(question)) => {
                comparison.answered(answer(&question, there), out);
            }
            EdgeOutput::Event(event) => return event,
            other => panic!("{other:?}"),
        }
    }
    panic!("the comparison has no end");
}

fn pair() -> (Model, Model) {
    (Model::of(readings(500, 3)), Model::of(readings(400, 3)))
}

#[test]
fn it_reports_to_who_asked_and_takes_one_at_a_time() {
    let (here, there) = pair();
    let mut out = Outputs::new();
    let mut comparison = Comparison::new();
    assert!(!comparison.can());
    comparison.begin(START);
    assert!(comparison.can());
    comparison.ask(7, false, &mut out);
    // A second one is refused and does not disturb the first.
    comparison.ask(8, true, &mut out);
    let refused = out.pop_back();
    assert!(
        matches!(
            &refused,
            Some(EdgeOutput::Event(EdgeEvent::Compared { id: 8, result: Err(error) }))
                if error.kind() == ErrorKind::Conflict
        ),
        "{refused:?}"
    );
    match play(&mut comparison, &here, &there, &mut out) {
        EdgeEvent::Compared { id, result } => {
            assert_eq!(id, 7);
            assert_eq!(result.unwrap().outcome.differences, 100);
        }
        other => panic!("{other:?}"),
    }
    assert!(drain(&mut out).is_empty());
}

#[test]
fn an_answer_that_never_comes_or_comes_late_is_given_up() {
    let (here, there) = pair();
    let mut out = Outputs::new();
    let mut comparison = Comparison::new();
    comparison.begin(START);
    comparison.ask(1, false, &mut out);
    let Some(EdgeOutput::Call(EdgeCall::Compare { mut comparing, .. })) = out.pop_front() else {
        panic!("the host is not asked");
    };
    let step = comparing.step(&here, None);
    comparison.stepped(START, comparing, step, &mut out);
    let Some(EdgeOutput::Send(Frame::Question(question))) = out.pop_front() else {
        panic!("the cloud is not asked");
    };
    let late = comparison.next_timeout().unwrap();
    comparison.handle_timeout(late - Duration::from_millis(1), true, &mut out);
    assert!(drain(&mut out).is_empty());
    comparison.handle_timeout(late, true, &mut out);
    let over = drain(&mut out);
    assert!(
        matches!(
            over.as_slice(),
            [EdgeOutput::Event(EdgeEvent::Compared {
                id: 1,
                result: Err(_)
            })]
        ),
        "{over:?}"
    );
    // It comes after all, while another comparison waits for its own answer.
    comparison.ask(2, false, &mut out);
    let Some(EdgeOutput::Call(EdgeCall::Compare { mut comparing, .. })) = out.pop_front() else {
        panic!("the host is not asked");
    };
    let step = comparing.step(&here, None);
    comparison.stepped(START, comparing, step, &mut out);
    comparison.answered(answer(&question, &there), &mut out);
    match play(&mut comparison, &here, &there, &mut out) {
        EdgeEvent::Compared { id, result } => {
            assert_eq!(id, 2);
            assert_eq!(result.unwrap().outcome.differences, 100);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_clock_asks_only_where_nothing_waits_to_be_shipped() {
    let (here, there) = pair();
    let mut out = Outputs::new();
    let mut comparison = Comparison::new();
    comparison.begin(START);
    let due = comparison.next_timeout().unwrap();
    assert!(due > START);
    comparison.handle_timeout(due, false, &mut out);
    assert!(drain(&mut out).is_empty());
    let due = comparison.next_timeout().unwrap();
    comparison.handle_timeout(due, true, &mut out);
    match play(&mut comparison, &here, &there, &mut out) {
        EdgeEvent::Scrubbed(report) => assert_eq!(report.outcome.differences, 100),
        other => panic!("{other:?}"),
    }
    // Who asks while the clock's is under way gets its report.
    let due = comparison.next_timeout().unwrap();
    comparison.handle_timeout(due, true, &mut out);
    comparison.ask(9, false, &mut out);
    match play(&mut comparison, &here, &there, &mut out) {
        EdgeEvent::Compared { id, .. } => assert_eq!(id, 9),
        other => panic!("{other:?}"),
    }
}
