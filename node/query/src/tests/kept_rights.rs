//! Plans that are kept are for all who ask: each is asked for its own rights, each time. What one session changed is
//! not there in the next.

use std::collections::BTreeSet;

use activestore_types::ErrorKind;

use super::functions::{doubled, twice};
use super::kept::{TIMES, again, kept, one_more};
use super::*;
use crate::access::Access;

/// Tables, functions and models that somebody may use, by their names.
#[derive(Default)]
struct Role(RwLock<BTreeSet<String>>);

impl Role {
    fn of(names: &[&str]) -> Arc<Role> {
        let role = Role::default();
        names.iter().for_each(|name| role.grant(name));
        Arc::new(role)
    }

    fn grant(&self, name: &str) {
        self.0.write().insert(name.to_owned());
    }

    fn revoke(&self, name: &str) {
        self.0.write().remove(name);
    }

    fn may(&self, name: &str) -> Result<()> {
        if self.0.read().contains(name) {
            return Ok(());
        }
        Err(Error::denied(format!("no right to {name}")))
    }
}

impl Access for Role {
    fn may_read(&self, table: &TableName) -> Result<()> {
        self.may(&table.table)
    }
    fn sees_keyspace(&self, _keyspace: &str) -> bool {
        true
    }
    fn system_rows(&self, _table: &str, rows: RecordBatch) -> Result<RecordBatch> {
        Ok(rows)
    }
    fn may_call(&self, function: &str) -> Result<()> {
        self.may(function)
    }
    fn may_predict(&self, model: &str) -> Result<()> {
        self.may(model)
    }
}

#[track_caller]
fn denied(answer: Result<Vec<Vec<String>>>, what: &str) {
    let error = answer.unwrap_err();
    assert!(
        error.message().contains(&format!("no right to {what}")),
        "{error}"
    );
}

#[tokio::test]
async fn each_role_is_asked_for_its_own_rights_each_time() {
    let world = World::new();
    readings(&world);
    let all = engine(&world);
    all.register(twice("twice", doubled)).unwrap();
    let (reader, other) = (
        Role::of(&["readings", "twice", "sum"]),
        Role::of(&["twice"]),
    );
    let mine = all.with_access(reader.clone());
    let theirs = all.with_access(other.clone());
    let tables = "SELECT count(*) FROM plant.readings";
    let nothing_left = "SELECT n FROM plant.readings WHERE 1 = 0";
    let point = "SELECT n FROM plant.readings WHERE device = 'p1' AND ts = '2026-01-01T00:00:07'";
    let calls = "SELECT twice(2)";
    let model = "SELECT predict('sum', 1, 2)";
    for sql in [tables, nothing_left, point] {
        kept(&mine, sql).await;
        for _ in 0..TIMES {
            denied(try_rows(&theirs, sql, &[]).await, "readings");
        }
        // They are kept for those who may.
        assert_eq!(again(&all, sql).await.1, TIMES as u64);
        assert_eq!(again(&mine, sql).await.1, TIMES as u64);
    }
    assert_eq!(kept(&all, calls).await, ["4.0"]);
    assert_eq!(
        again(&theirs, calls).await,
        (vec!["4.0".to_owned()], TIMES as u64)
    );
    assert_eq!(again(&all, model).await.0, ["3.0"]);
    assert_eq!(again(&mine, model).await.0, ["3.0"]);
    for _ in 0..TIMES {
        denied(try_rows(&theirs, model, &[]).await, "sum");
    }
    for right in ["readings", "twice", "sum"] {
        reader.revoke(right);
    }
    for _ in 0..TIMES {
        denied(try_rows(&mine, tables, &[]).await, "readings");
        denied(try_rows(&mine, nothing_left, &[]).await, "readings");
        denied(try_rows(&mine, point, &[]).await, "readings");
        denied(try_rows(&mine, calls, &[]).await, "twice");
        denied(try_rows(&mine, model, &[]).await, "sum");
    }
    other.grant("readings");
    assert_eq!(lines(&theirs, tables).await, ["300"]);
    assert_eq!(lines(&all, calls).await, ["4.0"]);
}

