//! Bulk ingest: batches of rows into one table, which may be made for them. Rows are durable when the call is
//! answered; those before a failure stay, and the error says how many.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_db::{Db, WriteReceipt};
use activestore_ingest::definition;
use activestore_types::schema::TYPE_METADATA_KEY;
use activestore_types::{DataType, Error, NamedBatch, Result, TableName};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use tokio::task::JoinHandle;

use super::Flight;
use super::actions::no_transaction;
use super::catalog::{CATALOG, DEFAULT_KEYSPACE};
use super::door::Caller;
use super::fault::{Fault, unavailable};
use super::put::Batches;

/// Rows of one write, and about how many bytes are gathered for it where batches are small.
const WRITE_ROWS: usize = 65_536;
const WRITE_BYTES: usize = 4 * 1024 * 1024;
/// The option that names the key of a table that is made.
const KEY_OPTION: &str = "primary_key";

impl Flight {
    /// Takes rows in; how many are stored.
    pub(super) async fn ingest(
        self: &Arc<Self>,
        caller: Caller,
        command: CommandStatementIngest,
        mut batches: Batches,
    ) -> Result<u64, Fault> {
        let table = target(&command)?;
        let first = batches.next().await?;
        let schema = first.as_ref().map(RecordBatch::schema);
        let schema = schema.or_else(|| batches.schema().cloned());
        prepare(&caller.db, &table, &command, schema).await?;
        let mut writing = Writing {
            db: caller.db,
            table,
            gathered: Vec::new(),
            rows: 0,
            bytes: 0,
            under_way: None,
            stored: 0,
        };
        let done = writing.all(first, &mut batches).await;
        self.tally
            .rows_ingested
            .fetch_add(writing.stored, Ordering::Relaxed);
        match done {
            Ok(()) => Ok(writing.stored),
            Err(fault) => Err(fault.after(writing.stored)),
        }
    }
}

/// Where rows go.
fn target(command: &CommandStatementIngest) -> Result<TableName, Fault> {
    if command.temporary {
        return Err(unavailable(
            "temporary tables are",
            "ingest into a table, and drop it when it is not needed any more",
        ));
    }
    no_transaction(command.transaction_id.as_ref())?;
    if let Some(catalog) = command.catalog.as_deref()
        && !matches!(catalog, "" | CATALOG)
    {
        let error = Error::not_found(format!("there is no catalog '{catalog}'"))
            .with_hint(format!("leave it out, or name '{CATALOG}'"));
        return Err(error.into());
    }
    if let Some(option) = command.options.keys().find(|name| *name != KEY_OPTION) {
        let error = Error::invalid(format!("the option '{option}' of an ingest is unknown"))
            .with_hint(format!(
                "there is {KEY_OPTION} = 'partition_column,clustering_column'"
            ));
        return Err(error.into());
    }
    let keyspace = command.schema.as_deref().filter(|name| !name.is_empty());
    Ok(TableName::new(
        keyspace.unwrap_or(DEFAULT_KEYSPACE),
        command.table.as_str(),
    ))
}

/// Sees to it that the table is there, as the command says.
async fn prepare(
    db: &Db,
    table: &TableName,
    command: &CommandStatementIngest,
    schema: Option<SchemaRef>,
) -> Result<()> {
    let untold = || {
        Error::invalid(
            "the ingest does not say what is to happen where the table exists or does not",
        )
        .with_hint("set both: create or fail, and fail, append or replace")
    };
    let options = command.table_definition_options.ok_or_else(untold)?;
    let TableDefinitionOptions {
        if_not_exist,
        if_exists,
    } = options;
    let if_not_exist = TableNotExistOption::try_from(if_not_exist).map_err(|_| untold())?;
    let if_exists = TableExistsOption::try_from(if_exists).map_err(|_| untold())?;
    if if_not_exist == TableNotExistOption::Unspecified
        || if_exists == TableExistsOption::Unspecified
    {
        return Err(untold());
    }
    let exists = db.table_schema(table).is_some();
    if exists {
        db.check_insert(table)?;
    }
    match (exists, if_not_exist, if_exists) {
        (true, _, TableExistsOption::Append) => return Ok(()),
        (true, _, TableExistsOption::Replace) => {}
        (true, _, _) => {
            return Err(Error::conflict(format!("table {table} exists already"))
                .with_hint("ingest in mode append, or replace"));
        }
        (false, TableNotExistOption::Create, _) => {}
        (false, _, _) => {
            return Err(Error::not_found(format!("table {table} does not exist"))
                .with_hint("create it with CREATE TABLE, or ingest in mode create"));
        }
    }
    let schema =
        schema.ok_or_else(|| Error::invalid("the ingest does not say what its columns are"))?;
    let statement = statement(table, command, &schema)?;
    if exists {
        let name = definition::quoted(&table.keyspace) + "." + &definition::quoted(&table.table);
        db.sql(&format!("DROP TABLE {name}"), &[]).await?;
    }
    if !db.definitions().keyspaces.contains_key(&table.keyspace) {
        let keyspace = definition::quoted(&table.keyspace);
        db.sql(&format!("CREATE KEYSPACE {keyspace}"), &[]).await?;
    }
    db.sql(&statement, &[]).await?;
    Ok(())
}

