//! Bulk ingest: into tables that are there, that are made, and what is refused.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use futures::stream;
use tonic::Code;

use crate::client::{Client, Node, Outcome, rows, said};

pub(crate) fn command(
    table: &str,
    if_not_exist: TableNotExistOption,
    if_exists: TableExistsOption,
) -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: if_not_exist.into(),
            if_exists: if_exists.into(),
        }),
        table: table.to_owned(),
        schema: Some("plant".to_owned()),
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: HashMap::new(),
    }
}

pub(crate) fn append(table: &str) -> CommandStatementIngest {
    command(table, TableNotExistOption::Fail, TableExistsOption::Append)
}

fn create(table: &str) -> CommandStatementIngest {
    command(table, TableNotExistOption::Create, TableExistsOption::Fail)
}

/// Readings of a device, a second apart.
pub(crate) fn readings(device: &str, from: i64, count: i64) -> RecordBatch {
    let names: DictionaryArray<Int32Type> = (0..count).map(|_| Some(device)).collect();
    let times = (from..from + count).map(|second| second * 1_000_000);
    let temps = (from..from + count).map(|second| if second % 10 == 0 { None } else { Some(0.5) });
    RecordBatch::try_from_iter_with_nullable([
        ("device", Arc::new(names) as ArrayRef, false),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
            false,
        ),
        ("temp", Arc::new(Float64Array::from_iter(temps)), true),
    ])
    .unwrap()
}

pub(crate) async fn ingested(
    client: &mut Client,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Outcome<i64> {
    let batches = stream::iter(batches.into_iter().map(Ok));
    client.execute_ingest(command, batches).await
}

#[test]
fn rows_are_appended_to_a_table() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let batches = (0..10).map(|n| readings("d", n * 20_000, 20_000)).collect();
        assert_eq!(
            ingested(&mut client, append("readings"), batches)
                .await
                .unwrap(),
            200_000
        );
        let found = "SELECT count(*), count(temp), min(ts) FROM plant.readings WHERE device = 'd'";
        assert_eq!(
            rows(&mut client, found).await,
            [["200000", "180000", "1970-01-01T00:00:00"]]
        );
        // The same rows again are the same rows.
        let again = vec![readings("d", 0, 20_000)];
        assert_eq!(
            ingested(&mut client, append("readings"), again)
                .await
                .unwrap(),
            20_000
        );
        assert_eq!(rows(&mut client, found).await[0][0], "200000");
    });
    assert_eq!(node.figure("rows_ingested_total"), 220_000.0);
}

#[test]
fn a_table_is_made_where_that_is_asked_for() {
    let node = Node::start();
    node.wait(async {
        let mut client = node.client().await;
        let missing = ingested(&mut client, append("made"), vec![readings("a", 0, 5)]).await;
        assert_eq!(said(missing).0, Code::NotFound);
        assert_eq!(
            ingested(&mut client, create("made"), vec![readings("a", 0, 5)])
                .await
                .unwrap(),
            5
        );
        let columns = rows(&mut client, "DESCRIBE plant.made").await;
        assert_eq!(
            columns,
            [
                ["device", "TEXT", "partition_key"],
                ["ts", "TIMESTAMP", "clustering_key"],
                ["temp", "DOUBLE", "regular"]
            ]
        );
        let (code, message) =
            said(ingested(&mut client, create("made"), vec![readings("a", 0, 5)]).await);
        assert_eq!(code, Code::AlreadyExists);
        assert!(message.contains("append"), "{message}");
        let replace = command(
            "made",
            TableNotExistOption::Create,
            TableExistsOption::Replace,
        );
        assert_eq!(
            ingested(&mut client, replace, vec![readings("b", 0, 3)])
                .await
                .unwrap(),
            3
        );
        let counted = "SELECT count(*), min(device) FROM plant.made";
        assert_eq!(rows(&mut client, counted).await, [["3", "b"]]);
        // A key that cannot be told is asked for: rows of the same key would be one row.
        let numbers = |names: [&'static str; 2]| {
            let column = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
            RecordBatch::try_from_iter(names.map(|name| (name, column()))).unwrap()
        };
        let (code, message) =
            said(ingested(&mut client, create("n"), vec![numbers(["id", "v"])]).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("primary_key"), "{message}");
        let mut named = create("n");
        named
            .options
            .insert("primary_key".to_owned(), "id".to_owned());
        assert_eq!(
            ingested(&mut client, named, vec![numbers(["id", "v"])])
                .await
                .unwrap(),
            2
        );
        assert_eq!(
            rows(&mut client, "SELECT * FROM plant.n ORDER BY id").await,
            [["1", "1"], ["2", "2"]]
        );
    });
}

