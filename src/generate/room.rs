//! Room for rows of f16, in huge pages where the system gives them; what an ended session leaves is used again.
//!
//! A KV log of 2,048 tokens of a small model fills a quarter of a gigabyte at once. In pages of 4 KiB the system interrupts
//! that 57,000 times, to clear and to map one page more, and takes three times as long as for pages of 2 MiB; room that was
//! used before needs neither. Whoever takes room reads no row that was not written.

use super::simd::{Halves, LANES};
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a huge page on most machines; what is smaller gains nothing.
const HUGE_BYTES: usize = 2 << 20;
/// Bytes of [`Halves`].
const VECTOR_BYTES: usize = 2 * LANES;

/// Rooms of one model's sessions that ended: at most [`MOST_KEPT`], which is more than the layers of most models, so about
/// as much as one session held.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<Vec<Mapped>>);

const MOST_KEPT: usize = 64;

/// As many vectors as were asked for; zeros, or what an ended session left.
#[derive(Debug)]
pub(super) struct Room {
    memory: Memory,
    home: Arc<Rooms>,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<Halves>),
    Mapped(Mapped),
}

/// `n_bytes` from `start` on, which begins a huge page.
#[derive(Debug)]
struct Mapped {
    map: MmapMut,
    start: usize,
    n_bytes: usize,
}

impl Rooms {
    /// Room for `n` vectors, from what was used before if something fits.
    pub(super) fn take(self: &Arc<Self>, n: usize) -> Room {
        let n_bytes = n * VECTOR_BYTES;
        let memory = self.kept(n_bytes).or_else(|| mapped(n_bytes)).map(Memory::Mapped);
        Room { memory: memory.unwrap_or_else(|| Memory::Heap(vec![[0; LANES]; n])), home: self.clone() }
    }

    /// A kept one of at least so many bytes, and not of far more.
    fn kept(&self, n_bytes: usize) -> Option<Mapped> {
        if n_bytes < HUGE_BYTES {
            return None;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |room: &Mapped| (n_bytes..=2 * n_bytes).contains(&(room.map.len() - room.start));
        let at = kept.iter().position(fits)?;
        Some(Mapped { n_bytes, ..kept.swap_remove(at) })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Memory::Mapped(room) = std::mem::replace(&mut self.memory, Memory::Heap(Vec::new())) else { return };
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT {
            kept.push(room);
        } else if let Some(smallest) = kept.iter_mut().min_by_key(|room| room.map.len())
            && smallest.map.len() < room.map.len()
        {
            // A session that grew leaves many that are too small for the next one.
            *smallest = room;
        }
    }
}

/// Memory of the system's own, if it is worth it and the system gives it.
fn mapped(n_bytes: usize) -> Option<Mapped> {
    if n_bytes < HUGE_BYTES || !cfg!(target_os = "linux") {
        return None;
    }
    let map = MmapMut::map_anon(n_bytes.next_multiple_of(HUGE_BYTES) + HUGE_BYTES).ok()?;
    #[cfg(target_os = "linux")]
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "no huge pages for a KV cache");
    }
    let start = map.as_ptr().align_offset(HUGE_BYTES);
    Some(Mapped { map, start, n_bytes })
}

impl Deref for Room {
    type Target = [Halves];

    fn deref(&self) -> &[Halves] {
        match &self.memory {
            Memory::Heap(vectors) => vectors,
            Memory::Mapped(Mapped { map, start, n_bytes }) => bytemuck::cast_slice(&map[*start..start + n_bytes]),
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [Halves] {
        match &mut self.memory {
            Memory::Heap(vectors) => vectors,
            Memory::Mapped(Mapped { map, start, n_bytes }) => {
                bytemuck::cast_slice_mut(&mut map[*start..*start + *n_bytes])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Rooms};

    #[test]
    fn rooms_are_apart_and_used_again() {
        let rooms = Arc::new(Rooms::default());
        for n in [0, 3, 70_000, 200_000] {
            let (mut room, other) = (rooms.take(n), rooms.take(n));
            assert_eq!((room.len(), other.len()), (n, n));
            let before = other.to_vec();
            room.fill([7; 16]);
            assert!(*other == before, "{n}: one is not the other");
        }
        if cfg!(target_os = "linux") {
            let used = |room: &super::Room| room.contains(&[7; 16]);
            let all: Vec<_> = (0..4).map(|_| rooms.take(150_000)).collect();
            assert!(all.iter().any(used), "what was used is used again");
        }
        let larger = rooms.take(1_000_000);
        assert!(larger.iter().all(|vector| *vector == [0; 16]), "nothing fits, so it is new");
    }
}
