//! Logins, and what each statement asks for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use activestore_catalog::Privilege;
use activestore_types::{ErrorKind, KeyHint, NamedBatch, TableName};
use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};

use super::processors::with_plugin;
use super::*;
use crate::auth::Proof;
use crate::{Credentials, Principal};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ADMIN: &str = "CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'";

pub(super) fn role(db: &Db, name: &str) -> Db {
    let known = db.inner.catalog.state();
    let verifier = known
        .roles
        .get(name)
        .and_then(|role| role.verifier.as_ref());
    db.acting_as(Principal::Role(name.into(), Proof::password(verifier)))
}

async fn password(db: &Db, user: &str, password: &str) -> Result<Principal> {
    db.login(Credentials::Password { user, password }, HERE)
        .await
}

async fn denied(db: &Db, sql: &str) -> Error {
    let error = fails(db, sql).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{sql}: {error}");
    error
}

#[test]
fn a_node_is_open_until_a_role_can_log_in() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        let anybody = db.acting_as(Principal::Anybody);
        run(&anybody, PLANT).await;
        // The first role that can log in is one that can let in others.
        let error = fails(&anybody, "CREATE USER reader PASSWORD 'x'").await;
        assert!(error.to_string().contains("SUPERUSER"), "{error}");
        run(&anybody, ADMIN).await;
        for sql in ["SELECT 1", "SHOW TABLES", "DROP ROLE admin"] {
            let error = denied(&anybody, sql).await;
            assert!(error.message().contains("without a login"), "{error}");
        }
        let admin = password(&db, "admin", "open sesame").await.unwrap();
        assert!(matches!(&admin, Principal::Role(name, _) if &**name == "admin"));
        let admin = db.acting_as(admin);
        assert_eq!(rows(&admin, "SELECT 1").await, ["1"]);
        let error = fails(&admin, "DROP ROLE admin").await;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        // It is in the definitions, and nothing shows what checks it.
        assert_eq!(
            rows(&admin, "SHOW ROLES").await,
            ["admin|true|true|true||here"]
        );
        db.shutdown().await.unwrap();
        drop((db, anybody, admin));
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.auth_required = false;
        let db = Db::open(options).unwrap();
        assert!(db.requires_login());
        assert!(password(&db, "admin", "open sesame").await.is_ok());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_node_may_ask_for_logins_before_there_is_anybody() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.auth_required = true;
        let db = Db::open(options).unwrap();
        denied(&db.acting_as(Principal::Anybody), ADMIN).await;
        run(&db, ADMIN).await;
        assert!(password(&db, "admin", "open sesame").await.is_ok());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn wrong_passwords_and_tokens_do_not_open_and_guessing_is_slow() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, ADMIN).await;
        run(&db, "CREATE ROLE nobody WITH NOLOGIN PASSWORD 'x'").await;
        for (user, given) in [
            ("admin", "open sesamE"),
            ("admin", ""),
            ("nobody", "x"),
            ("missing", "open sesame"),
        ] {
            let error = password(&db, user, given).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{user}");
            assert!(!error.to_string().contains(user), "{error}");
        }
        for _ in 0..2 {
            // The second is remembered.
            assert!(password(&db, "admin", "open sesame").await.is_ok());
        }
        let before = db.acting_as(password(&db, "admin", "open sesame").await.unwrap());
        assert_eq!(rows(&before, "SELECT 1").await, ["1"]);
        run(&db, "ALTER ROLE admin PASSWORD 'another'").await;
        // Who is still connected with the old one is not let go on either.
        let error = denied(&before, "SELECT 1").await;
        assert!(error.message().contains("password"), "{error}");
        let error = password(&db, "admin", "open sesame").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(password(&db, "admin", "another").await.is_ok());

        let mut held = false;
        for _ in 0..20 {
            let error = password(&db, "missing", "guess").await.unwrap_err();
            held |= error.kind() == ErrorKind::Overloaded;
        }
        assert!(held);
        // Others at the same place go on.
        assert!(password(&db, "admin", "another").await.is_ok());
        let figure = |name: &str| {
            let all = db.counters();
            all.iter().find(|one| one.name == name).unwrap().value
        };
        assert_eq!(figure("activestore_logins_total"), 5.0);
        assert!(figure("activestore_logins_failed_total") >= 9.0);
        assert!(figure("activestore_logins_held_total") >= 1.0);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn tokens_stand_for_a_role_until_they_end() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, ADMIN).await;
        run(&db, "CREATE ROLE device WITH LOGIN; CREATE ROLE team").await;
        let error = fails(&db, "CREATE TOKEN FOR team").await;
        assert!(error.to_string().contains("WITH LOGIN"), "{error}");
        let made = rows(&db, "CREATE TOKEN FOR device WITH (label = 'pump 7')").await;
        let (id, token) = made[0].split_once('|').unwrap();
        let device = Principal::Token("device".into(), Proof::token(id));
        let login = |token: String| {
            let db = db.clone();
            async move { db.login(Credentials::Token(&token), HERE).await }
        };
        assert_eq!(login(token.to_owned()).await.unwrap(), device);
        assert_eq!(password(&db, "device", token).await.unwrap(), device);
        assert!(password(&db, "admin", token).await.is_err());
        for wrong in [
            "",
            "ast_",
            "ast__",
            &token[..token.len() - 1],
            &format!("{token}0"),
            &format!("ast_{id}_"),
        ] {
            assert!(login(wrong.to_owned()).await.is_err(), "{wrong}");
        }
        let brief = rows(&db, "CREATE TOKEN FOR device WITH (expires = '1ms')").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (brief_id, brief) = brief[0].split_once('|').unwrap();
        assert!(login(brief.to_owned()).await.is_err());
        let late = Principal::Token("device".into(), Proof::token(brief_id));
        denied(&db.acting_as(late), "SELECT 1").await;
        // It does what the role may, but leaves no way in behind.
        let with_token = db.acting_as(device.clone());
        denied(&with_token, "ALTER ROLE device PASSWORD 'kept'").await;
        run(&role(&db, "device"), "ALTER ROLE device PASSWORD 'own'").await;
        let listed = rows(
            &db,
            "SELECT id, role, label FROM system.tokens WHERE label <> ''",
        )
        .await;
        assert_eq!(listed, [format!("{id}|device|pump 7")]);
        assert_eq!(rows(&with_token, "SELECT 1").await, ["1"]);
        run(&db, &format!("DROP TOKEN '{id}'")).await;
        assert!(login(token.to_owned()).await.is_err());
        // A connection that it opened ends with it, as one does that outlives its token.
        let error = denied(&with_token, "SELECT 1").await;
        assert!(error.message().contains("token"), "{error}");
        db.shutdown().await.unwrap();
    });
}

