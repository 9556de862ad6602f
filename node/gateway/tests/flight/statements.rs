//! Queries and changes, by their text.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, IpcMessage};
use futures::StreamExt;
use prost::Message;
use tonic::Code;

use crate::client::{Client, Node, batches, rows, said, taken, ticket};
use crate::node::ENDLESS;

#[test]
fn a_query_gives_the_columns_that_were_told() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let sql = "SELECT device, max(ts) AS last, avg(temp) AS temp, sum(n) AS n FROM plant.readings GROUP BY device ORDER BY device";
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        assert_eq!(info.total_records, -1);
        let told = info.clone().try_decode_schema().unwrap();
        let given = taken(&mut client, &info).await.unwrap();
        assert_eq!(given[0].schema().as_ref(), &told);
        assert_eq!(told.field(0).data_type(), &DataType::Utf8);
        // A ticket is kept by nobody: it can be presented again.
        let again = taken(&mut client, &info).await.unwrap();
        assert_eq!(given, again);
        assert_eq!(
            crate::client::texts(&given),
            [
                ["p1", "2026-01-02T00:00:00", "22.0", "3"],
                ["p2", "2026-01-01T00:00:00", "", "3"]
            ]
        );
        // Without a row there are still columns.
        let none = "SELECT device, n FROM plant.readings WHERE n > 100";
        let info = client.execute(none.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        assert!(stream.next().await.is_none());
        assert_eq!(stream.schema().unwrap().fields().len(), 2);
        // The columns alone, with nothing run.
        let command = CommandStatementQuery {
            query: "INSERT INTO plant.readings (device, ts) VALUES ('p9', now())".to_owned(),
            transaction_id: None,
        };
        for (query, fields) in [(sql, 4), (command.query.as_str(), 0)] {
            let command = CommandStatementQuery {
                query: query.to_owned(),
                transaction_id: None,
            };
            let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
            let told = client.inner_mut().get_schema(descriptor).await.unwrap();
            let told = Schema::try_from(IpcMessage(told.into_inner().schema)).unwrap();
            assert_eq!(told.fields().len(), fields);
        }
        let devices = rows(&mut client, "SELECT count(DISTINCT device) FROM plant.readings").await;
        assert_eq!(devices, [["2"]]);
    });
}

#[test]
fn many_rows_come_whole_and_in_order() {
    let node = Node::start();
    node.wait(async {
        let mut client = node.client().await;
        let sql =
            "SELECT value AS n, repeat('x', 20) AS t FROM generate_series(1, 300000) ORDER BY 1";
        let given = batches(&mut client, sql).await.unwrap();
        let numbers = given.iter().flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        });
        assert!(numbers.eq(1..=300_000));
    });
    assert_eq!(node.figure("rows_sent_total"), 300_000.0);
}

#[test]
fn changes_are_counted_and_done_when_they_are_answered() {
    let node = Node::start();
    node.wait(async {
        let mut client = node.client().await;
        // Drivers send everything as a query; what gives no rows is done once it was asked for.
        for sql in [
            "CREATE KEYSPACE plant",
            "CREATE TABLE plant.t (k TEXT, n BIGINT, PRIMARY KEY ((k)))",
        ] {
            let info = client.execute(sql.to_owned(), None).await.unwrap();
            assert_eq!(info.total_records, 0);
        }
        let insert = "INSERT INTO plant.t (k, n) VALUES ('a', 1), ('b', 2)";
        let info = client.execute(insert.to_owned(), None).await.unwrap();
        assert_eq!(info.total_records, 2);
        assert!(taken(&mut client, &info).await.unwrap().is_empty());
        let update = "UPDATE plant.t SET n = 7 WHERE k = 'a'; DELETE FROM plant.t WHERE k = 'b'";
        let affected = client
            .execute_update(update.to_owned(), None)
            .await
            .unwrap();
        assert_eq!(affected, 2);
        assert_eq!(
            rows(&mut client, "SELECT * FROM plant.t").await,
            [["a", "7"]]
        );
        let (code, message) = said(client.execute_update("SELECT 1".to_owned(), None).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("as a query"), "{message}");
    });
}

#[test]
fn errors_have_codes_sentences_and_hints() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        for (sql, code, part) in [
            ("SELEC 1", Code::InvalidArgument, "did you mean SELECT"),
            ("SELECT * FROM plant.nothing", Code::NotFound, "nothing"),
            ("SELECT 1; SELECT 2", Code::InvalidArgument, "one statement"),
            ("", Code::InvalidArgument, "empty"),
            ("SELECT $1", Code::InvalidArgument, "parameters"),
            ("CREATE KEYSPACE plant", Code::AlreadyExists, "exists"),
            (
                "SUBSCRIBE SELECT * FROM plant.readings",
                Code::InvalidArgument,
                "/v1/subscribe",
            ),
        ] {
            let (found, message) = said(batches(&mut client, sql).await);
            assert_eq!(found, code, "{sql}: {message}");
            assert!(message.contains(part), "{sql}: {message}");
        }
        let long = format!("SELECT '{}'", "x".repeat(5_000_000));
        assert_eq!(
            said(batches(&mut client, &long).await).0,
            Code::InvalidArgument
        );
        let transaction = client.begin_transaction().await.map(drop);
        assert_eq!(said(transaction).0, Code::Unimplemented);
        // What fails on the way ends the rows, and nobody takes a part for the whole.
        let fails = "SELECT 1 / (150000 - value) FROM generate_series(1, 300000)";
        let (code, message) = said(batches(&mut client, fails).await);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert_eq!(rows(&mut client, "SELECT 1").await, [["1"]]);
    });
    assert!(node.figure("calls_failed_total") >= 9.0);
}

#[test]
fn a_statement_ends_at_its_time_limit() {
    let node = Node::with(|options| options.statement_timeout = Some(Duration::from_millis(300)));
    node.wait(async {
        let mut client = node.client().await;
        let (code, message) = said(batches(&mut client, ENDLESS).await);
        assert_eq!(code, Code::DeadlineExceeded);
        assert!(message.contains("flight_statement_timeout"), "{message}");
    });
    assert_eq!(node.figure("statements_timed_out_total"), 1.0);
}

#[test]
fn who_goes_away_stops_the_statement() {
    let node = Node::start();
    node.wait(async {
        let mut client = node.client().await;
        // Before the first row, and in the middle of them.
        let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        let first = tokio::time::timeout(Duration::from_millis(300), stream.next());
        assert!(first.await.is_err());
        drop(stream);
        let many = "SELECT value, repeat('x', 1000) FROM generate_series(1, 1000000)";
        let info = client.execute(many.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        drop(stream);
    });
    node.until("statements_cancelled_total", 2.0);
    node.wait(async {
        let mut client: Client = node.client().await;
        assert_eq!(rows(&mut client, "SELECT 1").await, [["1"]]);
    });
}