#[tokio::test]
async fn a_prepared_plan_is_asked_for_rights_and_functions_again() {
    let world = World::new();
    let schema = readings(&world);
    let all = engine(&world);
    all.register(twice("twice", doubled)).unwrap();
    let role = Role::of(&["readings", "twice"]);
    let mine = all.with_access(role.clone());
    let sql = "SELECT twice(n) FROM plant.readings WHERE device = 'p1' AND n > 97 ORDER BY n";
    let plan = mine
        .describe(sql, &ParamTypes::new())
        .await
        .unwrap()
        .kept
        .unwrap();
    let run = async || {
        let ran = mine.query_kept(&plan, &[]).await.unwrap();
        match ran {
            Some(rows) => Some(cells(&rows.collect().await.unwrap()).concat()),
            None => None,
        }
    };
    for _ in 0..TIMES {
        assert_eq!(run().await.unwrap(), ["196.0", "198.0"]);
    }
    one_more(&world, &schema, "p1", 300);
    assert_eq!(run().await.unwrap(), ["196.0", "198.0"]);
    for right in ["readings", "twice"] {
        role.revoke(right);
        assert_eq!(run().await, None);
        role.grant(right);
        assert!(run().await.is_some());
    }
    all.register(twice("other", doubled)).unwrap();
    assert_eq!(run().await, None);
}

#[tokio::test]
async fn what_one_session_changed_is_not_in_the_next() {
    let world = World::new();
    readings(&world);
    let all = engine(&world);
    all.register(twice("twice", doubled)).unwrap();
    let bounded = all.with_access(Role::of(&["readings"]));
    let timed = "EXPLAIN ANALYZE SELECT twice(n) FROM plant.readings WHERE device = 'p1'";
    let functions = "SELECT count(*) FROM information_schema.routines WHERE routine_name = 'twice'";
    for _ in 0..TIMES {
        denied(try_rows(&bounded, "SELECT twice(1)", &[]).await, "twice");
        assert_eq!(lines(&bounded, functions).await, ["0"]);
        assert_eq!(lines(&all, functions).await, ["1"]);
        assert_eq!(lines(&all, "SELECT twice(1)").await, ["2.0"]);
        assert!(
            lines(&all, timed)
                .await
                .join(" ")
                .contains("twice(): calls=")
        );
        denied(
            try_rows(&bounded, "SELECT predict('sum', 1, 2)", &[]).await,
            "sum",
        );
        assert_eq!(lines(&all, "SELECT predict('sum', 1, 2)").await, ["3.0"]);
        denied(
            try_rows(&bounded, "SELECT name FROM system.tables", &[]).await,
            "tables",
        );
        assert_eq!(
            lines(&all, "SELECT name FROM system.tables").await,
            ["readings"]
        );
    }
}

/// Many at once: texts that are kept, functions that change, rows that are written, a definition that comes and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_see_no_more_than_they_may_and_nothing_old() {
    let world = World::new();
    let schema = readings(&world);
    let all = engine(&world);
    all.register(twice("twice", doubled)).unwrap();
    let role = Role::of(&["readings", "twice"]);
    let (mine, theirs) = (all.with_access(role), all.with_access(Role::of(&[])));
    let reading = (0..4).map(|reader| {
        let (mine, theirs) = (mine.clone(), theirs.clone());
        tokio::spawn(async move {
            let mut most = 0_usize;
            for round in 0..60 {
                let sql = "SELECT count(*) FROM plant.readings WHERE device = 'p1'";
                let count: usize = lines(&mine, sql).await[0].parse().unwrap();
                assert!(count >= most, "reader {reader}: {count} after {most}");
                most = count;
                denied(try_rows(&theirs, sql, &[]).await, "readings");
                match try_rows(&mine, "SELECT twice(4)", &[]).await {
                    Ok(rows) => assert!(["8.0", "1.0"].contains(&rows[0][0].as_str())),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                }
                let wide = "SELECT * FROM plant.readings WHERE device = 'p1' ORDER BY ts LIMIT 1";
                assert_eq!(rows(&mine, wide).await[0].len(), 7, "round {round}");
            }
            most
        })
    });
    let reading: Vec<_> = reading.collect();
    let writing = {
        let (world, all) = (world.clone(), all.clone());
        tokio::spawn(async move {
            for round in 0..40 {
                one_more(&world, &schema, "p1", 1000 + round);
                if round % 4 == 0 {
                    all.deregister("twice");
                } else {
                    let gives: fn(usize, &[ArrayRef]) -> Result<ArrayRef> = if round % 4 == 1 {
                        |rows, _| Ok(Arc::new(Float64Array::from(vec![1.0; rows])))
                    } else {
                        doubled
                    };
                    all.register(twice("twice", gives)).unwrap();
                }
                tokio::task::yield_now().await;
            }
        })
    };
    writing.await.unwrap();
    for reader in reading {
        assert!(reader.await.unwrap() <= 140);
    }
    assert_eq!(
        lines(
            &mine,
            "SELECT count(*) FROM plant.readings WHERE device = 'p1'"
        )
        .await,
        ["140"]
    );
    assert_eq!(lines(&mine, "SELECT twice(4)").await, ["8.0"]);
}
