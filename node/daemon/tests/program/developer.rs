//! The loop of a plugin's developer: a new version is tried on the rows of a node beside the version that is
//! in force there, measured, deployed where it holds, and watched.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::process::{Node, PATIENCE, eventually, program, run, said, wrote};
use crate::templates::{in_crate, repository};

/// A component that `cargo xtask build-plugins` made.
fn component(name: &str) -> String {
    let path = repository().join(format!("plugins/target/components/{name}.wasm"));
    path.display().to_string()
}

/// Builds a crate of this source. Names must be unique among all tests: builds share a directory.
fn built(dir: &Path, name: &str, source: &str) -> String {
    let made = program()
        .args(["plugin", "new", name, "--kind", "processor", "--sdk"])
        .arg(repository().join("wasm-sdk/guest"))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let project = dir.join(name);
    std::fs::write(project.join("src/lib.rs"), source).unwrap();
    std::fs::copy(
        repository().join("plugins/Cargo.lock"),
        project.join("Cargo.lock"),
    )
    .unwrap();
    let done = in_crate(&project, program(), &["plugin", "build"]);
    assert!(done.status.success(), "{name}: {}", said(&done));
    project.join(format!("{name}.wasm")).display().to_string()
}

/// The processor of `watch.rs.in` with these limits.
fn watch(dir: &Path, name: &str, limit: &str, least: &str, panic: &str) -> String {
    let source = include_str!("watch.rs.in")
        .replace("@LIMIT@", limit)
        .replace("@LEAST@", least)
        .replace("@PANIC@", panic);
    built(dir, name, &source)
}

struct Loop {
    dir: tempfile::TempDir,
    node: Node,
}

