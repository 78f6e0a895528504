//! The embedding spaces of a database: one that counts where none is named, and others beside it.
//!
//! A space has a number, never given again, under which its embeddings, bitmaps and graphs are kept. Number 0 is the first
//! space, and while it is the only one the catalog says so in a row of its own, as catalogs of the first version do.

use super::row::{SpaceRow, SpacesRow};
use super::{Key, Rows, Table, value};
use crate::record::EmbeddingSpace;
use crate::{Error, Result};

/// Spaces of one database.
const MOST: usize = 64;

/// What a space is for. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// Counts where no space is named.
    Main = 1,
    /// Can be searched beside it.
    Beside = 2,
    /// Records are being given embeddings in it; nobody searches it before all have one.
    Making = 3,
    /// Nobody searches it any more; its embeddings are being removed.
    Dropped = 4,
}

impl Role {
    fn from_u8(number: u8) -> Option<Self> {
        [Self::Main, Self::Beside, Self::Making, Self::Dropped].into_iter().find(|role| *role as u8 == number)
    }
}

/// A space that the catalog knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownSpace {
    pub(crate) number: u32,
    pub(crate) space: EmbeddingSpace,
    pub(crate) role: Role,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spaces {
    known: Vec<KnownSpace>,
    next: u32,
}

impl Spaces {
    /// What the catalog says.
    pub(crate) fn read(rows: &Rows) -> Result<Self> {
        if let Some(row) = rows.get_row::<SpacesRow>(Table::Meta, &Key::spaces())? {
            let known = row.spaces.iter().map(known).collect::<Result<Vec<_>>>()?;
            return Ok(Self { known, next: row.next });
        }
        let Some(row) = rows.get_row::<SpaceRow>(Table::Meta, &Key::space())? else { return Ok(Self::default()) };
        let only = KnownSpace { number: 0, space: EmbeddingSpace::new(row.name, row.dim as usize)?, role: Role::Main };
        Ok(Self { known: vec![only], next: 1 })
    }

    /// Says it in the catalog.
    pub(crate) fn write(&self, rows: &Rows) -> Result<()> {
        if let [KnownSpace { number: 0, space, role: Role::Main }] = self.known.as_slice() {
            let row = SpaceRow { name: space.name().to_owned(), dim: space.dim() as u32 };
            rows.remove(Table::Meta, &Key::spaces())?;
            return rows.put_row(Table::Meta, &Key::space(), &row);
        }
        let row_of = |known: &KnownSpace| {
            let (name, dim) = (known.space.name().to_owned(), known.space.dim() as u32);
            (known.number, known.role as u8, SpaceRow { name, dim })
        };
        let row = SpacesRow { spaces: self.known.iter().map(row_of).collect(), next: self.next };
        rows.remove(Table::Meta, &Key::space())?;
        rows.put_row(Table::Meta, &Key::spaces(), &row)
    }

    /// Every space, also those that nobody searches.
    pub(crate) fn all(&self) -> &[KnownSpace] {
        &self.known
    }

    /// The one that counts where none is named.
    pub(crate) fn main(&self) -> Option<&KnownSpace> {
        self.known.iter().find(|known| known.role == Role::Main)
    }

    /// Those that can be searched, the main one first.
    pub(crate) fn searchable(&self) -> impl Iterator<Item = &KnownSpace> {
        self.main().into_iter().chain(self.known.iter().filter(|known| known.role == Role::Beside))
    }

    /// The space, whatever it is for, if it is known.
    pub(crate) fn find(&self, space: &EmbeddingSpace) -> Option<&KnownSpace> {
        self.known.iter().find(|known| known.space == *space)
    }

    /// The number of a space that can be searched.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`] naming it and those that can.
    pub(crate) fn require(&self, space: &EmbeddingSpace) -> Result<u32> {
        if let Some(known) = self.searchable().find(|known| known.space == *space) {
            return Ok(known.number);
        }
        let expected: Vec<String> = self.searchable().map(|known| known.space.to_string()).collect();
        Err(Error::SpaceMismatch { found: space.to_string(), expected: expected.join(" or ") })
    }

    /// Adds a space that is not known; its number.
    pub(crate) fn add(&mut self, space: &EmbeddingSpace, role: Role) -> Result<u32> {
        if self.known.len() >= MOST {
            return Err(Error::invalid("embedding space", format!("there are {MOST} already")));
        }
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| Error::invalid("embedding space", "too many"))?;
        self.known.push(KnownSpace { number, space: space.clone(), role });
        Ok(number)
    }

    /// Makes the space `number` the main one; the one before is dropped.
    pub(crate) fn cut_over(&mut self, number: u32) {
        for known in &mut self.known {
            match known.role {
                _ if known.number == number => known.role = Role::Main,
                Role::Main => known.role = Role::Dropped,
                _ => {}
            }
        }
    }

    /// From now on nobody searches it, and its embeddings can go.
    pub(crate) fn give_up(&mut self, number: u32) {
        self.known.iter_mut().filter(|known| known.number == number).for_each(|known| known.role = Role::Dropped);
    }

    /// Forgets a space of which nothing is left.
    pub(crate) fn forget(&mut self, number: u32) {
        self.known.retain(|known| known.number != number);
    }
}

fn known((number, role, row): &(u32, u8, SpaceRow)) -> Result<KnownSpace> {
    let wrong = || value::corrupt(Table::Meta, Key::spaces().as_bytes(), format!("role {role} of a space"));
    let space = EmbeddingSpace::new(row.name.clone(), row.dim as usize)?;
    Ok(KnownSpace { number: *number, space, role: Role::from_u8(*role).ok_or_else(wrong)? })
}
