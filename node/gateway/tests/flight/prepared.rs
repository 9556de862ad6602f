//! Prepared statements: told, given values, run, let go.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, LargeStringArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::sql::CommandPreparedStatementQuery;
use arrow_flight::sql::ProstMessageExt;
use prost::Message;
use tonic::Code;

use crate::client::{Node, batches, rows, said, taken, texts};

fn values(columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_from_iter(columns.into_iter().map(|column| ("v", column))).unwrap()
}

#[test]
fn a_query_is_told_and_run_with_values() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let sql = "SELECT device, n FROM plant.readings WHERE device = $1 AND ts >= $2 ORDER BY n";
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let params = prepared.parameter_schema().unwrap();
        assert_eq!(params.field(0).data_type(), &DataType::Utf8);
        assert_eq!(
            params.field(1).data_type(),
            &DataType::Timestamp(TimeUnit::Nanosecond, None)
        );
        assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 2);
        // Without values it says what it lacks.
        let info = prepared.execute().await.unwrap();
        assert_eq!(
            said(taken(&mut client, &info).await).0,
            Code::InvalidArgument
        );
        let day = 86_400_000_000_i64 * 20_455;
        let from =
            |micros: i64| Arc::new(TimestampMicrosecondArray::from(vec![micros])) as ArrayRef;
        let of = |device: &str| Arc::new(LargeStringArray::from(vec![device])) as ArrayRef;
        for (device, micros, wanted) in [
            ("p1", 0, vec![["p1", "1"], ["p1", "2"]]),
            ("p1", day, vec![["p1", "2"]]),
            ("p3", 0, vec![]),
        ] {
            prepared
                .set_parameters(values(vec![of(device), from(micros)]))
                .unwrap();
            let info = prepared.execute().await.unwrap();
            let given = texts(&taken(&mut client, &info).await.unwrap());
            assert_eq!(given, wanted, "{device} {micros}");
        }
        // What nothing says the type of is what is given for it.
        let mut open = client
            .prepare("SELECT $1 AS v".to_owned(), None)
            .await
            .unwrap();
        open.set_parameters(values(vec![Arc::new(Float64Array::from(vec![1.5]))]))
            .unwrap();
        let info = open.execute().await.unwrap();
        let given = taken(&mut client, &info).await.unwrap();
        assert_eq!(given[0].schema().field(0).data_type(), &DataType::Float64);
        assert_eq!(texts(&given), [["1.5"]]);
    });
}

#[test]
fn a_change_is_run_with_each_row_of_values() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let sql = "INSERT INTO plant.readings (device, ts, n) VALUES ($1, $2, $3)";
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 0);
        let three = values(vec![
            Arc::new(StringArray::from(vec!["q1", "q2", "q3"])),
            Arc::new(StringArray::from(vec![
                "2026-02-01",
                "2026-02-02",
                "2026-02-03",
            ])),
            Arc::new(Int32Array::from(vec![Some(10), None, Some(30)])),
        ]);
        prepared.set_parameters(three).unwrap();
        assert_eq!(prepared.execute_update().await.unwrap(), 3);
        let found = "SELECT device, n FROM plant.readings WHERE device LIKE 'q%' ORDER BY device";
        assert_eq!(
            rows(&mut client, found).await,
            [["q1", "10"], ["q2", ""], ["q3", "30"]]
        );
        // As a query too, which drivers make of everything.
        let info = prepared.execute().await.unwrap();
        assert_eq!(info.total_records, 3);
        assert!(taken(&mut client, &info).await.unwrap().is_empty());
        // A query is not a change.
        let mut query = client.prepare("SELECT 1".to_owned(), None).await.unwrap();
        assert_eq!(said(query.execute_update().await).0, Code::InvalidArgument);
    });
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let sql = "SELECT device FROM plant.readings WHERE n = $1";
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        for (wrong, part) in [
            (
                vec![Arc::new(BooleanArray::from(vec![true])) as ArrayRef],
                "$1",
            ),
            (
                vec![Arc::new(Float64Array::from(vec![1.5])) as ArrayRef],
                "$1",
            ),
            (
                vec![Arc::new(StringArray::from(vec!["many"])) as ArrayRef],
                "$1",
            ),
            (vec![one.clone(), one.clone()], "takes 1 parameters, and 2"),
            (
                vec![Arc::new(Int64Array::from(vec![1; 20_000])) as ArrayRef],
                "at most",
            ),
        ] {
            prepared.set_parameters(values(wrong)).unwrap();
            let (code, message) = said(prepared.execute().await);
            assert_eq!(code, Code::InvalidArgument, "{message}");
            assert!(message.contains(part), "{message}");
        }
        // A query takes one row of values.
        prepared
            .set_parameters(values(vec![Arc::new(Int64Array::from(vec![1, 2]))]))
            .unwrap();
        let info = prepared.execute().await.unwrap();
        let (code, message) = said(taken(&mut client, &info).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("one row of values"), "{message}");
    });
}

#[test]
fn what_is_let_go_is_not_known_any_more() {
    let node = Node::with(|options| options.prepared_max = 2);
    node.wait(async {
        let mut client = node.client().await;
        let mut first = client.prepare("SELECT 1".to_owned(), None).await.unwrap();
        let mut second = client.prepare("SELECT 2".to_owned(), None).await.unwrap();
        first.execute().await.unwrap();
        // Of two the one that was used least lately makes place for a third.
        let third = client.prepare("SELECT 3".to_owned(), None).await.unwrap();
        let (code, message) = said(second.execute().await);
        assert_eq!(code, Code::NotFound);
        assert!(message.contains("prepare it again"), "{message}");
        let info = first.execute().await.unwrap();
        third.close().await.unwrap();
        first.close().await.unwrap();
        let (code, _) = said(taken(&mut client, &info).await);
        assert_eq!(code, Code::NotFound);
        let ticket = CommandPreparedStatementQuery {
            prepared_statement_handle: vec![0; 16].into(),
        };
        let nothing = client
            .do_get(Ticket::new(ticket.as_any().encode_to_vec()))
            .await;
        assert_eq!(said(nothing).0, Code::NotFound);
        client.prepare("SELECT 4".to_owned(), None).await.unwrap();
    });
    assert_eq!(node.figure("prepared_open"), 1.0);
    assert_eq!(node.figure("prepared_forgotten_total"), 1.0);
}

#[test]
fn another_table_of_the_name_is_noticed() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let sql = "SELECT * FROM plant.readings WHERE n = 1";
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let info = prepared.execute().await.unwrap();
        batches(
            &mut client,
            "ALTER TABLE plant.readings ADD COLUMN more TEXT",
        )
        .await
        .unwrap();
        let (code, message) = said(taken(&mut client, &info).await);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(message.contains("prepare it again"), "{message}");
    });
}
