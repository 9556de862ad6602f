//! The engines, how a child process of each is started, and what has to be installed for it first.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::task::{Result, Task};

/// An engine that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Engine {
    /// The store of this repository.
    Activestore,
    /// RocksDB from Debian's package, through a small program in C++.
    Rocksdb,
    /// fjall 3.
    Fjall,
    /// redb 4.
    Redb,
    /// SQLite, bundled with rusqlite.
    Sqlite,
    /// DuckDB from its Python package.
    Duckdb,
    /// ClickHouse in process: chDB's Python package.
    Clickhouse,
}

impl Engine {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Activestore => "activestore",
            Engine::Rocksdb => "RocksDB",
            Engine::Fjall => "fjall",
            Engine::Redb => "redb",
            Engine::Sqlite => "SQLite",
            Engine::Duckdb => "DuckDB",
            Engine::Clickhouse => "ClickHouse",
        }
    }

    /// Installs or builds what it needs, after saying so.
    ///
    /// # Errors
    /// Why it cannot be measured here.
    pub fn prepare(self, home: &Path) -> Result<()> {
        match self {
            Engine::Rocksdb => rocksdb(home),
            Engine::Duckdb | Engine::Clickhouse => python(home),
            _ => Ok(()),
        }
    }

    /// The child process for a task.
    ///
    /// # Errors
    /// As the system says.
    pub fn command(self, home: &Path, task: &Task) -> Result<Command> {
        let json = serde_json::to_string(task)?;
        let script = |name: &str| {
            let mut command = script(home, name);
            command.arg(&json);
            command
        };
        Ok(match self {
            Engine::Duckdb => script("duckdb_peer.py"),
            Engine::Clickhouse => script("clickhouse_peer.py"),
            Engine::Rocksdb => {
                let mut command = Command::new(home.join("rocksdb_peer"));
                let work = serde_json::to_value(task.work)?;
                command
                    .arg(work.as_str().unwrap_or_default())
                    .arg(task.data.records.as_deref().ok_or("no records")?)
                    .arg(&task.dir)
                    .arg(task.batch.to_string())
                    .arg(task.writers.to_string())
                    .arg(task.seconds.to_string())
                    .arg(task.points.to_string());
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                let name = self.to_possible_value().ok_or("no such engine")?;
                command.arg("run").arg(name.get_name()).arg(json);
                command
            }
        })
    }
}

/// A script of `peers`, run by the environment's Python.
pub fn script(home: &Path, name: &str) -> Command {
    let mut command = Command::new(home.join("python/bin/python"));
    command.arg(peers().join(name));
    command
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// The C++ program, built anew when its source is newer.
fn rocksdb(home: &Path) -> Result<()> {
    let (source, program) = (peers().join("rocksdb_peer.cc"), home.join("rocksdb_peer"));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified());
    if let (Ok(source), Ok(built)) = (changed(&source), changed(&program))
        && built > source
    {
        return Ok(());
    }
    let header = Path::new("/usr/include/rocksdb/db.h");
    if !header.exists() {
        eprintln!("installing librocksdb-dev and g++ through apt-get");
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--quiet", "librocksdb-dev", "g++"]);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        if !succeeds(&mut install) || !header.exists() {
            return Err("librocksdb-dev is not installed and apt-get could not install it".into());
        }
    }
    eprintln!("compiling {}", source.display());
    let mut compile = Command::new("g++");
    compile.args(["-O2", "-std=c++17", "-o"]);
    compile.arg(&program).arg(&source);
    compile.args(["-lrocksdb", "-lpthread"]);
    if succeeds(&mut compile) {
        Ok(())
    } else {
        Err("g++ could not compile the RocksDB peer".into())
    }
}

/// A Python environment with the packages, made once.
fn python(home: &Path) -> Result<()> {
    const PACKAGES: [&str; 3] = ["duckdb", "pyarrow", "chdb"];
    let venv = home.join("python");
    let python = venv.join("bin/python");
    let whole = venv.join("whole");
    if whole.exists() {
        return Ok(());
    }
    eprintln!(
        "installing {} from PyPI into {}",
        PACKAGES.join(", "),
        venv.display()
    );
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet"])
        .args(PACKAGES);
    if succeeds(&mut make) && succeeds(&mut install) {
        std::fs::write(whole, "")?;
        Ok(())
    } else {
        Err("python3 with venv and pip is needed, and a package index that can be reached".into())
    }
}
