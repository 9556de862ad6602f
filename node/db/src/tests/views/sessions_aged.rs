//! Sessions of a table that loses its rows to their age, through late rows, deletes that split them, and power cuts, against
//! all rows that there ever were. The seeds are in the messages.

use std::collections::{BTreeMap, BTreeSet};

use activestore_env::{SimDiskOptions, SimRng};

use super::*;

const SEEDS: u64 = 5;
const STEPS: u64 = 90;
const GAP_S: i64 = 10;
const TTL_S: i64 = 60;
const NS: i64 = 1_000_000_000;
const QUERY: &str = "SELECT device, session(ts, '10 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last FROM plant.t GROUP BY device, s";
/// Whatever comes before the first moment that nothing can be gone of is late, and nothing else is.
const OPTIONS: &str = "ttl = 'none', late = 'table', late_table = 'plant.t_late', allowed_lateness = '40 seconds', refresh = '10 ms'";
const REFRESH: &str = "REFRESH MATERIALIZED VIEW plant.visits";

/// Start, rows, sum and last row, in seconds.
type Session = (i64, i64, i64, i64);

/// All rows that were in time and that nobody deleted, gone or not.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(u64, i64), i64>,
    /// Keys that are not used again.
    used: BTreeSet<(u64, i64)>,
    /// Devices of which rows were deleted that the table may not have had any more, and up to when: what their sessions of
    /// before come to nobody can tell.
    torn: BTreeMap<u64, i64>,
    /// Those of the last step.
    deleted: BTreeSet<u64>,
    /// What the view held of before the moment since which the table has all.
    old: BTreeSet<(u64, i64)>,
}

impl Model {
    fn sessions(&self, device: u64) -> Vec<Session> {
        let mut all: Vec<Session> = Vec::new();
        for ((_, at), v) in self.rows.range((device, i64::MIN)..=(device, i64::MAX)) {
            match all.last_mut() {
                Some(open) if at - open.3 < GAP_S => {
                    *open = (open.0, open.1 + 1, open.2 + v, *at);
                }
                _ => all.push((*at, 1, *v, *at)),
            }
        }
        all
    }

    fn delete(&mut self, device: u64, from: i64, to: i64, floor: i64) {
        self.rows
            .retain(|(of, at), _| *of != device || !(from..to).contains(at));
        if from < floor + GAP_S {
            self.tear(device, floor);
        }
    }

    fn tear(&mut self, device: u64, floor: i64) {
        self.torn.insert(device, floor + GAP_S);
        self.deleted.insert(device);
    }

    async fn check(&mut self, db: &Db, now_s: i64, said: &str) {
        // The clock is half a second beyond a full one, so that no row is at the very moment.
        let floor = now_s - TTL_S + 1;
        let mut held: BTreeMap<u64, Vec<Session>> = BTreeMap::new();
        for row in rows(db, "SELECT device, extract(epoch FROM s)::BIGINT, n, total, extract(epoch FROM last)::BIGINT FROM plant.visits").await {
            let mut cells = row.split('|');
            let device = cells.next().unwrap().trim_start_matches('d').parse().unwrap();
            let cells: Vec<i64> = cells.map(|cell| cell.parse().unwrap()).collect();
            held.entry(device).or_default().push((cells[0], cells[1], cells[2], cells[3]));
        }
        for device in 0..3 {
            let mut there = held.remove(&device).unwrap_or_default();
            there.sort_unstable();
            let torn = self.torn.get(&device).copied();
            let since = floor.max(torn.unwrap_or(floor));
            let ideal = self.sessions(device);
            // What a row joined to a session of before, which stays as it is, stays a session of its own.
            let joined = |one: &Session| {
                let mut old = ideal.iter().filter(|old| old.0 < since);
                old.any(|old| old.0 <= one.0 && one.0 <= old.3)
            };
            let whole = |all: &[Session]| -> Vec<Session> {
                let of_now = all.iter().filter(|one| one.0 >= since && !joined(one));
                of_now.copied().collect()
            };
            assert_eq!(
                whole(&there),
                whole(&ideal),
                "{said}, device {device}, since {since}"
            );
            let before: BTreeSet<(u64, i64)> = there.iter().map(|one| (device, one.0)).collect();
            let gone = self
                .old
                .iter()
                .filter(|(of, _)| *of == device)
                .filter(|one| !before.contains(one));
            let gone: Vec<_> = gone.copied().collect();
            assert!(
                gone.is_empty() || self.deleted.contains(&device),
                "{said}: {gone:?} of before {floor} are gone"
            );
            self.old.retain(|(of, _)| *of != device);
            self.old
                .extend(before.into_iter().filter(|(_, start)| *start < floor));
        }
        self.deleted.clear();
    }
}