/// Each statement with the grants that it needs: with all of them it is let through, without any one of them not.
#[test]
fn every_kind_of_statement_needs_its_grants() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "statistics").await;
        run(&db, ADMIN).await;
        run(
            &db,
            "CREATE AGGREGATE rms USING PLUGIN 'statistics';
             CREATE TABLE plant.copies (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts)) WITH (sync = 'none');
             CREATE KEYSPACE other; CREATE ROLE user WITH LOGIN; CREATE ROLE team",
        )
        .await;
        let table = |name: &str| format!("TABLE {name}");
        let (readings, copies) = (table("plant.readings"), table("plant.copies"));
        let plant = "KEYSPACE plant".to_owned();
        let functions = "ALL FUNCTIONS".to_owned();
        let all = "ALL KEYSPACES".to_owned();
        let rms = "FUNCTION rms".to_owned();
        let system = "TABLE system.processors".to_owned();
        use Privilege::{Alter, Create, Delete, Drop, Execute, Insert, Select, Update};
        let row = "'2024-05-01T00:00:00Z'";
        let cases: Vec<(String, Vec<(Privilege, &String)>)> = vec![
            ("SELECT * FROM plant.readings".into(), vec![(Select, &readings)]),
            ("EXPLAIN SELECT * FROM plant.readings".into(), vec![(Select, &readings)]),
            ("EXPLAIN ANALYZE SELECT rms(temp) FROM plant.readings".into(), vec![(Select, &readings), (Execute, &rms)]),
            ("SELECT rms(x) FROM (VALUES (1.0), (2.0)) AS v(x)".into(), vec![(Execute, &rms)]),
            ("SELECT \"rms\"(x) OVER () FROM (VALUES (1.0)) AS v(x)".into(), vec![(Execute, &rms)]),
            ("SELECT 1 WHERE 1 > (SELECT RMS(x) FROM (VALUES (1.0)) AS v(x))".into(), vec![(Execute, &rms)]),
            ("SELECT (SELECT count(*) FROM plant.readings) AS n".into(), vec![(Select, &readings)]),
            ("WITH r AS (SELECT * FROM plant.readings) SELECT 1 FROM (VALUES (1)) AS v(x) WHERE EXISTS (SELECT * FROM r)".into(), vec![(Select, &readings)]),
            ("SELECT 1 UNION ALL SELECT count(*) FROM plant.readings".into(), vec![(Select, &readings)]),
            ("SELECT a.temp FROM plant.readings AS a JOIN plant.copies AS b ON a.device = b.device".into(), vec![(Select, &readings), (Select, &copies)]),
            ("SELECT * FROM system.processors".into(), vec![(Select, &system)]),
            ("SHOW PROCESSORS".into(), vec![(Select, &system)]),
            (format!("INSERT INTO plant.readings (device, ts) VALUES ('a', {row})"), vec![(Insert, &readings)]),
            (format!("INSERT INTO plant.readings (device, ts) VALUES ('a', {row}) ON CONFLICT DO NOTHING"), vec![(Insert, &readings), (Select, &readings)]),
            ("INSERT INTO plant.copies (device, ts, temp) SELECT device, ts, temp FROM plant.readings".into(), vec![(Insert, &copies), (Select, &readings)]),
            ("INSERT INTO plant.copies (device, ts, temp) SELECT 'b', ts, (SELECT rms(temp) FROM plant.readings) FROM plant.readings".into(), vec![(Insert, &copies), (Select, &readings), (Execute, &rms)]),
            ("UPDATE plant.readings SET temp = 1 WHERE device = 'a'".into(), vec![(Update, &readings), (Select, &readings)]),
            ("UPDATE plant.copies SET temp = (SELECT max(temp) FROM plant.readings)".into(), vec![(Update, &copies), (Select, &copies), (Select, &readings)]),
            (format!("UPDATE plant.readings SET temp = 2 WHERE device = 'a' AND ts = {row} IF EXISTS"), vec![(Update, &readings), (Select, &readings)]),
            ("DELETE FROM plant.copies".into(), vec![(Delete, &copies)]),
            ("DELETE FROM plant.copies WHERE device = 'a'".into(), vec![(Delete, &copies), (Select, &copies)]),
            ("DELETE FROM plant.copies WHERE temp > (SELECT max(temp) FROM plant.readings)".into(), vec![(Delete, &copies), (Select, &copies), (Select, &readings)]),
            (format!("BEGIN BATCH INSERT INTO plant.readings (device, ts) VALUES ('a', {row}); DELETE FROM plant.copies WHERE device = 'b'; APPLY BATCH"), vec![(Insert, &readings), (Delete, &copies), (Select, &copies)]),
            ("ALTER TABLE plant.copies COMPACT".into(), vec![(Alter, &copies)]),
            ("ALTER TABLE plant.copies ADD COLUMN note TEXT".into(), vec![(Alter, &copies)]),
            ("ALTER TABLE plant.copies SET (ttl = '1d')".into(), vec![(Alter, &copies)]),
            ("CREATE TABLE IF NOT EXISTS plant.copies (device TEXT, PRIMARY KEY ((device)))".into(), vec![(Create, &plant)]),
            ("CREATE KEYSPACE IF NOT EXISTS other".into(), vec![(Create, &all)]),
            ("ALTER KEYSPACE plant SET (ttl = '30d')".into(), vec![(Alter, &plant)]),
            ("CREATE OR REPLACE AGGREGATE rms USING PLUGIN 'statistics'".into(), vec![(Create, &functions), (Alter, &rms)]),
            ("ALTER AGGREGATE rms USING PLUGIN 'statistics'".into(), vec![(Alter, &rms)]),
            ("DROP FILTER IF EXISTS nothing".into(), vec![(Drop, &functions)]),
            ("DROP PROCESSOR IF EXISTS nothing".into(), vec![(Drop, &functions)]),
            ("DROP TABLE IF EXISTS plant.nothing".into(), vec![(Drop, &plant)]),
        ];
        let user = role(&db, "user");
        let grant = async |right: &(Privilege, &String)| {
            run(&db, &format!("GRANT {} ON {} TO team", right.0.name(), right.1)).await;
        };
        let revoke = async |right: &(Privilege, &String)| {
            run(&db, &format!("REVOKE {} ON {} FROM team", right.0.name(), right.1)).await;
        };
        run(&db, "GRANT team TO user").await;
        for (sql, rights) in &cases {
            denied(&user, sql).await;
            for missing in rights {
                for right in rights {
                    grant(right).await;
                }
                revoke(missing).await;
                let error = denied(&user, sql).await;
                assert!(error.to_string().contains(missing.0.name()), "{sql}: {error}");
            }
            grant(&rights[rights.len() - 1]).await;
            for outcome in user.sql(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}")) {
                if let SqlOutcome::Rows(rows) = outcome {
                    rows.stream.try_collect::<Vec<_>>().await.unwrap();
                }
            }
            for right in rights {
                revoke(right).await;
            }
        }
        for sql in [
            "CREATE ROLE x",
            "ALTER ROLE user WITH SUPERUSER",
            "ALTER ROLE admin PASSWORD 'mine'",
            "ALTER ROLE user WITH SUPERUSER PASSWORD 'mine'",
            "DROP ROLE admin",
            "GRANT ALL ON ALL KEYSPACES TO user",
            "GRANT admin TO user",
            "REVOKE team FROM user",
            "CREATE TOKEN FOR admin",
            "DROP TOKEN 'x'",
            "DROP PLUGIN statistics",
            "SHOW GRANTS FOR admin",
        ] {
            run(&db, "GRANT ALL ON ALL KEYSPACES TO team; GRANT ALL ON ALL FUNCTIONS TO team").await;
            denied(&user, sql).await;
        }
        run(&user, "ALTER ROLE user PASSWORD 'my own'").await;
        assert!(password(&db, "user", "my own").await.is_ok());
        run(&db, "ALTER ROLE user WITH NOLOGIN").await;
        denied(&user, "SELECT 1").await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_may_not_be_known_of_is_not_listed() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, PLANT).await;
        run(&db, ADMIN).await;
        run(
            &db,
            "CREATE KEYSPACE secret; CREATE TABLE secret.plans (n BIGINT, PRIMARY KEY ((n)));
             CREATE TABLE plant.costs (n BIGINT, PRIMARY KEY ((n)));
             CREATE USER reader; GRANT SELECT ON plant.readings TO reader",
        )
        .await;
        let reader = role(&db, "reader");
        assert_eq!(rows(&reader, "SELECT keyspace, name FROM system.tables").await, ["plant|readings"]);
        assert_eq!(rows(&reader, "SELECT DISTINCT \"table\" FROM system.columns").await, ["readings"]);
        assert_eq!(
            rows(&reader, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'plant'").await,
            ["readings"]
        );
        assert_eq!(rows(&reader, "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'secret' OR table_name = 'costs'").await, ["0"]);
        let keyspaces = rows(&reader, "SHOW KEYSPACES").await;
        assert!(!keyspaces.contains(&"secret".to_owned()), "{keyspaces:?}");
        assert_eq!(rows(&reader, "SHOW ROLES").await, ["reader|true|false|false||here"]);
        assert_eq!(rows(&reader, "SHOW GRANTS").await, ["reader|SELECT|TABLE plant.readings"]);
        assert_eq!(rows(&reader, "SHOW GRANTS FOR reader").await.len(), 1);
        // A superuser sees all of it, without a grant of its own.
        let admin = role(&db, "admin");
        assert_eq!(rows(&admin, "SHOW GRANTS FOR reader").await.len(), 1);
        let keyspaces = rows(&admin, "SHOW KEYSPACES").await;
        assert!(keyspaces.contains(&"secret".to_owned()), "{keyspaces:?}");
        for sql in [
            "DESCRIBE plant.costs",
            "DESCRIBE plant.nothing",
            "SHOW TABLES FROM secret",
            "SELECT * FROM secret.plans",
            "SELECT * FROM nowhere.plans",
            "INSERT INTO secret.plan VALUES (1)",
            "SELECT * FROM system.settings",
        ] {
            let error = denied(&reader, sql).await;
            assert!(!error.to_string().contains("did you mean"), "{error}");
        }
        assert_eq!(rows(&reader, "DESCRIBE plant.readings").await.len(), 4);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_of_wires_need_insert_and_tables_that_they_make_need_create() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, PLANT).await;
        run(&db, ADMIN).await;
        run(&db, "CREATE USER writer").await;
        let writer = role(&db, "writer");
        let batch = |table: &str| {
            let device: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
            let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
            let line = RecordBatch::try_from_iter([("device", device), ("ts", ts)]).unwrap();
            let mut batch =
                NamedBatch::from_record_batch(table.parse::<TableName>().unwrap(), &line);
            batch.create = Some(KeyHint {
                partition: vec!["device".into()],
                clustering: vec!["ts".into()],
            });
            vec![batch]
        };
        let refused = async |table: &str| {
            let error = writer.write(batch(table)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        };
        refused("plant.readings").await;
        run(&db, "GRANT INSERT ON KEYSPACE plant TO writer").await;
        writer.write(batch("plant.readings")).await.unwrap();
        refused("plant.fresh").await;
        run(&db, "GRANT CREATE ON KEYSPACE plant TO writer").await;
        writer.write(batch("plant.fresh")).await.unwrap();
        refused("fresh.readings").await;
        run(&db, "GRANT INSERT, CREATE ON ALL KEYSPACES TO writer").await;
        writer.write(batch("fresh.readings")).await.unwrap();
        let nobody = db.acting_as(Principal::Anybody);
        assert_eq!(
            nobody
                .write(batch("plant.readings"))
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::Denied
        );
        db.shutdown().await.unwrap();
    });
}
