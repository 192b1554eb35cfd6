//! The layouts that the bodies of a batch have shown so far, for those that come after them.
//!
//! They live as long as their batch: nothing of one request is kept for another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use crate::exposition::{Exposition, Format, IdentityLabels, Layout, LineError, parse};

use super::body::BodyBuffer;

/// A few jobs in one request, or a few versions of a program while it is rolled out.
const LAYOUTS_MAX: usize = 8;
/// A layout that has failed so often for each time that it fitted, and once more, is not tried any more.
const TRIES_MAX: usize = 8;

/// So many layouts take their turn in a batch: where bodies have little in common, trying costs more than it spares.
const LAYOUTS_IN_ALL_MAX: usize = 32;

/// The layouts that are tried.
#[derive(Debug, Default)]
pub(super) struct Layouts(RwLock<Tried>);

#[derive(Debug, Default)]
struct Tried {
    list: Vec<Arc<Known>>,
    /// Layouts so far, those that were of no use included.
    in_all: usize,
}

#[derive(Debug)]
struct Known {
    layout: Arc<Layout>,
    fitted: AtomicUsize,
    failed: AtomicUsize,
}

impl Layouts {
    /// What [`parse`] makes of the body, in less time if others of the batch were like it. The memory of the buffer is
    /// taken only where it is needed.
    ///
    /// # Errors
    /// As [`parse`].
    pub(super) fn parse(
        &self,
        format: Format,
        buffer: &mut BodyBuffer,
        labels: &IdentityLabels,
    ) -> Result<Exposition, LineError> {
        if format != Format::Text {
            return parse(format, buffer.take(), labels);
        }
        let known = self.known(labels);
        let read = known
            .iter()
            .find_map(|known| known.read(buffer.body(), labels));
        if let Some(exposition) = read {
            return Ok(exposition);
        }
        let mut exposition = parse(format, buffer.take(), labels)?;
        self.add(exposition.layout(), labels);
        exposition.forget_reuse();
        Ok(exposition)
    }

    fn known(&self, labels: &IdentityLabels) -> Vec<Arc<Known>> {
        let tried = self.0.read().expect("no holder of this lock panics");
        let is_reusable = |known: &&Arc<Known>| known.layout.is_reusable(labels);
        let known = tried.list.iter().filter(is_reusable);
        known.map(Arc::clone).collect()
    }

    fn add(&self, layout: &Arc<Layout>, labels: &IdentityLabels) {
        let mut tried = self.0.write().expect("no holder of this lock panics");
        if !layout.is_reusable(labels) || tried.in_all >= LAYOUTS_IN_ALL_MAX {
            return;
        }
        if tried.list.len() >= LAYOUTS_MAX {
            tried.list.retain(|known| !known.is_in_vain());
        }
        if tried.list.len() < LAYOUTS_MAX {
            tried.in_all += 1;
            tried.list.push(Arc::new(Known {
                layout: Arc::clone(layout),
                fitted: AtomicUsize::new(0),
                failed: AtomicUsize::new(0),
            }));
        }
    }
}

impl Known {
    fn is_in_vain(&self) -> bool {
        let [fitted, failed] = [&self.fitted, &self.failed].map(|n| n.load(Ordering::Relaxed));
        failed >= TRIES_MAX * (fitted + 1)
    }

    /// As [`Layout::read`], unless that is likely to be in vain.
    fn read(&self, body: &[u8], labels: &IdentityLabels) -> Option<Exposition> {
        if self.is_in_vain() {
            return None;
        }
        let read = self.layout.read(body, labels);
        let count = if read.is_some() {
            &self.fitted
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
        read
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Whether this body is read with the layout of an earlier one: then it has the same layout.
    fn is_known(layouts: &Layouts, body: &str) -> bool {
        let labels = IdentityLabels::default();
        let before = layouts.known(&labels);
        let mut buffer = BodyBuffer::default();
        buffer.fill(body.as_bytes(), 0, body.len()).unwrap();
        let exposition = layouts.parse(Format::Text, &mut buffer, &labels).unwrap();
        before
            .iter()
            .any(|known| Arc::ptr_eq(&known.layout, exposition.layout()))
    }

    #[test]
    fn layouts_that_are_of_no_use_make_room() {
        let layouts = Layouts::default();
        // As many as are tried have nothing in common, and so have the next, until they were tried often enough.
        for number in 0..LAYOUTS_MAX + TRIES_MAX {
            assert!(!is_known(&layouts, &format!("name_{number} 1\n")));
        }
        assert!(!is_known(&layouts, "a 1\n"));
        assert!(is_known(&layouts, "a 2\n"));
    }

    #[test]
    fn bodies_that_have_nothing_in_common_are_soon_left_to_the_parser() {
        let layouts = Layouts::default();
        for number in 0..2 * TRIES_MAX * LAYOUTS_IN_ALL_MAX {
            assert!(!is_known(&layouts, &format!("name_{number} 1\n")));
        }
        assert!(!is_known(&layouts, "a 1\n"));
        assert!(!is_known(&layouts, "a 2\n"));
    }
}
