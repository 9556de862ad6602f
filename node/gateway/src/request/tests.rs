//! What the edge of the program makes of hostile or odd requests.

use std::io::Write;

use axum::http::HeaderValue;
use flate2::{Compression, write::GzEncoder};

use super::*;

fn request(host: &str, origin: Option<&str>) -> Request {
    let mut request = Request::new(Body::empty());
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
    if let Some(origin) = origin {
        headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
    }
    request
}

#[test]
fn a_foreign_page_is_refused_and_the_own_one_is_not() {
    let local = "127.0.0.1:7480".parse().unwrap();
    let open = "0.0.0.0:7480".parse().unwrap();
    assert!(check_browser(&request("127.0.0.1:7480", None), local).is_ok());
    assert!(
        check_browser(
            &request("localhost:7480", Some("http://localhost:7480")),
            local
        )
        .is_ok()
    );
    assert!(check_browser(&request("[::1]:7480", None), local).is_ok());
    assert!(
        check_browser(
            &request("localhost:7480", Some("http://evil.example")),
            local
        )
        .is_err()
    );
    assert!(check_browser(&request("evil.example:7480", None), local).is_err());
    assert!(check_browser(&request("gateway.plant:7480", None), open).is_ok());
    assert!(check_browser(&request("gateway.plant:7480", Some("null")), open).is_err());
}

#[test]
fn parameters_are_decoded() {
    let uri: Uri = "/write?db=a%20b&precision=ns&x=1+2&odd=%zz&last=%4"
        .parse()
        .unwrap();
    let found = parameters(&uri);
    assert_eq!(found["db"], "a b");
    assert_eq!(found["x"], "1 2");
    assert_eq!(found["odd"], "%zz");
    assert_eq!(found["last"], "%4");
}

#[test]
fn a_small_gzip_that_unpacks_to_much_is_stopped() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b'a'; 1 << 20]).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 4096);
    assert!(unpack(&packed, 4096).unwrap().is_none());
    assert_eq!(unpack(&packed, 1 << 20).unwrap().unwrap().len(), 1 << 20);
    assert!(unpack(b"not gzip", 100).is_err());
    assert!(unpack(&packed[..packed.len() / 2], 2 << 20).is_err());
}
