//! A key comes from the variable before the file, and what is wrong with it is said by name.

use activestore_types::ErrorKind;

use super::*;

const HEX: &str = "6f1d7a3e90c24b58a1e7d3f04c9b862e57a0d18c3f6e4b92d5081a7cf3e6b94d";

#[test]
fn the_variable_goes_before_the_file_and_neither_means_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{HEX}\n")).unwrap();
    let from_file = from(None, Some(&file)).unwrap().unwrap();
    let from_variable = from(Some(HEX.into()), None).unwrap().unwrap();
    let mark = |key: &MasterKey| key.fingerprint().unwrap();
    assert_eq!(mark(&from_file), mark(&from_variable));
    let other = from(Some("ab".repeat(32).into()), Some(&file)).unwrap();
    assert_ne!(mark(&other.unwrap()), mark(&from_file));
    assert!(from(None, None).unwrap().is_none());
    assert!(from(Some("".into()), None).unwrap().is_none());
}

#[test]
fn what_is_no_key_is_named_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "correct horse").unwrap();
    for (variable, file, names) in [
        (None, Some(file.as_path()), file.display().to_string()),
        (Some("correct horse".into()), None, KEY_VARIABLE.to_owned()),
        (
            None,
            Some(&*dir.path().join("none")),
            "cannot be read".to_owned(),
        ),
    ] {
        let error = from(variable, file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&names), "{error}");
        assert!(!error.to_string().contains("horse"), "{error}");
    }
}

#[test]
fn a_directory_opens_with_the_key_that_it_was_rotated_to() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, byte: u8| {
        let path = dir.path().join(name);
        std::fs::write(&path, [byte; 32]).unwrap();
        path
    };
    let (old, new) = (file("old", 1), file("new", 2));
    let data_dir = dir.path().join("data");
    let args = RotateKeyArgs {
        data_dir: data_dir.clone(),
        key: crate::cli::KeyFile {
            encryption_key_file: Some(old.clone()),
        },
        new_key_file: new.clone(),
        new_data_key: false,
    };
    assert_eq!(rotate(&args).unwrap_err().kind(), ErrorKind::NotFound);
    {
        let env = Env::real(&data_dir).unwrap();
        Keyring::open_or_create(&env, &read(&old).unwrap()).unwrap();
        assert_eq!(rotate(&args).unwrap_err().kind(), ErrorKind::Conflict);
    }
    rotate(&args).unwrap();
    let env = Env::real(&data_dir).unwrap();
    Keyring::open(&env, &read(&new).unwrap()).unwrap();
    let error = Keyring::open(&env, &read(&old).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
