//! Who has signed is told apart from who has not, and no byte of what was signed may change.

use activestore_types::ErrorKind;
use proptest::prelude::*;

use super::*;

/// A component's head and a custom section.
fn component(content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut section = vec![4];
    section.extend(b"name");
    section.extend(content);
    bytes.extend([0, section.len() as u8]);
    bytes.extend(section);
    bytes
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

#[test]
fn a_signature_names_its_signer_and_trust_is_in_keys() {
    let (ann, bob) = (key(), key());
    let plain = component(b"x");
    let trusting =
        |keys: &[&SigningKey]| Trust::Signers(keys.iter().map(|key| key.public()).collect());
    assert_eq!(Trust::Anybody.check(&plain).unwrap(), None);
    let error = trusting(&[&ann]).check(&plain).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Denied, "it is not signed")
    );

    let by_ann = ann.sign(&plain).unwrap();
    assert_eq!(ann.sign(&by_ann).unwrap(), by_ann, "once is enough");
    assert_eq!(Trust::Anybody.check(&by_ann).unwrap(), Some(ann.public()));
    assert_eq!(
        trusting(&[&bob, &ann]).check(&by_ann).unwrap(),
        Some(ann.public())
    );
    let error = trusting(&[&bob]).check(&by_ann).unwrap_err();
    assert!(
        error.message().contains(&ann.public().to_string()),
        "{error}"
    );
    let error = trusting(&[]).check(&by_ann).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);

    let by_both = bob.sign(&by_ann).unwrap();
    for trusted in [&ann, &bob] {
        assert_eq!(
            trusting(&[trusted]).check(&by_both).unwrap(),
            Some(trusted.public())
        );
    }
}

#[test]
fn keys_are_read_back_as_they_were_written() {
    let (made, pem) = SigningKey::generate().unwrap();
    assert_eq!(SigningKey::parse(&pem).unwrap().public(), made.public());
    let text = made.public().to_string();
    assert_eq!(text.parse::<SignerKey>().unwrap(), made.public());
    // As openssl writes one: without the public half.
    let openssl = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let public = SigningKey::parse(openssl).unwrap().public();
    assert_eq!(
        public.to_string(),
        "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    );
    for wrong in [
        "",
        "ed25519:",
        "ed25519:AAAA",
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ] {
        assert!(wrong.parse::<SignerKey>().is_err(), "{wrong}");
        assert!(SigningKey::parse(wrong).is_err(), "{wrong}");
    }
    let secret = format!("{PEM_BEGIN}\nc2VjcmV0\n{PEM_END}");
    assert!(
        !SigningKey::parse(&secret)
            .unwrap_err()
            .to_string()
            .contains("c2Vj")
    );
}

#[test]
fn nothing_stands_behind_a_signature() {
    let ann = key();
    let signed = ann.sign(&component(b"x")).unwrap();
    let mut longer = signed.clone();
    longer.extend(&component(b"y")[8..]);
    let error = Trust::Anybody.check(&longer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    // A part of a section is none.
    longer.truncate(signed.len() + 3);
    assert!(Trust::Anybody.check(&longer).is_err());
    let error = Trust::Anybody.check(b"\0asm\x01\0\0\0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

proptest! {
    #[test]
    fn any_change_is_noticed(
        content in proptest::collection::vec(any::<u8>(), 0..60),
        at in any::<prop::sample::Index>(),
        mask in 1_u8..=255,
    ) {
        let ann = key();
        let trust = Trust::Signers(vec![ann.public()]);
        let mut signed = ann.sign(&component(&content)).unwrap();
        prop_assert!(trust.check(&signed).is_ok());
        let at = at.index(signed.len());
        signed[at] ^= mask;
        prop_assert!(trust.check(&signed).is_err());
    }

    #[test]
    fn hostile_bytes_are_an_error(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend(tail);
        let _ = Trust::Anybody.check(&bytes);
        prop_assert!(Trust::Signers(vec![]).check(&bytes).is_err());
    }
}
