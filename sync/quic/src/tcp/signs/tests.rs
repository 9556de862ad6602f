//! How soon a dead link is found, and what counts as life.
use super::*;

fn options(keep_alive_ms: u64, idle_ms: u64) -> TransportOptions {
    TransportOptions {
        keep_alive: Some(Duration::from_millis(keep_alive_ms)),
        idle_timeout: Duration::from_millis(idle_ms),
        ..TransportOptions::default()
    }
}

#[test]
fn a_dead_link_is_found_as_soon_as_over_quic_where_tcp_can_be_that_quick() {
    for keep_alive in [100, 500, 1000, 2000, 5000, 25_000, 60_000, 3_600_000] {
        for times in [2, 3, 5, 20] {
            let options = options(keep_alive, (keep_alive * times).max(1000));
            let (every, patience) = (every(&options).unwrap(), patience(&options));
            let quic = options.dead_link_found_within().unwrap();
            let least = options.keep_alive.unwrap() + SILENCE_MIN;
            assert!(every + patience <= quic.max(least), "{options:?}");
            assert!(patience >= SILENCE_MIN && every >= options.keep_alive.unwrap());
        }
    }
    let lively = options(2000, 5000);
    assert_eq!(
        every(&lively).unwrap() + patience(&lively),
        Duration::from_secs(7)
    );
    let usual = TransportOptions::default();
    assert_eq!(every(&usual), Some(Duration::from_secs(50)));
    assert_eq!(patience(&usual), Duration::from_secs(35));
    let silent = TransportOptions {
        keep_alive: None,
        ..usual
    };
    assert_eq!(
        (every(&silent), patience(&silent)),
        (None, usual.idle_timeout)
    );
}

#[test]
fn bytes_that_move_are_life_and_an_unanswered_ping_is_not() {
    let signs = Signs::new();
    let at = |us: u64| Some(signs.started + Duration::from_micros(us));
    let gone_at = |writing_since| signs.gone_at(Duration::from_micros(500), writing_since);
    assert_eq!(gone_at(None), None, "nothing was asked");
    assert_eq!(gone_at(Some(70)), at(570), "a write that is stuck");
    signs.asked.store(100, Ordering::Relaxed);
    assert_eq!(gone_at(None), at(600));
    signs.asked();
    assert_eq!(gone_at(None), at(600), "a later ping is no sign of life");
    signs.moved.store(400, Ordering::Relaxed);
    assert_eq!((gone_at(None), gone_at(Some(70))), (at(900), at(900)));
    signs.answered();
    assert_eq!(gone_at(None), None, "it was answered");
    signs.asked();
    assert!(gone_at(None) >= at(500));
    let second = Duration::from_secs(1);
    assert_eq!(patience_at(second * 5, second), second * 5);
    assert_eq!(patience_at(second * 5, second * 3), second * 9);
}

#[tokio::test]
async fn who_does_not_answer_is_gone_and_who_was_not_asked_is_not() {
    let signs = Signs::new();
    let soon = Duration::from_millis(20);
    let gone = tokio::time::timeout(soon, signs.gone(Duration::ZERO, None)).await;
    assert!(gone.is_err(), "nobody was asked");
    signs.asked();
    signs.gone(soon, None).await;
}
