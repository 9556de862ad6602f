//! What a process holds in memory and has used of the processor, as the kernel says.

/// Memory of its own, without mapped files, in bytes.
pub fn own(pid: u32) -> u64 {
    line(pid, "RssAnon:")
}

/// All of its resident memory, in bytes.
pub fn resident(pid: u32) -> u64 {
    line(pid, "VmRSS:")
}

/// The most that was resident at once, in bytes.
pub fn peak(pid: u32) -> u64 {
    line(pid, "VmHWM:")
}

/// The most that was resident at once, in bytes, as long as the process runs.
pub fn peak_while_running(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Time on the processor of all its threads, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    /// The kernel counts in these, whatever its own tick is.
    const TICKS_S: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold spaces.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [user, system] = [11, 12].map(|at: usize| fields[at].parse::<f64>().unwrap());
    (user + system) / TICKS_S
}

fn line(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
