//! A view's table keeps its rows for as long as the view needs them, or the view says that it does not.

use super::*;

const HOURS: &str =
    "SELECT device, tumble(ts, '1 hour') AS h, count(*) AS n FROM plant.t GROUP BY device, h";

#[test]
fn a_table_keeps_its_rows_for_as_long_as_a_window_needs_them() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        let edge = open(dirs[1].path(), Role::Edge);
        run(&cloud, BASE).await;
        adopt(&edge, &cloud);
        let make = |name: &str| {
            format!(
                "CREATE MATERIALIZED VIEW plant.{name} WITH (allowed_lateness = '1 h') AS {HOURS}"
            )
        };
        run(&edge, &make("hours")).await;
        for options in [
            "ttl = '1 h'",
            "ttl = '119 minutes'",
            "keep_local = '1 h'",
            "ttl = '2 h', keep_local = '90 minutes'",
        ] {
            let told = told(&edge, &format!("ALTER TABLE plant.t SET ({options})")).await;
            assert!(
                told.contains("plant.hours needs them for 7200"),
                "{options}: {told}"
            );
        }
        for options in [
            "ttl = '2 h'",
            "keep_local = '2 h'",
            "ttl = 'none'",
            "keep_local = 'none'",
            "sync_class = 'alarm'",
        ] {
            run(&edge, &format!("ALTER TABLE plant.t SET ({options})")).await;
        }
        let stands = "SELECT state, coalesce(last_error, '') FROM system.views";
        agrees(&edge, "plant.hours", HOURS).await;
        assert_eq!(rows(&edge, stands).await, ["current|"]);
        // A cloud evicts nothing, so keep_local is nothing to a view of its own.
        run(&cloud, &make("above")).await;
        agrees(&cloud, "plant.above", HOURS).await;
        run(&cloud, "ALTER TABLE plant.t SET (keep_local = '1 h')").await;
        adopt(&edge, &cloud);
        // The thread tells it, once it has seen the definitions.
        let mut said = Vec::new();
        for _ in 0..10_000 {
            said = rows(&edge, stands).await;
            if said != ["current|"] {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(
            said[0].starts_with("failing|plant.t keeps its rows for 3600 seconds"),
            "{said:?}"
        );
        assert_eq!(rows(&cloud, stands).await, ["current|"]);
        let refused = told(&edge, &make("another")).await;
        assert!(
            refused.contains("a whole window could never be computed"),
            "{refused}"
        );
        run(&cloud, "ALTER TABLE plant.t SET (keep_local = 'none')").await;
        adopt(&edge, &cloud);
        agrees(&edge, "plant.hours", HOURS).await;
        cloud.shutdown().await.unwrap();
        edge.shutdown().await.unwrap();
    });
}
