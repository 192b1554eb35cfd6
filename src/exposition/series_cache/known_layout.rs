//! The layout of a body, and what of the body stands in it: the families that a scraper asks for.

use super::names::NameId;
use super::places::EntryId;
use crate::exposition::layout::{Layout, Run};
use std::sync::Arc;

/// What the body with these lines has.
#[derive(Debug)]
pub(super) struct KnownLayout {
    /// Its HELP, TYPE and UNIT lines and the samples that were kept.
    pub(super) ids: Vec<EntryId>,
    pub(super) layout: Arc<Layout>,
    /// What of the samples stands in the layout; `None`: all of them.
    pub(super) selection: Option<Selection>,
}

/// What a body has of the families that are asked for.
#[derive(Debug)]
pub(super) struct Selection {
    /// For each known name whether it belongs to one of the families.
    names: Vec<bool>,
    /// The samples with these names, among all that the body keeps.
    pub(super) samples: Vec<Run>,
}

impl Selection {
    /// These names, and no sample yet.
    pub(super) fn new(names: Vec<bool>) -> Selection {
        Selection {
            names,
            samples: Vec::new(),
        }
    }

    /// Whether what is said of this name is kept.
    pub(super) fn has(&self, name: NameId) -> bool {
        self.names.get(name as usize) == Some(&true)
    }

    /// The same for the name of this sample, which is kept then. To be called in the order of samples.
    pub(super) fn select(&mut self, name: NameId, sample: u32) -> bool {
        let is_asked = self.has(name);
        match self.samples.last_mut() {
            Some(run) if is_asked && run.end == sample => run.end += 1,
            _ if is_asked => self.samples.push(sample..sample + 1),
            _ => {}
        }
        is_asked
    }
}
