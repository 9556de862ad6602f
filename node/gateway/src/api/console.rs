//! `GET /` and what its page is made of: files of this program, so that it works where there is no network but the one to
//! the node.
//!
//! The page may run no script and use no style but these files, talk to nobody but its node, and stand in no frame. A browser asks
//! each time whether a file is still the same, so that the page of a node that was brought up to date is new at once.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use activestore_types::Error;

use crate::answer::{Answer, typed_body};

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
struct Part {
    name: &'static str,
    text: &'static str,
    hash: u64,
}

macro_rules! file {
    ($name:literal) => {
        Part::new($name, include_str!(concat!("../../assets/console/", $name)))
    };
}

static INDEX: Part = file!("index.html");

static FILES: [Part; 21] = [
    file!("icon.svg"),
    file!("theme.css"),
    file!("layout.css"),
    file!("parts.css"),
    file!("main.js"),
    file!("chart.js"),
    file!("concerns.js"),
    file!("edges.js"),
    file!("element.js"),
    file!("figure.js"),
    file!("grid.js"),
    file!("handed.js"),
    file!("history.js"),
    file!("live.js"),
    file!("login.js"),
    file!("node.js"),
    file!("overview.js"),
    file!("plugins.js"),
    file!("repeat.js"),
    file!("sql.js"),
    file!("theme.js"),
];

impl Part {
    const fn new(name: &'static str, text: &'static str) -> Part {
        Part {
            name,
            text,
            hash: hash(text.as_bytes()),
        }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }

    /// The file, or that it is what the browser has.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", self.hash);
        let known = headers.get(header::IF_NONE_MATCH);
        let known = known.and_then(|value| value.to_str().ok());
        let same = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
        let mut response = if same {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            typed_body(StatusCode::OK, self.content_type(), self.text)
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// FNV-1a, when this is compiled: it only tells one version of a file from another.
const fn hash(mut bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while let Some((first, rest)) = bytes.split_first() {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash
}

pub(super) async fn page(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let part = FILES.iter().find(|part| part.name == name);
    let part = part.ok_or_else(|| {
        Error::not_found(format!("the console has no file '{name}'"))
            .with_hint("GET / is its page; load it anew where the node is another version now")
    })?;
    Ok(part.answer(&headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_light_and_names_only_files_that_there_are() {
        let all = FILES.iter().chain([&INDEX]);
        assert!(all.map(|part| part.text.len()).sum::<usize>() < 150 * 1024);
        for part in FILES.iter().chain([&INDEX]) {
            for quoted in part.text.split(['"', '(']) {
                let named = quoted.strip_prefix("/console/").or_else(|| {
                    quoted
                        .strip_prefix("./")
                        .filter(|name| name.ends_with(".js"))
                });
                if let Some(name) = named {
                    assert!(FILES.iter().any(|file| file.name == name), "{name}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_put_into_the_page_as_markup() {
        for part in &FILES {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "http://",
                "https://",
            ] {
                let allowed = part.text.matches("http://www.w3.org/2000/svg").count();
                let found = part.text.matches(word).count();
                let found = if word == "http://" {
                    found - allowed
                } else {
                    found
                };
                assert_eq!(found, 0, "{word} in {}", part.name);
            }
        }
        assert!(
            !INDEX.text.contains("style=")
                && !INDEX.text.contains("<script>")
                && !INDEX.text.contains(" onerror")
        );
    }
}
