//! `wires lines|messages|points PROGRAM [--OPTION VALUE]…`: what the protocols that people already use carry, over real
//! ports of the program that is named. The clients run on the same processors and do as little as they can. Called by
//! `cargo xtask bench`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../../node/gateway/tests/pg/client.rs"]
#[allow(dead_code)]
mod client;
mod http;
mod lines;
mod messages;
mod points;
mod waits;

use activestore_test_links::options::Options;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let options = Options::read(arguments);
    match name.as_str() {
        "lines" => lines::run(&options),
        "messages" => messages::run(&options),
        "points" => points::run(&options),
        _ => {
            eprintln!("usage: wires lines|messages|points PROGRAM [--OPTION VALUE]…");
            std::process::exit(2);
        }
    }
}
