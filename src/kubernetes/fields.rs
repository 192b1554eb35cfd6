//! JSON objects of which only some fields are read. The others are skipped, whatever they contain. Pure.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// An object of which some fields are read. Skipping the others saves most of a list's bytes.
pub(super) struct Partial<T>(pub(super) T);

/// A type that can be read like this.
pub(super) trait ReadField: Default {
    /// What to expect, for errors.
    const WHAT: &'static str;

    /// Reads the value of a field that is used, or says that the field is to be skipped.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Implements [`ReadField`] by a table: the key in JSON, the field, and the function that reads it.
macro_rules! read_fields {
    ($type:ty, $what:literal, { $($key:literal => $field:ident: $read:path,)+ }) => {
        impl ReadField for $type {
            const WHAT: &'static str = $what;

            fn read<'de, A: MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<bool, A::Error> {
                match key {
                    $($key => self.$field = $read(map)?,)+
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}
pub(super) use read_fields;

impl<'de, T: ReadField> Deserialize<'de> for Partial<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Partial<T>, D::Error> {
        deserializer.deserialize_map(Partial(T::default()))
    }
}

impl<'de, T: ReadField> Visitor<'de> for Partial<T> {
    type Value = Partial<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Partial<T>, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.0.read(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(self)
    }
}

/// The value of a field. Null is the default, as if the field were missing.
pub(super) fn value<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// The value of a field that is an object of which some fields are read.
pub(super) fn object<'de, T: ReadField, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    Ok(map
        .next_value::<Option<Partial<T>>>()?
        .map(|Partial(object)| object))
}

/// The value of a field that is an array of such objects.
pub(super) fn objects<'de, T: ReadField, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<Vec<T>>, A::Error> {
    let objects = map.next_value::<Option<Vec<Partial<T>>>>()?;
    Ok(objects.map(|objects| objects.into_iter().map(|Partial(object)| object).collect()))
}
