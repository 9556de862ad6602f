//! The console page and its files, as a browser loads them.

use super::auth::guarded;

/// The addresses that a text names in double quotes or after `from`.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted
        .filter_map(|name| {
            let file = name
                .strip_prefix("./")
                .or_else(|| name.strip_prefix("/console/"));
            file.filter(|file| file.contains('.')).map(str::to_owned)
        })
        .collect()
}

#[test]
fn the_page_and_all_that_it_names_come_without_a_login_and_are_kept_by_their_tag() {
    let node = guarded(|_| {});
    let page = node.get("/");
    assert_eq!(page.status, 200);
    let mut wanted = named(&page.text);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut reply = node
            .agent
            .get(format!("{}/console/{name}", node.base))
            .call()
            .unwrap();
        assert_eq!(reply.status(), 200, "{name}");
        let policy = reply.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(reply.headers()["cache-control"], "no-cache");
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        let tag = reply.headers()["etag"].clone();
        wanted.extend(named(&reply.body_mut().read_to_string().unwrap()));
        let again = |tag: &ureq::http::HeaderValue| {
            let request = node.agent.get(format!("{}/console/{name}", node.base));
            request
                .header("if-none-match", tag)
                .call()
                .unwrap()
                .status()
        };
        assert_eq!(again(&tag), 304);
        assert_eq!(
            again(&ureq::http::HeaderValue::from_static("\"another\"")),
            200
        );
    }
    assert!(seen.len() >= 20, "{seen:?}");
    let missing = node.get("/console/..%2F..%2Fopenapi.json");
    assert_eq!(missing.status, 404);
    assert_eq!(node.get("/v1/status").status, 401);
}
