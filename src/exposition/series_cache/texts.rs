//! The bytes of all known lines. What bodies share is kept once, and stays where it is.

use crate::exposition::layout::TextRef;
use std::mem;
use std::sync::Arc;

/// Texts, one for each body that had something new. The last one is still being written.
#[derive(Debug, Default)]
pub(super) struct Texts {
    sealed: Vec<Arc<Vec<u8>>>,
    /// Becomes the next of them.
    pub(super) fresh: Vec<u8>,
    sealed_bytes: usize,
}

impl Texts {
    /// Where a text is written that is appended to `fresh`.
    pub(super) fn number(&self) -> u32 {
        crate::exposition::offset(self.sealed.len())
    }

    #[inline(always)]
    pub(super) fn get(&self, text: u32, start: u32, length: u32) -> &[u8] {
        let text = match self.sealed.get(text as usize) {
            Some(text) => text.as_slice(),
            None => self.fresh.as_slice(),
        };
        &text[start as usize..start as usize + length as usize]
    }

    pub(super) fn at(&self, at: TextRef) -> &[u8] {
        self.get(at.text, at.start, crate::exposition::offset(at.len()))
    }

    /// Appends to `fresh`; `None` if there is no room.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<TextRef> {
        let start = self.fresh.len();
        self.fresh.extend_from_slice(bytes);
        TextRef::new(self.number(), start, bytes.len(), false)
    }

    /// What has been written so far can be shared from here on.
    pub(super) fn seal(&mut self) {
        if !self.fresh.is_empty() {
            self.fresh.shrink_to_fit();
            self.sealed_bytes += self.fresh.len();
            self.sealed.push(Arc::new(mem::take(&mut self.fresh)));
        }
    }

    /// Forgets the last ones that are sealed, so that this many are left.
    pub(super) fn truncate(&mut self, count: usize) {
        let forgotten = self.sealed.drain(count..);
        self.sealed_bytes -= forgotten.map(|text| text.len()).sum::<usize>();
    }

    /// One of those that are sealed.
    pub(super) fn share(&self, text: u32) -> Arc<Vec<u8>> {
        Arc::clone(&self.sealed[text as usize])
    }

    /// Number of texts that are sealed.
    pub(super) fn count(&self) -> usize {
        self.sealed.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.sealed_bytes + self.fresh.capacity()
    }
}
