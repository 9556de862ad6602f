//! What may wait for a further cloud, what becomes of it then, and what a repair and a backup do with it.

use std::collections::BTreeSet;

use super::*;
use crate::FullOutbox;

#[test]
fn a_cloud_that_is_away_stops_no_write_and_gets_what_it_missed_by_a_repair() {
    runtime().block_on(async {
        for at_limit in [FullOutbox::Hold, FullOutbox::DropOldest] {
            let (e, o, c) = (folder(), folder(), folder());
            let bounded = FurtherCloud {
                outbox_bytes_max: 20_000,
                at_limit,
                ..dr()
            };
            let edge = edge_with(e.path(), Some(vec![bounded.clone()]));
            let own = open(o.path(), Role::Cloud);
            let copy = open(c.path(), Role::Cloud);
            run(&edge, TABLES).await;
            for round in 0..100 {
                write(&edge, round * 10..(round + 1) * 10).await;
                ship_own(&edge, &own);
            }
            assert_eq!(numbers(&own).await.len(), 1000, "{at_limit:?}");
            // What erases goes though it is full.
            let full = edge.sync_status().also[0].pending_rows;
            run(
                &edge,
                "DELETE FROM plant.readings WHERE device = 'a' AND n = 2000",
            )
            .await;
            ship_own(&edge, &own);
            assert_eq!(edge.sync_status().also[0].pending_rows, full + 1);
            let told = edge.sync_status().also.remove(0);
            // A segment that is cut when there is room may go beyond the bound, and no more than one.
            assert!(
                told.pending_bytes < 20_000 + 4_000,
                "{}",
                told.pending_bytes
            );
            let gone: u64 = told.let_go.iter().map(|gone| gone.rows).sum();
            assert_eq!(gone + told.pending_rows, 1001, "{at_limit:?}");
            assert!(gone > 500, "{gone}");
            // The log is not held for what was passed over.
            assert_eq!(told.unsealed_records, 0);
            let figure = "activestore_sync_cloud_rows_let_go_total";
            let counted: f64 = edge
                .counters()
                .iter()
                .filter(|one| one.name == figure)
                .map(|one| one.value)
                .sum();
            assert_eq!(counted, gone as f64);
            ship_to(&edge, "dr", &copy);
            let arrived: BTreeSet<u64> = numbers(&copy).await.into_iter().collect();
            assert_eq!(arrived.len() as u64, 1000 - gone);
            let kept = match at_limit {
                FullOutbox::Hold => arrived.contains(&0),
                FullOutbox::DropOldest => arrived.contains(&999),
            };
            assert!(kept, "{at_limit:?}: {arrived:?}");
            // A repair has the room that there is for it, and may take several.
            let repaired = (0..200).any(|_| {
                let replica = further(&edge, "dr").replica;
                let shipped = || ship_to(&edge, "dr", &copy);
                let found = compare_as(&*replica, &edge, &copy, true, &shipped);
                shipped();
                found.report.outcome.differences == 0
            });
            assert!(repaired, "{at_limit:?}");
            assert_eq!(numbers(&copy).await.len(), 1000, "{at_limit:?}");
            assert!(
                edge.sync_status().verified.is_none(),
                "the own cloud was not compared"
            );
            close_all(vec![edge, own, copy]).await;
        }
    });
}

#[test]
fn a_cloud_that_is_named_no_more_holds_the_log_no_more() {
    runtime().block_on(async {
        let e = folder();
        let edge = edge_with(e.path(), Some(vec![dr()]));
        run(&edge, TABLES).await;
        write(&edge, 0..50).await;
        edge.shutdown().await.unwrap();
        drop(edge);
        let queue = e.path().join("cloud-dr/outbox.redb");
        assert!(queue.exists());
        // What knows of no configuration keeps it.
        let edge = edge_with(e.path(), None);
        assert_eq!(edge.sync_status().also[0].pending_rows, 50);
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = edge_with(e.path(), Some(Vec::new()));
        assert!(!queue.exists());
        assert!(edge.sync_status().also.is_empty());
        let told = rows(
            &edge,
            "SELECT text FROM system.sync_events WHERE kind = 'cloud_let_go'",
        )
        .await;
        assert!(told[0].contains("50 rows that waited"), "{told:?}");
        // More than a segment of the log, so that one can be recycled.
        let store = &edge.inner.store;
        let removed_at = store.last_lsn();
        let large = noise(1).repeat(8 << 10);
        for n in 50..70 {
            let row = format!("INSERT INTO plant.readings VALUES ('a', {n}, '{large}')");
            run(&edge, &row).await;
        }
        edge.seal().await.unwrap();
        store.flush().unwrap();
        let first = store.first_log_lsn();
        assert!(first > removed_at, "{first:?} {removed_at:?}");
        close_all(vec![edge]).await;
    });
}

#[test]
fn what_waits_for_a_further_cloud_is_in_a_backup() {
    runtime().block_on(async {
        let (e, b, r, c) = (folder(), folder(), folder(), folder());
        let edge = edge_with(e.path(), Some(vec![dr()]));
        run(&edge, TABLES).await;
        write(&edge, 0..50).await;
        edge.seal().await.unwrap();
        std::fs::write(e.path().join("cloud-dr/edge.key"), "a key").unwrap();
        let target = crate::backup::Directory::at(b.path());
        edge.backup(&target, &mut |_| Ok(())).unwrap();
        let before = edge.sync_status().also[0].epoch.clone();
        edge.shutdown().await.unwrap();
        let place = r.path().join("restored");
        crate::backup::restore(&target, None, &place, None, &mut |_| Ok(())).unwrap();
        assert_eq!(
            std::fs::read(place.join("cloud-dr/edge.key")).unwrap(),
            b"a key"
        );
        let edge = edge_with(&place, Some(vec![dr()]));
        assert_ne!(
            edge.sync_status().also[0].epoch,
            before,
            "another image, another epoch"
        );
        let copy = open(c.path(), Role::Cloud);
        ship_to(&edge, "dr", &copy);
        assert_eq!(numbers(&copy).await.len(), 50);
        close_all(vec![edge, copy]).await;
    });
}
