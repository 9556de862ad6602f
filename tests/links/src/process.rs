//! A program as a child, perhaps in a network namespace; it is killed by its id when dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::namespace::{Place, tool};
use crate::wait;

/// A command that runs a program, in a namespace where one is named, without the settings of this process.
pub fn command(place: Option<&Place>, program: impl AsRef<OsStr>) -> Command {
    let mut command = match place {
        None => Command::new(program),
        Some(place) => {
            // ip replaces itself by the program, so the child's id is the program's.
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &place.name]).arg(program);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ACTIVESTORE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A running child.
pub struct Process(Child);

impl Process {
    /// Starts it; what it says goes to the end of a file.
    pub fn start(mut command: Command, log: &Path) -> Process {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// SIGTERM, and until it has ended by itself; panics where it does not.
    pub fn terminate(&mut self, within: Duration) {
        tool("kill", &["-TERM", &self.id().to_string()]);
        wait::until("an orderly end", within, || self.has_ended().then_some(()));
    }

    /// SIGKILL, and until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
