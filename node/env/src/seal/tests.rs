//! What is sealed opens with its key, at its place and under its name, and nowhere else; a wrong key
//! is told from a damaged keyring; rotation changes the keyring alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_types::ErrorKind;
use proptest::prelude::*;

use super::*;
use crate::{Disk, DiskFile, Env, Rng, SimDiskOptions, SimEnv, SimRng};

fn master(seed: u64) -> MasterKey {
    let mut key = [0; 32];
    SimRng::seeded(seed).fill(&mut key);
    MasterKey::parse(&key).unwrap()
}

fn keyring(env: &Env) -> Arc<Keyring> {
    Keyring::open_or_create(env, &master(1)).unwrap()
}

fn disk(env: &Env, keyring: &Arc<Keyring>, domain: &'static str) -> Arc<dyn Disk> {
    sealed_disk(&env.disk, Some(keyring), domain)
}

fn whole(file: &dyn DiskFile) -> activestore_types::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

fn stored_bytes(env: &Env, path: &str) -> Vec<u8> {
    whole(env.disk.open(path).unwrap().as_ref()).unwrap()
}

/// Puts other bytes in a file's place.
fn replace(env: &Env, path: &str, bytes: &[u8]) {
    env.disk.remove(path).unwrap();
    env.disk.create(path).unwrap().write_at(0, bytes).unwrap();
}

