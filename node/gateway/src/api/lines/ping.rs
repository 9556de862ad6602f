//! What clients of InfluxDB ask before they write.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Which program answers: clients look whether it is there, and some of them show it.
const HEADERS: [(&str, &str); 2] = [
    (
        "x-influxdb-version",
        concat!("activestore-", env!("CARGO_PKG_VERSION")),
    ),
    ("x-influxdb-build", "activestore"),
];

pub(in crate::api) async fn ping() -> Response {
    (StatusCode::NO_CONTENT, HEADERS).into_response()
}
