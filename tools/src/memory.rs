//! How much memory this process has held at most.

/// Bytes of the largest resident set so far, where the operating system says it (Linux: `VmHWM`).
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_page_that_was_written_counts() {
        let n = 64 << 20;
        let held = std::hint::black_box(vec![1u8; n]);
        assert!(super::peak_rss_bytes().unwrap() > held.len() as u64);
    }
}
