//! A token admits one node, once, for a while.

use super::*;

const KEY: &[u8] = b"a public key";

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn member(n: u8, key: &[u8]) -> Member {
    Member::new(node(n), key)
}

struct Cloud {
    directory: tempfile::TempDir,
    identity: CloudIdentity,
    tokens: TokenStore,
}

fn cloud() -> Cloud {
    let directory = tempfile::tempdir().unwrap();
    Cloud {
        identity: CloudIdentity::open_or_create(directory.path()).unwrap(),
        tokens: TokenStore::open(directory.path()).unwrap(),
        directory,
    }
}

fn refusal(outcome: Result<()>) -> String {
    outcome.unwrap_err().message().to_owned()
}

#[test]
fn a_token_admits_one_node_once() {
    let cloud = cloud();
    let token = cloud
        .tokens
        .create_at(&cloud.identity, TokenRequest::default(), 1000)
        .unwrap();
    assert!(cloud.tokens.admits(&member(1, KEY)).is_err());
    let redeem = |node, key| {
        cloud
            .tokens
            .redeem_at(&token.secret, node, "pump", key, 2000)
    };
    redeem(node(1), KEY).unwrap();
    cloud.tokens.admits(&member(1, KEY)).unwrap();
    // The answer was lost: the same node with the same key asks again.
    redeem(node(1), KEY).unwrap();
    assert_eq!(
        refusal(redeem(node(1), b"another key")),
        "the token has been used"
    );
    assert_eq!(refusal(redeem(node(2), KEY)), "the token has been used");
    assert!(cloud.tokens.admits(&member(2, KEY)).is_err());
    let listed = cloud.tokens.list().unwrap();
    assert_eq!(listed[0].node, Some(node(1)));
    assert_eq!(listed[0].name.as_deref(), Some("pump"));
}

#[test]
fn an_expired_an_unknown_and_a_revoked_token_are_refused() {
    let cloud = cloud();
    let request = TokenRequest {
        lifetime: Duration::from_secs(10),
        ..TokenRequest::default()
    };
    let token = cloud
        .tokens
        .create_at(&cloud.identity, request, 1000)
        .unwrap();
    let redeem = |secret: &[u8], now| cloud.tokens.redeem_at(secret, node(1), "", KEY, now);
    assert_eq!(
        refusal(redeem(&token.secret, 11_000)),
        "the token has expired"
    );
    assert_eq!(
        refusal(redeem(b"guessed", 1500)),
        "the token is not known here"
    );
    redeem(&token.secret, 1500).unwrap();
    let id = cloud.tokens.list().unwrap()[0].id.clone();
    cloud.tokens.revoke(&id).unwrap();
    assert!(cloud.tokens.admits(&member(1, KEY)).is_err());
    assert_eq!(
        refusal(redeem(&token.secret, 1500)),
        "the token was turned away"
    );
    assert!(cloud.tokens.revoke("nonsense").is_err());
}

#[test]
fn a_node_cannot_be_taken_over_with_another_token() {
    let cloud = cloud();
    let make = || {
        cloud
            .tokens
            .create_at(&cloud.identity, TokenRequest::default(), 1000)
            .unwrap()
    };
    let (first, second) = (make(), make());
    let redeem = |token: &JoinToken, key| {
        cloud
            .tokens
            .redeem_at(&token.secret, node(1), "", key, 2000)
    };
    redeem(&first, KEY).unwrap();
    assert!(refusal(redeem(&second, b"a thief's key")).contains("another key"));
}

#[test]
fn who_was_turned_away_or_joined_again_is_found() {
    let cloud = cloud();
    let join = |n, key: &[u8]| {
        let token = cloud
            .tokens
            .create_at(&cloud.identity, TokenRequest::default(), 1000)
            .unwrap();
        cloud
            .tokens
            .redeem_at(&token.secret, node(n), "", key, 2000)
            .unwrap();
        cloud.tokens.list().unwrap().pop().unwrap().id
    };
    let first = join(1, KEY);
    join(2, KEY);
    let members = vec![('a', member(1, KEY)), ('b', member(2, KEY))];
    let gone = |members: &[(char, Member)]| {
        let gone = cloud
            .tokens
            .standing()
            .unwrap()
            .turned_away(members.to_vec());
        gone.into_iter().map(|(id, _)| id).collect::<String>()
    };
    assert_eq!(gone(&members), "");
    cloud.tokens.revoke(&first).unwrap();
    assert_eq!(gone(&members), "a");
    join(1, b"another key");
    assert_eq!(gone(&members), "a", "its old key stays out");
    assert_eq!(gone(&[('c', member(1, b"another key"))]), "");
}

#[test]
fn the_text_of_a_token_comes_back_and_other_text_is_refused() {
    let cloud = cloud();
    let request = TokenRequest {
        addresses: vec!["cloud.example:7490".to_owned()],
        ..TokenRequest::default()
    };
    let token = cloud.tokens.create(&cloud.identity, request).unwrap();
    let text = token.to_string();
    assert_eq!(text.parse::<JoinToken>().unwrap(), token);
    assert_eq!(token.addresses(), ["cloud.example:7490"]);
    assert!(!format!("{token:?}").contains(&text));
    for wrong in ["", "as1_", "as1_AAAA", "as2_AAAA", &text[..text.len() - 2]] {
        assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
    }
    for end in 0..text.len() {
        assert!(text[..end].parse::<JoinToken>().is_err());
    }
}

#[cfg(unix)]
#[test]
fn keys_and_tokens_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let cloud = cloud();
    cloud
        .tokens
        .create(&cloud.identity, TokenRequest::default())
        .unwrap();
    for file in ["ca.key", "server.key", FILE] {
        let path = cloud.directory.path().join(file);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn labels_are_those_of_the_token_until_others_are_given() {
    let cloud = cloud();
    let request = TokenRequest {
        labels: "ring=canary".parse().unwrap(),
        ..TokenRequest::default()
    };
    let token = cloud.tokens.create_at(&cloud.identity, request, 1000);
    let secret = token.unwrap().secret;
    assert!(cloud.tokens.members().unwrap().is_empty());
    let redeemed = cloud.tokens.redeem_at(&secret, node(1), "edge", KEY, 2000);
    redeemed.unwrap();
    let labels = |text: &str| text.parse::<Labels>().unwrap();
    assert_eq!(
        cloud.tokens.admits(&member(1, KEY)).unwrap(),
        labels("ring=canary")
    );
    let other = labels("ring=early,site=north");
    cloud.tokens.relabel(node(1), &other).unwrap();
    assert_eq!(cloud.tokens.members().unwrap()[&node(1)], other);
    assert!(cloud.tokens.relabel(node(2), &other).is_err());
}

#[test]
fn what_another_process_changed_is_seen_at_once() {
    let cloud = cloud();
    let directory = cloud.directory.path();
    // Another handle stands for the command line.
    let other = TokenStore::open(directory).unwrap();
    for n in 1..=50 {
        let token = other
            .create(&cloud.identity, TokenRequest::default())
            .unwrap();
        assert!(cloud.tokens.admits(&member(n, KEY)).is_err());
        other.redeem(&token.secret, node(n), "edge", KEY).unwrap();
        assert!(cloud.tokens.admits(&member(n, KEY)).is_ok());
        let id = other
            .list()
            .unwrap()
            .into_iter()
            .find(|info| info.node == Some(node(n)))
            .unwrap()
            .id;
        other.revoke(&id).unwrap();
        assert!(cloud.tokens.admits(&member(n, KEY)).is_err());
    }
}
