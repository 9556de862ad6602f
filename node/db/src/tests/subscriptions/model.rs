//! Random writes, deletes, restarts and reconnections, alone and with other nodes.

use proptest::prelude::*;

use super::super::flowing_down::adopt;
use super::super::shipping::ship;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64, i8),
    /// Some cells of a row, whether it is there or not.
    Note(u8, i64, u8),
    Update(u8, i64, i8),
    Delete(u8, i64),
    DeleteFrom(u8, i64),
    DeletePartition(u8),
    /// A delete and a write of one key in one record.
    Instead(u8, i64, i8),
    Many(u8, i8),
    /// So many events are heard, and then the connection is lost.
    Reconnect(u8),
    /// What is committed goes to files.
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (device, seq) = (0..3_u8, 0..6_i64);
    let temp = -4..5_i8;
    prop_oneof![
        4 => (device.clone(), seq.clone(), temp.clone()).prop_map(|(d, s, t)| Step::Put(d, s, t)),
        2 => (device.clone(), seq.clone(), 0..9_u8).prop_map(|(d, s, n)| Step::Note(d, s, n)),
        2 => (device.clone(), seq.clone(), temp.clone()).prop_map(|(d, s, t)| Step::Update(d, s, t)),
        2 => (device.clone(), seq.clone()).prop_map(|(d, s)| Step::Delete(d, s)),
        1 => (device.clone(), seq.clone()).prop_map(|(d, s)| Step::DeleteFrom(d, s)),
        1 => device.clone().prop_map(Step::DeletePartition),
        2 => (device.clone(), seq, temp.clone()).prop_map(|(d, s, t)| Step::Instead(d, s, t)),
        1 => (device, temp).prop_map(|(d, t)| Step::Many(d, t)),
        1 => (0..12_u8).prop_map(Step::Reconnect),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

async fn write(db: &Db, step: &Step) {
    let sql = match step {
        Step::Put(d, s, t) => format!("INSERT INTO k.t VALUES ('d{d}', {s}, {t}, 'put')"),
        Step::Note(d, s, n) => {
            format!("INSERT INTO k.t (device, seq, note) VALUES ('d{d}', {s}, 'n{n}')")
        }
        Step::Update(d, s, t) => {
            format!("UPDATE k.t SET temp = {t} WHERE device = 'd{d}' AND seq = {s}")
        }
        Step::Delete(d, s) => format!("DELETE FROM k.t WHERE device = 'd{d}' AND seq = {s}"),
        Step::DeleteFrom(d, s) => format!("DELETE FROM k.t WHERE device = 'd{d}' AND seq >= {s}"),
        Step::DeletePartition(d) => format!("DELETE FROM k.t WHERE device = 'd{d}'"),
        Step::Instead(d, s, t) => format!(
            "BEGIN BATCH; DELETE FROM k.t WHERE device = 'd{d}' AND seq = {s}; INSERT INTO k.t (device, seq, temp) VALUES ('d{d}', {s}, {t}); APPLY BATCH"
        ),
        Step::Many(d, t) => {
            let rows: Vec<String> = (0..20)
                .map(|n| {
                    format!(
                        "('d{d}', {}, {}, 'many{n}')",
                        n % 7,
                        t.saturating_add(n % 3)
                    )
                })
                .collect();
            format!("INSERT INTO k.t VALUES {}", rows.join(", "))
        }
        Step::Reconnect(_) | Step::Flush | Step::Restart => return,
    };
    run(db, &sql).await;
}

/// The last write, whose being told ends a run.
async fn mark(db: &Db, round: i64) -> (Key, f64) {
    run(
        db,
        &format!("INSERT INTO k.t VALUES ('zz', 0, {round}, 'end')"),
    )
    .await;
    (("zz".to_owned(), 0), round as f64)
}

/// Hears so many times, loses the connection and goes on behind what was heard last.
async fn reconnect(
    db: &Db,
    mut subscription: Subscription,
    holder: &mut Holder,
    events: u8,
    filter: &str,
) -> Subscription {
    for _ in 0..events {
        // Whatever there is; nothing may be.
        let told = tokio::time::timeout(Duration::from_millis(2), subscription.next());
        match told.await {
            Ok(told) => holder.hear(told.unwrap().unwrap()),
            Err(_) => break,
        }
    }
    drop(subscription);
    if holder.token.is_none() {
        // It was lost before it said where it began.
        *holder = Holder::default();
        return subscribe(db, filter, "leaving = true, snapshot = true", None).await;
    }
    subscribe(db, filter, "leaving = true", holder.token.as_deref()).await
}

async fn play(steps: Vec<Step>, filter: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path(), Role::Edge);
    run(&db, TABLE).await;
    let options = "leaving = true";
    let mut subscription = subscribe(&db, filter, options, None).await;
    let mut holder = Holder::default();
    holder.hear(next(&mut subscription).await.unwrap());
    for step in &steps {
        write(&db, step).await;
        match step {
            Step::Reconnect(events) => {
                subscription = reconnect(&db, subscription, &mut holder, *events, filter).await;
            }
            Step::Flush => db.inner.store.flush().unwrap(),
            Step::Restart => {
                db.shutdown().await.unwrap();
                drop((subscription, db));
                db = open(dir.path(), Role::Edge);
                let token = holder.token.clone();
                subscription = subscribe(&db, filter, options, token.as_deref()).await;
            }
            _ => {}
        }
    }
    let (key, temp) = mark(&db, 100).await;
    holder.until(&mut subscription, &key, temp).await;
    assert_eq!(holder.rows, shown(&db, filter).await);
    drop(subscription);
    db.shutdown().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn who_keeps_the_last_of_each_key_holds_what_a_select_shows(
        steps in prop::collection::vec(step(), 1..40),
        all in any::<bool>(),
    ) {
        let filter = if all { "true" } else { "temp > 0 OR note = 'n3'" };
        runtime().block_on(play(steps, filter));
    }

    #[test]
    fn rows_of_several_nodes_end_as_a_select_shows_them(
        steps in prop::collection::vec((any::<bool>(), step()), 1..24),
    ) {
        runtime().block_on(async {
            let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let cloud = open(dirs[0].path(), Role::Cloud);
            run(&cloud, &TABLE.replace("'up'", "'both'")).await;
            let edge = open(dirs[1].path(), Role::Edge);
            adopt(&edge, &cloud);
            let mut subscription = subscribe(&cloud, "true", "leaving = true", None).await;
            let mut holder = Holder::default();
            for (at_cloud, step) in &steps {
                if *at_cloud {
                    write(&cloud, step).await;
                } else {
                    write(&edge, step).await;
                }
                // What an edge wrote comes late, when the cloud has written to the same rows since.
                if matches!(step, Step::Reconnect(_) | Step::Restart) {
                    ship(&edge, &cloud);
                }
                if let Step::Reconnect(events) = step {
                    subscription = reconnect(&cloud, subscription, &mut holder, *events, "true").await;
                }
            }
            ship(&edge, &cloud);
            let (key, temp) = mark(&cloud, 100).await;
            holder.until(&mut subscription, &key, temp).await;
            assert_eq!(holder.rows, shown(&cloud, "true").await);
            drop(subscription);
            edge.shutdown().await.unwrap();
            cloud.shutdown().await.unwrap();
        });
    }
}