impl Loop {
    fn start() -> Loop {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(&dir.path().join("data"), &["--dev"]);
        node.execute(
            "CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts))",
        );
        Loop { dir, node }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `plugin …` with the node's address.
    fn plugin(&self, arguments: &[&str]) -> Output {
        program()
            .arg("plugin")
            .args(arguments)
            .args(["--url", &self.node.url()])
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.plugin(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            wrote(&output),
            said(&output)
        );
        wrote(&output)
    }

    /// What it says when it ends with exit code 1.
    fn refused(&self, arguments: &[&str]) -> (String, String) {
        let output = self.plugin(arguments);
        let (out, error) = (wrote(&output), said(&output));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {out}{error}");
        (out, error)
    }

    fn load(&self, rows: &str) {
        let csv = self.path("readings.csv");
        std::fs::write(&csv, rows).unwrap();
        let url = self.node.url();
        let csv = csv.to_str().unwrap();
        let done = run(&["load", csv, "--table", "plant.readings", "--url", &url]);
        assert!(done.status.success(), "{}", said(&done));
    }

    fn listed(&self, name: &str) -> Value {
        let all: Vec<Value> =
            serde_json::from_str(&self.ok(&["list", "--format", "json"])).unwrap();
        let found = all.into_iter().find(|plugin| plugin["name"] == name);
        found.unwrap()
    }
}

/// Three devices of 40 rows, from 60 to 99 degrees, and one row that no thermometer shows.
fn readings() -> String {
    let mut rows = "device,ts,temp\n".to_owned();
    for device in ["a", "b", "c"] {
        for minute in 0..40 {
            rows.push_str(&format!(
                "{device},2026-01-01T00:{minute:02}:00Z,{}.0\n",
                60 + minute
            ));
        }
    }
    rows.push_str("d,2026-01-01T00:00:00Z,-200.0\n");
    rows
}

#[test]
fn a_new_version_is_tried_on_the_rows_of_a_node_before_it_is_deployed() {
    let all = Loop::start();
    let dir = all.dir.path();
    let old = watch(dir, "watch-old", "80.0", "-100.0", "1e9");
    let strict = watch(dir, "watch-strict", "90.0", "-300.0", "1e9");
    let broken = watch(dir, "watch-broken", "80.0", "-100.0", "98.5");
    let new = [
        "--name",
        "watch",
        "--table",
        "plant.readings",
        "--against-deployed",
    ];
    let test = |wasm: &str, more: &[&str]| all.plugin(&[&["test", wasm][..], &new, more].concat());

    // Nobody knows the plugin yet, and then no processor uses it.
    let nothing = test(&old, &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        said(&nothing).contains("no plugin 'watch'"),
        "{}",
        said(&nothing)
    );
    all.load(&readings());
    let first = all.ok(&[
        "deploy",
        &old,
        "--name",
        "watch",
        "--as",
        "1",
        "--check-replay",
        "plant.readings",
    ]);
    assert!(
        first.contains("nothing is deployed under this name yet"),
        "{first}"
    );
    assert!(first.contains("deployed watch 1 (processor)"), "{first}");
    assert!(
        wrote(&test(&old, &[]))
            .contains("no processor of table plant.readings uses plugin 'watch'")
    );
    all.node.execute("CREATE PROCESSOR hot ON plant.readings USING PLUGIN 'watch' WITH (more = '0') INTO plant.hot");
    all.node
        .execute("INSERT INTO plant.readings (device, ts, temp) VALUES ('recent', now(), 95.0)");

    let same = test(&old, &["--fail-on-difference"]);
    let out = wrote(&same);
    assert!(same.status.success(), "{out}{}", said(&same));
    for says in [
        "settings: those of the node's processor 'hot' (more = '0')",
        "122 rows of table plant.readings",
        "outputs: 58 the same, 0 only old, 0 only new, 0 changed (by device, ts)",
        "refused rows: 1 the same",
        "both are the same component",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }

    // Each device: 19 rows above 80 and 9 above 90, which are now the first ones and not the eleventh on.
    let other = test(&strict, &["--fail-on-difference", "--show", "3"]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    let out = wrote(&other);
    for says in [
        "outputs: 1 the same, 30 only old, 0 only new, 27 changed (by device, ts)",
        "refused rows: 0 the same, 1 only by the old version",
        "changed",
        "count=11",
        "count=1 ",
        "device=a, ts=2026-01-01T00:31:00Z",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
    assert_eq!(out.matches("│ changed ").count(), 3, "{out}");
    assert!(test(&strict, &[]).status.success());
    // Settings of the command line go over those of the node, for both versions.
    let more = wrote(&test(&strict, &["--set", "more=-10"]));
    assert!(
        more.contains("1 the same, 30 only old, 0 only new, 57 changed"),
        "{more}"
    );
    assert!(more.contains("with --set over them"), "{more}");

    for (choice, rows) in [
        (&["--last", "1d"][..], "1 rows"),
        (&["--where", "temp < 70 -- cool"], "31 rows"),
        (&["--limit", "7", "--order-by", "temp DESC"], "7 rows"),
        (
            &[
                "--where",
                "device = 'a'",
                "--last",
                "10000w",
                "--limit",
                "39",
            ],
            "39 rows",
        ),
    ] {
        let out = wrote(&test(&old, choice));
        assert!(
            out.contains(&format!("{rows} of table plant.readings")),
            "{choice:?}: {out}"
        );
    }
    let typo = test(&old, &["--where", "temperature > 3"]);
    assert!(said(&typo).contains("temperature"), "{}", said(&typo));

    // One that faults is not deployed, whatever is accepted, and one that differs only when that is.
    let out = wrote(&test(&broken, &[]));
    assert!(
        out.contains("the new version failed first with") && out.contains("is too much"),
        "{out}"
    );
    let deploy = [
        "--name",
        "watch",
        "--as",
        "2",
        "--check-replay",
        "plant.readings",
    ];
    let deploy = |wasm, more: &[&'static str]| [&["deploy", wasm][..], &deploy, more].concat();
    let (_, error) = all.refused(&deploy(&broken, &["--accept-differences"]));
    assert!(
        error.contains("not deployed: the new version failed on"),
        "{error}"
    );
    let (out, error) = all.refused(&deploy(&strict, &[]));
    assert!(
        error.contains("not deployed: 27 outputs are changed, 30 outputs are gone"),
        "{error}"
    );
    assert!(out.contains("│ changed "), "{out}");
    let (_, error) = all.refused(&deploy(&old, &["--where", "temp > 1000"]));
    assert!(error.contains("nothing was checked"), "{error}");
    assert_eq!(all.listed("watch")["version"], "1");
    all.ok(&deploy(&strict, &["--accept-differences"]));

    // Both versions are held, and the earlier one can be compared with.
    let shown = all.ok(&["list"]);
    assert!(shown.contains("2 (in force), 1"), "{shown}");
    assert_eq!(all.listed("watch")["versions"][1]["version"], "1");
    let earlier = all.ok(&[
        "test",
        &old,
        "--name",
        "watch",
        "--table",
        "plant.readings",
        "--against-deployed=1",
    ]);
    assert!(earlier.contains("58 the same"), "{earlier}");
    let (_, error) = all.refused(&[
        "test",
        &old,
        "--name",
        "watch",
        "--table",
        "plant.readings",
        "--against-deployed=3",
    ]);
    assert!(
        error.contains("no version 3") && error.contains("2, 1"),
        "{error}"
    );

    // With two users the settings have to be chosen.
    all.node
        .execute("CREATE PROCESSOR cool ON plant.readings USING PLUGIN 'watch' WITH (more = '5') INTO plant.cool");
    let two = test(&strict, &[]);
    assert!(
        said(&two).contains("--processor") && said(&two).contains("'cool', 'hot'"),
        "{}",
        said(&two)
    );
    let chosen = wrote(&test(&strict, &["--processor", "cool"]));
    assert!(chosen.contains("processor 'cool' (more = '5')"), "{chosen}");

    // A version that faults on the node shows it in the list.
    all.ok(&["deploy", &broken, "--name", "watch", "--as", "3"]);
    all.node
        .execute("INSERT INTO plant.readings (device, ts, temp) VALUES ('e', now(), 99.0)");
    let listed = all.listed("watch");
    assert!(listed["traps"].as_u64().unwrap() > 0, "{listed}");
    assert!(
        listed["last_fault"]
            .as_str()
            .unwrap()
            .contains("is too much"),
        "{listed}"
    );
    assert!(listed["rows"].as_u64().unwrap() > 0, "{listed}");
    assert!(all.ok(&["list"]).contains("is too much"));
}

/// Lines of a process as they come.
fn lines(out: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            if send.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn a_log_is_followed_without_a_line_twice_or_lost() {
    let all = Loop::start();
    let first = watch(all.dir.path(), "watch-first", "80.0", "-100.0", "1e9");
    let second = watch(all.dir.path(), "watch-second", "81.0", "-100.0", "1e9");
    all.ok(&["deploy", &first, "--name", "watch"]);
    all.node
        .execute("CREATE PROCESSOR hot ON plant.readings USING PLUGIN 'watch' INTO plant.hot");
    let write = |temp: f64| {
        all.node.execute(&format!(
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), {temp})"
        ));
    };
    let mut follower = program()
        .args([
            "plugin",
            "logs",
            "watch",
            "-f",
            "--level",
            "warn",
            "--url",
            &all.node.url(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let follow = lines(follower.stdout.take().unwrap());
    let next = || follow.recv_timeout(PATIENCE).unwrap();
    // The last one comes from another version, deployed while the log is read.
    for number in 0..20 {
        write(98.5 + f64::from(number) / 100.0);
        if number == 10 {
            assert!(next().contains("98.5 is hot"));
        }
    }
    for number in 1..20 {
        let line = next();
        let wanted = format!("warn  {} is hot", 98.5 + f64::from(number) / 100.0);
        assert!(line.ends_with(&wanted), "{line}: {wanted}");
    }
    all.ok(&["deploy", &second, "--name", "watch"]);
    write(99.9);
    assert!(next().contains("99.9 is hot"));
    let pid = follower.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = eventually("the follower's end", || follower.try_wait().unwrap());
    let mut complaints = String::new();
    std::io::Read::read_to_string(&mut follower.stderr.take().unwrap(), &mut complaints).unwrap();
    assert_eq!((status.code(), complaints.as_str()), (Some(0), ""));
    assert!(follow.recv().is_err(), "a line came twice");

    let whole = all.ok(&["logs", "watch"]);
    assert_eq!(whole.matches(" is hot").count(), 21, "{whole}");
    assert_eq!(whole.matches("1 of 1 rows").count(), 21, "{whole}");
    assert!(
        !all.ok(&["logs", "watch", "--level", "warn"])
            .contains("1 of 1 rows")
    );
    let (_, error) = all.refused(&["logs", "nothing", "-f"]);
    assert!(error.contains("nothing"), "{error}");
}

#[test]
fn functions_and_aggregates_are_compared_by_their_values() {
    let all = Loop::start();
    all.load(&readings());
    let source = |divisor: &str| {
        format!(
            "//! A test.\nactivestore_plugin::scalar! {{ fn celsius(f: f64) -> f64 {{ if f > 95.0 {{ (f - 32.0) / {divisor} }} else {{ f }} }} }}\n"
        )
    };
    let right = built(all.dir.path(), "celsius-right", &source("1.8"));
    let wrong = built(all.dir.path(), "celsius-wrong", &source("1.9"));
    let on = [
        "--table",
        "plant.readings",
        "--columns",
        "temp",
        "--fail-on-difference",
    ];
    let same = all.ok(&[&["test", &right, "--against", &right][..], &on].concat());
    assert!(
        same.contains("values: 121 the same, 0 only old, 0 only new, 0 changed (by device, ts)"),
        "{same}"
    );
    let (out, _) = all.refused(&[&["test", &wrong, "--against", &right][..], &on].concat());
    assert!(
        out.contains("values: 109 the same, 0 only old, 0 only new, 12 changed"),
        "{out}"
    );
    assert!(out.contains("device=c, ts=2026-01-01T00:39:00Z"), "{out}");

    // Of a file, rows are numbered.
    let csv = all.path("readings.csv").display().to_string();
    let of_file = ["--rows", &csv, "--columns", "temp"];
    let out = all.ok(&[&["test", &wrong, "--against", &right][..], &of_file].concat());
    assert!(
        out.contains("12 changed (by row)") && out.contains("row=37"),
        "{out}"
    );
    let out = all.ok(&[&["test", &right][..], &of_file].concat());
    assert!(out.contains("121 rows in "), "{out}");

    // Aggregates have a group for each partition.
    let statistics = component("statistics");
    let on = [
        "--table",
        "plant.readings",
        "--function",
        "circular_mean",
        "--columns",
        "temp",
    ];
    let out = all.ok(&[&["test", &statistics][..], &on].concat());
    assert!(out.contains("│ a ") && out.contains("│ d "), "{out}");
    let out = all.ok(&[&["test", &statistics, "--against", &statistics][..], &on].concat());
    assert!(
        out.contains("values: 4 the same, 0 only old, 0 only new, 0 changed (by device)"),
        "{out}"
    );

    let (_, error) = all.refused(&["test", &right, "--against", &statistics, "--rows", &csv]);
    assert!(error.contains("kind aggregate"), "{error}");
    for (arguments, says) in [
        (
            &["test", &right, "--rows", &csv, "--last", "1d"][..],
            "--last",
        ),
        (
            &["test", &right, "--rows", &csv, "--fail-on-difference"],
            "nothing to compare with",
        ),
        (
            &["test", &right, "--table", "plant.none"],
            "no table plant.none",
        ),
        (
            &[
                "test",
                &right,
                "--table",
                "plant.readings",
                "--columns",
                "temp,ts",
            ],
            "takes 1 columns",
        ),
        (
            &[
                "test",
                &right,
                "--table",
                "plant.readings",
                "--columns",
                "heat",
            ],
            "'heat'",
        ),
        (&["deploy", &right, "--last", "1d"], "--check-replay"),
    ] {
        let (_, error) = all.refused(arguments);
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
    let neither = all.plugin(&["test", &right]);
    assert_eq!(neither.status.code(), Some(2), "{}", said(&neither));
}

#[test]
fn a_component_is_measured_by_batch_size() {
    let all = Loop::start();
    all.load(&readings());
    let csv = all.path("readings.csv").display().to_string();
    let units = component("units");
    for rows in [["--rows", &csv], ["--table", "plant.readings"]] {
        let function = [
            "--function",
            "f_to_c",
            "--columns",
            "temp",
            "--time",
            "20ms",
        ];
        let out = all.ok(&[&["bench", &units][..], &rows, &function].concat());
        for says in [
            "│ 1 ",
            "│ 100 ",
            "│ 1,000 ",
            "│ 10,000 ",
            "load, compiled",
            "from the cache",
            "memory idle",
            "memory peak",
            "121 rows of",
        ] {
            assert!(out.contains(says), "{says}: {out}");
        }
    }
    let anomaly = component("anomaly");
    let out = all.ok(&[
        "bench",
        &anomaly,
        "--table",
        "plant.readings",
        "--time",
        "20ms",
    ]);
    assert!(out.contains("memory peak"), "{out}");
    let (_, error) = all.refused(&[
        "bench",
        &anomaly,
        "--table",
        "plant.readings",
        "--where",
        "temp > 1000",
    ]);
    assert!(error.contains("no such rows"), "{error}");
    let (_, error) = all.refused(&["bench", &anomaly, "--rows", &csv, "--set", "window=x"]);
    assert!(error.contains("window"), "{error}");
}
