//! What is told at once, what later, and what not again.

use super::*;
use crate::frame::PluginHealth;

fn health(version: &str, calls: u64, failures: u64) -> Health {
    Health {
        plugins: vec![PluginHealth {
            plugin: "anomaly".to_owned(),
            version: version.to_owned(),
            calls,
            failures,
            off: false,
            since_ms: 1,
        }],
        clock_offset_ms: 0,
    }
}

/// Lets time pass to `at` and answers what is asked with `health`; what was told.
fn told(watching: &mut Watching, at_s: u64, health: &Health) -> Vec<Health> {
    let now = Duration::from_secs(at_s);
    let mut out = Outputs::new();
    watching.handle_timeout(now, &mut out);
    answered(watching, now, health, out)
}

fn answered(
    watching: &mut Watching,
    now: Duration,
    health: &Health,
    mut out: Outputs,
) -> Vec<Health> {
    let mut told = Vec::new();
    while let Some(output) = out.pop_front() {
        match output {
            EdgeOutput::Call(EdgeCall::Health) => {
                watching.looked(now, health.clone(), &mut out);
            }
            EdgeOutput::Send(Frame::Health(health)) => told.push(health),
            other => panic!("{other:?}"),
        }
    }
    told
}

fn begun(health: &Health) -> Watching {
    let mut watching = Watching::new(UplinkOptions::default());
    assert!(watching.next_timeout().is_none());
    let mut out = Outputs::new();
    watching.begin(Duration::ZERO, &mut out);
    let told = answered(&mut watching, Duration::ZERO, health, out);
    assert_eq!(told, std::slice::from_ref(health));
    watching
}

#[test]
fn news_is_told_at_once_and_nothing_twice() {
    let mut watching = begun(&health("1", 0, 0));
    assert!(told(&mut watching, 4, &health("1", 9, 1)).is_empty());
    assert_eq!(told(&mut watching, 5, &health("1", 9, 1)).len(), 1);
    assert!(told(&mut watching, 10, &health("1", 9, 1)).is_empty());
    assert_eq!(told(&mut watching, 15, &health("2", 0, 0)).len(), 1);
    assert_eq!(told(&mut watching, 20, &Health::default()).len(), 1);
}

#[test]
fn calls_that_go_well_are_told_of_more_and_more_rarely() {
    let mut watching = begun(&health("1", 0, 0));
    let mut at = Vec::new();
    for second in (5..3600).step_by(5) {
        if !told(&mut watching, second, &health("1", second, 0)).is_empty() {
            at.push(second);
        }
    }
    assert_eq!(at, [5, 15, 35, 75, 155, 315, 635, 1235, 1835, 2435, 3035]);
    // A failure brings it back to the quick pace.
    assert_eq!(told(&mut watching, 3600, &health("1", 4000, 1)).len(), 1);
    assert_eq!(told(&mut watching, 3605, &health("1", 4001, 1)).len(), 1);
}

#[test]
fn what_is_adopted_during_a_look_is_looked_at_again() {
    let mut watching = begun(&health("1", 0, 0));
    let now = Duration::from_secs(5);
    let mut out = Outputs::new();
    watching.handle_timeout(now, &mut out);
    watching.begin(now, &mut out);
    assert_eq!(out.len(), 1);
    assert!(watching.next_timeout().is_none());
    let mut again = Outputs::new();
    watching.looked(now, health("1", 0, 0), &mut again);
    let told = answered(&mut watching, now, &health("2", 0, 0), again);
    assert_eq!(told, [health("2", 0, 0)]);
}