#[test]
fn writers_of_the_same_keys_at_once_end_as_a_select_shows_them() {
    const WRITERS: i64 = 6;
    const WRITES: i64 = 60;
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let mut subscriptions = Vec::new();
        for filter in ["true", "temp >= 100", "seq = 1 OR device = 'zz'"] {
            subscriptions.push((filter, subscribe(&db, filter, "leaving = true", None).await));
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let db = db.clone();
                tokio::spawn(async move {
                    for n in 0..WRITES {
                        let temp = writer * WRITES + n;
                        let sql = match n % 9 {
                            7 => format!("DELETE FROM k.t WHERE device = 'd' AND seq = {}", n % 4),
                            8 => format!(
                                "UPDATE k.t SET temp = {temp} WHERE device = 'd' AND seq = {}",
                                n % 4
                            ),
                            _ => format!(
                                "INSERT INTO k.t VALUES ('d', {}, {temp}, 'w{writer}')",
                                n % 4
                            ),
                        };
                        run(&db, &sql).await;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let (key, temp) = mark(&db, 1000).await;
        for (filter, mut subscription) in subscriptions {
            let mut holder = Holder::default();
            holder.until(&mut subscription, &key, temp).await;
            assert_eq!(holder.rows, shown(&db, filter).await, "{filter}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_a_table_holds_goes_over_into_what_is_written_without_a_gap() {
    const ROWS: i64 = 400;
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let writer = {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0..ROWS {
                    run(
                        &db,
                        &format!("INSERT INTO k.t VALUES ('d{}', {n}, {n}, 'x')", n % 3),
                    )
                    .await;
                    if n % 50 == 0 {
                        db.inner.store.flush().unwrap();
                    }
                }
            })
        };
        // Subscribers come in the middle of it, at whatever moments.
        let mut subscriptions = Vec::new();
        for _ in 0..8 {
            subscriptions.push(subscribe(&db, "true", "snapshot = true", None).await);
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        writer.await.unwrap();
        let (key, temp) = mark(&db, 1000).await;
        let whole = shown(&db, "true").await;
        assert_eq!(whole.len(), ROWS as usize + 1);
        for mut subscription in subscriptions {
            let mut holder = Holder::default();
            holder.until(&mut subscription, &key, temp).await;
            while !holder.live {
                holder.hear(next(&mut subscription).await.unwrap());
            }
            assert_eq!(holder.rows, whole);
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn nobody_is_told_of_an_older_state_after_a_newer_one() {
    const WRITES: i64 = 500;
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let writer = {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 1..WRITES {
                    let key = format!("device = 'd' AND seq = {}", n % 3);
                    let sql = match n % 7 {
                        // Rows that are read, between rows that are not.
                        0 | 3 => format!("UPDATE k.t SET temp = {n} WHERE {key}"),
                        5 => format!(
                            "INSERT INTO k.t (device, seq, temp) VALUES ('d', {}, {n})",
                            n % 3
                        ),
                        _ => format!("INSERT INTO k.t VALUES ('d', {}, {n}, 'x')", n % 3),
                    };
                    run(&db, &sql).await;
                }
            })
        };
        let mut subscriptions = Vec::new();
        for options in [
            "snapshot = true",
            "leaving = true",
            "snapshot = true",
            "snapshot = true",
        ] {
            subscriptions.push(subscribe(&db, "true", options, None).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        writer.await.unwrap();
        let (key, temp) = mark(&db, 1000).await;
        for mut subscription in subscriptions {
            let mut holder = Holder::default();
            while holder.rows.get(&key).is_none_or(|row| row.0 != Some(temp)) {
                let before = holder.rows.clone();
                let told = next(&mut subscription).await.unwrap();
                if let Told::Changes(changes) = &told {
                    // One by one, within what is told together as well.
                    let mut one = changes.clone();
                    let mut last = before;
                    for change in &changes.list {
                        one.list = vec![*change];
                        let mut now = Holder {
                            rows: last.clone(),
                            ..Holder::default()
                        };
                        now.changes(&one);
                        for (key, (temp, _)) in &now.rows {
                            let was = last.get(key).and_then(|row| row.0);
                            assert!(was <= *temp, "{key:?} was {was:?} and is {temp:?}");
                        }
                        last = now.rows;
                    }
                }
                holder.hear(told);
            }
            assert_eq!(holder.rows, shown(&db, "true").await);
        }
        db.shutdown().await.unwrap();
    });
}
