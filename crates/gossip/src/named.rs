//! Things by name, where there are many: ten thousand nodes each know ten thousand.
//!
//! The things lie in places with numbers; the index has numbers alone, and looks at the name in the
//! thing itself. It costs five to ten bytes a thing, where a map with names as keys costs thirty.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Something that has a name.
pub(crate) trait Named {
    /// The name; it does not change.
    fn name(&self) -> &str;
}

/// A place in a table; may be another thing's later.
pub(crate) type Place = u32;

/// Things by place and by name.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Option<T>>,
    free: Vec<Place>,
    index: HashTable<Place>,
    hasher: RandomState,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let hasher = RandomState::new();
        Self { slots: Vec::new(), free: Vec::new(), index: HashTable::new(), hasher }
    }
}

impl<T: Named> Table<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// One more than the highest place.
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    /// Where the thing of that name is.
    pub(crate) fn find(&self, name: &str) -> Option<Place> {
        let same = |place: &Place| self.at(*place).is_some_and(|thing| thing.name() == name);
        self.index.find(self.hasher.hash_one(name), same).copied()
    }

    pub(crate) fn at(&self, place: Place) -> Option<&T> {
        self.slots.get(place as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut T> {
        self.slots.get_mut(place as usize)?.as_mut()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.at(self.find(name)?)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.at_mut(self.find(name)?)
    }

    /// All of them, in no order that means anything.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> + Clone {
        self.slots.iter().flatten()
    }

    /// Adds a thing; one of the same name is replaced, in its place.
    pub(crate) fn insert(&mut self, thing: T) -> Place {
        if let Some(place) = self.find(thing.name()) {
            self.slots[place as usize] = Some(thing);
            return place;
        }
        let hash = self.hasher.hash_one(thing.name());
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = Some(thing);
                place
            }
            None => {
                self.slots.push(Some(thing));
                Place::try_from(self.slots.len() - 1).unwrap_or(Place::MAX)
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, place, |place| {
            let thing = slots.get(*place as usize).and_then(Option::as_ref);
            thing.map_or(0, |thing| hasher.hash_one(thing.name()))
        });
        place
    }

    /// Takes out what is at a place.
    pub(crate) fn remove_at(&mut self, place: Place) -> Option<T> {
        let name = self.at(place)?.name();
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        self.free.push(place);
        self.slots.get_mut(place as usize)?.take()
    }

    /// Takes out the thing of that name.
    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.remove_at(self.find(name)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Named for (String, u32) {
        fn name(&self) -> &str {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u8..3, 0_u8..40, any::<u32>()), 0..300)) {
            let mut table = Table::default();
            let mut map = BTreeMap::new();
            for (step, name, value) in steps {
                let name = name.to_string();
                match step {
                    0 => prop_assert_eq!(
                        table.remove(&name).map(|(_, value)| value),
                        map.remove(&name),
                    ),
                    _ => {
                        let place = table.insert((name.clone(), value));
                        prop_assert_eq!(table.find(&name), Some(place));
                        map.insert(name, value);
                    }
                }
                prop_assert_eq!(table.len(), map.len());
                let all: BTreeMap<String, u32> = table.values().cloned().collect();
                prop_assert_eq!(&all, &map);
                for name in 0..40 {
                    let name = name.to_string();
                    prop_assert_eq!(table.get(&name).map(|(_, value)| value), map.get(&name));
                }
            }
        }
    }

    #[test]
    fn a_place_that_is_free_is_used_again() {
        let mut table = Table::default();
        let place = table.insert(("a".to_owned(), 1));
        table.insert(("b".to_owned(), 2));
        assert_eq!(table.remove("a"), Some(("a".to_owned(), 1)));
        assert_eq!((table.find("a"), table.at(place)), (None, None));
        assert_eq!(table.insert(("c".to_owned(), 3)), place);
        assert_eq!(table.remove_at(place), Some(("c".to_owned(), 3)));
        assert_eq!(table.remove_at(place), None);
    }
}
