//! After an erasure; and what is refused.

use crate::people::*;

#[test]
fn what_was_erased_is_in_no_copy_that_was_ever_made() {
    let world = SimEnv::seeded(1);
    let store = open(&world);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    store.flush().unwrap();
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    put(&store, 2000, &[("bob", 2), ("ann", 2), ("cy", 2)]);
    // Two copies: one whose newest rows are in the log only, one made as a backup is.
    let raw = copy_of(&world);
    let backup = store.backup(store.pin_log()).unwrap();
    let mut backed_up = BTreeMap::from([("keyring".to_owned(), raw["keyring"].clone())]);
    for file in &backup.files {
        let mut bytes = vec![0; file.bytes as usize];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        backed_up.insert(file.path.clone(), bytes);
    }
    drop(backup);
    let all = counted(&[("ann", 2), ("bob", 2), ("cy", 1)]);
    assert_eq!(counts(&store), all);
    erase(&store, 3000, "ann");
    put(&store, 4000, &[("ann", 5)]);
    let left = counted(&[("ann", 1), ("bob", 2), ("cy", 1)]);
    assert_eq!(counts(&store), left);
    store.compact(TABLE).unwrap();
    assert_eq!(counts(&store), left);
    drop(store);
    assert_eq!(counts(&open(&world)), left);

    let before = raw["keyring"].clone();
    let today = copy_of(&world)["keyring"].clone();
    // With the key that was destroyed, each copy is all that it was: the test can fail.
    assert_eq!(counts(&open(&put_back(&raw, &before))), all);
    let restored = put_back(&backed_up, &before);
    let keyring = options(&restored).encryption;
    assert_eq!(
        install(&restored.env().disk, NODE, keyring.as_ref()).unwrap(),
        0
    );
    assert_eq!(counts(&open(&restored)), all);

    let others = counted(&[("bob", 2), ("cy", 1)]);
    let restored = put_back(&backed_up, &today);
    let keyring = options(&restored).encryption;
    assert_eq!(
        install(&restored.env().disk, NODE, keyring.as_ref()).unwrap(),
        2
    );
    let store = open(&restored);
    assert_eq!(counts(&store), others);
    // The partition has a key again, and takes rows.
    put(&store, 5000, &[("ann", 9)]);
    store.flush().unwrap();
    let keyring = open_keyring(&restored.env(), Some(&master()), true)
        .unwrap()
        .unwrap();
    let files = people_by_file(&restored, &store, &keyring);
    assert!(
        files.contains(&(
            Some(store.own_keys(TABLE)[0].state.key),
            BTreeSet::from(["ann".to_owned()])
        )),
        "{files:?}"
    );
    drop(store);
    assert_eq!(counts(&open(&restored))["ann"], 1);
    // A raw copy names a file that cannot be read any more, and says so.
    let copy = put_back(&raw, &today);
    let error = Store::open(copy.env(), options(&copy)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("destroyed"), "{error}");
}

#[test]
fn the_log_alone_gives_back_nothing_of_an_erased_partition() {
    let world = SimEnv::seeded(2);
    let store = open(&world);
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    store.hold_log(Some(Lsn(store.last_lsn().0 + 1)));
    let from = Lsn(store.last_lsn().0 + 1);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    put(&store, 2000, &[("ann", 2)]);
    put(&store, 3000, &[("bob", 3)]);
    let raw = copy_of(&world);
    let people = |store: &Store| -> Vec<usize> {
        let records = store.log(from, 1 << 20).unwrap();
        records
            .iter()
            .take(3)
            .map(|record| record.set.rows() as usize)
            .collect()
    };
    assert_eq!(people(&store), [2, 1, 1]);
    erase(&store, 4000, "ann");
    // Whoever follows the log goes on behind them.
    assert_eq!(people(&store), [1, 0, 1]);
    drop(store);
    let store = open(&world);
    assert_eq!(people(&store), [1, 0, 1]);
    assert_eq!(counts(&store), counted(&[("bob", 2)]));
    drop(store);
    let today = copy_of(&world)["keyring"].clone();
    let copy = put_back(&raw, &today);
    assert_eq!(counts(&open(&copy)), counted(&[("bob", 2)]));
}

#[test]
fn a_held_log_is_said_and_the_partition_is_whole_when_it_is_not_held() {
    let world = SimEnv::seeded(3);
    let store = open(&world);
    store.hold_log(Some(Lsn(1)));
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    let ann = prefix("ann");
    let error = store.seal_partition(TABLE, &ann, "ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(!store.own_keys(TABLE)[0].state.whole);
    let error = store.renew_key(TABLE, &ann).unwrap_err();
    assert!(error.message().contains("not all rows"), "{error}");
    let error = store.renew_key(TABLE, &prefix("bob")).unwrap_err();
    assert!(error.message().contains("no key of its own"), "{error}");
    store.hold_log(None);
    store.seal_partition(TABLE, &ann, "ann").unwrap();
    assert!(store.own_keys(TABLE)[0].state.whole);
    store.seal_partition(TABLE, &ann, "ann").unwrap();
    assert_eq!(store.own_keys(TABLE).len(), 1);
    assert_eq!(counts(&store), counted(&[("ann", 1), ("bob", 1)]));
}

#[test]
fn an_unencrypted_store_has_no_keys_to_give() {
    let world = SimEnv::seeded(4);
    let plain = StoreOptions {
        encryption: None,
        ..options(&SimEnv::seeded(5))
    };
    let store = opened(&world, plain, CompactionMode::Automatic);
    let error = store
        .seal_partition(TABLE, &prefix("ann"), "ann")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("not encrypted"), "{error}");
}

#[test]
fn a_table_that_is_dropped_takes_its_keys_with_it() {
    let world = SimEnv::seeded(6);
    let store = open(&world);
    for person in ["ann", "bob"] {
        store
            .seal_partition(TABLE, &prefix(person), person)
            .unwrap();
    }
    put(&store, 1000, &[("ann", 1), ("bob", 1), ("cy", 1)]);
    erase(&store, 2000, "bob");
    let keys = || {
        open_keyring(&world.env(), Some(&master()), true)
            .unwrap()
            .unwrap()
            .own_keys()
    };
    assert_eq!(keys().len(), 2);
    store.drop_table(TABLE).unwrap();
    assert_eq!(keys(), [0; 0]);
    drop(store);
    let store = open(&world);
    assert_eq!(counts(&store), counted(&[]));
    assert!(store.own_keys(TABLE).is_empty());
}
