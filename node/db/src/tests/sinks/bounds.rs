//! What is held of the log for a sink that cannot send, and what happens then.

use super::*;
use crate::Setback;

/// Rows of 700 KiB of which nothing compresses: what does would hold nothing.
async fn write_much(db: &Db, count: usize) {
    let mut random = vec![0_u8; 700 << 10];
    for n in 0..count {
        db.inner.env.rng.fill(&mut random);
        let hex: String = random
            .iter()
            .map(|byte| char::from(b'0' + byte % 64))
            .collect();
        let hex = hex.replace('\'', "_");
        let sql =
            format!("INSERT INTO plant.t (device, n, temp, more) VALUES ('a', {n}, 90, '{hex}')");
        run(db, &sql).await;
    }
}

#[test]
fn the_oldest_are_left_out_and_counted_where_too_much_of_the_log_would_be_held() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sink =
            "CREATE SINK s TO 'https://h/' WITH (hold_mib = 20, batch = 100, max_retry = '1 s')
            AS SELECT device, n FROM plant.t WHERE temp > 80";
        let (db, receivers) = with_sink(dir.path(), sink).await;
        let down = Arc::new(Mutex::new(true));
        for _ in 0..10_000 {
            let down = down.clone();
            receivers.then(move |parcels| match *down.lock() {
                true => Carried {
                    taken: 0,
                    setback: Some(Setback::Later("it is down".to_owned(), None)),
                },
                false => Carried::all(parcels.len()),
            });
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        let total = 100;
        write_much(&db, total).await;
        eventually(
            &db,
            "SELECT skipped > 0, held_bytes <= 2 * 20 * 1024 * 1024 FROM system.sinks",
            &["true|true"],
        )
        .await;
        *down.lock() = false;
        eventually(
            &db,
            &format!("SELECT state, sent + skipped = {total}, sent > 0 FROM system.sinks"),
            &["current|true|true"],
        )
        .await;
        assert!(kinds(&db).contains(&"sink_skipped"));
        // What arrived is the newest, in order.
        let bodies = receivers.bodies();
        let first = total - bodies.len();
        let wanted: Vec<String> = (first..total).map(|n| format!("a|{n}")).collect();
        assert_eq!(bodies, wanted);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn too_much_is_held_for_no_receiver_that_takes_its_time_either() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sink = "CREATE SINK s TO 'https://h/' WITH (hold_mib = 20, batch = 100) AS
            SELECT device, n FROM plant.t WHERE temp > 80";
        let (db, receivers) = with_sink(dir.path(), sink).await;
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        receivers.then(move |parcels| {
            let _ = held.recv();
            Carried::all(parcels.len())
        });
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        let total = 80;
        write_much(&db, total).await;
        // All of it while the first try is under way.
        eventually(
            &db,
            "SELECT skipped > 0, sent, held_bytes <= 2 * 20 * 1024 * 1024 FROM system.sinks",
            &["true|0|true"],
        )
        .await;
        assert_eq!(receivers.tried.lock().len(), 1);
        let_go.send(()).unwrap();
        // What was under way was taken after all, and nothing is counted twice.
        eventually(
            &db,
            &format!("SELECT state, sent + skipped = {total} FROM system.sinks"),
            &["current|true"],
        )
        .await;
        let first = receivers.tried.lock()[0].len();
        let bodies = receivers.bodies();
        let mut wanted: Vec<String> = (0..first).map(|n| format!("a|{n}")).collect();
        let rest = bodies.len() - first;
        wanted.extend((total - rest..total).map(|n| format!("a|{n}")));
        assert_eq!(bodies, wanted);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_record_that_cannot_be_told_does_not_hold_up_what_follows() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sink = "CREATE SINK s TO 'https://h/' WITH (attempts = 2, max_retry = '1 s')
            AS SELECT device, 12 / n AS part FROM plant.t";
        let (db, receivers) = with_sink(dir.path(), sink).await;
        write(&db, "a", 1..2, 90).await;
        write(&db, "a", 0..1, 90).await;
        write(&db, "a", 2..3, 90).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|2|0|1"]).await;
        assert_eq!(receivers.bodies(), ["a|12", "a|6"]);
        let told = kinds(&db);
        assert_eq!(
            told.iter().filter(|kind| **kind == "sink_skipped").count(),
            1
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_receiver_that_takes_one_and_goes_away_is_told_of_once() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        write(&db, "a", 0..8, 90).await;
        for _ in 0..4 {
            receivers.then(|_| Carried::later(1, "it closed"));
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|8|0|0"]).await;
        let wanted: Vec<String> = (0..8).map(|n| format!("a|{n}|90.0")).collect();
        assert_eq!(receivers.bodies(), wanted);
        assert_eq!(kinds(&db), ["sink_failing", "sink_recovered"]);
        db.shutdown().await.unwrap();
    });
}
