//! Advice to the system about memory.

/// A huge page of the processors that have one of this size, in bytes.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A multiple of every page's size that systems let advice start at, in bytes.
const PAGE_BYTES: usize = 64 << 10;

/// Asks for huge pages behind a range of memory that is about to be filled for the first time. A
/// fresh small page costs a fault, which takes longer than filling it. Where the system has none,
/// nothing changes; nothing is touched either way.
pub(crate) fn prefer_huge_pages(start: *const u8, bytes: usize) {
    // Large allocations are mappings that start at a huge page, with the allocator's own few bytes
    // before `start`: the pages at both ends are advised whole, or the first huge page would be lost.
    let first = start.addr() / PAGE_BYTES * PAGE_BYTES;
    let end = (start.addr() + bytes).next_multiple_of(PAGE_BYTES);
    if bytes >= HUGE_PAGE_BYTES {
        advise(start.with_addr(first), end - first);
    }
}

#[cfg(target_os = "linux")]
fn advise(start: *const u8, bytes: usize) {
    #[expect(
        unsafe_code,
        reason = "the system is handed an address; this advice changes no byte behind it and is refused for memory that is not mapped"
    )]
    // A system that refuses it goes on with small pages.
    let _ = unsafe {
        rustix::mm::madvise(
            start.cast_mut().cast(),
            bytes,
            rustix::mm::Advice::LinuxHugepage,
        )
    };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *const u8, _bytes: usize) {}
