//! Power cuts at any write, sync, renaming or removal: whatever was acknowledged is there after the
//! next start, whole; whatever was not is there whole or not at all; nothing else is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_env::{Rng, SimDiskOptions, SimEnv, SimRng};
use activestore_store::{Store, StoreOptions, WalSync};
use activestore_types::{ErrorKind, Result, TableId};

use crate::world::*;

/// Lives of one store: each ends with a power cut in the middle of something.
const LIVES: u64 = 4;

#[test]
fn a_thousand_power_cuts_lose_no_acknowledged_commit_and_invent_none() {
    for_seeds(1000, |seed| {
        let sync = match seed % 4 {
            0 => WalSync::Always,
            1 => WalSync::Interval(Duration::from_secs(3600)),
            _ => WalSync::Batch,
        };
        lives(seed, sync);
    });
    // Of the seeds with an encrypted store, some come to the end of it.
    let erased = ERASED.load(Ordering::Relaxed);
    let few = seeds(1000).count() < 100;
    assert!(few || erased > 0, "no partition was erased");
}

/// Partitions with keys of their own that were erased, in all lives.
static ERASED: AtomicU64 = AtomicU64::new(0);

fn lives(seed: u64, wal_sync: WalSync) {
    let world = SimEnv::seeded(seed);
    let rng = SimRng::seeded(seed ^ 0xdead);
    let durable = !matches!(wal_sync, WalSync::Interval(_));
    let options = || StoreOptions {
        wal_sync,
        ..options_for(seed, &world)
    };
    let mut tracked = Tracked::new();
    for life in 0..LIVES {
        let options = options();
        let reach = [20, 60, 200, 600][rng.below(4) as usize];
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + 1 + rng.below(reach)),
            ..SimDiskOptions::default()
        });
        one_life(&world, &rng, &options, durable, life, &mut tracked);
        world.disk.crash();
    }
    world.disk.set_options(SimDiskOptions::default());
    let store = Store::open(world.env(), options()).unwrap();
    if store.snapshot(TABLE).is_err() {
        assert_eq!(tracked.model.commits, 0);
        return;
    }
    tracked.check(&store);
    // A store that was closed in order comes back as it was, too.
    store.close().unwrap();
    drop(store);
    let store = Store::open(world.env(), options()).unwrap();
    tracked.check(&store);
}

/// A step on a partition that may have a key of its own, in an encrypted store.
fn on_own_keys(
    store: &Store,
    options: &StoreOptions,
    rng: &SimRng,
    step: impl Fn(&Store, TableId, &[u8]) -> Result<()>,
) -> Result<()> {
    if options.encryption.is_none() {
        return Ok(());
    }
    match step(store, TABLE, &key(rng.below(4).cast_signed())) {
        // It has none yet, or a life ended while it was given one.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        ended => ended,
    }
}

fn one_life(
    world: &SimEnv,
    rng: &SimRng,
    options: &StoreOptions,
    durable: bool,
    life: u64,
    tracked: &mut Tracked,
) {
    let store = match Store::open(world.env(), options.clone()) {
        Ok(store) => store,
        Err(error) => {
            assert!(world.disk.is_dark(), "life {life}: {error}");
            return;
        }
    };
    if store.put_schema(schema()).is_err() {
        assert!(world.disk.is_dark());
        return;
    }
    // Reads go on in the dark as far as memory reaches, and may fail there: then nothing is checked.
    if world.disk.is_dark() {
        return;
    }
    tracked.check(&store);
    let stamps = Stamps::above(store.max_hlc());
    for _ in 0..400 {
        let commit = Commit::random(rng, 0..60);
        if tracked.commit(&store, commit, &stamps, durable).is_err() {
            assert!(world.disk.is_dark());
            return;
        }
        let step = rng.below(40);
        let maintained = match step {
            0 => store.flush(),
            1 => store.compact(TABLE),
            2 => store.erase(TABLE),
            3 => on_own_keys(&store, options, rng, |store, table, prefix| {
                store.seal_partition(table, prefix, "one")
            }),
            4 => on_own_keys(&store, options, rng, |store, table, prefix| {
                let renewed = store.renew_key(table, prefix);
                renewed.and_then(|_| store.destroy_past_keys(table, prefix))?;
                ERASED.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }),
            _ => Ok(()),
        };
        // The replay of one seed says which step went wrong, not only that one did.
        if replaying() && !world.disk.is_dark() {
            let mut expected = tracked.model.clone();
            tracked
                .unsure
                .iter()
                .for_each(|commit| expected.apply(commit));
            let found = Model::read(&store);
            assert_eq!(
                found,
                expected,
                "life {life}, step {step}, {:?}",
                store.stats()
            );
        }
        if maintained.is_err() {
            assert!(world.disk.is_dark());
            return;
        }
    }
    if rng.one_in(2) {
        let _ = store.close();
    }
}

#[test]
fn power_cuts_under_concurrent_writers_and_background_threads() {
    const WRITERS: u64 = 3;
    for_seeds(40, |seed| {
        let world = SimEnv::seeded(seed);
        let options = StoreOptions {
            background: true,
            ..options_for(seed, &world)
        };
        let store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(schema()).unwrap();
        let stamps = Stamps::default();
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + 20 + world.rng.below(700)),
            ..SimDiskOptions::default()
        });
        // Each writer has ids and a counting note of its own; its last commit may be there or not.
        let written: Vec<(Model, Option<Commit>)> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (store, stamps, key) = (&store, &stamps, [b'0' + writer as u8]);
                    let seed = world.rng.next_u64();
                    scope.spawn(move || {
                        let rng = SimRng::seeded(seed);
                        let base = writer.cast_signed() * 1000;
                        let mut model = Model::default();
                        for nth in 1..300 {
                            let commit = Commit::random(&rng, base..base + 40);
                            let set = write_set(&commit, stamps, nth, &key);
                            if store.commit(set).is_err() {
                                return (model, Some(commit));
                            }
                            model.apply(&commit);
                        }
                        (model, None)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        drop(store);
        world.disk.crash();
        let store = Store::open(world.env(), options).unwrap();
        let mut found = Model::read(&store);
        for (writer, (mut model, unsure)) in written.into_iter().enumerate() {
            let commits = count(&store, &[b'0' + writer as u8]);
            if commits == model.commits + 1 {
                model.apply(&unsure.expect("a commit was invented"));
            }
            assert_eq!(commits, model.commits, "writer {writer}");
            let base = writer as i64 * 1000;
            let rest = found.rows.split_off(&(base + 1000));
            assert_eq!(
                std::mem::replace(&mut found.rows, rest),
                model.rows,
                "writer {writer}"
            );
        }
        assert!(found.rows.is_empty());
    });
}
