//! What is kept by key, in the order of the keys' hashes.
//!
//! A tree of keys compares them where they lie, which is a memory access for every key on the
//! way down. One of their hashes looks at one key, the one that is asked for. It is a tree all
//! the same and no table: its order is the same in every run, and no choice of keys makes it
//! slow.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Values by key.
#[derive(Clone, Debug)]
pub(super) struct ByHash<V> {
    places: BTreeMap<u64, Place<V>>,
}

/// The keys that have one hash.
#[derive(Clone, Debug)]
struct Place<V> {
    key: Bytes,
    value: V,
    /// All but the first: nearly never any.
    others: Option<Box<Others<V>>>,
}

#[derive(Clone, Debug)]
struct Others<V>(BTreeMap<Bytes, V>);

impl<V> Default for ByHash<V> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
        }
    }
}

impl<V> ByHash<V> {
    /// The value of `key`, and the form of the key that is here.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<(&Bytes, &V)> {
        let place = self.places.get(&hash)?;
        match is_same(&place.key, key) {
            true => Some((&place.key, &place.value)),
            false => place.others.as_ref()?.0.get_key_value(key),
        }
    }

    /// The value of `key`.
    pub(super) fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut V> {
        let place = self.places.get_mut(&hash)?;
        match is_same(&place.key, key) {
            true => Some(&mut place.value),
            false => place.others.as_mut()?.0.get_mut(key),
        }
    }

    /// Changes the value of `key`, or gives it its first.
    pub(super) fn put(
        &mut self,
        hash: u64,
        key: &Bytes,
        change: impl FnOnce(&mut V),
        first: impl FnOnce() -> V,
    ) {
        use std::collections::btree_map::Entry;
        let place = match self.places.entry(hash) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Place {
                    key: key.clone(),
                    value: first(),
                    others: None,
                });
                return;
            }
        };
        if is_same(&place.key, key) {
            return change(&mut place.value);
        }
        let none = || Box::new(Others(BTreeMap::new()));
        let others = place.others.get_or_insert_with(none);
        match others.0.entry(key.clone()) {
            Entry::Occupied(value) => change(value.into_mut()),
            Entry::Vacant(value) => drop(value.insert(first())),
        }
    }

    /// Takes `key` out.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<V> {
        let place = self.places.get_mut(&hash)?;
        if !is_same(&place.key, key) {
            return place.others.as_mut()?.0.remove(key);
        }
        match place
            .others
            .as_mut()
            .and_then(|others| others.0.pop_first())
        {
            Some((key, value)) => {
                place.key = key;
                Some(std::mem::replace(&mut place.value, value))
            }
            None => self.places.remove(&hash).map(|place| place.value),
        }
    }

    /// All values.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.places.values_mut().flat_map(|place| {
            let others = place
                .others
                .iter_mut()
                .flat_map(|others| others.0.values_mut());
            std::iter::once(&mut place.value).chain(others)
        })
    }
}

/// Whether two keys are the same. Those that share their bytes are so without a look at them.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.as_ptr() == other.as_ptr() || one == other)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_whatever_hashes_collide(
            steps in vec((0u8..3, 0u8..12, any::<u16>()), 0..200),
            hashes in 1u8..12,
        ) {
            let (mut map, mut model) = (ByHash::default(), BTreeMap::new());
            for (step, key, value) in steps {
                let hash = u64::from(key % hashes);
                let key = Bytes::from(vec![key]);
                match step {
                    0 => prop_assert_eq!(map.remove(hash, &key), model.remove(&key)),
                    1 => {
                        map.put(hash, &key, |old| *old = value, || value);
                        model.insert(key, value);
                    }
                    _ => {
                        prop_assert_eq!(map.get(hash, &key), model.get_key_value(&key));
                        prop_assert_eq!(map.get_mut(hash, &key), model.get_mut(&key));
                    }
                }
                let mut all: Vec<u16> = map.values_mut().map(|value| *value).collect();
                let mut expected: Vec<u16> = model.values().copied().collect();
                all.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(all, expected);
            }
        }
    }
}
