//! Who is let in, how, and what they may do then.

use crate::client::Client;
use crate::node::Node;
use crate::psql::{psql, psql_is_here};

fn with_roles() -> Node {
    let node = Node::with_types();
    node.sql(
        "CREATE ROLE root WITH LOGIN SUPERUSER PASSWORD 'very secret'; \
         CREATE ROLE reader WITH LOGIN PASSWORD 'p1'; GRANT SELECT ON plant.types TO reader; \
         INSERT INTO plant.types (k, ts) VALUES ('a', '2026-01-01')",
    );
    node
}

#[test]
fn a_password_is_proved_without_being_sent() {
    if !psql_is_here() {
        return;
    }
    let node = with_roles();
    let right = psql(
        &node,
        "user=reader password=p1",
        "SELECT k FROM plant.types",
    );
    assert_eq!(right.unwrap().trim(), "a");
    for wrong in [
        "user=reader password=p2",
        "user=nobody password=p1",
        "user=reader password=''",
    ] {
        let said = psql(&node, wrong, "SELECT 1").unwrap_err();
        assert!(
            said.contains("wrong") || said.contains("no password"),
            "{said}"
        );
    }
    let denied = psql(
        &node,
        "user=reader password=p1",
        "DELETE FROM plant.types WHERE k = 'a'",
    );
    let denied = denied.unwrap_err();
    assert!(
        denied.contains("may not") && denied.contains("GRANT"),
        "{denied}"
    );
    let root = psql(
        &node,
        "user=root password='very secret'",
        "SHOW is_superuser",
    );
    assert_eq!(root.unwrap().trim(), "on");
}

#[test]
fn who_guesses_waits() {
    if !psql_is_here() {
        return;
    }
    let node = with_roles();
    let mut waited = false;
    for _ in 0..12 {
        let said = psql(&node, "user=reader password=guess", "SELECT 1").unwrap_err();
        waited |= said.contains("too many logins");
    }
    assert!(waited);
}

#[test]
fn nothing_is_answered_before_a_login() {
    let node = with_roles();
    let mut client = Client::open(node.address);
    client.startup(&[("user", "reader")]);
    let asked = client.receive().unwrap();
    assert_eq!(asked.tag, 'R');
    assert!(String::from_utf8_lossy(&asked.body).contains("SCRAM-SHA-256"));
    client.send('Q', b"SELECT 1\0");
    let replies = client.rest();
    assert_eq!(replies[0].field('C').unwrap(), "08P01");
    // Names that are none are asked like others.
    let mut stranger = Client::open(node.address);
    stranger.startup(&[("user", "stranger")]);
    assert_eq!(stranger.receive().unwrap(), asked);
}

#[test]
fn a_token_stands_for_its_role() {
    let node = with_roles();
    node.sql("CREATE ROLE line WITH LOGIN; GRANT SELECT ON plant.types TO line");
    let token = node.token("line");
    let login = |secret: &str| Client::presenting(node.address, "line", secret);
    let mut client = login(&token);
    client.until('Z');
    assert_eq!(client.rows("SELECT k FROM plant.types"), [["a"]]);
    assert_eq!(
        client
            .error("SELECT * FROM system.settings")
            .field('C')
            .unwrap(),
        "42501"
    );
    let refused = login("ast_wrong_wrong").rest();
    assert_eq!(refused[0].field('C').unwrap(), "28P01");
    // One whose role goes is not served on.
    node.sql("DROP ROLE line");
    assert_eq!(
        client
            .error("SELECT k FROM plant.types")
            .field('C')
            .unwrap(),
        "42501"
    );
}

#[test]
fn the_wire_is_encrypted_where_there_is_a_certificate() {
    if !psql_is_here() {
        return;
    }
    let plain = Node::start();
    let said = psql(&plain, "user=anna sslmode=require", "SELECT 1").unwrap_err();
    assert!(said.contains("SSL"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = activestore_gateway::PgTls::read(&cert, &key).unwrap();
    let node = Node::with(|options| options.tls = Some(tls));
    let rows = psql(&node, "user=anna sslmode=require", "SELECT 40 + 2").unwrap();
    assert_eq!(rows.trim(), "42");
    let checked = format!("user=anna sslmode=verify-ca sslrootcert={}", cert.display());
    assert_eq!(psql(&node, &checked, "SELECT 1").unwrap().trim(), "1");
    assert_eq!(
        psql(&node, "user=anna sslmode=disable", "SELECT 1")
            .unwrap()
            .trim(),
        "1"
    );
    assert!(activestore_gateway::PgTls::read(&key, &cert).is_err());
}

#[test]
fn a_login_that_is_not_as_it_should_be_is_refused() {
    let node = with_roles();
    let begin = || {
        let mut client = Client::open(node.address);
        client.startup(&[("user", "reader")]);
        client.receive().unwrap();
        client
    };
    let first = |mechanism: &str, message: &[u8]| {
        let mut body = crate::client::text(mechanism);
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        body
    };
    let code = |client: &mut Client| client.rest()[0].field('C').unwrap();
    for message in [
        &b"p=tls-server-end-point,,n=,r=abc"[..],
        b"n,,n=reader",
        b"n,,n=reader,r=",
        b"n",
        b"",
        b"\xff\xfe",
        &[b'x'; 5000],
    ] {
        let mut client = begin();
        client.send('p', &first("SCRAM-SHA-256", message));
        assert_eq!(code(&mut client), "28P01", "{message:?}");
    }
    let mut client = begin();
    client.send('p', &first("SCRAM-SHA-1", b"n,,n=,r=abc"));
    assert_eq!(code(&mut client), "28000");
    let mut client = begin();
    client.send('p', b"SCRAM-SHA-256\0\0\0\xff\xff");
    assert_eq!(code(&mut client), "08P01");
    for last in [
        "c=biws,r=abc,p=AAAA",
        "c=biws",
        "",
        "c=eSws,r=NONCE,p=AAAA",
        "c=biws,r=NONCE,p=AAAA",
        "c=biws,r=NONCE,p=***",
    ] {
        let mut client = begin();
        client.send('p', &first("SCRAM-SHA-256", b"n,,n=,r=abc"));
        let challenge = String::from_utf8(client.receive().unwrap().body[4..].to_vec()).unwrap();
        let nonce = challenge
            .strip_prefix("r=")
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        assert!(nonce.starts_with("abc") && nonce.len() > 20, "{challenge}");
        client.send('p', last.replace("NONCE", nonce).as_bytes());
        assert_eq!(code(&mut client), "28P01", "{last}");
    }
    assert!(node.db.requires_login());
}
