//! JSON objects of which only some fields are read. The others are skipped, whatever they contain. Pure.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// An object of which some fields are read. Skipping the others saves most of a list's bytes.
pub(super) struct Fields<T>(pub(super) T);

/// A type that can be read like this.
pub(super) trait ReadField: Default {
    /// What to expect, for errors.
    const WHAT: &'static str;

    /// Reads the value of a field that is used, or says that the field is to be skipped.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

impl<'de, T: ReadField> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<T>, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<T>(PhantomData<T>);

impl<'de, T: ReadField> Visitor<'de> for FieldsVisitor<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<T>, A::Error> {
        let mut read = T::default();
        while let Some(key) = map.next_key::<String>()? {
            if !read.read(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Fields(read))
    }
}

/// The value of a field; null counts as missing.
pub(super) fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    map.next_value()
}

/// The same for an object of which some fields are read.
pub(super) fn object<'de, T: ReadField, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    Ok(value::<Fields<T>, A>(map)?.map(|Fields(object)| object))
}

/// The same for an array of such objects.
pub(super) fn objects<'de, T: ReadField, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<Vec<T>>, A::Error> {
    let objects = value::<Vec<Fields<T>>, A>(map)?;
    Ok(objects.map(|objects| objects.into_iter().map(|Fields(object)| object).collect()))
}
