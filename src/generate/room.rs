//! Room for rows of f16: zeros that cost nothing until they are written, in huge pages where the system gives them.
//!
//! A KV log of 2,048 tokens of a small model fills a quarter of a gigabyte at once. In pages of 4 KiB the system interrupts
//! that 57,000 times, to clear and to map one page more, and takes three times as long as for pages of 2 MiB.

use super::simd::{Halves, LANES};
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// Bytes of a huge page on most machines; what is smaller gains nothing.
const HUGE_BYTES: usize = 2 << 20;
/// Bytes of [`Halves`].
const VECTOR_BYTES: usize = 2 * LANES;

/// As many vectors as were asked for.
#[derive(Debug)]
pub(super) struct Room(Memory);

#[derive(Debug)]
enum Memory {
    Heap(Vec<Halves>),
    /// `n_bytes` from `start` on, which begins a huge page.
    Mapped {
        map: MmapMut,
        start: usize,
        n_bytes: usize,
    },
}

impl Room {
    /// `n` vectors of zeros.
    pub(super) fn zeros(n: usize) -> Self {
        Self(mapped(n * VECTOR_BYTES).unwrap_or_else(|| Memory::Heap(vec![[0; LANES]; n])))
    }
}

/// Memory of the system's own, if it is worth it and the system gives it.
fn mapped(n_bytes: usize) -> Option<Memory> {
    if n_bytes < HUGE_BYTES || !cfg!(target_os = "linux") {
        return None;
    }
    let map = MmapMut::map_anon(n_bytes.next_multiple_of(HUGE_BYTES) + HUGE_BYTES).ok()?;
    #[cfg(target_os = "linux")]
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "no huge pages for a KV cache");
    }
    let start = map.as_ptr().align_offset(HUGE_BYTES);
    Some(Memory::Mapped { map, start, n_bytes })
}

impl Deref for Room {
    type Target = [Halves];

    fn deref(&self) -> &[Halves] {
        match &self.0 {
            Memory::Heap(vectors) => vectors,
            Memory::Mapped { map, start, n_bytes } => bytemuck::cast_slice(&map[*start..start + n_bytes]),
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [Halves] {
        match &mut self.0 {
            Memory::Heap(vectors) => vectors,
            Memory::Mapped { map, start, n_bytes } => bytemuck::cast_slice_mut(&mut map[*start..*start + *n_bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn it_is_zeros_of_its_own_whatever_its_size() {
        for n in [0, 3, 70_000, 200_000] {
            let (mut room, other) = (Room::zeros(n), Room::zeros(n));
            assert_eq!(room.len(), n);
            assert!(room.iter().all(|vector| *vector == [0; 16]), "{n}");
            room.fill([7; 16]);
            assert!(other.iter().all(|vector| *vector == [0; 16]), "{n}");
        }
    }
}