/// The statement that makes the table. A key that nobody named is taken where the columns are those of a series: one
/// that says what, and one that says when. Any other guess would make rows one that are not.
fn statement(
    table: &TableName,
    command: &CommandStatementIngest,
    schema: &Schema,
) -> Result<String> {
    let columns = schema.fields().iter();
    let columns = columns.map(|field| Ok((field.name().clone(), column_type(field)?)));
    let columns: Vec<(String, DataType)> = columns.collect::<Result<_>>()?;
    let asked: Vec<String> = match command.options.get(KEY_OPTION) {
        Some(names) => names
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        None => Vec::new(),
    };
    let hint = format!(
        "CREATE TABLE with its PRIMARY KEY and ingest in mode append, or give the option {KEY_OPTION}"
    );
    let key = definition::key(&columns, &asked, None).map_err(|error| error.with_hint(&hint))?;
    if asked.is_empty() && key.len() < 2 {
        return Err(Error::invalid("the columns do not say what a row's key is").with_hint(hint));
    }
    Ok(definition::statement(table, &columns, &key))
}

fn column_type(field: &Field) -> Result<DataType> {
    let named = field.metadata().get(TYPE_METADATA_KEY);
    named
        .and_then(|name| name.parse().ok())
        .or_else(|| DataType::from_arrow(field.data_type()))
        .ok_or_else(|| {
            Error::invalid(format!(
                "column '{}' is a {}, which no column holds",
                field.name(),
                field.data_type()
            ))
            .with_hint("send it as another type, such as text")
        })
}

/// Rows on their way into the table, in their order: a write is under way while the next is gathered.
struct Writing {
    db: Db,
    table: TableName,
    gathered: Vec<NamedBatch>,
    rows: usize,
    bytes: usize,
    under_way: Option<JoinHandle<Result<WriteReceipt>>>,
    stored: u64,
}

impl Writing {
    async fn all(
        &mut self,
        first: Option<RecordBatch>,
        batches: &mut Batches,
    ) -> Result<(), Fault> {
        let taken = self.take(first, batches).await;
        // What was begun is waited for also where what follows cannot be read, so that the count is true.
        let last = self.settle().await;
        taken?;
        Ok(last?)
    }

    async fn take(
        &mut self,
        first: Option<RecordBatch>,
        batches: &mut Batches,
    ) -> Result<(), Fault> {
        let mut next = first;
        while let Some(batch) = next {
            let mut at = 0;
            while at < batch.num_rows() {
                let rows = WRITE_ROWS.min(batch.num_rows() - at);
                self.gather(&batch.slice(at, rows)).await?;
                at += rows;
            }
            next = batches.next().await?;
        }
        Ok(self.write().await?)
    }

    async fn gather(&mut self, piece: &RecordBatch) -> Result<()> {
        let bytes = piece.columns().iter().map(|column| {
            let data = column.to_data();
            data.get_slice_memory_size().unwrap_or(WRITE_BYTES)
        });
        self.bytes += bytes.sum::<usize>();
        self.rows += piece.num_rows();
        self.gathered
            .push(NamedBatch::from_record_batch(self.table.clone(), piece));
        if self.rows >= WRITE_ROWS || self.bytes >= WRITE_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Begins to write what is gathered, once what was before it is written.
    async fn write(&mut self) -> Result<()> {
        self.settle().await?;
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        (self.rows, self.bytes) = (0, 0);
        let db = self.db.clone();
        self.under_way = Some(tokio::spawn(async move { db.write(gathered).await }));
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        let Some(under_way) = self.under_way.take() else {
            return Ok(());
        };
        let written = under_way.await;
        let receipt = written.map_err(|_| Error::internal("writing the rows failed"))??;
        self.stored += receipt.rows;
        Ok(())
    }
}
