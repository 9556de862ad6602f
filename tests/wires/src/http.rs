//! Requests over one connection that is kept, and no more of HTTP than that takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Http {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Http {
    /// Requests with bodies of a type go to `path` of a node at `http://HOST:PORT`.
    pub fn connect(url: &str, path: &str, kind: &str) -> Http {
        let address = url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Http {
            stream,
            head: format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\n"),
            answer: Vec::new(),
        }
    }

    /// Sends a body; panics unless it is taken.
    pub fn post(&mut self, body: &[u8]) {
        let head = format!("{}content-length: {}\r\n\r\n", self.head, body.len());
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
        self.answer.clear();
        let head = loop {
            let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.read(),
            }
        };
        let said = String::from_utf8_lossy(&self.answer[..head]).to_lowercase();
        let length = said
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.answer.len() < head + length {
            self.read();
        }
        let said = String::from_utf8_lossy(&self.answer);
        assert!(said.starts_with("HTTP/1.1 2"), "{said}");
    }

    fn read(&mut self) {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).unwrap();
        assert!(read > 0, "the node closed the connection");
        self.answer.extend_from_slice(&part[..read]);
    }
}
