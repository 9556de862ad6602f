//! Power cuts at every step.

use crate::people::*;

/// A store with rows in files and in the log; ann's partition has a key if `sealed`.
fn prepared(seed: u64, sealed: bool) -> (SimEnv, Arc<Store>) {
    let world = SimEnv::seeded(seed);
    let store = open(&world);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    store.flush().unwrap();
    if sealed {
        store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    }
    put(&store, 2000, &[("bob", 2), ("ann", 2), ("cy", 2)]);
    (world, store)
}

/// Cuts the power at the first disk operation of `step`, at the second, and so on until it ends before
/// the cut; `check` sees each world after the next start. Returns how many cuts there were.
fn cut_at_every_step(
    sealed: bool,
    step: impl Fn(&Store) -> Result<()>,
    check: impl Fn(&SimEnv, Arc<Store>, &BTreeMap<String, Vec<u8>>),
) -> u64 {
    for k in 1..10_000 {
        let (world, store) = prepared(k, sealed);
        let before = copy_of(&world);
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + k),
            ..SimDiskOptions::default()
        });
        let ended = step(&store);
        let done = !world.disk.is_dark();
        assert_eq!(done, ended.is_ok(), "cut {k}: {ended:?}");
        drop(store);
        world.disk.crash();
        world.disk.set_options(SimDiskOptions::default());
        check(&world, open(&world), &before);
        if done {
            return k - 1;
        }
    }
    panic!("the step never ends");
}

#[test]
fn a_power_cut_at_any_step_of_giving_a_key_loses_nothing() {
    let all = counted(&[("ann", 2), ("bob", 2), ("cy", 1)]);
    let ann = prefix("ann");
    let cuts = cut_at_every_step(
        false,
        |store| store.seal_partition(TABLE, &ann, "ann"),
        |world, store, _| {
            assert_eq!(counts(&store), all);
            store.seal_partition(TABLE, &ann, "ann").unwrap();
            assert_eq!(counts(&store), all);
            let keyring = options(world).encryption.unwrap();
            for (key, people) in people_by_file(world, &store, &keyring) {
                assert_eq!(key.is_some(), people.contains("ann"), "{people:?}");
            }
        },
    );
    assert!(cuts > 30, "{cuts}");
}

#[test]
fn a_power_cut_at_any_step_of_an_erasure_is_made_good_by_the_next_one() {
    let others = counted(&[("bob", 2), ("cy", 1)]);
    let cuts = cut_at_every_step(
        true,
        |store| try_erase(store, 3000, "ann"),
        |world, store, before| {
            let mut found = counts(&store);
            assert!(matches!(found.remove("ann"), None | Some(2)));
            assert_eq!(found, others);
            erase(&store, 4000, "ann");
            put(&store, 5000, &[("ann", 7)]);
            store.compact(TABLE).unwrap();
            assert_eq!(counts(&store)["ann"], 1);
            drop(store);
            let today = copy_of(world)["keyring"].clone();
            let copy = put_back(before, &today);
            // Its SSTables are under the key that is gone.
            let error = Store::open(copy.env(), options(&copy)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        },
    );
    assert!(cuts > 30, "{cuts}");
}
