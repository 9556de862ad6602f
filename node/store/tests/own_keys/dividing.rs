//! Rows lie under the keys of their partitions, whatever happens beside.

use crate::people::*;

/// Writes, merges, keys given and partitions erased in any order, beside the background threads: each
/// file is of one partition that has a key, under that key, or of none that has.
#[test]
fn files_are_divided_by_their_keys_whatever_happens() {
    const PEOPLE: [&str; 6] = ["ann", "bob", "cy", "dee", "eve", "flo"];
    for seed in 0..12 {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let mode = [CompactionMode::TimeWindow, CompactionMode::Levelled][(seed % 2) as usize];
        let mut options = options(&world);
        options.background = seed % 4 < 2;
        options.memtable_bytes = 16 << 10;
        let keyring = options.encryption.clone().unwrap();
        let store = opened(&world, options, mode);
        let mut model: BTreeSet<(&str, i64)> = BTreeSet::new();
        for step in 0..200_u64 {
            let hlc = (step + 1) * 1000;
            let person = PEOPLE[rng.below(6) as usize];
            match rng.below(30) {
                0 if store.own_keys(TABLE).len() < 4 => {
                    store
                        .seal_partition(TABLE, &prefix(person), person)
                        .unwrap();
                }
                1 if store
                    .own_keys(TABLE)
                    .iter()
                    .any(|own| own.prefix == prefix(person)) =>
                {
                    erase(&store, hlc, person);
                    model.retain(|row| row.0 != person);
                }
                2 => store.compact(TABLE).unwrap(),
                3 => {
                    delete(&store, hlc, person);
                    model.retain(|row| row.0 != person);
                }
                4 => store.settle(Some(Hlc(hlc))),
                _ => {
                    let day = 86_400_000_000_000;
                    let rows: Vec<(&str, i64)> = (0..rng.below(40) + 1)
                        .map(|_| {
                            let person = PEOPLE[rng.below(6) as usize];
                            (person, (rng.below(5) * day + rng.below(60)).cast_signed())
                        })
                        .collect();
                    put(&store, hlc, &rows);
                    model.extend(rows);
                }
            }
        }
        store.flush().unwrap();
        store.close().unwrap();
        let mut expected = BTreeMap::new();
        for (person, _) in model {
            *expected.entry(person.to_owned()).or_default() += 1;
        }
        assert_eq!(counts(&store), expected, "seed {seed}");
        let own: BTreeMap<u32, String> = store
            .own_keys(TABLE)
            .into_iter()
            .map(|own| {
                let name = PEOPLE.iter().find(|person| prefix(person) == own.prefix);
                (own.state.key, (*name.unwrap()).to_owned())
            })
            .collect();
        assert!(!own.is_empty(), "seed {seed}");
        let files = people_by_file(&world, &store, &keyring);
        for (key, people) in &files {
            match key {
                Some(key) => assert_eq!(people, &BTreeSet::from([own[key].clone()])),
                None => assert!(
                    own.values().all(|person| !people.contains(person)),
                    "{files:?}"
                ),
            }
        }
        assert_eq!(keyring.own_keys().len(), own.len(), "seed {seed}");
    }
}

#[test]
fn keys_change_under_writers_and_no_row_is_lost() {
    for seed in 0..10 {
        change_under_writers(&SimEnv::seeded(seed));
    }
}

fn change_under_writers(world: &SimEnv) {
    const ROWS: i64 = 250;
    let background = || StoreOptions {
        background: true,
        ..options(world)
    };
    let store = opened(world, background(), CompactionMode::Automatic);
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    let writers = std::sync::atomic::AtomicUsize::new(4);
    std::thread::scope(|scope| {
        for writer in 0..4_i64 {
            let (store, writers) = (&store, &writers);
            scope.spawn(move || {
                for nth in 0..ROWS {
                    let at = writer * ROWS + nth;
                    put(
                        store,
                        1000 + at.cast_unsigned(),
                        &[("ann", at), ("bob", at)],
                    );
                }
                writers.fetch_sub(1, std::sync::atomic::Ordering::Release);
            });
        }
        while writers.load(std::sync::atomic::Ordering::Acquire) > 0 {
            store.renew_key(TABLE, &prefix("ann")).unwrap();
            store.destroy_past_keys(TABLE, &prefix("ann")).unwrap();
        }
    });
    let all = counted(&[("ann", 4 * ROWS as usize), ("bob", 4 * ROWS as usize)]);
    assert_eq!(counts(&store), all);
    // What was not flushed comes back out of the log.
    store.close().unwrap();
    drop(store);
    let store = opened(world, background(), CompactionMode::Automatic);
    assert_eq!(counts(&store), all);
}

#[test]
fn to_compact_all_ends_also_where_no_merge_makes_fewer_files() {
    let world = SimEnv::seeded(8);
    let options = StoreOptions {
        // Two files in one merge.
        merge_bytes_max: 1,
        ..options(&world)
    };
    let store = opened(&world, options, CompactionMode::Automatic);
    let people = ["ann", "bob", "cy", "dee"];
    for person in people {
        store
            .seal_partition(TABLE, &prefix(person), person)
            .unwrap();
    }
    for round in 0..3_u64 {
        let at = round.cast_signed();
        let rows = people.iter().chain(&["eve", "flo"]);
        let rows: Vec<(&str, i64)> = rows.map(|person| (*person, at)).collect();
        put(&store, 1000 * (round + 1), &rows);
        store.flush().unwrap();
    }
    // It stays: nobody has said that nothing older is to come.
    delete(&store, 9000, "eve");
    store.compact(TABLE).unwrap();
    assert_eq!(store.sstables().len(), 5);
    assert_eq!(counts(&store).values().sum::<usize>(), 15);
}