#[test]
fn a_key_is_taken_raw_in_hex_and_in_base64_and_nothing_else_is() {
    let raw: Vec<u8> = (0..32).collect();
    let hex: String = raw.iter().map(|byte| format!("{byte:02X}")).collect();
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let fingerprint = MasterKey::parse(&raw).unwrap().fingerprint().unwrap();
    for text in [
        hex.clone(),
        format!("  {}\n", hex.to_lowercase()),
        base64.to_owned(),
        base64.trim_end_matches('=').to_owned(),
    ] {
        let key = MasterKey::parse(text.as_bytes()).unwrap();
        assert_eq!(key.fingerprint().unwrap(), fingerprint, "{text}");
    }
    let long = [7_u8; 33];
    for bad in [
        b"".as_slice(),
        b"secret",
        &long,
        &hex.as_bytes()[1..],
        &[b'x'; 64],
    ] {
        let error = MasterKey::parse(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(format!("{:?}", master(1)), "MasterKey(…)");
}

#[test]
fn a_wrong_key_and_a_damaged_keyring_are_told_apart_and_touch_nothing() {
    let world = SimEnv::seeded(3);
    let env = world.env();
    drop(keyring(&env));
    let operations = world.disk.ops();
    let error = Keyring::open(&env, &master(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains(&master(2).fingerprint().unwrap()));
    assert!(error.message().contains(&master(1).fingerprint().unwrap()));
    assert_eq!(world.disk.ops(), operations);
    let length = env.disk.open(KEYRING_FILE).unwrap().len().unwrap();
    for byte in 0..length {
        world.disk.flip(KEYRING_FILE, byte, 1);
        let error = Keyring::open(&env, &master(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {byte}");
        world.disk.flip(KEYRING_FILE, byte, 1);
    }
    keyring(&env);
}

/// A change that is hidden from the checksum is still found, by the tag.
#[test]
fn a_forged_keyring_does_not_open() {
    let env = Env::simulated(4);
    drop(keyring(&env));
    let file = env.disk.open(KEYRING_FILE).unwrap();
    let length = usize::try_from(file.len().unwrap()).unwrap();
    let mut whole = vec![0; length];
    file.read_exact_at(0, &mut whole).unwrap();
    for byte in 16..length - 4 {
        let mut forged = whole.clone();
        forged[byte] ^= 0x10;
        let crc = crc32c::crc32c(&forged[..length - 4]).to_le_bytes();
        forged[length - 4..].copy_from_slice(&crc);
        file.write_at(0, &forged).unwrap();
        let error = Keyring::open(&env, &master(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {byte}");
    }
}

#[test]
fn a_rotation_rewrites_the_keyring_alone_and_the_old_key_opens_nothing() {
    let env = Env::simulated(5);
    let first = keyring(&env);
    let name = first.values("a").pseudonym(b"device").unwrap();
    let file = disk(&env, &first, "sst").create("a.sst").unwrap();
    file.write_at(0, b"block").unwrap();
    file.sync_data().unwrap();
    let stored = stored_bytes(&env, "a.sst");
    let value = first.values("a").sealed(b"n", b"value").unwrap();
    let before = env.disk.open(KEYRING_FILE).unwrap();
    for (old, new, renew) in [(1, 2, false), (2, 3, true), (3, 3, true)] {
        Keyring::rotate(&env, &master(old), &master(new), renew).unwrap();
        if old != new {
            let error = Keyring::open(&env, &master(old)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
        }
        let keyring = Keyring::open(&env, &master(new)).unwrap();
        let file = disk(&env, &keyring, "sst").open("a.sst").unwrap();
        assert_eq!(whole(file.as_ref()).unwrap(), b"block");
        assert_eq!(stored_bytes(&env, "a.sst"), stored);
        let values = keyring.values("a");
        assert_eq!(values.open_vec(b"n", value.clone()).unwrap(), b"value");
        assert_eq!(values.pseudonym(b"device").unwrap(), name);
        assert_eq!(keyring.active().0 > 1, old >= 2);
    }
    let mut bytes = vec![1; usize::try_from(before.len().unwrap()).unwrap()];
    before.read_exact_at(0, &mut bytes).unwrap();
    assert!(
        bytes.iter().all(|byte| *byte == 0),
        "the old keyring's bytes stay"
    );
    let error = Keyring::rotate(&env, &master(9), &master(3), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(Keyring::open(&env, &master(3)).is_ok());
}

#[test]
fn a_rotation_that_loses_power_leaves_the_old_keyring_or_the_new_one() {
    for cut in 1..12 {
        let world = SimEnv::seeded(cut);
        let env = world.env();
        drop(keyring(&env));
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + cut),
            ..SimDiskOptions::default()
        });
        let rotated = Keyring::rotate(&env, &master(1), &master(2), false);
        world.disk.crash();
        let (old, new) = (
            Keyring::open(&env, &master(1)),
            Keyring::open(&env, &master(2)),
        );
        assert!(old.is_ok() != new.is_ok(), "cut {cut}");
        if rotated.is_ok() {
            new.unwrap();
        }
    }
}

#[test]
fn a_value_of_another_keyring_is_refused() {
    let (one, two) = (Env::simulated(7), Env::simulated(8));
    let value = keyring(&one).values("a").sealed(b"n", b"value").unwrap();
    let error = keyring(&two).values("a").open_vec(b"n", value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // One that names a data key which is not there says that.
    Keyring::rotate(&one, &master(1), &master(1), true).unwrap();
    let value = keyring(&one).values("a").sealed(b"n", b"value").unwrap();
    let error = keyring(&two).values("a").open_vec(b"n", value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn the_same_value_never_looks_the_same_and_names_do() {
    let env = Env::simulated(9);
    let keyring = keyring(&env);
    let sealers = [
        keyring.values("a"),
        keyring.values("a"),
        keyring.values("b"),
    ];
    let mut seen = BTreeSet::new();
    for sealer in &sealers {
        for _ in 0..100 {
            let sealed = sealer.sealed(b"n", b"the same value").unwrap();
            assert_eq!(sealed.len(), 14 + VALUE_OVERHEAD_BYTES);
            // Neither the ciphertext nor session and nonce repeat.
            assert!(seen.insert(sealed[..14].to_vec()));
            assert!(seen.insert(sealed[14 + 16 + 4..].to_vec()));
        }
    }
    let [a, also_a, b] = sealers;
    assert_eq!(a.pseudonym(b"n").unwrap(), also_a.pseudonym(b"n").unwrap());
    assert_ne!(a.pseudonym(b"n").unwrap(), b.pseudonym(b"n").unwrap());
    assert_ne!(a.pseudonym(b"n").unwrap(), a.pseudonym(b"m").unwrap());
}

fn written(env: &Env, keyring: &Arc<Keyring>, path: &str, bytes: &[u8]) {
    let file = disk(env, keyring, "sst").create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn a_block_opens_only_in_its_file_at_its_place_and_as_its_kind() {
    let env = Env::simulated(6);
    let keyring = keyring(&env);
    let bytes: Vec<u8> = (0..9000_u32).map(|at| (at / 7) as u8).collect();
    written(&env, &keyring, "a", &bytes);
    written(&env, &keyring, "b", &bytes);
    let (a, b) = (stored_bytes(&env, "a"), stored_bytes(&env, "b"));
    let sealed = disk(&env, &keyring, "sst");
    let mut forged = Vec::new();
    // Blocks that change places, a block and a header from another file, a cut at and in a block.
    let mut swapped = a.clone();
    swapped[2048..6144].rotate_left(2048);
    forged.push(swapped);
    let mut mixed = a.clone();
    mixed[2048..4096].copy_from_slice(&b[2048..4096]);
    forged.push(mixed);
    forged.push([&b[..64], &a[64..]].concat());
    forged.push(a[..8192].to_vec());
    forged.push(a[..5000].to_vec());
    forged.push(a[..64].to_vec());
    forged.push(a[..20].to_vec());
    forged.push([a.as_slice(), &[0; 100]].concat());
    for (nth, forged) in forged.iter().enumerate() {
        replace(&env, "a", forged);
        let opened = sealed.open("a").map_err(Into::into);
        let error = opened.and_then(|file| whole(file.as_ref())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{nth}: {error}");
    }
    replace(&env, "a", &a);
    assert_eq!(whole(sealed.open("a").unwrap().as_ref()).unwrap(), bytes);
    let file = disk(&env, &keyring, "other").open("a").unwrap();
    assert_eq!(whole(file.as_ref()).unwrap_err().kind(), ErrorKind::Corrupt);
    replace(&env, "a", &bytes);
    let error = activestore_types::Error::from(sealed.open("a").err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn an_encrypted_file_is_written_once_front_to_back() {
    let env = Env::simulated(11);
    let keyring = keyring(&env);
    let disk = disk(&env, &keyring, "sst");
    let file = disk.create("a").unwrap();
    file.write_at(0, &[1; 5000]).unwrap();
    assert_eq!(file.len().unwrap(), 5000);
    assert!(file.read_at(0, &mut [0; 4]).is_err());
    assert!(file.write_at(4000, b"again").is_err());
    assert!(file.set_len(1).is_err() && file.allocate(9000).is_err());
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    assert!(file.write_at(5000, b"more").is_err());
    assert_eq!(whole(file.as_ref()).unwrap(), [1; 5000]);
    assert!(disk.open("a").unwrap().write_at(0, b"more").is_err());
}

/// No block is written a second time after a write that failed.
#[test]
fn a_failed_write_ends_the_file() {
    let world = SimEnv::seeded(12);
    let env = world.env();
    let keyring = keyring(&env);
    let file = disk(&env, &keyring, "sst").create("a").unwrap();
    world.disk.set_options(SimDiskOptions {
        fail_op: Some(world.disk.ops() + 1),
        ..SimDiskOptions::default()
    });
    assert!(file.write_at(0, &[1; 5000]).is_err());
    assert!(file.write_at(5000, &[1; 5000]).is_err());
    assert!(file.sync_data().is_err());
}

proptest! {
    #[test]
    fn an_encrypted_file_reads_as_a_plain_one(
        pieces in prop::collection::vec(prop_oneof![0..40_usize, 1900..2100_usize, 0..9000_usize], 0..8),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0..6000_usize), 1..12),
        seed in any::<u64>(),
    ) {
        let env = Env::simulated(seed);
        let keyring = keyring(&env);
        let disk = disk(&env, &keyring, "sst");
        let mut bytes = vec![0; pieces.iter().sum()];
        env.rng.fill(&mut bytes);
        let file = disk.create("a").unwrap();
        let mut at = 0;
        for piece in pieces {
            file.write_at(at as u64, &bytes[at..at + piece]).unwrap();
            at += piece;
        }
        file.sync_data().unwrap();
        let opened = disk.open("a").unwrap();
        prop_assert_eq!(opened.len().unwrap(), bytes.len() as u64);
        for (offset, length) in reads {
            let offset = offset.index(bytes.len() + 2);
            let expected = &bytes[offset.min(bytes.len())..(offset + length).min(bytes.len())];
            for file in [&file, &opened] {
                let mut out = vec![0; length];
                let read = file.read_at(offset as u64, &mut out).unwrap();
                prop_assert_eq!(&out[..read], expected);
            }
        }
        let stored = stored_bytes(&env, "a");
        if let Some(begin) = bytes.get(..16) {
            prop_assert!(!stored.windows(16).any(|window| window == begin));
        }
    }

    #[test]
    fn a_value_opens_under_its_name_and_no_byte_of_it_may_change(
        value in prop::collection::vec(any::<u8>(), 0..200),
        name in prop::collection::vec(any::<u8>(), 0..20),
        flipped in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let env = Env::simulated(10);
        let keyring = keyring(&env);
        let sealed = keyring.values("a").sealed(&name, &value).unwrap();
        let sealer = keyring.values("a");
        prop_assert_eq!(&sealer.open_vec(&name, sealed.clone()).unwrap(), &value);
        let mut other_name = name.clone();
        other_name.push(0);
        prop_assert!(sealer.open_vec(&other_name, sealed.clone()).is_err());
        prop_assert!(keyring.values("b").open_vec(&name, sealed.clone()).is_err());
        let mut damaged = sealed.clone();
        damaged[flipped.index(sealed.len())] ^= 1 << bit;
        prop_assert!(sealer.open_vec(&name, damaged).is_err());
        prop_assert!(sealer.open_vec(&name, sealed[..flipped.index(sealed.len())].to_vec()).is_err());
    }
}

#[test]
fn an_own_key_opens_what_it_sealed_until_it_is_destroyed_and_no_copy_brings_it_back() {
    let env = Env::simulated(31);
    let keyring = keyring(&env);
    let common = keyring.key_numbers();
    let (one, two) = (keyring.add_own().unwrap(), keyring.add_own().unwrap());
    assert!(Keyring::is_own(one) && Keyring::is_own(two) && one != two);
    let sealer = keyring.values("log part");
    let mut value = b"41".to_vec();
    sealer.seal_under(one, b"name", &mut value, 0).unwrap();
    assert_eq!(ValueSealer::data_key_of(&value), Some(one));
    assert_eq!(ValueSealer::data_key_of(b"short"), None);
    let plain: Arc<dyn Disk> = env.disk.clone();
    for (path, own) in [("one", one), ("two", two)] {
        let file = sealed_disk_under(&plain, &keyring, "sst", own)
            .create(path)
            .unwrap();
        file.write_at(0, path.as_bytes()).unwrap();
        file.sync_data().unwrap();
        assert_eq!(data_key_of(&plain, path).unwrap(), own);
    }
    // What is written without a word is under the common key, also after a start.
    let again = Keyring::open(&env, &master(1)).unwrap();
    assert_eq!(again.own_keys().len(), 2);
    written(&env, &again, "common", b"common");
    assert!(!Keyring::is_own(data_key_of(&plain, "common").unwrap()));
    assert_eq!(
        again
            .values("log part")
            .open_vec(b"name", value.clone())
            .unwrap(),
        b"41"
    );

    let replaced = env.disk.open("keyring").unwrap();
    again.destroy_own(&[one]).unwrap();
    let left = whole(replaced.as_ref()).unwrap();
    assert!(
        left.iter().all(|byte| *byte == 0),
        "the old file's bytes are gone"
    );
    again.destroy_own(&[one]).unwrap();
    let last = Keyring::open(&env, &master(1)).unwrap();
    for keyring in [&again, &last] {
        assert_eq!(keyring.own_keys(), [two]);
        let error = keyring
            .values("log part")
            .open_vec(b"name", value.clone())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let disk = disk(&env, keyring, "sst");
        assert!(disk.open("one").is_err());
        assert_eq!(whole(disk.open("two").unwrap().as_ref()).unwrap(), b"two");
        assert_eq!(
            whole(disk.open("common").unwrap().as_ref()).unwrap(),
            b"common"
        );
    }
    // A rotation keeps both kinds, and its new data key is a common one.
    Keyring::rotate(&env, &master(1), &master(2), true).unwrap();
    let rotated = Keyring::open(&env, &master(2)).unwrap();
    assert_eq!(rotated.own_keys(), [two]);
    assert_eq!(rotated.key_numbers().len(), common.len() + 2);
    assert!(!Keyring::is_own(rotated.active().0));
}

#[test]
fn a_power_cut_while_keys_change_leaves_the_keyring_before_or_after() {
    for k in 1..40 {
        let world = SimEnv::seeded(k);
        let env = world.env();
        let keyring = keyring(&env);
        let kept = keyring.add_own().unwrap();
        let before = keyring.own_keys();
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + k),
            ..SimDiskOptions::default()
        });
        let changed = keyring.add_own().and_then(|_| keyring.destroy_own(&[kept]));
        let dark = world.disk.is_dark();
        world.disk.crash();
        world.disk.set_options(SimDiskOptions::default());
        let found = Keyring::open(&env, &master(1)).unwrap();
        assert!(!env.disk.exists("keyring.new"));
        if changed.is_ok() && !dark {
            assert!(!found.holds(kept));
        } else {
            assert!(
                found.own_keys().len() <= 2 && (found.holds(kept) || found.own_keys() != before)
            );
        }
    }
}
