//! The power goes while rows are written and views follow them: after it, each view holds what its query says of what
//! is left. The seeds are in the messages.

use activestore_env::{SimDiskOptions, SimRng};

use super::*;

const SEEDS: u64 = 6;
/// Power cuts of one run.
const CUTS: usize = 4;
/// Operations of the disk before a cut, at the most.
const OPS_MAX: u64 = 120;

async fn tried(db: &Db, sql: &str) -> bool {
    db.sql(sql, &[]).await.is_ok()
}

async fn play(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::with_disk(seed, SimDiskOptions::default());
    let rng = SimRng::seeded(seed);
    let open = || {
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.seal_after = Duration::ZERO;
        Db::open_in(options, world.env()).unwrap()
    };
    let hours = "SELECT device, tumble(w, '5 minutes') AS h, sum(n) AS n, max(high) AS high FROM plant.v GROUP BY device, h";
    let sites = "SELECT p.site, tumble(t.ts, '2 minutes') AS w, count(*) AS n, sum(t.v) AS total FROM plant.t t JOIN plant.p p ON p.device = t.device GROUP BY p.site, w";
    let visits = "SELECT device, session(ts, '20 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last FROM plant.t GROUP BY device, s";
    let mut db = open();
    run(&db, BASE).await;
    run(
        &db,
        "CREATE TABLE plant.p (device TEXT PRIMARY KEY, site TEXT)",
    )
    .await;
    run(
        &db,
        &format!("CREATE MATERIALIZED VIEW plant.sites AS {sites}"),
    )
    .await;
    run(
        &db,
        &format!("CREATE MATERIALIZED VIEW plant.s AS {visits}"),
    )
    .await;
    run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
    run(&db, &format!("CREATE MATERIALIZED VIEW plant.h AS {hours}")).await;
    for cut in 0..CUTS {
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + 1 + rng.below(OPS_MAX)),
            ..SimDiskOptions::default()
        });
        for _ in 0..300 {
            let (device, second) = (rng.below(3), rng.below(900));
            let ts = format!("to_timestamp_nanos({second} * 1000000000)");
            let sql = match rng.below(17) {
                0 => format!("DELETE FROM plant.t WHERE device = 'd{device}' AND ts < {ts}"),
                1 => format!("DELETE FROM plant.t WHERE device = 'd{device}' AND ts = {ts}"),
                2 => "REFRESH MATERIALIZED VIEW plant.v".to_owned(),
                3 => "REFRESH MATERIALIZED VIEW plant.h".to_owned(),
                4 => "REFRESH MATERIALIZED VIEW plant.s".to_owned(),
                5 => {
                    let _cut = db.inner.store.flush();
                    continue;
                }
                6 => "REFRESH MATERIALIZED VIEW plant.sites".to_owned(),
                7 => format!("DELETE FROM plant.p WHERE device = 'd{device}'"),
                8..=10 => format!(
                    "INSERT INTO plant.p (device, site) VALUES ('d{device}', 's{}')",
                    second % 3
                ),
                v => format!("INSERT INTO plant.t (device, ts, v) VALUES ('d{device}', {ts}, {v})"),
            };
            if !tried(&db, &sql).await {
                break;
            }
        }
        let _dark = db.shutdown().await;
        drop(db);
        world.disk.crash();
        db = open();
        println!("seed {seed}, cut {cut}");
        agrees(&db, "plant.v", QUERY).await;
        agrees(&db, "plant.h", hours).await;
        agrees(&db, "plant.sites", sites).await;
        agrees(&db, "plant.s", visits).await;
    }
    db.shutdown().await.unwrap();
}

#[test]
fn views_agree_with_their_queries_after_power_cuts() {
    for seed in 1..=SEEDS {
        runtime().block_on(play(seed));
    }
}
