//! Addresses are read as whoever carries requests reads them, and hosts are granted whole.

use super::{BODY_BYTES_MAX, HttpHosts, HttpMethod, HttpRequest, HttpTarget, URL_BYTES_MAX};

fn granted(hosts: &[&str]) -> HttpHosts {
    let mut granted = HttpHosts::default();
    for host in hosts {
        assert!(granted.add(host), "{host}");
    }
    granted
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: HttpMethod::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

#[test]
fn a_host_is_granted_with_its_port_and_no_other() {
    let hosts = granted(&["Hooks.example.com", "10.0.0.7:8080", "[::1]:9000"]);
    for url in [
        "https://hooks.example.com/a?b=c",
        "http://HOOKS.example.com",
        "http://hooks.example.com:80/",
        "https://hooks.example.com:443/",
        "http://10.0.0.7:8080/",
        "https://10.0.0.7:8080/",
        "http://[::1]:9000/x",
    ] {
        request(url)
            .check(&hosts)
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for url in [
        "http://hooks.example.com:443/",
        "http://hooks.example.com:8080/",
        "http://hooks.example.com.evil.net/",
        "http://evil.net/hooks.example.com",
        "http://evil.net?hooks.example.com",
        "http://evil.net#@hooks.example.com",
        "http://10.0.0.7/",
        "http://10.0.0.70:8080/",
        "http://[::1]/",
    ] {
        let error = request(url).check(&hosts).unwrap_err();
        assert!(
            error.message().contains("was not granted http:"),
            "{url}: {error}"
        );
    }
    assert_eq!(
        hosts.items().collect::<Vec<_>>(),
        [
            "http:10.0.0.7:8080",
            "http:[::1]:9000",
            "http:hooks.example.com"
        ]
    );
}

#[test]
fn what_is_no_address_is_refused() {
    let long = format!("http://a/{}", "x".repeat(URL_BYTES_MAX));
    for url in [
        "",
        "/path",
        "hooks.example.com/x",
        "ftp://a/",
        "file:///etc/passwd",
        "http://user@a/",
        "http://user:word@a/",
        "http://a@b/",
        "http://a:0/",
        "http://a:99999/",
        "http://a:/",
        "http:///x",
        "http://a b/",
        "http://a\r\nx: y/",
        "http://ä/",
        &long,
    ] {
        assert!(HttpTarget::of(url).is_err(), "{url}");
    }
    for host in [
        "", ":80", "a:0", "u@a", "a/b", "http://a", "*", "*.a", "a:x",
    ] {
        assert!(!HttpHosts::default().add(host), "{host}");
    }
}

#[test]
fn a_request_is_within_its_limits() {
    let hosts = granted(&["a"]);
    let with = |headers: &[(&str, &str)], body: usize| HttpRequest {
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: vec![0; body],
        ..request("http://a/")
    };
    with(
        &[("content-type", "text/plain"), ("X-Token", "ä")],
        BODY_BYTES_MAX,
    )
    .check(&hosts)
    .unwrap();
    let many = vec![("x", "y"); 33];
    let large = "y".repeat(9_000);
    for wrong in [
        with(&[], BODY_BYTES_MAX + 1),
        HttpRequest {
            method: HttpMethod::Get,
            ..with(&[], 1)
        },
        with(&[("Idempotency-Key", "1")], 0),
        with(&[("HOST", "b")], 0),
        with(&[("a b", "c")], 0),
        with(&[("a", "b\r\nc: d")], 0),
        with(&many, 0),
        with(&[("x", large.as_str())], 0),
    ] {
        assert!(wrong.check(&hosts).is_err(), "{:?}", wrong.headers);
    }
}