#[test]
fn what_an_ingest_may_not_ask_for_is_refused() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let one = || vec![readings("x", 0, 1)];
        let with = |change: fn(&mut CommandStatementIngest)| {
            let mut command = append("readings");
            change(&mut command);
            command
        };
        for (command, code) in [
            (
                with(|command| command.temporary = true),
                Code::Unimplemented,
            ),
            (
                with(|command| command.transaction_id = Some("1".into())),
                Code::Unimplemented,
            ),
            (
                with(|command| command.catalog = Some("other".to_owned())),
                Code::NotFound,
            ),
            (
                with(|command| command.table_definition_options = None),
                Code::InvalidArgument,
            ),
            (
                with(|command| {
                    command
                        .options
                        .insert("colour".to_owned(), "red".to_owned());
                }),
                Code::InvalidArgument,
            ),
            (
                command(
                    "readings",
                    TableNotExistOption::Unspecified,
                    TableExistsOption::Append,
                ),
                Code::InvalidArgument,
            ),
            (append("nothing"), Code::NotFound),
        ] {
            let (found, message) = said(ingested(&mut client, command, one()).await);
            assert_eq!(found, code, "{message}");
        }
        let count = "SELECT count(*) FROM plant.readings";
        assert_eq!(rows(&mut client, count).await, [["3"]]);
    });
}

#[test]
fn rows_before_one_that_does_not_fit_stay_and_are_told() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let wrong = RecordBatch::try_from_iter([
            ("device", Arc::new(StringArray::from(vec!["z"])) as ArrayRef),
            (
                "ts",
                Arc::new(StringArray::from(vec!["whenever"])) as ArrayRef,
            ),
        ])
        .unwrap();
        // Batches of one call have the columns that it began with.
        let (code, message) = said(ingested(&mut client, append("readings"), vec![wrong]).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("ts"), "{message}");
        let text = |values: Vec<&str>, count: usize| -> ArrayRef {
            Arc::new(StringArray::from(
                values.into_iter().cycle().take(count).collect::<Vec<_>>(),
            ))
        };
        let times = |count: i64| {
            let times = (0..count).map(|n| format!("2026-03-01T00:00:00.{n:06}Z"));
            Arc::new(StringArray::from_iter_values(times)) as ArrayRef
        };
        let good = RecordBatch::try_from_iter([
            ("device", text(vec!["y"], 70_000)),
            ("ts", times(70_000)),
        ]);
        let bad = RecordBatch::try_from_iter([
            ("device", text(vec!["y"], 1)),
            ("ts", text(vec!["never"], 1)),
        ]);
        let both = vec![good.unwrap(), bad.unwrap()];
        let (code, message) = said(ingested(&mut client, append("readings"), both).await);
        assert_eq!(code, Code::InvalidArgument);
        let count = "SELECT count(*) FROM plant.readings WHERE device = 'y'";
        let stored = rows(&mut client, count).await[0][0].clone();
        assert!(stored.parse::<u64>().unwrap() >= 4096, "{stored}");
        let told = format!("after {stored} rows that are stored: ");
        assert!(message.starts_with(&told), "{message}");
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
        let lists = RecordBatch::try_from_iter([("device", Arc::new(lists) as ArrayRef)]).unwrap();
        let (code, message) = said(ingested(&mut client, append("readings"), vec![lists]).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("device"), "{message}");
    });
}
