//! Room for arrays that are read at random: in huge pages where the system gives them.
//!
//! A walk reads some hundred rows all over many megabytes. In pages of 4 KiB nearly every one of them costs the processor
//! a walk through the page tables besides, and of those a virtual machine has two.

/// An empty vector with room for `n`.
pub(super) fn vec<T>(n: usize) -> Vec<T> {
    let room: Vec<T> = Vec::with_capacity(n);
    #[cfg(target_os = "linux")]
    ask(room.as_ptr().cast(), n.saturating_mul(size_of::<T>()));
    room
}

/// `n` times `x`.
pub(super) fn filled<T: Clone>(x: T, n: usize) -> Vec<T> {
    let mut filled = vec(n);
    filled.resize(n, x);
    filled
}

/// Bytes of a huge page on most machines; what is smaller gains nothing.
#[cfg(target_os = "linux")]
const HUGE_BYTES: usize = 2 << 20;
/// A multiple of the bytes of every page that is not huge.
#[cfg(target_os = "linux")]
const ALIGNED_BYTES: usize = 64 << 10;

#[cfg(target_os = "linux")]
fn ask(start: *const libc::c_void, n_bytes: usize) {
    let offset = start.align_offset(ALIGNED_BYTES);
    let whole = n_bytes.saturating_sub(offset) / ALIGNED_BYTES * ALIGNED_BYTES;
    if whole >= HUGE_BYTES {
        // SAFETY: the pages from the first aligned byte on lie within what was just allocated; the advice changes which
        // pages stand behind them and nothing of what is in them. If it is not taken, nothing happens.
        #[allow(unsafe_code)]
        unsafe {
            libc::madvise(start.wrapping_byte_add(offset).cast_mut(), whole, libc::MADV_HUGEPAGE);
        }
    }
}
