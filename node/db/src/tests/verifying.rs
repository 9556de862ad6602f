//! An edge compares its rows with what its cloud holds of them: what either has lost is found and mended, and
//! nothing else shows as a difference.

use std::path::Path;

use super::flowing_down::{close, folder};
use super::shipping::{another_epoch, sealed, ship};
use super::*;
use activestore_sync_proto::reconcile::{
    Ask, Comparing, Pick, Report, Step, View, Whose, Wish, answer,
};
use activestore_sync_proto::{Frame, Replica, decode, encode};
use activestore_types::{Hlc, TableName};

use crate::incoming::Incoming;
use crate::outbox::segment::Segment;

const COUNT: &str = "SELECT count(*) FROM plant.readings";

/// What a comparison found, and the bytes of its frames: all, and those with rows.
pub(super) struct Compared {
    pub(super) report: Report,
    pub(super) bytes: usize,
    row_bytes: usize,
}

/// Compares, every frame through its bytes; what waits to be shipped is shipped meanwhile.
pub(super) fn compare(edge: &Db, cloud: &Db, repair: bool) -> Compared {
    let replica = edge.sync_hosts().replica;
    compare_as(&*replica, edge, cloud, repair, &|| ship(edge, cloud))
}

/// The same, as this part of the edge; `ship` ships what waits.
pub(super) fn compare_as(
    replica: &dyn Replica,
    edge: &Db,
    cloud: &Db,
    repair: bool,
    ship: &dyn Fn(),
) -> Compared {
    let inbox = cloud.sync_hosts().inbox;
    let (here, there) = (replica.holdings().unwrap(), inbox.holdings().unwrap());
    let mut comparing = Comparing::new(Wish {
        repair,
        scheduled: false,
    });
    let (mut bytes, mut row_bytes) = (0, 0);
    let mut answered = None;
    loop {
        let question = match comparing.step(here, answered.take()).unwrap() {
            Step::Ask(question) => question,
            Step::Wait(_) => {
                ship();
                continue;
            }
            Step::Done(report) => {
                return Compared {
                    report: *report.unwrap(),
                    bytes,
                    row_bytes,
                };
            }
        };
        let rows = matches!(question.ask, Ask::Rows { .. });
        let sent = encode(&Frame::Question(Box::new(question))).unwrap();
        let Frame::Question(mut question) = decode(&sent).unwrap() else {
            panic!("a question became another frame");
        };
        question.view.writer = edge.node_id();
        let back = encode(&Frame::Answer(answer(&question, there))).unwrap();
        let count = if rows { &mut row_bytes } else { &mut bytes };
        *count += sent.len() + back.len();
        let Frame::Answer(back) = decode(&back).unwrap() else {
            panic!("an answer became another frame");
        };
        answered = Some(back.found);
    }
}

#[track_caller]
pub(super) fn equal(edge: &Db, cloud: &Db) -> Compared {
    let compared = compare(edge, cloud, false);
    let report = &compared.report;
    assert_eq!(report.outcome.differences, 0, "{report:?}");
    assert!(
        report.tables.iter().all(|table| table.equal()),
        "{report:?}"
    );
    compared
}

/// Mends what differs, lets it arrive, and looks that it is gone.
#[track_caller]
pub(super) fn mended(edge: &Db, cloud: &Db) -> Compared {
    let compared = compare(edge, cloud, true);
    assert_eq!(compared.report.outcome.left(), 0, "{:?}", compared.report);
    ship(edge, cloud);
    equal(edge, cloud);
    compared
}

/// A directory as it is now, to be opened later as an older image.
pub(super) fn image(of: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let to = folder();
    copy(of, to.path());
    to
}

/// Rows of two machines, ten a second, from so many seconds after the first of January on.
pub(super) async fn write(edge: &Db, from: u64, rows: u64) {
    run(
        edge,
        &format!(
            "INSERT INTO plant.readings (device, ts, temp, status)
             SELECT 'm' || (value % 2) AS device,
               to_timestamp_nanos(1767225600000000000 + ({from} + value) * 100000000) AS ts,
               value * 0.5 AS temp, 'ok' AS status
             FROM generate_series(1, {rows})"
        ),
    )
    .await;
}

