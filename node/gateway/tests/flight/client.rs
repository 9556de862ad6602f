//! A node with the wire on a free port, and what its clients do.

use std::future::Future;
use std::time::Duration;

use activestore_gateway::{FlightOptions, Gateway};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightInfo, Ticket};
use futures::TryStreamExt;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

pub(crate) use crate::node::Node;

/// Longer than anything here takes on a busy machine: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Client = FlightSqlServiceClient<Channel>;
pub(crate) type Outcome<T> = Result<T, FlightError>;

impl Node {
    pub(crate) fn start() -> Node {
        Node::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut FlightOptions)) -> Node {
        let mut flight = FlightOptions::listening_on("127.0.0.1:0".parse().unwrap());
        change(&mut flight);
        Node::serving(
            |options| options.flight = Some(flight),
            Gateway::flight_addr,
        )
    }

    /// With a table of readings, three of them.
    pub(crate) fn with_readings() -> Node {
        let node = Node::start();
        node.sql(
            "CREATE KEYSPACE plant; \
             CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, PRIMARY KEY ((device), ts)); \
             INSERT INTO plant.readings (device, ts, temp, n) VALUES ('p1', '2026-01-01', 21.5, 1), \
             ('p1', '2026-01-02', 22.5, 2), ('p2', '2026-01-01', NULL, 3)",
        );
        node
    }

    /// Waits for something that a client does.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let in_time = async { tokio::time::timeout(PATIENCE, work).await };
        self.runtime.block_on(in_time).expect("an answer in time")
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// A figure of the metrics.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let page = self.metrics();
        let name = format!("activestore_flight_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
    }

    /// Waits until a figure is what it should be.
    pub(crate) fn until(&self, name: &str, wanted: f64) {
        for _ in 0..600 {
            if self.figure(name) == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} is {}, not {wanted}", self.figure(name));
    }
}

/// The one ticket of an answer.
pub(crate) fn ticket(info: &FlightInfo) -> Ticket {
    assert_eq!(info.endpoint.len(), 1);
    info.endpoint[0].ticket.clone().unwrap()
}

pub(crate) async fn taken(client: &mut Client, info: &FlightInfo) -> Outcome<Vec<RecordBatch>> {
    client.do_get(ticket(info)).await?.try_collect().await
}

pub(crate) async fn batches(client: &mut Client, sql: &str) -> Outcome<Vec<RecordBatch>> {
    let info = client.execute(sql.to_owned(), None).await?;
    taken(client, &info).await
}

/// The rows of a query, as text.
pub(crate) async fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    texts(&batches(client, sql).await.unwrap())
}

pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter();
            rows.push(
                cells
                    .map(|column| array_value_to_string(column, row).unwrap())
                    .collect(),
            );
        }
    }
    rows
}

/// What is told of a failure.
pub(crate) fn said<T>(outcome: Outcome<T>) -> (Code, String) {
    match outcome {
        Err(FlightError::Tonic(status)) => (status.code(), status.message().to_owned()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it should have failed"),
    }
}