/// Device, moment in seconds and value.
async fn moments(db: &Db, sql: &str) -> BTreeMap<(u64, i64), i64> {
    let mut all = BTreeMap::new();
    for row in rows(db, sql).await {
        let mut cells = row.split('|');
        let device = cells.next().unwrap().trim_start_matches('d');
        let cells: Vec<i64> = cells.map(|cell| cell.parse().unwrap()).collect();
        all.insert((device.parse().unwrap(), cells[0]), cells[1]);
    }
    all
}

async fn play(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::with_disk(seed, SimDiskOptions::default());
    let rng = SimRng::seeded(seed);
    let begins = i64::try_from(MIDNIGHT_MS / 1_000).unwrap();
    world.clock.set_ms(MIDNIGHT_MS + 500);
    let open = || {
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.seal_after = Duration::ZERO;
        Db::open_in(options, world.env()).unwrap()
    };
    let mut db = open();
    run(&db, BASE).await;
    run(&db, "ALTER TABLE plant.t SET (ttl = '60 s')").await;
    run(
        &db,
        &format!("CREATE MATERIALIZED VIEW plant.visits WITH ({OPTIONS}) AS {QUERY}"),
    )
    .await;
    run(&db, REFRESH).await;
    let mut model = Model::default();
    let mut passed = 0_u64;
    for step in 0..STEPS {
        if rng.below(8) == 0 {
            world.disk.set_options(SimDiskOptions {
                power_cut_at: Some(world.disk.ops() + 1 + rng.below(20)),
                ..SimDiskOptions::default()
            });
        }
        let now = begins + i64::try_from(passed).unwrap();
        let floor = now - TTL_S + 1;
        let device = rng.below(3);
        // Mostly of now, sometimes of any time that the table has, or had.
        let ago = i64::try_from(match rng.below(4) {
            0 => rng.below(90),
            _ => rng.below(6),
        })
        .unwrap();
        let at = now - ago;
        let moment = |second: i64| format!("to_timestamp_nanos({})", second * NS);
        let mut fine = true;
        match rng.below(12) {
            0 => {
                let sql = format!(
                    "DELETE FROM plant.t WHERE device = 'd{device}' AND ts = {}",
                    moment(at)
                );
                fine = db.sql(&sql, &[]).await.is_ok();
                model.delete(device, at, at + 1, floor);
            }
            1 => {
                let to = at + i64::try_from(rng.below(15)).unwrap();
                let sql = format!(
                    "DELETE FROM plant.t WHERE device = 'd{device}' AND ts >= {} AND ts < {}",
                    moment(at),
                    moment(to)
                );
                fine = db.sql(&sql, &[]).await.is_ok();
                model.delete(device, at, to, floor);
            }
            2 => {
                fine = db.sql(REFRESH, &[]).await.is_ok();
            }
            3 => {
                let _cut = db.inner.store.flush();
            }
            _ if model.used.insert((device, at)) => {
                let v = i64::try_from(step).unwrap();
                let sql = format!(
                    "INSERT INTO plant.t (device, ts, v) VALUES ('d{device}', {}, {v})",
                    moment(at)
                );
                fine = db.sql(&sql, &[]).await.is_ok();
                if at >= floor + GAP_S {
                    model.rows.insert((device, at), v);
                }
            }
            _ => {}
        }
        // Before time goes on all is looked at, or rows that were in time would be late.
        fine &= db.sql(REFRESH, &[]).await.is_ok();
        world.disk.set_options(SimDiskOptions::default());
        fine &= !world.disk.is_dark();
        let said = format!("seed {seed}, step {step}");
        if !fine {
            let _dark = db.shutdown().await;
            drop(db);
            world.disk.crash();
            db = open();
            println!("{said}: the power went");
            run(&db, REFRESH).await;
            // What was being written is there or not, and what was late is where it belongs.
            let keys = "SELECT device, extract(epoch FROM ts)::BIGINT, 0 FROM plant.t_late";
            let late = moments(&db, keys).await;
            let keys = "SELECT device, extract(epoch FROM ts)::BIGINT, v FROM plant.t";
            let there = moments(&db, keys).await;
            let in_time = there.into_iter();
            let in_time = in_time.filter(|(key, _)| key.1 >= floor && !late.contains_key(key));
            model.rows.retain(|(_, at), _| *at < floor);
            model.rows.extend(in_time);
            model.tear(device, floor);
        }
        model.check(&db, now, &said).await;
        if rng.below(2) == 0 {
            let seconds = 1 + rng.below(8);
            passed += seconds;
            world.clock.advance(Duration::from_secs(seconds));
        }
    }
    db.shutdown().await.unwrap();
}

#[test]
fn sessions_of_a_table_that_loses_rows_are_those_of_all_rows_there_were() {
    for seed in 1..=SEEDS {
        runtime().block_on(play(seed));
    }
}
