//! What is kept stays within its bounds, and what is asked for stays longest.

use crate::tests::{World, engine, engine_with, lines, readings};
use crate::{Engine, EngineOptions};

use super::{ONE_PART, TEXT_BYTES_MAX, TEXTS_MAX, Texts};

async fn planned(engine: &Engine, sql: &str) -> u64 {
    let before = engine.stats().planned;
    lines(engine, sql).await;
    engine.stats().planned - before
}

#[tokio::test]
async fn texts_that_come_once_are_not_kept_and_no_more_than_so_many() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let hot = "SELECT count(*) FROM plant.readings";
    for _ in 0..2 {
        assert_eq!(planned(&engine, hot).await, 1);
    }
    for number in 0..TEXTS_MAX + 50 {
        lines(&engine, &format!("SELECT {number}, 'once'")).await;
    }
    assert_eq!(engine.stats().plans_kept, 1);
    for number in 0..TEXTS_MAX + 50 {
        for _ in 0..2 {
            lines(&engine, &format!("SELECT {number}, 'twice'")).await;
        }
        assert_eq!(planned(&engine, hot).await, 0);
        assert!(engine.stats().plans_kept <= TEXTS_MAX as u64);
    }
    assert_eq!(engine.stats().plans_kept, TEXTS_MAX as u64);
    // The first went for the last.
    assert_eq!(planned(&engine, "SELECT 0, 'twice'").await, 1);
    assert!(engine.knows(hot) && !engine.knows("SELECT 1, 'once'"));
}

#[tokio::test]
async fn large_texts_and_large_plans_are_not_kept() {
    let world = World::new();
    readings(&world);
    let options = EngineOptions {
        memory_bytes: 8 << 20,
        ..EngineOptions::default()
    };
    let room = Texts::new(options.memory_bytes).bytes_max;
    let engine = engine_with(&world, options);
    let long = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
    // 20 columns of 7 for each join.
    let wide = "SELECT * FROM plant.readings a JOIN plant.readings b USING (device, ts) JOIN plant.readings c USING (device, ts)";
    let list: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let list = format!("SELECT 1 IN ({})", list.join(","));
    for sql in [&long, &list] {
        for _ in 0..4 {
            assert_eq!(planned(&engine, sql).await, 1);
        }
    }
    assert_eq!(engine.stats().plans_kept, 0);
    for number in 0..50 {
        for _ in 0..3 {
            lines(
                &engine,
                &format!("{wide} WHERE a.n = {number} AND a.device = 'p1'"),
            )
            .await;
        }
        let stats = engine.stats();
        assert!(stats.plans_kept > 0 && stats.plan_bytes <= room as u64);
        assert!(stats.plan_bytes / stats.plans_kept <= (room / ONE_PART) as u64);
    }
}

#[test]
fn a_text_is_known_by_all_of_it() {
    let texts = Texts::new(64 << 20);
    assert!(!texts.comes_again("SELECT 1"));
    assert!(texts.comes_again("SELECT 1"));
    assert!(!texts.comes_again("SELECT 1 "));
    assert!(texts.find("SELECT 1").is_none() && !texts.holds("SELECT 1"));
    assert_eq!(texts.held(), (0, 0));
}
