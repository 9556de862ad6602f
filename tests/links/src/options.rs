//! `PROGRAM [--NAME VALUE]…`, as every measurement takes it.

use std::path::PathBuf;
use std::str::FromStr;

/// The program to measure and what was said beside it.
pub struct Options {
    pub program: PathBuf,
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line; a wrong one ends the process with a sentence.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Options {
        let Some(program) = arguments.next().map(PathBuf::from) else {
            wrong("name the program to measure");
        };
        if !program.is_file() {
            wrong(&format!("{} is no program", program.display()));
        }
        let mut given = Vec::new();
        while let Some(name) = arguments.next() {
            match (name.strip_prefix("--"), arguments.next()) {
                (Some(name), Some(value)) => given.push((name.to_owned(), value)),
                _ => wrong(&format!("{name}: write --NAME VALUE")),
            }
        }
        // Children are started in other directories.
        let program = std::path::absolute(&program).unwrap_or(program);
        Options { program, given }
    }

    /// Ends the process where a name is not one of these.
    pub fn only(&self, known: &[&str]) {
        if let Some((name, _)) = self
            .given
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            wrong(&format!(
                "--{name} is not known; these are: {}",
                known.join(", ")
            ));
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().rfind(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    pub fn number<N: FromStr>(&self, name: &str, default: N) -> N {
        match self.text(name) {
            None => default,
            Some(value) => match value.parse() {
                Ok(number) => number,
                Err(_) => wrong(&format!("--{name} {value}: that is no number")),
            },
        }
    }
}

fn wrong(sentence: &str) -> ! {
    eprintln!("links: {sentence}");
    std::process::exit(2);
}
