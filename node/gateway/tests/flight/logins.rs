//! Who is let in, how, and what they may do then.

use std::sync::Arc;

use activestore_gateway::FlightTls;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tonic::Code;
use tonic::transport::Endpoint;

use crate::client::{Client, Node, batches, rows, said, taken};
use crate::ingest::{append, ingested, readings};

fn with_roles() -> Node {
    let node = Node::with_readings();
    node.sql(
        "CREATE ROLE root WITH LOGIN SUPERUSER PASSWORD 'very secret'; \
         CREATE ROLE reader WITH LOGIN PASSWORD 'p1'; GRANT SELECT ON plant.readings TO reader; \
         CREATE ROLE other WITH LOGIN PASSWORD 'p2'",
    );
    node
}

const READ: &str = "SELECT count(*) FROM plant.readings";

#[test]
fn a_password_opens_and_its_token_stands_for_it() {
    let node = with_roles();
    node.wait(async {
        let mut client = node.client().await;
        assert_eq!(
            said(batches(&mut client, READ).await).0,
            Code::Unauthenticated
        );
        for (name, password) in [("reader", "p2"), ("nobody", "p1"), ("reader", "")] {
            let refused = client.handshake(name, password).await.unwrap_err();
            assert!(refused.to_string().contains("wrong"), "{refused}");
        }
        // Drivers written in Go leave out the signs that fill up the last letters.
        let mut unfilled = node.client().await;
        unfilled.set_header("authorization", "Basic cm9vdDp2ZXJ5IHNlY3JldA");
        assert_eq!(rows(&mut unfilled, READ).await, [["3"]]);
        let token = client.handshake("reader", "p1").await.unwrap();
        assert!(token.starts_with(b"asf_"));
        assert_eq!(rows(&mut client, READ).await, [["3"]]);
        let insert = "INSERT INTO plant.readings (device, ts) VALUES ('x', now())".to_owned();
        let (code, message) = said(client.execute_update(insert, None).await);
        assert_eq!(code, Code::PermissionDenied);
        assert!(message.contains("GRANT"), "{message}");
        let refused = ingested(&mut client, append("readings"), vec![readings("x", 0, 1)]).await;
        assert_eq!(said(refused).0, Code::PermissionDenied);
        // What is listed is what one may know of.
        let mut other = node.client().await;
        other.handshake("other", "p2").await.unwrap();
        let info = other.get_db_schemas(arrow_flight::sql::CommandGetDbSchemas {
            catalog: None,
            db_schema_filter_pattern: Some("plant".to_owned()),
        });
        let info = info.await.unwrap();
        assert!(crate::client::texts(&taken(&mut other, &info).await.unwrap()).is_empty());
        // Prepared statements are of who prepared them, tickets are run by the rights of who presents them.
        let mut prepared = client.prepare(READ.to_owned(), None).await.unwrap();
        let info = prepared.execute().await.unwrap();
        assert_eq!(said(taken(&mut other, &info).await).0, Code::NotFound);
        let info = client.execute(READ.to_owned(), None).await.unwrap();
        assert_eq!(
            said(taken(&mut other, &info).await).0,
            Code::PermissionDenied
        );
        // With another password nobody is who they were.
        node.db
            .sql("ALTER ROLE reader PASSWORD 'p3'", &[])
            .await
            .unwrap();
        assert_eq!(
            said(batches(&mut client, READ).await).0,
            Code::Unauthenticated
        );
        client.set_token("asf_0000".to_owned());
        assert_eq!(
            said(batches(&mut client, READ).await).0,
            Code::Unauthenticated
        );
    });
    assert!(node.figure("calls_refused_total") >= 3.0);
}

#[test]
fn a_token_of_a_role_opens_until_it_ends() {
    let node = with_roles();
    node.sql("CREATE ROLE line WITH LOGIN; GRANT SELECT ON plant.readings TO line");
    let token = node.token("line");
    node.wait(async {
        let mut client = node.client().await;
        client.set_token(token);
        assert_eq!(rows(&mut client, READ).await, [["3"]]);
        client.set_token("ast_wrong_wrong".to_owned());
        assert_eq!(
            said(batches(&mut client, READ).await).0,
            Code::Unauthenticated
        );
        client.set_token(node.login_token("root", "very secret").await);
        // A token is shown once, by a statement that says only then that it gives rows.
        let made = rows(&mut client, "CREATE TOKEN FOR line").await;
        assert!(
            made[0].iter().any(|cell| cell.starts_with("ast_")),
            "{made:?}"
        );
        node.db.sql("DROP ROLE line", &[]).await.unwrap();
    });
}

impl Node {
    async fn login_token(&self, name: &str, password: &str) -> String {
        let mut client = self.client().await;
        let token = client.handshake(name, password).await.unwrap();
        String::from_utf8(token.to_vec()).unwrap()
    }
}

#[test]
fn the_wire_is_encrypted_where_there_is_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    assert!(FlightTls::read(&key, &cert).is_err());
    let tls = FlightTls::read(&cert, &key).unwrap();
    let node = Node::with(|options| options.tls = Some(tls));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    node.wait(async {
        let address = node.address;
        let through = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, stream).await?;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(through).await.unwrap();
        let mut client: Client = FlightSqlServiceClient::new(channel);
        assert_eq!(rows(&mut client, "SELECT 40 + 2").await, [["42"]]);
        // Who does not encrypt is not spoken with.
        let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let plain = plain.connect_lazy();
        let mut plain: Client = FlightSqlServiceClient::new(plain);
        let refused = batches(&mut plain, "SELECT 1").await.unwrap_err();
        assert!(matches!(refused, FlightError::Tonic(_)), "{refused}");
    });
}
