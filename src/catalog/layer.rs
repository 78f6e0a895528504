//! The rows of a transaction that redb does not have yet: one value, or its absence, per key.
//!
//! A transaction writes into a layer of its own and reads through it: first its own layer, then those of the
//! transactions that were committed before it and wait for their sync, latest first, then redb. A layer says what *is*
//! under a key and not what changes there, so laying one over a commit that has it already changes nothing.

use super::{Key, Table};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A sealed value, or `None` where the row was removed.
pub(crate) type Change = Option<Vec<u8>>;

/// Changed rows, in the order of their tables and keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    rows: BTreeMap<(Table, Key), Change>,
}

impl Layer {
    /// What is under `key`, if this layer says anything about it.
    pub(crate) fn get(&self, table: Table, key: &Key) -> Option<&Change> {
        self.rows.get(&(table, key.clone()))
    }

    /// From now on `change` is under `key`.
    pub(crate) fn set(&mut self, table: Table, key: Key, change: Change) {
        self.rows.insert((table, key), change);
    }

    /// All changes of a table under keys that begin with `prefix`, in order.
    pub(crate) fn under<'a>(
        &'a self,
        table: Table,
        prefix: &Key,
    ) -> impl Iterator<Item = (&'a Key, &'a Change)> + use<'a> {
        let from = Bound::Included((table, prefix.clone()));
        let prefix = prefix.clone();
        self.rows
            .range((from, Bound::Unbounded))
            .take_while(move |((of, key), _)| *of == table && key.as_bytes().starts_with(prefix.as_bytes()))
            .map(|((_, key), change)| (key, change))
    }

    /// Takes over what a later layer says.
    pub(crate) fn absorb(&mut self, later: &Self) {
        self.rows.extend(later.rows.iter().map(|(place, change)| (place.clone(), change.clone())));
    }

    /// All changes of a table, in order.
    pub(crate) fn of(&self, table: Table) -> impl Iterator<Item = (&Key, &Change)> + use<'_> {
        self.under(table, &Key::all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_keys_or_its_table_end() {
        let mut layer = Layer::default();
        for (table, key) in
            [(Table::Meta, [1, 1]), (Table::Scopes, [1, 1]), (Table::Scopes, [1, 2]), (Table::Scopes, [2, 0])]
        {
            layer.set(table, Key::of(&key), None);
        }
        let under = |table, prefix: &[u8]| layer.under(table, &Key::of(prefix)).count();
        assert_eq!((under(Table::Scopes, &[1]), under(Table::Scopes, &[]), under(Table::Meta, &[])), (2, 3, 1));
        assert_eq!(under(Table::Scopes, &[2, 0, 0]), 0);
    }
}
