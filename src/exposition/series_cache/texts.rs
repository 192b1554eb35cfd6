//! The bytes of all known lines. Layouts refer to them and share them.

use crate::exposition::layout::TextRef;
use std::mem;
use std::sync::Arc;

/// The texts: one or two for each body with new lines that are kept. The last one is still being written.
#[derive(Debug, Default)]
pub(super) struct Texts {
    sealed: Vec<Arc<Vec<u8>>>,
    /// The text that is being written.
    pub(super) fresh: Vec<u8>,
    sealed_bytes: usize,
}

impl Texts {
    /// The number of the text that is being written.
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

    /// Appends to `fresh`. `None` if it would become too long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<TextRef> {
        let start = self.fresh.len();
        self.fresh.extend_from_slice(bytes);
        TextRef::new(self.number(), start, bytes.len(), false)
    }

    /// Ends the text that is being written, unless it is empty. From then on it can be shared.
    pub(super) fn seal(&mut self) {
        if !self.fresh.is_empty() {
            self.fresh.shrink_to_fit();
            self.sealed_bytes += self.fresh.len();
            self.sealed.push(Arc::new(mem::take(&mut self.fresh)));
        }
    }

    /// Forgets all but the first `count` sealed texts.
    pub(super) fn truncate(&mut self, count: usize) {
        let forgotten = self.sealed.drain(count..);
        self.sealed_bytes -= forgotten.map(|text| text.len()).sum::<usize>();
    }

    /// All sealed texts.
    pub(super) fn share(&self) -> Vec<Arc<Vec<u8>>> {
        self.sealed.clone()
    }

    /// The number of sealed texts.
    pub(super) fn count(&self) -> usize {
        self.sealed.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.sealed_bytes + self.fresh.capacity()
    }
}
