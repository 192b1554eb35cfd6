//! Names of metrics, each once.

use super::places::hash;
use super::texts::Texts;
use crate::exposition::error::LineErrorKind;
use crate::exposition::layout::TextRef;
use crate::exposition::offset;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The number of a name, in the order in which they were added.
pub(super) type NameId = u32;

/// The names of all known lines.
#[derive(Debug, Default)]
pub(super) struct Names {
    list: Vec<TextRef>,
    by_text: HashTable<NameId>,
    /// The last name, which is the first guess for the next one: samples of one name follow each other.
    last: NameId,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The position of a name, unescaped.
    pub(super) fn text(&self, id: NameId) -> TextRef {
        self.list[id as usize]
    }

    /// The number of a name, which is added if it is new.
    pub(super) fn number(
        &mut self,
        name: &[u8],
        texts: &mut Texts,
        hasher: &RandomState,
    ) -> Result<NameId, LineErrorKind> {
        if let Some(last) = self.list.get(self.last as usize)
            && texts.at(*last) == name
        {
            return Ok(self.last);
        }
        self.last = match self.find(name, texts, hasher) {
            Some(known) => known,
            None => self.add(name, texts, hasher)?,
        };
        Ok(self.last)
    }

    /// The number of a name, if it is known.
    pub(super) fn find(&self, name: &[u8], texts: &Texts, hasher: &RandomState) -> Option<NameId> {
        let is_it = |id: &NameId| texts.at(self.text(*id)) == name;
        self.by_text.find(hash(hasher, name), is_it).copied()
    }

    fn add(
        &mut self,
        name: &[u8],
        texts: &mut Texts,
        hasher: &RandomState,
    ) -> Result<NameId, LineErrorKind> {
        let id = offset(self.list.len());
        self.list.push(texts.push(name).ok_or(LineErrorKind::Size)?);
        let hash_of = |id: &NameId| hash(hasher, texts.at(self.list[*id as usize]));
        self.by_text.insert_unique(hash(hasher, name), id, hash_of);
        Ok(id)
    }
}
