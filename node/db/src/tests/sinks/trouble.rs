//! Events that a receiver chokes on, batches that go again, tables that cannot keep what was refused, and sinks that are
//! made again under a name.

use super::*;

/// What each try was given, by the numbers of the rows.
fn tried(receivers: &Receivers) -> Vec<Vec<u32>> {
    let number = |parcel: &Parcel| {
        let body = String::from_utf8(parcel.body.clone()).unwrap();
        body.split('|').nth(1).unwrap().parse().unwrap()
    };
    let tried = receivers.tried.lock();
    let tried = tried.iter();
    tried
        .map(|parcels| parcels.iter().map(number).collect())
        .collect()
}

/// The keys of each try, as a web hook has them.
fn keys(receivers: &Receivers) -> Vec<(String, String)> {
    let tried = receivers.tried.lock();
    let ends = tried.iter().map(|parcels| {
        let (first, last) = (parcels.first().unwrap(), parcels.last().unwrap());
        (first.id.clone(), last.id.clone())
    });
    ends.collect()
}

#[test]
fn an_event_that_there_are_no_words_for_is_left_out() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        run(&db, "ALTER SINK hot SET (refused_into = 'plant.refused')").await;
        // The first of a batch, one in the middle, and one alone.
        write(&db, "wordless", 0..1, 90).await;
        write(&db, "a", 1..3, 90).await;
        write(&db, "wordless", 3..4, 90).await;
        write(&db, "a", 4..5, 90).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|3|2|0"]).await;
        write(&db, "wordless", 5..6, 90).await;
        eventually(&db, STANDS, &["current|3|3|0"]).await;
        assert_eq!(receivers.bodies(), ["a|1|90.0", "a|2|90.0", "a|4|90.0"]);
        assert_eq!(kinds(&db), ["sink_refused"]);
        let kept = "SELECT count(*), count(event), min(reason) FROM plant.refused";
        assert_eq!(
            rows(&db, kept).await,
            ["3|0|it cannot be put into words: a value has no JSON form"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn an_event_upon_which_connections_break_off_is_left_out_and_no_other() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        run(&db, "ALTER SINK hot SET (refused_into = 'plant.refused')").await;
        write(&db, "a", 0..8, 90).await;
        // A receiver that is away, or says so, costs nothing however often.
        for _ in 0..2 {
            receivers.then(|_| Carried::away(0, "nobody is there"));
            receivers.then(|_| Carried::broke_off(0, "it closed"));
            receivers.then(|_| Carried::later(0, "it is busy"));
        }
        for _ in 0..60 {
            receivers.then(|parcels| {
                match parcels.iter().any(|one| one.body.starts_with(b"a|3|")) {
                    true => Carried::broke_off(0, "it closed"),
                    false => Carried::all(parcels.len()),
                }
            });
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|7|1|0"]).await;
        let wanted = (0..8).filter(|n| *n != 3).map(|n| format!("a|{n}|90.0"));
        assert_eq!(receivers.bodies(), wanted.collect::<Vec<_>>());
        let all: Vec<u32> = (0..8).collect();
        let tried = tried(&receivers);
        // As it was composed, then one by one; and when it was left out, it was alone.
        assert_eq!(tried[..9], vec![all; 9]);
        assert_eq!(tried[9..12], [[0], [1], [2]]);
        assert_eq!(tried.iter().filter(|one| **one == [3]).count(), 3);
        assert_eq!(
            kinds(&db),
            ["sink_failing", "sink_recovered", "sink_refused"]
        );
        assert_eq!(
            rows(&db, "SELECT reason, event FROM plant.refused").await,
            ["the connection broke off upon it 3 times: it closed|a|3|90.0"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_batch_goes_again_as_it_was_composed_also_after_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        write(&db, "a", 0..3, 90).await;
        let pause = Some(Duration::from_millis(1_500));
        receivers.then(move |parcels| Carried::by_status(503, pause, parcels.len()));
        receivers.then(|_| Carried::away(0, "nobody is there"));
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, "SELECT state FROM system.sinks", &["failing"]).await;
        write(&db, "a", 3..5, 90).await;
        eventually(&db, STANDS, &["current|5|0|0"]).await;
        let first = [0, 1, 2].to_vec();
        assert_eq!(
            tried(&receivers),
            [first.clone(), first.clone(), first, vec![3, 4]]
        );
        let of = keys(&receivers);
        assert_eq!(of[0], of[1]);
        // It is noted as well.
        for _ in 0..4 {
            receivers.then(|_| Carried::away(0, "nobody is there"));
        }
        write(&db, "a", 5..7, 90).await;
        eventually(&db, "SELECT state FROM system.sinks", &["failing"]).await;
        write(&db, "a", 7..9, 90).await;
        db.shutdown().await.unwrap();
        drop(db);
        let before = keys(&receivers).last().cloned().unwrap();
        receivers.fates.lock().clear();
        let given = receivers.tried.lock().len();
        let (db, _) = with_sink(dir.path(), SINK).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|9|0|0"]).await;
        assert_eq!(keys(&receivers)[given], before);
        assert_eq!(tried(&receivers)[given..], [[5, 6], [7, 8]]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_batch_that_is_not_done_in_time_is_halved() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        write(&db, "a", 0..8, 90).await;
        // A link that brings two events in the time that there is.
        for _ in 0..7 {
            receivers.then(|parcels| match parcels.len() <= 2 {
                true => Carried::all(parcels.len()),
                false => Carried::late(0, "nobody answered in time"),
            });
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|8|0|0"]).await;
        let all: Vec<u32> = (0..8).collect();
        // Once more under its key, for its receiver may only have been slow.
        let tried = tried(&receivers);
        assert_eq!(tried[..2], [all.clone(), all]);
        assert_eq!(tried[2..4], [vec![0, 1, 2, 3], vec![0, 1]]);
        assert_eq!(tried[4..], [[2, 3], [4, 5], [6, 7]]);
        assert_eq!(kinds(&db), ["sink_failing", "sink_recovered"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_table_that_cannot_keep_what_is_refused_stops_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        let from_above = "rows of cloud.refused come from the cloud";
        run(&db, "CREATE KEYSPACE cloud WITH (sync = 'down')").await;
        for sql in [
            "ALTER SINK hot SET (refused_into = 'cloud.refused')",
            "CREATE SINK s TO 'https://h/' WITH (refused_into = 'cloud.refused') AS SELECT device FROM plant.t",
        ] {
            let error = fails(&db, sql).await;
            assert!(error.to_string().contains(from_above), "{error}");
        }
        run(&db, "ALTER SINK hot SET (refused_into = 'plant.refused')").await;
        run(&db, "CREATE TABLE plant.refused (sink TEXT, id TEXT, at TIMESTAMP, reason TEXT, event JSON, PRIMARY KEY ((sink), id))").await;
        let down = "ALTER TABLE plant.refused WITH (sync = 'down')";
        let error = fails(&db, down).await;
        assert!(error.to_string().contains("come from the cloud"), "{error}");
        // Another node's word is taken all the same.
        let change = activestore_catalog::Change::AlterOptions {
            table: "plant.refused".parse().unwrap(),
            options: activestore_catalog::TableOptions {
                sync: Some(activestore_types::SyncMode::Down),
                ..Default::default()
            },
        };
        db.inner.catalog.apply(change).unwrap();
        for _ in 0..2 {
            receivers.then(|parcels| Carried::by_status(422, None, parcels.len()));
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        write(&db, "a", 0..1, 90).await;
        eventually(&db, STANDS, &["current|0|1|0"]).await;
        write(&db, "a", 1..2, 90).await;
        eventually(&db, STANDS, &["current|1|1|0"]).await;
        let told = db.sync_events(0).events;
        assert!(told[0].text.contains("counted alone"), "{}", told[0].text);
        assert_eq!(rows(&db, "SELECT id FROM plant.refused").await, [""; 0]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_sink_of_a_name_that_was_there_begins_anew_at_its_answer() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        // The first one has something on its way while it is dropped.
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        receivers.then(move |_| {
            let _ = held.recv();
            Carried::away(0, "it took long")
        });
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        write(&db, "a", 0..1, 90).await;
        while receivers.tried.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        run(&db, "DROP SINK hot").await;
        run(&db, SINK).await;
        let long = Some(Duration::from_secs(900));
        receivers.then(move |parcels| Carried::by_status(503, long, parcels.len()));
        write(&db, "a", 1..2, 90).await;
        eventually(&db, "SELECT state FROM system.sinks", &["failing"]).await;
        let_go.send(()).unwrap();
        let own = db.definitions().sinks["hot"].id;
        for _ in 0..500 {
            if db.inner.store.notes(b"sink/").len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let notes = db.inner.store.notes(b"sink/");
        let hex: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].0.ends_with(hex.as_bytes()));
        db.shutdown().await.unwrap();
        drop(db);
        let (db, _) = with_sink(dir.path(), SINK).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|1|0|0"]).await;
        assert_eq!(receivers.bodies(), ["a|1|90.0"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_way_to_a_receiver_that_panics_is_made_anew() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        write(&db, "a", 0..3, 90).await;
        for _ in 0..2 {
            receivers.then(|_| panic!("a defect"));
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|3|0|0"]).await;
        assert_eq!(receivers.tried.lock().len(), 3);
        assert_eq!(kinds(&db), ["sink_failing", "sink_recovered"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_of_other_nodes_are_taken_whatever_a_sink_here_does_with_their_table() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = crate::tests::flowing_down::ends();
        run(&edge, "CREATE KEYSPACE plant WITH (sync = 'up')").await;
        run(&edge, "CREATE TABLE plant.kept (device TEXT PRIMARY KEY)").await;
        run(&cloud, "CREATE KEYSPACE plant").await;
        run(&cloud, "CREATE TABLE plant.t (device TEXT PRIMARY KEY)").await;
        run(&cloud, "CREATE SINK hot TO 'https://h/' WITH (refused_into = 'plant.kept') AS SELECT device FROM plant.t").await;
        let error = fails(&cloud, "CREATE TABLE plant.kept (device TEXT PRIMARY KEY)").await;
        assert!(error.to_string().contains("sink 'hot'"), "{error}");
        run(&edge, "INSERT INTO plant.kept VALUES ('a')").await;
        crate::tests::shipping::ship(&edge, &cloud);
        assert_eq!(rows(&cloud, "SELECT device FROM plant.kept").await, ["a"]);
        let aside = "SELECT count(*) FROM system.rejected_writes";
        assert_eq!(rows(&cloud, aside).await, ["0"]);
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}