#[test]
fn a_cloud_that_lost_what_came_last_gets_it_again() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let edge = open(e.path(), Role::Edge);
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, PLANT).await;
        write(&edge, 0, 20_000).await;
        ship(&edge, &cloud);
        let same = equal(&edge, &cloud);
        println!("20,000 rows, equal: {} bytes", same.bytes);
        assert!(same.bytes <= 400, "{} bytes", same.bytes);
        close(&[&cloud]).await;
        drop(cloud);
        let old = image(c.path());
        let cloud = open(c.path(), Role::Cloud);
        write(&edge, 20_000, 30_000).await;
        run(
            &edge,
            "DELETE FROM plant.readings WHERE device = 'm0' AND ts < '2026-01-01 00:01:00'",
        )
        .await;
        ship(&edge, &cloud);
        equal(&edge, &cloud);
        close(&[&cloud]).await;
        drop(cloud);
        // Another epoch, as after the handshake with a cloud that is older than what it acknowledged.
        let cloud = open(old.path(), Role::Cloud);
        another_epoch(&edge);
        let found = compare(&edge, &cloud, false);
        println!(
            "30,000 rows missing: {} bytes, {} questions",
            found.bytes, found.report.questions
        );
        let day = &found.report.tables[0].days[0];
        assert_eq!(day.missing_there, 30_000, "{day:?}");
        assert_eq!(day.erasures_missing_there, 299, "{day:?}");
        assert!(!day.examples.is_empty());
        mended(&edge, &cloud);
        for node in [&edge, &cloud] {
            assert_eq!(rows(node, COUNT).await, ["49701"]);
        }
        let report = cloud.sync_status().peers;
        assert!(
            report
                .iter()
                .all(|peer| peer.verified.is_some_and(|one| one.differences == 0))
        );
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn an_edge_that_lost_its_newest_rows_gets_them_back_and_does_not_ship_them_again() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let edge = open(e.path(), Role::Edge);
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, PLANT).await;
        write(&edge, 0, 3000).await;
        ship(&edge, &cloud);
        close(&[&edge]).await;
        drop(edge);
        let old = image(e.path());
        let edge = open(e.path(), Role::Edge);
        write(&edge, 3000, 9000).await;
        run(&edge, "UPDATE plant.readings SET status = 'late' WHERE device = 'm0' AND ts < '2026-01-01 00:00:10'").await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'm1' AND ts < '2026-01-01 00:00:10'").await;
        ship(&edge, &cloud);
        equal(&edge, &cloud);
        let whole = rows(&edge, "SELECT * FROM plant.readings ORDER BY device, ts").await;
        close(&[&edge]).await;
        drop(edge);
        let edge = open(old.path(), Role::Edge);
        another_epoch(&edge);
        let compared = mended(&edge, &cloud);
        println!(
            "9,000 rows back: {} bytes to find, {} bytes of rows",
            compared.bytes, compared.row_bytes
        );
        let shipped = edge.sync_hosts().outbox.unwrap().position().last_sealed;
        assert_eq!(shipped, 0, "rows that came back are shipped again");
        assert_eq!(rows(&edge, "SELECT * FROM plant.readings ORDER BY device, ts").await, whole);
        // They survive a restart.
        close(&[&edge]).await;
        drop(edge);
        let edge = open(old.path(), Role::Edge);
        equal(&edge, &cloud);
        assert_eq!(rows(&edge, "SELECT * FROM plant.readings ORDER BY device, ts").await, whole);
        close(&[&edge, &cloud]).await;
    });
}

/// Everything the edge holds of a day, to the cloud, but for some rows.
fn copy_but(edge: &Db, cloud: &Db, lost: impl Fn(usize) -> bool) {
    let table = TableName::new("plant", "readings");
    let here = edge.sync_hosts().replica;
    let here = here.holdings().unwrap();
    let view = View {
        writer: edge.node_id(),
        as_of: Hlc(u64::MAX - 1),
        now_ms: 0,
        seed: 1,
        evicted: Vec::new(),
        deletes_from: Hlc::ZERO,
        whose: Whose::Own,
    };
    let origin = cloud.inner.store.origin_id(edge.node_id()).unwrap();
    let mut number = 0;
    for (day, _) in here.days(&view, &table).unwrap() {
        let mut pick = Pick {
            low: 0,
            high: u64::MAX,
            all_but: true,
            ids: Vec::new(),
        };
        loop {
            let (payload, _, next) = here.rows(&view, &table, day, &pick).unwrap();
            let content = Segment::unpack(&payload).unwrap();
            let schema = cloud.table_schema(&table).unwrap();
            let mut incoming = Incoming::default();
            for section in &content.sections {
                let batch = section.batch(&schema, origin.0).unwrap();
                for row in 0..batch.rows {
                    number += 1;
                    if !lost(number) {
                        incoming.rows(batch.slice(row, 1));
                    }
                }
            }
            let note = activestore_store::Note {
                key: b"test".to_vec(),
                value: None,
            };
            cloud.inner.take_in(incoming, note).unwrap();
            match next {
                Some(next) => pick.low = next,
                None => break,
            }
        }
    }
}

#[test]
fn scattered_rows_that_the_cloud_lost_are_found_and_shipped_again() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let edge = open(e.path(), Role::Edge);
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&cloud, PLANT).await;
        write(&edge, 0, 60_000).await;
        let outbox = edge.sync_hosts().outbox.unwrap();
        sealed(&edge);
        let (_, _, epoch) = outbox.identity();
        outbox
            .acknowledged(epoch, outbox.position().last_sealed)
            .unwrap();
        // What is shipped from now on begins another chain: the cloud never saw this one.
        another_epoch(&edge);
        copy_but(&edge, &cloud, |number| number % 60 == 7);
        let found = compare(&edge, &cloud, false);
        println!(
            "1,000 of 60,000 rows missing: {} bytes, {} questions",
            found.bytes, found.report.questions
        );
        assert_eq!(
            found.report.outcome.differences, 1000,
            "{:?}",
            found.report.outcome
        );
        assert!(found.bytes <= 60 * 1024, "{} bytes", found.bytes);
        mended(&edge, &cloud);
        assert_eq!(rows(&cloud, COUNT).await, ["60000"]);
        close(&[&edge, &cloud]).await;
    });
}
