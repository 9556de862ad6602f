//! What a process holds in memory, as the kernel says.

/// Memory of its own, without mapped files, in bytes.
pub fn own(pid: u32) -> u64 {
    line(pid, "RssAnon:")
}

/// All of its resident memory, in bytes.
pub fn resident(pid: u32) -> u64 {
    line(pid, "VmRSS:")
}

fn line(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
